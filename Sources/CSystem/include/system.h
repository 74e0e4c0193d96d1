/*
 * The C that the engine stands on: libc, libm, pthreads and zlib, plus the few lines that Swift
 * cannot say. Not part of the public interface. What is here is declared elsewhere or one line long.
 */
#ifndef TLN_SYSTEM_H
#define TLN_SYSTEM_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* The text behind tln_last_error: `tlns_message_capacity` bytes of this thread's own, given back with it.
 * NULL before the thread has made one; making one fails, with NULL, if a thousand threads have one. */
enum { tlns_message_capacity = 1024 };
char *tlns_thread_message(void);
char *tlns_make_thread_message(void);

/* What tln_last_error returns; never NULL. */
const char *tlns_last_message(void);

/* Memory for numbers, freed with free; NULL if there is none. `alignment` is a power of two. */
void *tlns_allocate(size_t alignment, size_t bytes);

/* Whether so much memory can be had at this moment. */
int tlns_has_memory(size_t bytes);

/* Whether the reserve for the Swift runtime's objects has been used so much that a call has to fail. */
int tlns_reserve_is_low(void);

/* errno is a macro, which Swift does not import in every mode. */
static inline int tlns_errno(void) { return errno; }

/* A mutex that its owner may lock again. The constant is an enumerator here and a macro there. */
static inline void tlns_recursive_mutex_init(pthread_mutex_t *mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

/* open is variadic. On some file systems a signal can interrupt it. */
static inline int tlns_open(const char *path, int flags, unsigned mode) {
  int descriptor;
  do descriptor = open(path, flags, (mode_t)mode);
  while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

/* Opens a device or a pipe for writing. A pipe that nobody reads is an error, not a reason to wait. */
static inline int tlns_open_device(const char *path) {
  const int descriptor = tlns_open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (descriptor >= 0) fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
  return descriptor;
}

/* What errno `code` means, as text of the caller's, without touching anything shared. */
void tlns_error_text(int code, char *out_text, size_t capacity);

/* S_ISREG and S_ISDIR are macros. */
static inline int tlns_is_regular(const struct stat *status) { return S_ISREG(status->st_mode); }
static inline int tlns_is_directory(const struct stat *status) { return S_ISDIR(status->st_mode); }

/* A library of the system's, by its name, and its functions; it stays in the process. NULL with the reason in
 * *out_reason, which stays valid until this thread's next call. */
void *tlns_open_library(const char *name, const char **out_reason);
void *tlns_find_function(void *library, const char *name);

/* How many processors this thread may run on; at least 1. */
int tlns_available_processors(void);

/* The processor's instruction set, as far as the engine has kernels for it. */
enum { tlns_isa_baseline = 0, tlns_isa_avx2 = 1, tlns_isa_avx512 = 2, tlns_isa_neon = 3 };
int tlns_instruction_set(void);

/* Whether the processor's units take half a vector of AVX-512 at a time: Zen 4, AMD's family 19h. (x86-64) */
bool tlns_halves_avx512(void);

/* The processor's name from CPUID or the system; at most `capacity` bytes with the NUL. */
void tlns_processor_name(char *out_name, size_t capacity);

/* A hint to the processor that this thread is spinning. */
static inline void tlns_spin_hint(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

#endif
