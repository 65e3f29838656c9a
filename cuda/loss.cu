/* loss.cu: softmax cross entropy of the classifier and its gradient (core/op_loss.c). Rows are
 * short (2 classes) and few: one thread each, in double as on the CPU, so that both give the same
 * number. */
#include "cuda/cuda.h"

/* log sum exp of a row, its maximum taken out */
static __device__ double row_lse(const float *z, int64_t k) {
  double m = z[0], s = 0;
  for (int64_t j = 1; j < k; j++) m = z[j] > m ? (double)z[j] : m;
  for (int64_t j = 0; j < k; j++) s += exp(z[j] - m);
  return m + log(s);
}

/* logits, targets [N,K] -> [N] */
static __global__ void softmax_ce(const float *logits, const float *targets, float *out, int64_t n,
                                  int64_t k) {
  int64_t i = blockIdx.x * (int64_t)64 + threadIdx.x;
  if (i >= n) return;
  const float *z = logits + i * k, *t = targets + i * k;
  double lse = row_lse(z, k), loss = 0;
  for (int64_t j = 0; j < k; j++) loss += t[j] * (lse - z[j]);
  out[i] = (float)loss;
}

/* logits, targets [N,K], dy [N] -> [N,K] */
static __global__ void softmax_ce_dx(const float *logits, const float *targets, const float *dy,
                                     float *out, int64_t n, int64_t k) {
  int64_t i = blockIdx.x * (int64_t)64 + threadIdx.x;
  if (i >= n) return;
  const float *z = logits + i * k, *t = targets + i * k;
  double lse = row_lse(z, k), mass = 0;
  for (int64_t j = 0; j < k; j++) mass += t[j];
  for (int64_t j = 0; j < k; j++) out[i * k + j] = (float)(dy[i] * (exp(z[j] - lse) * mass - t[j]));
}

static unsigned rows_to_blocks(const DevStep *s) {
  return (unsigned)((s->shape[0].dim[0] + 63) / 64);
}

static Status launch_ce(const CudaCtx *c, const DevStep *s, Error *e) {
  LAUNCH(softmax_ce, rows_to_blocks(s), 64, 0, c->stream, (const float *)s->arg[0],
         (const float *)s->arg[1], (float *)s->out, s->shape[0].dim[0], s->shape[0].dim[1]);
  return cuda_check("softmax_ce", s, e);
}

static Status launch_ce_dx(const CudaCtx *c, const DevStep *s, Error *e) {
  LAUNCH(softmax_ce_dx, rows_to_blocks(s), 64, 0, c->stream, (const float *)s->arg[0],
         (const float *)s->arg[1], (const float *)s->arg[2], (float *)s->out, s->shape[0].dim[0],
         s->shape[0].dim[1]);
  return cuda_check("softmax_ce_dx", s, e);
}

CUDA_ROW(softmax_ce, launch_ce, NULL, NULL);
CUDA_ROW(softmax_ce_dx, launch_ce_dx, NULL, NULL);
