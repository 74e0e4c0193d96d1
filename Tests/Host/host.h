/* What the host programs have in common: data, networks, and a way to fail. */
#ifndef HOST_H
#define HOST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <twolayernet.h>
#include <unistd.h>

enum { INPUT = 784, HIDDEN = 100, OUTPUT = 10, ROWS = 500, COUNT = HIDDEN * INPUT };

static float features[ROWS * INPUT];
static int64_t labels[ROWS];

static void fail(const char *what, int line) {
  fprintf(stderr, "line %d: %s: %s\n", line, what, tln_last_error());
  _exit(1);
}
#define EXPECT(condition) do { if (!(condition)) fail(#condition, __LINE__); } while (0)
#define OK(call) EXPECT((call) == TLN_OK)

static inline tln_dataset *make_dataset(void) {
  for (int i = 0; i < ROWS * INPUT; i++) features[i] = (float)((i * 7919u) % 256) / 255;
  for (int i = 0; i < ROWS; i++) labels[i] = i % OUTPUT;
  tln_dataset_options options;
  tln_dataset_options_init(&options);
  options.features = features;
  options.feature_type = TLN_FEATURES_F32;
  options.rows = ROWS;
  options.columns = INPUT;
  options.labels = labels;
  tln_dataset *dataset;
  OK(tln_dataset_create(&options, &dataset));
  return dataset;
}

static inline tln_network *make_network(int64_t input, int64_t hidden, int64_t output, uint64_t seed, int32_t threads) {
  tln_network_options options;
  tln_network_options_init(&options);
  options.input_size = input;
  options.hidden_size = hidden;
  options.output_size = output;
  options.seed = seed;
  options.threads = threads;
  options.device = TLN_DEVICE_CPU;
  tln_network *network;
  OK(tln_network_create(&options, &network));
  return network;
}

static inline tln_trainer *make_trainer(tln_network *network) {
  tln_trainer *trainer;
  OK(tln_trainer_create(network, NULL, &trainer));
  return trainer;
}

/* FNV-1a over the first layer's weights. */
static inline uint64_t fingerprint(const tln_network *network) {
  float *values = malloc(COUNT * sizeof *values);
  OK(tln_network_get_parameter(network, "layers.0.weight", values, COUNT));
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < COUNT * sizeof *values; i++) hash = (hash ^ ((unsigned char *)values)[i]) * 0x100000001b3u;
  free(values);
  return hash;
}

/* What one training of a network of its own comes to. */
static inline uint64_t train(tln_dataset *dataset, uint64_t seed, int32_t threads) {
  tln_network *network = make_network(INPUT, HIDDEN, OUTPUT, seed, threads);
  tln_trainer *trainer = make_trainer(network);
  OK(tln_trainer_fit(trainer, dataset, 2, NULL, NULL));
  const uint64_t hash = fingerprint(network);
  tln_trainer_free(trainer);
  tln_network_free(network);
  return hash;
}

#endif
