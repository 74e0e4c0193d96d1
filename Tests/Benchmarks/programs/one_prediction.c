/* Predicts one image at a time through the C interface; prints for a sparse and for a dense image the
 * seconds of one prediction and how often it allocated. Usage: one_prediction DIRECTORY */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <twolayernet.h>

/* Every allocation of the process comes through here (glibc). */
static long allocations;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t size) { return allocations++, __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return allocations++, __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return allocations++, __libc_realloc(old, size); }
void *aligned_alloc(size_t alignment, size_t size) { return allocations++, __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
  allocations++;
  return (*out = __libc_memalign(alignment, size)) ? 0 : 12;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

static int measure(tln_network *network, const float *image, const char *name) {
  enum { COUNT = 20000 };
  int64_t label;
  for (int i = 0; i < 100; i++)
    if (tln_network_predict(network, image, 1, &label) != TLN_OK) return 1;
  long before = allocations;
  double begin = now();
  for (int i = 0; i < COUNT; i++)
    if (tln_network_predict(network, image, 1, &label) != TLN_OK) return 1;
  double seconds = (now() - begin) / COUNT;
  printf("%s %.9f %ld\n", name, seconds, allocations - before);
  return 0;
}

int main(int argc, char **argv) {
  tln_dataset *test = NULL;
  tln_network *network = NULL;
  float sparse[784], dense[784];
  tln_status status = tln_dataset_open_mnist(argc > 1 ? argv[1] : "data", 0, &test);
  if (status == TLN_OK) status = tln_network_create(NULL, &network);
  if (status == TLN_OK) status = tln_dataset_read(test, 0, 1, sparse, NULL);
  for (int i = 0; i < 784; i++) dense[i] = 0.001f + (i * 37 % 101) / 100.0f;
  int failed = status != TLN_OK || measure(network, sparse, "sparse") || measure(network, dense, "dense");
  if (failed) fprintf(stderr, "%s\n", tln_last_error());
  tln_network_free(network);
  tln_dataset_free(test);
  return failed;
}
