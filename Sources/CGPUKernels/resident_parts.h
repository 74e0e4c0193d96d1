/*
 * The parameters that a group of resident.h has: a part of the first layer, a piece of the second.
 */
#ifndef TLN_GPU_RESIDENT_PARTS_H
#define TLN_GPU_RESIDENT_PARTS_H

#include "resident_features.h"

/* Places in a part or a piece and in the device's memory: row and column of a matrix [..][hidden]. */
struct tlng_span {
  int first_row, rows, first_column, columns;
};

/* Copies a matrix in, with zeros beyond the last hidden unit, or back. */
TLNG_CALLED void tlng_copy_in(TLNG_PLACE place, tlng_span span, int hidden, TLNG_GLOBAL(const float) from,
                              TLNG_SHARED_POINTER(float) to) {
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int i = t; i < span.rows * span.columns; i += TLNG_THREADS) {
      const int column = span.first_column + i % span.columns;
      const tlng_int row = span.first_row + i / span.columns;
      to[i] = column < hidden ? from[row * hidden + column] : 0.0f;
    }
  }
}

TLNG_CALLED void tlng_copy_back(TLNG_PLACE place, tlng_span span, int hidden,
                                TLNG_SHARED_POINTER(float) from, TLNG_GLOBAL(float) to) {
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int i = t; i < span.rows * span.columns; i += TLNG_THREADS) {
      const int column = span.first_column + i % span.columns;
      const tlng_int row = span.first_row + i / span.columns;
      if (column < hidden) to[row * hidden + column] = from[i];
    }
  }
}

TLNG_FUNCTION tlng_span tlng_span_of(int first_row, int rows, int first_column, int columns) {
  tlng_span span;
  span.first_row = first_row;
  span.rows = rows;
  span.first_column = first_column;
  span.columns = columns;
  return span;
}

TLNG_FUNCTION void tlng_load_part(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                  TLNG_SHARED_POINTER(float) memory) {
  const int hidden = (int)s.hidden;
  const tlng_span weights = tlng_span_of(part.start, part.count, part.first_unit, l.units);
  const tlng_span biases = tlng_span_of(0, part.is_last ? 1 : 0, part.first_unit, l.units);
  tlng_copy_in(place, weights, hidden, s.w1, memory + l.w);
  tlng_copy_in(place, weights, hidden, s.v1, memory + l.v);
  tlng_copy_in(place, biases, hidden, s.b1, memory + l.b1);
  tlng_copy_in(place, biases, hidden, s.vb1, memory + l.vb1);
}

TLNG_FUNCTION void tlng_store_part(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, tlng_part part,
                                   TLNG_SHARED_POINTER(float) memory) {
  const int hidden = (int)s.hidden;
  const tlng_span weights = tlng_span_of(part.start, part.count, part.first_unit, l.units);
  const tlng_span biases = tlng_span_of(0, part.is_last ? 1 : 0, part.first_unit, l.units);
  tlng_copy_back(place, weights, hidden, memory + l.w, s.w1);
  tlng_copy_back(place, weights, hidden, memory + l.v, s.v1);
  tlng_copy_back(place, biases, hidden, memory + l.b1, s.b1);
  tlng_copy_back(place, biases, hidden, memory + l.vb1, s.vb1);
}

TLNG_FUNCTION void tlng_load_piece(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, int piece,
                                   TLNG_SHARED_POINTER(float) memory) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  const tlng_span weights =
      tlng_span_of(0, piece < l.pieces ? outputs : 0, piece * l.piece_units, l.piece_units);
  const tlng_span biases = tlng_span_of(0, piece == 0 ? 1 : 0, 0, outputs);
  tlng_copy_in(place, weights, hidden, s.w2, memory + l.w2);
  tlng_copy_in(place, weights, hidden, s.v2, memory + l.v2);
  tlng_copy_in(place, biases, outputs, s.b2, memory + l.b2);
  tlng_copy_in(place, biases, outputs, s.vb2, memory + l.vb2);
}

TLNG_FUNCTION void tlng_store_piece(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, int piece,
                                    TLNG_SHARED_POINTER(float) memory) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  const tlng_span weights =
      tlng_span_of(0, piece < l.pieces ? outputs : 0, piece * l.piece_units, l.piece_units);
  const tlng_span biases = tlng_span_of(0, piece == 0 ? 1 : 0, 0, outputs);
  tlng_copy_back(place, weights, hidden, memory + l.w2, s.w2);
  tlng_copy_back(place, weights, hidden, memory + l.v2, s.v2);
  tlng_copy_back(place, biases, outputs, memory + l.b2, s.b2);
  tlng_copy_back(place, biases, outputs, memory + l.vb2, s.vb2);
}

/* Tells the groups with rows b1, w2 and b2, as far as they are this group's: a thread's share. */
TLNG_FUNCTION void tlng_tell_rest(TLNG_STEP s, int t, tlng_layout l, tlng_part part, int piece,
                                  TLNG_SHARED_POINTER(float) memory, TLNG_GLOBAL(tlng_word) words,
                                  unsigned number) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  const tlng_int of_w2 = l.mail_rest + hidden, of_b2 = of_w2 + outputs * hidden;
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
                                   TLNG_SHARED_POINTER(float) x1, TLNG_SHARED_POINTER(float) w,
                                   int units) {
  TLNG_UNROLL
  for (int i = 0; i < 2; i++) {
    terms->x[0][i] = tlng_read_four(x0 + 4 * i);
    terms->x[1][i] = tlng_read_four(x1 + 4 * i);
  }
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) terms->w[i] = tlng_read_four(w + i * units);
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
  const int batch = (int)s.rows, hidden = (int)s.hidden, panel = part.start / l.length;
  const int half = (batch + 1) / 2;
  TLNG_ROLL
  for (int item = t; item < half * (l.units / 4) && part.count > 0; item += TLNG_THREADS) {
    const int quad = item / half, row = item - quad * half;
    const int other_row = tlng_least_int(row + half, batch - 1);
    TLNG_SHARED_POINTER(float) x0 = x + row * l.stride;
    TLNG_SHARED_POINTER(float) x1 = x + other_row * l.stride;
    TLNG_SHARED_POINTER(float) own_w = w + 4 * quad;
    tlng_sums sums[2];
    tlng_clear_sums(sums);
    tlng_clear_sums(sums + 1);
    int k = 0;
    if (part.count >= 16) {
      tlng_forward_terms one, other;
      tlng_read_terms(&one, x0, x1, own_w, l.units);
      TLNG_ROLL
      for (; k + 16 <= part.count; k += 16) {
        tlng_read_terms(&other, x0 + (k + 8), x1 + (k + 8), own_w + (k + 8) * l.units, l.units);
        tlng_add_terms(sums, &one);
        const int next = k + 24 <= part.count ? k + 16 : k;
        tlng_read_terms(&one, x0 + next, x1 + next, own_w + next * l.units, l.units);
        tlng_add_terms(sums, &other);
      }
    }
    TLNG_ROLL
    for (; k < part.count; k++) {
      const tlng_four factor = tlng_read_four(own_w + k * l.units);
      tlng_add_products(sums, x0[k], factor);
      tlng_add_products(sums + 1, x1[k], factor);
    }
    const int unit = part.first_unit + 4 * quad;
    TLNG_UNROLL
    for (int r = 0; r < 2; r++) {
      const tlng_int at = (tlng_int)((r == 0 ? row : other_row) * l.panels + panel) * hidden + unit;
      TLNG_UNROLL
      for (int j = 0; j < 4; j++) {
        if (unit + j < hidden) tlng_send(words, at + j, number, sums[r].of[j]);
      }
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

TLNG_FUNCTION void tlng_read_rows(tlng_gradient_terms *terms, TLNG_SHARED_POINTER(float) x, int third,
                                  int two_thirds, int stride, TLNG_SHARED_POINTER(float) d, int units) {
  TLNG_UNROLL
  for (int i = 0; i < 4; i++) {
    terms->x[0][i] = x[i * stride];
    terms->x[1][i] = x[i * stride + third];
    terms->x[2][i] = x[i * stride + two_thirds];
    terms->d[i] = tlng_read_four(d + i * units);
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
    const int more = tlng_least_int(third, part.count - 1 - k);
    const int most = tlng_least_int(2 * third, part.count - 1 - k);
    TLNG_SHARED_POINTER(float) own_x = x + k;
    TLNG_SHARED_POINTER(float) own_d = memory + (l.d + 4 * quad);
    tlng_sums totals[3], sums[3];
    TLNG_ROLL
    for (int start = 0; start < batch; start += length) {
      const int end = tlng_least_int(start + length, batch);
      TLNG_UNROLL
      for (int r = 0; r < 3; r++) tlng_clear_sums(sums + r);
      int row = start;
      if (row + 8 <= end) {
        tlng_gradient_terms one, other;
        tlng_read_rows(&one, own_x + row * l.stride, more, most, l.stride, own_d + row * l.units, l.units);
        TLNG_ROLL
        for (; row + 8 <= end; row += 8) {
          const int middle = row + 4, next = row + 12 <= end ? row + 8 : row;
          tlng_read_rows(&other, own_x + middle * l.stride, more, most, l.stride, own_d + middle * l.units,
                         l.units);
          tlng_add_rows(sums, &one);
          tlng_read_rows(&one, own_x + next * l.stride, more, most, l.stride, own_d + next * l.units,
                         l.units);
          tlng_add_rows(sums, &other);
        }
      }
      TLNG_ROLL
      for (; row < end; row++) {
        const tlng_four factor = tlng_read_four(own_d + row * l.units);
        tlng_add_products(sums, own_x[row * l.stride], factor);
        tlng_add_products(sums + 1, own_x[row * l.stride + more], factor);
        tlng_add_products(sums + 2, own_x[row * l.stride + most], factor);
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
      const int input = k + (r == 0 ? 0 : r == 1 ? more : most);
      tlng_four four;
      four.x = totals[r].of[0];
      four.y = totals[r].of[1];
      four.z = totals[r].of[2];
      four.w = totals[r].of[3];
      tlng_write_four(memory + (l.dw + input * l.units + 4 * quad), four);
    }
  }
  /* The last threads have the least to do. */
  TLNG_ROLL
  for (int i = TLNG_THREADS - 2 - t; i < l.units && part.is_last; i += TLNG_THREADS) {
    if (i >= 0 && part.first_unit + i < s.hidden)
      memory[l.db1 + i] = tlng_column_sum(memory + (l.d + i), l.units, batch,
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
    TLNG_SHARED_POINTER(float) h = memory + (l.piece_h + i);
    float total = 0;
    if (is_small) {
      tlng_terms terms;
      terms.a = tlng_floats(d, outputs);
      terms.k_is_row = true;
      terms.a_fixed = 0;
      terms.b = h;
      terms.b_step = l.piece_units;
      terms.count = batch;
      total = tlng_sequence(terms, false, unit < tlng_grouped_columns(output, outputs, s.hidden, batch));
    } else {
      TLNG_ROLL
      for (int start = 0; start < batch; start += length) {
        const int end = tlng_least_int(start + length, batch);
        float sum = 0;
        TLNG_ROLL
        for (int row = start; row < end; row += 16) {
          float a[16], b[16];
          TLNG_UNROLL
          for (int j = 0; j < 16; j++) {
            const int own = tlng_least_int(row + j, end - 1);
            a[j] = d[own * outputs];
            b[j] = h[own * l.piece_units];
          }
          TLNG_UNROLL
          for (int j = 0; j < 16; j++) {
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

/* A thread's share of an update of parameters in shared memory: p, v and their gradients. */
TLNG_FUNCTION void tlng_update_in_place(int t, tlng_sgd optimizer, int count,
                                        TLNG_SHARED_POINTER(float) p, TLNG_SHARED_POINTER(float) v,
                                        TLNG_SHARED_POINTER(float) gradients) {
  TLNG_ROLL
  for (int i = t; i < count; i += TLNG_THREADS) {
    const tlng_pair next = tlng_updated(optimizer, gradients[i], p[i], v[i]);
    p[i] = next.parameter;
    v[i] = next.velocity;
  }
}

TLNG_FUNCTION void tlng_update_resident(TLNG_STEP s, int t, tlng_layout l, tlng_part part, int piece,
                                        tlng_sgd optimizer, TLNG_SHARED_POINTER(float) memory) {
  const int outputs = (int)s.outputs;
  tlng_update_in_place(t, optimizer, part.count * l.units, memory + l.w, memory + l.v, memory + l.dw);
  if (part.is_last)
    tlng_update_in_place(t, optimizer, l.units, memory + l.b1, memory + l.vb1, memory + l.db1);
  if (piece < l.pieces)
    tlng_update_in_place(t, optimizer, outputs * l.piece_units, memory + l.w2, memory + l.v2,
                         memory + l.dw2);
  if (piece == 0) tlng_update_in_place(t, optimizer, outputs, memory + l.b2, memory + l.vb2, memory + l.db2);
}

#endif
