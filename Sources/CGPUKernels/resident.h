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
    TLNG_EACH_THREAD(t) {
      if (next < steps)
        tlng_read_ahead(s, place, t, TLNG_MINE(brings, t)[0], next, rows, TLNG_MINE(pieces, t),
                        TLNG_MINE(others, t));
      if (step >= 0) tlng_part_forward(s, t, l, part, x, memory + l.w, words, number);
    }
    /* While the others' sums are on their way, if there is room beside this step's batch; else at the end. */
    bool has_brought = next == steps;
    TLNG_ROLL
    for (int turn = 0; turn < 2; turn++) {
      if (!has_brought && (turn == 1 || step < 0 || l.x_count > 1)) {
        tlng_bring(s, place, next, brings, next_x, rows, later_rows, next_labels, pieces, others);
        has_brought = true;
      }
      if (step < 0 || turn == 1) continue;
      TLNG_ROLL
      for (int i = 0, row = place.group; row < batch; i++, row += place.groups)
        tlng_resident_row(s, place, l, row, i == 0, (int)tlng_bits(labels[i]), memory, words, number, shares);
      tlng_receive(place, words, number, l.mail_target, batch, memory + l.target,
                   l.mail_d + part.first_unit * batch, part.count > 0 ? batch * l.units : 0, memory + l.d);
      if (piece < l.pieces)
        tlng_receive(place, words, number, l.mail_h + piece * batch * l.piece_units, batch * l.piece_units,
                     memory + l.piece_h, l.mail_d_logits, batch * (int)s.outputs, memory + l.d_logits);
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
