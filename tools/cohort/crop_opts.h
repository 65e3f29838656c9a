/* crop_opts.h: the options that `prlx crop` and `prlx bids` share. */
#ifndef PRLX_CROP_OPTS_H
#define PRLX_CROP_OPTS_H
#include "tools/cli/opts.h"
#include "tools/cohort/crop.h"

typedef struct CropOptions {
  const char *size;
  const char *voxel;
  int map;
  int min_voxels;
  int units;
  double field;
  double te;
  int nan;
  bool regrid;
} CropOptions;

/* Rows of an option table; o: CropOptions. */
#define CROP_OPT_INPUT(o)                                                                          \
  OPT_CHOICE("map", &(o).map, "auto", "auto|labels|components",                                    \
             "LABELS holds numbered lesions, or a mask whose 26-connected components are "         \
             "the\nlesions; auto: components if it holds only 0 and 1"),                           \
      OPT_INT("min-voxels", &(o).min_voxels, "10", 1, 1000000, "smaller components are left out"), \
      OPT_CHOICE("units", &(o).units, "ppm", "ppm|ppb|hz|rad|ratio",                               \
                 "of CHIMAP (BIDS: ppm); patches are in ppm. hz needs --field, rad --field\nand "  \
                 "--te; ratio: pure numbers (1e-6 is 1 ppm)"),                                     \
      OPT_REAL("field", &(o).field, "0", 0, 30, "tesla, for --units hz and rad"),                  \
      OPT_REAL("te", &(o).te, "0", 0, 1000, "echo spacing in ms that radians belong to"),          \
      OPT_CHOICE("nan", &(o).nan, "zero", "refuse|zero|neighbours",                                \
                 "what stands in for NaN and infinity inside a patch; outside of all they\ndo "    \
                 "no harm"),                                                                       \
      OPT_FLAG("regrid", &(o).regrid, "no",                                                        \
               "take a label map on another grid than CHIMAP, by nearest voxel")
#define CROP_OPT_PATCH(o)                                               \
  OPT_STR("size", &(o).size, "64,64,24", "X,Y,Z", "voxels of a patch"), \
      OPT_STR("voxel", &(o).voxel, "0.4,0.4,1", "X,Y,Z",                \
              "mm; volumes with other voxels are resampled (Catmull-Rom, averaged where coarser)")

/* The rule of these options; EXIT_DONE, or what tool_usage returned. */
int crop_rule_read(const CropOptions *o, const char *cmd, CropRule *r);
#endif
