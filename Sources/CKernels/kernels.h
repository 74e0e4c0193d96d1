/*
 * The boundary between the CPU engine and its kernels. The kernels are one folder of Swift, compiled
 * once for each instruction set; each compilation exports one C symbol, which fills in a table of
 * functions. So no caller ever sees a kernel's body, and no code for a higher instruction set can get
 * into a lower one.
 *
 * Also here: the few byte shuffles and masks that Swift's SIMD types cannot say.
 */
#ifndef TLN_KERNELS_H
#define TLN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* Everything a training step or an evaluation works on. Arrays are float32; `stride` is the number of
 * hidden units rounded up, the units beyond `hidden` are zero throughout.
 *
 *   x            [rows][x_stride bytes] features, bytes or floats; for the dense kernels zero from `inputs`
 *                on, for the others anything up to the next multiple of 64
 *   x_packed     [inputs / packed_features][capacity][packed_features] the same again for dense kernels; or
 *                NULL
 *   w1, v1       [inputs][stride]     layers.0.weight transposed, and its momentum
 *   b1, vb1      [stride]
 *   w2, v2       [outputs][stride]
 *   b2, vb2      [outputs]
 *   present      [inputs / 64][capacity] words: bit i of word w of a sample says whether its feature
 *                64 w + i is not zero
 *   present_t    [inputs rounded up to 64][capacity / 64] words: the same, feature by feature
 *   next_rows    [rows]               where the next batch's rows are, which will be needed soon; or NULL
 *   w2_t         [hidden][outputs rounded up to 16], w2 transposed; only if a product needs it
 *   h            [rows][stride]       hidden units after ReLU
 *   partial      [rows][stride]       working memory of the first layer forward; may be d_h
 *   panel_sums   [panels][capacity][stride] the first layer's sums of each panel; only where threads
 *                                     divide the inputs
 *   logits       [outputs][capacity]  class by class, so that vectors run over samples
 *   d_logits     [outputs][capacity]
 *   target       [capacity]           log-probability of each sample's label
 *   d_h          [rows][stride]
 *   g1           [inputs][stride]     gradient of w1 so far; only for batches above rows_without_g1
 */
typedef struct tlnk_step {
  ptrdiff_t rows;      /* in these arrays */
  ptrdiff_t first_row; /* the place of their first in the batch, a multiple of 4; 0 in training */
  ptrdiff_t batch;     /* rows in the batch, on which the order of sums depends */
  ptrdiff_t inputs, hidden, outputs;
  ptrdiff_t stride;
  ptrdiff_t capacity; /* rows rounded up to a multiple of 64 */
  ptrdiff_t x_stride; /* for the dense kernels a multiple of 64 */
  const void *x;
  float *x_packed;
  const int32_t *labels;
  const float *byte_values; /* what each byte stands for: 256 values */
  float *w1, *b1, *w2, *b2;
  float *v1, *vb1, *v2, *vb2;
  uint64_t *present, *present_t;
  const void *const *next_rows;
  float *w2_t;
  float *h, *partial, *panel_sums, *logits, *d_logits, *target, *d_h, *g1;
  /* the optimiser; `first` says that there is no momentum yet */
  float minus_learning_rate, momentum, one_minus_dampening, weight_decay;
  int32_t first, nesterov, maximize, has_momentum;
} tlnk_step;

/* A kernel works on items first ..< last of its kind: samples, inputs or outputs. Different ranges may
 * run on different threads at once. */
typedef void (*tlnk_kernel)(const tlnk_step *step, ptrdiff_t first, ptrdiff_t last);

/* What touches the first layer's features. Threads may divide the inputs instead of the samples: where a
 * step has panel_sums, forward and transpose do all samples, and items are inputs, those of whole panels
 * that begin at multiples of 64. The dense kernels cannot do that. */
typedef struct tlnk_hidden_kernels {
  tlnk_kernel forward;   /* h = max(x w1 + b1, 0), or panel_sums; items are samples */
  tlnk_kernel transpose; /* present_t or x_packed, if the update needs it; samples from a multiple of 16 */
  tlnk_kernel update;    /* gradient and update of w1, v1; items are inputs, for dense kernels from a
                            multiple of 24 */
  ptrdiff_t rows_without_g1; /* the update of more needs g1 */
} tlnk_hidden_kernels;

/* Bytes as what they stand for, byte / 255. */
typedef void (*tlnk_conversion)(const uint8_t *bytes, float *values, ptrdiff_t count);

typedef struct tlnk_kernels {
  ptrdiff_t lanes; /* floats in a vector */
  ptrdiff_t unit_lanes; /* floats that the processor's units take at once: lanes, or half of them */
  ptrdiff_t (*stride)(ptrdiff_t hidden); /* tlnk_step.stride */
  /* the first layer: bytes and floats of which many are zero, and floats of which few are */
  tlnk_hidden_kernels sparse_u8, sparse_f32, dense;
  ptrdiff_t packed_features; /* how many features lie side by side in x_packed; 0 if dense has no use for it */
  ptrdiff_t packed_rows_without_g1; /* dense.rows_without_g1 where there is x_packed */
  tlnk_conversion to_floats; /* for dense */
  tlnk_kernel add_panels; /* h from panel_sums; items are samples */
  /* The inputs of a panel, except that the last may have fewer; 0 if the first layer's sums have none. */
  ptrdiff_t (*panel_length)(ptrdiff_t batch, ptrdiff_t hidden, ptrdiff_t inputs);
  /* forward; items are samples */
  tlnk_kernel logits;                /* logits = h w2' + b2; needs w2_t if logits_need_w2_t */
  tlnk_kernel loss;                  /* target, d_logits; samples in multiples of 16 */
  int32_t (*logits_need_w2_t)(ptrdiff_t batch, ptrdiff_t hidden, ptrdiff_t outputs);
  tlnk_kernel transpose_w2;          /* w2_t; items are outputs */
  /* backward; items are samples */
  tlnk_kernel hidden_gradient; /* d_h = d_logits w2 where h > 0 */
  /* gradient and update of the parameters */
  tlnk_kernel output_update;                       /* w2, v2; items are outputs */
  tlnk_kernel bias_update;                         /* b1, b2; items 0 ..< 1 */
} tlnk_kernels;

void tlnk_kernels_baseline(tlnk_kernels *out_kernels);
#if defined(__x86_64__)
void tlnk_kernels_avx2(tlnk_kernels *out_kernels);
void tlnk_kernels_avx512(tlnk_kernels *out_kernels);
#endif

/* 16 bytes as byte / 255. */
static inline void tlnk_values_of_bytes_16(const uint8_t *bytes, float *values) {
  typedef uint8_t bytes_16 __attribute__((vector_size(16)));
  typedef float floats_16 __attribute__((vector_size(64)));
  bytes_16 in;
  __builtin_memcpy(&in, bytes, sizeof in);
  const floats_16 out = __builtin_convertvector(in, floats_16) / 255.0f;
  __builtin_memcpy(values, &out, sizeof out);
}

/* Asks for a cache line that is needed after a while; the other for one that is needed soon. */
static inline void tlnk_prefetch(const void *address) { __builtin_prefetch(address, 0, 2); }
static inline void tlnk_prefetch_near(const void *address) { __builtin_prefetch(address, 0, 3); }

#if defined(__AVX2__) && !defined(__AVX512F__)
/* The vector, kept in a register instead of being loaded again for each use. */
static inline __m256 tlnk_keep(__m256 vector) {
  __asm__("" : "+x"(vector));
  return vector;
}

/* The address, not before the vector is computed. */
static inline const float *tlnk_after(__m256 vector, const float *address) {
  __asm__("" : "+r"(address) : "x"(vector));
  return address;
}
#endif

/* Four times four floats, and the sums of their lanes. Of each four the first and the third and the second
 * and the fourth, added: a's, then b's. */
typedef float tlnk_floats_16 __attribute__((ext_vector_type(16)));
static inline tlnk_floats_16 tlnk_halves_of_fours(tlnk_floats_16 a, tlnk_floats_16 b) {
  return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
         __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}

/* The first and the second, and the third and the fourth. */
static inline tlnk_floats_16 tlnk_sums_of_twos(tlnk_floats_16 a, tlnk_floats_16 b) {
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}

/* Of each eight the first four and the others, added: a's and b's in turn. */
static inline tlnk_floats_16 tlnk_halves_of_eights(tlnk_floats_16 a, tlnk_floats_16 b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
}

/* Bit i says whether byte i is not zero. */
static inline uint64_t tlnk_nonzero_bytes_64(const uint8_t *bytes) {
#if defined(__AVX512BW__)
  const __m512i v = _mm512_loadu_si512(bytes);
  return _mm512_test_epi8_mask(v, v);
#elif defined(__AVX2__)
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = _mm256_loadu_si256((const __m256i *)bytes);
  const __m256i high = _mm256_loadu_si256((const __m256i *)(bytes + 32));
  const uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, zero));
  const uint32_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, zero));
  return ~((uint64_t)b << 32 | a);
#elif defined(__SSE2__)
  uint64_t zeros = 0;
  for (int i = 0; i < 4; i++) {
    const __m128i v = _mm_loadu_si128((const __m128i *)(bytes + 16 * i));
    zeros |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) << 16 * i;
  }
  return ~zeros;
#else
  uint64_t mask = 0;
  for (int i = 0; i < 64; i++) mask |= (uint64_t)(bytes[i] != 0) << i;
  return mask;
#endif
}

/* Bit i says whether float i is not zero; NaN is not zero. */
static inline uint64_t tlnk_nonzero_floats_64(const float *floats) {
  uint64_t mask = 0;
#if defined(__AVX512F__)
  for (int i = 0; i < 4; i++) {
    const __m512 v = _mm512_loadu_ps(floats + 16 * i);
    mask |= (uint64_t)_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ) << 16 * i;
  }
#elif defined(__AVX2__)
  for (int i = 0; i < 8; i++) {
    const __m256 v = _mm256_loadu_ps(floats + 8 * i);
    const __m256 nonzero = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    mask |= (uint64_t)(uint32_t)_mm256_movemask_ps(nonzero) << 8 * i;
  }
#elif defined(__SSE2__)
  for (int i = 0; i < 16; i++) {
    const __m128 v = _mm_loadu_ps(floats + 4 * i);
    mask |= (uint64_t)(uint32_t)_mm_movemask_ps(_mm_cmpneq_ps(v, _mm_setzero_ps())) << 4 * i;
  }
#else
  for (int i = 0; i < 64; i++) mask |= (uint64_t)(floats[i] != 0) << i;
#endif
  return mask;
}

/* 16 words of 64 bits transposed: bit r of out[c * out_stride] is bit c of in[r]. */
static inline void tlnk_transpose_bits_16(const uint64_t *in, uint16_t *out, ptrdiff_t out_stride) {
#if defined(__SSE2__)
  /* Three rounds of interleaving bytes of vector r with those of vector r + 4 bring the words' bytes of
   * one place together, and a fourth makes them a vector. */
  __m128i v[8], t[8];
  for (int r = 0; r < 8; r++) v[r] = _mm_loadu_si128((const __m128i *)(in + 2 * r));
  for (int round = 0; round < 4; round++) {
    for (int r = 0; r < 4; r++) {
      t[2 * r] = _mm_unpacklo_epi8(v[r], v[r + 4]);
      t[2 * r + 1] = _mm_unpackhi_epi8(v[r], v[r + 4]);
    }
    for (int r = 0; r < 8; r++) v[r] = t[r];
  }
  for (int byte = 0; byte < 8; byte++)
    for (int bit = 7; bit >= 0; bit--) {
      out[(8 * byte + bit) * out_stride] = (uint16_t)_mm_movemask_epi8(v[byte]);
      v[byte] = _mm_add_epi8(v[byte], v[byte]);
    }
#else
  for (int bit = 0; bit < 64; bit++) {
    unsigned column = 0;
    for (int r = 0; r < 16; r++) column |= (unsigned)(in[r] >> bit & 1) << r;
    out[bit * out_stride] = (uint16_t)column;
  }
#endif
}

#if defined(__AVX2__)
/* The same for 32 words: both halves of each vector are 16 of them. */
static inline void tlnk_transpose_bits_32(const uint64_t *in, uint32_t *out, ptrdiff_t out_stride) {
  __m256i v[8], t[8];
  for (int r = 0; r < 8; r++)
    v[r] = _mm256_loadu2_m128i((const __m128i *)(in + 16 + 2 * r), (const __m128i *)(in + 2 * r));
  for (int round = 0; round < 4; round++) {
    for (int r = 0; r < 4; r++) {
      t[2 * r] = _mm256_unpacklo_epi8(v[r], v[r + 4]);
      t[2 * r + 1] = _mm256_unpackhi_epi8(v[r], v[r + 4]);
    }
    for (int r = 0; r < 8; r++) v[r] = t[r];
  }
  for (int byte = 0; byte < 8; byte++)
    for (int bit = 7; bit >= 0; bit--) {
      out[(8 * byte + bit) * out_stride] = (uint32_t)_mm256_movemask_epi8(v[byte]);
      v[byte] = _mm256_add_epi8(v[byte], v[byte]);
    }
}
#endif

#endif
