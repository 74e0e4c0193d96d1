/* What a host does with the library, with every place where memory or the system can fail failing in turn:
 *     scenarios DIRECTORY NAME KINDS MANNER [STRIDE]
 * (or every STRIDEth place). DIRECTORY holds what test_faults.py puts there. A call that succeeds must have done its work, a call that
 * fails must leave no trace, and afterwards the same call must give the same result. Prints the number of
 * places that failed, and how many calls failed and succeeded with them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <twolayernet.h>
#include <unistd.h>

#include "faults.h"

enum { INPUT = 784, ROWS = 256, PLACES = 1000000 };

static const char *directory;
static char buffer[1 << 22], old_bytes[1 << 22];
static float features[ROWS * INPUT], values[ROWS * INPUT];
static int64_t labels[ROWS], predicted[ROWS];
static tln_dataset *data;
static tln_network *network;
static tln_trainer *trainer;
/* What the last action has produced, as a number. */
static uint64_t result;

static void fail(const char *what, long place) {
  fprintf(stderr, "place %ld: %s: %s\n", place, what, tln_last_error());
  _exit(1);
}

static const char *path(const char *name) {
  static char paths[4][4096];
  static int next;
  char *text = paths[next++ % 4];
  snprintf(text, sizeof paths[0], "%s/%s", directory, name);
  return text;
}

/* FNV-1a. */
static void mix(const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) result = (result ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
}

static void mix_parameters(const tln_network *which) {
  static const char *names[] = {"layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"};
  int64_t input, hidden, output;
  if (tln_network_sizes(which, &input, &hidden, &output)) fail("sizes", -1);
  const size_t counts[] = {hidden * input, hidden, output * hidden, output};
  for (int i = 0; i < 4; i++) {
    if (tln_network_get_parameter(which, names[i], values, counts[i])) fail(names[i], -1);
    mix(values, 4 * counts[i]);
  }
}

static size_t file_contents(const char *name, char *bytes) {
  FILE *file = fopen(path(name), "rb");
  if (!file) return 0;
  const size_t count = fread(bytes, 1, sizeof buffer, file);
  fclose(file);
  return count;
}

/* ------------------------------------------------------------ the actions */

static tln_status loaded_dataset(tln_status status, tln_dataset **dataset) {
  if (status == TLN_OK) status = tln_dataset_read(*dataset, 0, 64, values, predicted);
  if (status == TLN_OK) mix(values, 64 * 4), mix(predicted, 64 * 8);
  tln_dataset_free(*dataset);
  return status;
}

static tln_status open_raw(void) {
  tln_dataset *dataset = NULL;
  return loaded_dataset(
      tln_dataset_open_idx(path("raw/train-images-idx3-ubyte"), path("raw/train-labels-idx1-ubyte"), &dataset), &dataset);
}

static tln_status open_gzip(void) {
  tln_dataset *dataset = NULL;
  return loaded_dataset(tln_dataset_open_mnist(path("gzip"), 1, &dataset), &dataset);
}

static tln_status create_dataset(void) {
  tln_dataset *dataset = NULL;
  tln_dataset_options options;
  tln_dataset_options_init(&options);
  options.features = features;
  options.feature_type = TLN_FEATURES_F32;
  options.rows = ROWS;
  options.columns = INPUT;
  options.labels = labels;
  options.copy = 1;
  return loaded_dataset(tln_dataset_create(&options, &dataset), &dataset);
}

static tln_status loaded_network(tln_status status, tln_network **which) {
  if (status == TLN_OK) mix_parameters(*which);
  tln_network_free(*which);
  return status;
}

static tln_status load(const char *name) {
  tln_network *which = NULL;
  return loaded_network(tln_network_load(path(name), NULL, &which), &which);
}

static tln_status load_archive(void) { return load("network.pth"); }
static tln_status load_stream(void) { return load("network.stream.pth"); }
static tln_status load_large(void) { return load("large.pth"); }
static tln_status load_deflated(void) { return load("deflated.pth"); }
static tln_status load_safetensors(void) { return load("network.safetensors"); }

static tln_status load_memory(void) {
  static char bytes[1 << 20];
  static size_t count;
  if (!count) count = file_contents("network.pth", bytes);
  tln_network *which = NULL;
  return loaded_network(tln_network_load_memory(bytes, count, NULL, &which), &which);
}

static tln_status create_network(void) {
  tln_network *which = NULL;
  return loaded_network(tln_network_create(NULL, &which), &which);
}

static tln_status create_trainer(void) {
  tln_trainer *which = NULL;
  const tln_status status = tln_trainer_create(network, NULL, &which);
  tln_trainer_free(which);
  return status;
}

static tln_status fit(void) {
  const tln_status status = tln_trainer_fit(trainer, data, 1, NULL, NULL);
  if (status == TLN_OK) mix_parameters(network);
  return status;
}

static int32_t no_news(const tln_progress *progress, void *user_data) {
  (void)progress, (void)user_data;
  return 0;
}

static tln_status fit_with_callback(void) {
  const tln_status status = tln_trainer_fit(trainer, data, 1, no_news, NULL);
  if (status == TLN_OK) mix_parameters(network);
  return status;
}

static tln_status step(void) {
  float loss = 0;
  const tln_status status = tln_trainer_step(trainer, features, labels, ROWS, &loss);
  mix(&loss, sizeof loss);
  if (status == TLN_OK) mix_parameters(network);
  return status;
}

static tln_status evaluate(void) {
  tln_evaluation evaluation = {sizeof evaluation, 0, 0, 0, 0};
  const tln_status status = tln_network_evaluate(network, data, &evaluation);
  mix(&evaluation, sizeof evaluation);
  return status;
}

static tln_status predict(void) {
  tln_status status = tln_network_predict(network, features, ROWS, predicted);
  mix(predicted, sizeof predicted);
  if (status == TLN_OK) status = tln_network_probabilities(network, features, ROWS, values);
  mix(values, ROWS * 10 * 4);
  return status;
}

static tln_status describe(void) {
  tln_device_info info = {.struct_size = sizeof info};
  const tln_status status = tln_device_describe(TLN_DEVICE_AUTO, &info);
  mix(&info, sizeof info);
  return status;
}

static tln_status save_archive(void) { return tln_network_save(network, path("saved/file.pth")); }
static tln_status save_safetensors(void) { return tln_network_save(network, path("saved/file.safetensors")); }
static tln_status save_trainer(void) { return tln_trainer_save(trainer, path("saved/file.pth")); }
static tln_status save_link(void) { return tln_network_save(network, path("saved/link.pth")); }

static tln_status load_trainer(void) {
  const tln_status status = tln_trainer_load(trainer, path("trainer.pth"));
  int64_t epochs = 0;
  if (status != TLN_OK) return status;
  if (tln_trainer_get_position(trainer, &epochs, NULL)) fail("position", -1);
  mix(&epochs, sizeof epochs);
  mix_parameters(network);
  return status;
}

typedef struct {
  const char *name;
  tln_status (*act)(void);
  int threads;      /* of the network */
  const char *file; /* what it writes */
} scenario;

static const scenario scenarios[] = {
    {"open_raw", open_raw, 1, NULL},
    {"open_gzip", open_gzip, 1, NULL},
    {"create_dataset", create_dataset, 1, NULL},
    {"load_archive", load_archive, 1, NULL},
    {"load_stream", load_stream, 1, NULL},
    {"load_deflated", load_deflated, 1, NULL},
    {"load_large", load_large, 1, NULL},
    {"load_safetensors", load_safetensors, 1, NULL},
    {"load_memory", load_memory, 1, NULL},
    {"create_network", create_network, 1, NULL},
    {"create_trainer", create_trainer, 1, NULL},
    {"fit", fit, 1, NULL},
    {"fit_two_threads", fit, 2, NULL},
    {"fit_with_callback", fit_with_callback, 2, NULL},
    {"step", step, 2, NULL},
    {"evaluate", evaluate, 2, NULL},
    {"predict", predict, 2, NULL},
    {"describe", describe, 1, NULL},
    {"save_archive", save_archive, 1, "saved/file.pth"},
    {"save_safetensors", save_safetensors, 1, "saved/file.safetensors"},
    {"save_trainer", save_trainer, 1, "saved/file.pth"},
    {"save_link", save_link, 1, "saved/file.pth"},
    {"load_trainer", load_trainer, 1, NULL},
};

/* --------------------------------------------------------------- the runs */

static void set_up(const scenario *which) {
  for (int i = 0; i < ROWS * INPUT; i++) features[i] = (float)((i * 7919u) % 256) / 255;
  for (int i = 0; i < ROWS; i++) labels[i] = i % 10;
  tln_dataset_options set;
  tln_dataset_options_init(&set);
  set.features = features;
  set.feature_type = TLN_FEATURES_F32;
  set.rows = ROWS;
  set.columns = INPUT;
  set.labels = labels;
  tln_network_options options;
  tln_network_options_init(&options);
  options.threads = which->threads;
  options.device = TLN_DEVICE_CPU;
  if (tln_dataset_create(&set, &data) || tln_network_create(&options, &network) ||
      tln_trainer_create(network, NULL, &trainer))
    fail("set up", -1);
  if (which->file) {
    FILE *file = fopen(path(which->file), "wb");
    if (!file || fputs("the old file", file) < 0 || fclose(file)) fail("old file", -1);
  }
}

static void tear_down(void) {
  tln_trainer_free(trainer);
  tln_network_free(network);
  tln_dataset_free(data);
}

static int open_files(void) {
  int count = 0;
  for (int file = 0; file < 256; file++) count += fcntl(file, F_GETFD) != -1;
  return count;
}

/* Removes temporary files, and says how many there were. */
static int leftovers(void) {
  DIR *files = opendir(path("saved"));
  int count = 0;
  for (struct dirent *entry; files && (entry = readdir(files));)
    if (strstr(entry->d_name, ".tmp")) {
      count++;
      char name[512];
      snprintf(name, sizeof name, "saved/%s", entry->d_name);
      remove(path(name));
    }
  if (files) closedir(files);
  return count;
}

static tln_status run(const scenario *which, uint64_t *out) {
  result = 0xcbf29ce484222325u;
  const tln_status status = which->act();
  *out = result;
  return status;
}

static void mix_file(const scenario *which, uint64_t *out) {
  if (!which->file) return;
  result = *out;
  mix(buffer, file_contents(which->file, buffer));
  *out = result;
}

int main(int argc, char **argv) {
  if (argc < 5) return 64;
  const long stride = argc > 5 ? atol(argv[5]) : 1;
  directory = argv[1];
  const int kinds = atoi(argv[3]);
  const fault_manner manner = (fault_manner)atoi(argv[4]);
  const scenario *which = scenarios;
  if (!strcmp(argv[2], "prepare")) {
    /* The file that load_trainer reads. */
    set_up(which);
    return fit() || tln_trainer_save(trainer, path("trainer.pth"));
  }
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    if (!strcmp(scenarios[i].name, argv[2])) which = &scenarios[i];
  if (strcmp(which->name, argv[2])) return 64;

  uint64_t expected = 0, own = 0;
  set_up(which);
  if (run(which, &expected)) fail("without faults", -1);
  mix_file(which, &expected);
  tear_down();
  const long live = faults_live_allocations();
  const int files = open_files();

  long place = 0, failed = 0, succeeded = 0;
  for (; place < PLACES; place += stride) {
    set_up(which);
    faults_arm(kinds, manner, place);
    const tln_status status = run(which, &own);
    if (!faults_disarm()) {
      tear_down();
      break;
    }
    if (status != TLN_OK && !tln_last_error()[0]) fail("no message", place);
    if (status < TLN_OK || status >= TLN_INTERNAL) fail("a status that makes no sense", place);
    if (manner >= FAULT_INTERRUPT && status != TLN_OK) fail("an interrupted or short call is no error", place);
    if (leftovers() && manner != FAULT_FROM_THEN_ON) fail("a temporary file is left", place);
    if (status == TLN_OK) {
      succeeded++;
    } else {
      failed++;
      if (which->file && (file_contents(which->file, old_bytes) != 12 || memcmp(old_bytes, "the old file", 12)))
        fail("the old file is gone", place);
      if (run(which, &own)) fail("fails without a fault", place);
    }
    mix_file(which, &own);
    if (own != expected) fail("another result", place);
    tear_down();
    if (faults_live_allocations() > live) fail("a leak of memory", place);
    if (open_files() != files) fail("a leak of a file", place);
  }
  printf("%ld places, %ld errors, %ld successes\n", place / stride, failed, succeeded);
  return place >= PLACES;
}
