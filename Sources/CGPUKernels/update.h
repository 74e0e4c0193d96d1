/*
 * Gradients of the weights and biases, sums over the batch's rows, and the optimiser's update: the
 * gradients never exist in memory. For networks of moderate size; large ones go through tiles.h.
 */
#ifndef TLN_GPU_UPDATE_H
#define TLN_GPU_UPDATE_H

#include "biases.h"

/* A product over the rows of a batch, a' b with a [rows][count] and b [rows][columns], whose elements
 * update p and v [count][columns]. */
struct tlng_weights {
  tlng_matrix a;
  tlng_int count;
  bool skips_zeros; /* of a */
  TLNG_GLOBAL(const float) b;
  tlng_int columns;
  TLNG_GLOBAL(float) p;
  TLNG_GLOBAL(float) v;
  bool is_w1; /* PyTorch has this one's rows and columns the other way round */
};

TLNG_FUNCTION tlng_weights tlng_hidden_weights(TLNG_STEP s, tlng_int step) {
  tlng_weights w;
  w.a = tlng_features(s, step);
  w.count = s.inputs;
  w.skips_zeros = true;
  w.b = s.d_h;
  w.columns = s.hidden;
  w.p = s.w1;
  w.v = s.v1;
  w.is_w1 = true;
  return w;
}

TLNG_FUNCTION tlng_weights tlng_output_weights(TLNG_STEP s) {
  tlng_weights w;
  w.a = tlng_floats(s.d_logits, s.outputs);
  w.count = s.outputs;
  w.skips_zeros = false;
  w.b = s.h;
  w.columns = s.hidden;
  w.p = s.w2;
  w.v = s.v2;
  w.is_w1 = false;
  return w;
}

/* The gradient of an element, where the sums are not in panels. */
TLNG_CALLED float tlng_small_gradient(tlng_weights w, tlng_int rows, tlng_int i, tlng_int column) {
  tlng_terms terms;
  terms.a = w.a;
  terms.k_is_row = true;
  terms.a_fixed = i;
  terms.b = w.b + column;
  terms.b_step = w.columns;
  terms.count = rows;
  const bool is_single = rows == 1 && w.count > 1 && w.columns > 1;
  const bool is_grouped = w.is_w1 ? i < tlng_grouped_columns(column, w.columns, w.count, rows)
                                  : column < tlng_grouped_columns(i, w.count, w.columns, rows);
  return tlng_sequence(terms, is_single, is_grouped);
}

/* Elements of a tile in both directions, and rows of the batch that are in shared memory at a time. */
#define TLNG_UPDATE_TILE 32
#define TLNG_UPDATE_ROWS 64
#define TLNG_UPDATE_SPACE (TLNG_UPDATE_ROWS * TLNG_UPDATE_TILE)

/* Updates the tile from element (first, first_column) on. */
TLNG_CALLED void tlng_update_tile(tlng_weights w, tlng_sgd optimizer, TLNG_PLACE place, tlng_int rows,
                                  tlng_int first, tlng_int first_column, TLNG_SHARED_POINTER(float) a,
                                  TLNG_SHARED_POINTER(float) b) {
  const bool is_small = w.is_w1 ? tlng_is_small(w.columns, w.count, rows)
                                : tlng_is_small(w.count, w.columns, rows);
  TLNG_OWN(float, totals, 4);
  TLNG_OWN(float, sums, 4);
  const tlng_int length = is_small ? rows : tlng_panel_length(rows);
  TLNG_ROLL
  for (tlng_int start = 0; start < rows && !is_small; start += length) {
    const tlng_int end = tlng_least(start + length, rows);
    TLNG_ROLL
    for (tlng_int k = start; k < end; k += TLNG_UPDATE_ROWS) {
      const int here = (int)tlng_least(TLNG_UPDATE_ROWS, end - k);
      TLNG_EACH_THREAD(t) {
        const int column = t % TLNG_UPDATE_TILE;
        /* What is beyond an edge repeats the last, and is not used. */
        const tlng_int of_a = tlng_least(first + column, w.count - 1);
        const tlng_int of_b = tlng_least(first_column + column, w.columns - 1);
        const int row = t / TLNG_UPDATE_TILE, spacing = TLNG_THREADS / TLNG_UPDATE_TILE;
        if (w.a.bytes) {
          TLNG_UNROLL
          for (int i = 0; i < TLNG_UPDATE_ROWS / spacing; i++)
            a[t + i * TLNG_THREADS] = tlng_byte_value(
                w.a.bytes[tlng_row_start(w.a, tlng_least(k + row + i * spacing, end - 1)) + of_a]);
        } else {
          TLNG_UNROLL
          for (int i = 0; i < TLNG_UPDATE_ROWS / spacing; i++)
            a[t + i * TLNG_THREADS] =
                w.a.floats[tlng_row_start(w.a, tlng_least(k + row + i * spacing, end - 1)) + of_a];
        }
        TLNG_UNROLL
        for (int i = 0; i < TLNG_UPDATE_ROWS / spacing; i++)
          b[t + i * TLNG_THREADS] =
              w.b[tlng_least(k + row + i * spacing, end - 1) * w.columns + of_b];
      }
      TLNG_EACH_THREAD(t) {
        const int column = t % TLNG_UPDATE_TILE, i = t / TLNG_UPDATE_TILE * 4;
        if (first + i < w.count && first_column + column < w.columns) {
          float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
          if (k > start) {
            sum0 = TLNG_MINE(sums, t)[0];
            sum1 = TLNG_MINE(sums, t)[1];
            sum2 = TLNG_MINE(sums, t)[2];
            sum3 = TLNG_MINE(sums, t)[3];
          }
          for (int row = 0; row < here; row++) {
            const float factor = b[row * TLNG_UPDATE_TILE + column];
            const tlng_four f = tlng_read_four(a + (row * TLNG_UPDATE_TILE + i));
            if (!w.skips_zeros || f.x != 0.0f) sum0 = tlng_fma(f.x, factor, sum0);
            if (!w.skips_zeros || f.y != 0.0f) sum1 = tlng_fma(f.y, factor, sum1);
            if (!w.skips_zeros || f.z != 0.0f) sum2 = tlng_fma(f.z, factor, sum2);
            if (!w.skips_zeros || f.w != 0.0f) sum3 = tlng_fma(f.w, factor, sum3);
          }
          TLNG_MINE(sums, t)[0] = sum0;
          TLNG_MINE(sums, t)[1] = sum1;
          TLNG_MINE(sums, t)[2] = sum2;
          TLNG_MINE(sums, t)[3] = sum3;
          if (k + here == end) {
            TLNG_UNROLL
            for (int j = 0; j < 4; j++)
              TLNG_MINE(totals, t)[j] = start == 0
                                            ? TLNG_MINE(sums, t)[j]
                                            : TLNG_MINE(totals, t)[j] + TLNG_MINE(sums, t)[j];
          }
        }
      }
    }
  }
  TLNG_EACH_THREAD(t) {
    const tlng_int column = first_column + t % TLNG_UPDATE_TILE;
    TLNG_ROLL
    for (int j = 0; j < 4; j++) {
      const tlng_int i = first + t / TLNG_UPDATE_TILE * 4 + j;
      if (i < w.count && column < w.columns) {
        const float gradient =
            is_small ? tlng_small_gradient(w, rows, i, column) : TLNG_MINE(totals, t)[j];
        tlng_update_one(optimizer, gradient, w.p, w.v, i * w.columns + column);
      }
    }
  }
}

/* The last kernel of a step: updates what is not left to tiles, if the loss is finite, and says where the
 * run stands. */
TLNG_FUNCTION void tlng_finish_step(TLNG_STEP s, TLNG_PLACE place, TLNG_SHARED_POINTER(float) a,
                                    TLNG_SHARED_POINTER(float) b, TLNG_SHARED_POINTER(float) space) {
  const tlng_int step = tlng_current_step(s, false);
  if (step < 0) return;
  const float loss = tlng_mean_loss(s.target, s.rows, place, space);
  if (place.group == 0) {
    TLNG_EACH_THREAD(t) {
      if (t == 0) {
        TLNG_GLOBAL(float) losses = s.losses;
        TLNG_GLOBAL(tlng_state) state = s.state;
        losses[step] = loss;
        if (tlng_is_finite(loss)) state[0].ended = (unsigned)step + 1;
      }
    }
  }
  if (!tlng_is_finite(loss)) return;
  const tlng_sgd optimizer = tlng_optimizer(s, step);
  const int across = (int)tlng_parts(s.hidden, TLNG_UPDATE_TILE);
  const int tiles1 = s.tiled & TLNG_W1 ? 0 : (int)tlng_parts(s.inputs, TLNG_UPDATE_TILE) * across;
  const int tiles2 = s.tiled & TLNG_W2 ? 0 : (int)tlng_parts(s.outputs, TLNG_UPDATE_TILE) * across;
  const int tiles = tiles1 + tiles2;
  const int parts1 = s.tiled & TLNG_BIASES ? 0 : (int)tlng_parts(s.hidden, TLNG_BIAS_COLUMNS);
  const int parts2 = s.tiled & TLNG_BIASES ? 0 : (int)tlng_parts(s.outputs, TLNG_BIAS_COLUMNS);
  const int items = tiles + parts1 + parts2;
  TLNG_ROLL
  for (int item = place.group; item < items; item += place.groups) {
    if (item < tiles) {
      const bool is_w1 = item < tiles1;
      const int tile = is_w1 ? item : item - tiles1;
      tlng_update_tile(is_w1 ? tlng_hidden_weights(s, step) : tlng_output_weights(s), optimizer, place,
                       s.rows, tile / across * TLNG_UPDATE_TILE, tile % across * TLNG_UPDATE_TILE, a,
                       b);
    } else {
      const bool is_b1 = item < tiles + parts1;
      tlng_update_bias(is_b1 ? s.d_h : s.d_logits, s.rows, is_b1 ? s.hidden : s.outputs,
                       (is_b1 ? item - tiles : item - tiles - parts1) * TLNG_BIAS_COLUMNS, optimizer,
                       place, a, is_b1 ? s.b1 : s.b2, is_b1 ? s.vb1 : s.vb2);
    }
  }
}

#endif
