/* cuda_shapes.c: the table of operations over many shapes: odd sides, channels that are no multiple
 * of 8, batches 1 to 5, every axis, both strides and paddings. */
#include "test/cuda_check.h"

static int q[16]; /* parameters of the builder at work */
static Case case_of(OpId op, const char *name, Val (*b)(Graph *, const Val *), int nin, Shape s0,
                    Shape s1) {
  return (Case){op, name, b, nin, {s0, s1}, {GENERIC, GENERIC}, 0};
}

/* ---- convolutions: the three, and with the scales the planner folds into them ---- */
typedef struct Geom {
  int n;
  int ci;
  int h;
  int w;
  int co;
  int kh;
  int kw;
  int stride;
  int pad;
  bool quick;
} Geom;
static const Geom geoms[] = {
    {1, 1, 4, 4, 1, 1, 1, 1, 0, true},
    {2, 3, 5, 7, 2, 3, 3, 1, 1, true},
    {1, 8, 4, 4, 16, 3, 3, 1, 1, false},
    {3, 16, 8, 8, 8, 3, 3, 1, 1, false},
    {2, 20, 9, 7, 12, 3, 3, 1, 0, true},
    {1, 33, 17, 11, 17, 3, 3, 1, 1, false},
    {2, 16, 16, 16, 1, 1, 1, 1, 0, true},
    {5, 1, 8, 8, 16, 1, 1, 1, 0, true},
    {3, 7, 6, 5, 3, 1, 1, 1, 0, false},
    {1, 4, 33, 17, 24, 1, 1, 1, 0, false},
    {2, 2, 9, 9, 40, 1, 1, 1, 0, false},
    {1, 8, 9, 9, 16, 3, 3, 2, 0, false},
    {2, 12, 17, 9, 20, 3, 3, 2, 1, true},
    {1, 24, 7, 7, 8, 1, 1, 2, 0, false},
    {2, 64, 8, 8, 64, 3, 3, 1, 1, false},
    {1, 40, 33, 17, 24, 3, 3, 1, 1, false},
    {2, 70, 4, 4, 66, 3, 3, 1, 1, false},
    {1, 6, 11, 10, 9, 5, 5, 1, 2, false},
    {1, 10, 5, 17, 9, 1, 7, 1, 0, false},
    {1, 9, 17, 5, 10, 7, 1, 1, 0, false},
    {1, 3, 19, 15, 8, 3, 3, 2, 0, false},
    {1, 136, 5, 3, 130, 3, 3, 1, 1, false},
    {4, 130, 4, 4, 8, 3, 3, 1, 1, false},
    {5, 16, 6, 6, 16, 4, 4, 2, 1, true},
    {2, 5, 8, 8, 6, 6, 6, 2, 2, false},
    {1, 65, 1, 1, 33, 1, 1, 1, 0, false},
    /* channels in whole chunks of 8 on both sides: channels last */
    {2, 8, 5, 7, 16, 3, 3, 1, 1, true},
    {1, 72, 6, 5, 136, 3, 3, 1, 1, true},
    {2, 8, 9, 9, 24, 3, 3, 2, 0, true},
    {2, 24, 5, 4, 40, 1, 1, 1, 0, true},
    {1, 16, 11, 10, 24, 3, 3, 3, 1, true},
    {2, 3, 5, 6, 264, 1, 1, 1, 0, true},
    {2, 264, 5, 6, 2, 1, 1, 1, 0, true},
};
static float *numbers(int64_t n, uint64_t seed) {
  float *x = mem_alloc((size_t)n * 4);
  Rng r = {.seed = seed};
  if (x) rng_fill_normal(&r, x, n);
  return x;
}

static void conv_check(Bench *t, const Geom *m) {
  char name[128];
  if (t->only && strncmp(t->only, "conv ", 5)) return;
  Graph *g = graph_new();
  Shape xs = SHAPE4(m->n, m->ci, m->h, m->w), ws = SHAPE4(m->co, m->ci, m->kh, m->kw);
  Val x = g_input(g, "x", xs), w = g_input(g, "w", ws), y = g_conv2d(g, x, w, m->stride, m->pad);
  Shape ys = graph_shape(g, y);
  Val dy = g_input(g, "dy", ys), dx = g_conv2d_dx(g, dy, w, m->stride, m->pad, m->h, m->w),
      dw = g_conv2d_dw(g, x, dy, m->stride, m->pad, m->kh, m->kw);
  float *X = numbers(shape_numel(xs), 1), *W = numbers(shape_numel(ws), 2),
        *D = numbers(shape_numel(ys), 3), *si = numbers((int64_t)m->n * m->ci, 4),
        *so = numbers((int64_t)m->n * m->co, 5);
  Shape sis = SHAPE4(m->n, m->ci, 1, 1), sos = SHAPE4(m->n, m->co, 1, 1);
  Error e = {0};
  CHECK(graph_status(g, &e) == ST_OK && X && W && D && si && so, "convolution: %s", e.msg);
  for (int scaled = 0; scaled < 2 && graph_status(g, NULL) == ST_OK; scaled++) {
    HostStep f = {.n = *graph_node(g, y),
                  .nargs = 2 + 2 * scaled,
                  .shape = {xs, ws, SHAPE0(), sis},
                  .data = {X, W, NULL, scaled ? si : NULL}};
    HostStep b = {.n = *graph_node(g, dx),
                  .nargs = 2 + 2 * scaled,
                  .shape = {ys, ws, SHAPE0(), sos},
                  .data = {D, W, NULL, scaled ? so : NULL}};
    HostStep v = {.n = *graph_node(g, dw),
                  .nargs = 2 + 2 * scaled,
                  .shape = {xs, ys, sis, sos},
                  .data = {X, D, scaled ? si : NULL, scaled ? so : NULL}};
    HostStep one = v;
    one.data[2] = NULL;
    snprintf(name, sizeof name, "conv n%d ci%d %dx%d co%d k%dx%d s%d p%d%s", m->n, m->ci, m->h,
             m->w, m->co, m->kh, m->kw, m->stride, m->pad, scaled ? " scaled" : "");
    check_step(t, &f, name);
    check_step(t, &b, name);
    check_step(t, &v, name);
    if (scaled) check_step(t, &one, name);
  }
  mem_free(X);
  mem_free(W);
  mem_free(D);
  mem_free(si);
  mem_free(so);
  graph_free(g);
}

/* ---- matrix products ---- */
static Val b_mm_any(Graph *g, const Val *in) { return g_matmul(g, in[0], in[1], q[0], q[1]); }
static void matmuls(Bench *t) {
  static const int mkn[][3] = {{1, 1, 1},    {3, 4, 5},    {17, 33, 9}, {2, 129, 40}, {5, 512, 24},
                               {65, 70, 67}, {64, 64, 64}, {1, 300, 1}, {40, 2, 65}};
  for (int i = 0; i < COUNT_OF(mkn); i++)
    for (int tr = 0; tr < 4; tr++) {
      if (t->quick && (i > 3 || tr == 3)) continue;
      int m = mkn[i][0], k = mkn[i][1], n = mkn[i][2];
      q[0] = tr & 1;
      q[1] = tr >> 1;
      Case c = case_of(OP_matmul, "matmul", b_mm_any, 2, q[0] ? SHAPE2(k, m) : SHAPE2(m, k),
                       q[1] ? SHAPE2(n, k) : SHAPE2(k, n));
      check_case(t, &c, 0);
    }
}

/* ---- sums over every subset of axes, their adjoint, and broadcasting of pairs ---- */
static Val b_sum_any(Graph *g, const Val *in) { return g_sum(g, in[0], (unsigned)q[0]); }
static Val b_pair(Graph *g, const Val *in) { return g_sub(g, in[0], in[1]); }
static Shape ones_where(Shape s, unsigned mask) {
  for (int i = 0; i < s.rank; i++)
    if (mask >> i & 1) s.dim[i] = 1;
  return s;
}

static void reductions(Bench *t) {
  const Shape shapes[] = {
      SHAPE4(3, 16, 5, 6), SHAPE1(1000),        SHAPE2(7, 33),           SHAPE3(3, 5, 130),
      SHAPE4(2, 3, 4, 5),  SHAPE4(5, 17, 9, 7), SHAPE5(2, 2, 3, 1, 5),   SHAPE4(2, 8, 33, 17),
      SHAPE2(300, 70),     SHAPE1(40000),       SHAPE6(2, 3, 2, 2, 3, 4)};
  for (int i = 0; i < (t->quick ? 5 : COUNT_OF(shapes)); i++)
    for (unsigned mask = 1; mask < 1u << shapes[i].rank; mask++) {
      q[0] = (int)mask;
      Case c = case_of(OP_sum, "sum", b_sum_any, 1, shapes[i], SHAPE0());
      check_case(t, &c, 1);
    }
  const Shape s = SHAPE4(2, 3, 4, 5);
  for (unsigned a = 0; a < 16; a++)
    for (unsigned b = 0; b < 16; b++) {
      if (t->quick && (a * 16 + b) % 7) continue;
      Case c = case_of(OP_sub, "sub", b_pair, 2, ones_where(s, a),
                       b == 15 ? SHAPE0() : ones_where(s, b));
      check_case(t, &c, a + b == 9 ? 1 : 0);
    }
  Case big = case_of(OP_sub, "sub", b_pair, 2, SHAPE4(3, 5, 33, 17), SHAPE4(1, 5, 1, 1));
  check_case(t, &big, 1);
}

/* ---- shapes ---- */
static Val b_permute_any(Graph *g, const Val *in) { return g_permute(g, in[0], q); }
static Val b_slice_any(Graph *g, const Val *in) {
  return g_slice(g, in[0], q[0], q[1], q[2], q[3]);
}

static Val b_pad_any(Graph *g, const Val *in) { return g_pad(g, in[0], q[0], q[1], q[2], q[3]); }
static Val b_concat_any(Graph *g, const Val *in) { return g_concat(g, in[0], in[1], q[0]); }
static Val b_roll_any(Graph *g, const Val *in) { return g_roll(g, in[0], q[0], q[1]); }
static Val b_flip_any(Graph *g, const Val *in) { return g_flip(g, in[0], (unsigned)q[0]); }
static Val b_reflect_any(Graph *g, const Val *in) {
  return g_reflect_pad(g, in[0], q[0], q[1], q[2], q[3]);
}

static void permutes(Bench *t) {
  const Shape s = SHAPE4(2, 3, 4, 5);
  for (int k = 0; k < 256; k++) {
    for (int i = 0; i < 4; i++) q[i] = k >> 2 * i & 3;
    bool distinct = q[0] != q[1] && q[0] != q[2] && q[0] != q[3] && q[1] != q[2] && q[1] != q[3] &&
                    q[2] != q[3];
    if (!distinct || (t->quick && k % 5)) continue;
    Case c = case_of(OP_permute, "permute", b_permute_any, 1, s, SHAPE0());
    check_case(t, &c, 0);
  }
  memcpy(q, (int[4]){0, 2, 1, 3}, 16);
  Case c3 = case_of(OP_permute, "permute", b_permute_any, 1, SHAPE3(3, 40, 33), SHAPE0());
  check_case(t, &c3, 1);
  memcpy(q, (int[4]){1, 0, 2, 3}, 16);
  Case c2 = case_of(OP_permute, "permute", b_permute_any, 1, SHAPE2(65, 129), SHAPE0());
  check_case(t, &c2, 1);
}

static void moves(Bench *t) {
  const Shape s = SHAPE4(3, 6, 9, 17);
  permutes(t);
  for (int axis = 0; axis < 4; axis++) {
    int d = (int)s.dim[axis];
    const int slices[][3] = {
        {0, d, 1}, {1, d - 1, 1}, {d - 1, 1, 1}, {0, (d + 1) / 2, 2}, {1, d / 2, 2}};
    for (int k = 0; k < COUNT_OF(slices); k++) {
      if (slices[k][1] < 1) continue;
      q[0] = axis;
      q[1] = slices[k][0];
      q[2] = slices[k][1];
      q[3] = slices[k][2];
      Case c = case_of(OP_slice, "slice", b_slice_any, 1, s, SHAPE0());
      check_case(t, &c, 1);
      Shape piece = s;
      piece.dim[axis] = q[2];
      q[2] = d + 2;
      Case p = case_of(OP_pad, "pad", b_pad_any, 1, piece, SHAPE0());
      check_case(t, &p, 1);
    }
    Shape other = s;
    other.dim[axis] = 2;
    q[0] = axis;
    Case j = case_of(OP_concat, "concat", b_concat_any, 2, s, other);
    check_case(t, &j, 1);
    for (int shift = -2; shift <= 3; shift += 5) {
      q[0] = axis;
      q[1] = shift;
      Case r = case_of(OP_roll, "roll", b_roll_any, 1, s, SHAPE0());
      check_case(t, &r, 1);
    }
  }
  for (int mask = 1; mask < 16; mask++) {
    q[0] = mask;
    Case f = case_of(OP_flip, "flip", b_flip_any, 1, SHAPE4(2, 3, 4, 7), SHAPE0());
    check_case(t, &f, 0);
  }
  static const int pads[][4] = {{1, 1, 1, 1}, {0, 3, 2, 0}, {4, 4, 3, 3}, {0, 0, 0, 2}};
  for (int k = 0; k < 4; k++) {
    memcpy(q, pads[k], sizeof pads[k]);
    Case r = case_of(OP_reflect_pad, "reflect_pad", b_reflect_any, 1, SHAPE4(2, 3, 5, 9), SHAPE0());
    check_case(t, &r, 1);
  }
}

/* ---- filters ---- */
static Val b_ufd_any(Graph *g, const Val *in) {
  return g_upfirdn2d(g, in[0], in[1],
                     &(UpFirDn){q[0], q[1], q[2], q[3], q[4], q[5], q[6], q[7], q[8], q[9], q[10]});
}

static void filters(Bench *t) {
  static const struct {
    int p[11];
    Shape x;
    Shape f;
    bool quick;
  } f[] = {
      {{1, 1, 1, 1, 1, 1, 1, 1, 0, 4, 0}, SHAPE4(2, 5, 9, 9), SHAPE1(4), true},
      {{2, 2, 1, 1, 2, 1, 2, 1, 0, 4, 0}, SHAPE4(3, 1, 4, 4), SHAPE1(4), true},
      {{1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 0}, SHAPE4(2, 8, 16, 16), SHAPE1(4), true},
      {{1, 1, 1, 1, 2, 2, 2, 2, 0, 1, 0}, SHAPE4(2, 24, 7, 8), SHAPE1(4), true},
      {{2, 2, 1, 1, 1, 2, 2, 1, 1, 4, 0}, SHAPE4(1, 16, 5, 6), SHAPE1(4), true},
      {{1, 1, 2, 2, 1, 1, 1, 1, 0, 1, 0}, SHAPE4(1, 7, 33, 17), SHAPE2(4, 4), false},
      {{2, 2, 1, 1, 2, 1, 2, 1, 1, 4, 0}, SHAPE4(1, 20, 17, 33), SHAPE2(4, 4), false},
      {{1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 0}, SHAPE4(1, 3, 17, 12), SHAPE1(4), false},
      {{2, 1, 1, 1, 6, 5, 0, 0, 0, 2, 0}, SHAPE4(2, 1, 12, 9), SHAPE2(1, 12), false},
      {{1, 2, 1, 1, 0, 0, 6, 5, 0, 2, 0}, SHAPE4(2, 1, 12, 9), SHAPE2(12, 1), false},
      {{2, 2, 1, 1, 6, 5, 6, 5, 0, 4, 0}, SHAPE4(2, 1, 12, 9), SHAPE1(12), false},
      {{1, 1, 2, 2, -3, -2, 4, -1, 1, 1, 0}, SHAPE4(1, 2, 15, 19), SHAPE1(12), true},
      {{1, 1, 1, 1, 4, 4, 4, 4, 0, 1, 1}, SHAPE4(3, 2, 9, 11), SHAPE2(3, 9), true},
      {{3, 2, 2, 3, 3, 2, 1, 4, 0, 1, 0}, SHAPE4(1, 2, 7, 5), SHAPE2(5, 3), false},
      {{1, 1, 1, 1, 3, 2, 3, 2, 0, 1, 1}, SHAPE4(2, 1, 8, 8), SHAPE2(2, 6), false},
      {{1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0}, SHAPE4(5, 3, 4, 4), SHAPE1(1), false},
  };
  for (int i = 0; i < COUNT_OF(f); i++) {
    if (t->quick && !f[i].quick) continue;
    memcpy(q, f[i].p, sizeof f[i].p);
    Case c = case_of(OP_upfirdn2d, "upfirdn2d", b_ufd_any, 2, f[i].x, f[i].f);
    c.data[1] = FIXED;
    check_case(t, &c, 1);
  }
}

/* ---- sampling, pooling, losses ---- */
static Val b_resize_any(Graph *g, const Val *in) { return g_resize(g, in[0], q[0], q[1]); }
static Val b_agrid_any(Graph *g, const Val *in) { return g_affine_grid(g, in[0], q[0], q[1]); }
static Val b_maxpool_any(Graph *g, const Val *in) { return g_maxpool(g, in[0], q[0], q[1], q[2]); }
static Val b_avgpool_any(Graph *g, const Val *in) { return g_avgpool(g, in[0], q[0], q[1], q[2]); }
static void samples(Bench *t) {
  static const int sizes[][4] = {
      {4, 4, 8, 8}, {17, 33, 5, 9}, {9, 7, 9, 14}, {1, 1, 3, 2}, {8, 8, 19, 19}};
  for (int i = 0; i < (t->quick ? 2 : COUNT_OF(sizes)); i++) {
    q[0] = sizes[i][2];
    q[1] = sizes[i][3];
    Case c = case_of(OP_resize, "resize", b_resize_any, 1, SHAPE4(2, 3, sizes[i][0], sizes[i][1]),
                     SHAPE0());
    check_case(t, &c, 1);
    Case a = case_of(OP_affine_grid, "affine_grid", b_agrid_any, 1, SHAPE3(3, 2, 3), SHAPE0());
    check_case(t, &a, 1);
    Case s = {OP_grid_sample,
              "grid_sample",
              b_gs,
              2,
              {SHAPE4(3, 5, sizes[i][0], sizes[i][1]), SHAPE4(3, sizes[i][2], sizes[i][3], 2)},
              {GENERIC, GRID},
              1};
    check_case(t, &s, 1);
  }
  static const int pools[][3] = {{3, 2, 0}, {3, 2, 1}, {2, 2, 0}, {3, 1, 1}, {5, 3, 2}};
  for (int i = 0; i < (t->quick ? 2 : COUNT_OF(pools)); i++) {
    memcpy(q, pools[i], sizeof pools[i]);
    Case c = {OP_maxpool, "maxpool", b_maxpool_any, 1, {SHAPE4(2, 5, 17, 11)}, {DISTINCT}, 2};
    check_case(t, &c, 2);
    Case a = case_of(OP_upfirdn2d, "avgpool", b_avgpool_any, 1, SHAPE4(2, 3, 9, 8), SHAPE0());
    check_case(t, &a, 1);
  }
  for (int k = 1; k <= 65; k += k < 3 ? 1 : 31) {
    Case c = {
        OP_softmax_ce, "softmax_ce", b_ce, 2, {SHAPE2(5, k), SHAPE2(5, k)}, {GENERIC, TARGETS}, 1};
    check_case(t, &c, 1);
  }
  Case w = {OP_warp,
            "warp",
            b_warp,
            3,
            {SHAPE4(3, 3, 17, 16), SHAPE2(3, 10), SHAPE1(12)},
            {GENERIC, GEOMETRY, FIXED},
            1};
  check_case(t, &w, 1);
  if (!t->quick) {
    w.shape[0] = SHAPE4(3, 1, 33, 32);
    check_case(t, &w, 1);
  }
}

void check_operations(Bench *t) {
  bool all = t->b->precision != PREC_TF32; /* tf32 differs in products only */
  for (int i = 0; i < COUNT_OF(geoms); i++)
    if (!t->quick || geoms[i].quick) conv_check(t, &geoms[i]);
  matmuls(t);
  if (!all) return;
  for (int i = 0; i < COUNT_OF(cases); i++) check_case(t, &cases[i], t->quick ? 1 : 2);
  reductions(t);
  moves(t);
  filters(t);
  samples(t);
}
