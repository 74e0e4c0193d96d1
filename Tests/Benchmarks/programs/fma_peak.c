/* The rate of fused multiply-adds of one core, in GFLOP/s. Compile with -O3 -march=native
 * -ffp-contract=fast: twelve independent chains of the widest vectors that the processor has. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12

typedef float vector __attribute__((vector_size(BYTES)));

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

int main(void) {
  vector sums[CHAINS], factor, summand;
  memset(sums, 0, sizeof sums);
  for (int i = 0; i < (int)(BYTES / sizeof(float)); i++) {
    factor[i] = 0.999999f;
    summand[i] = 1e-6f;
  }
  const long rounds = 10000000;
  double best = 0;
  for (int repeat = 0; repeat < 3; repeat++) {
    double begin = now();
    for (long round = 0; round < rounds; round++)
      for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + summand;
    double rate = rounds * (double)CHAINS * (BYTES / sizeof(float)) * 2 / (now() - begin) / 1e9;
    if (rate > best) best = rate;
  }
  float rest = 0; /* so that the sums are needed */
  for (int i = 0; i < CHAINS; i++) rest += sums[i][0];
  printf("%.3f\n", rest == 0.5f ? 0 : best);
  return 0;
}
