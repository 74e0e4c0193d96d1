/*
 * Gradients of the weights and biases, sums over the batch's rows, and the optimiser's update: the
 * gradients never exist in memory. For networks of moderate size; large ones go through tiles.h.
 */
#ifndef TLN_GPU_UPDATE_H
#define TLN_GPU_UPDATE_H

#include "elementwise.h"

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
  for (tlng_int start = 0; start < rows && !is_small; start += length) {
    const tlng_int end = tlng_least(start + length, rows);
    for (tlng_int k = start; k < end; k += TLNG_UPDATE_ROWS) {
      const int here = (int)tlng_least(TLNG_UPDATE_ROWS, end - k);
      TLNG_EACH_THREAD(t) {
        const int column = t % TLNG_UPDATE_TILE;
        TLNG_UNROLL
        for (int i = 0; i < TLNG_UPDATE_ROWS / (TLNG_THREADS / TLNG_UPDATE_TILE); i++) {
          const int row = t / TLNG_UPDATE_TILE + i * (TLNG_THREADS / TLNG_UPDATE_TILE);
          if (row < here) {
            if (first + column < w.count)
              a[row * TLNG_UPDATE_TILE + column] =
                  tlng_value(w.a, tlng_row_start(w.a, k + row) + first + column);
            if (first_column + column < w.columns)
              b[row * TLNG_UPDATE_TILE + column] =
                  w.b[(k + row) * w.columns + first_column + column];
          }
        }
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
            const int at = row * TLNG_UPDATE_TILE + i;
            if (!w.skips_zeros || a[at] != 0.0f) sum0 = tlng_fma(a[at], factor, sum0);
            if (!w.skips_zeros || a[at + 1] != 0.0f) sum1 = tlng_fma(a[at + 1], factor, sum1);
            if (!w.skips_zeros || a[at + 2] != 0.0f) sum2 = tlng_fma(a[at + 2], factor, sum2);
            if (!w.skips_zeros || a[at + 3] != 0.0f) sum3 = tlng_fma(a[at + 3], factor, sum3);
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
    TLNG_UNROLL
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

/* Updates a bias [columns] with the sums of the columns of `gradients` [rows][columns], from column
 * first on, one a thread. */
TLNG_CALLED void tlng_update_bias(TLNG_GLOBAL(const float) gradients, tlng_int rows, tlng_int columns,
                                  tlng_sgd optimizer, TLNG_PLACE place, tlng_int first,
                                  TLNG_GLOBAL(float) p, TLNG_GLOBAL(float) v) {
  TLNG_EACH_THREAD(t) {
    const tlng_int column = first + t;
    if (column < columns)
      tlng_update_one(optimizer, tlng_column_sum(gradients, rows, columns, column), p, v, column);
  }
}

/* Groups that an update takes: tiles of w1, tiles of w2, both biases. */
TLNG_FUNCTION tlng_int tlng_tiles(tlng_int count, tlng_int columns) {
  return tlng_parts(count, TLNG_UPDATE_TILE) * tlng_parts(columns, TLNG_UPDATE_TILE);
}

/* Does part `item` of an update, in which w1 or w2 may be left out. */
TLNG_FUNCTION void tlng_update_part(TLNG_STEP s, TLNG_PLACE place, tlng_int step, tlng_int item,
                                    bool with_w1, bool with_w2, TLNG_SHARED_POINTER(float) a,
                                    TLNG_SHARED_POINTER(float) b) {
  const tlng_sgd optimizer = tlng_optimizer(s, step);
  const tlng_int tiles1 = with_w1 ? tlng_tiles(s.inputs, s.hidden) : 0;
  const tlng_int tiles2 = with_w2 ? tlng_tiles(s.outputs, s.hidden) : 0;
  const tlng_int across = tlng_parts(s.hidden, TLNG_UPDATE_TILE);
  if (item < tiles1 + tiles2) {
    const bool is_w1 = item < tiles1;
    const tlng_int tile = is_w1 ? item : item - tiles1;
    tlng_update_tile(is_w1 ? tlng_hidden_weights(s, step) : tlng_output_weights(s), optimizer, place,
                     s.rows, tile / across * TLNG_UPDATE_TILE, tile % across * TLNG_UPDATE_TILE, a, b);
    return;
  }
  const tlng_int part = item - tiles1 - tiles2;
  const tlng_int parts1 = tlng_parts(s.hidden, TLNG_THREADS);
  if (part < parts1)
    tlng_update_bias(s.d_h, s.rows, s.hidden, optimizer, place, part * TLNG_THREADS, s.b1, s.vb1);
  else
    tlng_update_bias(s.d_logits, s.rows, s.outputs, optimizer, place, (part - parts1) * TLNG_THREADS,
                     s.b2, s.vb2);
}

/* The last kernel of a step: updates if the loss is finite, and says where the run stands. */
TLNG_FUNCTION void tlng_finish_step(TLNG_STEP s, TLNG_PLACE place, bool with_w1, bool with_w2,
                                    TLNG_SHARED_POINTER(float) a, TLNG_SHARED_POINTER(float) b,
                                    TLNG_SHARED_POINTER(float) space) {
  const tlng_int step = tlng_current_step(s, false);
  if (step < 0) return;
  const float loss = tlng_mean_loss(s, place, space);
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
  const tlng_int items = (with_w1 ? tlng_tiles(s.inputs, s.hidden) : 0) +
                         (with_w2 ? tlng_tiles(s.outputs, s.hidden) : 0) +
                         tlng_parts(s.hidden, TLNG_THREADS) + tlng_parts(s.outputs, TLNG_THREADS);
  for (tlng_int item = place.group; item < items; item += place.groups)
    tlng_update_part(s, place, step, item, with_w1, with_w2, a, b);
}

#endif
