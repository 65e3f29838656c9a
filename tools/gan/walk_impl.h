/* walk_impl.h: parts of `prlx walk`: points of W named on the command line, lists of numbers, the
 * images of a walk and their measures. Inside tools/gan/walk*.c only. */
#ifndef PRLX_WALK_IMPL_H
#define PRLX_WALK_IMPL_H
#include "models/gan/latent.h"
#include "models/store/netfile.h"
#include "tools/view/sheet.h"

typedef struct Walk {
  Network net;
  real *cond;           /* [c_dim] label of a conditional network, else NULL */
  LatentDirections pca; /* mean and spread of W; directions for the mode that shows them */
  /* the images of the walk, in the order of the sheet */
  int64_t n;
  real *ws;        /* [n,num_ws,w_dim] */
  real *img;       /* [n,C,R,R] network units */
  SheetCell *cell; /* [n] captions and sections (one more with `corner`) */
  Name64 *name;    /* [n] */
  Name64 *section; /* titles of sections (rows of the sheet) */
  int sections;
  int columns;
  bool corner; /* the first place of the sheet stays empty; cell has room for n + 1 */
} Walk;

/* One point of W as people name it: "seed:7" (or "7"), "mean", "w.safetensors" (its first row) or
 * "w.safetensors:3" (row 3, counted from 0) of a file of `prlx project`. ws [num_ws,w_dim]; w+
 * files give one w per layer. ST_INVALID, ST_FORMAT, ST_NUMERIC name the text or file. */
Status walk_point(const Walk *k, const char *text, real *ws, Error *e);

/* Several points separated by commas; seed ranges "seed:0-3" count as one each. *out
 * [*n,num_ws,w_dim], mem_free. */
Status walk_points(const Walk *k, const char *text, real **out, int *n, Error *e);

/* "1,0.7,0" -> numbers within lo..hi; `what` names the option in messages. Returns how many. */
Status walk_numbers(const char *what, const char *text, double lo, double hi, double *v, int most,
                    int *n, Error *e);

/* "coarse" (4x4 and 8x8), "middle" (16x16 to half the image), "fine" (the image's own resolution),
 * "all" or "A-B": the layers first..last of num_ws. ST_INVALID: others, or a network without such
 * layers. */
Status walk_layers(const Generator *G, const char *text, int *first, int *last, Error *e);

/* Room for n images and `sections` titles. */
Status walk_reserve(Walk *k, int64_t n, int sections, int columns, Error *e);

/* Distance of image i's ws from the mean of W, averaged over layers, in units of w_std: about 1 for
 * a random lesion. */
double walk_distance(const Walk *k, int64_t i);

/* Mean over circles around the middle of an image [h,w]: the brightest circle beyond 1 pixel minus
 * the darkest within it, and its radius in pixels. A rim around the middle gives a large value, a
 * disc 0. Needs no mask, so it is a rough measure. */
double walk_crest(const float *img, int h, int w, double *radius);

/* Also of a zeroed one. */
void walk_free(Walk *k);
#endif
