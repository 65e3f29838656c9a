/* op_shape.c: operations that move values without arithmetic. Permute, slice, flip, pad, concat and
 * roll are all one strided copy. */
#include <string.h>
#include "core/ops.h"
#include "core/threads.h"

/* ---- strided copy: dst[sum idx*ds] = src[sum idx*ss] for every index of `dim` ---- */
typedef struct Copy {
  int rank;
  int64_t dim[MAX_RANK];
  int64_t ss[MAX_RANK];
  int64_t ds[MAX_RANK];
  const real *src;
  real *dst;
  int64_t rows;
  int64_t rows_per_task;
} Copy;

static void copy_row(const Copy *c, const real *s, real *d) {
  int last = c->rank - 1;
  int64_t n = c->dim[last], a = c->ss[last], b = c->ds[last];
  if (a == 1 && b == 1)
    memcpy(d, s, (size_t)n * sizeof(real));
  else if (b == 1)
    for (int64_t i = 0; i < n; i++) d[i] = s[i * a];
  else
    for (int64_t i = 0; i < n; i++) d[i * b] = s[i * a];
}

static void copy_task(void *ctx, int64_t task, int worker) {
  const Copy *c = ctx;
  int64_t hi = PRLX_MIN((task + 1) * c->rows_per_task, c->rows);
  for (int64_t row = task * c->rows_per_task; row < hi; row++) {
    int64_t rem = row, so = 0, dof = 0;
    for (int i = c->rank - 2; i >= 0; i--) {
      int64_t k = rem % c->dim[i];
      rem /= c->dim[i];
      so += k * c->ss[i];
      dof += k * c->ds[i];
    }
    copy_row(c, c->src + so, c->dst + dof);
  }
}

static void strided_copy(int rank, const int64_t *dim, const real *src, const int64_t *ss,
                         real *dst, const int64_t *ds) {
  Copy c = {.src = src, .dst = dst};
  for (int i = 0; i < rank; i++) {
    if (dim[i] == 1) continue;
    if (c.rank && c.ss[c.rank - 1] == ss[i] * dim[i] && c.ds[c.rank - 1] == ds[i] * dim[i])
      c.dim[c.rank - 1] *= dim[i];
    else
      c.dim[c.rank++] = dim[i];
    c.ss[c.rank - 1] = ss[i];
    c.ds[c.rank - 1] = ds[i];
  }
  if (c.rank == 0) {
    c.rank = 1;
    c.dim[0] = 1;
  }
  c.rows = 1;
  for (int i = 0; i < c.rank - 1; i++) c.rows *= c.dim[i];
  c.rows_per_task = PRLX_MAX(1, 16384 / c.dim[c.rank - 1]);
  par_for((c.rows + c.rows_per_task - 1) / c.rows_per_task, copy_task, &c);
}

static void row_major(Shape s, int64_t *st) {
  int64_t step = 1;
  for (int i = s.rank - 1; i >= 0; i--) {
    st[i] = step;
    step *= s.dim[i];
  }
}

/* ---- reshape ---- */
static void reshape_shape(Graph *g, const Shape *in, Node *n) {
  char a[96], b[96];
  n->shape.rank = n->attr.shape.rank;
  for (int i = 0; i < n->shape.rank; i++) n->shape.dim[i] = n->attr.shape.dim[i];
  if (shape_numel(in[0]) != shape_numel(n->shape))
    graph_fail(g, ST_INTERNAL, "reshape: %s to %s", shape_str(in[0], a), shape_str(n->shape, b));
}

Val g_reshape(Graph *g, Val x, Shape s) {
  if (x && shape_eq(graph_shape(g, x), s)) return x;
  const Node *n = graph_node(g, x);
  if (x && n->op == OP_reshape && !(n->flags & NODE_DETACHED)) return g_reshape(g, n->in[0], s);
  Attr a = {.shape = {.rank = s.rank}};
  for (int i = 0; i < s.rank; i++) a.shape.dim[i] = (int32_t)s.dim[i];
  return g_op(g, OP_reshape, 1, &x, &a);
}

static void reshape_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_reshape(g, dy, graph_shape(g, n->in[0]));
}

static void reshape_cpu(const Exec *x) {
  if (x->out != x->in[0])
    memcpy(x->out, x->in[0], (size_t)shape_numel(x->node->shape) * sizeof(real));
}

const OpRow op_reshape = {.name = "reshape",
                          .flags = OPF_ALIAS,
                          .order = ORDER_ANY,
                          .attr_bytes = sizeof(ShapeAttr),
                          .shape = reshape_shape,
                          .grad = reshape_grad,
                          .cpu = reshape_cpu};

/* ---- permute: out axis k = in axis attr.permute.axis[k] ---- */
static void permute_shape(Graph *g, const Shape *in, Node *n) {
  unsigned seen = 0;
  n->shape.rank = in[0].rank;
  for (int k = 0; k < in[0].rank; k++) {
    unsigned axis = (unsigned)n->attr.permute.axis[k];
    if (axis >= (unsigned)in[0].rank || seen >> axis & 1) {
      graph_fail(g, ST_INTERNAL, "permute: axes are not a permutation");
      return;
    }
    seen |= 1u << axis;
    n->shape.dim[k] = in[0].dim[axis];
  }
}

Val g_permute(Graph *g, Val x, const int *axes) {
  Attr a = {.permute = {{0}}};
  for (int k = 0; k < graph_shape(g, x).rank; k++) a.permute.axis[k] = axes[k];
  return g_op(g, OP_permute, 1, &x, &a);
}

static void permute_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  int inv[MAX_RANK] = {0};
  for (int k = 0; k < n->shape.rank; k++) inv[n->attr.permute.axis[k]] = k;
  dx[0] = g_permute(g, dy, inv);
}

static void permute_cpu(const Exec *x) {
  int64_t in[MAX_RANK], ss[MAX_RANK], ds[MAX_RANK];
  row_major(x->ins[0], in);
  row_major(x->node->shape, ds);
  for (int k = 0; k < x->node->shape.rank; k++) ss[k] = in[x->node->attr.permute.axis[k]];
  strided_copy(x->node->shape.rank, x->node->shape.dim, x->in[0], ss, x->out, ds);
}

const OpRow op_permute = {.name = "permute",
                          .order = ORDER_ANY,
                          .attr_bytes = sizeof(PermuteAttr),
                          .shape = permute_shape,
                          .grad = permute_grad,
                          .cpu = permute_cpu};

/* ---- slice and pad ---- */
static void slice_shape(Graph *g, const Shape *in, Node *n) {
  int axis = n->attr.slice.axis;
  int64_t start = n->attr.slice.start, len = n->attr.slice.length, step = n->attr.slice.step;
  n->shape = in[0];
  if (axis < 0 || axis >= in[0].rank || start < 0 || len < 1 || step < 1 ||
      start + (len - 1) * step >= in[0].dim[axis])
    graph_fail(g, ST_INTERNAL,
               "slice: axis %d start %lld length %lld step %lld of a value of rank %d", axis,
               (long long)start, (long long)len, (long long)step, in[0].rank);
  else
    n->shape.dim[axis] = len;
}

static void pad_shape(Graph *g, const Shape *in, Node *n) {
  int axis = n->attr.pad.axis;
  int64_t before = n->attr.pad.before, total = n->attr.pad.total, step = n->attr.pad.step;
  n->shape = in[0];
  if (axis < 0 || axis >= in[0].rank || before < 0 || step < 1 ||
      before + (in[0].dim[axis] - 1) * step >= total)
    graph_fail(g, ST_INTERNAL, "pad: axis %d before %lld total %lld step %lld", axis,
               (long long)before, (long long)total, (long long)step);
  else
    n->shape.dim[axis] = total;
}

Val g_slice(Graph *g, Val x, int axis, int64_t start, int64_t len, int64_t step) {
  if (x && start == 0 && step == 1 && len == graph_dim(g, x, axis)) return x;
  return g_op(g, OP_slice, 1, &x,
              &(Attr){.slice = {axis, (int32_t)start, (int32_t)len, (int32_t)step}});
}

Val g_pad(Graph *g, Val x, int axis, int64_t before, int64_t total, int64_t step) {
  if (x && before == 0 && step == 1 && total == graph_dim(g, x, axis)) return x;
  return g_op(g, OP_pad, 1, &x,
              &(Attr){.pad = {axis, (int32_t)before, (int32_t)total, (int32_t)step}});
}

static void slice_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const SliceAttr *a = &n->attr.slice;
  dx[0] = g_pad(g, dy, a->axis, a->start, graph_dim(g, n->in[0], a->axis), a->step);
}

static void pad_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const PadAttr *a = &n->attr.pad;
  dx[0] = g_slice(g, dy, a->axis, a->before, graph_dim(g, n->in[0], a->axis), a->step);
}

static void slice_cpu(const Exec *x) {
  int64_t ss[MAX_RANK], ds[MAX_RANK];
  int axis = x->node->attr.slice.axis;
  row_major(x->ins[0], ss);
  row_major(x->node->shape, ds);
  const real *src = x->in[0] + x->node->attr.slice.start * ss[axis];
  ss[axis] *= x->node->attr.slice.step;
  strided_copy(x->node->shape.rank, x->node->shape.dim, src, ss, x->out, ds);
}

static void pad_cpu(const Exec *x) {
  int64_t ss[MAX_RANK], ds[MAX_RANK];
  int axis = x->node->attr.pad.axis;
  row_major(x->ins[0], ss);
  row_major(x->node->shape, ds);
  memset(x->out, 0, (size_t)shape_numel(x->node->shape) * sizeof(real));
  real *dst = x->out + x->node->attr.pad.before * ds[axis];
  ds[axis] *= x->node->attr.pad.step;
  strided_copy(x->ins[0].rank, x->ins[0].dim, x->in[0], ss, dst, ds);
}

const OpRow op_slice = {.name = "slice",
                        .order = ORDER_ANY,
                        .attr_bytes = sizeof(SliceAttr),
                        .shape = slice_shape,
                        .grad = slice_grad,
                        .cpu = slice_cpu};
const OpRow op_pad = {.name = "pad",
                      .order = ORDER_ANY,
                      .attr_bytes = sizeof(PadAttr),
                      .shape = pad_shape,
                      .grad = pad_grad,
                      .cpu = pad_cpu};

/* ---- concat of two ---- */
static void concat_shape(Graph *g, const Shape *in, Node *n) {
  int axis = n->attr.concat.axis;
  char a[96], b[96];
  bool ok = in[0].rank == in[1].rank && axis >= 0 && axis < in[0].rank;
  for (int i = 0; ok && i < in[0].rank; i++) ok = i == axis || in[0].dim[i] == in[1].dim[i];
  n->shape = in[0];
  if (!ok)
    graph_fail(g, ST_INTERNAL, "concat: %s and %s along axis %d", shape_str(in[0], a),
               shape_str(in[1], b), axis);
  else
    n->shape.dim[axis] += in[1].dim[axis];
}

Val g_concat(Graph *g, Val a, Val b, int axis) {
  return g_op(g, OP_concat, 2, (Val[]){a, b}, &(Attr){.concat = {axis}});
}

static void concat_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  int axis = n->attr.concat.axis;
  int64_t na = graph_dim(g, n->in[0], axis), nb = graph_dim(g, n->in[1], axis);
  if (need & 1) dx[0] = g_slice(g, dy, axis, 0, na, 1);
  if (need & 2) dx[1] = g_slice(g, dy, axis, na, nb, 1);
}

static void concat_cpu(const Exec *x) {
  int axis = x->node->attr.concat.axis;
  int64_t ds[MAX_RANK], ss[MAX_RANK], at = 0;
  row_major(x->node->shape, ds);
  for (int k = 0; k < 2; k++) {
    row_major(x->ins[k], ss);
    strided_copy(x->node->shape.rank, x->ins[k].dim, x->in[k], ss, x->out + at * ds[axis], ds);
    at += x->ins[k].dim[axis];
  }
}

const OpRow op_concat = {.name = "concat",
                         .order = ORDER_ANY,
                         .attr_bytes = sizeof(ConcatAttr),
                         .shape = concat_shape,
                         .grad = concat_grad,
                         .cpu = concat_cpu};

/* ---- roll: out[k] = in[(k - shift) mod n] ---- */
static void same_shape(Graph *g, const Shape *in, Node *n) { n->shape = in[0]; }
Val g_roll(Graph *g, Val x, int axis, int64_t shift) {
  int64_t n = PRLX_MAX(1, graph_dim(g, x, axis));
  shift = (shift % n + n) % n;
  if (x && shift == 0) return x;
  return g_op(g, OP_roll, 1, &x, &(Attr){.roll = {axis, (int32_t)shift}});
}

static void roll_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_roll(g, dy, n->attr.roll.axis, -n->attr.roll.shift);
}

static void roll_cpu(const Exec *x) {
  int axis = x->node->attr.roll.axis;
  int64_t st[MAX_RANK], n = x->node->shape.dim[axis], shift = x->node->attr.roll.shift;
  Shape part = x->node->shape;
  row_major(x->node->shape, st);
  part.dim[axis] = n - shift;
  strided_copy(part.rank, part.dim, x->in[0], st, x->out + shift * st[axis], st);
  part.dim[axis] = shift;
  strided_copy(part.rank, part.dim, x->in[0] + (n - shift) * st[axis], st, x->out, st);
}

const OpRow op_roll = {.name = "roll",
                       .order = ORDER_ANY,
                       .attr_bytes = sizeof(RollAttr),
                       .shape = same_shape,
                       .grad = roll_grad,
                       .cpu = roll_cpu};

/* ---- flip ---- */
Val g_flip(Graph *g, Val x, unsigned axes) {
  return g_op(g, OP_flip, 1, &x, &(Attr){.axes = {(int32_t)axes}});
}

static void flip_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_flip(g, dy, (unsigned)n->attr.axes.mask);
}

static void flip_cpu(const Exec *x) {
  int64_t ss[MAX_RANK], ds[MAX_RANK];
  const real *src = x->in[0];
  row_major(x->ins[0], ss);
  row_major(x->node->shape, ds);
  for (int i = 0; i < x->node->shape.rank; i++)
    if (x->node->attr.axes.mask >> i & 1) {
      src += (x->node->shape.dim[i] - 1) * ss[i];
      ss[i] = -ss[i];
    }
  strided_copy(x->node->shape.rank, x->node->shape.dim, src, ss, x->out, ds);
}

const OpRow op_flip = {.name = "flip",
                       .order = ORDER_ANY,
                       .attr_bytes = sizeof(AxesAttr),
                       .shape = same_shape,
                       .grad = flip_grad,
                       .cpu = flip_cpu};

/* ---- reflect padding of images (edge not repeated) and its adjoint ---- */
static void reflect_shape(Graph *g, const Shape *in, Node *n) {
  const ReflectAttr *p = &n->attr.reflect;
  n->shape = in[0];
  if (in[0].rank != 4 || p->left < 0 || p->right < 0 || p->top < 0 || p->bottom < 0 ||
      PRLX_MAX(p->left, p->right) > in[0].dim[3] - 1 ||
      PRLX_MAX(p->top, p->bottom) > in[0].dim[2] - 1) {
    char a[96];
    graph_fail(g, ST_INTERNAL, "reflect_pad: pads %d,%d,%d,%d on %s; each must be below the side",
               p->left, p->right, p->top, p->bottom, shape_str(in[0], a));
    return;
  }
  n->shape.dim[3] += p->left + p->right;
  n->shape.dim[2] += p->top + p->bottom;
}

static void reflect_t_shape(Graph *g, const Shape *in, Node *n) {
  const ReflectAttr *p = &n->attr.reflect;
  n->shape = in[0];
  n->shape.dim[3] -= p->left + p->right;
  n->shape.dim[2] -= p->top + p->bottom;
}

Val g_reflect_pad(Graph *g, Val x, int x0, int x1, int y0, int y1) {
  return g_op(g, OP_reflect_pad, 1, &x, &(Attr){.reflect = {x0, x1, y0, y1}});
}

static void reflect_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_op(g, OP_reflect_pad_t, 1, &dy, &n->attr);
}

static void reflect_t_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_op(g, OP_reflect_pad, 1, &dy, &n->attr);
}

static inline int64_t reflect_index(int64_t k, int64_t n) {
  return k < 0 ? -k : k >= n ? 2 * n - 2 - k : k;
}

static void reflect_plane(void *ctx, int64_t plane, int worker) {
  const Exec *x = ctx;
  bool adjoint = x->node->op == OP_reflect_pad_t;
  Shape small = adjoint ? x->node->shape : x->ins[0], big = adjoint ? x->ins[0] : x->node->shape;
  int64_t h = small.dim[2], w = small.dim[3], bh = big.dim[2], bw = big.dim[3],
          x0 = x->node->attr.reflect.left, y0 = x->node->attr.reflect.top;
  if (!adjoint) {
    const real *in = x->in[0] + plane * h * w;
    real *out = x->out + plane * bh * bw;
    for (int64_t r = 0; r < bh; r++) {
      const real *row = in + reflect_index(r - y0, h) * w;
      for (int64_t c = 0; c < bw; c++) out[r * bw + c] = row[reflect_index(c - x0, w)];
    }
  } else {
    const real *in = x->in[0] + plane * bh * bw;
    real *out = x->out + plane * h * w;
    memset(out, 0, (size_t)(h * w) * sizeof(real));
    for (int64_t r = 0; r < bh; r++) {
      real *row = out + reflect_index(r - y0, h) * w;
      for (int64_t c = 0; c < bw; c++) row[reflect_index(c - x0, w)] += in[r * bw + c];
    }
  }
}

static void reflect_cpu(const Exec *x) {
  par_for(x->node->shape.dim[0] * x->node->shape.dim[1], reflect_plane, (void *)x);
}

const OpRow op_reflect_pad = {.name = "reflect_pad",
                              .order = ORDER_ANY,
                              .attr_bytes = sizeof(ReflectAttr),
                              .shape = reflect_shape,
                              .grad = reflect_grad,
                              .cpu = reflect_cpu};
const OpRow op_reflect_pad_t = {.name = "reflect_pad_t",
                                .order = ORDER_ANY,
                                .attr_bytes = sizeof(ReflectAttr),
                                .shape = reflect_t_shape,
                                .grad = reflect_t_grad,
                                .cpu = reflect_cpu};
