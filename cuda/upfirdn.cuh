/* upfirdn.cuh: what the filters of planes (upfirdn.cu) and of maps whose channels lie last
 * (filter_last.cu) share: their sizes, and four taps on two neighbouring outputs. */
#ifndef PRLX_CUDA_UPFIRDN_CUH
#define PRLX_CUDA_UPFIRDN_CUH
#include "cuda/any.cuh"

/* as in core/op_upfirdn.c */
typedef struct Fir {
  int height;
  int width;
  int oh;
  int ow;
  int upx;
  int upy;
  int downx;
  int downy;
  int padx;
  int pady;
  int tx;
  int ty;
  int flip;
  float gain; /* per pass where separable */
  int channels;
  int per_sample;
  /* four taps: column pairs (channels last: columns) of a row, chunks of a column, row pairs of a
   * chunk, threads */
  unsigned pairs;
  unsigned chunks;
  unsigned steps;
  unsigned total;
  /* separable: output rows of a tile, input rows under it */
  int tile_h;
  int tile_rows;
} Fir;

/* Tap t in correlation order, gain included: a true convolution is a correlation with the reversed
 * filter. */
static __device__ __forceinline__ float fir_tap(const float *f, int t, int n, int flip,
                                                float gain) {
  return gain * f[flip ? t : n - 1 - t];
}

/* ---- four taps ---- */

/* Two neighbouring outputs from N neighbouring inputs. UP = 2: every output sees two taps; with an
 * odd padding (odd) the two outputs see the same two inputs, else the second pair is one further. g
 * is ordered by order_taps. */
template <int UP, int DOWN>
static __device__ __forceinline__ void two_of(const float g[4], const float *v, bool odd, float *a,
                                              float *b) {
  if constexpr (UP == 2) {
    *a = g[0] * v[0] + g[1] * v[1];
    *b = g[2] * (odd ? v[0] : v[1]) + g[3] * (odd ? v[1] : v[2]);
  } else {
    *a = g[0] * v[0] + g[1] * v[1] + g[2] * v[2] + g[3] * v[3];
    *b = g[0] * v[DOWN] + g[1] * v[DOWN + 1] + g[2] * v[DOWN + 2] + g[3] * v[DOWN + 3];
  }
}

/* Up 2: taps 0, 2 meet samples where the position before padding is even, 1, 3 where it is odd. */
template <int UP>
static __device__ __forceinline__ void order_taps(const float t[4], bool odd, float g[4]) {
  if constexpr (UP == 2) {
    g[0] = odd ? t[1] : t[0];
    g[1] = odd ? t[3] : t[2];
    g[2] = odd ? t[0] : t[1];
    g[3] = odd ? t[2] : t[3];
  } else {
    for (int k = 0; k < 4; k++) g[k] = t[k];
  }
}

/* First input that the output pair m needs. */
template <int UP, int DOWN> static __device__ __forceinline__ int first_input(int m, int pad) {
  return UP == 2 ? (2 * m - pad + (pad & 1)) >> 1 : 2 * m * DOWN - pad;
}

/* filter_last.cu: four taps where the map or its result lies with its channels last. */
Status cuda_filter_last_launch(const CudaCtx *c, const DevStep *s, Fir p, Error *e);
#endif
