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
    tlng_span w1 = tlng_span_of(i == 0 ? l.w : l.v, part.count, part.first_unit, l.units, 4, hidden);
    w1.first_row = part.start;
    w1.matrix_floats = 4 * l.length;
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

struct tlng_sums {
  float of[4];
};

TLNG_FUNCTION void tlng_clear_sums(tlng_sums *sums) {
  TLNG_UNROLL
  for (int j = 0; j < 4; j++) sums->of[j] = 0;
}

TLNG_FUNCTION void tlng_add_products(tlng_sums *sums, float value, tlng_four factor) {
  sums->of[0] = tlng_fma(value, factor.x, sums->of[0]);
  sums->of[1] = tlng_fma(value, factor.y, sums->of[1]);
  sums->of[2] = tlng_fma(value, factor.z, sums->of[2]);
  sums->of[3] = tlng_fma(value, factor.w, sums->of[3]);
}

/* Eight terms of two rows' sums; the next are read while these are added. What bounds it is how much of
 * shared memory is read for each product. */
struct tlng_forward_terms {
  tlng_four x[2][2], w[8];
};

TLNG_FUNCTION void tlng_read_terms(tlng_forward_terms *terms, TLNG_SHARED_POINTER(float) x0,
                                   TLNG_SHARED_POINTER(float) x1, TLNG_SHARED_POINTER(float) w) {
  TLNG_UNROLL
  for (int i = 0; i < 2; i++) {
    terms->x[0][i] = tlng_read_four(x0 + 4 * i);
    terms->x[1][i] = tlng_read_four(x1 + 4 * i);
  }
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) terms->w[i] = tlng_read_four(w + 4 * i);
}

TLNG_FUNCTION void tlng_add_terms(tlng_sums *sums, const tlng_forward_terms *terms) {
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) {
    TLNG_UNROLL
    for (int r = 0; r < 2; r++) {
      const tlng_four x = terms->x[r][i / 4];
      tlng_add_products(sums + r, i % 4 == 0 ? x.x : i % 4 == 1 ? x.y : i % 4 == 2 ? x.z : x.w, terms->w[i]);
    }
  }
}

/* A thread's share of the sums of the part's panel: four units of two rows at a time. */
TLNG_FUNCTION void tlng_part_forward(TLNG_STEP s, int t, tlng_layout l, tlng_part part,
                                     TLNG_SHARED_POINTER(float) x, TLNG_SHARED_POINTER(float) w,
                                     TLNG_GLOBAL(tlng_word) words, unsigned number) {
  const int batch = (int)s.rows, panel = part.start / l.length;
  const int half = (batch + 1) / 2;
  TLNG_ROLL
  for (int item = t; item < half * (l.units / 4) && part.count > 0; item += TLNG_THREADS) {
    const int quad = item / half, row = item - quad * half;
    const int other_row = tlng_least_int(row + half, batch - 1);
    TLNG_SHARED_POINTER(float) x0 = x + row * TLNG_RESIDENT_STRIDE;
    TLNG_SHARED_POINTER(float) x1 = x + other_row * TLNG_RESIDENT_STRIDE;
    TLNG_SHARED_POINTER(float) own_w = w + 4 * quad * l.length;
    tlng_sums sums[2];
    tlng_clear_sums(sums);
    tlng_clear_sums(sums + 1);
    int k = 0;
    if (part.count >= 16) {
      tlng_forward_terms one, other;
      tlng_read_terms(&one, x0, x1, own_w);
      TLNG_ROLL
      for (; k + 16 <= part.count; k += 16) {
        tlng_read_terms(&other, x0 + (k + 8), x1 + (k + 8), own_w + 4 * (k + 8));
        tlng_add_terms(sums, &one);
        const int next = k + 24 <= part.count ? k + 16 : k;
        tlng_read_terms(&one, x0 + next, x1 + next, own_w + 4 * next);
        tlng_add_terms(sums, &other);
      }
    }
    TLNG_ROLL
    for (; k < part.count; k++) {
      const tlng_four factor = tlng_read_four(own_w + 4 * k);
      tlng_add_products(sums, x0[k], factor);
      tlng_add_products(sums + 1, x1[k], factor);
    }
    const int unit = part.first_unit + 4 * quad;
    TLNG_UNROLL
    for (int r = 0; r < 2; r++) {
      const int at = ((r == 0 ? row : other_row) * l.panels + panel) * l.row_units + unit;
      TLNG_UNROLL
      for (int j = 0; j < 4; j += 2)
        tlng_write_two_words(words + (at + j), tlng_word_of(number, sums[r].of[j]),
                             tlng_word_of(number, sums[r].of[j + 1]));
    }
  }
}

/* ----------------------------------------------------------------------------- gradients */

/* The sum of a column [rows][stride] of a matrix, in the order of tlng_update_bias, of at most 256 rows. */
TLNG_CALLED float tlng_column_sum(TLNG_SHARED_POINTER(float) values, int stride, int rows,
                                  const tlng_column c) {
  const int count = (int)c.count;
  float total = 0;
  TLNG_ROLL
  for (int part = 0; part < c.parts; part++) {
    float blocks = 0, sixteen_blocks = 0, sum = 0;
    TLNG_ROLL
    for (int first = 0; first < count; first += 16) {
      float value[16];
      TLNG_UNROLL
      for (int i = 0; i < 16; i++)
        value[i] = values[(tlng_least_int(first + i, count - 1) * c.parts + part) * stride];
      sum = 0;
      TLNG_UNROLL
      for (int i = 0; i < 16; i++) {
        if (first + i < count) sum = sum + value[i];
      }
      if (first + 16 <= count) {
        blocks = blocks + sum;
        sum = 0;
        if (first + 16 == 256) {
          sixteen_blocks = blocks;
          blocks = 0;
        }
      }
    }
    const float of_run = (sum + blocks) + sixteen_blocks;
    total = part == 0 ? of_run : total + of_run;
    if (part == 0) {
      TLNG_ROLL
      for (int row = count * c.parts; row < rows; row++) total = total + values[row * stride];
    }
  }
  return total;
}

/* Four rows' terms of three inputs' sums. */
struct tlng_gradient_terms {
  float x[3][4];
  tlng_four d[4];
};

TLNG_FUNCTION void tlng_read_rows(tlng_gradient_terms *terms, TLNG_SHARED_POINTER(float) x0,
                                  TLNG_SHARED_POINTER(float) x1, TLNG_SHARED_POINTER(float) x2,
                                  TLNG_SHARED_POINTER(float) d, int row) {
  const int of_x = row * TLNG_RESIDENT_STRIDE;
  TLNG_UNROLL
  for (int i = 0; i < 4; i++) {
    terms->x[0][i] = x0[of_x + i * TLNG_RESIDENT_STRIDE];
    terms->x[1][i] = x1[of_x + i * TLNG_RESIDENT_STRIDE];
    terms->x[2][i] = x2[of_x + i * TLNG_RESIDENT_STRIDE];
    terms->d[i] = tlng_read_four(d + (4 * row + 4 * i));
  }
}

TLNG_FUNCTION void tlng_add_rows(tlng_sums *sums, const tlng_gradient_terms *terms) {
  TLNG_UNROLL
  for (int i = 0; i < 4; i++) {
    TLNG_UNROLL
    for (int r = 0; r < 3; r++) tlng_add_products(sums + r, terms->x[r][i], terms->d[i]);
  }
}

/* A thread's share of the gradients of the part's weights and biases: four units of three inputs at a time. */
TLNG_FUNCTION void tlng_part_gradients(TLNG_STEP s, int t, tlng_layout l, tlng_part part,
                                       TLNG_SHARED_POINTER(float) x,
                                       TLNG_SHARED_POINTER(float) memory) {
  const int batch = (int)s.rows, length = (int)tlng_panel_length(batch);
  const int third = (part.count + 2) / 3;
  TLNG_ROLL
  for (int item = t; item < third * (l.units / 4); item += TLNG_THREADS) {
    const int quad = item / third, k = item - quad * third;
    const int second = tlng_least_int(k + third, part.count - 1);
    const int last = tlng_least_int(k + 2 * third, part.count - 1);
    TLNG_SHARED_POINTER(float) x0 = x + k;
    TLNG_SHARED_POINTER(float) x1 = x + second;
    TLNG_SHARED_POINTER(float) x2 = x + last;
    TLNG_SHARED_POINTER(float) d = memory + (l.d + 4 * quad * batch);
    tlng_sums totals[3], sums[3];
    TLNG_ROLL
    for (int start = 0; start < batch; start += length) {
      const int end = tlng_least_int(start + length, batch);
      TLNG_UNROLL
      for (int r = 0; r < 3; r++) tlng_clear_sums(sums + r);
      int row = start;
      if (row + 8 <= end) {
        tlng_gradient_terms one, other;
        tlng_read_rows(&one, x0, x1, x2, d, row);
        TLNG_ROLL
        for (; row + 8 <= end; row += 8) {
          tlng_read_rows(&other, x0, x1, x2, d, row + 4);
          tlng_add_rows(sums, &one);
          tlng_read_rows(&one, x0, x1, x2, d, row + 12 <= end ? row + 8 : row);
          tlng_add_rows(sums, &other);
        }
      }
      TLNG_ROLL
      for (; row < end; row++) {
        const tlng_four factor = tlng_read_four(d + 4 * row);
        tlng_add_products(sums, x0[row * TLNG_RESIDENT_STRIDE], factor);
        tlng_add_products(sums + 1, x1[row * TLNG_RESIDENT_STRIDE], factor);
        tlng_add_products(sums + 2, x2[row * TLNG_RESIDENT_STRIDE], factor);
      }
      TLNG_UNROLL
      for (int r = 0; r < 3; r++) {
        TLNG_UNROLL
        for (int j = 0; j < 4; j++)
          totals[r].of[j] = start == 0 ? sums[r].of[j] : totals[r].of[j] + sums[r].of[j];
      }
    }
    TLNG_UNROLL
    for (int r = 0; r < 3; r++) {
      tlng_four four;
      four.x = totals[r].of[0];
      four.y = totals[r].of[1];
      four.z = totals[r].of[2];
      four.w = totals[r].of[3];
      tlng_write_four(memory + (l.dw + 4 * (quad * l.length + (r == 0 ? k : r == 1 ? second : last))), four);
    }
  }
  /* The last threads have the least to do. */
  TLNG_ROLL
  for (int i = TLNG_THREADS - 2 - t; i < l.units && part.is_last; i += TLNG_THREADS) {
    if (i >= 0 && part.first_unit + i < s.hidden)
      memory[l.db1 + i] = tlng_column_sum(memory + (l.d + i / 4 * 4 * batch + i % 4), 4, batch,
                                          tlng_column_of(batch, s.hidden, part.first_unit + i));
  }
}

/* A thread's share of the gradients of the piece's weights and biases. */
TLNG_FUNCTION void tlng_piece_gradients(TLNG_STEP s, int t, tlng_layout l, int piece,
                                        TLNG_SHARED_POINTER(float) memory) {
  const int batch = (int)s.rows, outputs = (int)s.outputs;
  const bool is_small = tlng_is_small(outputs, s.hidden, batch);
  const int length = is_small ? batch : (int)tlng_panel_length(batch);
  TLNG_ROLL
  for (int item = t; item < outputs * l.piece_units; item += TLNG_THREADS) {
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
        TLNG_ROLL
        for (int row = start; row < end; row += 8) {
          float a[8], b[8];
          TLNG_UNROLL
          for (int j = 0; j < 8; j++) {
            const int own = tlng_least_int(row + j, end - 1);
            a[j] = d[own * outputs];
            b[j] = h[own * 8];
          }
          TLNG_UNROLL
          for (int j = 0; j < 8; j++) {
            if (row + j < end) sum = tlng_fma(a[j], b[j], sum);
          }
        }
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
