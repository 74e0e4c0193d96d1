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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* The text behind tln_last_error: `tlns_message_capacity` bytes of this thread's own, freed with it. */
enum { tlns_message_capacity = 1024 };
char *tlns_thread_message(void);

/* errno is a macro, which Swift does not import in every mode. */
static inline int tlns_errno(void) { return errno; }

/* open is variadic. */
static inline int tlns_open(const char *path, int flags, unsigned mode) {
  return open(path, flags, (mode_t)mode);
}

/* What errno `code` means, as text of the caller's, without touching anything shared. */
void tlns_error_text(int code, char *out_text, size_t capacity);

/* S_ISREG and S_ISDIR are macros. */
static inline int tlns_is_regular(const struct stat *status) { return S_ISREG(status->st_mode); }
static inline int tlns_is_directory(const struct stat *status) { return S_ISDIR(status->st_mode); }

/* How many processors this thread may run on; at least 1. */
int tlns_available_processors(void);

/* The processor's instruction set, as far as the engine has kernels for it. */
enum { tlns_isa_baseline = 0, tlns_isa_avx2 = 1, tlns_isa_avx512 = 2, tlns_isa_neon = 3 };
int tlns_instruction_set(void);

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
