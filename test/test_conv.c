/* test_conv.c: conv2d, conv2d_dx, conv2d_dw and matmul against the definitions of
 * docs/learn/ladder/ (rung 0, in double): ragged shapes, strides, paddings, both algorithms, with
 * and without prepared weights and folded scales, on every instruction set, for 1, 2 and 3 threads
 * (equal bits). */
#include "core/conv.h"
#include "core/isa.h"
#include "core/ops.h"
#include "core/rng.h"
#include "core/threads.h"
#include "docs/learn/ladder/ladder.h"
#include "test/test.h"

static const double TOL = sizeof(real) == 8 ? 1e-11 : 1e-5;

static real *random_tensor(Rng *r, Shape s) {
  int64_t n = shape_numel(s);
  real *p = mem_alloc((size_t)n * sizeof *p);
  for (int64_t i = 0; i < n; i++) p[i] = (real)(2 * rng_uniform(r) - 1);
  return p;
}

typedef struct Case {
  int n;
  int ci;
  int h;
  int w;
  int co;
  int k;
  int kw;
  int stride;
  int pad;
} Case;

/* The definition (docs/learn/ladder/conv_0_naive.c) of a times its scales s (per channel of `plane`
 * numbers; NULL: none), which is exact in double. */
static double *in_double(const real *a, int64_t n, const real *s, int64_t plane) {
  double *d = mem_alloc((size_t)n * sizeof *d);
  for (int64_t i = 0; i < n; i++) d[i] = (double)a[i] * (s ? (double)s[i / plane] : 1);
  return d;
}

static void naive(const ConvGeom *g, const real *a, const real *b, const real *s2, const real *s3,
                  double *out) {
  const int64_t x = g->n * g->ci * g->h * g->w, y = g->n * g->co * g->oh * g->ow,
                w = g->co * g->ci * g->kh * g->kw;
  const bool dx = g->kind == CONV_DX, dw = g->kind == CONV_DW;
  double *p = in_double(a, dx ? y : x, dw ? s2 : s3, dx ? g->oh * g->ow : g->h * g->w),
         *q = in_double(b, dw ? y : w, dw ? s3 : NULL, g->oh * g->ow);
  if (dw)
    conv_0_naive_dw(g, p, q, out);
  else if (dx)
    conv_0_naive_dx(g, p, q, out);
  else
    conv_0_naive(g, p, q, out);
  mem_free(p);
  mem_free(q);
}

static double rel_error(const real *got, const double *want, int64_t n) {
  double top = 1e-30, err = 0;
  for (int64_t i = 0; i < n; i++) {
    top = fmax(top, fabs(want[i]));
    double e = fabs((double)got[i] - want[i]);
    if (!(e <= err)) err = e; /* NaN counts */
  }
  return err / top;
}

static void run_node(const Node *n, const Shape *in, const real *const *data, real *out) {
  const OpRow *row = op_table[n->op];
  size_t bytes = row->scratch ? row->scratch(n, in) : 0;
  char *scratch = mem_alloc(bytes + 64);
  memset(scratch, 0xff, bytes); /* NaN: scratch contents are undefined */
  memset(scratch + bytes, 0x5a, 64);
  Exec x = {.node = n, .ins = in, .out = out, .scratch = scratch};
  for (int i = 0; i < MAX_IN; i++) x.in[i] = data[i];
  row->cpu(&x);
  for (int i = 0; i < 64; i++)
    if (scratch[bytes + (size_t)i] != 0x5a) {
      CHECK(0, "%s wrote past its scratch of %zu bytes", row->name, bytes);
      break;
    }
  mem_free(scratch);
}

static double worst_error;

/* variant: bit 0 prepared weights, bit 1 scales. Runs with 1, 2, 3 threads; the first result
 * against the reference. */
static void check_variant(const Node *base, Shape *in, real *const *op, real *s2, real *s3,
                          const double *want, int variant, const char *what) {
  Node n = *base, prep = {0};
  const real *data[MAX_IN] = {op[0], op[1], NULL, NULL};
  const bool dw = n.op == OP_conv2d_dw;
  real *w = NULL;
  if (variant & 1) {
    if (!conv_make_prep(&n, in, &prep)) return;
    w = mem_alloc((size_t)shape_numel(prep.shape) * sizeof(real));
    memset(w, 0xff, (size_t)shape_numel(prep.shape) * sizeof(real));
    const real *from[MAX_IN] = {op[1]};
    run_node(&prep, in + 1, from, w);
    n.in[2] = 1;
    n.nin = 3;
    data[2] = w;
  }
  if (variant & 2) {
    n.nin = 4;
    n.in[3] = 1;
    data[3] = s3;
    if (dw) {
      n.in[2] = 1;
      data[2] = s2;
    }
  }
  const int64_t len = shape_numel(n.shape);
  real *first = mem_alloc((size_t)len * sizeof(real)),
       *again = mem_alloc((size_t)len * sizeof(real));
  for (int threads = 1; threads <= 3; threads++) {
    real *out = threads == 1 ? first : again;
    memset(out, 0xff, (size_t)len * sizeof(real));
    threads_set(threads);
    run_node(&n, in, data, out);
    if (threads == 1) {
      double e = rel_error(out, want, len);
      worst_error = fmax(worst_error, e);
      CHECK(e <= TOL, "%s: relative error %.3g", what, e);
    } else {
      CHECK(memcmp(first, again, (size_t)len * sizeof(real)) == 0,
            "%s: %d threads give other bits than 1", what, threads);
    }
  }
  mem_free(first);
  mem_free(again);
  mem_free(w);
}

static void check_case(Case c, ConvKind kind, Rng *r) {
  char what[160];
  Graph *g = graph_new();
  const Shape xs = SHAPE4(c.n, c.ci, c.h, c.w), ws = SHAPE4(c.co, c.ci, c.k, c.kw);
  const Val x = g_input(g, "x", xs), w = g_input(g, "w", ws),
            y = g_conv2d(g, x, w, c.stride, c.pad);
  const Val v = kind == CONV_FWD  ? y
                : kind == CONV_DX ? g_conv2d_dx(g, y, w, c.stride, c.pad, c.h, c.w)
                                  : g_conv2d_dw(g, x, y, c.stride, c.pad, c.k, c.kw);
  Error e = {0};
  CHECK(graph_status(g, &e) == ST_OK, "%s", e.msg);
  if (!v) {
    graph_free(g);
    return;
  }
  const Node n = *graph_node(g, v);
  const ConvGeom q = conv_geom(&n);
  Shape in[2] = {kind == CONV_DX ? graph_shape(g, y) : xs,
                 kind == CONV_DW ? graph_shape(g, y) : ws};
  real *op[2] = {random_tensor(r, in[0]), random_tensor(r, in[1])};
  real *s2 = random_tensor(r, SHAPE2(c.n, c.ci)),
       *s3 = random_tensor(r, SHAPE2(c.n, kind == CONV_FWD ? c.ci : c.co));
  const int64_t len = shape_numel(n.shape);
  double *want[2];
  for (int s = 0; s < 2; s++) {
    want[s] = mem_alloc((size_t)len * sizeof(double));
    naive(&q, op[0], op[1], s ? s2 : NULL, s ? s3 : NULL, want[s]);
  }
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    if (!isa_set((IsaLevel)isa)) continue;
    for (int algo = CONV_DIRECT; algo <= CONV_WINOGRAD2; algo++) {
      conv_set_algo((ConvAlgo)algo);
      if (algo != CONV_DIRECT && strncmp(conv_algo_name(&n), "wino", 4) != 0) continue;
      for (int variant = 0; variant < 4; variant++) {
        if (kind == CONV_DW && variant & 1) continue;
        snprintf(what, sizeof what, "kind %d %s %s n%d ci%d %dx%d co%d k%dx%d s%d p%d variant %d",
                 (int)kind, isa_name((IsaLevel)isa), conv_algo_name(&n), c.n, c.ci, c.h, c.w, c.co,
                 c.k, c.kw, c.stride, c.pad, variant);
        check_variant(&n, in, op, s2, s3, want[variant >> 1], variant, what);
      }
    }
  }
  conv_set_algo(CONV_AUTO);
  for (int s = 0; s < 2; s++) {
    mem_free(op[s]);
    mem_free(want[s]);
  }
  mem_free(s2);
  mem_free(s3);
  graph_free(g);
}

static void check_matmul(int m, int n, int k, bool ta, bool tb, Rng *r) {
  Graph *g = graph_new();
  Shape in[2] = {ta ? SHAPE2(k, m) : SHAPE2(m, k), tb ? SHAPE2(n, k) : SHAPE2(k, n)};
  const Val v = g_matmul(g, g_input(g, "a", in[0]), g_input(g, "b", in[1]), ta, tb);
  const Node node = *graph_node(g, v);
  real *op[2] = {random_tensor(r, in[0]), random_tensor(r, in[1])};
  double *want = mem_alloc((size_t)(m * n) * sizeof(double));
  const MatmulSize size = {m, n, k};
  double *a = mem_alloc((size_t)(m * k) * sizeof *a), *b = mem_alloc((size_t)(k * n) * sizeof *b);
  for (int i = 0; i < m * k; i++) a[i] = (double)op[0][ta ? i % k * m + i / k : i];
  for (int i = 0; i < k * n; i++) b[i] = (double)op[1][tb ? i % n * k + i / n : i];
  matmul_0_naive(&size, a, b, want);
  mem_free(a);
  mem_free(b);
  char what[96];
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    if (!isa_set((IsaLevel)isa)) continue;
    snprintf(what, sizeof what, "matmul %s %dx%dx%d ta%d tb%d", isa_name((IsaLevel)isa), m, n, k,
             ta, tb);
    check_variant(&node, in, op, NULL, NULL, want, 0, what);
  }
  mem_free(op[0]);
  mem_free(op[1]);
  mem_free(want);
  graph_free(g);
}

int main(void) {
  static const Case cases[] = {{1, 1, 5, 5, 1, 1, 1, 1, 0},
                               {3, 1, 8, 8, 17, 1, 1, 1, 0},
                               {1, 17, 9, 7, 3, 1, 1, 2, 0},
                               {2, 5, 6, 6, 5, 2, 2, 1, 1},
                               {1, 3, 13, 11, 5, 3, 3, 1, 1},
                               {3, 17, 4, 4, 17, 3, 3, 1, 1},
                               {1, 17, 9, 9, 5, 3, 3, 2, 0},
                               {3, 5, 8, 8, 17, 3, 3, 2, 1},
                               {1, 5, 11, 16, 3, 5, 5, 1, 2},
                               {2, 3, 12, 9, 17, 5, 5, 2, 2},
                               {1, 1, 4, 4, 1, 3, 3, 1, 1},
                               {2, 3, 16, 16, 64, 3, 3, 1, 1},
                               {1, 64, 16, 16, 3, 3, 3, 1, 1},
                               {2, 33, 24, 24, 20, 3, 3, 1, 1},
                               {1, 7, 23, 29, 9, 3, 3, 1, 0},
                               {1, 4, 10, 10, 6, 3, 3, 1, 2},
                               {2, 40, 8, 8, 50, 3, 3, 1, 1},
                               {8, 6, 4, 4, 30, 3, 3, 1, 1},
                               {1, 13, 33, 33, 26, 3, 3, 2, 0},
                               {2, 9, 30, 41, 7, 1, 7, 1, 3},
                               {1, 6, 17, 19, 8, 7, 1, 1, 3},
                               {2, 3, 21, 21, 4, 3, 3, 3, 1},
                               {5, 2, 3, 3, 2, 3, 3, 1, 1},
                               {1, 130, 7, 7, 110, 3, 3, 1, 1},
                               {1, 2, 2, 2, 3, 1, 1, 2, 0},
                               {2, 3, 64, 64, 4, 3, 3, 1, 1},
                               {1, 300, 6, 6, 14, 1, 1, 1, 0},
                               {19, 3, 5, 5, 3, 3, 3, 1, 1},
                               {3, 4, 25, 23, 35, 1, 1, 1, 0},
                               {2, 70, 5, 9, 3, 1, 1, 1, 0},
                               {2, 30, 21, 21, 26, 3, 3, 2, 0},
                               {1, 20, 12, 14, 25, 3, 3, 2, 1},
                               /* weight gradient in blocks; all residues of an image at once */
                               {3, 20, 39, 46, 7, 3, 3, 1, 1},
                               {8, 4, 65, 47, 6, 3, 3, 2, 0},
                               /* not prepared: direct_lean, wino_lean */
                               {1, 390, 7, 9, 301, 3, 3, 1, 1},
                               {2, 512, 4, 4, 516, 3, 3, 1, 1}};
  Rng r = {.seed = 7};
  for (int i = 0; i < COUNT_OF(cases); i++)
    for (int kind = CONV_FWD; kind <= CONV_DW; kind++) check_case(cases[i], (ConvKind)kind, &r);
  printf("largest relative error %.3g\n", worst_error);
  static const int mm[][3] = {{1, 1, 1},      {3, 5, 7},     {4, 3, 64},
                              {32, 512, 300}, {5, 512, 33},  {70, 90, 515},
                              {13, 1, 100},   {400, 65, 20}, {66, 66, 1}};
  for (int i = 0; i < COUNT_OF(mm); i++)
    for (int t = 0; t < 4; t++) check_matmul(mm[i][0], mm[i][1], mm[i][2], t & 1, t >> 1, &r);
  threads_stop();
  return test_end();
}
