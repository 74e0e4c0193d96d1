/* What tests can say to and ask of the imaginary driver in fake_cuda.c. */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

enum {
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE = 720
};

/* Counts calls from 0; this one fails with this error, or it and all after it. */
void fake_cuda_arm(long call, int error, int for_ever);
/* The function that failed, or NULL if none did. */
const char *fake_cuda_disarm(void);

/* How often this function has been called. */
long fake_cuda_count(const char *name);

/* Contexts, streams, modules, graphs and pieces of memory that have not been given back. */
long fake_cuda_live(void);
long fake_cuda_live_bytes(void);
/* Drops what is in contexts that are left. */
void fake_cuda_forget(void);
/* Contexts that this thread has pushed and not popped. */
int fake_cuda_depth(void);

#endif
