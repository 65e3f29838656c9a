/* shape.cu: operations that move values without arithmetic. Each output element is gathered from
 * where it comes from, so nothing needs clearing and the adjoint of reflect_pad adds in the CPU's
 * order. Runs of 16 bytes go as one access where shapes, strides and types allow; everything else
 * number by number, converting between storage types where they differ. Cost: the bytes read and
 * written. */
#include <string.h>
#include "cuda/index.cuh"

enum { SHAPE_THREADS = 256 };

static __device__ __forceinline__ uint32_t unit_index() {
  return blockIdx.x * (uint32_t)SHAPE_THREADS + threadIdx.x;
}

/* Units are 16 bytes (wide) or one number. */
typedef struct Operand {
  const void *p;
  DType type;
} Operand;
static __device__ __forceinline__ void move_unit(bool wide, void *out, DType tout, uint32_t to,
                                                 const Operand &in, uint32_t from) {
  if (wide)
    ((uint4 *)out)[to] = ((const uint4 *)in.p)[from];
  else
    st_any(out, tout, to, ld_any(in.p, in.type, from));
}

static __device__ __forceinline__ void clear_unit(bool wide, void *out, DType tout, uint32_t to) {
  if (wide)
    ((uint4 *)out)[to] = make_uint4(0, 0, 0, 0);
  else
    st_any(out, tout, to, 0);
}

static void row_major(Shape s, int64_t *st) {
  int64_t step = 1;
  for (int i = s.rank - 1; i >= 0; i--) {
    st[i] = step;
    step *= s.dim[i];
  }
}

static Operand shape_operand(const DevStep *s, int k) { return Operand{s->arg[k], s->targ[k]}; }
static bool shape_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }
static int units_per(const DevStep *s) { return 16 / (int)dtype_size(s->tout); }
static unsigned unit_blocks(int64_t n) { return (unsigned)cuda_ceil(n, SHAPE_THREADS); }
static bool any_type(const DevStep *, int, DType) { return true; }
static bool too_large(const DevStep *s) {
  for (int k = 0; k < s->nargs; k++)
    if (!cuda_fits32(shape_numel(s->shape[k]))) return true;
  return !cuda_fits32(shape_numel(s->node.shape));
}

/* ---- permute, slice, flip: out[idx] = in[base + sum idx*ss] ---- */
typedef struct Strided {
  int rank;
  bool wide;
  FastDiv dim[MAX_RANK];
  int32_t ss[MAX_RANK];
  int32_t base;
} Strided;

static __global__ void __launch_bounds__(SHAPE_THREADS)
    strided(Strided q, Operand in, void *out, DType tout, uint32_t n) {
  const uint32_t t = unit_index();
  uint32_t left = t;
  int32_t from = q.base;
  if (t >= n) return;
#pragma unroll
  for (int r = MAX_RANK - 1; r >= 0; r--) {
    if (r >= q.rank) continue;
    const uint32_t up = div_by(left, q.dim[r]);
    from += (int32_t)(left - up * q.dim[r].d) * q.ss[r];
    left = up;
  }
  move_unit(q.wide, out, tout, t, in, (uint32_t)from);
}

static Status strided_launch(const CudaCtx *c, const DevStep *s, int64_t base, const int64_t *ss,
                             Error *e) {
  const Shape o = s->node.shape;
  const char *name = op_table[s->node.op]->name;
  int64_t dim[MAX_RANK] = {1}, st[MAX_RANK] = {0}, n = shape_numel(o);
  int rank = 0;
  if (n == 0) return ST_OK;
  if (too_large(s)) return cuda_too_large(name, e);
  /* axes that are one run of the source are one axis */
  for (int i = 0; i < o.rank; i++) {
    if (o.dim[i] == 1) continue;
    if (rank && st[rank - 1] == ss[i] * o.dim[i])
      dim[rank - 1] *= o.dim[i];
    else
      dim[rank++] = o.dim[i];
    st[rank - 1] = ss[i];
  }
  const int w = units_per(s), last = PRLX_MAX(rank, 1) - 1;
  Strided q = {};
  q.wide = s->targ[0] == s->tout && shape_aligned(s->out) && shape_aligned(s->arg[0]) &&
           st[last] == 1 && dim[last] % w == 0 && base % w == 0;
  for (int i = 0; i < last; i++) q.wide = q.wide && st[i] % w == 0;
  if (q.wide) {
    for (int i = 0; i < last; i++) st[i] /= w;
    dim[last] /= w;
    base /= w;
    n /= w;
  }
  q.rank = PRLX_MAX(rank, 1);
  q.base = (int32_t)base;
  for (int i = 0; i < q.rank; i++) {
    q.dim[i] = fast_div(dim[i]);
    q.ss[i] = (int32_t)st[i];
  }
  LAUNCH(strided, unit_blocks(n), SHAPE_THREADS, 0, c->stream, q, shape_operand(s, 0), s->out,
         s->tout, (uint32_t)n);
  return cuda_check(name, s, e);
}

static Status permute_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  int64_t in[MAX_RANK], ss[MAX_RANK];
  row_major(s->shape[0], in);
  for (int k = 0; k < s->node.shape.rank; k++) ss[k] = in[s->node.attr.permute.axis[k]];
  return strided_launch(c, s, 0, ss, e);
}

static Status slice_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  int64_t ss[MAX_RANK];
  row_major(s->shape[0], ss);
  const SliceAttr *a = &s->node.attr.slice;
  const int64_t base = a->start * ss[a->axis];
  ss[a->axis] *= a->step;
  return strided_launch(c, s, base, ss, e);
}

static Status flip_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  int64_t ss[MAX_RANK], base = 0;
  row_major(s->shape[0], ss);
  for (int i = 0; i < s->node.shape.rank; i++)
    if (s->node.attr.axes.mask >> i & 1) {
      base += (s->node.shape.dim[i] - 1) * ss[i];
      ss[i] = -ss[i];
    }
  return strided_launch(c, s, base, ss, e);
}

/* ---- pad, concat, roll along one axis: out [outer, size, inner] ---- */
typedef enum { ALONG_PAD, ALONG_CONCAT, ALONG_ROLL } AlongKind;
/* n0, n1: size of the axis in the operands. */
typedef struct Along {
  AlongKind kind;
  bool wide;
  FastDiv inner;
  FastDiv size;
  FastDiv step;
  uint32_t n0;
  uint32_t n1;
  int32_t shift;
} Along;

static __global__ void __launch_bounds__(SHAPE_THREADS)
    along(Along q, Operand in0, Operand in1, void *out, DType tout, uint32_t n) {
  const uint32_t t = unit_index();
  if (t >= n) return;
  const uint32_t row = div_by(t, q.inner), i = t - row * q.inner.d, outer = div_by(row, q.size),
                 k = row - outer * q.size.d;
  if (q.kind == ALONG_CONCAT) {
    if (k < q.n0)
      move_unit(q.wide, out, tout, t, in0, (outer * q.n0 + k) * q.inner.d + i);
    else
      move_unit(q.wide, out, tout, t, in1, (outer * q.n1 + k - q.n0) * q.inner.d + i);
  } else if (q.kind == ALONG_ROLL) {
    const uint32_t from =
        k >= (uint32_t)q.shift ? k - (uint32_t)q.shift : k + q.size.d - (uint32_t)q.shift;
    move_unit(q.wide, out, tout, t, in0, (outer * q.n0 + from) * q.inner.d + i);
  } else {
    const int32_t at = (int32_t)k - q.shift;
    const uint32_t from = at < 0 ? q.n0 : div_by((uint32_t)at, q.step);
    if (from < q.n0 && from * q.step.d == (uint32_t)at)
      move_unit(q.wide, out, tout, t, in0, (outer * q.n0 + from) * q.inner.d + i);
    else
      clear_unit(q.wide, out, tout, t);
  }
}

static Status along_launch(const CudaCtx *c, const DevStep *s, AlongKind kind, int axis,
                           int64_t shift, int64_t step, Error *e) {
  const Shape o = s->node.shape;
  const char *name = op_table[s->node.op]->name;
  const int two = kind == ALONG_CONCAT, w = units_per(s);
  int64_t inner = 1, n = shape_numel(o);
  if (n == 0) return ST_OK;
  if (too_large(s)) return cuda_too_large(name, e);
  for (int i = axis + 1; i < o.rank; i++) inner *= o.dim[i];
  Along q = {};
  q.kind = kind;
  q.wide = inner % w == 0 && shape_aligned(s->out);
  for (int k = 0; k <= two; k++)
    q.wide = q.wide && s->targ[k] == s->tout && shape_aligned(s->arg[k]);
  if (q.wide) {
    inner /= w;
    n /= w;
  }
  q.inner = fast_div(inner);
  q.size = fast_div(o.dim[axis]);
  q.step = fast_div(step);
  q.n0 = (uint32_t)s->shape[0].dim[axis];
  q.n1 = two ? (uint32_t)s->shape[1].dim[axis] : 0;
  q.shift = (int32_t)shift;
  LAUNCH(along, unit_blocks(n), SHAPE_THREADS, 0, c->stream, q, shape_operand(s, 0),
         shape_operand(s, two), s->out, s->tout, (uint32_t)n);
  return cuda_check(name, s, e);
}

static Status pad_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  const PadAttr *a = &s->node.attr.pad;
  return along_launch(c, s, ALONG_PAD, a->axis, a->before, a->step, e);
}

static Status concat_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  return along_launch(c, s, ALONG_CONCAT, s->node.attr.concat.axis, 0, 1, e);
}

static Status roll_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  const RollAttr *a = &s->node.attr.roll;
  return along_launch(c, s, ALONG_ROLL, a->axis, a->shift, 1, e);
}

/* ---- reflect padding (edge not repeated) and its adjoint ---- */
/* w, h: of the output; bw, bh: of the other operand */
typedef struct Reflect {
  FastDiv w;
  FastDiv h;
  int32_t bw;
  int32_t bh;
  int32_t x0;
  int32_t y0;
} Reflect;

static __device__ __forceinline__ int32_t shape_mirror(int32_t k, int32_t n) {
  return k < 0 ? -k : k >= n ? 2 * n - 2 - k : k;
}

static __global__ void __launch_bounds__(SHAPE_THREADS)
    reflect(Reflect q, Operand in, void *out, DType tout, uint32_t n) {
  const uint32_t t = unit_index();
  if (t >= n) return;
  const uint32_t row = div_by(t, q.w), c = t - row * q.w.d, plane = div_by(row, q.h),
                 r = row - plane * q.h.d;
  const int32_t y = shape_mirror((int32_t)r - q.y0, q.bh),
                x = shape_mirror((int32_t)c - q.x0, q.bw);
  st_any(out, tout, t, ld_any(in.p, in.type, ((int64_t)plane * q.bh + y) * q.bw + x));
}

/* The places of the padded axis (length big) that mirror to k of n, ascending: before the start,
 * itself, beyond the end. */
static __device__ __forceinline__ int mirrored_from(int32_t k, int32_t n, int32_t before,
                                                    int32_t big, int32_t *from) {
  int count = 0;
  if (k > 0 && k <= before) from[count++] = before - k;
  from[count++] = before + k;
  const int32_t beyond = before + 2 * (n - 1) - k;
  if (k < n - 1 && beyond < big) from[count++] = beyond;
  return count;
}

static __global__ void __launch_bounds__(SHAPE_THREADS)
    reflect_t(Reflect q, Operand in, void *out, DType tout, uint32_t n) {
  const uint32_t t = unit_index();
  if (t >= n) return;
  const uint32_t row = div_by(t, q.w), c = t - row * q.w.d, plane = div_by(row, q.h),
                 r = row - plane * q.h.d;
  int32_t y[3], x[3];
  const int ny = mirrored_from((int32_t)r, (int32_t)q.h.d, q.y0, q.bh, y),
            nx = mirrored_from((int32_t)c, (int32_t)q.w.d, q.x0, q.bw, x);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 3; i++) {
#pragma unroll
    for (int j = 0; j < 3; j++)
      if (i < ny && j < nx)
        sum += ld_any(in.p, in.type, ((int64_t)plane * q.bh + y[i]) * q.bw + x[j]);
  }
  st_any(out, tout, t, sum);
}

static Status reflect_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  const Shape o = s->node.shape, in = s->shape[0];
  const int64_t n = shape_numel(o);
  const bool adjoint = s->node.op == OP_reflect_pad_t;
  if (n == 0) return ST_OK;
  if (too_large(s)) return cuda_too_large(op_table[s->node.op]->name, e);
  const Reflect q = {fast_div(o.dim[3]), fast_div(o.dim[2]),        (int32_t)in.dim[3],
                     (int32_t)in.dim[2], s->node.attr.reflect.left, s->node.attr.reflect.top};
  auto k = adjoint ? reflect_t : reflect;
  LAUNCH(k, unit_blocks(n), SHAPE_THREADS, 0, c->stream, q, shape_operand(s, 0), s->out, s->tout,
         (uint32_t)n);
  return cuda_check(op_table[s->node.op]->name, s, e);
}

CUDA_ROW(permute, permute_launch, NULL, any_type);
CUDA_ROW(slice, slice_launch, NULL, any_type);
CUDA_ROW(flip, flip_launch, NULL, any_type);
CUDA_ROW(pad, pad_launch, NULL, any_type);
CUDA_ROW(concat, concat_launch, NULL, any_type);
CUDA_ROW(roll, roll_launch, NULL, any_type);
CUDA_ROW(reflect_pad, reflect_launch, NULL, any_type);
CUDA_ROW(reflect_pad_t, reflect_launch, NULL, any_type);
