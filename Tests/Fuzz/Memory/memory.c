/* The hooks behind memory.h: they may be called on any thread and must not allocate. */
#include "memory.h"

#include <stdatomic.h>
#include <time.h>

/* Of the sanitizers' runtime (sanitizer/allocator_interface.h), which is linked later. */
int __sanitizer_install_malloc_and_free_hooks(
    void (*allocated)(const volatile void *, size_t), void (*freed)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *memory);

static atomic_long current, peak, start;

static void allocated(const volatile void *memory, size_t size) {
  (void)memory;
  long now = atomic_fetch_add(&current, (long)size) + (long)size;
  long highest = atomic_load(&peak);
  while (now > highest && !atomic_compare_exchange_weak(&peak, &highest, now)) {
  }
}

static void freed(const volatile void *memory) {
  if (memory) atomic_fetch_sub(&current, (long)__sanitizer_get_allocated_size(memory));
}

void fuzz_memory_install(void) { __sanitizer_install_malloc_and_free_hooks(allocated, freed); }

void fuzz_memory_begin(void) {
  atomic_store(&start, atomic_load(&current));
  atomic_store(&peak, atomic_load(&current));
}

size_t fuzz_memory_peak(void) {
  long grown = atomic_load(&peak) - atomic_load(&start);
  return grown > 0 ? (size_t)grown : 0;
}

double fuzz_processor_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}
