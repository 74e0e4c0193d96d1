/*
 * What a GPU kernel is given: one struct by value, the same for all kernels of a step. Also the state of
 * a run of steps, which lies in the device's memory and is what recorded launches can differ in.
 *
 * Read by Swift (addresses are numbers), CUDA, Metal (pointers) and the tests' emulator (checked ones).
 * There is no padding, so that all of them lay it out alike.
 */
#ifndef TLN_GPU_STEP_H
#define TLN_GPU_STEP_H

#if defined(__METAL_VERSION__)
typedef long tlng_int;
typedef unsigned long tlng_word;
#define TLNG_ADDRESS(type) device type *
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
typedef long long tlng_int;
typedef unsigned long long tlng_word;
#define TLNG_ADDRESS(type) type *
#else
#include <stdint.h>
typedef int64_t tlng_int;
typedef uint64_t tlng_word;
#ifndef TLNG_ADDRESS
#define TLNG_ADDRESS(type) uint64_t
#endif
#endif

/* Threads in a group, of every kernel. */
#define TLNG_THREADS 256

/* Products that are left to the kernels of large networks, and the biases that their update takes along; in
 * tlng_step.tiled. */
#define TLNG_LOGITS 1
#define TLNG_HIDDEN_GRADIENT 2
#define TLNG_W1 4
#define TLNG_W2 8
#define TLNG_BIASES 16

/* Where a run of steps stands. The host writes it before the first; a step whose loss is not finite does
 * not count, so that what was issued after it repeats it and comes to the same end. */
typedef struct tlng_state {
  unsigned begun; /* steps, the current one included; written by the first kernel of a step */
  unsigned ended; /* steps; written by the last */
  /* the optimiser; `first` says that there was no momentum before the run */
  float minus_learning_rate, momentum, one_minus_dampening, weight_decay;
  int first, nesterov, maximize, has_momentum;
} tlng_state;

/* Everything a training step or a pass of inference works on; what a kernel does not use may be 0.
 *
 *   x            [..][x_stride bytes]  features, bytes or floats; x_stride is a multiple of 4
 *   order        [..]                  which row of x and labels each row of the run's batches is; with
 *                                      null, row r is row r
 *   w1, v1       [inputs][hidden]      layers.0.weight transposed, and its momentum
 *   b1, vb1      [hidden]
 *   w2, v2       [outputs][hidden]
 *   b2, vb2      [outputs]
 *   h            [rows][hidden]        hidden units after ReLU
 *   logits       [rows][outputs]
 *   d_logits     [rows][outputs]
 *   d_h          [rows][hidden]
 *   target       [rows]                log-probability of each row's label
 *   predicted    [rows]                index of each row's largest logit; in inference only
 *   losses       [steps of the run]
 *   words        [tlng_layout.words]    mail between the groups of a resident run, 0 at its begin
 */
typedef struct tlng_step {
  tlng_int rows;       /* in these arrays */
  tlng_int first_row;  /* the place of their first in the batch; 0 in training */
  tlng_int batch;      /* rows in the batch, on which the order of sums depends */
  tlng_int batch_size; /* of the run: step s begins at order[s * batch_size] */
  tlng_int only_step;  /* the number of the only step that these arguments are for, or -1 */
  tlng_int inputs, hidden, outputs;
  tlng_int x_stride;
  tlng_int is_bytes;
  tlng_int tiled; /* TLNG_LOGITS ... */
  tlng_int steps, units, batches; /* of a resident run; see layout.h */
  TLNG_ADDRESS(const unsigned char) x;
  TLNG_ADDRESS(const int) labels; /* null: only logits are wanted */
  TLNG_ADDRESS(const unsigned) order;
  TLNG_ADDRESS(float) w1;
  TLNG_ADDRESS(float) b1;
  TLNG_ADDRESS(float) w2;
  TLNG_ADDRESS(float) b2;
  TLNG_ADDRESS(float) v1;
  TLNG_ADDRESS(float) vb1;
  TLNG_ADDRESS(float) v2;
  TLNG_ADDRESS(float) vb2;
  TLNG_ADDRESS(float) h;
  TLNG_ADDRESS(float) logits;
  TLNG_ADDRESS(float) d_logits;
  TLNG_ADDRESS(float) d_h;
  TLNG_ADDRESS(float) target;
  TLNG_ADDRESS(int) predicted;
  TLNG_ADDRESS(float) losses;
  TLNG_ADDRESS(tlng_state) state; /* null in inference */
  TLNG_ADDRESS(tlng_word) words;
} tlng_step;

#endif
