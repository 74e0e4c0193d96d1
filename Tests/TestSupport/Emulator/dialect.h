// The dialect of the GPU kernels (Sources/CGPUKernels/dialect.h) in plain C++. Pointers know the memory
// they point into, and every access is checked; a block between two barriers is a loop over the threads.

#ifndef TLN_EMULATOR_DIALECT_H
#define TLN_EMULATOR_DIALECT_H

#include <stdint.h>
#include <string.h>

namespace tlne {

/// The memory that an address belongs to: (number of the allocation) << 40 | offset.
struct allocation {
  char *base;
  uint64_t bytes;
};

allocation find(uint64_t address);
/// Notes that memory was left.
void report(const char *kind, int64_t offset, uint64_t bytes);
constexpr uint64_t offset_mask = ((uint64_t)1 << 40) - 1;

/// What is accessed instead of memory that is not there.
inline thread_local char nowhere[64];

template <class T> T &checked(const char *kind, char *base, uint64_t bytes, int64_t offset) {
  if ((uint64_t)offset <= bytes && bytes - (uint64_t)offset >= sizeof(T)) return *(T *)(base + offset);
  report(kind, offset, bytes);
  memset(nowhere, 0xff, sizeof nowhere);
  return *(T *)nowhere;
}

template <class A, class B> struct is_same { static constexpr bool value = false; };
template <class A> struct is_same<A, A> { static constexpr bool value = true; };

/// A pointer into a group's shared memory.
template <class T> struct shared {
  T *base;
  int64_t count, offset;

  shared operator+(int64_t more) const { return {base, count, offset + more}; }
  T &operator[](int64_t index) const {
    return checked<T>("shared memory", (char *)base, (uint64_t)count * sizeof(T),
                      (offset + index) * (int64_t)sizeof(T));
  }
};

/// A pointer into the device's memory, or, as in CUDA, into a group's.
template <class T> struct global {
  char *base = nullptr;
  uint64_t bytes = 0;
  int64_t offset = 0;

  global() {}
  global(decltype(nullptr)) {}
  global(char *base, uint64_t bytes, int64_t offset) : base(base), bytes(bytes), offset(offset) {}
  template <class U>
  global(shared<U> s)
      : base((char *)s.base), bytes((uint64_t)s.count * sizeof(U)), offset(s.offset * (int64_t)sizeof(U)) {
    static_assert(is_same<U, T>::value || is_same<const U, T>::value, "another type");
  }

  operator global<const T>() const { return {base, bytes, offset}; }
  template <class U> explicit operator global<U>() const { return {base, bytes, offset}; }
  explicit operator bool() const { return base != nullptr; }
  global operator+(int64_t count) const { return {base, bytes, offset + count * (int64_t)sizeof(T)}; }
  T &operator[](int64_t index) const {
    return checked<T>("device memory", base, bytes, offset + index * (int64_t)sizeof(T));
  }
};

/// A pointer as it is in a tlng_step.
template <class T> struct address {
  uint64_t value;

  template <class U> operator global<U>() const {
    static_assert(is_same<U, T>::value || is_same<U, const T>::value, "another type");
    if (value == 0) return nullptr;
    const allocation found = find(value);
    return {found.base, found.bytes, (int64_t)(value & offset_mask)};
  }
  explicit operator bool() const { return value != 0; }
};

template <class T, int N> struct shared_array {
  T values[N];

  shared_array() { memset(values, 0xff, sizeof values); }
  operator shared<T>() { return {values, N, 0}; }
};

/// An array that each thread has for itself.
template <class T, int N, int Threads> struct own_array {
  T values[Threads][N];

  own_array() { memset(values, 0xff, sizeof values); }
  T *of(int thread) { return values[thread]; }
};

/// Runs other groups of the launch before this one goes on.
void let_others_run();
/// Notes that a group has told others something.
void told();

}  // namespace tlne

#define TLNG_EMULATED
#define TLNG_ADDRESS(type) tlne::address<type>

struct tlng_place {
  int group, groups, shuffle;
  tlne::shared<float> memory; /* of a resident kernel */
};

#define TLNG_KERNEL(name) static void name(const tlng_step &s, const tlng_place &place)
#define TLNG_LARGE_KERNEL TLNG_KERNEL
#define TLNG_RESIDENT 1
#define TLNG_RESIDENT_KERNEL TLNG_KERNEL
#define TLNG_MEMORY(name) const tlne::shared<float> name = place.memory
#define TLNG_LET_OTHERS_RUN() tlne::let_others_run()
#define TLNG_BEGIN
#define TLNG_FUNCTION static inline
#define TLNG_CALLED static
#define TLNG_STEP const tlng_step &
#define TLNG_PLACE const tlng_place &
#define TLNG_GLOBAL(type) tlne::global<type>
#define TLNG_SHARED(type, name, count) tlne::shared_array<type, count> name
#define TLNG_SHARED_POINTER(type) tlne::shared<type>
#define TLNG_EACH_THREAD(t)                                                                   \
  for (int tlng_next = 0, t = place.shuffle; tlng_next < TLNG_THREADS; t = ++tlng_next ^ place.shuffle)
#define TLNG_OWN(type, name, count) tlne::own_array<type, count, TLNG_THREADS> name
#define TLNG_OWN_ARGUMENT(type, name, count) tlne::own_array<type, count, TLNG_THREADS> &name
#define TLNG_MINE(name, t) name.of(t)
#define TLNG_UNROLL
#define TLNG_ROLL

struct tlng_four {
  float x, y, z, w;
};

/// Four neighbours in memory, which begin at a multiple of 16 bytes.
static inline void tlng_check_four(tlne::shared<float> at) {
  if (at.offset % 4 != 0) tlne::report("shared memory, not aligned", at.offset * 4, at.count * 4);
}

template <class T> static inline void tlng_check_four(tlne::global<T> at) {
  if (at.offset % 16 != 0) tlne::report("device memory, not aligned", at.offset, at.bytes);
}

template <class Pointer> static inline tlng_four tlng_read_four(Pointer at) {
  tlng_check_four(at);
  return {at[0], at[1], at[2], at[3]};
}

template <class Pointer> static inline void tlng_write_four(Pointer at, tlng_four four) {
  tlng_check_four(at);
  at[0] = four.x;
  at[1] = four.y;
  at[2] = four.z;
  at[3] = four.w;
}

struct tlng_two {
  float x, y;
};

static inline tlng_two tlng_read_two(tlne::shared<float> at) {
  if (at.offset % 2 != 0) tlne::report("shared memory, not aligned", at.offset * 4, at.count * 4);
  return {at[0], at[1]};
}

static inline void tlng_write_two(tlne::shared<float> at, tlng_two two) {
  if (at.offset % 2 != 0) tlne::report("shared memory, not aligned", at.offset * 4, at.count * 4);
  at[0] = two.x;
  at[1] = two.y;
}

static inline uint64_t tlng_read_word(tlne::global<uint64_t> at) { return at[0]; }

static inline void tlng_write_word(tlne::global<uint64_t> at, uint64_t word) {
  at[0] = word;
  tlne::told();
}

static inline void tlng_write_two_words(tlne::global<uint64_t> at, uint64_t one, uint64_t other) {
  if (at.offset % 16 != 0) tlne::report("device memory, not aligned", at.offset, at.bytes);
  tlng_write_word(at, one);
  tlng_write_word(at + 1, other);
}

static inline float tlng_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

static inline unsigned tlng_bits(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float tlng_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

#endif
