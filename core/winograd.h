/* winograd.h: transforms of Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4 (Winograd 1980; Lavin & Gray, "Fast
 * Algorithms for Convolutional Neural Networks", CVPR 2016). A tile of side m needs an input patch of side a = m + 2:
 *   Y = A^T [ (G g G^T) . (B^T d B) ] A       (. elementwise, summed over channels: a^2 matrix products)
 * and for the weight gradient, its adjoint in g:   dg = G^T [ (A dY A^T) . (B^T d B) ] G, summed over tiles.
 * Every kernel transforms several patches at once: a "lane" is a tile (forward) or a channel (weight gradient).
 * Index [0] of each pair is m = 2, [1] is m = 4. */
#ifndef PRLX_WINOGRAD_H
#define PRLX_WINOGRAD_H
#include "base.h"
#include "isa.h"

typedef struct WinoKernels {
  /* nr lanes (gemm_kernels' nr): patch of lane j at src + off[j], rows ld apart (4 or 8 columns are read);
   * dst[f*df + j] for frequency f = row*a + column. */
  void (*input[2])(const real *src, const int32_t *off, int64_t ld, real *dst, int64_t df);
  /* The same for 24 lanes of output gradients (m x m patches, zero outside the map; 4 columns are read); lanes 12.. go to dst2. */
  void (*dy[2])(const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2, int64_t df);
  /* src[f*nr + j] -> tile of lane j < n at dst + off[j], rows ld apart, its first size[j]/8 rows and size[j]%8 columns. */
  void (*output[2])(const real *src, int n, const int32_t *off, const uint8_t *size, real *dst, int64_t ld);
  /* Twelve 3x3 kernels: lane j < lanes at w + j*lw (flip: rotated by 180 degrees) -> dst[f*df + j], zero for other lanes. */
  void (*weights[2])(const real *w, int64_t lw, int lanes, bool flip, real *dst, int64_t df);
  /* src[f*nr + j] -> dst[j*9 + tap] for j < lanes. */
  void (*dweights[2])(const real *src, int lanes, real *dst);
} WinoKernels;
ISA_DECLARE(const WinoKernels, wino_kernels);
enum { WINO_DY_LANES = 24 };
#endif
