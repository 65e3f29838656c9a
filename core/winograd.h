/* winograd.h: transforms of Winograd's minimal filtering (Winograd 1980; Lavin & Gray, "Fast
 * Algorithms for Convolutional Neural Networks", CVPR 2016), separable in rows and columns. F(m,r)
 * gives m outputs of a correlation with r taps from a patch of a = m + r - 1 inputs with a
 * multiplications:
 *   Y = A^T [ (G g G^T) . (B^T d B) ] A       (. elementwise, summed over channels: ay*ax matrix
 *                                             products)
 * and for the weight gradient, its adjoint in g:   dg = G^T [ (A dY A^T) . (B^T d B) ] G, summed
 *                                                  over tiles.
 * Every kernel transforms several patches at once: a "lane" is a tile (forward) or a channel
 * (weight gradient). */
#ifndef PRLX_WINOGRAD_H
#define PRLX_WINOGRAD_H
#include "core/base.h"
#include "core/isa.h"

/* Rows x columns: F(2,3)^2 and F(4,3)^2 for 3x3 kernels; F(3,2) and the trivial F(1,1) for the 2x2,
 * 2x1, 1x2 and 1x1 parts into which a 3x3 kernel of stride 2 falls. */
typedef enum { WF_22 = 0, WF_44, WF_33, WF_31, WF_13, WF_11, WF_COUNT } WinoForm;

typedef struct WinoKernels {
  /* n of nr lanes (gemm_kernels' nr; off has them all): patch of lane j at src + off[j], rows ld
   * apart, up to 8 columns are read; dst[f*df + j] for frequency f = row*ax + column, j < n at
   * least. */
  void (*input[WF_COUNT])(const real *src, int n, const int32_t *off, int64_t ld, real *dst,
                          int64_t df);
  /* The same for 24 lanes of output gradients (my x mx patches; 4 columns are read); lanes 12.. go
   * to dst2. */
  void (*dy[WF_COUNT])(const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2,
                       int64_t df);
  /* src[f*nr + j] -> tile of lane j < n at dst + off[j], its first size[j]/8 rows (ld apart) and
   * size[j]%8 columns (step apart); add: added to what is there. */
  void (*output[WF_COUNT])(const real *src, int n, const int32_t *off, const uint8_t *size,
                           real *dst, int64_t ld, int64_t step, bool add);
  /* Twelve kernels: lane j < lanes has its tap t at w[j*lw + tap[t]] (3x3: tap is a permutation of
   * 0..8) -> dst[f*df + j], zero for other lanes. */
  void (*weights[WF_COUNT])(const real *w, int64_t lw, int lanes, const int32_t *tap, real *dst,
                            int64_t df);
  /* src[f*nr + j] -> dst[j*ldd + tap[t]] for j < lanes (3x3: tap[t] = t). */
  void (*dweights[WF_COUNT])(const real *src, int lanes, const int32_t *tap, real *dst,
                             int64_t ldd);
} WinoKernels;
ISA_DECLARE(const WinoKernels, wino_kernels);
enum { WINO_DY_LANES = 24 };
#endif
