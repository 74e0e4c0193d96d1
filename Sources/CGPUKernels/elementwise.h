/*
 * What is not a product: exp and log as in Sources/Kernels/Exponential.swift, which says where they come
 * from; the optimiser; the mean loss; and which step of a run a launch belongs to.
 */
#ifndef TLN_GPU_ELEMENTWISE_H
#define TLN_GPU_ELEMENTWISE_H

#include "orders.h"

/* ------------------------------------------------------------------------ exp and log */

TLNG_FUNCTION float tlng_power_of_two(int exponent) {
  return tlng_float((unsigned)(exponent + 127) << 23);
}

TLNG_FUNCTION float tlng_exp_at_once(float x) {
  if (x < -104.0f) return 0;
  if (x > 100.0f) return tlng_float(0x7f800000u);
  if (!(x == x)) return x;
  const float rounder = 12582912.0f; /* 1.5 * 2^23 */
  const float scaled = x * 1.442695040888963407359924681001892137426645954152985934135449f;
  const float shifted = scaled + rounder;
  const float q = shifted - rounder;
  float s = tlng_fma(q, -0.693145751953125f, x);
  s = tlng_fma(q, -1.428606765330187045e-06f, s);
  float u = 0.000198527617612853646278381f;
  u = tlng_fma(u, s, 0.00139304355252534151077271f);
  u = tlng_fma(u, s, 0.00833336077630519866943359f);
  u = tlng_fma(u, s, 0.0416664853692054748535156f);
  u = tlng_fma(u, s, 0.166666671633720397949219f);
  u = tlng_fma(u, s, 0.5f);
  const float square = s * s;
  u = 1.0f + tlng_fma(square, u, s);
  const int exponent = (int)(tlng_bits(shifted) - tlng_bits(rounder));
  const int lower = exponent >> 1;
  u = u * tlng_power_of_two(lower);
  return u * tlng_power_of_two(exponent - lower);
}

TLNG_CALLED float tlng_exp(float x) { return tlng_exp_at_once(x); }

TLNG_FUNCTION float tlng_log_at_once(float x) {
  if (!(x == x)) return x;
  const float scaled = x * (1.0f / 0.75f);
  const int exponent = (int)((tlng_bits(scaled) >> 23) & 255u) - 127;
  const float m = tlng_float(tlng_bits(x) - ((unsigned)exponent << 23));
  const float n = -1.0f + m, n_back = n - -1.0f;
  const float n_low = (-1.0f - (n - n_back)) + (m - n_back);
  const float d = 1.0f + m, d_back = d - 1.0f;
  const float d_low = (1.0f - (d - d_back)) + (m - d_back);
  const float reciprocal = 1.0f / d;
  const float t = n * reciprocal;
  const float u = tlng_fma(reciprocal, n, -t);
  const float v = tlng_fma(-d_low, reciprocal, tlng_fma(-d, reciprocal, 1.0f));
  const float t_low = tlng_fma(t, v, tlng_fma(n_low, reciprocal, u));
  const float square = t * t;
  float p = 0.3027294874e+0f;
  p = tlng_fma(p, square, 0.3996108174e+0f);
  p = tlng_fma(p, square, 0.6666694880e+0f);
  const float e = (float)exponent;
  const float high = 0.69314718246459960938f * e;
  const float low = tlng_fma(-1.904654323148236017e-09f, e, tlng_fma(0.69314718246459960938f, e, -high));
  const float twice = t * 2.0f, twice_low = t_low * 2.0f;
  const float sum = high + twice;
  const float sum_low = (((high - sum) + twice) + low) + twice_low;
  const float cube = square * t;
  const float cubic = cube * p;
  const float last = sum + cubic;
  return last + (((sum - last) + cubic) + sum_low);
}

TLNG_CALLED float tlng_log(float x) { return tlng_log_at_once(x); }

/* ----------------------------------------------------------------------- steps of a run */

/* The number of the step that a launch belongs to, or -1 if there is nothing to do. */
TLNG_FUNCTION tlng_int tlng_current_step(TLNG_STEP s, bool is_first_kernel) {
  TLNG_GLOBAL(const tlng_state) state = s.state;
  if (!state) return 0;
  const tlng_int step =
      is_first_kernel ? (tlng_int)state[0].ended : (tlng_int)state[0].begun - 1;
  return s.only_step < 0 || s.only_step == step ? step : -1;
}

/* The features of the step's batch. */
TLNG_FUNCTION tlng_matrix tlng_features(TLNG_STEP s, tlng_int step) {
  TLNG_GLOBAL(const unsigned) order = s.order;
  TLNG_GLOBAL(const unsigned char) x = s.x;
  tlng_matrix m;
  m.bytes = nullptr;
  m.floats = nullptr;
  if (s.is_bytes)
    m.bytes = x;
  else
    m.floats = (TLNG_GLOBAL(const float))x;
  m.order = nullptr;
  if (order) m.order = order + step * s.batch_size;
  m.stride = (unsigned)(s.is_bytes ? s.x_stride : s.x_stride / 4);
  return m;
}

TLNG_FUNCTION int tlng_label(TLNG_STEP s, tlng_int step, tlng_int row) {
  TLNG_GLOBAL(const int) labels = s.labels;
  TLNG_GLOBAL(const unsigned) order = s.order;
  return labels[order ? (tlng_int)order[step * s.batch_size + row] : row];
}

/* -------------------------------------------------------------------------- the optimiser */

struct tlng_sgd {
  float minus_rate, momentum, share, decay;
  bool first, nesterov, maximize, has_momentum;
  bool is_plain, adds_zero;
};

TLNG_FUNCTION tlng_sgd tlng_optimizer(TLNG_STEP s, tlng_int step) {
  TLNG_GLOBAL(const tlng_state) state = s.state;
  tlng_sgd o;
  o.minus_rate = state[0].minus_learning_rate;
  o.momentum = state[0].momentum;
  o.share = state[0].one_minus_dampening;
  o.decay = state[0].weight_decay;
  o.first = state[0].first != 0 && step == 0;
  o.nesterov = state[0].nesterov != 0;
  o.maximize = state[0].maximize != 0;
  o.has_momentum = state[0].has_momentum != 0;
  o.is_plain = o.has_momentum && o.share == 1.0f && o.decay == 0.0f && !o.nesterov && !o.maximize &&
               !(o.first && s.batch == 1);
  o.adds_zero = s.batch > 1;
  return o;
}

struct tlng_pair {
  float parameter, velocity;
};

TLNG_CALLED tlng_pair tlng_updated_in_general(tlng_sgd o, float g, tlng_pair now) {
  if (o.adds_zero) g = g + 0.0f;
  if (o.maximize) g = -g;
  if (o.decay != 0.0f) g = tlng_fma(now.parameter, o.decay, g);
  if (o.has_momentum) {
    float velocity = g;
    if (!o.first) {
      const float kept = now.velocity * o.momentum;
      velocity = tlng_fma(g, o.share, kept);
    }
    now.velocity = velocity;
    g = o.nesterov ? tlng_fma(velocity, o.momentum, g) : velocity;
  }
  now.parameter = tlng_fma(g, o.minus_rate, now.parameter);
  return now;
}

/* A parameter and its momentum after gradient g; see Sources/Kernels/Update.swift. */
TLNG_FUNCTION tlng_pair tlng_updated(tlng_sgd o, float g, float parameter, float velocity) {
  tlng_pair now;
  now.parameter = parameter;
  now.velocity = velocity;
  if (!o.is_plain) return tlng_updated_in_general(o, g, now);
  const float kept = velocity * o.momentum;
  now.velocity = kept + g;
  now.parameter = tlng_fma(now.velocity, o.minus_rate, parameter);
  return now;
}

TLNG_CALLED void tlng_update_one(tlng_sgd o, float g, TLNG_GLOBAL(float) p, TLNG_GLOBAL(float) v,
                                 tlng_int index) {
  const tlng_pair next = tlng_updated(o, g, p[index], o.has_momentum ? v[index] : 0.0f);
  p[index] = next.parameter;
  if (o.has_momentum) v[index] = next.velocity;
}

/* --------------------------------------------------------------------------- the mean loss */

/* Floats that tlng_mean_loss works in, and nothing else: there is no barrier after its end. */
#define TLNG_LOSS_SPACE (TLNG_THREADS + 16)

/* The mean of -target, in the order of PyTorch's nll_loss (CPUOptimizer.swift): row 0 is a block by
 * itself, then come blocks of 16, the last of which may not be whole. Each thread adds up a block, one
 * folds them. Every group of a kernel that needs it computes it, which is cheaper than a kernel more. */
TLNG_CALLED float tlng_mean_loss(TLNG_GLOBAL(const float) target, tlng_int rows, TLNG_PLACE place,
                                 TLNG_SHARED_POINTER(float) space) {
  TLNG_SHARED_POINTER(float) sums = space + TLNG_THREADS;
  const tlng_int blocks = (rows + 14) / 16 + 1; /* block b begins with row 16 b - 15 */
  TLNG_EACH_THREAD(t) {
    if (t < 8) sums[t] = 0;
  }
  TLNG_ROLL
  for (tlng_int first = 0; first < blocks; first += TLNG_THREADS) {
    TLNG_EACH_THREAD(t) {
      const tlng_int block = first + t;
      if (block < blocks) {
        const tlng_int row = 16 * block - 15;
        float sum = 0;
        TLNG_UNROLL
        for (int i = 0; i < 16; i++) {
          if (row + i >= 0 && row + i < rows) sum = sum - target[row + i];
        }
        space[t] = sum;
      }
    }
    TLNG_EACH_THREAD(t) {
      if (t == 0) {
        const int count = (int)tlng_least(TLNG_THREADS, blocks - first);
        float sum = sums[1];
        TLNG_ROLL
        for (int i = 0; i < count; i++) {
          tlng_int number = first + i;
          if (16 * number >= rows) {
            sums[0] = space[i];
          } else {
            sum = sum + space[i];
            if ((number & 15) == 0) {
              sums[2] = sums[2] + sum;
              sum = 0;
              TLNG_ROLL
              for (int level = 2; level < 7; level++) {
                number >>= 4;
                if ((number & 15) != 0) break;
                sums[level + 1] = sums[level + 1] + sums[level];
                sums[level] = 0;
              }
            }
          }
        }
        sums[1] = sum;
      }
    }
  }
  TLNG_EACH_THREAD(t) {
    if (t == 0) {
      float total = 0;
      TLNG_ROLL
      for (int level = 0; level < 8; level++) total = total + sums[level];
      sums[8] = total / (float)(unsigned)rows;
    }
  }
  return sums[8];
}

TLNG_FUNCTION bool tlng_is_finite(float x) { return (tlng_bits(x) & 0x7f800000u) != 0x7f800000u; }

#endif
