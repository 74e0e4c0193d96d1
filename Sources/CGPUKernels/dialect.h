/*
 * The dialect in which the GPU kernels are written: what CUDA, Metal and the tests' emulator call
 * differently. The emulator brings its own definitions (Tests/TestSupport/Emulator) and sets
 * TLNG_EMULATED.
 *
 * A kernel is written for a whole group of threads. What is outside of TLNG_EACH_THREAD is the same for
 * all of them; a block of TLNG_EACH_THREAD(t) is what thread t does between two barriers, and ends with
 * one. What a thread keeps from one such block to the next is a TLNG_OWN array. tlng_read_four and
 * tlng_write_four take four neighbours in memory at once, the first of which is at a multiple of 16 bytes;
 * tlng_read_two takes two in shared memory, of 8 bytes.
 * A TLNG_LARGE_KERNEL keeps so much in registers that one group at a time is on a multiprocessor.
 *
 * Nothing may be contracted, reassociated or approximated: a product is rounded unless it is within
 * tlng_fma, and a division is IEEE's.
 */
#ifndef TLN_GPU_DIALECT_H
#define TLN_GPU_DIALECT_H

#include "step.h"

#if defined(__METAL_VERSION__)

#include <metal_stdlib>
#pragma METAL fp math_mode(safe)
#pragma METAL fp contract(off)

struct tlng_place {
  int group, groups, index;
};

#define TLNG_KERNEL(name)                                           \
  kernel void name(constant tlng_step &s [[buffer(0)]],             \
                   uint tlng_group [[threadgroup_position_in_grid]], \
                   uint tlng_groups [[threadgroups_per_grid]],       \
                   uint tlng_thread [[thread_position_in_threadgroup]])
#define TLNG_LARGE_KERNEL(name) TLNG_KERNEL(name)
#define TLNG_BEGIN const tlng_place place = {int(tlng_group), int(tlng_groups), int(tlng_thread)}
#define TLNG_FUNCTION static inline
#define TLNG_CALLED static
#define TLNG_STEP constant tlng_step &
#define TLNG_PLACE tlng_place
#define TLNG_GLOBAL(type) device type *
#define TLNG_SHARED(type, name, count) threadgroup type name[count]
#define TLNG_SHARED_POINTER(type) threadgroup type *
#define TLNG_BARRIER() \
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup | metal::mem_flags::mem_device)
#define TLNG_UNROLL _Pragma("clang loop unroll(full)")
#define TLNG_ROLL _Pragma("clang loop unroll(disable)")

typedef metal::float4 tlng_four;
typedef metal::float2 tlng_two;

TLNG_FUNCTION tlng_four tlng_read_four(threadgroup const float *at) {
  return *(threadgroup const metal::float4 *)at;
}
TLNG_FUNCTION tlng_two tlng_read_two(threadgroup const float *at) {
  return *(threadgroup const metal::float2 *)at;
}
TLNG_FUNCTION tlng_four tlng_read_four(device const float *at) {
  return *(device const metal::float4 *)at;
}
TLNG_FUNCTION void tlng_write_four(threadgroup float *at, tlng_four four) {
  *(threadgroup metal::float4 *)at = four;
}
TLNG_FUNCTION void tlng_write_four(device float *at, tlng_four four) {
  *(device metal::float4 *)at = four;
}
TLNG_FUNCTION float tlng_fma(float a, float b, float c) { return metal::fma(a, b, c); }
TLNG_FUNCTION unsigned tlng_bits(float x) { return as_type<unsigned>(x); }
TLNG_FUNCTION float tlng_float(unsigned bits) { return as_type<float>(bits); }

#elif !defined(TLNG_EMULATED)

struct tlng_place {
  int group, groups, index;
};

/* Two groups at least fit a multiprocessor: while one waits for memory the other computes. */
#define TLNG_KERNEL(name) \
  extern "C" __global__ void __launch_bounds__(TLNG_THREADS, 2) name(const tlng_step s)
#define TLNG_LARGE_KERNEL(name) \
  extern "C" __global__ void __launch_bounds__(TLNG_THREADS, 1) name(const tlng_step s)
#define TLNG_BEGIN const tlng_place place = {(int)blockIdx.x, (int)gridDim.x, (int)threadIdx.x}
#define TLNG_FUNCTION static __device__ __forceinline__
#define TLNG_CALLED static __device__ __noinline__
#define TLNG_STEP const tlng_step &
#define TLNG_PLACE tlng_place
#define TLNG_GLOBAL(type) type *
#define TLNG_SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define TLNG_SHARED_POINTER(type) type *
#define TLNG_BARRIER() __syncthreads()
#define TLNG_UNROLL _Pragma("unroll")
#define TLNG_ROLL _Pragma("unroll 1")

typedef float4 tlng_four;
typedef float2 tlng_two;

TLNG_FUNCTION tlng_four tlng_read_four(const float *at) { return *(const float4 *)at; }
TLNG_FUNCTION tlng_two tlng_read_two(const float *at) { return *(const float2 *)at; }
TLNG_FUNCTION void tlng_write_four(float *at, tlng_four four) { *(float4 *)at = four; }
TLNG_FUNCTION void tlng_write_two(float *at, tlng_two two) { *(float2 *)at = two; }
TLNG_FUNCTION float tlng_fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
TLNG_FUNCTION unsigned tlng_bits(float x) { return __float_as_uint(x); }
TLNG_FUNCTION float tlng_float(unsigned bits) { return __uint_as_float(bits); }

/* All groups of such a kernel run at the same time, at most one on a multiprocessor. */
#define TLNG_RESIDENT 1
#define TLNG_RESIDENT_KERNEL(name) \
  extern "C" __global__ void __launch_bounds__(TLNG_THREADS, 1) name(const tlng_step s)
/* Shared memory of as many bytes as the launch says. */
#define TLNG_MEMORY(name) extern __shared__ __align__(16) float name[]
#define TLNG_LET_OTHERS_RUN()

/* Words that groups tell each other: always from and to where all of them see it, and whole. */
TLNG_FUNCTION tlng_word tlng_read_word(const tlng_word *at) { return *(const volatile tlng_word *)at; }
TLNG_FUNCTION void tlng_write_word(tlng_word *at, tlng_word word) { *(volatile tlng_word *)at = word; }
/* Each whole; `at` is at a multiple of two words. */
TLNG_FUNCTION void tlng_write_two_words(tlng_word *at, tlng_word one, tlng_word other) {
  asm volatile("st.volatile.global.v2.u64 [%0], {%1, %2};" ::"l"(at), "l"(one), "l"(other) : "memory");
}

#endif

#if !defined(TLNG_EMULATED)
#define TLNG_EACH_THREAD(t) \
  for (int t = place.index, tlng_once = 1; tlng_once; tlng_once = 0, TLNG_BARRIER())
#define TLNG_OWN(type, name, count) type name[count]
#define TLNG_OWN_ARGUMENT(type, name, count) type(&name)[count]
#define TLNG_MINE(name, t) name
#endif

#endif
