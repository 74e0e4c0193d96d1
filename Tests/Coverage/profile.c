/* Writes the counters of a process to a file of its own, named after the process and the time, in the
 * directory that TLN_COVERAGE_PROFILES names. The runtime's own way, one file to which every process adds,
 * does not count: a function that is in several object files (a generic one, an inlined one) has a record in
 * each with the same counters, so that each process adds what is in the file as often again; after some
 * dozen processes there is nothing but overflow.
 *
 * A file is complete when it has its name: what a process leaves that is killed while it writes ends in
 * ".part". */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int __llvm_profile_write_file(void);
void __llvm_profile_set_filename(const char *name);

/* Its presence keeps the runtime from writing by itself. */
int __llvm_profile_runtime;

/* At the end of a process; Tests/Hostile calls it too. */
void coverage_write(void) {
  const char *directory = getenv("TLN_COVERAGE_PROFILES");
  struct timespec now;
  char part[4096], name[4096];
  if (!directory) return;
  clock_gettime(CLOCK_MONOTONIC, &now);
  /* A process that was forked has another number by now. */
  const int length = snprintf(name, sizeof name, "%s/%d-%lld%09ld.profraw", directory, (int)getpid(),
                              (long long)now.tv_sec, now.tv_nsec);
  if (length < 0 || length >= (int)(sizeof name - sizeof ".part")) return;
  snprintf(part, sizeof part, "%s.part", name);
  __llvm_profile_set_filename(part);
  if (__llvm_profile_write_file() == 0) rename(part, name);
}

__attribute__((constructor)) static void begin(void) { atexit(coverage_write); }

/* Children of the tests' programs end so, which find this one before the C library's. */
__attribute__((noreturn)) void _exit(int status) {
  coverage_write();
  for (;;) syscall(SYS_exit_group, status);
}
