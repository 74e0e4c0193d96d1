/* A host program that uses everything of the library, through the installed header alone. Run as
 *     consumer DIRECTORY-WITH-THE-FOUR-FILES PATH.pth TRAINER.pth EPOCHS
 * Prints the accuracy; any surprise ends it with a sentence and exit code 1. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <twolayernet.h>

static void fail(const char *what, int line) {
  fprintf(stderr, "line %d: %s: %s\n", line, what, tln_last_error());
  exit(1);
}
#define EXPECT(condition) do { if (!(condition)) fail(#condition, __LINE__); } while (0)
#define OK(call) EXPECT((call) == TLN_OK)
#define REFUSED(status, call) \
  do { EXPECT((call) == (status)); EXPECT(tln_last_error()[0] != '\0'); } while (0)

typedef struct { int64_t calls, stop_after; double mean; } watcher;

static int32_t watch(const tln_progress *progress, void *user_data) {
  watcher *w = user_data;
  EXPECT(progress->struct_size >= sizeof *progress && progress->step < progress->steps);
  w->mean = progress->mean_loss;
  return ++w->calls == w->stop_after;
}

static void check_refusals(tln_network *network, const tln_dataset *dataset) {
  float value = 0;
  int64_t label = 0;
  tln_network *none = network;
  tln_trainer *trainer = NULL;
  tln_network_options sizes;
  tln_network_options_init(&sizes);
  sizes.hidden_size = 0;
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_create(&sizes, &none));
  EXPECT(none == NULL);
  sizes.hidden_size = INT64_MAX;
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_create(&sizes, &none));
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_create(NULL, NULL));
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_logits(network, NULL, 1, &value));
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_logits(network, &value, 0, &value));
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_predict(network, &value, INT64_MAX, &label));
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_get_parameter(network, "layers.1.weight", &value, 1));
  REFUSED(TLN_INVALID_ARGUMENT, tln_network_get_parameter(network, "layers.0.bias", &value, 1));
  REFUSED(TLN_IO_ERROR, tln_network_load("/nowhere/mnist.pth", NULL, &none));
  REFUSED(TLN_BAD_FILE, tln_network_load_memory("PK\3\4", 4, NULL, &none));
  REFUSED(TLN_BAD_FILE, tln_network_load_memory(NULL, 0, NULL, &none));
  REFUSED(TLN_UNSUPPORTED, tln_network_save(network, "mnist.onnx"));
  REFUSED(TLN_IO_ERROR, tln_network_save(network, "/nowhere/mnist.pth"));

  tln_trainer_options options;
  tln_trainer_options_init(&options);
  options.learning_rate = NAN;
  REFUSED(TLN_INVALID_ARGUMENT, tln_trainer_create(network, &options, &trainer));
  tln_trainer_options_init(&options);
  options.batch_size = 0;
  REFUSED(TLN_INVALID_ARGUMENT, tln_trainer_create(network, &options, &trainer));
  tln_trainer_options_init(&options);
  options.struct_size = 3;
  REFUSED(TLN_INVALID_ARGUMENT, tln_trainer_create(network, &options, &trainer));
  OK(tln_trainer_create(network, NULL, &trainer));
  REFUSED(TLN_INVALID_ARGUMENT, tln_trainer_fit(trainer, dataset, -1, NULL, NULL));
  REFUSED(TLN_INVALID_ARGUMENT, tln_trainer_fit(trainer, NULL, 1, NULL, NULL));
  REFUSED(TLN_INVALID_ARGUMENT, tln_trainer_set_learning_rate(trainer, INFINITY));
  tln_trainer_free(trainer);

  tln_device device = 7;
  OK(tln_device_resolve(TLN_DEVICE_AUTO, &device));
  REFUSED(TLN_INVALID_ARGUMENT, tln_device_resolve(99, &device));
  tln_network_free(NULL);
  tln_trainer_free(NULL);
  tln_dataset_free(NULL);
}

int main(int argc, char **argv) {
  if (argc != 5) return 64;
  EXPECT(tln_version() == TLN_VERSION && strcmp(tln_version_string(), TLN_VERSION_STRING) == 0);

  tln_dataset *train = NULL, *test = NULL;
  int64_t rows = 0, columns = 0;
  OK(tln_dataset_open_mnist(argv[1], 1, &train));
  OK(tln_dataset_open_mnist(argv[1], 0, &test));
  OK(tln_dataset_shape(train, &rows, &columns));

  tln_network_options options;
  tln_network_options_init(&options);
  options.input_size = columns;
  options.seed = 42;
  tln_network *network = NULL, *copy = NULL;
  tln_trainer *trainer = NULL, *other = NULL;
  OK(tln_network_create(&options, &network));
  OK(tln_trainer_create(network, NULL, &trainer));
  check_refusals(network, train);

  /* Left half-way, saved, gone on with elsewhere: the same as if nothing had happened. */
  watcher w = {0, 5, 0};
  EXPECT(tln_trainer_fit(trainer, train, atoll(argv[4]), watch, &w) == TLN_CANCELLED);
  OK(tln_trainer_save(trainer, argv[3]));
  OK(tln_network_create(&options, &copy));
  OK(tln_trainer_create(copy, NULL, &other));
  OK(tln_trainer_load(other, argv[3]));
  w.stop_after = 0;
  OK(tln_trainer_fit(trainer, train, atoll(argv[4]), watch, &w));
  OK(tln_trainer_fit(other, train, atoll(argv[4]), NULL, NULL));
  EXPECT(w.calls == (rows + 99) / 100 * atoll(argv[4]) && isfinite(w.mean));

  size_t count = (size_t)(columns * 100);
  float *one = malloc(count * sizeof *one), *two = malloc(count * sizeof *two);
  OK(tln_network_get_parameter(network, "layers.0.weight", one, count));
  OK(tln_network_get_parameter(copy, "layers.0.weight", two, count));
  EXPECT(memcmp(one, two, count * sizeof *one) == 0);
  tln_trainer_free(other);
  tln_network_free(copy);

  OK(tln_network_save(network, argv[2]));
  OK(tln_network_load(argv[2], NULL, &copy));
  tln_evaluation result = {.struct_size = sizeof result}, again = {.struct_size = sizeof again};
  OK(tln_network_evaluate(network, test, &result));
  OK(tln_network_evaluate(copy, test, &again));
  EXPECT(result.correct == again.correct && result.mean_loss == again.mean_loss);

  int64_t labels[3], truth[3];
  OK(tln_dataset_read(test, 0, 3, one, truth));
  OK(tln_network_predict(copy, one, 3, labels));
  printf("%lld of %lld\n", (long long)result.correct, (long long)result.rows);

  free(one);
  free(two);
  tln_trainer_free(trainer);
  tln_network_free(network);
  tln_network_free(copy);
  tln_dataset_free(train);
  tln_dataset_free(test);
  return 0;
}
