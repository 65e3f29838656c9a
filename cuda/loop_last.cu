/* loop_last.cu: fused loops over maps whose channels lie last (cuda/map.cuh): the same programs and
 * the same interpreter (cuda/pointwise.cuh), whose axes are n, y, x, channel then, so that a vector
 * is eight channels of a pixel. Sums (reduce.cu) take the axes from here, too. */
#include "cuda/map.cuh"
#include "cuda/pointwise.cuh"

/* iteration axis behind axis k of the loop: n, y, x outside, channels inside */
static const int last_axis[MAX_RANK] = {0, 2, 3, 1};
enum { LAST_INNER = 3 };

/* An argument that lies in planes, or is stretched. */
static void plane_strides(Shape s, int64_t *st) {
  int64_t step = 1;
  for (int i = 3; i >= 0; i--) {
    const int64_t n = s.rank == 0 ? 1 : s.dim[i];
    st[i] = n == 1 ? 0 : step;
    step *= n;
  }
}

static void last_argument(PwArg *x, const DevStep *s, int a, Shape shape) {
  int64_t st[4];
  plane_strides(shape, st);
  if (s->lies[a].last) {
    const MapView m = map_view(s->arg[a], s->targ[a], shape, s->lies[a]);
    x->p = m.data;
    st[0] = m.sn;
    st[1] = m.sc;
    st[2] = m.sy;
    st[3] = m.sx;
  }
  bool wide = st[1] == 1 && (uintptr_t)x->p % 16 == 0;
  for (int k = 0; k < LAST_INNER; k++) {
    x->stride[k] = (int32_t)st[last_axis[k]];
    wide = wide && x->stride[k] % PW_VEC == 0;
  }
  x->inner = (int32_t)st[1];
  x->mode = x->inner == 0 ? PW_ONE : wide ? PW_WIDE : PW_EACH;
}

bool pw_dev_last(PwDev *d, const DevStep *s) {
  const PwProgram *p = s->prog;
  if (!p || !cuda_lies_last(s)) return false;
  const Shape i = p->iter, o = p->out_shape;
  d->outer = LAST_INNER;
  d->inner = (uint32_t)i.dim[1];
  d->row = fast_div(i.dim[1] / PW_VEC);
  d->inner_summed = p->reduce && o.dim[1] == 1;
  d->summed = 0;
  d->nkept = d->nsum = 1;
  for (int k = 0; k < LAST_INNER; k++) {
    const int64_t n = i.dim[last_axis[k]];
    const bool summed = p->reduce && o.dim[last_axis[k]] == 1;
    d->dim[k] = fast_div(n);
    if (summed) d->summed |= 1u << k;
    *(summed ? &d->nsum : &d->nkept) *= n;
  }
  for (int a = 0; a < p->narg; a++) last_argument(&d->arg[a], s, a, p->arg_shape[a]);
  return true;
}

/* One vector per thread. The result may be the memory of an argument that lies like it: a thread
 * reads its own elements before it writes them. */
static __global__ void __launch_bounds__(256)
    pw_map_last(const __grid_constant__ PwDev d, const __grid_constant__ MapView out,
                const __grid_constant__ MapFrame frame, uint32_t nvec) {
  const uint32_t t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= nvec) return;
  PwPlace at = {{}, 0, PW_VEC, DYNAMIC_SHARED(float4), (int)threadIdx.x, (int)blockDim.x};
  const uint32_t row = div_by(t, d.row);
  float v[PW_VEC];
  at.col = (t - row * d.row.d) * PW_VEC;
  pw_coordinates(d, ~0u, row, at.idx);
  pw_eval(d, at, v);
  const int y = (int)at.idx[1], x = (int)at.idx[2];
  map_store(out, frame, map_at(out, at.idx[0], (int)at.col, y, x), at.idx[0], y, x, v);
}

Status pw_last_launch(const CudaCtx *c, const DevStep *s, const PwDev *d, Error *e) {
  const MapView out = map_view(s->out, s->tout, s->prog->out_shape, s->out_lies);
  const MapFrame frame = out.last ? map_frame(s->prog->out_shape, s->out_lies) : MapFrame{};
  const int threads = pw_threads(d);
  const int64_t nvec = d->nkept * (int64_t)d->row.d;
  LAUNCH(pw_map_last, (unsigned)cuda_ceil(nvec, threads), threads, pw_slot_bytes(d, threads),
         c->stream, *d, out, frame, (uint32_t)nvec);
  return cuda_check("pointwise", s, e);
}
