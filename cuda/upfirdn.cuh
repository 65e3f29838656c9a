/* upfirdn.cuh: what the filters of planes (upfirdn.cu), those with a loop in their store
 * (upfirdn_store.cu) and those of maps whose channels lie last (filter_last.cu) share: their sizes,
 * and four taps on two neighbouring outputs. */
#ifndef PRLX_CUDA_UPFIRDN_CUH
#define PRLX_CUDA_UPFIRDN_CUH
#include "cuda/conv.cuh"

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

/* Thread i of p.total: plane, chunk of rows, pair of columns; pairs are neighbours in a warp. x:
 * planes [h,w]. emit(plane, m, j, v): the results of rows 2m, 2m+1 and columns 2j, 2j+1, row by
 * row; those beyond oh and ow are none. */
template <typename T, int UP, int DOWN, class Emit>
static __device__ __forceinline__ void fir4_walk(const T *x, const float *f, const Fir &p,
                                                 unsigned i, Emit emit) {
  constexpr int N = UP == 2 ? 3 : 4 + DOWN, STEP = UP == 2 ? 1 : 2 * DOWN;
  int j = (int)(i % p.pairs);
  i /= p.pairs;
  int m = (int)(i % p.chunks * p.steps), end = min(m + (int)p.steps, (p.oh + 1) / 2);
  int64_t plane = i / p.chunks;
  bool oddx = p.padx & 1, oddy = p.pady & 1;
  float t[4], gx[4], gy[4], win[2][N];
  for (int k = 0; k < 4; k++) t[k] = fir_tap(f, k, 4, p.flip, p.gain);
  order_taps<UP>(t, oddx, gx);
  order_taps<UP>(t, oddy, gy);
  int c0 = first_input<UP, DOWN>(j, p.padx), row = first_input<UP, DOWN>(m, p.pady);
  unsigned inside = 0; /* bit k: column c0 + k exists */
#pragma unroll
  for (int k = 0; k < N; k++) inside |= (unsigned)(c0 + k >= 0 && c0 + k < p.width) << k;
  x += plane * p.height * p.width + c0;
  /* row `row + r` of the map, filtered along x, into the window */
  auto fetch = [&](int r) {
    float v[N];
    bool live = row + r >= 0 && row + r < p.height;
#pragma unroll
    for (int k = 0; k < N; k++)
      v[k] = live && (inside >> k & 1) ? ld(x, (int64_t)(row + r) * p.width + k) : 0.f;
    two_of<UP, DOWN>(gx, v, oddx, &win[0][r], &win[1][r]);
  };
#pragma unroll
  for (int r = 0; r < N - STEP; r++) fetch(r);
  for (; m < end; m++) {
#pragma unroll
    for (int r = N - STEP; r < N; r++) fetch(r);
    float v[4];
    two_of<UP, DOWN>(gy, win[0], oddy, &v[0], &v[2]);
    two_of<UP, DOWN>(gy, win[1], oddy, &v[1], &v[3]);
    emit(plane, m, j, v);
#pragma unroll
    for (int r = 0; r + STEP < N; r++) {
      win[0][r] = win[0][r + STEP];
      win[1][r] = win[1][r + STEP];
    }
    row += STEP;
  }
}

/* upfirdn.cu: the filter of a step; are there four taps for fir4_walk; how threads are cut for a
 * card of so many multiprocessors. False: too many planes for one launch. */
Fir fir_of(const DevStep *s);
bool fir_is_four(const DevStep *s, const Fir *p);
bool fir_cut(Fir *p, int64_t planes, int sm_count);

/* upfirdn_store.cu: a filter with a loop in its store. fir_sum: which further result of that is no
 * map but a sum, -1: none. fir_chain_of: the loop without it; bound: the step for addresses, or
 * NULL. */
int fir_sum(const PwProgram *p);
bool fir_chain_of(const DevStep *s, const PwProgram *p, int from, const DevStep *bound,
                  Chain *chain);
Status fir_store_launch(const CudaCtx *c, const DevStep *s, Fir p, Error *e);
size_t fir_store_scratch(const DevStep *s);
/* filter_last.cu: four taps where the map or its result lies with its channels last. */
size_t filter_last_scratch(const DevStep *s);
Status cuda_filter_last_launch(const CudaCtx *c, const DevStep *s, Fir p, Error *e);
#endif
