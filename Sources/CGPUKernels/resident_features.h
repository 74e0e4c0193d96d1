/*
 * Words between the groups of resident.h, and features on their way into a group's shared memory.
 */
#ifndef TLN_GPU_RESIDENT_FEATURES_H
#define TLN_GPU_RESIDENT_FEATURES_H

#include "elementwise.h"
#include "factors.h"
#include "layout.h"

struct tlng_part {
  int start, count; /* inputs; none if the group has no part */
  int first_unit;
  bool is_last; /* of the panels: it has the units' biases */
};

TLNG_FUNCTION tlng_part tlng_part_of(TLNG_STEP s, tlng_layout l, int group) {
  tlng_part part;
  part.start = group / l.across * l.length;
  part.count = group < l.parts ? tlng_least_int(l.length, (int)s.inputs - part.start) : 0;
  part.first_unit = group % l.across * l.units;
  part.is_last = group < l.parts && group >= l.parts - l.across;
  return part;
}

/* ---------------------------------------------------------------------------------- mail */

TLNG_FUNCTION tlng_word tlng_word_of(unsigned number, float value) {
  return (tlng_word)number << 32 | tlng_bits(value);
}

TLNG_FUNCTION void tlng_send(TLNG_GLOBAL(tlng_word) words, int place, unsigned number, float value) {
  tlng_write_word(words + place, tlng_word_of(number, value));
}

#define TLNG_WORDS_AT_ONCE 7

/* Two runs of words and where they go. */
struct tlng_delivery {
  int first, count, other_first, other_count;
  TLNG_SHARED_POINTER(float) values;
  TLNG_SHARED_POINTER(float) other_values;
};

/* Waits for a thread's share of them, of step `number`. */
TLNG_FUNCTION void tlng_receive(int t, TLNG_GLOBAL(tlng_word) words, unsigned number, tlng_delivery d) {
  const int all = d.count + d.other_count, other = d.other_first - d.count;
  TLNG_ROLL
  for (int begin = t; begin < all; begin += TLNG_WORDS_AT_ONCE * TLNG_THREADS) {
    tlng_word word[TLNG_WORDS_AT_ONCE];
    TLNG_UNROLL
    for (int i = 0; i < TLNG_WORDS_AT_ONCE; i++)
      word[i] = begin + i * TLNG_THREADS < all ? 0 : (tlng_word)number << 32;
    bool has_come = false;
    TLNG_ROLL
    while (!has_come) {
      has_come = true;
      TLNG_UNROLL
      for (int i = 0; i < TLNG_WORDS_AT_ONCE; i++) {
        const int at = begin + i * TLNG_THREADS;
        if ((unsigned)(word[i] >> 32) != number)
          word[i] = tlng_read_word(words + (at < d.count ? d.first + at : other + at));
      }
      TLNG_UNROLL
      for (int i = 0; i < TLNG_WORDS_AT_ONCE; i++)
        has_come = has_come && (unsigned)(word[i] >> 32) == number;
      if (!has_come) TLNG_LET_OTHERS_RUN();
    }
    TLNG_UNROLL
    for (int i = 0; i < TLNG_WORDS_AT_ONCE; i++) {
      const int at = begin + i * TLNG_THREADS;
      if (at < d.count)
        d.values[at] = tlng_float((unsigned)word[i]);
      else if (at < all)
        d.other_values[at - d.count] = tlng_float((unsigned)word[i]);
    }
  }
}

/* ------------------------------------------------------------------------------ features */

/* A thread brings pieces, four bytes or a float, all from one column of pieces; those of its first rows are
 * read long before they are needed. What is beyond the last row is the last row again. */
#define TLNG_RESIDENT_READ_AHEAD 20

struct tlng_bringing {
  int row, row_step; /* pieces of this thread; row is the batch's size if there are none */
  int column;        /* of a piece's first feature, in a row of shared memory */
  TLNG_GLOBAL(const unsigned char) start; /* of the column in the dataset */
};

TLNG_FUNCTION tlng_bringing tlng_bringing_of(TLNG_STEP s, int t, tlng_part part) {
  TLNG_GLOBAL(const unsigned char) x = s.x;
  tlng_bringing own;
  const int width = s.is_bytes ? 4 : 1;
  const int pieces = part.count > 0 ? (part.count + width - 1) / width : TLNG_THREADS;
  own.row_step = TLNG_THREADS / pieces;
  own.row = t / pieces;
  const int piece = t - own.row * pieces;
  own.column = piece * width;
  own.start = x + (s.is_bytes ? part.start : 4 * part.start) + 4 * piece;
  if (part.count == 0 || own.row >= own.row_step) own.row = (int)s.rows;
  return own;
}

/* Pieces of `count` rows from `first` on, of which `rows` says the place in the dataset. */
TLNG_FUNCTION void tlng_read_pieces(TLNG_STEP s, tlng_bringing own, int first, int count,
                                    TLNG_SHARED_POINTER(float) rows, unsigned *pieces) {
  const int last = (int)s.rows - 1;
  const unsigned stride = (unsigned)s.x_stride;
  TLNG_UNROLL
  for (int i = 0; i < count; i++) {
    const unsigned row = tlng_bits(rows[tlng_least_int(first + i * own.row_step, last)]);
    const tlng_word of_row = (tlng_word)row * stride; /* both of 32 bits: one operation */
    pieces[i] = ((TLNG_GLOBAL(const unsigned))(own.start + (tlng_int)of_row))[0];
  }
}

TLNG_FUNCTION void tlng_put_pieces(TLNG_STEP s, tlng_bringing own, int first, int count,
                                   const unsigned *pieces, TLNG_SHARED_POINTER(float) x) {
  const int last = (int)s.rows - 1;
  TLNG_SHARED_POINTER(float) column = x + own.column;
  if (s.is_bytes) {
    TLNG_UNROLL
    for (int i = 0; i < count; i++)
      tlng_write_four(column + tlng_least_int(first + i * own.row_step, last) * TLNG_RESIDENT_STRIDE,
                      tlng_four_bytes(pieces[i]));
  } else {
    TLNG_UNROLL
    for (int i = 0; i < count; i++)
      column[tlng_least_int(first + i * own.row_step, last) * TLNG_RESIDENT_STRIDE] = tlng_float(pieces[i]);
  }
}

/* Begins to read the features of the next step's batch, its labels, and the rows of the step after that: a
 * thread's share. Whatever it does before the next barrier need not wait for them. */
TLNG_FUNCTION void tlng_read_ahead(TLNG_STEP s, TLNG_PLACE place, int t, tlng_bringing own, int step,
                                   TLNG_SHARED_POINTER(float) rows, unsigned *pieces, unsigned *others) {
  TLNG_GLOBAL(const unsigned) order = s.order;
  TLNG_GLOBAL(const int) labels = s.labels;
  const int batch = (int)s.rows, row = place.group + t * place.groups;
  if (own.row < batch) tlng_read_pieces(s, own, own.row, TLNG_RESIDENT_READ_AHEAD, rows, pieces);
  if (row < batch) others[0] = (unsigned)labels[tlng_bits(rows[row])];
  if (t < batch && step + 1 < s.steps) others[1] = order[(tlng_int)(step + 1) * batch + t];
}

/* Brings a thread's share of what was read into shared memory, and what else there is. */
TLNG_FUNCTION void tlng_bring(TLNG_STEP s, TLNG_PLACE place, int t, tlng_bringing own, int step,
                              TLNG_SHARED_POINTER(float) x, TLNG_SHARED_POINTER(float) rows,
                              TLNG_SHARED_POINTER(float) next_rows, TLNG_SHARED_POINTER(float) labels,
                              const unsigned *pieces, const unsigned *others) {
  const int batch = (int)s.rows;
  if (own.row < batch) tlng_put_pieces(s, own, own.row, TLNG_RESIDENT_READ_AHEAD, pieces, x);
  TLNG_ROLL
  for (int row = own.row + TLNG_RESIDENT_READ_AHEAD * own.row_step; row < batch; row += 4 * own.row_step) {
    unsigned more[4];
    tlng_read_pieces(s, own, row, 4, rows, more);
    tlng_put_pieces(s, own, row, 4, more, x);
  }
  if (place.group + t * place.groups < batch) labels[t] = tlng_float(others[0]);
  if (t < batch && step + 1 < s.steps) next_rows[t] = tlng_float(others[1]);
}

#endif
