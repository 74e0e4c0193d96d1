/* The text behind tln_last_error: one place for each thread that has had an error, given back when the
 * thread ends. Thread-local variables would be simpler, but in a library that was loaded with dlopen
 * their memory comes from malloc, and the C library ends the process if there is none. */
#define _GNU_SOURCE
#include "system.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Places are used from the first on, and the system provides their pages when they are. */
enum { word_count = 16, places_per_word = 64 };

static char places[word_count * places_per_word][tlns_message_capacity];
static _Atomic uint64_t used[word_count];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Atomic bool has_key, has_lost_one;

static void give_back(void *place) {
  const size_t index = (size_t)((char(*)[tlns_message_capacity])place - places);
  atomic_fetch_and(&used[index / places_per_word], ~(1ull << index % places_per_word));
}

static void create_key(void) {
  if (pthread_key_create(&key, give_back) == 0) has_key = true;
}

/* The library goes: threads that end later must not call into it. */
__attribute__((destructor)) static void delete_key(void) {
  if (atomic_exchange(&has_key, false)) pthread_key_delete(key);
}

static char *take_place(void) {
  for (size_t word = 0; word < word_count; word++) {
    uint64_t taken = atomic_load(&used[word]);
    while (~taken != 0) {
      const uint64_t lowest = ~taken & (taken + 1);
      if (atomic_compare_exchange_weak(&used[word], &taken, taken | lowest))
        return places[word * places_per_word + (size_t)__builtin_ctzll(lowest)];
    }
  }
  return NULL;
}

char *tlns_thread_message(void) { return has_key ? pthread_getspecific(key) : NULL; }

char *tlns_make_thread_message(void) {
  pthread_once(&once, create_key);
  char *place = tlns_thread_message();
  if (place) return place;
  place = has_key ? take_place() : NULL;
  if (place && pthread_setspecific(key, place) == 0) return place;
  if (place) give_back(place);
  has_lost_one = true;
  return NULL;
}

const char *tlns_last_message(void) {
  const char *place = tlns_thread_message();
  if (place) return place;
  return has_lost_one ? "there was no room for the message of the last error" : "";
}
