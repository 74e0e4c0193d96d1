/*
 * The first layer forward: h = max(x w1 + b1, 0). For networks of moderate size, where a step takes as
 * long as its longest chain: the panels of a sum are added up at the same time, by different threads.
 * Large ones go through tiles.h.
 */
#ifndef TLN_GPU_HIDDEN_H
#define TLN_GPU_HIDDEN_H

#include "elementwise.h"

/* max(z, 0), except that NaN and -0 stay. */
TLNG_FUNCTION float tlng_rectified(float z) { return z < 0.0f ? 0.0f : z; }

/* Panels that a group adds up at the same time, a warp or more for each; a power of two. */
TLNG_FUNCTION int tlng_panels_at_once(tlng_int panels) {
  return panels <= 1 ? 1 : panels <= 2 ? 2 : panels <= 4 ? 4 : 8;
}

/* Rows whose sums a thread keeps, and hidden units side by side. */
#define TLNG_HIDDEN_ROWS 4
#define TLNG_HIDDEN_UNITS 32
#define TLNG_HIDDEN_FEATURES (192 * 8 * TLNG_HIDDEN_ROWS)

/* A tile of 32 / at_once rows and 32 units. */
TLNG_FUNCTION void tlng_hidden_tile(TLNG_STEP s, TLNG_PLACE place, tlng_matrix x, tlng_int first_row,
                                    tlng_int first_unit, TLNG_SHARED_POINTER(float) features,
                                    TLNG_SHARED_POINTER(float) partial) {
  TLNG_GLOBAL(const float) w1 = s.w1;
  TLNG_GLOBAL(const float) b1 = s.b1;
  TLNG_GLOBAL(float) h = s.h;
  const int inputs = (int)s.inputs, hidden = (int)s.hidden;
  const int length = (int)tlng_panel_length(inputs);
  const int at_once = tlng_panels_at_once(tlng_parts(inputs, length));
  const int rows = TLNG_THREADS / TLNG_HIDDEN_UNITS * TLNG_HIDDEN_ROWS / at_once;
  const int present = (int)tlng_least(rows, s.rows - first_row);
  TLNG_OWN(float, totals, 4);
  for (int chunk = 0; chunk < inputs; chunk += at_once * length) {
    const int count = (int)tlng_least(at_once * length, inputs - chunk);
    /* features[k][row] */
    TLNG_EACH_THREAD(t) {
      const int threads = TLNG_THREADS / rows;
      const int row = t / threads;
      if (row < present) {
        const tlng_int start = tlng_row_start(x, first_row + row) + chunk;
        for (int k = t % threads; k < count; k += threads)
          features[k * rows + row] = tlng_value(x, start + k);
      }
    }
    TLNG_EACH_THREAD(t) {
      const int warp = t / TLNG_HIDDEN_UNITS, lane = t % TLNG_HIDDEN_UNITS;
      const int slot = warp % at_once, row = warp / at_once * TLNG_HIDDEN_ROWS;
      const tlng_int unit = first_unit + lane;
      const int start = slot * length, end = (int)tlng_least(start + length, count);
      float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
      if (unit < hidden && row < present) {
        int k = start;
        while (k < end) {
          /* So many weights are read together; a zero feature is left out. */
          float w[16];
          TLNG_UNROLL
          for (int i = 0; i < 16; i++)
            w[i] = k + i < end ? w1[(tlng_int)(chunk + k + i) * hidden + unit] : 0.0f;
          TLNG_UNROLL
          for (int i = 0; i < 16; i++) {
            if (k + i < end) {
              const int at = (k + i) * rows + row;
              const float x0 = features[at];
              if (x0 != 0.0f) sum0 = tlng_fma(x0, w[i], sum0);
              const float x1 = features[at + 1];
              if (x1 != 0.0f) sum1 = tlng_fma(x1, w[i], sum1);
              const float x2 = features[at + 2];
              if (x2 != 0.0f) sum2 = tlng_fma(x2, w[i], sum2);
              const float x3 = features[at + 3];
              if (x3 != 0.0f) sum3 = tlng_fma(x3, w[i], sum3);
            }
          }
          k += 16;
        }
      }
      const int at = (slot * rows + row) * TLNG_HIDDEN_UNITS + lane;
      partial[at] = sum0;
      partial[at + TLNG_HIDDEN_UNITS] = sum1;
      partial[at + 2 * TLNG_HIDDEN_UNITS] = sum2;
      partial[at + 3 * TLNG_HIDDEN_UNITS] = sum3;
    }
    TLNG_EACH_THREAD(t) {
      const tlng_int unit = first_unit + t % TLNG_HIDDEN_UNITS;
      for (int i = 0; i < 4; i++) {
        const int row = t / TLNG_HIDDEN_UNITS + TLNG_THREADS / TLNG_HIDDEN_UNITS * i;
        if (row < present && unit < hidden) {
          float total = chunk == 0 ? b1[unit] : TLNG_MINE(totals, t)[i];
          for (int slot = 0; slot < at_once && slot * length < count; slot++)
            total = total + partial[(slot * rows + row) * TLNG_HIDDEN_UNITS + t % TLNG_HIDDEN_UNITS];
          TLNG_MINE(totals, t)[i] = total;
          if (chunk + count == inputs)
            h[(first_row + row) * hidden + unit] = tlng_rectified(total);
        }
      }
    }
  }
}

/* Element by element, where the sums are dots. */
TLNG_FUNCTION void tlng_hidden_dots(TLNG_STEP s, TLNG_PLACE place, tlng_matrix x) {
  TLNG_GLOBAL(const float) w1 = s.w1;
  TLNG_GLOBAL(const float) b1 = s.b1;
  TLNG_GLOBAL(float) h = s.h;
  const tlng_int elements = s.rows * s.hidden;
  TLNG_EACH_THREAD(t) {
    for (tlng_int i = (tlng_int)place.group * TLNG_THREADS + t; i < elements;
         i += (tlng_int)place.groups * TLNG_THREADS) {
      const tlng_int row = i / s.hidden, unit = i % s.hidden;
      tlng_terms terms;
      terms.a = x;
      terms.k_is_row = false;
      terms.a_fixed = tlng_row_start(x, row);
      terms.b = w1 + unit;
      terms.b_step = s.hidden;
      terms.count = s.inputs;
      const float sum = tlng_dot(
          terms, tlng_dot_order_at(s.batch, s.hidden, s.inputs, s.first_row + row, unit));
      h[i] = tlng_rectified(b1[unit] + sum);
    }
  }
}

#endif
