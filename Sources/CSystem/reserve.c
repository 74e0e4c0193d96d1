/* Memory for the Swift runtime when the system has none left. The runtime ends the process if an object
 * cannot be allocated; here it gets a place in a reserve instead, so that the call that ran out of
 * memory goes on to its next checked allocation, or its next look at tlns_reserve_is_low, and fails.
 *
 * The reserve is two arrays of cells, each with one bit: no lock that a fork could leave behind, and no
 * page in use before it is needed. Package.swift has the linker put these functions in the place of
 * posix_memalign and free, in the C library only. */
#define _GNU_SOURCE
#include "system.h"

#include <stdatomic.h>
#include <stdbool.h>

/* A run of cells lies within one word of bits, so the largest piece is 64 cells. */
enum { cells_per_word = 64, small_words = 64, small_cell = 256, large_cell = 16384 };

typedef struct {
  unsigned char *memory;
  size_t cell, words;
  _Atomic uint64_t *used;
} pool;

/* 1 MiB for pieces of up to 16 KiB, 1 MiB for the few larger ones. */
static _Alignas(64) unsigned char small_memory[small_words * cells_per_word * small_cell];
static _Alignas(64) unsigned char large_memory[cells_per_word * large_cell];
static _Atomic uint64_t small_used[small_words], large_used[1];
static const pool pools[] = {
    {small_memory, small_cell, small_words, small_used},
    {large_memory, large_cell, 1, large_used},
};
static _Atomic size_t cell_bytes_in_use;

/* Stands before each piece: how many cells it has, from which on. */
typedef struct {
  size_t first, count;
} header;

static uint64_t run_of(size_t count) { return count == cells_per_word ? ~0ull : (1ull << count) - 1; }

/* Takes `count` neighbouring cells of a word; returns the first, or -1 if there are no such. */
static int take_run(_Atomic uint64_t *word, size_t count) {
  uint64_t used = atomic_load(word);
  for (size_t shift = 0; shift + count <= cells_per_word;) {
    const uint64_t run = run_of(count) << shift;
    if (used & run)
      shift++;
    else if (atomic_compare_exchange_weak(word, &used, used | run))
      return (int)shift;
  }
  return -1;
}

static void *take(const pool *from, size_t alignment, size_t bytes) {
  const size_t before = alignment > sizeof(header) ? alignment : sizeof(header);
  if (alignment > from->cell || bytes > cells_per_word * from->cell - before) return NULL;
  const size_t count = (before + bytes + from->cell - 1) / from->cell;
  for (size_t word = 0; word < from->words; word++) {
    const int first = take_run(&from->used[word], count);
    if (first < 0) continue;
    atomic_fetch_add(&cell_bytes_in_use, count * from->cell);
    const header own = {word * cells_per_word + (size_t)first, count};
    unsigned char *piece = from->memory + own.first * from->cell + before;
    memcpy(piece - sizeof own, &own, sizeof own);
    return piece;
  }
  return NULL;
}

/* Whether the piece is from this pool; then it is given back. */
static bool give_back(const pool *to, const unsigned char *piece) {
  if (piece < to->memory || piece >= to->memory + to->words * cells_per_word * to->cell) return false;
  header own;
  memcpy(&own, piece - sizeof own, sizeof own);
  const uint64_t run = run_of(own.count) << own.first % cells_per_word;
  atomic_fetch_and(&to->used[own.first / cells_per_word], ~run);
  atomic_fetch_sub(&cell_bytes_in_use, own.count * to->cell);
  return true;
}

int tlns_reserve_is_low(void) {
  return atomic_load_explicit(&cell_bytes_in_use, memory_order_relaxed) >= sizeof small_memory / 2;
}

int tlns_has_memory(size_t bytes) {
  /* volatile, or the compiler leaves both calls out. */
  void *volatile probe = malloc(bytes);
  const bool has = probe != NULL;
  free(probe);
  return has;
}

void *tlns_allocate(size_t alignment, size_t bytes) {
  if (bytes > SIZE_MAX - alignment) return NULL;
  void *memory = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#if defined(MADV_HUGEPAGE)
  /* The rows of a dataset are read in a random order, so that nearly each is in a page of its own: with huge
   * pages these are few enough for the processor to remember where they are. Less than one gains nothing. */
  const size_t page = 4096, huge = (size_t)2 << 20;
  if (memory && bytes >= huge) {
    const uintptr_t first = ((uintptr_t)memory + page - 1) / page * page;
    const uintptr_t last = ((uintptr_t)memory + bytes) / page * page;
    madvise((void *)first, last - first, MADV_HUGEPAGE);
  }
#endif
  return memory;
}

#if defined(TLN_RESERVE)

int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void __real_free(void *memory);

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes) {
  const int result = __real_posix_memalign(out, alignment, bytes);
  for (size_t index = 0; result == ENOMEM && index < sizeof pools / sizeof *pools; index++) {
    void *piece = take(&pools[index], alignment, bytes);
    if (!piece) continue;
    *out = piece;
    return 0;
  }
  return result;
}

void __wrap_free(void *memory) {
  if (!give_back(&pools[0], memory) && !give_back(&pools[1], memory)) __real_free(memory);
}

#endif
