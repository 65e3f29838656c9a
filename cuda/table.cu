/* table.cu: which kernel belongs to which operation. */
#include "cuda/cuda.h"
#include "cuda/device.h"
#include "cuda/device_impl.h"

#define SET_ROW(name) row[OP_##name] = &cuda_##name;
struct Table {
  const CudaRow *row[OP_COUNT];
  Table() : row() {
    CUDA_ROWS(SET_ROW)
    row[OP_sum] = &cuda_pointwise;
    for (int op = 1; op < OP_COUNT; op++)
      if (op_table[op]->flags & OPF_POINTWISE) row[op] = &cuda_pointwise;
  }
};

const CudaRow *cuda_row(const DevStep *s) {
  static const Table table;
  return s->prog ? &cuda_pointwise : s->node.op < OP_COUNT ? table.row[s->node.op] : NULL;
}

CudaKind cuda_kind(const DevStep *s) {
  if (s->prog) return s->prog->nmore ? KIND_MULTI : s->prog->reduce ? KIND_SUM : KIND_LOOP;
  switch (s->node.op) {
    case OP_conv2d: return KIND_CONV;
    case OP_conv2d_dx: return KIND_CONV_DX;
    case OP_conv2d_dw: return KIND_CONV_DW;
    case OP_matmul: return KIND_MATMUL;
    case OP_upfirdn2d: return KIND_FILTER;
    case OP_warp:
    case OP_warp_t: return KIND_WARP;
    default: return KIND_OTHER;
  }
}

Status cuda_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  return c->rung[cuda_kind(s)] == RUNG_NAIVE ? cuda_naive_launch(c, s, e)
                                             : cuda_row(s)->launch(c, s, e);
}

size_t cuda_scratch(const CudaCtx *c, const DevStep *s) {
  const CudaRow *r = cuda_row(s);
  if (c->rung[cuda_kind(s)] == RUNG_NAIVE) return cuda_naive_scratch(s);
  return r && r->scratch ? r->scratch(c, s) : 0;
}

extern "C" int cuda_missing(const char **names, int max) {
  int n = 0;
  for (int op = 1; op < OP_COUNT; op++) {
    DevStep s = {};
    s.node.op = (uint16_t)op;
    const CudaRow *r = cuda_row(&s);
    bool none_needed = op_table[op]->flags & (OPF_LEAF | OPF_ALIAS);
    if (none_needed || (r && r->launch)) continue;
    if (n < max) names[n] = op_table[op]->name;
    n++;
  }
  return n;
}
