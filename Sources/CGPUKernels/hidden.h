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

/* Panels that a group adds up at the same time, a warp or more for each: 1, 2, 4 or 8, as a power of 2. */
TLNG_FUNCTION int tlng_panels_at_once(int inputs) {
  return inputs <= 192 ? 0 : inputs < 384 ? (inputs & 1) + 1 : inputs == 384 ? 1 : inputs <= 768 ? 2 : 3;
}

/* Rows whose sums a thread keeps, and hidden units side by side. */
#define TLNG_HIDDEN_ROWS 4
#define TLNG_HIDDEN_UNITS 32
/* Rows of a tile, if a sum is one panel. */
#define TLNG_HIDDEN_ROWS_OF_TILE (TLNG_THREADS / TLNG_HIDDEN_UNITS * TLNG_HIDDEN_ROWS)
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
  const int log_at_once = tlng_panels_at_once(inputs), at_once = 1 << log_at_once;
  const int rows = TLNG_HIDDEN_ROWS_OF_TILE >> log_at_once;
  const int room = (at_once * length + 3) & ~3; /* for features of a row */
  const int present = (int)tlng_least(rows, s.rows - first_row);
  TLNG_OWN(float, totals, 4);
  TLNG_ROLL
  for (int chunk = 0; chunk < inputs; chunk += at_once * length) {
    const int count = tlng_least_int(at_once * length, inputs - chunk);
    /* features[row / 4][k][row % 4], so that a thread reads those of its rows together */
    TLNG_EACH_THREAD(t) {
      const int threads = TLNG_THREADS / TLNG_HIDDEN_ROWS_OF_TILE << log_at_once;
      const int row = t >> (log_at_once + 3), own = t & (threads - 1);
      if (row < present) {
        const int at = (row & ~3) * room + (row & 3);
        const tlng_int start = tlng_row_start(x, first_row + row) + chunk;
        if (x.bytes) {
          /* Four bytes at a time; what is behind the last is never used. */
          TLNG_GLOBAL(const unsigned) words = (TLNG_GLOBAL(const unsigned))(x.bytes + start);
          const int last = (count - 1) / 4;
          TLNG_ROLL
          for (int first = own; first <= last; first += 4 * threads) {
            unsigned word[4];
            TLNG_UNROLL
            for (int i = 0; i < 4; i++) word[i] = words[tlng_least_int(first + i * threads, last)];
            TLNG_UNROLL
            for (int i = 0; i < 4; i++) {
              const int k = 4 * tlng_least_int(first + i * threads, last);
              TLNG_UNROLL
              for (int j = 0; j < 4; j++)
                features[at + 4 * (k + j)] = tlng_byte_value(word[i] >> (8 * j) & 255u);
            }
          }
        } else {
          TLNG_ROLL
          for (int first = own; first < count; first += 4 * threads) {
            float value[4];
            TLNG_UNROLL
            for (int i = 0; i < 4; i++)
              value[i] = x.floats[start + tlng_least_int(first + i * threads, count - 1)];
            TLNG_UNROLL
            for (int i = 0; i < 4; i++)
              features[at + 4 * (int)tlng_least_int(first + i * threads, count - 1)] = value[i];
          }
        }
      }
    }
    TLNG_EACH_THREAD(t) {
      const int warp = t / TLNG_HIDDEN_UNITS, lane = t % TLNG_HIDDEN_UNITS;
      const int slot = warp & (at_once - 1), row = (warp >> log_at_once) * TLNG_HIDDEN_ROWS;
      const tlng_int unit = first_unit + lane;
      const int end = tlng_least_int((slot + 1) * length, count);
      float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
      if (unit < hidden && row < present) {
        const int group = row * room;
        tlng_int weight = (tlng_int)(chunk + slot * length) * hidden + unit;
        int k = slot * length;
        /* So many weights are read together. A zero feature is left out. */
        TLNG_ROLL
        for (; k + 16 <= end; k += 16) {
          float w[16];
          TLNG_UNROLL
          for (int i = 0; i < 16; i++) {
            w[i] = w1[weight];
            weight += hidden;
          }
          TLNG_UNROLL
          for (int i = 0; i < 16; i++) {
            const tlng_four f = tlng_read_four(features + (group + 4 * (k + i)));
            if (f.x != 0.0f) sum0 = tlng_fma(f.x, w[i], sum0);
            if (f.y != 0.0f) sum1 = tlng_fma(f.y, w[i], sum1);
            if (f.z != 0.0f) sum2 = tlng_fma(f.z, w[i], sum2);
            if (f.w != 0.0f) sum3 = tlng_fma(f.w, w[i], sum3);
          }
        }
        TLNG_ROLL
        for (; k < end; k++) {
          const float w = w1[weight];
          const tlng_four f = tlng_read_four(features + (group + 4 * k));
          if (f.x != 0.0f) sum0 = tlng_fma(f.x, w, sum0);
          if (f.y != 0.0f) sum1 = tlng_fma(f.y, w, sum1);
          if (f.z != 0.0f) sum2 = tlng_fma(f.z, w, sum2);
          if (f.w != 0.0f) sum3 = tlng_fma(f.w, w, sum3);
          weight += hidden;
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
      TLNG_UNROLL
      for (int i = 0; i < 4; i++) {
        const int row = t / TLNG_HIDDEN_UNITS + TLNG_THREADS / TLNG_HIDDEN_UNITS * i;
        if (row < present && unit < hidden) {
          float total = chunk == 0 ? b1[unit] : TLNG_MINE(totals, t)[i];
          TLNG_ROLL
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
    TLNG_ROLL
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
