// A table of kernels, of which there are two: compiled for any processor, and for one that has fused
// multiply-adds.

#ifndef TLN_EMULATOR_TABLE_H
#define TLN_EMULATOR_TABLE_H

struct tlng_step;
struct tlng_place;

namespace tlne {

struct entry {
  const char *name;
  void (*kernel)(const tlng_step &, const tlng_place &);
};

extern const entry plain_kernels[];
extern const entry fma_kernels[];

}  // namespace tlne

#endif
