/*
 * Large networks with few outputs: their output layer is not worth tiles, but has many rows and hidden units.
 * What all rows have in common is kept in registers or in shared memory, and each row is read once.
 */
#ifndef TLN_GPU_FEW_H
#define TLN_GPU_FEW_H

#include "elementwise.h"

/* So many outputs at most, here. */
#define TLNG_FEW 16

/* ------------------------------------------------------------------------------- logits */

/* Rows of a group, each with a thread for four lanes, and terms in shared memory at a time. */
#define TLNG_FEW_ROWS (TLNG_THREADS / 4)
#define TLNG_FEW_TERMS 128
/* Rows begin at multiples of 16 bytes, and not all in the same bank. */
#define TLNG_FEW_STRIDE (TLNG_FEW_TERMS + 4)
/* Outputs of four lanes, and those of eight behind them, of which a thread keeps two. */
#define TLNG_FEW_SLOTS 12

/* Which output has a place: those before `narrow` have four lanes, the others eight. */
TLNG_FUNCTION int tlng_output_of_slot(int slot, int narrow) {
  return slot < 8 ? (slot < narrow ? slot : TLNG_FEW) : narrow + slot - 8;
}

/* Adds a rounded product to a sum. */
#define TLNG_ADD_PRODUCT(number, factor, other)                         \
  {                                                                     \
    const float product = factor * other;                               \
    TLNG_MINE(sums, t)[number] = TLNG_MINE(sums, t)[number] + product;  \
  }
#define TLNG_ADD_PRODUCTS(first, factor, four)  \
  TLNG_ADD_PRODUCT(first, factor, four.x)       \
  TLNG_ADD_PRODUCT(first + 1, factor, four.y)   \
  TLNG_ADD_PRODUCT(first + 2, factor, four.z)   \
  TLNG_ADD_PRODUCT(first + 3, factor, four.w)

/* target, predicted and d_logits of a row, by one thread: tlng_row_loss says why they are what they are. */
TLNG_FUNCTION void tlng_few_loss(TLNG_STEP s, tlng_int step, tlng_int row, TLNG_SHARED_POINTER(float) logits,
                                 TLNG_SHARED_POINTER(float) space) {
  TLNG_GLOBAL(float) gradients = s.d_logits;
  TLNG_GLOBAL(float) target = s.target;
  TLNG_GLOBAL(int) predicted = s.predicted;
  const int outputs = (int)s.outputs, label = tlng_label(s, step, row);
  const float share = -1.0f / (float)(unsigned)s.rows;
  float largest = logits[0], first_largest = largest;
  int best = 0;
  TLNG_ROLL
  for (int output = 1; output < outputs; output++) {
    const float logit = logits[output];
    if (logit > largest) largest = logit;
    if (first_largest == first_largest && (logit > first_largest || !(logit == logit))) {
      first_largest = logit;
      best = output;
    }
  }
  if (predicted) predicted[row] = best;
  float sum = 0;
  TLNG_ROLL
  for (int output = 0; output < outputs; output++) {
    const float power = tlng_exp(logits[output] - largest);
    sum = output == 0 ? power : sum + power;
    space[output & 7] = output < 8 ? power : space[output & 7] + power;
  }
  if (outputs >= 8)
    sum = ((space[0] + space[4]) + (space[2] + space[6])) + ((space[1] + space[5]) + (space[3] + space[7]));
  const float log_of_sum = tlng_log(sum);
  TLNG_ROLL
  for (int output = 0; output < outputs; output++) {
    const float shifted = logits[output] - largest;
    const float y = shifted - log_of_sum;
    if (output == label) target[row] = y;
    if (gradients)
      gradients[row * outputs + output] = tlng_fma(-tlng_exp(y), share, output == label ? share : 0.0f);
  }
}

/* Logits of 64 rows, for 2 ..< 12 outputs and a multiple of four hidden units, at least eight: then every
 * sum is a dot of four lanes or of eight, without a prefix (tlng_dot_order_at). Then, with labels, what they
 * say, as in tlng_row_loss. */
TLNG_FUNCTION void tlng_logits_of_rows(TLNG_STEP s, TLNG_PLACE place, tlng_int step, int first,
                                       TLNG_SHARED_POINTER(float) h, TLNG_SHARED_POINTER(float) w) {
  TLNG_GLOBAL(const float) all_h = s.h;
  TLNG_GLOBAL(const float) w2 = s.w2;
  TLNG_GLOBAL(const float) b2 = s.b2;
  TLNG_GLOBAL(float) logits = s.logits;
  const int hidden = (int)s.hidden, outputs = (int)s.outputs, narrow = outputs & ~3;
  const int pairs = hidden / 8; /* of a thread's terms, with four lanes between them */
  TLNG_OWN(float, sums, TLNG_FEW_SLOTS + 4);
  TLNG_OWN(tlng_four, next_h, 8);
  TLNG_OWN(float, next_w, 6);
  /* One round more than there are blocks: it only reads the first. */
  TLNG_ROLL
  for (int k = -TLNG_FEW_TERMS; k < hidden; k += TLNG_FEW_TERMS) {
    TLNG_EACH_THREAD(t) {
      if (k >= 0) {
        TLNG_UNROLL
        for (int i = 0; i < 8; i++)
          tlng_write_four(h + ((t / 32 + 8 * i) * TLNG_FEW_STRIDE + t % 32 * 4), TLNG_MINE(next_h, t)[i]);
        TLNG_UNROLL
        for (int i = 0; i < 6; i++)
          w[t % TLNG_FEW_TERMS * TLNG_FEW_SLOTS + t / TLNG_FEW_TERMS + 2 * i] = TLNG_MINE(next_w, t)[i];
      } else {
        TLNG_UNROLL
        for (int i = 0; i < TLNG_FEW_SLOTS + 4; i++) TLNG_MINE(sums, t)[i] = 0;
      }
    }
    TLNG_EACH_THREAD(t) {
      const int next = k + TLNG_FEW_TERMS;
      if (next < hidden) {
        const int term = tlng_least_int(next + t % 32 * 4, hidden - 4);
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) {
          const tlng_int row = tlng_least(first + t / 32 + 8 * i, s.rows - 1);
          TLNG_MINE(next_h, t)[i] = tlng_read_four(all_h + (row * hidden + term));
        }
        const int own = tlng_least_int(next + t % TLNG_FEW_TERMS, hidden - 1);
        TLNG_UNROLL
        for (int i = 0; i < 6; i++) {
          const int output = tlng_output_of_slot(t / TLNG_FEW_TERMS + 2 * i, narrow);
          TLNG_MINE(next_w, t)[i] = output < outputs ? w2[(tlng_int)output * hidden + own] : 0.0f;
        }
      }
      if (k >= 0) {
        const int here = tlng_least_int(pairs - k / 8, TLNG_FEW_TERMS / 8);
        TLNG_SHARED_POINTER(float) own_h = h + (t / 4 * TLNG_FEW_STRIDE + t % 4);
        TLNG_SHARED_POINTER(float) own_w = w + t % 4 * TLNG_FEW_SLOTS;
        TLNG_ROLL
        for (int pair = 0; pair < here; pair++) {
          TLNG_UNROLL
          for (int i = 0; i < 2; i++) {
            const float factor = own_h[4 * i];
            const tlng_four w0 = tlng_read_four(own_w + 48 * i), w1 = tlng_read_four(own_w + (48 * i + 4));
            const tlng_four w8 = tlng_read_four(own_w + (48 * i + 8));
            TLNG_ADD_PRODUCTS(0, factor, w0)
            TLNG_ADD_PRODUCTS(4, factor, w1)
            TLNG_ADD_PRODUCT(8 + 4 * i, factor, w8.x)
            TLNG_ADD_PRODUCT(9 + 4 * i, factor, w8.y)
            TLNG_ADD_PRODUCT(10 + 4 * i, factor, w8.z)
          }
          own_h = own_h + 8;
          own_w = own_w + 96;
        }
        /* The last four terms, of four lanes only. */
        if (here >= 0 && here < TLNG_FEW_TERMS / 8 && hidden % 8 != 0) {
          const float factor = own_h[0];
          const tlng_four w0 = tlng_read_four(own_w), w1 = tlng_read_four(own_w + 4);
          TLNG_ADD_PRODUCTS(0, factor, w0)
          TLNG_ADD_PRODUCTS(4, factor, w1)
        }
      }
    }
  }
  /* h becomes [rows][16][4 lanes], one bank further for each row. */
  TLNG_EACH_THREAD(t) {
    TLNG_UNROLL
    for (int i = 0; i < TLNG_FEW_SLOTS + 4; i++)
      h[t / 4 * 65 + 4 * i + t % 4] = TLNG_MINE(sums, t)[i];
  }
  TLNG_EACH_THREAD(t) {
    const tlng_int row = first + t / 4;
    if (row < s.rows) {
      TLNG_ROLL
      for (int output = t % 4; output < outputs; output += 4) {
        const int place_of = t / 4 * 65 + 4 * (output < narrow ? output : 8 + output - narrow);
        TLNG_SHARED_POINTER(float) l = h + place_of;
        float sum;
        if (output < narrow) {
          sum = (l[0] + l[2]) + (l[1] + l[3]);
        } else {
          TLNG_SHARED_POINTER(float) m = l + 16;
          sum = ((l[0] + m[0]) + (l[2] + m[2])) + ((l[1] + m[1]) + (l[3] + m[3]));
          TLNG_ROLL
          for (int k = 8 * pairs; k < hidden; k++) {
            const float product = all_h[row * hidden + k] * w2[(tlng_int)output * hidden + k];
            sum = sum + product;
          }
        }
        const float logit = b2[output] + sum;
        logits[row * outputs + output] = logit;
        w[t / 4 * TLNG_FEW_SLOTS + output] = logit;
      }
    }
  }
  TLNG_EACH_THREAD(t) {
    if (s.labels && t < TLNG_FEW_ROWS && first + t < s.rows)
      tlng_few_loss(s, step, first + t, w + t * TLNG_FEW_SLOTS, h + 65 * t);
  }
}

/* ---------------------------------------------------------------------- hidden gradient */

/* Rows and columns of a tile. */
#define TLNG_FEW_TILE 128
#define TLNG_FEW_GRADIENTS (TLNG_FEW_TILE * TLNG_FEW)

/* A tile of d_h = d_logits w2, zero where the unit was not active, for up to 16 outputs and a
 * multiple of four hidden units: a sum is one panel.
 * A thread has four columns and every eighth four rows; what belongs to outputs that are not there is -0 and
 * 0, whose product changes nothing. */
TLNG_FUNCTION void tlng_hidden_gradient_of_rows(TLNG_STEP s, TLNG_PLACE place, int row, int column,
                                            TLNG_SHARED_POINTER(float) gradients) {
  TLNG_GLOBAL(const float) all_gradients = s.d_logits;
  TLNG_GLOBAL(const float) w2 = s.w2;
  TLNG_GLOBAL(const float) h = s.h;
  TLNG_GLOBAL(float) d_h = s.d_h;
  const int rows = (int)s.rows, hidden = (int)s.hidden, outputs = (int)s.outputs;
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int i = t; i < TLNG_FEW_GRADIENTS; i += TLNG_THREADS) {
      const int r = row + i / TLNG_FEW, k = i % TLNG_FEW;
      gradients[i] = r < rows && k < outputs ? all_gradients[(tlng_int)r * outputs + k] : -0.0f;
    }
  }
  TLNG_EACH_THREAD(t) {
    const int own = column + t % 32 * 4;
    if (own < hidden) {
      float w[4 * TLNG_FEW];
      TLNG_UNROLL
      for (int k = 0; k < TLNG_FEW; k++) {
        w[4 * k] = w[4 * k + 1] = w[4 * k + 2] = w[4 * k + 3] = 0;
        if (k < outputs) {
          const tlng_four four = tlng_read_four(w2 + ((tlng_int)k * hidden + own));
          w[4 * k] = four.x;
          w[4 * k + 1] = four.y;
          w[4 * k + 2] = four.z;
          w[4 * k + 3] = four.w;
        }
      }
      TLNG_ROLL
      for (int n = t / 32 * 4; n < TLNG_FEW_TILE && row + n < rows; n += TLNG_THREADS / 8) {
        tlng_four mask[4];
        float sums[16];
        TLNG_UNROLL
        for (int i = 0; i < 4; i++)
          mask[i] = tlng_read_four(h + ((tlng_int)tlng_least_int(row + n + i, rows - 1) * hidden + own));
        TLNG_UNROLL
        for (int i = 0; i < 16; i++) sums[i] = 0;
        TLNG_UNROLL
        for (int k = 0; k < TLNG_FEW; k += 4) {
          if (k < outputs) {
            TLNG_UNROLL
            for (int i = 0; i < 4; i++) {
              const tlng_four g = tlng_read_four(gradients + ((n + i) * TLNG_FEW + k));
              TLNG_UNROLL
              for (int j = 0; j < 4; j++) {
                float sum = sums[4 * i + j];
                sum = tlng_fma(g.x, w[4 * k + j], sum);
                sum = tlng_fma(g.y, w[4 * k + 4 + j], sum);
                sum = tlng_fma(g.z, w[4 * k + 8 + j], sum);
                sums[4 * i + j] = tlng_fma(g.w, w[4 * k + 12 + j], sum);
              }
            }
          }
        }
        TLNG_UNROLL
        for (int i = 0; i < 4; i++) {
          if (row + n + i < rows) {
            tlng_four four;
            four.x = mask[i].x <= 0.0f ? 0.0f : sums[4 * i];
            four.y = mask[i].y <= 0.0f ? 0.0f : sums[4 * i + 1];
            four.z = mask[i].z <= 0.0f ? 0.0f : sums[4 * i + 2];
            four.w = mask[i].w <= 0.0f ? 0.0f : sums[4 * i + 3];
            tlng_write_four(d_h + ((tlng_int)(row + n + i) * hidden + own), four);
          }
        }
      }
    }
  }
}

/* -------------------------------------------------------------------------------- update */

/* Panels that a group adds up at the same time, a warp for each, and their rows in shared memory at a time. */
#define TLNG_FEW_PANELS (TLNG_THREADS / 32)
#define TLNG_FEW_PIECE 16
#define TLNG_FEW_SPACE (TLNG_FEW_PANELS * TLNG_FEW * 32)

/* Whether the gradient of the outputs' weights is for tlng_few_update: the sums are in several panels. */
TLNG_FUNCTION bool tlng_is_few_update(tlng_int outputs, tlng_int hidden, tlng_int rows) {
  return !tlng_is_small(outputs, hidden, rows) && outputs <= TLNG_FEW && rows >= 384;
}

/* Updates w2 and its momentum for 32 hidden units from `first` on. `space` and `units` have TLNG_FEW_SPACE
 * floats each. */
TLNG_FUNCTION void tlng_few_update(TLNG_STEP s, tlng_sgd optimizer, TLNG_PLACE place, int first,
                                 TLNG_SHARED_POINTER(float) space, TLNG_SHARED_POINTER(float) units) {
  TLNG_GLOBAL(const float) gradients = s.d_logits;
  TLNG_GLOBAL(const float) h = s.h;
  const int rows = (int)s.rows, hidden = (int)s.hidden, outputs = (int)s.outputs;
  const int length = (int)tlng_panel_length(rows), pieces = (int)tlng_parts(length, TLNG_FEW_PIECE);
  const int panels = (int)tlng_parts(rows, length);
  TLNG_OWN(float, sums, TLNG_FEW);
  TLNG_OWN(float, totals, 2);
  TLNG_OWN(float, next_h, TLNG_FEW_PIECE);
  TLNG_OWN(float, next_gradients, TLNG_FEW / 2);
  TLNG_ROLL
  for (int first_panel = 0; first_panel < panels; first_panel += TLNG_FEW_PANELS) {
    TLNG_ROLL
    for (int piece = -1; piece < pieces; piece++) {
      TLNG_EACH_THREAD(t) {
        if (piece >= 0) {
          TLNG_UNROLL
          for (int i = 0; i < TLNG_FEW_PIECE; i++)
            units[t / 32 * (TLNG_FEW_PIECE * 32) + 32 * i + t % 32] = TLNG_MINE(next_h, t)[i];
          TLNG_UNROLL
          for (int i = 0; i < TLNG_FEW / 2; i++)
            space[t / 32 * (TLNG_FEW * TLNG_FEW_PIECE) + t % 32 + 32 * i] = TLNG_MINE(next_gradients, t)[i];
        }
      }
      TLNG_EACH_THREAD(t) {
        const int panel = first_panel + t / 32, begin = panel * length + piece * TLNG_FEW_PIECE;
        const int end = panel < panels ? tlng_least_int((panel + 1) * length, rows) : 0;
        const int next = begin + TLNG_FEW_PIECE;
        if (next < end && piece + 1 < pieces) {
          const int column = tlng_least_int(first + t % 32, hidden - 1);
          TLNG_UNROLL
          for (int i = 0; i < TLNG_FEW_PIECE; i++)
            TLNG_MINE(next_h, t)[i] = h[(tlng_int)tlng_least_int(next + i, end - 1) * hidden + column];
          TLNG_UNROLL
          for (int i = 0; i < TLNG_FEW / 2; i++) {
            const int output = t % TLNG_FEW, row = tlng_least_int(next + t % 32 / TLNG_FEW + 2 * i, end - 1);
            TLNG_MINE(next_gradients, t)[i] =
                output < outputs ? gradients[(tlng_int)row * outputs + output] : 0.0f;
          }
        }
        if (piece < 0) {
          TLNG_UNROLL
          for (int i = 0; i < TLNG_FEW; i++) TLNG_MINE(sums, t)[i] = 0;
        } else {
          TLNG_ROLL
          for (int i = 0; i < tlng_least_int(TLNG_FEW_PIECE, end - begin); i++) {
            const float unit = units[t / 32 * (TLNG_FEW_PIECE * 32) + 32 * i + t % 32];
            TLNG_UNROLL
            for (int k = 0; k < TLNG_FEW; k += 4) {
              if (k < outputs) {
                const tlng_four g =
                    tlng_read_four(space + (t / 32 * (TLNG_FEW * TLNG_FEW_PIECE) + i * TLNG_FEW + k));
                TLNG_MINE(sums, t)[k] = tlng_fma(g.x, unit, TLNG_MINE(sums, t)[k]);
                TLNG_MINE(sums, t)[k + 1] = tlng_fma(g.y, unit, TLNG_MINE(sums, t)[k + 1]);
                TLNG_MINE(sums, t)[k + 2] = tlng_fma(g.z, unit, TLNG_MINE(sums, t)[k + 2]);
                TLNG_MINE(sums, t)[k + 3] = tlng_fma(g.w, unit, TLNG_MINE(sums, t)[k + 3]);
              }
            }
          }
        }
      }
    }
    /* [panels][outputs][units] */
    TLNG_EACH_THREAD(t) {
      TLNG_UNROLL
      for (int i = 0; i < TLNG_FEW; i++)
        space[t / 32 * (TLNG_FEW * 32) + 32 * i + t % 32] = TLNG_MINE(sums, t)[i];
    }
    TLNG_EACH_THREAD(t) {
      TLNG_UNROLL
      for (int i = 0; i < 2; i++) {
        float total = TLNG_MINE(totals, t)[i];
        TLNG_ROLL
        for (int panel = 0; panel < TLNG_FEW_PANELS && first_panel + panel < panels; panel++) {
          const float sum = space[panel * (TLNG_FEW * 32) + t + TLNG_THREADS * i];
          total = first_panel + panel == 0 ? sum : total + sum;
        }
        TLNG_MINE(totals, t)[i] = total;
      }
    }
  }
  TLNG_EACH_THREAD(t) {
    TLNG_UNROLL
    for (int i = 0; i < 2; i++) {
      const int output = t / 32 + TLNG_THREADS / 32 * i, column = first + t % 32;
      if (output < outputs && column < hidden)
        tlng_update_one(optimizer, TLNG_MINE(totals, t)[i], s.w2, s.v2, (tlng_int)output * hidden + column);
    }
  }
}

#endif
