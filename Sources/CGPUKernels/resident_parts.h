/*
 * The parameters that a group of resident.h has: a part of the first layer, a piece of the second.
 */
#ifndef TLN_GPU_RESIDENT_PARTS_H
#define TLN_GPU_RESIDENT_PARTS_H

#include "resident_features.h"

/* A matrix in shared memory, and its place in the device's: columns of a matrix [..][row_length] from
 * first_column on, in matrices of `width` columns [rows][width]. */
struct tlng_span {
  int place, matrix_floats; /* from one to the next */
  int first_row, rows, first_column, columns, width, row_length;
};

TLNG_FUNCTION tlng_span tlng_span_of(int place, int rows, int first_column, int columns, int width,
                                     int row_length) {
  tlng_span span;
  span.place = place;
  span.matrix_floats = rows * width;
  span.first_row = 0;
  span.rows = rows;
  span.first_column = first_column;
  span.columns = columns;
  span.width = width;
  span.row_length = row_length;
  return span;
}

/* Copies it in, with zeros beyond the end of rows, or back. */
TLNG_CALLED void tlng_copy_span(TLNG_PLACE place, tlng_span span, bool is_back, TLNG_GLOBAL(float) all,
                                TLNG_SHARED_POINTER(float) memory) {
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int i = t; i < span.rows * span.columns; i += TLNG_THREADS) {
      const int matrix = i / (span.rows * span.width), of_matrix = i - matrix * (span.rows * span.width);
      const int row = of_matrix / span.width;
      const int column = span.first_column + matrix * span.width + (of_matrix - row * span.width);
      const tlng_int at = (tlng_int)(span.first_row + row) * span.row_length + column;
      const int here = span.place + matrix * span.matrix_floats + of_matrix;
      if (!is_back)
        memory[here] = column < span.row_length ? all[at] : 0.0f;
      else if (column < span.row_length)
        all[at] = memory[here];
    }
  }
}

/* The parameters and momentum of the group's part and piece. */
TLNG_FUNCTION void tlng_copy_parameters(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                        int piece, bool is_back, TLNG_SHARED_POINTER(float) memory) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  TLNG_ROLL
  for (int i = 0; i < 2; i++) {
    tlng_span w1 = tlng_span_of(i == 0 ? l.w : l.v, part.count, part.first_unit, l.units, 2, hidden);
    w1.first_row = part.start;
    w1.matrix_floats = 2 * l.length;
    tlng_copy_span(place, w1, is_back, i == 0 ? s.w1 : s.v1, memory);
    const tlng_span b1 = tlng_span_of(i == 0 ? l.b1 : l.vb1, part.is_last ? 1 : 0, part.first_unit, l.units,
                                      l.units, hidden);
    tlng_copy_span(place, b1, is_back, i == 0 ? s.b1 : s.vb1, memory);
    const tlng_span w2 = tlng_span_of(i == 0 ? l.w2 : l.v2, piece < l.pieces ? outputs : 0,
                                      piece * l.piece_units, l.piece_units, l.piece_units, hidden);
    tlng_copy_span(place, w2, is_back, i == 0 ? s.w2 : s.v2, memory);
    const tlng_span b2 =
        tlng_span_of(i == 0 ? l.b2 : l.vb2, piece == 0 ? 1 : 0, 0, outputs, outputs, outputs);
    tlng_copy_span(place, b2, is_back, i == 0 ? s.b2 : s.vb2, memory);
  }
}

/* Tells the groups with rows b1, w2 and b2, as far as they are this group's: a thread's share. */
TLNG_FUNCTION void tlng_tell_rest(TLNG_STEP s, int t, tlng_layout l, tlng_part part, int piece,
                                  TLNG_SHARED_POINTER(float) memory, TLNG_GLOBAL(tlng_word) words,
                                  unsigned number) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  const int of_w2 = l.mail_rest + hidden, of_b2 = of_w2 + outputs * hidden;
  if (piece < l.pieces) {
    TLNG_ROLL
    for (int i = t; i < outputs * l.piece_units; i += TLNG_THREADS) {
      const int output = i / l.piece_units, unit = piece * l.piece_units + (i - output * l.piece_units);
      if (unit < hidden) tlng_send(words, of_w2 + output * hidden + unit, number, memory[l.w2 + i]);
    }
    if (piece == 0 && t < outputs) tlng_send(words, of_b2 + t, number, memory[l.b2 + t]);
  }
  if (part.is_last) {
    TLNG_ROLL
    for (int i = t; i < l.units; i += TLNG_THREADS) {
      const int unit = part.first_unit + i;
      if (unit < hidden) tlng_send(words, l.mail_rest + unit, number, memory[l.b1 + i]);
    }
  }
}

/* ------------------------------------------------------------------------------- forward */

/* Sums of two hidden units side by side. */
TLNG_FUNCTION tlng_two tlng_no_sums(void) {
  tlng_two sums;
  sums.x = 0;
  sums.y = 0;
  return sums;
}

TLNG_FUNCTION tlng_two tlng_add_products(tlng_two sums, float value, tlng_two factor) {
  sums.x = tlng_fma(value, factor.x, sums.x);
  sums.y = tlng_fma(value, factor.y, sums.y);
  return sums;
}

/* Eight terms of two rows' sums; the next are read while these are added, also behind the last, where they are
 * not used. */
struct tlng_forward_terms {
  tlng_four x[2][2];
  tlng_two w[8];
};

TLNG_FUNCTION void tlng_read_terms(tlng_forward_terms *terms, TLNG_SHARED_POINTER(float) x0,
                                   TLNG_SHARED_POINTER(float) x1, TLNG_SHARED_POINTER(float) w) {
  TLNG_UNROLL
  for (int i = 0; i < 2; i++) {
    terms->x[0][i] = tlng_read_four(x0 + 4 * i);
    terms->x[1][i] = tlng_read_four(x1 + 4 * i);
  }
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) terms->w[i] = tlng_read_two(w + 2 * i);
}

TLNG_FUNCTION void tlng_add_terms(tlng_two *sums, const tlng_forward_terms *terms) {
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) {
    TLNG_UNROLL
    for (int r = 0; r < 2; r++) {
      const tlng_four x = terms->x[r][i / 4];
      const float value = i % 4 == 0 ? x.x : i % 4 == 1 ? x.y : i % 4 == 2 ? x.z : x.w;
      sums[r] = tlng_add_products(sums[r], value, terms->w[i]);
    }
  }
}

/* A thread's share of the sums of the part's panel: two units of two rows at a time. What bounds it is how
 * much of shared memory is read for a product, and how few threads there are for more products each. */
TLNG_FUNCTION void tlng_part_forward(TLNG_STEP s, int t, tlng_layout l, tlng_part part,
                                     TLNG_SHARED_POINTER(float) x, TLNG_SHARED_POINTER(float) w,
                                     TLNG_GLOBAL(tlng_word) words, unsigned number) {
  const int batch = (int)s.rows, panel = part.start / l.length;
  const int half = (batch + 1) / 2;
  TLNG_ROLL
  for (int item = t; item < half * (l.units / 2) && part.count > 0; item += TLNG_THREADS) {
    const int pair = item / half, row = item - pair * half;
    const int other_row = tlng_least_int(row + half, batch - 1);
    TLNG_SHARED_POINTER(float) x0 = x + row * TLNG_RESIDENT_STRIDE;
    TLNG_SHARED_POINTER(float) x1 = x + other_row * TLNG_RESIDENT_STRIDE;
    TLNG_SHARED_POINTER(float) own_w = w + 2 * pair * l.length;
    tlng_two sums[2] = {tlng_no_sums(), tlng_no_sums()};
    int k = 0;
    if (part.count >= 16) {
      tlng_forward_terms one, other;
      tlng_read_terms(&one, x0, x1, own_w);
      TLNG_ROLL
      for (; k + 16 <= part.count; k += 16) {
        tlng_read_terms(&other, x0 + 8, x1 + 8, own_w + 16);
        tlng_add_terms(sums, &one);
        x0 = x0 + 16;
        x1 = x1 + 16;
        own_w = own_w + 32;
        tlng_read_terms(&one, x0, x1, own_w);
        tlng_add_terms(sums, &other);
      }
    }
    TLNG_ROLL
    for (; k < part.count; k++) {
      const tlng_two factor = tlng_read_two(own_w);
      sums[0] = tlng_add_products(sums[0], x0[0], factor);
      sums[1] = tlng_add_products(sums[1], x1[0], factor);
      x0 = x0 + 1;
      x1 = x1 + 1;
      own_w = own_w + 2;
    }
    const int at = panel * l.row_units + part.first_unit + 2 * pair, of_row = l.panels * l.row_units;
    tlng_write_two_words(words + (row * of_row + at), tlng_word_of(number, sums[0].x),
                         tlng_word_of(number, sums[0].y));
    tlng_write_two_words(words + (other_row * of_row + at), tlng_word_of(number, sums[1].x),
                         tlng_word_of(number, sums[1].y));
  }
}

/* ----------------------------------------------------------------------------- gradients */

/* The sum of a column [rows][stride] of a matrix, in the order of tlng_update_bias, of at most 256 rows. */
TLNG_CALLED float tlng_column_sum(TLNG_SHARED_POINTER(float) values, int stride, int rows,
                                  const tlng_column c) {
  const int count = (int)c.count, step = c.parts * stride;
  float total = 0;
  TLNG_ROLL
  for (int part = 0; part < c.parts; part++) {
    TLNG_SHARED_POINTER(float) next = values + part * stride;
    float blocks = 0, sixteen_blocks = 0, rest = 0;
    int row = 0;
    TLNG_ROLL
    for (; row + 16 <= count; row += 16) {
      float value[16], sum = 0;
      TLNG_UNROLL
      for (int i = 0; i < 16; i++) value[i] = next[i * step];
      TLNG_UNROLL
      for (int i = 0; i < 16; i++) sum = sum + value[i];
      blocks = blocks + sum;
      if (row + 16 == 256) {
        sixteen_blocks = blocks;
        blocks = 0;
      }
      next = next + 16 * step;
    }
    TLNG_ROLL
    for (; row < count; row++) {
      rest = rest + next[0];
      next = next + step;
    }
    const float of_run = (rest + blocks) + sixteen_blocks;
    total = part == 0 ? of_run : total + of_run;
    if (part == 0) {
      TLNG_ROLL
      for (int left = count * c.parts; left < rows; left++) total = total + values[left * stride];
    }
  }
  return total;
}

/* Four rows' terms of three inputs' sums, from row `first` on; as those of forward. */
struct tlng_gradient_terms {
  float x[3][4];
  tlng_two d[4];
};

TLNG_FUNCTION void tlng_read_rows(tlng_gradient_terms *terms, TLNG_SHARED_POINTER(float) x0,
                                  TLNG_SHARED_POINTER(float) x1, TLNG_SHARED_POINTER(float) x2,
                                  TLNG_SHARED_POINTER(float) d, int first) {
  TLNG_UNROLL
  for (int i = 0; i < 4; i++) {
    terms->x[0][i] = x0[(first + i) * TLNG_RESIDENT_STRIDE];
    terms->x[1][i] = x1[(first + i) * TLNG_RESIDENT_STRIDE];
    terms->x[2][i] = x2[(first + i) * TLNG_RESIDENT_STRIDE];
    terms->d[i] = tlng_read_two(d + 2 * (first + i));
  }
}

TLNG_FUNCTION void tlng_add_rows(tlng_two *sums, const tlng_gradient_terms *terms) {
  TLNG_UNROLL
  for (int i = 0; i < 4; i++) {
    TLNG_UNROLL
    for (int r = 0; r < 3; r++) sums[r] = tlng_add_products(sums[r], terms->x[r][i], terms->d[i]);
  }
}

/* A thread's share of the gradients of the part's weights and biases: two units of three inputs at a time. */
TLNG_FUNCTION void tlng_part_gradients(TLNG_STEP s, int t, tlng_layout l, tlng_part part,
                                       TLNG_SHARED_POINTER(float) x,
                                       TLNG_SHARED_POINTER(float) memory) {
  const int batch = (int)s.rows, length = (int)tlng_panel_length(batch);
  const int third = (part.count + 2) / 3;
  TLNG_ROLL
  for (int item = t; item < third * (l.units / 2); item += TLNG_THREADS) {
    const int pair = item / third, k = item - pair * third;
    const int second = tlng_least_int(k + third, part.count - 1);
    const int last = tlng_least_int(k + 2 * third, part.count - 1);
    TLNG_SHARED_POINTER(float) x0 = x + k;
    TLNG_SHARED_POINTER(float) x1 = x + second;
    TLNG_SHARED_POINTER(float) x2 = x + last;
    TLNG_SHARED_POINTER(float) d = memory + (l.d + 2 * pair * batch);
    tlng_two totals[3], sums[3];
    TLNG_ROLL
    for (int start = 0; start < batch; start += length) {
      const int end = tlng_least_int(start + length, batch);
      TLNG_UNROLL
      for (int r = 0; r < 3; r++) sums[r] = tlng_no_sums();
      int row = start;
      if (row + 8 <= end) {
        tlng_gradient_terms one, other;
        tlng_read_rows(&one, x0, x1, x2, d, 0);
        TLNG_ROLL
        for (; row + 8 <= end; row += 8) {
          tlng_read_rows(&other, x0, x1, x2, d, 4);
          tlng_add_rows(sums, &one);
          x0 = x0 + 8 * TLNG_RESIDENT_STRIDE;
          x1 = x1 + 8 * TLNG_RESIDENT_STRIDE;
          x2 = x2 + 8 * TLNG_RESIDENT_STRIDE;
          d = d + 16;
          tlng_read_rows(&one, x0, x1, x2, d, 0);
          tlng_add_rows(sums, &other);
        }
      }
      TLNG_ROLL
      for (; row < end; row++) {
        const tlng_two factor = tlng_read_two(d);
        sums[0] = tlng_add_products(sums[0], x0[0], factor);
        sums[1] = tlng_add_products(sums[1], x1[0], factor);
        sums[2] = tlng_add_products(sums[2], x2[0], factor);
        x0 = x0 + TLNG_RESIDENT_STRIDE;
        x1 = x1 + TLNG_RESIDENT_STRIDE;
        x2 = x2 + TLNG_RESIDENT_STRIDE;
        d = d + 2;
      }
      TLNG_UNROLL
      for (int r = 0; r < 3; r++) {
        totals[r].x = start == 0 ? sums[r].x : totals[r].x + sums[r].x;
        totals[r].y = start == 0 ? sums[r].y : totals[r].y + sums[r].y;
      }
    }
    TLNG_SHARED_POINTER(float) gradients = memory + (l.dw + 2 * pair * l.length);
    tlng_write_two(gradients + 2 * k, totals[0]);
    tlng_write_two(gradients + 2 * second, totals[1]);
    tlng_write_two(gradients + 2 * last, totals[2]);
  }
  /* The last threads have the least to do. */
  TLNG_ROLL
  for (int i = TLNG_THREADS - 2 - t; i < l.units && part.is_last; i += TLNG_THREADS) {
    if (i >= 0 && part.first_unit + i < s.hidden)
      memory[l.db1 + i] = tlng_column_sum(memory + (l.d + i / 2 * 2 * batch + i % 2), 2, batch,
                                          tlng_column_of(batch, s.hidden, part.first_unit + i));
  }
}

/* A thread's share of the gradients of the piece's weights and biases. */
TLNG_FUNCTION void tlng_piece_gradients(TLNG_STEP s, int t, tlng_layout l, int piece,
                                        TLNG_SHARED_POINTER(float) memory) {
  const int batch = (int)s.rows, outputs = (int)s.outputs;
  const bool is_small = tlng_is_small(outputs, s.hidden, batch);
  const int length = is_small ? batch : (int)tlng_panel_length(batch);
  /* By other threads than a small part's. */
  TLNG_ROLL
  for (int item = t ^ (TLNG_THREADS / 2); item < outputs * l.piece_units; item += TLNG_THREADS) {
    const int output = item / l.piece_units, i = item - output * l.piece_units;
    const int unit = piece * l.piece_units + i;
    TLNG_SHARED_POINTER(float) d = memory + (l.d_logits + output);
    TLNG_SHARED_POINTER(float) h = memory + (l.piece_h + i / 8 * 8 * batch + i % 8);
    float total = 0;
    if (is_small) {
      tlng_terms terms;
      terms.a = tlng_floats(d, outputs);
      terms.k_is_row = true;
      terms.a_fixed = 0;
      terms.b = h;
      terms.b_step = 8;
      terms.count = batch;
      total = tlng_sequence(terms, false, unit < tlng_grouped_columns(output, outputs, s.hidden, batch));
    } else {
      TLNG_ROLL
      for (int start = 0; start < batch; start += length) {
        const int end = tlng_least_int(start + length, batch);
        float sum = 0;
        TLNG_SHARED_POINTER(float) next_d = d + start * outputs;
        TLNG_SHARED_POINTER(float) next_h = h + start * 8;
        int row = start;
        TLNG_ROLL
        for (; row + 10 <= end; row += 10) {
          float a[10], b[10];
          TLNG_UNROLL
          for (int j = 0; j < 10; j++) {
            a[j] = next_d[j * outputs];
            b[j] = next_h[j * 8];
          }
          TLNG_UNROLL
          for (int j = 0; j < 10; j++) sum = tlng_fma(a[j], b[j], sum);
          next_d = next_d + 10 * outputs;
          next_h = next_h + 80;
        }
        TLNG_ROLL
        for (; row < end; row++) sum = tlng_fma(d[row * outputs], h[row * 8], sum);
        total = start == 0 ? sum : total + sum;
      }
    }
    memory[l.dw2 + item] = total;
  }
  const int output = TLNG_THREADS - 1 - t;
  if (piece == 0 && output < outputs)
    memory[l.db2 + output] = tlng_column_sum(memory + (l.d_logits + output), outputs, batch,
                                             tlng_column_of(batch, outputs, output));
}

/* -------------------------------------------------------------------------------- update */

/* A thread's share of the update of all that is the group's. */
TLNG_FUNCTION void tlng_update_resident(TLNG_STEP s, int t, tlng_layout l, tlng_part part, int piece,
                                        tlng_sgd optimizer, TLNG_SHARED_POINTER(float) memory) {
  const int outputs = (int)s.outputs;
  TLNG_ROLL
  for (int which = 0; which < 4; which++) {
    int p = l.w, v = l.v, gradients = l.dw, count = l.length * l.units;
    if (which == 0 && part.count == 0) continue;
    if (which == 1) {
      p = l.b1, v = l.vb1, gradients = l.db1, count = part.is_last ? l.units : 0;
    } else if (which == 2) {
      p = l.w2, v = l.v2, gradients = l.dw2, count = piece < l.pieces ? outputs * l.piece_units : 0;
    } else if (which == 3) {
      p = l.b2, v = l.vb2, gradients = l.db2, count = piece == 0 ? outputs : 0;
    }
    TLNG_ROLL
    for (int i = t; i < count; i += TLNG_THREADS) {
      const tlng_pair next = tlng_updated(optimizer, memory[gradients + i], memory[p + i], memory[v + i]);
      memory[p + i] = next.parameter;
      memory[v + i] = next.velocity;
    }
  }
}

#endif
