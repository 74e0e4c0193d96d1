/* How long dlopen of a library takes, with all symbols bound, in seconds. Usage: load_library FILE */
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

int main(int argc, char **argv) {
  double begin = now();
  void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  double seconds = now() - begin;
  if (!library || !dlsym(library, "tln_version")) return 1;
  printf("%.9f\n", seconds);
  return 0;
}
