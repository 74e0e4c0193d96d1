/*
 * What a group of resident.h does with a row of the batch between the layers' sums, as tlng_output does it
 * for all sizes (output.h), here as fast as a chain of dependent operations can be.
 */
#ifndef TLN_GPU_RESIDENT_ROWS_H
#define TLN_GPU_RESIDENT_ROWS_H

#include "hidden.h"
#include "resident_parts.h"

/* The sum of -target, in the order of tlng_mean_loss, for at most 256 rows: the first row alone, blocks of
 * 16, of which the last, if it is not whole, comes first. */
TLNG_FUNCTION float tlng_total_loss(TLNG_SHARED_POINTER(float) target, int rows) {
  float blocks = 0, rest = 0;
  int row = 1;
  TLNG_SHARED_POINTER(float) next = target + 1;
  TLNG_ROLL
  for (; row + 16 <= rows; row += 16) {
    float value[16], sum = 0;
    TLNG_UNROLL
    for (int i = 0; i < 16; i++) value[i] = next[i];
    TLNG_UNROLL
    for (int i = 0; i < 16; i++) sum = sum - value[i];
    blocks = blocks + sum;
    next = next + 16;
  }
  TLNG_ROLL
  for (; row < rows; row++) {
    rest = rest - next[0];
    next = next + 1;
  }
  return ((0.0f + rest) + blocks) + (0.0f - target[0]);
}

/* What a thread adds up of the logits' dots, of which eight share one. */
struct tlng_lane_share {
  int prefix, end, lanes;
};

TLNG_FUNCTION float tlng_resident_lane(tlng_lane_share own, int lane, TLNG_SHARED_POINTER(float) h,
                                       TLNG_SHARED_POINTER(float) w) {
  float sum = 0, first[3];
  TLNG_UNROLL
  for (int k = 0; k < 3; k++) first[k] = h[k] * w[k];
  TLNG_UNROLL
  for (int k = 0; k < 3; k++) {
    if (lane == 0 && k < own.prefix) sum = sum + first[k];
  }
  if (lane >= own.lanes) return 0;
  int k = own.prefix + lane;
  TLNG_ROLL
  for (; k + 7 * own.lanes < own.end; k += 8 * own.lanes) {
    float products[8];
    TLNG_UNROLL
    for (int i = 0; i < 8; i++) products[i] = h[k + i * own.lanes] * w[k + i * own.lanes];
    TLNG_UNROLL
    for (int i = 0; i < 8; i++) sum = sum + products[i];
  }
  TLNG_ROLL
  for (; k < own.end; k += own.lanes) {
    const float product = h[k] * w[k];
    sum = sum + product;
  }
  return sum;
}

/* A dot from its lanes and the products after them, of which there are less than eight. */
TLNG_FUNCTION float tlng_resident_dot(tlng_lane_share own, int hidden, TLNG_SHARED_POINTER(float) h,
                                      TLNG_SHARED_POINTER(float) w, TLNG_SHARED_POINTER(float) lanes) {
  float lane[8], rest[8];
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) {
    const int at = tlng_least_int(own.end + i, hidden - 1);
    lane[i] = lanes[i];
    rest[i] = h[at] * w[at];
  }
  float sum = own.lanes == 4 ? (lane[0] + lane[2]) + (lane[1] + lane[3])
                             : ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
                                   ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  TLNG_UNROLL
  for (int i = 0; i < 8; i++) {
    if (own.end + i < hidden) sum = sum + rest[i];
  }
  return sum;
}

TLNG_CALLED tlng_lane_share tlng_lane_share_of(TLNG_STEP s, int row, int output) {
  const tlng_dot_order order = tlng_dot_order_at(s.batch, s.outputs, s.hidden, row, output);
  tlng_lane_share own;
  own.prefix = (int)order.prefix;
  own.end = (int)order.end;
  own.lanes = order.lanes;
  return own;
}

/* Those of the output in which thread t has a lane, and of its own output. */
TLNG_FUNCTION void tlng_find_shares(TLNG_STEP s, int t, int row, tlng_lane_share *shares) {
  shares[0] = tlng_lane_share_of(s, row, tlng_least_int(t / 8, (int)s.outputs - 1));
  shares[1] = tlng_lane_share_of(s, row, tlng_least_int(t, (int)s.outputs - 1));
}

/* The panels of an output's sum, added to its bias. */
TLNG_FUNCTION float tlng_resident_panels(int hidden, float total, TLNG_SHARED_POINTER(float) h,
                                         TLNG_SHARED_POINTER(float) w) {
  const int length = (int)tlng_panel_length(hidden);
  TLNG_ROLL
  for (int start = 0; start < hidden; start += length) {
    const int end = tlng_least_int(start + length, hidden);
    float sum = 0;
    for (int k = start; k < end; k++) sum = tlng_fma(h[k], w[k], sum);
    total = total + sum;
  }
  return total;
}

/* What a group waits for before a row: the sums of its panels, and with the first w2 and the biases. */
TLNG_FUNCTION tlng_delivery tlng_row_delivery(TLNG_STEP s, tlng_layout l, int row, bool is_first,
                                              TLNG_SHARED_POINTER(float) memory) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs;
  tlng_delivery d;
  d.first = row * l.panels * l.row_units;
  d.count = l.panels * l.row_units;
  d.values = memory + l.partial;
  d.other_first = l.mail_rest;
  d.other_count = is_first ? hidden + outputs * hidden + outputs : 0;
  d.other_values = memory + l.rest;
  return d;
}

/* Everything for one row, of which the sums have come. */
TLNG_FUNCTION void tlng_resident_row(TLNG_STEP s, TLNG_PLACE place, tlng_layout l, int row, int label,
                                     TLNG_SHARED_POINTER(float) memory,
                                     TLNG_GLOBAL(tlng_word) words, unsigned number,
                                     TLNG_OWN_ARGUMENT(tlng_lane_share, shares, 2)) {
  const int hidden = (int)s.hidden, outputs = (int)s.outputs, batch = (int)s.rows;
  TLNG_SHARED_POINTER(float) b1 = memory + l.rest;
  TLNG_SHARED_POINTER(float) w2 = b1 + hidden;
  TLNG_SHARED_POINTER(float) b2 = w2 + outputs * hidden;
  TLNG_SHARED_POINTER(float) partial = memory + l.partial;
  TLNG_SHARED_POINTER(float) h = memory + l.h;
  TLNG_SHARED_POINTER(float) logits = memory + l.logits;
  TLNG_SHARED_POINTER(float) d_logits = memory + l.row_d_logits;
  TLNG_SHARED_POINTER(float) space = memory + l.space;
  const bool is_small = tlng_is_small(batch, outputs, hidden);
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int unit = t; unit < hidden; unit += TLNG_THREADS) {
      float total = b1[unit];
      TLNG_SHARED_POINTER(float) next = partial + unit;
      TLNG_ROLL
      for (int first = 0; first < l.panels; first += 6) {
        float sum[6];
        TLNG_UNROLL
        for (int i = 0; i < 6; i++) {
          if (first + i < l.panels) sum[i] = next[i * l.row_units];
        }
        TLNG_UNROLL
        for (int i = 0; i < 6; i++) {
          if (first + i < l.panels) total = total + sum[i];
        }
        next = next + 6 * l.row_units;
      }
      h[unit] = tlng_rectified(total);
    }
  }
  TLNG_EACH_THREAD(t) {
    if (is_small) {
      if (t < 8 * outputs)
        space[t] = tlng_resident_lane(TLNG_MINE(shares, t)[0], t % 8, h, w2 + t / 8 * hidden);
    } else {
      TLNG_ROLL
      for (int output = t; output < outputs; output += TLNG_THREADS)
        logits[output] = tlng_resident_panels(hidden, b2[output], h, w2 + output * hidden);
    }
    TLNG_ROLL
    for (int unit = TLNG_THREADS - 1 - t; unit < l.pieces * l.piece_units; unit += TLNG_THREADS) {
      tlng_send(words, l.mail_h + unit / 8 * 8 * batch + 8 * row + unit % 8, number,
                unit < hidden ? h[unit] : 0.0f);
    }
  }
  if (is_small) {
    TLNG_EACH_THREAD(t) {
      if (t < outputs)
        logits[t] = b2[t] + tlng_resident_dot(TLNG_MINE(shares, t)[1], hidden, h, w2 + t * hidden,
                                              space + 8 * t);
    }
  }
  /* Each thread finds the largest: nobody has to wait for one. */
  TLNG_OWN(float, largest, 1);
  TLNG_EACH_THREAD(t) {
    if (t < outputs) {
      /* NaN is larger than nothing but itself: it stays only if it is the first. */
      float found = logits[0];
      TLNG_ROLL
      for (int output = 1; output < outputs; output += 8) {
        float eight[8];
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) eight[i] = logits[tlng_least_int(output + i, outputs - 1)];
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) {
          if (eight[i] > found) found = eight[i];
        }
      }
      TLNG_MINE(largest, t)[0] = found;
      space[t] = tlng_exp_at_once(logits[t] - found);
    }
  }
  TLNG_EACH_THREAD(t) {
    if (t < outputs) {
      /* Eight lanes that take every eighth output; fewer than eight outputs left to right. */
      float lanes[8];
      TLNG_UNROLL
      for (int i = 0; i < 8; i++) lanes[i] = space[tlng_least_int(i, outputs - 1)];
      float sum = lanes[0];
      if (outputs >= 8) {
        TLNG_ROLL
        for (int first = 8; first < outputs; first += 8) {
          TLNG_UNROLL
          for (int i = 0; i < 8; i++) {
            if (first + i < outputs) lanes[i] = lanes[i] + space[first + i];
          }
        }
        sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
              ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
      } else {
        TLNG_UNROLL
        for (int i = 1; i < 8; i++) {
          if (i < outputs) sum = sum + lanes[i];
        }
      }
      const float shifted = logits[t] - TLNG_MINE(largest, t)[0];
      const float y = shifted - tlng_log_at_once(sum);
      const float share = -1.0f / (float)(unsigned)batch;
      const float gradient = tlng_fma(-tlng_exp_at_once(y), share, t == label ? share : 0.0f);
      d_logits[t] = gradient;
      tlng_send(words, l.mail_d_logits + row * outputs + t, number, gradient);
      if (t == label) tlng_send(words, l.mail_target + row, number, y);
    }
  }
  TLNG_EACH_THREAD(t) {
    TLNG_ROLL
    for (int unit = t; unit < l.row_units; unit += TLNG_THREADS) {
      const int length = (int)tlng_panel_length(outputs), at = tlng_least_int(unit, hidden - 1);
      float total = 0;
      TLNG_ROLL
      for (int start = 0; start < outputs; start += length) {
        const int end = tlng_least_int(start + length, outputs);
        float sum = 0;
        TLNG_ROLL
        for (int k = start; k < end; k += 8) {
          float w[8], d[8];
          TLNG_UNROLL
          for (int j = 0; j < 8; j++) {
            const int own = tlng_least_int(k + j, end - 1);
            w[j] = w2[own * hidden + at];
            d[j] = d_logits[own];
          }
          TLNG_UNROLL
          for (int j = 0; j < 8; j++) {
            if (k + j < end) sum = tlng_fma(d[j], w[j], sum);
          }
        }
        total = start == 0 ? sum : total + sum;
      }
      /* A unit that is NaN passes its gradient on. */
      tlng_send(words, l.mail_d + unit / 2 * 2 * batch + 2 * row + unit % 2, number,
                unit >= hidden || h[at] <= 0.0f ? 0.0f : total);
    }
  }
}

#endif
