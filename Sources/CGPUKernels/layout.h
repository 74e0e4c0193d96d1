/*
 * Where things are while a network stays in the groups of one launch (resident.h): which part of the first
 * layer is a group's, what it has in shared memory, and what the groups tell each other. Read by the
 * kernels, and by Swift, which has to know how much that is.
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

/* The first layer is cut into parts, each for one group: the inputs of a panel, and `units` hidden units.
 * Places are in floats of shared memory, each a multiple of 4, or in words of the mail. */
typedef struct tlng_layout {
  int length, panels;      /* of the sums over inputs */
  int units, across, parts; /* parts side by side, and all of them */
  int stride;              /* of a row of features */
  int x, x_floats, x_count; /* batches of features: that of the step and perhaps that of the next */
  int w, v;                /* [length][units] of w1 and its momentum */
  int d;                   /* [batch][units] of the gradient of the hidden units */
  int target;              /* [batch] */
  int rows, labels;        /* of the next step [batch]; of the group's own rows, of two steps [2][batch] */
  int b1, w2, b2;          /* the rest of the network */
  int partial;             /* [panels][hidden], the sums of a row's panels */
  int h, logits, d_logits, d_h; /* of a row */
  int a, b, space;         /* for the kernels' functions */
  int floats;
  tlng_int mail_d, mail_h, mail_d_logits, mail_target, mail_b1, mail_w2, mail_b2, words;
} tlng_layout;

/* So many threads work in `a` and `b`, and in `space`. */
#define TLNG_LAYOUT_TILE (64 * 32)
#define TLNG_LAYOUT_SPACE (TLNG_THREADS + 16)

TLNG_FUNCTION int tlng_place_floats(int *end, int count) {
  const int start = *end;
  *end = start + ((count + 3) & ~3);
  return start;
}

/* For batches of so many rows; `units` is a multiple of 4, `batches` 1 or 2. */
TLNG_FUNCTION tlng_layout tlng_layout_of(int inputs, int hidden, int outputs, int batch, int units,
                                         int batches) {
  tlng_layout l;
  int end = 0;
  l.length = (int)tlng_panel_length(inputs);
  l.panels = (inputs + l.length - 1) / l.length;
  l.units = units;
  l.across = (hidden + units - 1) / units;
  l.parts = l.panels * l.across;
  /* Rows begin in different banks. */
  l.stride = ((l.length + 3) & ~3) + 4;
  l.x_floats = batch * l.stride;
  l.x_count = batches;
  l.x = tlng_place_floats(&end, batches * l.x_floats);
  l.w = tlng_place_floats(&end, l.length * units);
  l.v = tlng_place_floats(&end, l.length * units);
  l.d = tlng_place_floats(&end, batch * units);
  l.target = tlng_place_floats(&end, batch);
  l.rows = tlng_place_floats(&end, batch);
  l.labels = tlng_place_floats(&end, 2 * batch);
  l.b1 = tlng_place_floats(&end, hidden);
  l.w2 = tlng_place_floats(&end, outputs * hidden);
  l.b2 = tlng_place_floats(&end, outputs);
  l.partial = tlng_place_floats(&end, l.panels * hidden);
  l.h = tlng_place_floats(&end, hidden);
  l.logits = tlng_place_floats(&end, outputs);
  l.d_logits = tlng_place_floats(&end, outputs);
  l.d_h = tlng_place_floats(&end, hidden);
  l.a = tlng_place_floats(&end, TLNG_LAYOUT_TILE);
  l.b = tlng_place_floats(&end, TLNG_LAYOUT_TILE);
  l.space = tlng_place_floats(&end, TLNG_LAYOUT_SPACE);
  l.floats = end;
  l.mail_d = (tlng_int)l.panels * batch * hidden;
  l.mail_h = l.mail_d + (tlng_int)batch * hidden;
  l.mail_d_logits = l.mail_h + (tlng_int)batch * hidden;
  l.mail_target = l.mail_d_logits + (tlng_int)batch * outputs;
  l.mail_b1 = l.mail_target + batch;
  l.mail_w2 = l.mail_b1 + hidden;
  l.mail_b2 = l.mail_w2 + (tlng_int)outputs * hidden;
  l.words = l.mail_b2 + outputs;
  return l;
}

#endif
