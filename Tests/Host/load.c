/* A host program that uses the library for long: its memory stays flat and its threads go.
 *     load COMMAND COUNT
 * Silent success, but for idle; any surprise ends it with a sentence and exit code 1. */
#include <malloc.h>

#include "host.h"

static int count_tasks(void) {
  char line[256];
  int count = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) sscanf(line, "Threads: %d", &count);
  if (status) fclose(status);
  return count;
}

static long resident_kilobytes(void) {
  char line[256];
  long count = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) sscanf(line, "VmRSS: %ld", &count);
  if (status) fclose(status);
  return count;
}

/* ------------------------------------------------------------------- load */

static void expect_flat(long begin, const char *what) {
  const long grown = resident_kilobytes() - begin;
  /* The allocator's own caches. */
  if (begin > 0 && grown > 512) {
    fprintf(stderr, "%s: %ld KB more\n", what, grown);
    exit(1);
  }
}

static void steps(int count) {
  tln_network *network = make_network(4, 3, 2, 0, 0);
  tln_trainer *trainer = make_trainer(network);
  const float rows[16] = {1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1, 1};
  const int64_t targets[4] = {0, 1, 0, 1};
  float loss = 0;
  long begin = 0;
  size_t allocated = 0;
  OK(tln_trainer_set_learning_rate(trainer, 0.001));
  for (int i = 0; i < count; i++) {
    OK(tln_trainer_step(trainer, rows, targets, 4, &loss));
    if (i == count / 10) begin = resident_kilobytes(), allocated = mallinfo2().uordblks;
  }
  EXPECT(mallinfo2().uordblks == allocated);
  expect_flat(begin, "steps");
  tln_trainer_free(trainer);
  tln_network_free(network);
}

static void cycles(int count) {
  long begin = 0;
  size_t allocated = 0;
  const float row[16] = {1};
  const int64_t label = 1;
  for (int i = 0; i < count; i++) {
    tln_network *network = make_network(16, 8, 4, (uint64_t)i, 1 + i % 2);
    tln_trainer *trainer = make_trainer(network);
    OK(tln_trainer_step(trainer, row, &label, 1, NULL));
    EXPECT(tln_trainer_step(trainer, row, &label, 0, NULL) == TLN_INVALID_ARGUMENT);
    if (i % 2) tln_trainer_free(trainer);
    tln_network_free(network);
    if (i % 2 == 0) tln_trainer_free(trainer);
    if (i == count / 10) begin = resident_kilobytes(), allocated = mallinfo2().uordblks;
  }
  /* What the allocator keeps at hand for the next object counts as allocated. */
  EXPECT(mallinfo2().uordblks <= allocated + 4096);
  expect_flat(begin, "cycles");
}

/* Threads come with work and go with their network. */
static void many_networks(int count) {
  tln_dataset *dataset = make_dataset();
  tln_network *networks[64];
  tln_trainer *trainers[64];
  EXPECT(count <= 64);
  for (int i = 0; i < count; i++) {
    networks[i] = make_network(INPUT, HIDDEN, OUTPUT, (uint64_t)i, 2);
    trainers[i] = make_trainer(networks[i]);
  }
  EXPECT(count_tasks() == 1);
  for (int i = 0; i < count; i++) OK(tln_trainer_fit(trainers[i], dataset, 2, NULL, NULL));
  EXPECT(count_tasks() == 1 + count);
  for (int i = 0; i < count; i += 7) EXPECT(fingerprint(networks[i]) == train(dataset, (uint64_t)i, 1));
  for (int i = 0; i < count; i++) {
    tln_trainer_free(trainers[i]);
    tln_network_free(networks[i]);
  }
  EXPECT(count_tasks() == 1);
  tln_dataset_free(dataset);
}

/* Prints the bytes that a network of the article's size takes without being used, and with a trainer. */
static void idle(void) {
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  tln_network *network = make_network(INPUT, HIDDEN, OUTPUT, 0, 0);
  const size_t alone = mallinfo2().uordblks + mallinfo2().hblkhd;
  tln_trainer *trainer = make_trainer(network);
  const size_t both = mallinfo2().uordblks + mallinfo2().hblkhd;
  printf("%zu %zu\n", alone - before, both - before);
  tln_trainer_free(trainer);
  tln_network_free(network);
}

int main(int argc, char **argv) {
  if (argc < 3) return 64;
  const char *command = argv[1];
  const int count = atoi(argv[2]);
  if (!strcmp(command, "steps")) steps(count);
  else if (!strcmp(command, "cycles")) cycles(count);
  else if (!strcmp(command, "many_networks")) many_networks(count);
  else if (!strcmp(command, "idle")) idle();
  else return 64;
  return 0;
}
