/* Stands before the C library, linked into a program or preloaded: counts the places where an allocation
 * or a system call could fail, and lets the chosen ones fail. */
#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int armed_kinds, armed_manner, happened;
static atomic_long armed_place, places_seen, live;

void faults_arm(int kinds, fault_manner manner, long place) {
  armed_manner = manner;
  armed_place = place;
  places_seen = 0;
  happened = 0;
  armed_kinds = kinds;
}

int faults_disarm(void) {
  armed_kinds = 0;
  return happened;
}

long faults_live_allocations(void) { return live; }

/* Whether this place is to fail. */
static int fails(int kind) {
  if (!(armed_kinds & kind)) return 0;
  const long place = places_seen++;
  const int hit = armed_manner == FAULT_FROM_THEN_ON ? place >= armed_place : place == armed_place;
  if (hit) happened = 1;
  return hit;
}

/* What a call that fails sets errno to. */
static int reason(int usual) { return armed_manner == FAULT_INTERRUPT ? EINTR : usual; }

/* ------------------------------------------------------------ allocations */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void *counted(void *memory) {
  if (memory) live++;
  return memory;
}

static int no_memory(void) {
  if (!fails(FAULT_ALLOCATIONS)) return 0;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size) { return no_memory() ? NULL : counted(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return no_memory() ? NULL : counted(__libc_calloc(count, size)); }
void *memalign(size_t alignment, size_t size) {
  return no_memory() ? NULL : counted(__libc_memalign(alignment, size));
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (no_memory()) return ENOMEM;
  void *memory = counted(__libc_memalign(alignment, size));
  if (memory) *out = memory;
  return memory ? 0 : ENOMEM;
}

void *realloc(void *old, size_t size) {
  if (no_memory()) return NULL;
  void *memory = __libc_realloc(old, size);
  if (!old && memory) live++;
  if (old && size == 0) live--;
  return memory;
}

void free(void *memory) {
  if (memory) live--;
  __libc_free(memory);
}

/* ----------------------------------------------------------- system calls */

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
  const int kinds = atomic_exchange(&armed_kinds, 0); /* dlsym may allocate */
  void *symbol = dlsym(RTLD_NEXT, name);
  armed_kinds = kinds;
  return symbol;
}

#define FAIL_WITH(code) do { if (fails(FAULT_CALLS)) { errno = reason(code); return -1; } } while (0)
/* For calls that a signal cannot interrupt. */
#define FAIL_UNLESS_INTERRUPTING(code) do { if (armed_manner < FAULT_INTERRUPT) FAIL_WITH(code); } while (0)

int open(const char *path, int flags, ...) {
  if (armed_manner != FAULT_SHORTEN) FAIL_WITH(EMFILE);
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return REAL(openat)(AT_FDCWD, path, flags, mode);
}

#define TRANSFER(name, parameters, arguments, code)             \
  ssize_t name parameters {                                     \
    if (armed_manner == FAULT_SHORTEN) {                        \
      if (size > 1 && fails(FAULT_CALLS)) size /= 2;            \
    } else {                                                    \
      FAIL_WITH(code);                                          \
    }                                                           \
    return REAL(name) arguments;                                \
  }

TRANSFER(read, (int file, void *bytes, size_t size), (file, bytes, size), EIO)
TRANSFER(pread, (int file, void *bytes, size_t size, off_t offset), (file, bytes, size, offset), EIO)
TRANSFER(write, (int file, const void *bytes, size_t size), (file, bytes, size), ENOSPC)
TRANSFER(pwrite, (int file, const void *bytes, size_t size, off_t offset), (file, bytes, size, offset), ENOSPC)

int fsync(int file) {
  if (armed_manner != FAULT_SHORTEN) FAIL_WITH(EIO);
  return REAL(fsync)(file);
}

/* Linux closes the file whatever it answers. */
int close(int file) {
  const int result = REAL(close)(file);
  if (armed_manner != FAULT_SHORTEN) FAIL_WITH(EIO);
  return result;
}

int rename(const char *from, const char *to) {
  FAIL_UNLESS_INTERRUPTING(EXDEV);
  return REAL(rename)(from, to);
}

int unlink(const char *path) {
  FAIL_UNLESS_INTERRUPTING(EBUSY);
  return REAL(unlink)(path);
}

int fstat(int file, struct stat *status) {
  FAIL_UNLESS_INTERRUPTING(EIO);
  return REAL(fstat)(file, status);
}

int stat(const char *path, struct stat *status) {
  FAIL_UNLESS_INTERRUPTING(EACCES);
  return REAL(stat)(path, status);
}

int access(const char *path, int mode) {
  FAIL_UNLESS_INTERRUPTING(EACCES);
  return REAL(access)(path, mode);
}

int fchmod(int file, mode_t mode) {
  FAIL_UNLESS_INTERRUPTING(EPERM);
  return REAL(fchmod)(file, mode);
}

int ftruncate(int file, off_t size) {
  FAIL_UNLESS_INTERRUPTING(EIO);
  return REAL(ftruncate)(file, size);
}

/* ---------------------------------------------------------------- threads */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  if (fails(FAULT_THREADS)) return EAGAIN;
  return REAL(pthread_create)(thread, attributes, body, argument);
}

int pthread_setspecific(pthread_key_t key, const void *value) {
  if (fails(FAULT_THREADS)) return ENOMEM;
  return REAL(pthread_setspecific)(key, value);
}
