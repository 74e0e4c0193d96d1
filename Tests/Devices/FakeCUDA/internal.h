/* What the parts of the imaginary driver share.
 *
 * A libcuda.so.1 for tests: the calls that the library makes, over emulated devices (Tests/TestSupport/
 * Emulator), with a chosen one of them failing. It is strict where NVIDIA's is lenient: a call that no correct
 * program makes (without a context, on a handle that is gone, outside of an allocation) ends the process with
 * a sentence.
 *
 * Programs control it by fake_cuda_...; for those that don't know it there is the environment:
 *   FAKE_CUDA_DEVICES=n, FAKE_CUDA_VERSION=11040, FAKE_CUDA_MAJOR=5 (compute capability)
 *   FAKE_CUDA_MEMORY=bytes, FAKE_CUDA_SHUFFLE=0...255 (emulator.h), FAKE_CUDA_PTX=file to write the PTX to
 *   FAKE_CUDA_FAIL=name:n:error   the n-th call (from 1) of this function fails with this error */
#ifndef FAKE_CUDA_INTERNAL_H
#define FAKE_CUDA_INTERNAL_H

#define _GNU_SOURCE
#include "../../../Sources/CGPUKernels/step.h"
#include "emulator.h"
#include "fake_cuda.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Held during every call: several threads may use networks of their own at once. */
pthread_mutex_t *lock(void);
void unlock(pthread_mutex_t **locked);
#define LOCKED pthread_mutex_t *locked __attribute__((cleanup(unlock), unused)) = lock()

__attribute__((noreturn, format(printf, 1, 2))) void misuse(const char *format, ...);
/* A number from the environment. */
long setting(const char *name, long usual);

/* The error that this call has to return; whether there was one since the last fake_cuda_arm. */
int fails(const char *name);
extern int happened;
/* The same for all calls but the first, which initialises. */
int error_of(const char *name);

/* Begins a call, which has no effect if it fails. */
#define CALL(name)                    \
  LOCKED;                             \
  do {                                \
    const int error = error_of(name); \
    if (error) return error;          \
  } while (0)

/* Begins a call that gives something back, also if it fails: its error is that of work issued before. */
#define CALL_GIVING_BACK(name) \
  LOCKED;                      \
  const int error = error_of(name)

typedef enum { CONTEXT = 1, STREAM, MODULE, FUNCTION, GRAPH, NODE, EXECUTABLE, MEMORY } kind;

typedef struct object {
  kind kind;
  struct object *owner, *next;
  int device, references;
  tlne_device *emulator;   /* of a context */
  char *text;              /* of a module; a function's name */
  void *arguments;         /* of a node */
  uint64_t address;        /* of memory */
  size_t bytes;
  unsigned groups;
  unsigned shared_limit;   /* of a function */
  struct object *before;   /* of a node */
} object;

enum { device_limit = 16, depth_limit = 16 };
extern object *objects;
extern object *primary[device_limit];
/* The contexts that this thread has pushed. */
extern __thread object *current[depth_limit];
extern __thread int depth;

object *add(kind kind, object *owner);
object *find(const void *handle, kind kind, const char *call);
void drop(object *gone);
/* What goes with its owner. */
void drop_owned(object *owner, kind kind);
/* All that is in a context. */
void drop_contents(object *context);
/* The one of this thread. */
object *context(const char *call);
/* A handle that belongs to it. */
object *mine(const void *handle, kind kind, const char *call);

#pragma GCC visibility pop
#endif
