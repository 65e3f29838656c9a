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

/* chi: ppb */
typedef struct Window {
  WindowMode mode;
  double lo;
  double hi;
} Window;

/* also without lo,hi after "slice" and "median" (0,0); false: not understood or hi <= lo */
bool window_parse(const char *text, Window *w);
void window_text(const Window *w, char out[80]);
static inline double window_map(double lo, double hi, double v) {
  return (v - lo) / (hi - lo) * 2 - 1;
}

static inline double window_unmap(double lo, double hi, double x) {
  return lo + (x + 1) * 0.5 * (hi - lo);
}

typedef enum { CH_CHI, CH_RIM, CH_FLAIR, CH_COUNT } Channel;
const char *channel_name(Channel c); /* "chi", "rim", "flair" */
const char *channel_unit(Channel c); /* "ppb", "probability", "arbitrary" */

/* "chi,rim,flair" -> list, count; 0: not understood or one of them twice. */
int channels_parse(const char *text, Channel out[CH_COUNT]);
void channels_text(const Channel *ch, int n, char out[32]);
#endif
