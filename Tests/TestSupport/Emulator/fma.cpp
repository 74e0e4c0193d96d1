// The kernels for processors with fused multiply-adds, on which they are some ten times faster.

#include "dialect.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#endif

#include "kernels.inc"

#if defined(__x86_64__)
#pragma clang attribute pop
#endif

const tlne::entry tlne::fma_kernels[] = TLNE_TABLE;
