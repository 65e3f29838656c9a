/* conv_wino.c: Winograd's minimal filtering for 3x3 kernels, stride 1 (not written yet: the choice is always "direct"). */
#include "core/conv_impl.h"
bool   wino_possible(const ConvGeom *g) { return false; }
int    wino_auto(const ConvGeom *g) { return 0; }
size_t wino_prep_numel(const ConvGeom *g, int m) { return 0; }
void   wino_prep(const ConvGeom *g, int m, const real *w, real *dst) {}
size_t wino_scratch(const ConvGeom *g, int m, bool with_prep) { return 0; }
void   wino_run(const ConvGeom *g, int m, const real *src, const real *w, const real *prep, const real *scale, real *out, void *scratch) {}
size_t wino_dw_scratch(const ConvGeom *g) { return 0; }
void   wino_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx, const real *sdy, real *dw, void *scratch) {}
