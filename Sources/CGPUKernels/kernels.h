/*
 * The kernels. A training step is hidden, output and update. Products of large networks are done in tiles
 * by kernels of their own, at those places:
 *
 *   hidden or hidden_tiled, logits_tiled, output, hidden_gradient_tiled, update_tiled, update
 *
 * or, where there are few outputs, with few_logits and few_hidden_gradient; and inference is that up to
 * output. Which of them, and in how many groups, is decided in GPUPlan.swift; every kernel is right with any
 * number of groups. Many steps of a small network are one launch of resident (GPUResidency.swift).
 */
#include "biases.h"
#include "dialect.h"
#include "elementwise.h"
#include "factors.h"
#include "few.h"
#include "hidden.h"
#include "orders.h"
#if TLNG_RESIDENT
#include "resident.h"
#endif
#include "output.h"
#include "tiles.h"
#include "update.h"

/* Says that a step has begun, to the kernels after this one. */
TLNG_FUNCTION void tlng_begin_step(TLNG_STEP s, TLNG_PLACE place, tlng_int step) {
  if (place.group != 0 || !s.state) return;
  TLNG_EACH_THREAD(t) {
    if (t == 0) {
      TLNG_GLOBAL(tlng_state) state = s.state;
      state[0].begun = (unsigned)step + 1;
    }
  }
}

TLNG_KERNEL(tlng_hidden) {
  TLNG_BEGIN;
  TLNG_SHARED(float, features, TLNG_HIDDEN_FEATURES);
  TLNG_SHARED(float, partial, TLNG_THREADS * TLNG_HIDDEN_ROWS);
  const tlng_int step = tlng_current_step(s, true);
  if (step < 0) return;
  tlng_begin_step(s, place, step);
  const tlng_matrix x = tlng_features(s, step);
  if (tlng_is_small(s.batch, s.hidden, s.inputs)) {
    tlng_hidden_dots(s, place, x);
    return;
  }
  const int rows = TLNG_HIDDEN_ROWS_OF_TILE >> tlng_panels_at_once((int)s.inputs);
  const int across = (int)tlng_parts(s.hidden, TLNG_HIDDEN_UNITS);
  TLNG_ROLL
  for (int tile = place.group;; tile += place.groups) {
    const tlng_int row = (tlng_int)(tile / across) * rows;
    if (row >= s.rows) break;
    tlng_hidden_tile(s, place, x, row, tile % across * TLNG_HIDDEN_UNITS, features, partial);
  }
}

TLNG_KERNEL(tlng_output) {
  TLNG_BEGIN;
  TLNG_SHARED(float, space, TLNG_ROW_SPACE);
  const tlng_int step = tlng_current_step(s, false);
  if (step < 0) return;
  TLNG_ROLL
  for (tlng_int row = place.group; row < s.rows; row += place.groups) {
    if (!(s.tiled & TLNG_LOGITS)) tlng_row_logits(s, place, row, space);
    if (s.labels) tlng_row_loss(s, place, step, row, space);
    if (s.d_h && !(s.tiled & TLNG_HIDDEN_GRADIENT)) tlng_row_hidden_gradient(s, place, row);
  }
}

TLNG_KERNEL(tlng_update) {
  TLNG_BEGIN;
  TLNG_SHARED(float, a, TLNG_UPDATE_SPACE);
  TLNG_SHARED(float, b, TLNG_UPDATE_SPACE);
  TLNG_SHARED(float, space, TLNG_LOSS_SPACE);
  tlng_finish_step(s, place, a, b, space);
}

TLNG_LARGE_KERNEL(tlng_hidden_tiled) {
  TLNG_BEGIN;
  TLNG_SHARED(float, a, TLNG_TILE_FLOATS);
  TLNG_SHARED(float, b, TLNG_TILE_FLOATS);
  const tlng_int step = tlng_current_step(s, true);
  if (step < 0) return;
  tlng_begin_step(s, place, step);
  tlng_product x;
  x.a = tlng_operand_of(tlng_features(s, step), false, s.rows, s.inputs);
  x.b = tlng_operand_of(tlng_floats(s.w1, s.hidden), true, s.hidden, s.inputs);
  x.terms = (int)s.inputs;
  tlng_end end = tlng_nothing();
  end.bias = s.b1;
  end.rectifies = true;
  end.c = s.h;
  tlng_all_tiles<8>(x, end, tlng_no_optimizer(), place, a, b);
}

TLNG_LARGE_KERNEL(tlng_logits_tiled) {
  TLNG_BEGIN;
  TLNG_SHARED(float, a, TLNG_TILE_FLOATS);
  TLNG_SHARED(float, b, TLNG_TILE_FLOATS);
  if (tlng_current_step(s, false) < 0) return;
  tlng_product x;
  x.a = tlng_operand_of(tlng_floats(s.h, s.hidden), false, s.rows, s.hidden);
  x.b = tlng_operand_of(tlng_floats(s.w2, s.hidden), false, s.outputs, s.hidden);
  x.terms = (int)s.hidden;
  tlng_end end = tlng_nothing();
  end.bias = s.b2;
  end.c = s.logits;
  tlng_all_tiles<8>(x, end, tlng_no_optimizer(), place, a, b);
}

TLNG_LARGE_KERNEL(tlng_hidden_gradient_tiled) {
  TLNG_BEGIN;
  TLNG_SHARED(float, a, TLNG_TILE_FLOATS);
  TLNG_SHARED(float, b, TLNG_TILE_FLOATS);
  if (tlng_current_step(s, false) < 0) return;
  tlng_product x;
  x.a = tlng_operand_of(tlng_floats(s.d_logits, s.outputs), false, s.rows, s.outputs);
  x.b = tlng_operand_of(tlng_floats(s.w2, s.hidden), true, s.hidden, s.outputs);
  x.terms = (int)s.outputs;
  tlng_end end = tlng_nothing();
  end.mask = s.h;
  end.c = s.d_h;
  tlng_all_tiles<8>(x, end, tlng_no_optimizer(), place, a, b);
}

TLNG_KERNEL(tlng_few_logits) {
  TLNG_BEGIN;
  TLNG_SHARED(float, h, TLNG_FEW_ROWS *TLNG_FEW_STRIDE);
  TLNG_SHARED(float, w, (TLNG_FEW_TERMS + 4) * TLNG_FEW_SLOTS);
  const tlng_int step = tlng_current_step(s, false);
  if (step < 0) return;
  TLNG_ROLL
  for (tlng_int row = (tlng_int)place.group * TLNG_FEW_ROWS; row < s.rows;
       row += (tlng_int)place.groups * TLNG_FEW_ROWS)
    tlng_logits_of_rows(s, place, step, (int)row, h, w);
}

TLNG_KERNEL(tlng_few_hidden_gradient) {
  TLNG_BEGIN;
  TLNG_SHARED(float, gradients, TLNG_FEW_GRADIENTS);
  if (tlng_current_step(s, false) < 0) return;
  const int across = (int)tlng_parts(s.hidden, TLNG_FEW_TILE), down = (int)tlng_parts(s.rows, TLNG_FEW_TILE);
  TLNG_ROLL
  for (int tile = place.group; tile < across * down; tile += place.groups)
    tlng_hidden_gradient_of_rows(s, place, tile / across * TLNG_FEW_TILE, tile % across * TLNG_FEW_TILE,
                                 gradients);
}

/* Both layers' weights, and their biases, as far as they are in `tiled`, if the loss is finite. */
TLNG_LARGE_KERNEL(tlng_update_tiled) {
  TLNG_BEGIN;
  TLNG_SHARED(float, a, TLNG_TILE_FLOATS + TLNG_TILE_ROWS);
  TLNG_SHARED(float, b, TLNG_TILE_FLOATS);
  TLNG_SHARED(float, space, TLNG_LOSS_SPACE);
  const tlng_int step = tlng_current_step(s, false);
  if (step < 0 || !tlng_is_finite(tlng_mean_loss(s.target, s.rows, place, space))) return;
  const tlng_sgd optimizer = tlng_optimizer(s, step);
  const int size = 7 * TLNG_TILE_THREADS, across = (int)tlng_parts(s.hidden, size);
  const int parts = (int)tlng_parts(s.hidden, 32);
  const int tiles1 = s.tiled & TLNG_W1 ? (int)tlng_parts(s.inputs, size) * across : 0;
  const bool is_few = tlng_is_few_update(s.outputs, s.hidden, s.rows);
  const int tiles2 = s.tiled & TLNG_W2 && !is_few ? (int)tlng_parts(s.outputs, size) * across : 0;
  const int tiles = tiles1 + tiles2, few = s.tiled & TLNG_W2 && is_few ? parts : 0;
  const int biases = tiles + few;
  const int items = biases + (s.tiled & TLNG_BIASES ? parts + (int)tlng_parts(s.outputs, 32) : 0);
  /* The longest first: the others fill what the last tiles leave free. */
  TLNG_ROLL
  for (int item = place.group; item < items; item += place.groups) {
    if (item < tiles) {
      const bool is_w1 = item < tiles1;
      const int tile = is_w1 ? item : item - tiles1;
      const tlng_weights w = is_w1 ? tlng_hidden_weights(s, step) : tlng_output_weights(s);
      tlng_end end = tlng_nothing();
      end.updates = true;
      end.p = w.p;
      end.v = w.v;
      tlng_tile<7>(tlng_gradient_of(s, w), end, optimizer, place, tile / across * size,
                   tile % across * size, a, b);
    } else if (item < biases) {
      tlng_few_update(s, optimizer, place, (item - tiles) * 32, a, b);
    } else {
      const bool is_b1 = item < biases + parts;
      tlng_update_bias(is_b1 ? s.d_h : s.d_logits, s.rows, is_b1 ? s.hidden : s.outputs,
                       (is_b1 ? item - biases : item - biases - parts) * TLNG_BIAS_COLUMNS, optimizer, place,
                       a, is_b1 ? s.b1 : s.b2, is_b1 ? s.vb1 : s.vb2);
    }
  }
}

#if TLNG_RESIDENT
TLNG_RESIDENT_KERNEL(tlng_resident) {
  TLNG_BEGIN;
  TLNG_MEMORY(memory);
  tlng_resident_run(s, place, memory);
}
#endif
