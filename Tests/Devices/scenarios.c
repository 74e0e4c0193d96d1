/* What a host does with a CUDA device, with every call of the driver failing in turn:
 *     scenarios fail ERROR NAME MANNER    or    scenarios fork    or    scenarios threads    or    scenarios told
 * A call of the library that fails must name the driver's error, and the others must go on or fail too; if
 * none fails, the results must be those of the cpu. Afterwards the driver must have got everything back, and
 * the thread its own context. Prints how many calls of the driver there were, and with how many of them
 * failing a call of the library failed. Writes files to the current directory. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <twolayernet.h>
#include <unistd.h>

#include "fake_cuda.h"

enum { INPUT = 20, HIDDEN = 13, OUTPUT = 3, ROWS = 20, CALLS = 100000 };

/* What a host has current when it uses CUDA itself. */
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxPushCurrent_v2(void *);

static const char *const names[] = {"layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"};
static const size_t counts[] = {HIDDEN * INPUT, HIDDEN, OUTPUT * HIDDEN, OUTPUT};
static unsigned char pixels[ROWS * INPUT];
static float features[ROWS * INPUT];
static int64_t labels[ROWS];
static const char *expected_name;
static long place;

static void fail(const char *what) {
  fprintf(stderr, "call %ld: %s: %s\n", place, what, tln_last_error());
  _exit(1);
}

/* Notes the first failure, which is the injected one. */
static int failed;

static tln_status expect(tln_status status, const char *what) {
  if (status == TLN_OK) return status;
  if (status != TLN_NO_DEVICE && status != TLN_DEVICE_FAILED) fail(what);
  if (!failed && !strstr(tln_last_error(), expected_name)) fail("the driver's error is not named");
  failed = 1;
  return status;
}

static tln_status make(tln_device device, tln_network **network) {
  tln_network_options options;
  tln_network_options_init(&options);
  options.input_size = INPUT;
  options.hidden_size = HIDDEN;
  options.output_size = OUTPUT;
  options.device = device;
  return expect(tln_network_create(&options, network), "create");
}

static tln_status make_data(tln_dataset **data) {
  tln_dataset_options options;
  tln_dataset_options_init(&options);
  options.features = pixels;
  options.labels = labels;
  options.rows = ROWS;
  options.columns = INPUT;
  return tln_dataset_create(&options, data);
}

/* The parameters; whether they could be read. */
static int read_parameters(const tln_network *network, float values[4][HIDDEN * INPUT]) {
  int all = 1;
  for (int index = 0; index < 4; index++)
    all &= expect(tln_network_get_parameter(network, names[index], values[index], counts[index]), "get") == TLN_OK;
  return all;
}

static void check_finite(float values[4][HIDDEN * INPUT]) {
  for (int index = 0; index < 4; index++)
    for (size_t element = 0; element < counts[index]; element++)
      if (!isfinite(values[index][element])) fail("a parameter is not finite");
}

static int32_t go_on(const tln_progress *progress, void *out_steps) {
  (void)progress;
  ++*(int *)out_steps;
  return 0;
}

static void train(tln_network *network, tln_dataset *data) {
  static const float biases[HIDDEN] = {0.1f};
  tln_trainer_options options;
  tln_trainer *trainer = NULL;
  float loss;
  tln_trainer_options_init(&options);
  options.batch_size = 8;
  expect(tln_network_set_parameter(network, names[1], biases, HIDDEN), "set");
  if (expect(tln_trainer_create(network, &options, &trainer), "trainer") == TLN_OK) {
    expect(tln_trainer_fit(trainer, data, 2, NULL, NULL), "fit");
    expect(tln_trainer_step(trainer, features, labels, 5, &loss), "step");
    char path[64];
    snprintf(path, sizeof path, "%lx.pth", (unsigned long)pthread_self());
    if (expect(tln_trainer_save(trainer, path), "save") == TLN_OK) expect(tln_trainer_load(trainer, path), "load");
    int steps = 0;
    if (expect(tln_trainer_fit(trainer, data, 6, go_on, &steps), "fit again") == TLN_OK && steps != 6 * 3)
      fail("not every step was told");
  }
  tln_trainer_free(trainer);
}

/* All that a run has produced. */
typedef struct {
  float parameters[4][HIDDEN * INPUT], logits[ROWS * OUTPUT];
  int64_t predicted[ROWS], correct;
  double mean_loss;
} results;

/* Which calls of the driver fail: the one at `place`, or it and all after it, until the training is over
 * or to the end. */
typedef enum { ONCE, UNTIL_READ, TO_THE_END } manner;

static void run(tln_device device, manner manner, results *out) {
  tln_evaluation evaluation = {sizeof evaluation, 0, 0, 0, 0};
  tln_network *network = NULL;
  tln_dataset *data = NULL;
  memset(out, 0, sizeof *out);
  if (make_data(&data) != TLN_OK) fail("data");
  if (make(device, &network) == TLN_OK) {
    train(network, data);
    if (manner == UNTIL_READ) {
      fake_cuda_disarm();
      if (!read_parameters(network, out->parameters)) fail("the last parameters cannot be read");
      check_finite(out->parameters);
    }
    expect(tln_network_evaluate(network, data, &evaluation), "evaluate");
    expect(tln_network_logits(network, features, ROWS, out->logits), "logits");
    expect(tln_network_predict(network, features, ROWS, out->predicted), "predict");
    if (read_parameters(network, out->parameters)) check_finite(out->parameters);
    out->correct = evaluation.correct;
    out->mean_loss = evaluation.mean_loss;
  } else if (network) {
    fail("a network that was not made");
  }
  tln_network_free(network);
  tln_dataset_free(data);
}

static void every_call_fails(int error, manner manner) {
  static results right, got;
  void *mine;
  int failures = 0;
  place = -1;
  run(TLN_DEVICE_CPU, TO_THE_END, &right);
  if (cuInit(0) || cuDevicePrimaryCtxRetain(&mine, 0) || cuCtxPushCurrent_v2(mine)) fail("the host's context");
  for (place = 0; place < CALLS; place++) {
    failed = 0;
    fake_cuda_arm(place, error, manner != ONCE);
    run(TLN_DEVICE_CUDA, manner, &got);
    const char *name = fake_cuda_disarm();
    if (fake_cuda_depth() != 1) fail("the host's context is not current");
    /* The driver takes things back if it lets the library to its context. */
    const int takes = !name || (manner == ONCE && strcmp(name, "cuCtxPushCurrent_v2") != 0);
    if (takes && fake_cuda_live() != 1) fail("something was not given back");
    fake_cuda_forget();
    /* A failure that no call tells of must have done no harm: of giving back, or of memory that was not
     * needed. */
    if (!failed && memcmp(&right, &got, sizeof right) != 0) fail(name ? name : "other results than the cpu's");
    failures += failed;
    if (name) continue;
    printf("%ld calls, %d failures\n", place, failures);
    return;
  }
  fail("no end");
}

/* -------------------------------------------------------------- other hosts */

/* A child of the process may not use what its parent has, and must be told so. */
static void in_a_child(void) {
  tln_network *network = NULL, *own = NULL;
  float values[4][HIDDEN * INPUT];
  expected_name = "CUDA_ERROR_NOT_INITIALIZED";
  if (make(TLN_DEVICE_CUDA, &network) != TLN_OK) fail("create");
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    if (tln_network_get_parameter(network, names[0], values[0], counts[0]) != TLN_DEVICE_FAILED) fail("get in a child");
    if (!strstr(tln_last_error(), "child process")) fail("the text");
    if (make(TLN_DEVICE_CUDA, &own) != TLN_NO_DEVICE) fail("create in a child");
    if (make(TLN_DEVICE_CPU, &own) != TLN_OK) fail("the cpu in a child");
    tln_network_free(own);
    tln_network_free(network);
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) fail("the child");
  if (!read_parameters(network, values)) fail("get in the parent");
  tln_network_free(network);
  if (fake_cuda_live() != 0) fail("something was not given back");
}

/* ------------------------------------------------ a host that is told of every step */

enum { TOLD_EPOCHS = 20, TOLD_STEPS = ROWS * TOLD_EPOCHS };

/* What a callback was told, and where it stops. */
typedef struct {
  tln_trainer *trainer;
  int count, stop;
  tln_progress progress[TOLD_STEPS];
} told;

static int32_t note(const tln_progress *progress, void *of) {
  told *told = of;
  int64_t epochs, steps;
  memset(&told->progress[told->count], 0, sizeof *progress);
  tln_progress *copy = &told->progress[told->count++];
  copy->epoch = progress->epoch;
  copy->epochs = progress->epochs;
  copy->step = progress->step;
  copy->steps = progress->steps;
  copy->loss = progress->loss;
  copy->mean_loss = progress->mean_loss;
  copy->rows_done = progress->rows_done;
  tln_trainer_get_position(told->trainer, &epochs, &steps);
  if (epochs * ROWS + steps != told->count) fail("another position than that of the step");
  return told->count == told->stop;
}

/* Trains, is stopped, and goes on; what is left of the network then and at the end. */
static void be_told(tln_device device, int stop, told *told, float stopped[4][HIDDEN * INPUT],
                    float ended[4][HIDDEN * INPUT]) {
  tln_trainer_options options;
  tln_network *network = NULL;
  tln_dataset *data = NULL;
  tln_trainer_options_init(&options);
  options.batch_size = 1;
  memset(told, 0, sizeof *told);
  told->stop = stop;
  if (make_data(&data) || make(device, &network) || tln_trainer_create(network, &options, &told->trainer)) fail("make");
  if (tln_trainer_fit(told->trainer, data, TOLD_EPOCHS, note, told) != TLN_CANCELLED) fail("not stopped");
  read_parameters(network, stopped);
  int64_t epochs = 0;
  tln_trainer_get_position(told->trainer, &epochs, NULL);
  if (tln_trainer_fit(told->trainer, data, TOLD_EPOCHS - epochs, note, told) != TLN_OK) fail("fit");
  read_parameters(network, ended);
  tln_trainer_free(told->trainer);
  told->trainer = NULL;
  tln_network_free(network);
  tln_dataset_free(data);
}

/* The same as from the cpu, while the device is seldom waited for. */
static void in_callbacks(void) {
  static told right, got;
  static float stopped[2][4][HIDDEN * INPUT], ended[2][4][HIDDEN * INPUT];
  expected_name = "";
  for (int stop = 1; stop < TOLD_STEPS; stop += 19) {
    be_told(TLN_DEVICE_CPU, stop, &right, stopped[0], ended[0]);
    const long before = fake_cuda_count("cuStreamSynchronize");
    be_told(TLN_DEVICE_CUDA, stop, &got, stopped[1], ended[1]);
    const long waits = fake_cuda_count("cuStreamSynchronize") - before;
    if (got.count != TOLD_STEPS || memcmp(&right, &got, sizeof got) != 0) fail("something else is told");
    if (memcmp(stopped[0], stopped[1], sizeof stopped[0]) != 0) fail("not what was there when it was stopped");
    if (memcmp(ended[0], ended[1], sizeof ended[0]) != 0) fail("other results than the cpu's");
    if (waits > TOLD_STEPS / 2) fail("the device is waited for too often");
  }
  if (fake_cuda_live() != 0) fail("something was not given back");
}

static results of_threads[4];

static void *in_a_thread(void *out) {
  run(TLN_DEVICE_CUDA, TO_THE_END, out);
  return NULL;
}

/* Several networks at once, each of a thread of its own. */
static void in_threads(void) {
  static results right;
  pthread_t threads[4];
  run(TLN_DEVICE_CPU, TO_THE_END, &right);
  for (int index = 0; index < 4; index++)
    if (pthread_create(&threads[index], NULL, in_a_thread, &of_threads[index])) fail("thread");
  for (int index = 0; index < 4; index++) {
    pthread_join(threads[index], NULL);
    if (memcmp(&right, &of_threads[index], sizeof right) != 0) fail("other results than the cpu's");
  }
  if (fake_cuda_live() != 0) fail("something was not given back");
}

int main(int argc, char **argv) {
  for (size_t index = 0; index < sizeof pixels; index++) {
    pixels[index] = (unsigned char)(index * index * 7 + index / 13 * 31);
    features[index] = (float)(index % 17) / 16;
  }
  for (int row = 0; row < ROWS; row++) labels[row] = row * row % OUTPUT;
  if (argc == 5 && strcmp(argv[1], "fail") == 0) {
    expected_name = argv[3];
    every_call_fails(atoi(argv[2]), (manner)atoi(argv[4]));
  } else if (argc == 2 && strcmp(argv[1], "fork") == 0) {
    in_a_child();
  } else if (argc == 2 && strcmp(argv[1], "threads") == 0) {
    in_threads();
  } else if (argc == 2 && strcmp(argv[1], "told") == 0) {
    in_callbacks();
  } else {
    return 64;
  }
  return 0;
}
