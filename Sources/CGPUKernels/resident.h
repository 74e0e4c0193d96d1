/*
 * A run of steps of a small network as one launch, in which the first layer's weights and momentum stay in
 * the groups' shared memory. All groups run at the same time, at most one on a multiprocessor, and tell each
 * other what they have computed by mail: words in the device's memory that hold a float and the number of
 * the step it is of, so that who reads one knows whether it has come. A step is
 *
 *   forward   each part of w1: the sums of its panel, for all rows           -> partial
 *   rows      each row of the batch: h, logits, loss, gradients              -> h, d_logits, target, d_h
 *   update    each part of w1; w2 and the biases by tlng_finish_items        -> b1, w2, b2
 *
 * No word is written again before all have read it: a part's next sums need the gradients of all rows, each
 * of which was computed from the sums of all parts. Devices that do not promise to run groups at the same
 * time, as Metal's, have no such kernel.
 */
#ifndef TLN_GPU_RESIDENT_H
#define TLN_GPU_RESIDENT_H

#include "biases.h"
#include "layout.h"
#include "output.h"
#include "update.h"

/* ---------------------------------------------------------------------------------- mail */

TLNG_FUNCTION void tlng_send(TLNG_GLOBAL(tlng_word) words, tlng_int place, unsigned number, float value) {
  tlng_write_word(words + place, (tlng_word)number << 32 | tlng_bits(value));
}

/* Waits for a matrix of words, of step `number`, whose rows begin `stride` words from each other. */
TLNG_FUNCTION void tlng_receive(TLNG_PLACE place, TLNG_GLOBAL(tlng_word) words, unsigned number,
                                tlng_int first, int stride, int rows, int columns,
                                TLNG_GLOBAL(float) values, int values_stride) {
  const int count = rows * columns;
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int begin = t; begin < count; begin += 4 * TLNG_THREADS) {
      tlng_word word[4];
      int row[4], column[4];
      TLNG_UNROLL
      for (int i = 0; i < 4; i++) {
        const int at = tlng_least_int(begin + i * TLNG_THREADS, count - 1);
        row[i] = at / columns;
        column[i] = at - row[i] * columns;
      }
      bool has_come = false;
      TLNG_ROLL
      while (!has_come) {
        has_come = true;
        TLNG_UNROLL
        for (int i = 0; i < 4; i++)
          word[i] = tlng_read_word(words + (first + (tlng_int)row[i] * stride + column[i]));
        TLNG_UNROLL
        for (int i = 0; i < 4; i++) has_come = has_come && (unsigned)(word[i] >> 32) == number;
        if (!has_come) TLNG_LET_OTHERS_RUN();
      }
      TLNG_UNROLL
      for (int i = 0; i < 4; i++)
        values[row[i] * values_stride + column[i]] = tlng_float((unsigned)word[i]);
    }
  }
}

/* ------------------------------------------------------------------------------ features */

/* Which features a thread brings into shared memory: pieces of four bytes, or single ones, in one column of
 * pieces; those of the first rows are read long before they are needed. */
#define TLNG_RESIDENT_READ_AHEAD 24

struct tlng_bringing {
  bool in_words;
  int start, count;         /* the part's inputs */
  int column, row, row_step; /* pieces of this thread; row is the batch's size if there are none */
};

TLNG_FUNCTION tlng_bringing tlng_bringing_of(TLNG_STEP s, int t, int start, int count) {
  tlng_bringing own;
  own.start = start;
  own.count = count;
  own.in_words = s.is_bytes && start % 4 == 0;
  const int pieces = own.in_words ? (count + 3) / 4 : count;
  own.row_step = pieces > 0 ? TLNG_THREADS / pieces : 1;
  own.column = pieces > 0 ? t % pieces : 0;
  own.row = pieces > 0 ? t / pieces : 0;
  if (pieces == 0 || own.row >= own.row_step) own.row = (int)s.rows;
  return own;
}

TLNG_FUNCTION unsigned tlng_piece(TLNG_STEP s, tlng_bringing own, unsigned row) {
  TLNG_GLOBAL(const unsigned char) x = s.x;
  TLNG_GLOBAL(const unsigned char) start = x + (tlng_int)row * s.x_stride;
  if (own.in_words) return ((TLNG_GLOBAL(const unsigned))(start + own.start))[own.column];
  const int at = own.start + own.column;
  return s.is_bytes ? start[at] : tlng_bits(((TLNG_GLOBAL(const float))start)[at]);
}

TLNG_FUNCTION void tlng_put_piece(TLNG_STEP s, tlng_bringing own, unsigned piece,
                                  TLNG_SHARED_POINTER(float) row) {
  if (own.in_words) {
    TLNG_UNROLL
    for (int i = 0; i < 4; i++) row[4 * own.column + i] = tlng_byte_value(piece >> (8 * i) & 255u);
  } else {
    row[own.column] = s.is_bytes ? tlng_byte_value(piece) : tlng_float(piece);
  }
}

/* --------------------------------------------------------------------------- the kernel */

struct tlng_part {
  int start, count; /* inputs; none if the group has no part */
  int first_unit;
};

TLNG_FUNCTION tlng_part tlng_part_of(TLNG_STEP s, tlng_layout l, int group) {
  tlng_part part;
  part.start = group / l.across * l.length;
  part.count = group < l.parts ? tlng_least_int(l.length, (int)s.inputs - part.start) : 0;
  part.first_unit = group % l.across * l.units;
  return part;
}

/* Copies a part's weights or momentum in, or back. */
TLNG_FUNCTION void tlng_load_part(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                  TLNG_GLOBAL(const float) from, TLNG_SHARED_POINTER(float) to) {
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int i = t; i < part.count * l.units; i += TLNG_THREADS) {
      const int unit = part.first_unit + i % l.units;
      to[i] = unit < s.hidden ? from[(part.start + i / l.units) * s.hidden + unit] : 0.0f;
    }
  }
}

TLNG_FUNCTION void tlng_store_part(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                   TLNG_SHARED_POINTER(float) from, TLNG_GLOBAL(float) to) {
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int i = t; i < part.count * l.units; i += TLNG_THREADS) {
      const int unit = part.first_unit + i % l.units;
      if (unit < s.hidden) to[(part.start + i / l.units) * s.hidden + unit] = from[i];
    }
  }
}

/* The sums of the part's panel, four units of a row at a time. */
TLNG_FUNCTION void tlng_resident_forward(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                         TLNG_SHARED_POINTER(float) x, TLNG_SHARED_POINTER(float) w,
                                         TLNG_GLOBAL(tlng_word) words, unsigned number) {
  const int rows = (int)s.rows, hidden = (int)s.hidden;
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int item = t; item < rows * (l.units / 4) && part.count > 0; item += TLNG_THREADS) {
      const int row = item % rows, unit = item / rows * 4, of_x = row * l.stride;
      float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
      int k = 0;
      TLNG_ROLL
      for (; k + 16 <= part.count; k += 16) {
        tlng_four f[4], factor[16];
        TLNG_UNROLL
        for (int i = 0; i < 4; i++) f[i] = tlng_read_four(x + (of_x + k + 4 * i));
        TLNG_UNROLL
        for (int i = 0; i < 16; i++) factor[i] = tlng_read_four(w + ((k + i) * l.units + unit));
        TLNG_UNROLL
        for (int i = 0; i < 16; i++) {
          const tlng_four four = f[i / 4];
          const float value = i % 4 == 0 ? four.x : i % 4 == 1 ? four.y : i % 4 == 2 ? four.z : four.w;
          sum0 = tlng_fma(value, factor[i].x, sum0);
          sum1 = tlng_fma(value, factor[i].y, sum1);
          sum2 = tlng_fma(value, factor[i].z, sum2);
          sum3 = tlng_fma(value, factor[i].w, sum3);
        }
      }
      TLNG_ROLL
      for (; k < part.count; k++) {
        const float value = x[of_x + k];
        const tlng_four factor = tlng_read_four(w + (k * l.units + unit));
        sum0 = tlng_fma(value, factor.x, sum0);
        sum1 = tlng_fma(value, factor.y, sum1);
        sum2 = tlng_fma(value, factor.z, sum2);
        sum3 = tlng_fma(value, factor.w, sum3);
      }
      const int first = part.first_unit + unit;
      const tlng_int at = ((tlng_int)(part.start / l.length) * rows + row) * hidden + first;
      if (first < hidden) tlng_send(words, at, number, sum0);
      if (first + 1 < hidden) tlng_send(words, at + 1, number, sum1);
      if (first + 2 < hidden) tlng_send(words, at + 2, number, sum2);
      if (first + 3 < hidden) tlng_send(words, at + 3, number, sum3);
    }
  }
}

/* Everything between the layers' sums, for one row. */
TLNG_FUNCTION void tlng_resident_row(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, int row, int label,
                                     TLNG_SHARED_POINTER(float) memory,
                                     TLNG_GLOBAL(tlng_word) words, unsigned number) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  TLNG_SHARED_POINTER(float) partial = memory + l.partial;
  TLNG_SHARED_POINTER(float) h = memory + l.h;
  TLNG_SHARED_POINTER(float) target = memory + l.target;
  TLNG_SHARED_POINTER(float) d_logits = memory + l.d_logits;
  TLNG_SHARED_POINTER(float) d_h = memory + l.d_h;
  tlng_receive(place, words, number, (tlng_int)row * hidden, (int)s.rows * hidden, l.panels, hidden,
               partial, hidden);
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int unit = t; unit < hidden; unit += TLNG_THREADS) {
      float total = memory[l.b1 + unit];
      TLNG_ROLL
      for (int panel = 0; panel < l.panels; panel++) total = total + partial[panel * hidden + unit];
      h[unit] = tlng_rectified(total);
    }
  }
  tlng_row_logits(s, place, row, h, memory + l.w2, memory + l.b2, memory + l.logits, memory + l.space);
  tlng_row_loss(s, place, label, memory + l.logits, d_logits, target, nullptr, memory + l.space);
  tlng_row_hidden_gradient(s, place, row, d_logits, memory + l.w2, h, d_h);
  TLNG_EACH_THREAD(t) {
    if (t == TLNG_THREADS - 1) tlng_send(words, l.mail_target + row, number, target[0]);
    TLNG_ROLL
    for (int unit = t; unit < hidden; unit += TLNG_THREADS) {
      tlng_send(words, l.mail_d + (tlng_int)row * hidden + unit, number, d_h[unit]);
      tlng_send(words, l.mail_h + (tlng_int)row * hidden + unit, number, h[unit]);
    }
    TLNG_ROLL
    for (int output = t; output < outputs; output += TLNG_THREADS)
      tlng_send(words, l.mail_d_logits + row * outputs + output, number, d_logits[output]);
  }
}

/* The gradients of the part's weights, four units of an input at a time, and their update. */
TLNG_FUNCTION void tlng_resident_update(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                        tlng_sgd optimizer, TLNG_SHARED_POINTER(float) x,
                                        TLNG_SHARED_POINTER(float) d, TLNG_SHARED_POINTER(float) w,
                                        TLNG_SHARED_POINTER(float) v) {
  const int rows = (int)s.rows, length = (int)tlng_panel_length(rows);
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int item = t; item < part.count * (l.units / 4); item += TLNG_THREADS) {
      const int k = item % part.count, unit = item / part.count * 4;
      float total[4], sum[4];
      TLNG_ROLL
      for (int start = 0; start < rows; start += length) {
        const int end = tlng_least_int(start + length, rows);
        TLNG_UNROLL
        for (int j = 0; j < 4; j++) sum[j] = 0;
        int row = start;
        TLNG_ROLL
        for (; row + 10 <= end; row += 10) {
          float value[10];
          tlng_four factor[10];
          TLNG_UNROLL
          for (int i = 0; i < 10; i++) {
            value[i] = x[(row + i) * l.stride + k];
            factor[i] = tlng_read_four(d + ((row + i) * l.units + unit));
          }
          TLNG_UNROLL
          for (int i = 0; i < 10; i++) {
            sum[0] = tlng_fma(value[i], factor[i].x, sum[0]);
            sum[1] = tlng_fma(value[i], factor[i].y, sum[1]);
            sum[2] = tlng_fma(value[i], factor[i].z, sum[2]);
            sum[3] = tlng_fma(value[i], factor[i].w, sum[3]);
          }
        }
        TLNG_ROLL
        for (; row < end; row++) {
          const float value = x[row * l.stride + k];
          const tlng_four factor = tlng_read_four(d + (row * l.units + unit));
          sum[0] = tlng_fma(value, factor.x, sum[0]);
          sum[1] = tlng_fma(value, factor.y, sum[1]);
          sum[2] = tlng_fma(value, factor.z, sum[2]);
          sum[3] = tlng_fma(value, factor.w, sum[3]);
        }
        TLNG_UNROLL
        for (int j = 0; j < 4; j++) total[j] = start == 0 ? sum[j] : total[j] + sum[j];
      }
      const int at = k * l.units + unit;
      TLNG_UNROLL
      for (int j = 0; j < 4; j++) {
        const tlng_pair next = tlng_updated(optimizer, total[j], w[at + j], v[at + j]);
        w[at + j] = next.parameter;
        v[at + j] = next.velocity;
      }
    }
  }
}

/* b1, w2 and b2 are updated in the device's memory, in tiles that go to the last groups first: they have
 * the least of w1. `is_new` after an update, for which the gradients have to come; not for the first words. */
TLNG_FUNCTION void tlng_resident_items(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_sgd optimizer,
                                       bool is_new, TLNG_SHARED_POINTER(float) memory,
                                       TLNG_GLOBAL(tlng_word) words, unsigned number) {
  TLNG_GLOBAL(float) b1 = s.b1;
  TLNG_GLOBAL(float) w2 = s.w2;
  TLNG_GLOBAL(float) b2 = s.b2;
  TLNG_GLOBAL(float) h = s.h;
  TLNG_GLOBAL(float) d_h = s.d_h;
  TLNG_GLOBAL(float) d_logits = s.d_logits;
  const int rows = (int)s.rows, hidden = (int)s.hidden, outputs = (int)s.outputs;
  const int across = (hidden + TLNG_UPDATE_TILE - 1) / TLNG_UPDATE_TILE;
  const int down = (outputs + TLNG_UPDATE_TILE - 1) / TLNG_UPDATE_TILE;
  const int tiles = across * down;
  TLNG_ROLL
  for (int item = place.groups - 1 - place.group; item < tiles + across + down; item += place.groups) {
    if (item < tiles) {
      const int column = item % across * TLNG_UPDATE_TILE, row = item / across * TLNG_UPDATE_TILE;
      const int width = tlng_least_int(TLNG_UPDATE_TILE, hidden - column);
      const int height = tlng_least_int(TLNG_UPDATE_TILE, outputs - row);
      if (is_new) {
        tlng_receive(place, words, number - 1, l.mail_d_logits, 0, 1, rows * outputs, d_logits, 0);
        tlng_receive(place, words, number - 1, l.mail_h + column, hidden, rows, width, h + column, hidden);
        tlng_update_tile(tlng_output_weights(s), optimizer, place, rows, row, column, memory + l.a,
                         memory + l.b);
      }
      TLNG_EACH_THREAD(t) {
        TLNG_ROLL
        for (int i = t; i < width * height; i += TLNG_THREADS) {
          const int at = (row + i / width) * hidden + column + i % width;
          tlng_send(words, l.mail_w2 + at, number, w2[at]);
        }
      }
    } else {
      const bool is_b1 = item < tiles + across;
      const int first = (is_b1 ? item - tiles : item - tiles - across) * TLNG_BIAS_COLUMNS;
      const int columns = is_b1 ? hidden : outputs;
      const int width = tlng_least_int(TLNG_BIAS_COLUMNS, columns - first);
      TLNG_GLOBAL(float) bias = is_b1 ? b1 : b2;
      if (is_new) {
        TLNG_GLOBAL(float) gradients = is_b1 ? d_h : d_logits;
        tlng_receive(place, words, number - 1, (is_b1 ? l.mail_d : l.mail_d_logits) + first, columns, rows,
                     width, gradients + first, columns);
        tlng_update_bias(gradients, rows, columns, first, optimizer, place, memory + l.a, bias,
                         is_b1 ? s.vb1 : s.vb2);
      }
      TLNG_EACH_THREAD(t) {
        if (t < width)
          tlng_send(words, (is_b1 ? l.mail_b1 : l.mail_b2) + first + t, number, bias[first + t]);
      }
    }
  }
}

/* Begins to read the features of the next step's batch, its labels, and the rows of the step after that. */
TLNG_FUNCTION void tlng_read_ahead(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part, int step,
                                   TLNG_SHARED_POINTER(float) rows,
                                   TLNG_OWN_ARGUMENT(unsigned, pieces, TLNG_RESIDENT_READ_AHEAD),
                                   TLNG_OWN_ARGUMENT(unsigned, others, 2)) {
  TLNG_GLOBAL(const unsigned) order = s.order;
  TLNG_GLOBAL(const int) labels = s.labels;
  const int batch = (int)s.rows;
  TLNG_EACH_THREAD(t) {
    const tlng_bringing own = tlng_bringing_of(s, t, part.start, part.count);
    TLNG_UNROLL
    for (int i = 0; i < TLNG_RESIDENT_READ_AHEAD; i++) {
      const int row = own.row + i * own.row_step;
      if (row < batch) TLNG_MINE(pieces, t)[i] = tlng_piece(s, own, tlng_bits(rows[row]));
    }
    const tlng_int row = (tlng_int)place.group + (tlng_int)t * place.groups;
    if (row < batch) TLNG_MINE(others, t)[0] = (unsigned)labels[tlng_bits(rows[row])];
    if (t < batch && step + 1 < s.steps) TLNG_MINE(others, t)[1] = order[(tlng_int)(step + 1) * batch + t];
  }
}

/* Brings what was read into shared memory. */
TLNG_FUNCTION void tlng_bring(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part, int step,
                              TLNG_SHARED_POINTER(float) x, TLNG_SHARED_POINTER(float) rows,
                              TLNG_SHARED_POINTER(float) labels,
                              TLNG_OWN_ARGUMENT(unsigned, pieces, TLNG_RESIDENT_READ_AHEAD),
                              TLNG_OWN_ARGUMENT(unsigned, others, 2)) {
  const int batch = (int)s.rows;
  TLNG_EACH_THREAD(t) {
    const tlng_bringing own = tlng_bringing_of(s, t, part.start, part.count);
    TLNG_UNROLL
    for (int i = 0; i < TLNG_RESIDENT_READ_AHEAD; i++) {
      const int row = own.row + i * own.row_step;
      if (row < batch) tlng_put_piece(s, own, TLNG_MINE(pieces, t)[i], x + row * l.stride);
    }
    TLNG_ROLL
    for (int row = own.row + TLNG_RESIDENT_READ_AHEAD * own.row_step; row < batch; row += own.row_step)
      tlng_put_piece(s, own, tlng_piece(s, own, tlng_bits(rows[row])), x + row * l.stride);
  }
  TLNG_EACH_THREAD(t) {
    if ((tlng_int)place.group + (tlng_int)t * place.groups < batch)
      labels[t] = tlng_float(TLNG_MINE(others, t)[0]);
    if (t < batch && step + 1 < s.steps) rows[t] = tlng_float(TLNG_MINE(others, t)[1]);
  }
}

/* The rows of the batch that are this group's. */
TLNG_FUNCTION void tlng_resident_rows(TLNG_STEP s, TLNG_PLACE place, tlng_layout l,
                                      TLNG_SHARED_POINTER(float) memory,
                                      TLNG_SHARED_POINTER(float) labels,
                                      TLNG_GLOBAL(tlng_word) words, unsigned number) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  if (place.group >= s.rows) return;
  tlng_receive(place, words, number, l.mail_b1, 0, 1, hidden, memory + l.b1, 0);
  tlng_receive(place, words, number, l.mail_w2, 0, 1, outputs * hidden, memory + l.w2, 0);
  tlng_receive(place, words, number, l.mail_b2, 0, 1, outputs, memory + l.b2, 0);
  TLNG_ROLL
  for (int i = 0; (tlng_int)place.group + (tlng_int)i * place.groups < s.rows; i++)
    tlng_resident_row(s, place, l, place.group + i * place.groups, (int)tlng_bits(labels[i]), memory, words,
                      number);
}

/* All steps of a run whose batches are whole; s.units says how the first layer is cut, s.batches how many
 * batches of features fit into shared memory. */
TLNG_FUNCTION void tlng_resident_run(TLNG_STEP s, TLNG_PLACE place, TLNG_SHARED_POINTER(float) memory) {
  TLNG_GLOBAL(tlng_word) words = s.words;
  TLNG_GLOBAL(const unsigned) order = s.order;
  TLNG_GLOBAL(float) losses = s.losses;
  TLNG_GLOBAL(tlng_state) state = s.state;
  const int batch = (int)s.rows, hidden = (int)s.hidden, steps = (int)s.steps;
  const tlng_layout l =
      tlng_layout_of((int)s.inputs, hidden, (int)s.outputs, batch, (int)s.units, (int)s.batches);
  const tlng_part part = tlng_part_of(s, l, place.group);
  TLNG_SHARED_POINTER(float) w = memory + l.w;
  TLNG_SHARED_POINTER(float) v = memory + l.v;
  TLNG_SHARED_POINTER(float) d = memory + l.d;
  TLNG_SHARED_POINTER(float) rows = memory + l.rows; /* of the next step */
  TLNG_OWN(unsigned, pieces, TLNG_RESIDENT_READ_AHEAD);
  TLNG_OWN(unsigned, others, 2);
  tlng_load_part(s, place, l, part, s.w1, w);
  tlng_load_part(s, place, l, part, s.v1, v);
  tlng_resident_items(s, place, l, tlng_optimizer(s, 0), false, memory, words, 1);
  TLNG_EACH_THREAD(t) {
    if (t < batch) rows[t] = tlng_float(order[t]);
  }
  /* One round more than there are steps: the first only brings a batch. */
  int step = -1;
  TLNG_ROLL
  for (; step < steps; step++) {
    const int next = step + 1;
    const unsigned number = (unsigned)next;
    TLNG_SHARED_POINTER(float) x = memory + (l.x + (step & (l.x_count - 1)) * l.x_floats);
    TLNG_SHARED_POINTER(float) next_x = memory + (l.x + (next & (l.x_count - 1)) * l.x_floats);
    TLNG_SHARED_POINTER(float) next_labels = memory + (l.labels + (next & 1) * batch);
    if (next < steps) tlng_read_ahead(s, place, l, part, next, rows, pieces, others);
    if (step >= 0) tlng_resident_forward(s, place, l, part, x, w, words, number);
    /* While the others' sums are on their way, if there is room beside this step's batch. */
    const bool at_once = step < 0 || l.x_count > 1;
    if (at_once && next < steps)
      tlng_bring(s, place, l, part, next, next_x, rows, next_labels, pieces, others);
    if (step < 0) continue;
    tlng_resident_rows(s, place, l, memory, memory + (l.labels + (step & 1) * batch), words, number);
    tlng_receive(place, words, number, l.mail_target, 0, 1, batch, memory + l.target, 0);
    if (part.count > 0)
      tlng_receive(place, words, number, l.mail_d + part.first_unit, hidden, batch,
                   tlng_least_int(l.units, hidden - part.first_unit), d, l.units);
    const float loss = tlng_mean_loss(memory + l.target, batch, place, memory + l.space);
    if (place.group == 0) {
      TLNG_EACH_THREAD(t) {
        if (t == 0) losses[step] = loss;
      }
    }
    if (!tlng_is_finite(loss)) break;
    const tlng_sgd optimizer = tlng_optimizer(s, step);
    tlng_resident_update(s, place, l, part, optimizer, x, d, w, v);
    tlng_resident_items(s, place, l, optimizer, true, memory, words, number + 1);
    if (!at_once && next < steps)
      tlng_bring(s, place, l, part, next, next_x, rows, next_labels, pieces, others);
  }
  tlng_store_part(s, place, l, part, w, s.w1);
  tlng_store_part(s, place, l, part, v, s.v1);
  if (place.group == 0) {
    TLNG_EACH_THREAD(t) {
      if (t == 0) state[0].begun = state[0].ended = (unsigned)step;
    }
  }
}

#endif
