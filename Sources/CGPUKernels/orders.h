/*
 * In which order sums are added up: that of Sources/Kernels/Orders.swift, which says why, for one thread
 * that computes one element. Sums of many elements at once are in hidden.h, update.h and tiles.h.
 */
#ifndef TLN_GPU_ORDERS_H
#define TLN_GPU_ORDERS_H

#include "dialect.h"
#include "layout.h"

TLNG_FUNCTION tlng_int tlng_least(tlng_int a, tlng_int b) { return a < b ? a : b; }

TLNG_FUNCTION int tlng_least_int(int a, int b) { return a < b ? a : b; }

/* a / b, rounded up; numbers of tiles fit in 31 bits, because what they are tiles of is in memory. */
TLNG_FUNCTION tlng_int tlng_parts(tlng_int a, tlng_int b) { return (a + b - 1) / b; }

/* Whether a product of rows x columns elements, sums of so many terms, is not in panels. */
TLNG_FUNCTION bool tlng_is_small(tlng_int rows, tlng_int columns, tlng_int terms) {
  return rows < 4 || columns < 12 || terms == 1;
}

TLNG_FUNCTION int tlng_misalignment(tlng_int index) { return (int)((4 - (index & 3)) & 3); }

TLNG_FUNCTION tlng_int tlng_grouped_columns(tlng_int row, tlng_int rows, tlng_int columns,
                                            tlng_int terms) {
  if (rows == 1 || columns == 1 || terms == 1) return 0;
  const tlng_int head = tlng_misalignment(row * columns);
  return columns >= 4 && columns >= head + 4 ? head : 0;
}

/* A matrix in the device's memory: rows of bytes (which stand for value / 255) or of floats, that may be
 * taken in another order than they lie. */
struct tlng_matrix {
  TLNG_GLOBAL(const unsigned char) bytes;
  TLNG_GLOBAL(const float) floats;
  TLNG_GLOBAL(const unsigned) order; /* or null */
  unsigned stride;                   /* elements from row to row */
};

TLNG_FUNCTION tlng_matrix tlng_floats(TLNG_GLOBAL(const float) floats, tlng_int stride) {
  tlng_matrix m;
  m.bytes = nullptr;
  m.floats = floats;
  m.order = nullptr;
  m.stride = (unsigned)stride;
  return m;
}

/* value / 255, rounded once, for whole numbers up to 255: 1 / 255 as a float, and what is missing from it. */
TLNG_FUNCTION float tlng_scaled(float value) {
  const float low = value * -2.3191758e-10f;
  return tlng_fma(value, 1.0f / 255.0f, low);
}

/* 2^23 + value is exact, and takes no conversion, which devices are slow at. */
TLNG_FUNCTION float tlng_byte_value(unsigned value) {
  return tlng_scaled(tlng_float(0x4b000000u | value) - 8388608.0f);
}

/* Where a row begins. Rows and strides have 32 bits, which devices multiply at once. */
TLNG_FUNCTION tlng_int tlng_row_start(tlng_matrix m, tlng_int row) {
  const unsigned place = m.order ? m.order[row] : (unsigned)row;
  return (tlng_int)place * (tlng_int)m.stride;
}

TLNG_FUNCTION float tlng_value(tlng_matrix m, tlng_int index) {
  return m.bytes ? tlng_byte_value(m.bytes[index]) : m.floats[index];
}

/* The terms of one element's sum: term k is a[k] b[k], where k is the row or the column of a. */
struct tlng_terms {
  tlng_matrix a;
  bool k_is_row;
  tlng_int a_fixed; /* the column, or the start of the row */
  TLNG_GLOBAL(const float) b;
  tlng_int b_step;
  tlng_int count;
};

TLNG_FUNCTION float tlng_left(tlng_terms x, tlng_int k) {
  return tlng_value(x.a, x.k_is_row ? tlng_row_start(x.a, k) + x.a_fixed : x.a_fixed + k);
}

TLNG_CALLED float tlng_term(tlng_terms x, tlng_int k) {
  return tlng_left(x, k) * x.b[k * x.b_step];
}

/* Rounded products are added from `start` on, every `spacing`. */
TLNG_CALLED float tlng_chain(tlng_terms x, float sum, tlng_int start, tlng_int end, int spacing) {
  TLNG_ROLL
  for (tlng_int k = start; k < end; k += spacing) {
    const float product = tlng_term(x, k);
    sum = sum + product;
  }
  return sum;
}

/* Fused multiply-adds in panels, added to `total`; a total of nothing is the first panel itself. */
TLNG_CALLED float tlng_panels(tlng_terms x, bool has_total, float total) {
  const tlng_int length = tlng_panel_length(x.count);
  TLNG_ROLL
  for (tlng_int start = 0; start < x.count; start += length) {
    const tlng_int end = tlng_least(start + length, x.count);
    float sum = 0;
    TLNG_ROLL
    for (tlng_int k = start; k < end; k++) sum = tlng_fma(tlng_left(x, k), x.b[k * x.b_step], sum);
    total = has_total ? total + sum : sum;
    has_total = true;
  }
  return total;
}

/* Rounded products: the only one as it is, in groups of eight, or one by one. */
TLNG_CALLED float tlng_sequence(tlng_terms x, bool is_single, bool is_grouped) {
  if (is_single) return tlng_term(x, 0);
  float sum = 0;
  tlng_int k = 0;
  if (is_grouped) {
    TLNG_ROLL
    for (; k + 8 <= x.count; k += 8) {
      const float high =
          ((tlng_term(x, k + 4) + tlng_term(x, k + 5)) + tlng_term(x, k + 6)) + tlng_term(x, k + 7);
      const float low = (((sum + tlng_term(x, k)) + tlng_term(x, k + 1)) + tlng_term(x, k + 2)) +
                        tlng_term(x, k + 3);
      sum = high + low;
    }
  }
  return tlng_chain(x, sum, k, x.count, 1);
}

/* The order of a dot; see DotOrder in Orders.swift. */
struct tlng_dot_order {
  tlng_int prefix;
  tlng_int end; /* one past the last product that goes into the lanes */
  int lanes;
};

TLNG_FUNCTION tlng_dot_order tlng_dot_order_of(bool seeded, int head, int width, int lanes,
                                               tlng_int terms) {
  const int seed = seeded ? 1 : 0;
  tlng_dot_order order;
  order.prefix = terms - seed >= head + width ? seed + head : terms;
  order.end = order.prefix + ((terms - order.prefix) & ~(tlng_int)(width - 1)); /* 4 or 8 */
  order.lanes = lanes;
  return order;
}

TLNG_CALLED tlng_dot_order tlng_dot_order_at(tlng_int rows, tlng_int columns, tlng_int terms,
                                             tlng_int row, tlng_int column) {
  if (rows > 1 && columns > 1) {
    const int width = column >= (columns & ~(tlng_int)3) ? 8 : 4;
    return tlng_dot_order_of(false, tlng_misalignment(row * terms), width, width, terms);
  }
  const tlng_int count = columns == 1 ? rows : columns;
  const tlng_int tail = (columns == 1 ? row : column) - (count & ~(tlng_int)3);
  if (count > 1 && tail < 0)
    return tlng_dot_order_of(true, tlng_misalignment(3 * terms + 1), 4, 4, terms);
  return tlng_dot_order_of(true, 3, 8, count > 1 && (tail & 1) == 1 ? 4 : 8, terms);
}

/* What goes into lane 0 ..< 8 of a dot; the first takes the prefix. */
TLNG_FUNCTION float tlng_lane(tlng_terms x, tlng_dot_order order, int lane) {
  if (lane >= order.lanes) return 0;
  const float start = lane == 0 ? tlng_chain(x, 0, 0, order.prefix, 1) : 0;
  return tlng_chain(x, start, order.prefix + lane, order.end, order.lanes);
}

/* Eight lanes added up, and the products after them. */
TLNG_FUNCTION float tlng_fold_lanes(tlng_terms x, tlng_dot_order order, float l0, float l1, float l2,
                                    float l3, float l4, float l5, float l6, float l7) {
  float sum;
  if (order.lanes == 4)
    sum = (l0 + l2) + (l1 + l3);
  else
    sum = ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7));
  return tlng_chain(x, sum, order.end, x.count, 1);
}

TLNG_CALLED float tlng_dot(tlng_terms x, tlng_dot_order order) {
  float lanes[8];
  TLNG_ROLL
  for (int lane = 0; lane < 8; lane++) lanes[lane] = tlng_lane(x, order, lane);
  return tlng_fold_lanes(x, order, lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5],
                         lanes[6], lanes[7]);
}

#endif
