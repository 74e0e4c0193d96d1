/*
 * Where things are while a network stays in the groups of one launch (resident.h): which parts of it are a
 * group's, what it has in shared memory, and what the groups tell each other. Read by the kernels, and by
 * Swift, which has to know how much that is.
 */
#ifndef TLN_GPU_LAYOUT_H
#define TLN_GPU_LAYOUT_H

#include "step.h"

#ifndef TLNG_FUNCTION
#define TLNG_FUNCTION static inline
#endif

/* Terms that are added up before a panel's sum goes to the total; see Sources/Kernels/Orders.swift. */
TLNG_FUNCTION tlng_int tlng_panel_length(tlng_int count) {
  return count <= 192 ? count : count < 384 ? count / 2 : 192;
}

/* From row to row of features in shared memory: those of a panel, and so many that rows begin in different
 * banks. */
#define TLNG_RESIDENT_STRIDE 196

/* The first layer is cut into parts: the inputs of a panel, and `units` hidden units. The second is cut into
 * pieces: all outputs, and `piece_units` hidden units. A group has at most one of each.
 *
 * Places are in floats of shared memory, each a multiple of 4, or in words of the mail. Hidden units that
 * run by twos or eights are in matrices of 2 or 8 columns, one after the other. */
typedef struct tlng_layout {
  int length, panels;       /* of the sums over inputs */
  int units, across, parts; /* parts side by side, and all of them */
  int piece_units, pieces;
  int x, x_floats, x_count; /* batches of features: that of the step, and perhaps that of the next */
  int rows, labels;         /* places of batches' rows, and labels of the group's, of two steps [2][batch] */
  /* A part. */
  int w, v;                 /* w1 and its momentum [units / 2][length][2] */
  int b1, vb1;              /* [units], if the part is one of the last panel's */
  int d, target;            /* gradient of the hidden units [units / 2][batch][2]; [batch] */
  int dw, db1;              /* gradients, as w and b1 */
  /* A piece. */
  int w2, v2;               /* [outputs][piece_units] */
  int b2, vb2;              /* [outputs], if the piece is the first */
  int piece_h, d_logits;    /* [piece_units / 8][batch][8]; [batch][outputs] */
  int dw2, db2;             /* gradients, as w2 and b2 */
  /* A row of the batch. */
  int rest;                 /* b1 [hidden], w2 [outputs][hidden], b2 [outputs] */
  int row_units;            /* hidden units, rounded up */
  int partial;              /* [panels][row_units], the sums of a row's panels */
  int h, logits, row_d_logits, space;
  int floats;
  /* The mail. */
  int mail_d;               /* [..][batch][2]; before it the panels' sums [batch][panels][row_units] */
  int mail_target;          /* [batch] */
  int mail_h;               /* [..][batch][8] */
  int mail_d_logits;        /* [batch][outputs] */
  int mail_rest;            /* as in `rest` */
  int words;
} tlng_layout;

TLNG_FUNCTION int tlng_place_floats(int *end, int count) {
  const int start = *end;
  *end = start + ((count + 3) & ~3);
  return start;
}

/* For batches of so many rows and so many groups; `units` is a multiple of 4, `batches` 1 or 2. */
TLNG_FUNCTION tlng_layout tlng_layout_of(int inputs, int hidden, int outputs, int batch, int groups,
                                         int units, int batches) {
  tlng_layout l;
  int end = 0;
  l.length = (int)tlng_panel_length(inputs);
  l.panels = (inputs + l.length - 1) / l.length;
  l.units = units;
  l.across = (hidden + units - 1) / units;
  l.parts = l.panels * l.across;
  l.piece_units = ((hidden + groups - 1) / groups + 7) & ~7;
  l.pieces = (hidden + l.piece_units - 1) / l.piece_units;
  l.row_units = l.across * units;
  l.x_floats = batch * TLNG_RESIDENT_STRIDE;
  l.x_count = batches;
  /* Four rows are read behind the last. */
  l.x = tlng_place_floats(&end, batches * l.x_floats + 4 * TLNG_RESIDENT_STRIDE);
  l.rows = tlng_place_floats(&end, 2 * batch);
  l.labels = tlng_place_floats(&end, 2 * batch);
  l.w = tlng_place_floats(&end, l.length * units);
  l.v = tlng_place_floats(&end, l.length * units);
  l.b1 = tlng_place_floats(&end, units);
  l.vb1 = tlng_place_floats(&end, units);
  l.d = tlng_place_floats(&end, batch * units);
  l.target = tlng_place_floats(&end, batch);
  l.dw = tlng_place_floats(&end, l.length * units);
  l.db1 = tlng_place_floats(&end, units);
  l.w2 = tlng_place_floats(&end, outputs * l.piece_units);
  l.v2 = tlng_place_floats(&end, outputs * l.piece_units);
  l.b2 = tlng_place_floats(&end, outputs);
  l.vb2 = tlng_place_floats(&end, outputs);
  l.piece_h = tlng_place_floats(&end, batch * l.piece_units);
  l.d_logits = tlng_place_floats(&end, batch * outputs);
  l.dw2 = tlng_place_floats(&end, outputs * l.piece_units);
  l.db2 = tlng_place_floats(&end, outputs);
  l.rest = tlng_place_floats(&end, hidden + outputs * hidden + outputs);
  l.partial = tlng_place_floats(&end, l.panels * l.row_units);
  l.h = tlng_place_floats(&end, hidden);
  l.logits = tlng_place_floats(&end, outputs);
  l.row_d_logits = tlng_place_floats(&end, outputs);
  l.space = tlng_place_floats(&end, TLNG_THREADS);
  l.floats = end;
  l.mail_d = batch * l.panels * l.row_units;
  l.mail_target = l.mail_d + batch * l.row_units;
  l.mail_h = l.mail_target + batch;
  l.mail_d_logits = l.mail_h + batch * l.pieces * l.piece_units;
  l.mail_rest = l.mail_d_logits + batch * outputs;
  l.words = l.mail_rest + hidden + outputs * hidden + outputs;
  return l;
}

#endif
