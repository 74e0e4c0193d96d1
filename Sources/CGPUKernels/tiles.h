/*
 * Products for large networks, in tiles of 128 x 64 elements of which each thread keeps 8 x 4. Only the
 * order of the terms within an element matters to the result, so it is that of the other kernels: panels
 * of fused multiply-adds. (Zero features are not left out, which for finite parameters can change nothing
 * but the sign of a sum that is 0.)
 */
#ifndef TLN_GPU_TILES_H
#define TLN_GPU_TILES_H

#include "hidden.h"
#include "update.h"

#define TLNG_TILE_ROWS 128
#define TLNG_TILE_COLUMNS 64
/* Terms in shared memory at a time. */
#define TLNG_TILE_TERMS 16
/* Rows of shared memory begin at multiples of 16 bytes, and not all in the same bank. */
#define TLNG_TILE_A (TLNG_TILE_ROWS + 4)
#define TLNG_TILE_B (TLNG_TILE_COLUMNS + 4)

/* c [rows][columns] = sum of a[row, k] b[k, column]; k is the column of a matrix or its row. */
struct tlng_product {
  tlng_matrix a, b;
  bool k_is_row_of_a, k_is_row_of_b;
  tlng_int rows, columns, terms;
};

/* What is done with a sum. */
struct tlng_end {
  TLNG_GLOBAL(const float) bias; /* added first, if not null */
  TLNG_GLOBAL(const float) mask; /* elements that are not above 0 here become 0, if not null */
  bool rectifies;
  TLNG_GLOBAL(float) c; /* where it goes, if not null; else p and v are updated with it */
  TLNG_GLOBAL(float) p;
  TLNG_GLOBAL(float) v;
};

/* Element (outer, k) of a matrix whose column or row k is. */
TLNG_FUNCTION float tlng_operand(tlng_matrix m, bool k_is_row, tlng_int outer, tlng_int k) {
  return k_is_row ? tlng_value(m, tlng_row_start(m, k) + outer)
                  : tlng_value(m, tlng_row_start(m, outer) + k);
}

/* Which element of a tile [terms][width] thread t reads as number i: neighbours in memory go to
 * neighbouring threads. */
TLNG_FUNCTION int tlng_tile_term(bool k_is_row, int width, int t, int i) {
  return k_is_row ? (t + i * TLNG_THREADS) / width : t % TLNG_TILE_TERMS;
}

TLNG_FUNCTION int tlng_tile_outer(bool k_is_row, int width, int t, int i) {
  return k_is_row ? t % width : t / TLNG_TILE_TERMS + i * (TLNG_THREADS / TLNG_TILE_TERMS);
}

#define TLNG_TILE_OWN_A (TLNG_TILE_TERMS * TLNG_TILE_ROWS / TLNG_THREADS)
#define TLNG_TILE_OWN_B (TLNG_TILE_TERMS * TLNG_TILE_COLUMNS / TLNG_THREADS)

/* The rows and columns of a thread: two runs of four rows, one of four columns. */
TLNG_FUNCTION int tlng_own_row(int t, int i) { return i / 4 * 64 + t / 16 * 4 + i % 4; }
TLNG_FUNCTION int tlng_own_column(int t, int j) { return t % 16 * 4 + j; }

/* The tile from element (row, column) on. */
TLNG_CALLED void tlng_tile(tlng_product x, tlng_end end, tlng_sgd optimizer, TLNG_PLACE place,
                           tlng_int row, tlng_int column, TLNG_SHARED_POINTER(float) a,
                           TLNG_SHARED_POINTER(float) b) {
  TLNG_OWN(float, next_a, TLNG_TILE_OWN_A);
  TLNG_OWN(float, next_b, TLNG_TILE_OWN_B);
  TLNG_OWN(float, sums, 32);
  TLNG_OWN(float, totals, 32);
  const tlng_int length = tlng_panel_length(x.terms);
  tlng_int k = 0, next = 0, panel_end = tlng_least(length, x.terms);
  TLNG_EACH_THREAD(t) {
    TLNG_UNROLL
    for (int i = 0; i < 8; i++) {
      TLNG_UNROLL
      for (int j = 0; j < 4; j++) {
        const tlng_int at = column + tlng_own_column(t, j);
        TLNG_MINE(sums, t)[4 * i + j] = 0;
        TLNG_MINE(totals, t)[4 * i + j] = end.bias && at < x.columns ? end.bias[at] : 0.0f;
      }
    }
  }
  /* One round more than there are blocks of terms: it only reads the first. */
  TLNG_ROLL
  for (bool is_first = true; is_first || k < x.terms; is_first = false) {
    const int here = is_first ? 0 : (int)tlng_least(TLNG_TILE_TERMS, panel_end - k);
    next = k + here;
    const tlng_int next_end = next < panel_end ? panel_end : tlng_least(next + length, x.terms);
    const int ahead = (int)tlng_least(TLNG_TILE_TERMS, next_end - next);
    TLNG_EACH_THREAD(t) {
      if (!is_first) {
        TLNG_UNROLL
        for (int i = 0; i < TLNG_TILE_OWN_A; i++)
          a[tlng_tile_term(x.k_is_row_of_a, TLNG_TILE_ROWS, t, i) * TLNG_TILE_A +
            tlng_tile_outer(x.k_is_row_of_a, TLNG_TILE_ROWS, t, i)] = TLNG_MINE(next_a, t)[i];
        TLNG_UNROLL
        for (int i = 0; i < TLNG_TILE_OWN_B; i++)
          b[tlng_tile_term(x.k_is_row_of_b, TLNG_TILE_COLUMNS, t, i) * TLNG_TILE_B +
            tlng_tile_outer(x.k_is_row_of_b, TLNG_TILE_COLUMNS, t, i)] = TLNG_MINE(next_b, t)[i];
      }
    }
    TLNG_EACH_THREAD(t) {
      TLNG_UNROLL
      for (int i = 0; i < TLNG_TILE_OWN_A; i++) {
        const int term = tlng_tile_term(x.k_is_row_of_a, TLNG_TILE_ROWS, t, i);
        const tlng_int outer = row + tlng_tile_outer(x.k_is_row_of_a, TLNG_TILE_ROWS, t, i);
        float value = 0;
        if (term < ahead && outer < x.rows)
          value = tlng_operand(x.a, x.k_is_row_of_a, outer, next + term);
        TLNG_MINE(next_a, t)[i] = value;
      }
      TLNG_UNROLL
      for (int i = 0; i < TLNG_TILE_OWN_B; i++) {
        const int term = tlng_tile_term(x.k_is_row_of_b, TLNG_TILE_COLUMNS, t, i);
        const tlng_int outer = column + tlng_tile_outer(x.k_is_row_of_b, TLNG_TILE_COLUMNS, t, i);
        float value = 0;
        if (term < ahead && outer < x.columns)
          value = tlng_operand(x.b, x.k_is_row_of_b, outer, next + term);
        TLNG_MINE(next_b, t)[i] = value;
      }
      TLNG_ROLL
      for (int term = 0; term < here; term++) {
        float left[8], right[4];
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) left[i] = a[term * TLNG_TILE_A + tlng_own_row(t, i)];
        TLNG_UNROLL
        for (int j = 0; j < 4; j++) right[j] = b[term * TLNG_TILE_B + tlng_own_column(t, j)];
        TLNG_UNROLL
        for (int i = 0; i < 8; i++) {
          TLNG_UNROLL
          for (int j = 0; j < 4; j++)
            TLNG_MINE(sums, t)[4 * i + j] = tlng_fma(left[i], right[j], TLNG_MINE(sums, t)[4 * i + j]);
        }
      }
      if (here > 0 && next == panel_end) {
        /* A sum of nothing but panels is the first of them, not 0 and it. */
        const bool is_all = !end.bias && next == tlng_least(length, x.terms);
        TLNG_UNROLL
        for (int i = 0; i < 32; i++) {
          const float sum = TLNG_MINE(sums, t)[i];
          TLNG_MINE(totals, t)[i] = is_all ? sum : TLNG_MINE(totals, t)[i] + sum;
          TLNG_MINE(sums, t)[i] = 0;
        }
      }
    }
    k = next;
    panel_end = next_end;
  }
  TLNG_EACH_THREAD(t) {
    TLNG_UNROLL
    for (int i = 0; i < 8; i++) {
      TLNG_UNROLL
      for (int j = 0; j < 4; j++) {
        const tlng_int r = row + tlng_own_row(t, i), c = column + tlng_own_column(t, j);
        if (r < x.rows && c < x.columns) {
          const tlng_int at = r * x.columns + c;
          float total = TLNG_MINE(totals, t)[4 * i + j];
          if (end.rectifies) total = tlng_rectified(total);
          if (end.mask && end.mask[at] <= 0.0f) total = 0;
          if (end.c)
            end.c[at] = total;
          else
            tlng_update_one(optimizer, total, end.p, end.v, at);
        }
      }
    }
  }
}

/* All tiles of a product that fall to this group. */
TLNG_FUNCTION void tlng_all_tiles(tlng_product x, tlng_end end, tlng_sgd optimizer, TLNG_PLACE place,
                                  TLNG_SHARED_POINTER(float) a, TLNG_SHARED_POINTER(float) b) {
  const tlng_int across = tlng_parts(x.columns, TLNG_TILE_COLUMNS);
  const tlng_int tiles = tlng_parts(x.rows, TLNG_TILE_ROWS) * across;
  for (tlng_int tile = place.group; tile < tiles; tile += place.groups)
    tlng_tile(x, end, optimizer, place, tile / across * TLNG_TILE_ROWS,
              tile % across * TLNG_TILE_COLUMNS, a, b);
}

TLNG_FUNCTION tlng_end tlng_nothing(void) {
  tlng_end end;
  end.bias = nullptr;
  end.mask = nullptr;
  end.rectifies = false;
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

/* Updates weights tile by tile, if the loss is finite. */
TLNG_FUNCTION void tlng_update_tiled(TLNG_STEP s, TLNG_PLACE place, tlng_int step, tlng_weights w,
                                     TLNG_SHARED_POINTER(float) a, TLNG_SHARED_POINTER(float) b,
                                     TLNG_SHARED_POINTER(float) space) {
  if (!tlng_is_finite(tlng_mean_loss(s, place, space))) return;
  tlng_product x;
  x.a = w.a;
  x.b = tlng_floats(w.b, w.columns);
  x.k_is_row_of_a = true;
  x.k_is_row_of_b = true;
  x.rows = w.count;
  x.columns = w.columns;
  x.terms = s.rows;
  tlng_end end = tlng_nothing();
  end.p = w.p;
  end.v = w.v;
  tlng_all_tiles(x, end, tlng_optimizer(s, step), place, a, b);
}

#endif
