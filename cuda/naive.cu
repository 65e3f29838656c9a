/* naive.cu: see naive.h. Slow on purpose: nothing here is shared with the kernels that it judges
 * but the loads of a number and the formulas of the loops, which are written out once more. */
#include "cuda/naive.cuh"
extern "C" {
#include "core/conv.h"
}

/* A thread for each number. */
static __global__ void naive_map(const __grid_constant__ NaiveLoop l, NaiveOut o, int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS) {
    const float y = naive_value(l, i, 0);
    st_any(o.to, o.type, i, y);
    if (o.tol) o.tol[i] = 1e-5f * fabsf(y) + 1e-6f;
  }
}

/* A block for each sum: thread k adds the terms k, k + 128, ..; thread 0 adds the threads. */
static __global__ void naive_sum(const __grid_constant__ NaiveLoop l, NaiveOut o, int64_t terms) {
  SHARED2(double, part, 2, NAIVE_THREADS);
  const PwProgram &p = l.program;
  double sum = 0, squares = 0;
  for (int64_t k = threadIdx.x; k < terms; k += NAIVE_THREADS) {
    int64_t place = 0, out = blockIdx.x, term = k, step = 1;
    for (int r = p.iter.rank - 1; r >= 0; r--) {
      const bool summed = p.out_shape.dim[r] != p.iter.dim[r];
      int64_t &from = summed ? term : out;
      place += from % p.iter.dim[r] * step;
      from /= p.iter.dim[r];
      step *= p.iter.dim[r];
    }
    const double x = naive_value(l, place, 0);
    sum += x;
    squares += x * x;
  }
  part[0][threadIdx.x] = sum;
  part[1][threadIdx.x] = squares;
  __syncthreads();
  if (threadIdx.x) return;
  for (int k = 1; k < NAIVE_THREADS; k++) {
    sum += part[0][k];
    squares += part[1][k];
  }
  st_any(o.to, o.type, blockIdx.x, (float)sum);
  /* the terms themselves are float, with rounding of their own */
  if (o.tol)
    o.tol[blockIdx.x] =
        (float)(1e-5 * fabs(sum) + (NAIVE_SUM + NAIVE_SIGMAS * o.terms) * sqrt(squares) + 1e-30);
}

/* ---- convolutions ---- */
typedef struct NaiveConv {
  ConvGeom g;
  /* operands as in core/conv.h; scales of a and b, NULL: none */
  const void *a;
  const void *b;
  const float *scale_a;
  const float *scale_b;
  DType type_a;
  DType type_b;
  NaiveOperands operands;
} NaiveConv;

/* An operand of the product. */
static __device__ double naive_operand(const NaiveConv &q, float x) {
  switch (q.operands) {
    case NAIVE_F16: return naive_stored(DT_F16, x);
    case NAIVE_BF16: return naive_stored(DT_BF16, x);
    /* 10 bits of mantissa, halfway cases away from zero */
    case NAIVE_TF32: return __uint_as_float((__float_as_uint(x) + 0x1000u) & ~0x1fffu);
    default: return x;
  }
}

static __device__ double naive_weight_at(const NaiveConv &q, int64_t i) {
  return naive_operand(q, ((const float *)q.b)[i]);
}

/* x[n][ci][iy][ix], zero outside, times its scale. */
static __device__ double naive_pixel(const NaiveConv &q, int64_t n, int64_t ci, int64_t iy,
                                     int64_t ix) {
  const ConvGeom &g = q.g;
  if (iy < 0 || iy >= g.h || ix < 0 || ix >= g.w) return 0;
  const float s = q.scale_a ? q.scale_a[n * g.ci + ci] : 1;
  const float x = ld_any(q.a, q.type_a, ((n * g.ci + ci) * g.h + iy) * g.w + ix);
  return q.operands ? naive_operand(q, x * s) : (double)x * s;
}

static __device__ NaiveTerm naive_forward(const NaiveConv &q, int64_t i) {
  const ConvGeom &g = q.g;
  const int64_t ox = i % g.ow, oy = i / g.ow % g.oh, co = i / g.ow / g.oh % g.co,
                n = i / g.ow / g.oh / g.co;
  NaiveTerm t = {0, 0};
  for (int64_t ci = 0; ci < g.ci; ci++)
    for (int64_t ky = 0; ky < g.kh; ky++)
      for (int64_t kx = 0; kx < g.kw; kx++)
        naive_add(&t,
                  naive_pixel(q, n, ci, oy * g.stride + ky - g.pad, ox * g.stride + kx - g.pad) *
                      naive_weight_at(q, ((co * g.ci + ci) * g.kh + ky) * g.kw + kx));
  return t;
}

/* a: the gradient of the outputs. */
static __device__ NaiveTerm naive_adjoint(const NaiveConv &q, int64_t i) {
  const ConvGeom &g = q.g;
  const int64_t ix = i % g.w, iy = i / g.w % g.h, ci = i / g.w / g.h % g.ci,
                n = i / g.w / g.h / g.ci;
  NaiveTerm t = {0, 0};
  for (int64_t co = 0; co < g.co; co++)
    for (int64_t ky = 0; ky < g.kh; ky++)
      for (int64_t kx = 0; kx < g.kw; kx++) {
        const int64_t y = iy + g.pad - ky, x = ix + g.pad - kx, oy = y / g.stride,
                      ox = x / g.stride;
        if (y < 0 || x < 0 || y % g.stride || x % g.stride || oy >= g.oh || ox >= g.ow) continue;
        const float s = q.scale_a ? q.scale_a[n * g.co + co] : 1;
        const float v = ld_any(q.a, q.type_a, ((n * g.co + co) * g.oh + oy) * g.ow + ox);
        naive_add(&t, (q.operands ? naive_operand(q, v * s) : (double)v * s) *
                          naive_weight_at(q, ((co * g.ci + ci) * g.kh + ky) * g.kw + kx));
      }
  return t;
}

/* b: the gradient of the outputs. */
static __device__ NaiveTerm naive_weight(const NaiveConv &q, int64_t i) {
  const ConvGeom &g = q.g;
  const int64_t kx = i % g.kw, ky = i / g.kw % g.kh, ci = i / g.kw / g.kh % g.ci,
                co = i / g.kw / g.kh / g.ci;
  NaiveTerm t = {0, 0};
  for (int64_t n = 0; n < g.n; n++)
    for (int64_t oy = 0; oy < g.oh; oy++)
      for (int64_t ox = 0; ox < g.ow; ox++) {
        const float s = q.scale_b ? q.scale_b[n * g.co + co] : 1;
        naive_add(&t,
                  naive_pixel(q, n, ci, oy * g.stride + ky - g.pad, ox * g.stride + kx - g.pad) *
                      ld_any(q.b, q.type_b, ((n * g.co + co) * g.oh + oy) * g.ow + ox) * s);
      }
  return t;
}

static __global__ void naive_conv(const __grid_constant__ NaiveConv q,
                                  const __grid_constant__ NaiveLoop l, NaiveOut o, int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS) {
    const NaiveTerm t = q.g.kind == CONV_FWD  ? naive_forward(q, i)
                        : q.g.kind == CONV_DX ? naive_adjoint(q, i)
                                              : naive_weight(q, i);
    naive_store(o, l, i, t.sum, t.squares);
  }
}

static __global__ void naive_matmul(MatmulAttr m, const float *a, const float *b, NaiveLoop l,
                                    NaiveOut o) {
  const int64_t n = (int64_t)m.m * m.n;
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS) {
    const int64_t row = i / m.n, col = i % m.n;
    NaiveTerm t = {0, 0};
    for (int64_t k = 0; k < m.k; k++)
      naive_add(&t, (double)a[m.transpose_a ? k * m.m + row : row * m.k + k] *
                        b[m.transpose_b ? col * m.k + k : k * m.n + col]);
    naive_store(o, l, i, t.sum, t.squares);
  }
}

/* ---- a step as one of these ---- */
bool cuda_naive_has(const DevStep *s) {
  const int op = s->node.op;
  return s->prog || op == OP_conv2d || op == OP_conv2d_dx || op == OP_conv2d_dw ||
         op == OP_matmul || op == OP_upfirdn2d || op == OP_warp || op == OP_warp_t;
}

size_t cuda_naive_scratch(const DevStep *s) {
  return !s->prog && s->node.op == OP_warp_t ? (size_t)shape_numel(s->node.shape) * sizeof(double)
                                             : 0;
}

static NaiveLoop naive_loop_of(const DevStep *s) {
  NaiveLoop l = {};
  const PwProgram *p = s->prog ? s->prog : s->prog_store;
  const int first = s->prog ? 0 : MAX_IN;
  l.from = s->prog_store ? s->store_from : -1;
  if (!p) return l;
  l.program = *p;
  for (int k = 0; k < p->narg; k++) {
    l.arg[k] = s->arg[first + k];
    l.type[k] = s->targ[first + k];
  }
  return l;
}

static void naive_conv_launch(const CudaCtx *c, const DevStep *s, const NaiveLoop &l, NaiveOut o) {
  NaiveConv q = {conv_geom(&s->node), s->arg[0],  s->arg[1], NULL, NULL,
                 s->targ[0],          s->targ[1], o.operands};
  const bool dw = q.g.kind == CONV_DW;
  q.scale_a = s->nargs > (dw ? 2 : 3) ? (const float *)s->arg[dw ? 2 : 3] : NULL;
  q.scale_b = dw && s->nargs > 3 ? (const float *)s->arg[3] : NULL;
  const int64_t n = shape_numel(s->node.shape);
  LAUNCH(naive_conv, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream, q, l, o,
         n);
}

static void naive_loop_launch(const CudaCtx *c, const NaiveLoop &l, NaiveOut o) {
  const int64_t n = shape_numel(l.program.iter), out = shape_numel(l.program.out_shape);
  if (l.program.reduce)
    LAUNCH(naive_sum, dim3((unsigned)out), dim3(NAIVE_THREADS), 0, c->stream, l, o, n / out);
  else
    LAUNCH(naive_map, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream, l, o,
           n);
}

static float naive_unit(const CudaCtx *c, const DevStep *s) {
  const int op = s->node.op;
  if (s->prog || op == OP_upfirdn2d || op == OP_warp || op == OP_warp_t) return 0;
  if (s->targ[0] == DT_BF16 || (op == OP_conv2d_dw && s->targ[1] == DT_BF16)) return 0x1p-8f;
  return c->precision == PREC_STRICT ? 0 : 0x1p-11f;
}

Status naive_run(const CudaCtx *c, const DevStep *s, NaiveOut o, void *scratch, Error *e) {
  if (!cuda_naive_has(s))
    return err_set(e, ST_INVALID, "cuda: operation %s has no definition in cuda/naive.cu",
                   s->node.op < OP_COUNT && s->node.op ? op_table[s->node.op]->name : "?");
  const NaiveLoop l = naive_loop_of(s);
  if (!shape_numel(s->prog ? s->prog->out_shape : s->node.shape)) return ST_OK;
  o.unit = naive_unit(c, s);
  if (s->prog)
    naive_loop_launch(c, l, o);
  else if (s->node.op == OP_upfirdn2d)
    naive_filter_launch(c, s, l, o);
  else if (s->node.op == OP_warp || s->node.op == OP_warp_t)
    naive_warp_launch(c, s, l, o, scratch);
  else if (s->node.op == OP_matmul) {
    const MatmulAttr m = s->node.attr.matmul;
    LAUNCH(naive_matmul, dim3(blocks_for((int64_t)m.m * m.n, NAIVE_THREADS)), dim3(NAIVE_THREADS),
           0, c->stream, m, (const float *)s->arg[0], (const float *)s->arg[1], l, o);
  } else
    naive_conv_launch(c, s, l, o);
  return cuda_check("naive kernel", s, e);
}

/* Result r of a loop in a store: a sum of what is stored, or of `map`. */
static void naive_store_sum(DevStep *t, int r, const float *map, PwProgram *one) {
  const PwProgram *p = t->prog_store;
  *one = PwProgram{};
  one->narg = t->nargs = 1;
  one->result = -1;
  one->reduce = true;
  one->iter = one->arg_shape[0] = t->shape[0] = p->iter;
  one->out_shape = p->more[r - 1].shape;
  t->prog_store = NULL;
  t->prog = one;
  t->arg[0] = map ? map : t->out;
  t->targ[0] = map ? DT_F32 : t->tout;
  t->lies[0] = map ? MapLayout{} : t->out_lies;
}

int naive_results(const DevStep *s) {
  return 1 + (s->prog ? s->prog->nmore : s->prog_store ? s->prog_store->nmore : 0);
}

DevStep naive_single(const DevStep *s, int r, const float *map, PwProgram *one) {
  DevStep t = *s;
  if (s->prog)
    pw_single(s->prog, r, one);
  else if (r > 0 && shape_eq(s->prog_store->more[r - 1].shape, s->prog_store->iter)) {
    pw_single(s->prog_store, r, one);
    t.prog_store = one;
  } else if (r > 0)
    naive_store_sum(&t, r, map, one);
  if (s->prog) t.prog = one;
  if (r > 0) {
    t.out = s->more[r - 1];
    t.tout = s->tmore[r - 1];
    t.out_lies = s->more_lies[r - 1];
  }
  return t;
}

Status cuda_naive_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  for (int r = 0; r < naive_results(s); r++) {
    PwProgram one;
    const DevStep t = naive_single(s, r, NULL, &one);
    const NaiveOut o = {t.out, t.tout, NULL, 0, NAIVE_EXACT, 0};
    TRY(naive_run(c, &t, o, t.scratch, e));
  }
  return ST_OK;
}
