/* upfirdn_store.cu: a filter of four taps with a loop in its store: the mask of an activation
 * behind the filter of a gradient, or demodulation, noise, bias and activation behind that of an
 * upsampling layer, on the numbers while they are in registers. Besides, what is stored may be
 * summed over the pixels, of each image or of all: each thread leaves the sum of its 4 to 32
 * results in scratch, a second kernel adds these in order. How threads are cut does not depend on
 * the card then. */
#include "cuda/upfirdn.cuh"

enum { FIR_CARD = 132, FIR_ADD_THREADS = 256 };

/* partial: [planes][chunks][pairs], NULL: no sum */
typedef struct FirStore {
  void *out;
  int tout;
  double *partial;
} FirStore;

/* Argument g for the two by two results at image n, channel c, row y, column x; those that do not
 * exist are not read. */
static __device__ __forceinline__ void fir_argument(const ChainArg &g, int64_t n, int64_t c, int y,
                                                    int x, bool right, bool below, float *w) {
  const int64_t at = n * g.sn + c * g.sc + (int64_t)y * g.sy + (int64_t)x * g.sx;
  w[0] = w[1] = w[2] = w[3] = load_as(g.p, g.type, at);
  if (g.sx == 0 && g.sy == 0) return;
  if (right) w[1] = load_as(g.p, g.type, at + g.sx);
  if (below) w[2] = load_as(g.p, g.type, at + g.sy);
  if (right && below) w[3] = load_as(g.p, g.type, at + g.sy + g.sx);
}

static __device__ __forceinline__ void fir_put(void *out, int type, int64_t at, int width,
                                               bool right, bool below, const float *v) {
  store_as(out, type, at, v[0]);
  if (right) store_as(out, type, at + 1, v[1]);
  if (below) store_as(out, type, at + width, v[2]);
  if (right && below) store_as(out, type, at + width + 1, v[3]);
}

/* at: the place of the first of them in a map, rows of `width`. */
static __device__ __forceinline__ void fir_chain(const Chain &chain, int64_t n, int64_t c, int y,
                                                 int x, int64_t at, int width, bool right,
                                                 bool below, float *v) {
  for (int k = 0, t = 0;; k++) {
    for (; t < chain.ntap && chain.tap[t].at == k; t++)
      fir_put(chain.tap[t].to.data, chain.tap[t].to.type, at, width, right, below, v);
    if (k && k == chain.stored_at) stored_as<4>(chain.stored_as, v);
    if (k == chain.nop) break;
    const ChainOp &o = chain.op[k];
    const int arg = o.a >= 0 ? o.a : o.b;
    float w[4] = {0, 0, 0, 0};
    if (arg >= 0) fir_argument(chain.arg[arg], n, c, y, x, right, below, w);
    if (arg < 0)
      chain_op<4>(o, v, v, v);
    else if (o.a >= 0)
      chain_op<4>(o, w, v, v);
    else
      chain_op<4>(o, v, w, v);
  }
}

template <typename T, int UP, int DOWN>
__global__ void __launch_bounds__(128, 6)
    fir4_store(const T *x, const float *f, FirStore s, Fir p, const __grid_constant__ Chain chain) {
  const unsigned i = blockIdx.x * 128u + threadIdx.x;
  if (i >= p.total) return;
  double sum = 0;
  fir4_walk<T, UP, DOWN>(x, f, p, i, [&](int64_t plane, int m, int j, float *v) {
    const int64_t n = plane / p.channels, c = plane - n * p.channels,
                  at = (plane * p.oh + 2 * m) * p.ow + 2 * j;
    const bool right = 2 * j + 1 < p.ow, below = 2 * m + 1 < p.oh;
    fir_chain(chain, n, c, 2 * m, 2 * j, at, p.ow, right, below, v);
    fir_put(s.out, s.tout, at, p.ow, right, below, v);
    sum +=
        (double)((v[0] + (right ? v[1] : 0)) + ((below ? v[2] : 0) + (right && below ? v[3] : 0)));
  });
  if (s.partial) s.partial[i] = sum;
}

/* out[o] = sum of count * per numbers: those per of plane o, o + outputs, .., all in order. A block
 * for each output. */
static __global__ void __launch_bounds__(FIR_ADD_THREADS)
    fir_add(const double *partial, void *out, int tout, unsigned outputs, unsigned count,
            unsigned per) {
  SHARED(double, warp_sum, FIR_ADD_THREADS / 32);
  const unsigned o = blockIdx.x, terms = count * per;
  double sum = 0;
  for (unsigned t = threadIdx.x; t < terms; t += FIR_ADD_THREADS) {
    const unsigned k = t / per;
    sum += partial[((size_t)k * outputs + o) * per + (t - k * per)];
  }
  for (int k = 16; k; k >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, k);
  if ((threadIdx.x & 31) == 0) warp_sum[threadIdx.x >> 5] = sum;
  __syncthreads();
  if (threadIdx.x) return;
  for (int k = 1; k < FIR_ADD_THREADS / 32; k++) sum += warp_sum[k];
  store_as(out, tout, o, (float)sum);
}

/* ---- host ---- */

int fir_sum(const PwProgram *p) {
  int at = -1;
  for (int r = 0; r < p->nmore; r++)
    if (!shape_eq(p->more[r].shape, p->iter)) at = r;
  return at;
}

/* A sum that the store can make: of what is stored, over the pixels, or images and pixels. It is
 * the last further result. */
static bool fir_sum_fits(const PwProgram *p) {
  const int at = fir_sum(p);
  const Shape s = p->more[at].shape, all = p->iter;
  return at == p->nmore - 1 && p->more[at].result == p->result && s.rank == 4 &&
         (s.dim[0] == 1 || s.dim[0] == all.dim[0]) && s.dim[1] == all.dim[1] && s.dim[2] == 1 &&
         s.dim[3] == 1;
}

bool fir_chain_of(const DevStep *s, const PwProgram *p, int from, const DevStep *bound,
                  Chain *chain) {
  PwProgram maps = *p;
  if (fir_sum(p) >= 0) maps.nmore--;
  if (p->from.image == PW_INPUT) maps.from.image = 0;
  if (!conv_chain(&maps, from, &s->node, bound, chain)) return false;
  if (p->from.image == PW_INPUT && bound)
    chain->from =
        ChainFrom{(const float *)bound->arg[MAX_IN + p->from.weights],
                  (const float *)bound->arg[MAX_IN + p->from.bias], p->from.stored_as, p->from.act};
  return true;
}

/* What a filter reads may be made of an image where it halves the sides, with nothing in its
 * store. */
static bool fir_made_fits(const DevStep *s, const PwProgram *p, const Fir *f) {
  return s->out_lies.last && s->targ[0] == DT_F32 && !p->nop && !p->nmore && f->downx == 2;
}

bool cuda_filter_can_store(const DevStep *s, const PwProgram *p, int store_from) {
  Fir f = fir_of(s);
  Chain chain;
  if (p->from.image == PW_INPUT && !fir_made_fits(s, p, &f)) return false;
  return !p->unstored && !p->up.map && s->node.shape.rank == 4 && MAX_IN + p->narg <= PW_MAX_ARGS &&
         fir_is_four(s, &f) && (fir_sum(p) < 0 || fir_sum_fits(p)) &&
         fir_chain_of(s, p, store_from, NULL, &chain);
}

size_t fir_store_scratch(const DevStep *s) {
  Fir p = fir_of(s);
  if (cuda_lies_last(s)) return filter_last_scratch(s);
  if (!s->prog_store || fir_sum(s->prog_store) < 0 || shape_numel(s->node.shape) == 0 ||
      !fir_cut(&p, s->shape[0].dim[0] * s->shape[0].dim[1], FIR_CARD))
    return 0;
  return (size_t)p.total * sizeof(double);
}

static Status fir_sum_launch(const CudaCtx *c, const DevStep *s, const Fir *p, Error *e) {
  const int at = fir_sum(s->prog_store);
  const Shape shape = s->prog_store->more[at].shape;
  const int64_t outputs = shape_numel(shape), planes = s->shape[0].dim[0] * s->shape[0].dim[1];
  LAUNCH(fir_add, (unsigned)outputs, FIR_ADD_THREADS, 0, c->stream, (const double *)s->scratch,
         s->more[at], (int)s->tmore[at], (unsigned)outputs, (unsigned)(planes / outputs),
         p->chunks * p->pairs);
  return cuda_check("upfirdn2d", s, e);
}

Status fir_store_launch(const CudaCtx *c, const DevStep *s, Fir p, Error *e) {
  const int64_t planes = s->shape[0].dim[0] * s->shape[0].dim[1];
  const bool sum = fir_sum(s->prog_store) >= 0;
  const FirStore to = {s->out, (int)s->tout, sum ? (double *)s->scratch : NULL};
  Chain chain;
  if (!fir_chain_of(s, s->prog_store, s->store_from, s, &chain))
    return err_set(e, ST_INTERNAL, "cuda upfirdn2d: a loop that cannot run in the store");
  if (!fir_cut(&p, planes, FIR_CARD))
    return err_set(e, ST_INVALID,
                   "cuda upfirdn2d: %lld planes of %dx%d are too many for one launch",
                   (long long)planes, p.oh, p.ow);
  DISPATCH(s->targ[0], T, {
    auto k = p.upx == 2     ? fir4_store<T, 2, 1>
             : p.downx == 2 ? fir4_store<T, 1, 2>
                            : fir4_store<T, 1, 1>;
    LAUNCH(k, blocks_for(p.total, 128), 128, 0, c->stream, (const T *)s->arg[0],
           (const float *)s->arg[1], to, p, chain);
  });
  TRY(cuda_check("upfirdn2d", s, e));
  return sum ? fir_sum_launch(c, s, &p, e) : ST_OK;
}
