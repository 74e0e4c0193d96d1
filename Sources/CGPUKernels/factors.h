/*
 * The factors of the products in tiles.h: how a group brings blocks of their terms into shared memory, four
 * elements at a time where these lie side by side.
 */
#ifndef TLN_GPU_FACTORS_H
#define TLN_GPU_FACTORS_H

#include "orders.h"

/* Rows and columns, at most; threads times what each keeps. */
#define TLNG_TILE 128
#define TLNG_TILE_THREADS 16
/* Terms in shared memory at a time. */
#define TLNG_TILE_TERMS 16
/* Rows of shared memory begin at multiples of 16 bytes, and not all in the same bank. */
#define TLNG_TILE_STRIDE (TLNG_TILE + 4)
/* A block of terms, and a term more, which is read ahead of the last one's end and not used. */
#define TLNG_TILE_BLOCK ((TLNG_TILE_TERMS + 1) * TLNG_TILE_STRIDE)
/* The block that is worked on, and the next one. */
#define TLNG_TILE_FLOATS (2 * TLNG_TILE_BLOCK)
/* Behind the blocks of a: the rows of its next terms, as bits, term k at k % 512. */
#define TLNG_TILE_ROWS (2 * TLNG_THREADS)

/* A factor of a product: its elements are numbered by the term they belong to, which is their row or their
 * column, and by the row or column of the product, of which there are `count`. */
struct tlng_operand {
  tlng_matrix m;
  bool k_is_row;
  int count;
  bool in_fours; /* four neighbours can be read at once */
};

/* Rows of bytes are padded to words; other rows have to be a multiple of 16 bytes apart. Where neighbours are
 * terms, blocks of terms have to begin at multiples of four. */
TLNG_FUNCTION tlng_operand tlng_operand_of(tlng_matrix m, bool k_is_row, tlng_int count, tlng_int terms) {
  const tlng_int length = tlng_panel_length(terms);
  tlng_operand x;
  x.m = m;
  x.k_is_row = k_is_row;
  x.count = (int)count;
  x.in_fours = (m.bytes || m.stride % 4 == 0) && (k_is_row || length % 4 == 0 || length == terms);
  return x;
}

/* A thread reads two fours of a block of terms. Those of a matrix in which terms are rows are in rows
 * t / 32 + 8 i, and 32 threads read what lies side by side; else they are in one row, from terms
 * 4 (t % 2 + 2 i) on. What is beyond an edge repeats what is before it, and is not used. */
TLNG_FUNCTION int tlng_four_term(int t, int i) { return t / 32 + 8 * i; }

/* Where a thread's fours of a tile begin: in each row, or in all of the matrix. */
TLNG_FUNCTION tlng_int tlng_four_start(tlng_operand x, int first, int t) {
  if (x.k_is_row) return tlng_least_int(first + t % 32 * 4, (x.count - 1) & ~3);
  return tlng_row_start(x.m, tlng_least_int(first + t / 2, x.count - 1));
}

/* The term that number i of a block from k on belongs to, `ahead` of which are there. */
TLNG_FUNCTION int tlng_term_of(int k, int ahead, int t, int i) {
  return k + tlng_least_int(tlng_four_term(t, i), ahead - 1);
}

/* The place of number i of a block, and how far from there the last element is that may be read. */
struct tlng_spot {
  tlng_int at;
  int left;
};

TLNG_FUNCTION tlng_spot tlng_spot_of(tlng_operand x, tlng_int start, unsigned row, int k, int ahead, int t,
                                     int i) {
  const int last = x.k_is_row ? x.count - 1 : ahead - 1;
  const int place = x.k_is_row ? (int)start : tlng_least_int(4 * (t % 2 + 2 * i), last & ~3);
  tlng_spot spot;
  spot.at = (x.k_is_row ? (tlng_int)row * (tlng_int)x.m.stride : start + k) + place;
  spot.left = last - place;
  return spot;
}

TLNG_FUNCTION tlng_four tlng_four_of(float x, float y, float z, float w) {
  tlng_four four;
  four.x = x;
  four.y = y;
  four.z = z;
  four.w = w;
  return four;
}

TLNG_FUNCTION tlng_four tlng_read_one_by_one(tlng_matrix m, tlng_spot spot) {
  float value[4];
  TLNG_UNROLL
  for (int j = 0; j < 4; j++) value[j] = tlng_value(m, spot.at + tlng_least_int(j, spot.left));
  return tlng_four_of(value[0], value[1], value[2], value[3]);
}

TLNG_FUNCTION tlng_four tlng_four_bytes(unsigned word) {
  return tlng_four_of(tlng_byte_value(word & 255u), tlng_byte_value(word >> 8 & 255u),
                      tlng_byte_value(word >> 16 & 255u), tlng_byte_value(word >> 24));
}

/* Into a block [terms][..] of shared memory, of which `ahead` terms are there. The others are `nothing`. */
TLNG_FUNCTION void tlng_place_four(bool k_is_row, tlng_four four, float nothing, int ahead, int t, int i,
                                   TLNG_SHARED_POINTER(float) block) {
  if (k_is_row) {
    const int term = tlng_four_term(t, i);
    if (term >= ahead) four.x = four.y = four.z = four.w = nothing;
    tlng_write_four(block + (term * TLNG_TILE_STRIDE + t % 32 * 4), four);
  } else {
    const int term = 4 * (t % 2 + 2 * i);
    TLNG_SHARED_POINTER(float) column = block + (term * TLNG_TILE_STRIDE + t / 2);
    column[0] = term < ahead ? four.x : nothing;
    column[TLNG_TILE_STRIDE] = term + 1 < ahead ? four.y : nothing;
    column[2 * TLNG_TILE_STRIDE] = term + 2 < ahead ? four.z : nothing;
    column[3 * TLNG_TILE_STRIDE] = term + 3 < ahead ? four.w : nothing;
  }
}

/* Which row of the matrix a term is. */
TLNG_FUNCTION float tlng_row_bits(tlng_matrix m, int term) {
  return tlng_float(m.order ? m.order[term] : (unsigned)term);
}

#endif
