/* lab.h: the order of the numbers that the page and lab.c exchange (docs/lab/page/lab.js has the
 * same lists), and how functions are seen from outside. */
#ifndef PRLX_LAB_H
#define PRLX_LAB_H
#include "core/base.h"

#define LAB_EXPORT(name) __attribute__((export_name(#name)))
#define LAB_IMPORT(name) __attribute__((import_module("lab"), import_name(name)))
enum { LAB_DIRECTIONS = 6, LAB_NUMBERS = 64 };

/* Options of a projection. */
enum {
  LAB_SOLVER, /* ProjectSolver */
  LAB_SPACE,  /* ProjectSpace */
  LAB_STEPS,
  LAB_RATE,
  LAB_JITTER,
  LAB_NOISE_WEIGHT,
  LAB_RAMP_UP,
  LAB_RAMP_DOWN,
  LAB_NOISE_RAMP,
  LAB_SEED,
  LAB_START, /* ProjectStart: mean or random */
  LAB_FOCUS,
  LAB_STRENGTH,
  LAB_RADIUS, /* of the disc, in sides */
  LAB_GROW,   /* pixels that the true rim grows by */
  LAB_OPTIMISED,
  LAB_FRAMES
};
enum { LAB_FOCUS_NONE, LAB_FOCUS_CENTRE, LAB_FOCUS_MASK };

/* What a step was. */
enum {
  LAB_N_STEP,
  LAB_N_RATE,
  LAB_N_JITTER,
  LAB_N_DIST,
  LAB_N_TAPS,
  LAB_N_INSIDE = LAB_N_TAPS + 5,
  LAB_N_OUTSIDE,
  LAB_N_REG,
  LAB_N_AWAY,
  LAB_N_GRAD_W,
  LAB_N_GRAD_NOISE,
  LAB_N_MAPS
};
#endif
