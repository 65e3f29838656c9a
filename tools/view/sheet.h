/* sheet.h: contact sheets of patches: captions, the intensity window that black and white stand
 * for, a scale bar in mm. */
#ifndef PRLX_SHEET_H
#define PRLX_SHEET_H
#include "io/images/dataset.h"
#include "io/images/window.h"
#include "tools/view/canvas.h"
typedef struct SheetCell {
  const float *img; /* [channels][h][w], network units; NULL: the place stays empty */
  int section;      /* index into title[] of the sheet; cells come sorted by it */
  char caption[64];
} SheetCell;
typedef struct Sheet {
  const char *head;         /* first line */
  const char *const *title; /* [sections]; NULL, 0: none */
  int sections;
  const SheetCell *cell; /* [n] */
  int n;
  int channels;
  int h; /* of a cell's images, pixels */
  int w;
  int columns;    /* 0: fitting */
  int zoom;       /* 0: fitting */
  char foot[200]; /* windows (sheet_foot) */
  double mm;      /* per pixel; 0: unknown, no bar */
} Sheet;

/* Draws all cells into a PNG file. */
Status sheet_draw(const Sheet *s, const char *path, Error *e);

/* A bar of 5 mm, where the pixel size is known. */
void sheet_bar(Canvas *c, const Sheet *s, int zoom, int x, int y);

/* Channels, windows and pixel size from the metadata (of a data set or a network): fills channels,
 * foot, mm. */
void sheet_describe(Sheet *s, const StMeta *meta, int nmeta, int channels);

/* ---- what the metadata says of the images, for files in physical units ---- */
typedef struct ImageMeaning {
  Channel ch[CH_COUNT]; /* [n] */
  int n;
  Window window[CH_COUNT]; /* by position */
  double voxel[3];         /* mm */
  bool known;              /* every window known */
} ImageMeaning;

/* What the metadata says; unknown windows leave `known` false. */
void meaning_read(ImageMeaning *m, const StMeta *meta, int nmeta, int channels);
#endif
