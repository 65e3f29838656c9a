/* conv_bf16_impl.h: what conv_bf16.c and conv_bf16_dw.c share: how a map lies in memory so that
 * every tap of a kernel is one shift. Not for other code.
 *
 * Rows of a map follow each other with one set of padding zeros between them, which ends one row
 * and begins the next; images follow each other in the same way. So the numbers that tap t sees for
 * the pixels q, q + 1, ... of all images lie side by side, shift(t) after q, and 16 or 32 pixels
 * are one row of a tile. Pixels that fall on padding are computed and not used. A step of 2 gives
 * four such maps, by the residues of row and column (phases). */
#ifndef PRLX_CONV_BF16_IMPL_H
#define PRLX_CONV_BF16_IMPL_H
#include "core/bf16.h"
#include "core/conv_impl.h"

typedef struct Bf16Map {
  /* of a phase: rows and columns that are read, and from row to row, from image to image */
  int64_t rows;
  int64_t cols;
  int64_t pitch;
  int64_t image;
  int64_t reach; /* the largest shift */
  /* phases in a row, in all */
  int64_t px;
  int64_t phases;
} Bf16Map;

/* Of the source that a sub-convolution reads. */
Bf16Map bf16_map(const ConvSub *u);

/* The rows and the columns of phase p that are inside the source. */
Window bf16_rows(const ConvSub *u, const Bf16Map *m, int64_t p);
Window bf16_cols(const ConvSub *u, const Bf16Map *m, int64_t p);

/* Phase and shift of tap t. */
int64_t bf16_phase(const ConvSub *u, const Bf16Map *m, int64_t t);
int64_t bf16_shift(const ConvSub *u, const Bf16Map *m, int64_t t);

/* Length of a plane of `pixels` pixels and their reach, in units of `line` numbers to a cache line:
 * an odd number of lines, so that planes do not compete for one set of the cache. */
static inline int64_t bf16_plane(int64_t pixels, int64_t line) {
  return (ceil_div(pixels, line) | 1) * line;
}
#endif
