/* One part of a fixed short run on one thread, whose instructions are counted (see instructions.py).
 * Usage: fixed_run PART FILE, where FILE may be written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <twolayernet.h>

enum { ROWS = 1000, COLUMNS = 784, OUTPUTS = 10 };

static uint8_t bytes[ROWS * COLUMNS], labels[ROWS];
static float floats[ROWS * COLUMNS];

static void check(tln_status status) {
  if (status == TLN_OK) return;
  fprintf(stderr, "%s\n", tln_last_error());
  exit(1);
}

/* The same numbers everywhere: a linear congruential generator. */
static uint32_t draw(void) {
  static uint32_t state = 1;
  state = state * 1664525 + 1013904223;
  return state >> 8;
}

/* A fifth of the bytes is not zero, in runs as in images of digits; no float is zero. */
static void make_data(void) {
  for (int row = 0; row < ROWS; row++) {
    labels[row] = draw() % OUTPUTS;
    for (int column = 0; column < COLUMNS; column += 7)
      if (draw() % 5 == 0)
        for (int i = 0; i < 7; i++) bytes[row * COLUMNS + column + i] = 1 + draw() % 255;
  }
  for (int i = 0; i < ROWS * COLUMNS; i++) floats[i] = (draw() % 2000 + 0.5f) / 1000 - 1;
}

static tln_dataset *dataset(const void *features, int32_t type) {
  tln_dataset_options options;
  tln_dataset *data = NULL;
  tln_dataset_options_init(&options);
  options.features = features;
  options.feature_type = type;
  options.rows = ROWS;
  options.columns = COLUMNS;
  options.labels = labels;
  options.label_type = TLN_LABELS_U8;
  check(tln_dataset_create(&options, &data));
  return data;
}

static tln_network *network(int64_t hidden) {
  tln_network_options options;
  tln_network *made = NULL;
  tln_network_options_init(&options);
  options.hidden_size = hidden;
  options.device = TLN_DEVICE_CPU;
  options.threads = 1;
  check(tln_network_create(&options, &made));
  return made;
}

static void train(int64_t hidden, int64_t batch, tln_dataset *data) {
  tln_trainer_options options;
  tln_trainer *trainer = NULL;
  tln_trainer_options_init(&options);
  options.batch_size = batch;
  options.learning_rate = 0.01;
  check(tln_trainer_create(network(hidden), &options, &trainer));
  check(tln_trainer_fit(trainer, data, 1, NULL, NULL));
}

int main(int argc, char **argv) {
  if (argc != 3) return 64;
  const char *part = argv[1], *path = argv[2];
  int64_t predicted[ROWS];
  make_data();
  if (!strcmp(part, "create")) {
    network(100);
  } else if (!strcmp(part, "train_sparse_bytes")) {
    train(100, 100, dataset(bytes, TLN_FEATURES_U8));
  } else if (!strcmp(part, "train_dense_floats")) {
    train(100, 100, dataset(floats, TLN_FEATURES_F32));
  } else if (!strcmp(part, "train_wide")) {
    train(256, 250, dataset(floats, TLN_FEATURES_F32));
  } else if (!strcmp(part, "step")) {
    tln_trainer *trainer = NULL;
    int64_t classes[100];
    for (int i = 0; i < 100; i++) classes[i] = labels[i];
    check(tln_trainer_create(network(100), NULL, &trainer));
    for (int i = 0; i < 5; i++) check(tln_trainer_step(trainer, floats, classes, 100, NULL));
  } else if (!strcmp(part, "evaluate")) {
    tln_evaluation evaluation = {sizeof evaluation, 0, 0, 0, 0};
    check(tln_network_evaluate(network(100), dataset(bytes, TLN_FEATURES_U8), &evaluation));
  } else if (!strcmp(part, "predict_sparse")) {
    for (int i = 0; i < COLUMNS; i++) floats[i] = bytes[i] / 255.0f;
    tln_network *net = network(100);
    for (int i = 0; i < 100; i++) check(tln_network_predict(net, floats, 1, predicted));
  } else if (!strcmp(part, "predict_dense")) {
    tln_network *net = network(100);
    for (int i = 0; i < 100; i++) check(tln_network_predict(net, floats, 1, predicted));
  } else if (!strcmp(part, "save")) {
    check(tln_network_save(network(100), path));
  } else if (!strcmp(part, "load")) {
    tln_network *loaded = NULL;
    check(tln_network_save(network(100), path));
    check(tln_network_load(path, NULL, &loaded));
  } else {
    return 64;
  }
  return 0;
}
