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

/* Which elements of a tile [terms][..] a thread reads: number i is that of term + i * term_step and
 * outer + i * outer_step. Neighbours in memory go to neighbouring threads. */
struct tlng_share {
  int term, outer, term_step, outer_step;
};

TLNG_FUNCTION tlng_share tlng_share_of(int t, bool k_is_row, int width) {
  tlng_share own;
  own.term = k_is_row ? t / width : t % TLNG_TILE_TERMS;
  own.outer = k_is_row ? t % width : t / TLNG_TILE_TERMS;
  own.term_step = k_is_row ? TLNG_THREADS / width : 0;
  own.outer_step = k_is_row ? 0 : TLNG_THREADS / TLNG_TILE_TERMS;
  return own;
}

/* The index of number i, of a block of terms from k on, `ahead` of them, and the tile from `first` on;
 * what is beyond an edge repeats the last, and is not used. */
TLNG_FUNCTION tlng_int tlng_share_index(tlng_matrix m, bool k_is_row, tlng_share own, int i, tlng_int k,
                                        int ahead, tlng_int first, tlng_int count) {
  const int term = tlng_least_int(own.term + i * own.term_step, ahead - 1);
  const int outer =
      tlng_least_int(own.outer + i * own.outer_step, (int)tlng_least(count - first, TLNG_TILE_ROWS) - 1);
  return k_is_row ? tlng_row_start(m, k + term) + (first + outer)
                  : tlng_row_start(m, first + outer) + (k + term);
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
        const tlng_share of_a = tlng_share_of(t, x.k_is_row_of_a, TLNG_TILE_ROWS);
        const tlng_share of_b = tlng_share_of(t, x.k_is_row_of_b, TLNG_TILE_COLUMNS);
        TLNG_UNROLL
        for (int i = 0; i < TLNG_TILE_OWN_A; i++) {
          const float value = TLNG_MINE(next_a, t)[i];
          a[(of_a.term + i * of_a.term_step) * TLNG_TILE_A + of_a.outer + i * of_a.outer_step] =
              x.a.bytes ? tlng_scaled(value) : value;
        }
        TLNG_UNROLL
        for (int i = 0; i < TLNG_TILE_OWN_B; i++)
          b[(of_b.term + i * of_b.term_step) * TLNG_TILE_B + of_b.outer + i * of_b.outer_step] =
              TLNG_MINE(next_b, t)[i];
      }
    }
    TLNG_EACH_THREAD(t) {
      if (ahead > 0) {
        const tlng_share of_a = tlng_share_of(t, x.k_is_row_of_a, TLNG_TILE_ROWS);
        const tlng_share of_b = tlng_share_of(t, x.k_is_row_of_b, TLNG_TILE_COLUMNS);
        TLNG_UNROLL
        for (int i = 0; i < TLNG_TILE_OWN_A; i++) {
          const tlng_int at =
              tlng_share_index(x.a, x.k_is_row_of_a, of_a, i, next, ahead, row, x.rows);
          TLNG_MINE(next_a, t)[i] = x.a.bytes ? (float)x.a.bytes[at] : x.a.floats[at];
        }
        TLNG_UNROLL
        for (int i = 0; i < TLNG_TILE_OWN_B; i++)
          TLNG_MINE(next_b, t)[i] = x.b.floats[tlng_share_index(x.b, x.k_is_row_of_b, of_b, i, next,
                                                                ahead, column, x.columns)];
      }
      TLNG_ROLL
      for (int term = 0; term < here; term++) {
        const int own_a = term * TLNG_TILE_A + tlng_own_row(t, 0);
        const tlng_four first = tlng_read_four(a + own_a), second = tlng_read_four(a + (own_a + 64));
        const tlng_four own_b = tlng_read_four(b + (term * TLNG_TILE_B + tlng_own_column(t, 0)));
        const float left[8] = {first.x,  first.y,  first.z,  first.w,
                               second.x, second.y, second.z, second.w};
        const float right[4] = {own_b.x, own_b.y, own_b.z, own_b.w};
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
    float results[32]; /* not in registers, so that this loop need not be unrolled */
    TLNG_UNROLL
    for (int i = 0; i < 32; i++) results[i] = TLNG_MINE(totals, t)[i];
    TLNG_ROLL
    for (int i = 0; i < 32; i++) {
      const tlng_int r = row + tlng_own_row(t, i / 4), c = column + tlng_own_column(t, i % 4);
      if (r < x.rows && c < x.columns) {
        const tlng_int at = r * x.columns + c;
        float total = results[i];
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

/* All tiles of a product that fall to this group. */
TLNG_FUNCTION void tlng_all_tiles(tlng_product x, tlng_end end, tlng_sgd optimizer, TLNG_PLACE place,
                                  TLNG_SHARED_POINTER(float) a, TLNG_SHARED_POINTER(float) b) {
  const int across = (int)tlng_parts(x.columns, TLNG_TILE_COLUMNS);
  TLNG_ROLL
  for (int tile = place.group;; tile += place.groups) {
    const tlng_int row = (tlng_int)(tile / across) * TLNG_TILE_ROWS;
    if (row >= x.rows) break;
    tlng_tile(x, end, optimizer, place, row, tile % across * TLNG_TILE_COLUMNS, a, b);
  }
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

/* The update of one layer's weights as a product. */
TLNG_FUNCTION tlng_product tlng_gradient_of(TLNG_STEP s, tlng_weights w) {
  tlng_product x;
  x.a = w.a;
  x.b = tlng_floats(w.b, w.columns);
  x.k_is_row_of_a = true;
  x.k_is_row_of_b = true;
  x.rows = w.count;
  x.columns = w.columns;
  x.terms = s.rows;
  return x;
}

#endif
