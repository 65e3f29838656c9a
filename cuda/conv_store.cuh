/* conv_store.cuh: the end of a product, shared by conv_gemm.cu (mma.sync) and conv_wgmma.cu: 64
 * rows of sums lie in shared memory, a thread takes a column of them down the rows, eight at a
 * time. */
#ifndef PRLX_CONV_STORE_CUH
#define PRLX_CONV_STORE_CUH
#include "cuda/conv.cuh"

enum { STORE_ROWS = 64, STORE_PAD = 8, STORE_V = 8 };

/* Rows `first`, `first` + STEP, .. (STORE_V of each) of the column of sums at s, STRIDE floats from
 * row to row: m0 is the row of the result that row 0 is. To the partial sums of this split, or
 * through the chain to the result. */
template <int STRIDE, int STEP>
static __device__ __forceinline__ void store_column(const ConvJob &job, const ConvClass &cls,
                                                    int split, const float *s, int first,
                                                    int64_t m0, const Column &at, uint32_t col) {
  if (col >= cls.cols) return;
  for (int r = first; r < STORE_ROWS; r += STEP) {
    int64_t m = m0 + r;
    float v[STORE_V];
    if (m >= job.classes.rows) return;
    _Pragma("unroll") for (int i = 0; i < STORE_V; i++) v[i] = s[(r + i) * STRIDE];
    if (job.splits > 1) {
      float *p = job.store.partial + ((int64_t)split * job.classes.rows + m) * job.classes.cols +
                 cls.col0 + col;
      _Pragma("unroll") for (int i = 0; i < STORE_V; i++) if (m + i < job.classes.rows)
          p[i * job.classes.cols] = v[i];
    } else if (at.off >= 0) {
      chain_run<STORE_V>(job.store.chain, at, m, job.classes.rows, v);
      _Pragma("unroll") for (int i = 0; i < STORE_V; i++) if (m + i < job.classes.rows)
          store_as(job.store.out, job.store.tout, at.off + (m + i) * job.store.out_m, v[i]);
    }
  }
}
#endif
