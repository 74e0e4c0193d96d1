// The GPU kernels as Metal reads them, for a C++ compiler: address spaces are its attributes (but for
// shared memory, which C++ has no place for), and words that Metal keeps for itself are errors.

#define kernel
#define device __attribute__((address_space(1)))
#define constant const __attribute__((address_space(2)))
#define threadgroup

#include <metal_stdlib>

#define thread metal_keeps_this
#define half metal_keeps this
#define vertex metal_keeps this
#define fragment metal_keeps this
#define sampler metal_keeps this
#define uchar metal_keeps this
#define ushort metal_keeps this
#define ulong metal_keeps this
#define double metal_has_no double

#include "kernels.h"
