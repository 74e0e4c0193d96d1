/* Memory runs out for many threads at once, all of them inside calls:
 *     together DIRECTORY THREADS
 * Every call ends with TLN_OK or an error and its message, and when there is memory again all succeed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <twolayernet.h>
#include <unistd.h>

#include "faults.h"

enum { ROUNDS = 12, CALLS = 4, MOST_THREADS = 64 };

static const char *directory;
static pthread_barrier_t begin, end;
static atomic_long failed, succeeded;

typedef struct {
  pthread_t thread;
  tln_network *network;
  tln_trainer *trainer;
  char path[4096];
} worker;

static void expect(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "%s: %s\n", what, tln_last_error());
  _exit(1);
}

static void count(tln_status status) {
  if (status == TLN_OK) {
    succeeded++;
    return;
  }
  failed++;
  expect(status == TLN_OUT_OF_MEMORY && tln_last_error()[0], "a status that makes no sense");
}

static void *work(void *context) {
  worker *own = context;
  tln_network *loaded = NULL;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&begin);
    for (int call = 0; call < CALLS; call++) {
      count(tln_trainer_save(own->trainer, own->path));
      count(tln_network_load(own->path, NULL, &loaded));
      tln_network_free(loaded);
      count(tln_network_create(NULL, &loaded));
      tln_network_free(loaded);
    }
    pthread_barrier_wait(&end);
    pthread_barrier_wait(&end); /* now there is memory again */
  }
  expect(tln_trainer_save(own->trainer, own->path) == TLN_OK, "saving, with memory");
  expect(tln_network_load(own->path, NULL, &loaded) == TLN_OK, "loading, with memory");
  tln_network_free(loaded);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) return 64;
  directory = argv[1];
  const int threads = atoi(argv[2]);
  if (threads > MOST_THREADS) return 64;
  static worker workers[MOST_THREADS];
  pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
  pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
  for (int i = 0; i < threads; i++) {
    worker *own = &workers[i];
    snprintf(own->path, sizeof own->path, "%s/%d.pth", directory, i);
    tln_network_options options;
    tln_network_options_init(&options);
    options.device = TLN_DEVICE_CPU;
    expect(tln_network_create(&options, &own->network) == TLN_OK, "create");
    expect(tln_trainer_create(own->network, NULL, &own->trainer) == TLN_OK, "create");
    expect(tln_trainer_save(own->trainer, own->path) == TLN_OK, "save");
    expect(pthread_create(&own->thread, NULL, work, own) == 0, "a thread");
  }
  for (int round = 0; round < ROUNDS; round++) {
    /* From later and later on, so that memory runs out in the middle of everything. */
    faults_arm(FAULT_ALLOCATIONS, FAULT_FROM_THEN_ON, 4L * round * round * threads);
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    faults_disarm();
    pthread_barrier_wait(&end);
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(workers[i].thread, NULL);
    tln_trainer_free(workers[i].trainer);
    tln_network_free(workers[i].network);
  }
  printf("%ld errors, %ld successes\n", (long)failed, (long)succeeded);
  return failed == 0 || succeeded == 0;
}
