/* Which call fails, and the sentence with which a misuse ends the process. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

pthread_mutex_t *lock(void) {
  pthread_mutex_lock(&mutex);
  return &mutex;
}

void unlock(pthread_mutex_t **locked) { pthread_mutex_unlock(*locked); }

void misuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("misuse of CUDA: ", stderr);
  vfprintf(stderr, format, arguments);
  fputs("\n", stderr);
  abort();
}

long setting(const char *name, long usual) {
  const char *text = getenv(name);
  return text ? atol(text) : usual;
}

static long calls, armed_call = -1;
static int armed_error, armed_for_ever;
int happened;
static char failed_name[64];

void fake_cuda_arm(long call, int error, int for_ever) {
  LOCKED;
  calls = 0;
  armed_call = call;
  armed_error = error;
  armed_for_ever = for_ever;
  happened = 0;
  failed_name[0] = 0;
}

const char *fake_cuda_disarm(void) {
  LOCKED;
  armed_call = -1;
  return happened ? failed_name : NULL;
}

static struct {
  const char *name;
  long calls;
} counts[64];

static long *count_of(const char *name) {
  int index = 0;
  while (counts[index].name && strcmp(counts[index].name, name) != 0)
    if (++index == sizeof counts / sizeof *counts) misuse("more functions than are counted");
  counts[index].name = name;
  return &counts[index].calls;
}

long fake_cuda_count(const char *name) {
  LOCKED;
  return *count_of(name);
}

/* The error that this call has to return. */
static int fails_by_environment(const char *name) {
  static long count;
  const char *text = getenv("FAKE_CUDA_FAIL");
  char wanted[64];
  long number;
  int error;
  if (!text || sscanf(text, "%63[^:]:%ld:%d", wanted, &number, &error) != 3) return 0;
  return strcmp(wanted, name) == 0 && ++count == number ? error : 0;
}

int fails(const char *name) {
  LOCKED;
  ++*count_of(name);
  int error = fails_by_environment(name);
  if (error) happened = 1;
  const long call = calls++;
  if (armed_call >= 0 && (call == armed_call || (armed_for_ever && call > armed_call))) {
    if (!happened) snprintf(failed_name, sizeof failed_name, "%s", name);
    happened = 1;
    error = armed_error;
  }
  return error;
}
