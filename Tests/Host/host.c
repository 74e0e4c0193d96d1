/* A host program with many threads, forks and signals around the library.
 *     host COMMAND COUNT [PATH]
 * Silent success; any surprise ends it with a sentence and exit code 1. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "host.h"

/* ---------------------------------------------------------------- threads */

typedef struct {
  pthread_t thread;
  int number;
  tln_dataset *dataset;
  tln_network *network;
  tln_trainer *trainer;
  uint64_t hash;
} worker;

static void *train_one(void *context) {
  worker *own = context;
  own->hash = train(own->dataset, (uint64_t)own->number, 1 + own->number % 3);
  return NULL;
}

/* Many networks at once, on threads with little stack: each comes to what it comes to alone. */
static void train_together(int count) {
  tln_dataset *dataset = make_dataset();
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  worker workers[64];
  EXPECT(count <= 64);
  for (int i = 0; i < count; i++) {
    workers[i] = (worker){.number = i, .dataset = dataset};
    EXPECT(pthread_create(&workers[i].thread, &small, train_one, &workers[i]) == 0);
  }
  for (int i = 0; i < count; i++) pthread_join(workers[i].thread, NULL);
  for (int i = 0; i < count; i++) EXPECT(train(dataset, (uint64_t)i, 1) == workers[i].hash);
  tln_dataset_free(dataset);
}

enum { BATCH = 64 };
static float expected_logits[ROWS][BATCH * OUTPUT];
static tln_evaluation expected_evaluation;

static void *predict_many_times(void *context) {
  worker *own = context;
  float logits[BATCH * OUTPUT];
  for (int i = 0; i < 30; i++) {
    const int first = (i * 37 + own->number * 61) % (ROWS - BATCH);
    OK(tln_network_logits(own->network, features + first * INPUT, BATCH, logits));
    EXPECT(memcmp(logits, expected_logits[first], sizeof logits) == 0);
    tln_evaluation evaluation = {.struct_size = sizeof evaluation};
    OK(tln_network_evaluate(own->network, own->dataset, &evaluation));
    EXPECT(memcmp(&evaluation, &expected_evaluation, sizeof evaluation) == 0);
    int64_t label;
    OK(tln_network_predict(own->network, features + first * INPUT, 1, &label));
    EXPECT(label >= 0 && label < OUTPUT);
    for (int o = 0; o < OUTPUT; o++) EXPECT(logits[label] >= logits[o] - 1e-5f);
  }
  return NULL;
}

/* One network, asked from many threads. */
static void predict_together(int count) {
  tln_dataset *dataset = make_dataset();
  tln_network *network = make_network(INPUT, HIDDEN, OUTPUT, 1, 2);
  for (int row = 0; row <= ROWS - BATCH; row++)
    OK(tln_network_logits(network, features + row * INPUT, BATCH, expected_logits[row]));
  expected_evaluation.struct_size = sizeof expected_evaluation;
  OK(tln_network_evaluate(network, dataset, &expected_evaluation));
  worker workers[64];
  EXPECT(count <= 64);
  for (int i = 0; i < count; i++) {
    workers[i] = (worker){.number = i, .dataset = dataset, .network = network};
    EXPECT(pthread_create(&workers[i].thread, NULL, predict_many_times, &workers[i]) == 0);
  }
  for (int i = 0; i < count; i++) pthread_join(workers[i].thread, NULL);
  tln_network_free(network);
  tln_dataset_free(dataset);
}

/* Watches the training for 20 ms: its position never goes back. */
static void *cancel_soon(void *context) {
  worker *own = context;
  const int64_t steps_per_epoch = ROWS / 100; /* the default batch */
  int64_t last = 0;
  for (int i = 0; i < 200; i++) {
    int64_t epochs, steps;
    OK(tln_trainer_get_position(own->trainer, &epochs, &steps));
    EXPECT(steps >= 0 && steps < steps_per_epoch);
    EXPECT(epochs * steps_per_epoch + steps >= last);
    last = epochs * steps_per_epoch + steps;
    usleep(100);
  }
  tln_trainer_cancel(own->trainer);
  return NULL;
}

static void cancel(int count) {
  tln_dataset *dataset = make_dataset();
  tln_network *network = make_network(INPUT, HIDDEN, OUTPUT, 0, 2);
  worker own = {.trainer = make_trainer(network)};
  for (int i = 0; i < count; i++) {
    EXPECT(pthread_create(&own.thread, NULL, cancel_soon, &own) == 0);
    EXPECT(tln_trainer_fit(own.trainer, dataset, INT64_MAX / 2, NULL, NULL) == TLN_CANCELLED);
    EXPECT(tln_last_error()[0]);
    pthread_join(own.thread, NULL);
    /* Usable: an epoch can be finished, and another cancellation waits for the next call. */
    OK(tln_trainer_fit(own.trainer, dataset, 1, NULL, NULL));
    int64_t before, after;
    OK(tln_trainer_get_position(own.trainer, &before, NULL));
    tln_trainer_cancel(own.trainer);
    EXPECT(tln_trainer_fit(own.trainer, dataset, 1, NULL, NULL) == TLN_CANCELLED);
    OK(tln_trainer_get_position(own.trainer, &after, NULL));
    EXPECT(before == after);
  }
  tln_trainer_free(own.trainer);
  tln_network_free(network);
  tln_dataset_free(dataset);
}

static void *make_an_error(void *context) {
  worker *own = context;
  char name[64];
  snprintf(name, sizeof name, "/nowhere/%d.pth", own->number);
  tln_network *network = (tln_network *)own;
  EXPECT(tln_network_load(name, NULL, &network) == TLN_IO_ERROR && network == NULL);
  EXPECT(strstr(tln_last_error(), name) || strstr(tln_last_error(), "no room"));
  const tln_network_options wrong = {.struct_size = 3};
  EXPECT(tln_network_create(&wrong, &network) == TLN_INVALID_ARGUMENT);
  EXPECT(strstr(tln_last_error(), "struct_size") || strstr(tln_last_error(), "no room"));
  own->hash = strstr(tln_last_error(), "struct_size") != NULL;
  pthread_barrier_wait((pthread_barrier_t *)own->network);
  return NULL;
}

/* Each thread has its own message, far more threads at a time than there is room for included. */
static void errors_together(int count) {
  worker *workers = calloc((size_t)count, sizeof *workers);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 << 10);
  for (int round = 0; round < 2; round++) {
    int kept = 0;
    pthread_barrier_t everyone;
    pthread_barrier_init(&everyone, NULL, (unsigned)count);
    for (int i = 0; i < count; i++) {
      workers[i] = (worker){.number = i, .network = (tln_network *)&everyone};
      EXPECT(pthread_create(&workers[i].thread, &small, make_an_error, &workers[i]) == 0);
    }
    for (int i = 0; i < count; i++) {
      pthread_join(workers[i].thread, NULL);
      kept += workers[i].hash != 0;
    }
    /* A thousand have theirs, also the second time: the first ones have given theirs back. */
    EXPECT(kept == (count < 1024 ? count : 1024));
    pthread_barrier_destroy(&everyone);
  }
  free(workers);
}

/* ------------------------------------------------------------------- fork */

static void expect_child(pid_t child) {
  int status;
  EXPECT(child > 0 && waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static atomic_int is_over;

static void *train_until_over(void *context) {
  worker *own = context;
  while (!is_over) OK(tln_trainer_fit(own->trainer, own->dataset, 1, NULL, NULL));
  return NULL;
}

static void fork_and_go_on(int count) {
  pid_t child = fork(); /* before the library was used */
  if (child == 0) {
    alarm(30);
    train(make_dataset(), 1, 2);
    _exit(0);
  }
  expect_child(child);

  tln_dataset *dataset = make_dataset();
  const uint64_t expected = train(dataset, 3, 2);
  tln_network *network = make_network(INPUT, HIDDEN, OUTPUT, 3, 2);
  tln_trainer *trainer = make_trainer(network);
  OK(tln_trainer_fit(trainer, dataset, 1, NULL, NULL));
  for (int i = 0; i < count; i++) {
    /* After use: the child has the handles but not the threads, which sleep by now. */
    usleep(2000);
    if ((child = fork()) == 0) {
      alarm(30);
      if (i % 3 == 0) OK(tln_trainer_fit(trainer, dataset, 1, NULL, NULL));
      if (i % 3 == 0) EXPECT(fingerprint(network) == expected);
      if (i % 3 == 1) EXPECT(train(dataset, 3, 2) == expected);
      tln_trainer_free(trainer);
      tln_network_free(network);
      _exit(0);
    }
    expect_child(child);
  }
  OK(tln_trainer_fit(trainer, dataset, 1, NULL, NULL));
  EXPECT(fingerprint(network) == expected);

  /* During use by another thread: the child keeps its hands off that thread's objects. */
  worker own = {.dataset = dataset, .trainer = trainer};
  EXPECT(pthread_create(&own.thread, NULL, train_until_over, &own) == 0);
  for (int i = 0; i < count; i++) {
    usleep(1000 * (i % 7));
    if ((child = fork()) == 0) {
      alarm(30);
      EXPECT(train(dataset, 3, 2) == expected);
      tln_network *none;
      EXPECT(tln_network_load("/nowhere", NULL, &none) == TLN_IO_ERROR && tln_last_error()[0]);
      _exit(0);
    }
    expect_child(child);
  }
  is_over = 1;
  pthread_join(own.thread, NULL);
  tln_trainer_free(trainer);
  tln_network_free(network);
  tln_dataset_free(dataset);
}

/* ---------------------------------------------------------------- signals */

static pthread_t main_thread;
static atomic_int signals_seen, signals_elsewhere;

static void count_signal(int number) {
  (void)number;
  signals_seen++;
  if (!pthread_equal(pthread_self(), main_thread)) signals_elsewhere++;
}

/* A host whose timer interrupts everything, without restarting system calls. */
static void interrupted(const char *path, int count) {
  tln_dataset *dataset = make_dataset();
  const uint64_t expected = train(dataset, 5, 2);
  tln_network *network = make_network(INPUT, HIDDEN, OUTPUT, 5, 2);
  main_thread = pthread_self();
  struct sigaction action = {.sa_handler = count_signal};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval often = {{0, 500}, {0, 500}};
  setitimer(ITIMER_REAL, &often, NULL);
  for (int i = 0; i < count; i++) {
    EXPECT(train(dataset, 5, 2) == expected);
    tln_network *loaded;
    OK(tln_network_save(network, path));
    OK(tln_network_load(path, NULL, &loaded));
    EXPECT(fingerprint(loaded) == fingerprint(network));
    tln_network_free(loaded);
  }
  const struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  EXPECT(signals_seen > 0 && signals_elsewhere == 0);
  tln_network_free(network);
  tln_dataset_free(dataset);
}

int main(int argc, char **argv) {
  if (argc < 3) return 64;
  const char *command = argv[1];
  const int count = atoi(argv[2]);
  if (!strcmp(command, "train_together")) train_together(count);
  else if (!strcmp(command, "predict_together")) predict_together(count);
  else if (!strcmp(command, "cancel")) cancel(count);
  else if (!strcmp(command, "errors_together")) errors_together(count);
  else if (!strcmp(command, "fork")) fork_and_go_on(count);
  else if (!strcmp(command, "interrupted") && argc > 3) interrupted(argv[3], count);
  else return 64;
  return 0;
}
