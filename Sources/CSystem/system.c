/* Questions to the system and the processor: what Swift has no words for. */
#define _GNU_SOURCE
#include "system.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* strerror_r comes in two kinds: GNU's may return a text of its own instead of filling the caller's. */
void tlns_error_text(int code, char *out_text, size_t capacity) {
#if defined(__GLIBC__)
  const char *text = strerror_r(code, out_text, capacity);
  if (text != out_text) snprintf(out_text, capacity, "%s", text);
#else
  if (strerror_r(code, out_text, capacity) != 0) snprintf(out_text, capacity, "error %d", code);
#endif
}

/* Looked up where libraries are, because a program that is linked statically is none, and opening one with a
 * C library of its own would end badly. */
void *tlns_open_library(const char *name, const char **out_reason) {
  void *(*const open)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
  *out_reason = "this program is linked statically";
  void *library = open ? open(name, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (open && !library) *out_reason = dlerror();
  return library;
}

void *tlns_find_function(void *library, const char *name) { return dlsym(library, name); }

int tlns_available_processors(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 && online < INT_MAX ? (int)online : 1;
}

#if defined(__x86_64__)

/* XCR0 says which registers the operating system saves: SSE and AVX, and for AVX-512 three more. */
static uint64_t extended_control_register(void) {
  uint32_t low, high;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/* Levels as the x86-64 psABI defines them: v3 is "avx2", v4 is "avx512". */
int tlns_instruction_set(void) {
  unsigned a, b, c, d, b7, c7, d7, c1, extended;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return tlns_isa_baseline;
  c1 = c;
  const unsigned v3_leaf1 = bit_SSE3 | bit_SSSE3 | bit_FMA | bit_CMPXCHG16B | bit_SSE4_1 |
                            bit_SSE4_2 | bit_MOVBE | bit_POPCNT | bit_OSXSAVE | bit_AVX | bit_F16C;
  if ((c1 & v3_leaf1) != v3_leaf1) return tlns_isa_baseline;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return tlns_isa_baseline;
  const unsigned v3_leaf7 = bit_BMI | bit_AVX2 | bit_BMI2;
  if ((b7 & v3_leaf7) != v3_leaf7) return tlns_isa_baseline;
  if (!__get_cpuid(0x80000001, &a, &b, &extended, &d)) return tlns_isa_baseline;
  const unsigned v3_extended = bit_LZCNT;
  if ((extended & v3_extended) != v3_extended) return tlns_isa_baseline;
  const uint64_t saved = extended_control_register();
  if ((saved & 0x6) != 0x6) return tlns_isa_baseline;
  const unsigned v4_leaf7 = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
  if ((b7 & v4_leaf7) != v4_leaf7 || (saved & 0xe6) != 0xe6) return tlns_isa_avx2;
  return tlns_isa_avx512;
}

bool tlns_halves_avx512(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx) return false;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  return (a >> 8 & 0xf) + (a >> 20 & 0xff) == 0x19;
}

void tlns_processor_name(char *out_name, size_t capacity) {
  unsigned words[13] = {0};
  unsigned a, b, c, d;
  if (__get_cpuid(0x80000000, &a, &b, &c, &d) && a >= 0x80000004)
    for (unsigned leaf = 0; leaf < 3; leaf++) {
      unsigned *word = words + 4 * leaf;
      __get_cpuid(0x80000002 + leaf, &word[0], &word[1], &word[2], &word[3]);
    }
  const char *name = (const char *)words;
  while (*name == ' ') name++;
  snprintf(out_name, capacity, "%s", *name ? name : "x86-64");
  for (size_t end = strlen(out_name); end > 0 && out_name[end - 1] == ' ';) out_name[--end] = 0;
}

#else

int tlns_instruction_set(void) {
#if defined(__aarch64__)
  return tlns_isa_neon;
#else
  return tlns_isa_baseline;
#endif
}

void tlns_processor_name(char *out_name, size_t capacity) {
#if defined(__APPLE__)
  size_t size = capacity;
  if (sysctlbyname("machdep.cpu.brand_string", out_name, &size, NULL, 0) == 0) return;
#endif
  snprintf(out_name, capacity, "%s",
#if defined(__aarch64__)
           "arm64"
#else
           "processor"
#endif
  );
}

#endif
