/* layout.cu: which steps take a map with its channels last (Backend.channels_last), and how it lies
 * for the kernels (cuda/map.cuh). */
#include <stdlib.h>
#include <string.h>
#include "cuda/device_impl.h"
#include "cuda/map.cuh"

MapView map_view(const void *p, DType t, Shape s, MapLayout l) {
  const int64_t c = s.dim[1], h = s.dim[2] + l.edge, w = s.dim[3] + l.side;
  if (!l.last)
    return MapView{(void *)p, (int32_t)t, false, c * h * w, (int32_t)(h * w), (int32_t)w, 1};
  char *first = p ? (char *)p + map_row(s, l, 0, 0) * 2 : NULL;
  return MapView{first, (int32_t)t, true, c * h * w, 1, (int32_t)(w * c), (int32_t)c};
}

MapFrame map_frame(Shape s, MapLayout l) {
  const int chunks = (int)(s.dim[1] / MAP_CHUNK);
  return MapFrame{(int)s.dim[2], (int)s.dim[3], l.edge, l.side, (int)(s.dim[3] + l.side) * chunks,
                  chunks};
}

bool cuda_lies_last(const DevStep *s) {
  bool last = s->out_lies.last;
  for (int i = 0; i < PW_MAX_MORE; i++) last = last || s->more_lies[i].last;
  for (int i = 0; i < s->nargs; i++) last = last || s->lies[i].last;
  return last;
}

static Shape layout_shape(const DevStep *s, int slot) {
  const PwProgram *p = s->prog ? s->prog : s->prog_store;
  return slot >= 0       ? s->shape[slot]
         : slot < -1     ? p->more[-2 - slot].shape
         : s->prog       ? s->prog->out_shape
         : s->prog_store ? s->prog_store->out_shape
                         : s->node.shape;
}

int64_t cuda_last_most(const DevStep *s) {
  int64_t most = map_numel(layout_shape(s, -1), s->out_lies);
  for (int i = 0; i < s->nargs; i++)
    if (s->lies[i].last) most = PRLX_MAX(most, map_numel(s->shape[i], s->lies[i]));
  return most;
}

/* A loop walks n, y, x, channel then: maps of its iteration's own shape. A sum may not keep both
 * channels and pixels, which its result has the other way round. */
static bool loop_last(const DevStep *s, int slot) {
  const PwProgram *p = s->prog;
  const Shape i = p->iter, o = p->out_shape;
  if (i.rank != 4) return false;
  if (slot >= 0) {
    const bool keeps_pixels = (o.dim[2] > 1 || o.dim[3] > 1), keeps_channels = o.dim[1] > 1;
    return shape_eq(p->arg_shape[slot], i) && !(p->reduce && keeps_pixels && keeps_channels);
  }
  return !p->reduce;
}

/* PRLX_CUDA_LAYOUT: planes, last; tests and measurements of either on any shape. Anything else is
 * as if it were not there: the command line refuses it (tools/cli/environment.c). */
static int layout_forced(void) {
  const char *force = getenv("PRLX_CUDA_LAYOUT");
  if (force && !strcmp(force, "planes")) return LAST_NO;
  return force && !strcmp(force, "last") ? LAST_MUST : LAST_MAY;
}

int cuda_channels_last(const CudaCtx *c, const DevStep *s, int slot, MapLayout *margin) {
  const Shape shape = layout_shape(s, slot);
  const DType t = slot < -1 ? s->tmore[-2 - slot] : slot < 0 ? s->tout : s->targ[slot];
  const CudaKind kind = cuda_kind(s);
  bool may = (t == DT_F16 || t == DT_BF16) && shape.rank == 4 && shape.dim[1] % MAP_CHUNK == 0 &&
             c->rung[kind] == RUNG_FAST && !c->planes && shape_numel(shape) > 0;
  if (!may) return LAST_NO;
  switch (kind) {
    case KIND_LOOP:
    case KIND_SUM: may = loop_last(s, slot); break;
    /* made of loops whose maps lie so already: see cuda_multi_can */
    case KIND_MULTI: may = shape_eq(shape, s->prog->iter); break;
    case KIND_CONV:
    case KIND_CONV_DX:
    case KIND_CONV_DW: may = cuda_conv_last(c, s, slot, margin); break;
    case KIND_FILTER:
      may = cuda_filter_last(s) && (slot < MAX_IN || shape_eq(shape, s->node.shape));
      break;
    default: may = false;
  }
  return may ? layout_forced() : LAST_NO;
}
