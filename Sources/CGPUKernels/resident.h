/*
 * A run of steps of a small network as one launch, in which parameters and momentum stay in the groups'
 * shared memory. All groups run at the same time, at most one on a multiprocessor, and tell each other what
 * they have computed by mail: words in the device's memory that hold a float and the number of the step it
 * is of, so that who reads one knows whether it has come. A step is
 *
 *   each part of w1      the sums of its panel, for all rows        -> partial sums     (resident_parts.h)
 *   each row of a batch  h, logits, loss, gradients                 -> d_h, h, d_logits, target
 *                                                                                       (resident_rows.h)
 *   each part of w1      its update, and that of b1                 -> b1
 *   each piece of w2     its update, and that of b2                 -> w2, b2
 *
 * No word is written again before all have read it: a part's next sums need the gradients of all rows, each
 * of which was computed from the sums of all parts; and no row is computed before w2 and the biases have
 * come. Devices that do not promise to run groups at the same time, as Metal's, have no such kernel.
 */
#ifndef TLN_GPU_RESIDENT_H
#define TLN_GPU_RESIDENT_H

#include "resident_features.h"
#include "resident_parts.h"
#include "resident_rows.h"

/* All steps of a run whose batches are whole; s.units says how the first layer is cut, s.batches how many
 * batches of features fit into shared memory. */
TLNG_FUNCTION void tlng_resident_run(TLNG_STEP s, TLNG_PLACE place, TLNG_SHARED_POINTER(float) memory) {
  TLNG_GLOBAL(tlng_word) words = s.words;
  TLNG_GLOBAL(const unsigned) order = s.order;
  TLNG_GLOBAL(float) losses = s.losses;
  TLNG_GLOBAL(tlng_state) state = s.state;
  const int batch = (int)s.rows, steps = (int)s.steps;
  const tlng_layout l = tlng_layout_of((int)s.inputs, (int)s.hidden, (int)s.outputs, batch, place.groups,
                                       (int)s.units, (int)s.batches);
  const tlng_part part = tlng_part_of(s, l, place.group);
  const int piece = place.groups - 1 - place.group;
  TLNG_OWN(unsigned, pieces, TLNG_RESIDENT_READ_AHEAD);
  TLNG_OWN(unsigned, others, 2);
  TLNG_OWN(tlng_bringing, brings, 1);
  TLNG_OWN(tlng_lane_share, shares, 2);
  tlng_sgd optimizer = tlng_optimizer(s, 0);
  tlng_copy_parameters(s, place, l, part, piece, false, memory);
  TLNG_EACH_THREAD(t) {
    if (t < batch) memory[l.rows + t] = tlng_float(order[t]);
    TLNG_MINE(brings, t)[0] = tlng_bringing_of(s, t, part);
    tlng_find_shares(s, t, place.group, TLNG_MINE(shares, t));
  }
  /* One round more than there are steps: the first only brings a batch, and tells what the parameters are. */
  int step = -1;
  TLNG_ROLL
  for (; step < steps; step++) {
    const int next = step + 1, odd = next & 1;
    const unsigned number = (unsigned)next;
    TLNG_SHARED_POINTER(float) x = memory + (l.x + (step & (l.x_count - 1)) * l.x_floats);
    TLNG_SHARED_POINTER(float) next_x = memory + (l.x + (next & (l.x_count - 1)) * l.x_floats);
    TLNG_SHARED_POINTER(float) rows = memory + (l.rows + odd * batch);
    TLNG_SHARED_POINTER(float) later_rows = memory + (l.rows + (1 - odd) * batch);
    TLNG_SHARED_POINTER(float) labels = memory + (l.labels + (1 - odd) * batch);
    TLNG_SHARED_POINTER(float) next_labels = memory + (l.labels + odd * batch);
    const bool has_row = step >= 0 && place.group < batch;
    if (step >= 0) {
      TLNG_EACH_THREAD(t) { tlng_part_forward(s, t, l, part, x, memory + l.w, words, number); }
    }
    /* Before a barrier all that was begun is waited for: so reads go with waiting for the others' sums, and
     * what is done with what was read with waiting for the others' gradients. */
    TLNG_EACH_THREAD(t) {
      if (next < steps)
        tlng_read_ahead(s, place, t, TLNG_MINE(brings, t)[0], next, rows, TLNG_MINE(pieces, t),
                        TLNG_MINE(others, t));
      if (has_row) tlng_receive(t, words, number, tlng_row_delivery(s, l, place.group, true, memory));
    }
    TLNG_ROLL
    for (int i = 0, row = place.group; has_row && row < batch; i++, row += place.groups) {
      if (batch > place.groups) {
        TLNG_EACH_THREAD(t) {
          tlng_find_shares(s, t, row, TLNG_MINE(shares, t));
          if (i > 0) tlng_receive(t, words, number, tlng_row_delivery(s, l, row, false, memory));
        }
      }
      tlng_resident_row(s, place, l, row, (int)tlng_bits(labels[i]), memory, words, number, shares);
    }
    /* If there is room for one batch only, the next one comes when this one is done with. */
    bool has_brought = next == steps;
    TLNG_ROLL
    for (int turn = 0; turn < 2; turn++) {
      const bool brings_now = !has_brought && (turn == 1 || step < 0 || l.x_count > 1);
      const bool goes_on = step >= 0 && turn == 0;
      tlng_delivery gradients, for_piece;
      gradients.first = l.mail_target;
      gradients.count = batch;
      gradients.values = memory + l.target;
      gradients.other_first = l.mail_d + part.first_unit * batch;
      gradients.other_count = part.count > 0 ? batch * l.units : 0;
      gradients.other_values = memory + l.d;
      for_piece.first = l.mail_h + piece * batch * l.piece_units;
      for_piece.count = batch * l.piece_units;
      for_piece.values = memory + l.piece_h;
      for_piece.other_first = l.mail_d_logits;
      for_piece.other_count = batch * (int)s.outputs;
      for_piece.other_values = memory + l.d_logits;
      TLNG_EACH_THREAD(t) {
        if (brings_now)
          tlng_bring(s, place, t, TLNG_MINE(brings, t)[0], next, next_x, rows, later_rows, next_labels,
                     TLNG_MINE(pieces, t), TLNG_MINE(others, t));
        if (goes_on) {
          tlng_receive(t, words, number, gradients);
          if (piece < l.pieces) tlng_receive(t, words, number, for_piece);
        }
      }
      has_brought = has_brought || brings_now;
      if (!goes_on) continue;
      TLNG_EACH_THREAD(t) {
        tlng_part_gradients(s, t, l, part, x, memory);
        if (piece < l.pieces) tlng_piece_gradients(s, t, l, piece, memory);
        if (t == TLNG_THREADS - 1) memory[l.space] = tlng_total_loss(memory + l.target, batch);
      }
    }
    if (step >= 0) {
      const float loss = memory[l.space];
      if (place.group == 0) {
        TLNG_EACH_THREAD(t) {
          if (t == 0) losses[step] = loss / (float)batch;
        }
      }
      if (!tlng_is_finite(loss)) break;
    }
    TLNG_EACH_THREAD(t) {
      if (step >= 0) tlng_update_resident(s, t, l, part, piece, optimizer, memory);
      tlng_tell_rest(s, t, l, part, piece, memory, words, number + 1);
    }
    if (step >= 0) optimizer.first = false;
  }
  tlng_copy_parameters(s, place, l, part, piece, true, memory);
  if (place.group == 0) {
    TLNG_EACH_THREAD(t) {
      if (t == 0) state[0].begun = state[0].ended = (unsigned)step;
    }
  }
}

#endif
