/* window.h: intensity windows: which values of a volume become -1 and 1 for the network, and back.
 * Nothing is clipped or quantised. Written with the data as window.<channel>: "lo,hi" (the same for
 * all images), "slice lo,hi" (each slice its own minimum and maximum), "median lo,hi" (0 to 2.5
 * medians of the lesion's patch, for images without a scale); with the last two lo,hi are the
 * medians over the training images, for images that have no window of their own because a network
 * made them. "display": unknown. */
#ifndef PRLX_WINDOW_H
#define PRLX_WINDOW_H
#include "core/base.h"
typedef enum { WINDOW_FIXED, WINDOW_SLICE, WINDOW_MEDIAN, WINDOW_DISPLAY } WindowMode;

/* lo becomes -1, hi becomes 1; in the channel's unit (chi: ppb). */
typedef struct Window {
  WindowMode mode;
  double lo;
  double hi;
} Window;

/* Understands what window_text writes, and "slice" and "median" without lo,hi (0,0). False: not
 * understood or hi <= lo; *w is then undefined. */
bool window_parse(const char *text, Window *w);

/* The text for the metadata. */
void window_text(const Window *w, char out[80]);

/* A value to network units. Not clipped; lo != hi. */
static inline double window_map(double lo, double hi, double v) {
  return (v - lo) / (hi - lo) * 2 - 1;
}

/* And back. */
static inline double window_unmap(double lo, double hi, double x) {
  return lo + (x + 1) * 0.5 * (hi - lo);
}

typedef enum { CH_CHI, CH_RIM, CH_FLAIR, CH_COUNT } Channel;

/* "chi", "rim", "flair", and what their values are in: "ppb", "probability", "arbitrary"; "unknown"
 * for anything else. Never NULL. */
const char *channel_name(Channel c);
const char *channel_unit(Channel c);

/* "chi,rim,flair" -> list in that order; returns the count, 0: not understood or one of them
 * twice. */
int channels_parse(const char *text, Channel out[CH_COUNT]);

/* The n names with commas, as channels_parse reads them. */
void channels_text(const Channel *ch, int n, char out[32]);
#endif
