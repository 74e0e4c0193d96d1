/*
 * Products for large networks, in tiles of 128 x 128 elements of which each thread keeps 8 x 8, or, where 784
 * inputs are rows, of 112 x 112 and 7 x 7: MNIST's 784 are seven times 112. Only the order of the terms
 * within an element matters to the result, so it is that of the other kernels: panels of fused multiply-adds.
 * (Zero features are not left out, which for finite parameters can change nothing but the sign of a sum that
 * is 0.)
 */
#ifndef TLN_GPU_TILES_H
#define TLN_GPU_TILES_H

#include "factors.h"
#include "few.h"
#include "hidden.h"
#include "update.h"

/* c [rows][columns] = sum of a[row, k] b[k, column]. */
struct tlng_product {
  tlng_operand a, b;
  int terms;
};

/* What is done with a sum. */
struct tlng_end {
  TLNG_GLOBAL(const float) bias; /* added first, if not null */
  TLNG_GLOBAL(const float) mask; /* elements that are not above 0 here become 0, if not null */
  bool rectifies;
  bool updates; /* p and v, else the sum goes to c */
  TLNG_GLOBAL(float) c;
  TLNG_GLOBAL(float) p;
  TLNG_GLOBAL(float) v;
};

/* The rows and columns of a thread, of n each: runs of four and four, or of four, two and one. 8 x 4 threads
 * have 8 n x 4 n elements, so that what they read of a term is little and in different banks. */
template <int n> TLNG_FUNCTION int tlng_own(int lane, int lanes, int i) {
  if (i < 4) return 4 * lane + i;
  if (n == 8) return 4 * (lanes + lane) + i - 4;
  return i < 6 ? 4 * lanes + 2 * lane + i - 4 : 6 * lanes + lane;
}
template <int n> TLNG_FUNCTION int tlng_own_row(int t, int i) {
  return t / 128 * (8 * n) + tlng_own<n>(t % 32 / 4, 8, i);
}
template <int n> TLNG_FUNCTION int tlng_own_column(int t, int j) {
  return t / 32 % 4 * (4 * n) + tlng_own<n>(t % 4, 4, j);
}

/* What a thread needs of a factor for a term. */
struct tlng_fragment {
  float value[8];
};

template <int n>
TLNG_FUNCTION tlng_fragment tlng_read_fragment(TLNG_SHARED_POINTER(float) term, int run0, int run1, int run2) {
  const tlng_four first = tlng_read_four(term + run0);
  tlng_fragment f;
  f.value[0] = first.x;
  f.value[1] = first.y;
  f.value[2] = first.z;
  f.value[3] = first.w;
  if (n == 8) {
    const tlng_four second = tlng_read_four(term + run1);
    f.value[4] = second.x;
    f.value[5] = second.y;
    f.value[6] = second.z;
    f.value[7] = second.w;
  } else {
    const tlng_two second = tlng_read_two(term + run1);
    f.value[4] = second.x;
    f.value[5] = second.y;
    f.value[6] = term[run2];
    f.value[7] = 0;
  }
  return f;
}

TLNG_FUNCTION float tlng_ended(tlng_end end, float total, float mask) {
  if (end.rectifies) total = tlng_rectified(total);
  return end.mask && mask <= 0.0f ? 0.0f : total;
}

/* Where four neighbours can be written at once. */
TLNG_FUNCTION void tlng_end_four(tlng_end end, tlng_sgd optimizer, tlng_four total, tlng_int at) {
  if (end.updates) {
    tlng_four p = tlng_read_four(end.p + at), v = p;
    if (optimizer.has_momentum) v = tlng_read_four(end.v + at);
    const tlng_pair x = tlng_updated(optimizer, total.x, p.x, v.x);
    const tlng_pair y = tlng_updated(optimizer, total.y, p.y, v.y);
    const tlng_pair z = tlng_updated(optimizer, total.z, p.z, v.z);
    const tlng_pair w = tlng_updated(optimizer, total.w, p.w, v.w);
    p.x = x.parameter;
    p.y = y.parameter;
    p.z = z.parameter;
    p.w = w.parameter;
    v.x = x.velocity;
    v.y = y.velocity;
    v.z = z.velocity;
    v.w = w.velocity;
    tlng_write_four(end.p + at, p);
    if (optimizer.has_momentum) tlng_write_four(end.v + at, v);
    return;
  }
  tlng_four mask = total;
  if (end.mask) mask = tlng_read_four(end.mask + at);
  total.x = tlng_ended(end, total.x, mask.x);
  total.y = tlng_ended(end, total.y, mask.y);
  total.z = tlng_ended(end, total.z, mask.z);
  total.w = tlng_ended(end, total.w, mask.w);
  tlng_write_four(end.c + at, total);
}

TLNG_FUNCTION void tlng_end_one(tlng_end end, tlng_sgd optimizer, float total, tlng_int at) {
  if (end.updates)
    tlng_update_one(optimizer, total, end.p, end.v, at);
  else
    end.c[at] = tlng_ended(end, total, end.mask ? end.mask[at] : 0.0f);
}

/* Terms of a block from `begin` on: panels end with a block. */
TLNG_FUNCTION int tlng_block_terms(int begin, int panel_end) {
  return tlng_least_int(TLNG_TILE_TERMS, panel_end - begin);
}

/* The panel's end of the term that comes after `k`, whose panel ends at `panel_end`. */
TLNG_FUNCTION int tlng_panel_end(int k, int panel_end, int length, int terms) {
  return k < panel_end ? panel_end : tlng_least_int(k + length, terms);
}

/* The tile from element (row, column) on. While a block of terms is added up, the next one is read; which rows
 * they are is known long before. */
template <int n>
TLNG_CALLED void tlng_tile(tlng_product x, tlng_end end, tlng_sgd optimizer, TLNG_PLACE place, int row,
                             int column, TLNG_SHARED_POINTER(float) a, TLNG_SHARED_POINTER(float) b) {
  TLNG_OWN(tlng_int, starts, 2);
  TLNG_OWN(float, row_bits, 1);
  /* Of the next block; bytes have a place of their own, so that nothing waits for what is read. */
  TLNG_OWN(unsigned, words, 2);
  TLNG_OWN(tlng_four, next_a, 2);
  TLNG_OWN(tlng_four, next_b, 2);
  TLNG_OWN(float, sums, n * n);
  TLNG_OWN(float, totals, n * n);
  const int length = (int)tlng_panel_length(x.terms);
  int k = 0, here = 0, panel_end = tlng_least_int(length, x.terms), buffer = 0;
  int known = TLNG_THREADS; /* terms whose rows are in shared memory */
  TLNG_SHARED_POINTER(float) rows = a + TLNG_TILE_FLOATS;
  TLNG_EACH_THREAD(t) {
    TLNG_UNROLL
    for (int j = 0; j < n; j++) {
      const int at = column + tlng_own_column<n>(t, j);
      /* -0 and a sum are that sum. */
      const float bias = !end.bias ? -0.0f : at < x.b.count ? end.bias[at] : 0.0f;
      TLNG_UNROLL
      for (int i = 0; i < n; i++) {
        TLNG_MINE(sums, t)[n * i + j] = 0;
        TLNG_MINE(totals, t)[n * i + j] = bias;
      }
    }
    TLNG_MINE(starts, t)[0] = tlng_four_start(x.a, row, t);
    TLNG_MINE(starts, t)[1] = tlng_four_start(x.b, column, t);
    if (x.a.k_is_row) rows[t] = tlng_row_bits(x.a.m, tlng_least_int(t, x.terms - 1));
  }
  /* One round more than there are blocks: it only reads the first. */
  TLNG_ROLL
  for (bool is_first = true; is_first || k < x.terms; is_first = false) {
    const int next = k + here, next_end = tlng_panel_end(next, panel_end, length, x.terms);
    const int ahead = tlng_block_terms(next, next_end), after = next + ahead;
    const bool has_to_know = x.a.k_is_row && after + TLNG_TILE_TERMS > known && known < x.terms;
    TLNG_EACH_THREAD(t) {
      if (has_to_know)
        TLNG_MINE(row_bits, t)[0] = tlng_row_bits(x.a.m, tlng_least_int(known + t, x.terms - 1));
      if (ahead > 0) {
        TLNG_UNROLL
        for (int i = 0; i < 2; i++) {
          const int term = tlng_term_of(next, ahead, t, i);
          const unsigned row = x.a.k_is_row ? tlng_bits(rows[term % TLNG_TILE_ROWS]) : 0;
          const tlng_spot of_a =
              tlng_spot_of(x.a, TLNG_MINE(starts, t)[0], row, next, ahead, t, i);
          if (x.a.in_fours && x.a.m.bytes)
            TLNG_MINE(words, t)[i] = ((TLNG_GLOBAL(const unsigned))(x.a.m.bytes + of_a.at))[0];
          if (x.a.in_fours && !x.a.m.bytes) TLNG_MINE(next_a, t)[i] = tlng_read_four(x.a.m.floats + of_a.at);
          const tlng_spot of_b =
              tlng_spot_of(x.b, TLNG_MINE(starts, t)[1], (unsigned)term, next, ahead, t, i);
          if (x.b.in_fours) TLNG_MINE(next_b, t)[i] = tlng_read_four(x.b.m.floats + of_b.at);
        }
      }
      if (here > 0) {
        TLNG_SHARED_POINTER(float) own_a = a + buffer * TLNG_TILE_BLOCK;
        TLNG_SHARED_POINTER(float) own_b = b + buffer * TLNG_TILE_BLOCK;
        const int row0 = tlng_own_row<n>(t, 0), row1 = tlng_own_row<n>(t, 4), row2 = tlng_own_row<n>(t, 6);
        const int column0 = tlng_own_column<n>(t, 0), column1 = tlng_own_column<n>(t, 4);
        const int column2 = tlng_own_column<n>(t, 6);
        /* A term is read while the one before it is added. */
        tlng_fragment left = tlng_read_fragment<n>(own_a, row0, row1, row2);
        tlng_fragment right = tlng_read_fragment<n>(own_b, column0, column1, column2);
        TLNG_ROLL
        for (int term = 0; term < here; term += 4) {
          TLNG_UNROLL
          for (int of_four = 0; of_four < 4; of_four++) {
            own_a = own_a + TLNG_TILE_STRIDE;
            own_b = own_b + TLNG_TILE_STRIDE;
            const tlng_fragment next_left = tlng_read_fragment<n>(own_a, row0, row1, row2);
            const tlng_fragment next_right = tlng_read_fragment<n>(own_b, column0, column1, column2);
            TLNG_UNROLL
            for (int i = 0; i < n; i++) {
              TLNG_UNROLL
              for (int j = 0; j < n; j++) {
                const float sum = TLNG_MINE(sums, t)[n * i + j];
                TLNG_MINE(sums, t)[n * i + j] = tlng_fma(left.value[i], right.value[j], sum);
              }
            }
            left = next_left;
            right = next_right;
          }
        }
        if (next == panel_end) {
          TLNG_UNROLL
          for (int i = 0; i < n * n; i++) {
            TLNG_MINE(totals, t)[i] = TLNG_MINE(totals, t)[i] + TLNG_MINE(sums, t)[i];
            TLNG_MINE(sums, t)[i] = 0;
          }
        }
      }
      if (ahead > 0) {
        const int other = (buffer ^ 1) * TLNG_TILE_BLOCK;
        TLNG_UNROLL
        for (int i = 0; i < 2; i++) {
          /* Where four are not side by side, they are read only here. */
          tlng_four four_a = TLNG_MINE(next_a, t)[i], four_b = TLNG_MINE(next_b, t)[i];
          const int term = tlng_term_of(next, ahead, t, i);
          if (!x.a.in_fours) {
            const unsigned row = x.a.k_is_row ? tlng_bits(rows[term % TLNG_TILE_ROWS]) : 0;
            four_a = tlng_read_one_by_one(
                x.a.m, tlng_spot_of(x.a, TLNG_MINE(starts, t)[0], row, next, ahead, t, i));
          } else if (x.a.m.bytes) {
            four_a = tlng_four_bytes(TLNG_MINE(words, t)[i]);
          }
          if (!x.b.in_fours)
            four_b = tlng_read_one_by_one(
                x.b.m, tlng_spot_of(x.b, TLNG_MINE(starts, t)[1], (unsigned)term, next, ahead, t, i));
          /* Terms that are not there are -0 times 0, which changes no sum. */
          tlng_place_four(x.a.k_is_row, four_a, -0.0f, ahead, t, i, a + other);
          tlng_place_four(x.b.k_is_row, four_b, 0.0f, ahead, t, i, b + other);
        }
      }
      if (has_to_know) rows[(known + t) % TLNG_TILE_ROWS] = TLNG_MINE(row_bits, t)[0];
    }
    if (has_to_know) known += TLNG_THREADS;
    buffer ^= 1;
    k = next;
    here = ahead;
    panel_end = next_end;
  }
  TLNG_EACH_THREAD(t) {
    float results[n * n]; /* not in registers, so that this loop need not be unrolled */
    TLNG_UNROLL
    for (int i = 0; i < n * n; i++) results[i] = TLNG_MINE(totals, t)[i];
    TLNG_ROLL
    for (int i = 0; i < n; i++) {
      const int r = row + tlng_own_row<n>(t, i);
      if (r < x.a.count) {
        TLNG_ROLL
        for (int j = 0; j < n;) {
          const int c = column + tlng_own_column<n>(t, j), number = n * i + j;
          const tlng_int at = (tlng_int)r * x.b.count + c;
          const bool is_four = x.b.count % 4 == 0 && (n == 8 || j == 0);
          if (c < x.b.count) {
            if (is_four)
              tlng_end_four(end, optimizer,
                            tlng_four_of(results[number], results[number + 1], results[number + 2],
                                         results[number + 3]),
                            at);
            else
              tlng_end_one(end, optimizer, results[number], at);
          }
          j += is_four ? 4 : 1;
        }
      }
    }
  }
}

/* All tiles of a product that fall to this group. */
template <int n>
TLNG_FUNCTION void tlng_all_tiles(tlng_product x, tlng_end end, tlng_sgd optimizer, TLNG_PLACE place,
                                  TLNG_SHARED_POINTER(float) a, TLNG_SHARED_POINTER(float) b) {
  const int size = TLNG_TILE_THREADS * n;
  const int across = (int)tlng_parts(x.b.count, size), down = (int)tlng_parts(x.a.count, size);
  TLNG_ROLL
  for (int tile = place.group; tile < across * down; tile += place.groups)
    tlng_tile<n>(x, end, optimizer, place, tile / across * size, tile % across * size, a, b);
}

TLNG_FUNCTION tlng_end tlng_nothing(void) {
  tlng_end end;
  end.bias = nullptr;
  end.mask = nullptr;
  end.rectifies = false;
  end.updates = false;
  end.c = nullptr;
  end.p = nullptr;
  end.v = nullptr;
  return end;
}

TLNG_FUNCTION tlng_sgd tlng_no_optimizer(void) {
  tlng_sgd o;
  o.minus_rate = o.momentum = o.share = o.decay = 0;
  o.first = o.nesterov = o.maximize = o.has_momentum = o.is_plain = o.adds_zero = false;
  return o;
}

/* The update of one layer's weights as a product. */
TLNG_FUNCTION tlng_product tlng_gradient_of(TLNG_STEP s, tlng_weights w) {
  tlng_product x;
  x.a = tlng_operand_of(w.a, true, w.count, s.rows);
  x.b = tlng_operand_of(tlng_floats(w.b, w.columns), true, w.columns, s.rows);
  x.terms = (int)s.rows;
  return x;
}

#endif
