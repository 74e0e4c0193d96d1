/*
 * Row by row from the hidden units to the gradient that goes back to them: logits, log-softmax, the
 * row's log-probability of its label, the gradient of the batch's mean loss, and d_h. A group does a row
 * at a time.
 */
#ifndef TLN_GPU_OUTPUT_H
#define TLN_GPU_OUTPUT_H

#include "elementwise.h"

/* Floats that these functions work in. */
#define TLNG_ROW_SPACE (TLNG_THREADS + 16)

/* The sum in a lane of h . w: as tlng_chain, but eight terms are read together. */
TLNG_CALLED float tlng_lane_of_row(TLNG_GLOBAL(const float) h, TLNG_GLOBAL(const float) w, float sum,
                                   int start, int end, int spacing) {
  int k = start;
  TLNG_ROLL
  for (; k + 7 * spacing < end; k += 8 * spacing) {
    float products[8];
    TLNG_UNROLL
    for (int i = 0; i < 8; i++) products[i] = h[k + i * spacing] * w[k + i * spacing];
    TLNG_UNROLL
    for (int i = 0; i < 8; i++) sum = sum + products[i];
  }
  TLNG_ROLL
  for (; k < end; k += spacing) {
    const float product = h[k] * w[k];
    sum = sum + product;
  }
  return sum;
}

/* logits of a row. */
TLNG_FUNCTION void tlng_row_logits(TLNG_STEP s, TLNG_PLACE place, tlng_int row,
                                   TLNG_SHARED_POINTER(float) space) {
  const tlng_int hidden = s.hidden, outputs = s.outputs;
  TLNG_GLOBAL(const float) all_h = s.h;
  TLNG_GLOBAL(const float) h = all_h + row * hidden;
  TLNG_GLOBAL(const float) w2 = s.w2;
  TLNG_GLOBAL(const float) b2 = s.b2;
  TLNG_GLOBAL(float) all_logits = s.logits;
  TLNG_GLOBAL(float) logits = all_logits + row * outputs;
  if (!tlng_is_small(s.batch, outputs, hidden)) {
    TLNG_EACH_THREAD(t) {
      TLNG_ROLL
      for (tlng_int output = t; output < outputs; output += TLNG_THREADS) {
        tlng_terms terms;
        terms.a = tlng_floats(h, hidden);
        terms.k_is_row = false;
        terms.a_fixed = 0;
        terms.b = w2 + output * hidden;
        terms.b_step = 1;
        terms.count = hidden;
        logits[output] = tlng_panels(terms, true, b2[output]);
      }
    }
    return;
  }
  TLNG_ROLL
  for (tlng_int first = 0; first < outputs; first += TLNG_THREADS / 8) {
    TLNG_EACH_THREAD(t) {
      const tlng_int output = first + t / 8;
      const int lane = t % 8;
      if (output < outputs) {
        TLNG_GLOBAL(const float) w = w2 + output * hidden;
        const tlng_dot_order order =
            tlng_dot_order_at(s.batch, outputs, hidden, s.first_row + row, output);
        float sum = 0;
        if (lane == 0) sum = tlng_lane_of_row(h, w, 0, 0, (int)order.prefix, 1);
        if (lane < order.lanes)
          sum = tlng_lane_of_row(h, w, sum, (int)order.prefix + lane, (int)order.end, order.lanes);
        space[t] = sum;
      }
    }
    TLNG_EACH_THREAD(t) {
      const tlng_int output = first + t;
      if (t < TLNG_THREADS / 8 && output < outputs) {
        const tlng_dot_order order =
            tlng_dot_order_at(s.batch, outputs, hidden, s.first_row + row, output);
        TLNG_SHARED_POINTER(float) l = space + 8 * t;
        float sum;
        if (order.lanes == 4)
          sum = (l[0] + l[2]) + (l[1] + l[3]);
        else
          sum = ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
        sum = tlng_lane_of_row(h, w2 + output * hidden, sum, (int)order.end, (int)hidden, 1);
        logits[output] = b2[output] + sum;
      }
    }
  }
}

/* target, predicted and d_logits of a row. */
TLNG_FUNCTION void tlng_row_loss(TLNG_STEP s, TLNG_PLACE place, tlng_int step, tlng_int row,
                                 TLNG_SHARED_POINTER(float) space) {
  const tlng_int outputs = s.outputs;
  TLNG_GLOBAL(const float) all_logits = s.logits;
  TLNG_GLOBAL(const float) logits = all_logits + row * outputs;
  TLNG_GLOBAL(float) all_gradients = s.d_logits;
  TLNG_GLOBAL(float) target = s.target;
  TLNG_GLOBAL(int) predicted = s.predicted;
  TLNG_SHARED_POINTER(float) found = space + TLNG_THREADS; /* largest, log of the sum */
  TLNG_EACH_THREAD(t) {
    if (t == 0) {
      /* NaN is larger than nothing but itself: it stays only if it is the first. */
      float largest = logits[0];
      TLNG_ROLL
      for (tlng_int output = 1; output < outputs; output += 8) {
        float eight[8];
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) eight[i] = logits[tlng_least(output + i, outputs - 1)];
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) {
          if (eight[i] > largest) largest = eight[i];
        }
      }
      found[0] = largest;
    } else if (t == 32 && predicted) {
      /* The first NaN wins, else the first of the largest. */
      float largest = logits[0];
      tlng_int best = 0;
      TLNG_ROLL
      for (tlng_int output = 1; output < outputs && largest == largest; output++) {
        const float logit = logits[output];
        if (logit > largest || !(logit == logit)) {
          largest = logit;
          best = output;
        }
      }
      predicted[row] = (int)best;
    }
  }
  /* Eight lanes that take every eighth output; fewer than eight outputs left to right. */
  TLNG_EACH_THREAD(t) {
    const float largest = found[0];
    if (outputs >= 8 ? t < 8 : t == 0) {
      const int spacing = outputs >= 8 ? 8 : 1;
      float sum = tlng_exp(logits[t] - largest);
      TLNG_ROLL
      for (tlng_int output = t + spacing; output < outputs; output += spacing)
        sum = sum + tlng_exp(logits[output] - largest);
      space[t] = sum;
    }
  }
  TLNG_EACH_THREAD(t) {
    if (t == 0) {
      float sum = space[0];
      if (outputs >= 8)
        sum = ((space[0] + space[4]) + (space[2] + space[6])) +
              ((space[1] + space[5]) + (space[3] + space[7]));
      found[1] = tlng_log(sum);
    }
  }
  TLNG_EACH_THREAD(t) {
    const int label = tlng_label(s, step, row);
    const float share = -1.0f / (float)(unsigned)s.rows;
    TLNG_ROLL
    for (tlng_int output = t; output < outputs; output += TLNG_THREADS) {
      const float shifted = logits[output] - found[0];
      const float y = shifted - found[1];
      if (output == label) target[row] = y;
      if (all_gradients)
        all_gradients[row * outputs + output] =
            tlng_fma(-tlng_exp(y), share, output == label ? share : 0.0f);
    }
  }
}

/* One element of d_logits w2, where the sums are not in panels. */
TLNG_FUNCTION float tlng_small_hidden_gradient(TLNG_STEP s, tlng_int row, tlng_int unit) {
  TLNG_GLOBAL(const float) gradients = s.d_logits;
  TLNG_GLOBAL(const float) w2 = s.w2;
  tlng_terms terms;
  terms.a = tlng_floats(gradients, s.outputs);
  terms.k_is_row = false;
  terms.a_fixed = row * s.outputs;
  terms.b = w2 + unit;
  terms.b_step = s.hidden;
  terms.count = s.outputs;
  if (s.hidden == 1) return tlng_dot(terms, tlng_dot_order_at(s.batch, 1, s.outputs, row, 0));
  return tlng_sequence(terms, s.outputs == 1 && s.batch > 1,
                       unit < tlng_grouped_columns(row, s.batch, s.hidden, s.outputs));
}

/* d_h of a row: d_logits w2, and zero where the unit was not active. */
TLNG_FUNCTION void tlng_row_hidden_gradient(TLNG_STEP s, TLNG_PLACE place, tlng_int row) {
  const tlng_int hidden = s.hidden, outputs = s.outputs;
  TLNG_GLOBAL(const float) all_gradients = s.d_logits;
  TLNG_GLOBAL(const float) gradients = all_gradients + row * outputs;
  TLNG_GLOBAL(const float) w2 = s.w2;
  TLNG_GLOBAL(const float) h = s.h;
  TLNG_GLOBAL(float) d_h = s.d_h;
  const bool is_small = tlng_is_small(s.batch, hidden, outputs);
  const tlng_int length = tlng_panel_length(outputs);
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (tlng_int unit = t; unit < hidden; unit += TLNG_THREADS) {
      float total = 0;
      if (is_small) {
        total = tlng_small_hidden_gradient(s, row, unit);
      } else {
        TLNG_ROLL
        for (tlng_int start = 0; start < outputs; start += length) {
          const tlng_int end = tlng_least(start + length, outputs);
          float sum = 0;
          tlng_int k = start;
          TLNG_ROLL
          for (; k + 8 <= end; k += 8) {
            float w[8];
            TLNG_UNROLL
            for (int i = 0; i < 8; i++) w[i] = w2[(k + i) * hidden + unit];
            TLNG_UNROLL
            for (int i = 0; i < 8; i++) sum = tlng_fma(gradients[k + i], w[i], sum);
          }
          TLNG_ROLL
          for (; k < end; k++) sum = tlng_fma(gradients[k], w2[k * hidden + unit], sum);
          total = start == 0 ? sum : total + sum;
        }
      }
      /* A unit that is NaN passes its gradient on. */
      d_h[row * hidden + unit] = h[row * hidden + unit] <= 0.0f ? 0.0f : total;
    }
  }
}

#endif
