/*
 * Gradients of the biases, sums of columns over the rows of a batch, and their update. The order is that
 * of Sources/Kernels/Bias.swift.
 */
#ifndef TLN_GPU_BIASES_H
#define TLN_GPU_BIASES_H

#include "elementwise.h"

/* Columns of a group, and threads that share the rows of each. */
#define TLNG_BIAS_COLUMNS 32
#define TLNG_BIAS_THREADS (TLNG_THREADS / TLNG_BIAS_COLUMNS)

/* How a column is added up: row (i * parts + part) * lanes + lane is number i of a run, and each lane
 * has `parts` runs of `count` rows. A run is cut into blocks of 2^bits rows and what is left. */
struct tlng_column {
  int lanes, parts, bits;
  tlng_int rows_of_lane, count;
  tlng_int units; /* of a run: blocks, and what is left */
};

TLNG_FUNCTION tlng_column tlng_column_of(tlng_int rows, tlng_int columns, tlng_int column) {
  tlng_column c;
  const tlng_int in_one_run = columns >= 8 ? columns & ~(tlng_int)31 : columns & ~(tlng_int)3;
  c.lanes = columns == 1 && rows >= 8 ? 8 : 1;
  c.parts = columns > 1 && column < in_one_run ? 1 : 4;
  c.rows_of_lane = rows / c.lanes;
  c.count = c.rows_of_lane / c.parts;
  /* Blocks of 16, and more only for more than 2^19 rows. */
  int bits = 0;
  TLNG_ROLL
  while (((tlng_int)1 << bits) < c.count) bits++;
  c.bits = bits / 4 > 4 ? bits / 4 : 4;
  c.units = (c.count + ((tlng_int)1 << c.bits) - 1) >> c.bits;
  if (c.units == 0) c.units = 1;
  return c;
}

/* Updates a bias [columns] with the sums of the columns of `gradients` [rows][columns], from column
 * first on. Each thread adds up every eighth block of its column's runs, one folds them. */
TLNG_CALLED void tlng_update_bias(TLNG_GLOBAL(const float) gradients, tlng_int rows, tlng_int columns,
                                  tlng_int first, tlng_sgd optimizer, TLNG_PLACE place,
                                  TLNG_SHARED_POINTER(float) space, TLNG_GLOBAL(float) p,
                                  TLNG_GLOBAL(float) v) {
  /* Blocks of blocks, like digits; the lane; the column. */
  TLNG_OWN(float, sums, 5);
  /* With fewer than eight columns, some are in one run and some in four. */
  const tlng_column one = tlng_column_of(rows, columns, first);
  const tlng_column last = tlng_column_of(rows, columns, columns - 1);
  tlng_int units = one.units * one.parts * one.lanes;
  if (columns < 8 && last.units * last.parts > units) units = last.units * last.parts * last.lanes;
  TLNG_ROLL
  for (tlng_int done = 0; done < units; done += TLNG_BIAS_THREADS) {
    TLNG_EACH_THREAD(t) {
      const tlng_int column = first + t % TLNG_BIAS_COLUMNS, unit = done + t / TLNG_BIAS_COLUMNS;
      if (column < columns) {
        const tlng_column c = tlng_column_of(rows, columns, column);
        const tlng_int run = unit / c.units, block = (unit - run * c.units) << c.bits;
        const int lane = (int)(run / c.parts), part = (int)(run - lane * c.parts);
        const tlng_int size = tlng_least((tlng_int)1 << c.bits, c.count - block);
        float sum = 0;
        if (lane < c.lanes) {
          TLNG_ROLL
          for (tlng_int i = 0; i < size; i += 16) {
            float sixteen[16]; /* so that they are read together */
            TLNG_UNROLL
            for (int j = 0; j < 16; j++) {
              const tlng_int number = block + tlng_least(i + j, size - 1);
              sixteen[j] = gradients[((number * c.parts + part) * c.lanes + lane) * columns + column];
            }
            TLNG_UNROLL
            for (int j = 0; j < 16; j++) {
              if (i + j < size) sum = sum + sixteen[j];
            }
          }
        }
        space[t] = sum;
      }
    }
    TLNG_EACH_THREAD(t) {
      const tlng_int column = first + t;
      if (t < TLNG_BIAS_COLUMNS && column < columns) {
        const tlng_column c = tlng_column_of(rows, columns, column);
        const tlng_int mask = ((tlng_int)1 << c.bits) - 1;
        float sum1 = TLNG_MINE(sums, t)[0], sum2 = TLNG_MINE(sums, t)[1], sum3 = TLNG_MINE(sums, t)[2];
        float of_lane = TLNG_MINE(sums, t)[3], total = TLNG_MINE(sums, t)[4];
        TLNG_ROLL
        for (int i = 0; i < TLNG_BIAS_THREADS; i++) {
          const tlng_int run = (done + i) / c.units, unit = done + i - run * c.units;
          const int lane = (int)(run / c.parts), part = (int)(run - lane * c.parts);
          if (lane >= c.lanes) break;
          float sum = space[i * TLNG_BIAS_COLUMNS + t];
          if (unit == 0) sum1 = sum2 = sum3 = 0;
          if ((unit + 1) << c.bits <= c.count) {
            sum1 = sum1 + sum;
            sum = 0;
            if (((unit + 1) & mask) == 0) {
              sum2 = sum2 + sum1;
              sum1 = 0;
              if ((((unit + 1) >> c.bits) & mask) == 0) {
                sum3 = sum3 + sum2;
                sum2 = 0;
              }
            }
          }
          if (unit + 1 == c.units) {
            const float of_run = ((sum + sum1) + sum2) + sum3;
            of_lane = part == 0 ? of_run : of_lane + of_run;
            if (part == 0) {
              TLNG_ROLL
              for (tlng_int row = c.count * c.parts; row < c.rows_of_lane; row++)
                of_lane = of_lane + gradients[(row * c.lanes + lane) * columns + column];
            }
            if (part + 1 == c.parts) {
              if (c.lanes == 1) {
                total = of_lane;
              } else {
                if (lane == 0) {
                  total = 0;
                  TLNG_ROLL
                  for (tlng_int row = c.rows_of_lane * c.lanes; row < rows; row++)
                    total = total + gradients[row];
                }
                total = total + of_lane;
              }
              if (lane + 1 == c.lanes) tlng_update_one(optimizer, total, p, v, column);
            }
          }
        }
        TLNG_MINE(sums, t)[0] = sum1;
        TLNG_MINE(sums, t)[1] = sum2;
        TLNG_MINE(sums, t)[2] = sum3;
        TLNG_MINE(sums, t)[3] = of_lane;
        TLNG_MINE(sums, t)[4] = total;
      }
    }
  }
}

#endif
