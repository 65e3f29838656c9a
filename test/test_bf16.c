/* test_bf16.c: products of bf16 numbers (core/bf16.h) against the definition in double of operands
 * that the test rounds itself: conv2d, conv2d_dx, conv2d_dw and matmul, ragged shapes, strides,
 * paddings, by vectors and by tiles, with and without prepared weights and folded scales, for 1, 2
 * and 3 threads and alone or in a batch (equal bits); what is refused, and how. Small whole numbers
 * must come out exactly. */
#include "core/bf16.h"
#include "core/conv.h"
#include "core/ops.h"
#include "core/rng.h"
#include "core/threads.h"
#include "docs/learn/ladder/ladder.h"
#include "test/test.h"

/* Float sums of exact products: errors in units of the sum of absolute products. */
static const double TOL = 4e-7;
static double worst_error;

/* The upper half of a float, to nearest even. */
static real rounded(real x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  u += 0x7fff + (u >> 16 & 1);
  u &= 0xffff0000u;
  memcpy(&x, &u, sizeof u);
  return x;
}

static real *random_tensor(Rng *r, Shape s, bool whole) {
  const int64_t n = shape_numel(s);
  real *p = mem_alloc((size_t)n * sizeof *p);
  for (int64_t i = 0; i < n; i++) {
    const real x = (real)(2 * rng_uniform(r) - 1);
    p[i] = whole ? (real)(int)(x * 6) : x;
  }
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

/* As the kernels read an operand: times its scale in float, rounded. */
static double *operand(const real *a, int64_t n, const real *scale, int64_t plane, bool absolute) {
  double *d = mem_alloc((size_t)n * sizeof *d);
  for (int64_t i = 0; i < n; i++) {
    const real x = scale ? a[i] * scale[i / plane] : a[i];
    d[i] = (double)rounded(x);
    if (absolute) d[i] = fabs(d[i]);
  }
  return d;
}

static void naive(const ConvGeom *g, const real *a, const real *b, const real *s2, const real *s3,
                  bool absolute, double *out) {
  const int64_t x = g->n * g->ci * g->h * g->w, y = g->n * g->co * g->oh * g->ow,
                w = g->co * g->ci * g->kh * g->kw;
  const bool dx = g->kind == CONV_DX, dw = g->kind == CONV_DW;
  double *p = operand(a, dx ? y : x, dw ? s2 : s3, dx ? g->oh * g->ow : g->h * g->w, absolute),
         *q = operand(b, dw ? y : w, dw ? s3 : NULL, g->oh * g->ow, absolute);
  if (dw)
    conv_0_naive_dw(g, p, q, out);
  else if (dx)
    conv_0_naive_dx(g, p, q, out);
  else
    conv_0_naive(g, p, q, out);
  mem_free(p);
  mem_free(q);
}

static void run_node(const Node *n, const Shape *in, const real *const *data, real *out) {
  const OpRow *row = op_table[n->op];
  const size_t bytes = row->scratch ? row->scratch(n, in) : 0;
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

/* got within TOL of want in units of `size`, or (whole) equal. */
static void compare(const real *got, const double *want, const double *size, int64_t n, bool whole,
                    const char *what) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    const double e = fabs((double)got[i] - want[i]) / fmax(size[i], 1e-30);
    if (!(e <= worst)) worst = e; /* NaN counts */
  }
  worst_error = fmax(worst_error, worst);
  CHECK(whole ? worst == 0 : worst <= TOL, "%s: error %.3g of the sum of absolute products", what,
        worst);
}

typedef struct Run {
  const Node *node;
  Shape *in;
  real *op[2];
  real *s2;
  real *s3;
  bool whole;
} Run;

/* variant: bit 0 prepared weights, bit 1 scales. With 1, 2, 3 threads; the first result is left in
 * `first`. */
static bool run_variant(const Run *c, int variant, real *first, const char *what) {
  Node n = *c->node, prep = {0};
  const real *data[MAX_IN] = {c->op[0], c->op[1], NULL, NULL};
  const int64_t len = shape_numel(n.shape);
  real *w = NULL, *again = mem_alloc((size_t)len * sizeof(real));
  if (variant & 1) {
    if (!conv_make_prep(&n, c->in, &prep)) return false;
    w = mem_alloc((size_t)shape_numel(prep.shape) * sizeof(real));
    memset(w, 0xff, (size_t)shape_numel(prep.shape) * sizeof(real));
    const real *from[MAX_IN] = {c->op[1]};
    run_node(&prep, c->in + 1, from, w);
    n.in[2] = 1;
    n.nin = 3;
    data[2] = w;
  }
  if (variant & 2) {
    n.nin = 4;
    n.in[3] = 1;
    data[3] = c->s3;
    if (n.op == OP_conv2d_dw) {
      n.in[2] = 1;
      data[2] = c->s2;
    }
  }
  for (int threads = 1; threads <= 3; threads++) {
    real *out = threads == 1 ? first : again;
    memset(out, 0xff, (size_t)len * sizeof(real));
    threads_set(threads);
    run_node(&n, c->in, data, out);
    if (threads > 1)
      CHECK(memcmp(first, again, (size_t)len * sizeof(real)) == 0,
            "%s: %d threads give other bits than 1", what, threads);
  }
  mem_free(again);
  mem_free(w);
  return true;
}

static Val case_node(Graph *g, Case c, ConvKind kind, Shape in[2]) {
  const Shape xs = SHAPE4(c.n, c.ci, c.h, c.w), ws = SHAPE4(c.co, c.ci, c.k, c.kw);
  const Val x = g_input(g, "x", xs), w = g_input(g, "w", ws),
            y = g_conv2d(g, x, w, c.stride, c.pad);
  in[0] = kind == CONV_DX ? graph_shape(g, y) : xs;
  in[1] = kind == CONV_DW ? graph_shape(g, y) : ws;
  return kind == CONV_FWD  ? y
         : kind == CONV_DX ? g_conv2d_dx(g, y, w, c.stride, c.pad, c.h, c.w)
                           : g_conv2d_dw(g, x, y, c.stride, c.pad, c.k, c.kw);
}

/* Image 1 of 2, 3, ... computed alone has the bits that it has in the batch. */
static void check_alone(Run c, Case q, ConvKind kind, const real *all, const char *what) {
  Graph *g = graph_new();
  Shape in[2];
  const Shape whole = c.in[0], out = c.node->shape;
  q.n = 1;
  const Val v = case_node(g, q, kind, in);
  const Node n = *graph_node(g, v);
  const int64_t len = shape_numel(n.shape);
  real *one = mem_alloc((size_t)len * sizeof *one);
  c.node = &n;
  c.op[0] += shape_numel(whole) / whole.dim[0];
  c.in = in;
  run_variant(&c, 0, one, what);
  CHECK(memcmp(one, all + shape_numel(out) / out.dim[0], (size_t)len * sizeof *one) == 0,
        "%s: other bits alone than in a batch", what);
  mem_free(one);
  graph_free(g);
}

static void check_case(Case c, ConvKind kind, bool whole, Rng *r) {
  char what[160];
  Graph *g = graph_new();
  Shape in[2];
  Error e = {0};
  const Val v = case_node(g, c, kind, in);
  CHECK(graph_status(g, &e) == ST_OK, "%s", e.msg);
  const Node n = *graph_node(g, v);
  const ConvGeom q = conv_geom(&n);
  Run run = {.node = &n, .in = in, .whole = whole};
  for (int k = 0; k < 2; k++) run.op[k] = random_tensor(r, in[k], whole);
  run.s2 = random_tensor(r, SHAPE2(c.n, c.ci), whole);
  run.s3 = random_tensor(r, SHAPE2(c.n, kind == CONV_FWD ? c.ci : c.co), whole);
  const int64_t len = shape_numel(n.shape);
  real *got = mem_alloc((size_t)len * sizeof *got);
  double *want = mem_alloc((size_t)len * sizeof *want),
         *size = mem_alloc((size_t)len * sizeof *size);
  for (int variant = 0; variant < 4; variant++) {
    const real *s2 = variant & 2 ? run.s2 : NULL, *s3 = variant & 2 ? run.s3 : NULL;
    if (kind == CONV_DW && variant & 1) continue;
    naive(&q, run.op[0], run.op[1], s2, s3, false, want);
    naive(&q, run.op[0], run.op[1], s2, s3, true, size);
    for (int way = BF16_VECTORS; way < BF16_WAYS; way++) {
      if (!bf16_set_way((Bf16Way)way)) continue;
      snprintf(what, sizeof what, "kind %d %s n%d ci%d %dx%d co%d k%dx%d s%d p%d variant %d%s",
               (int)kind, bf16_name((Bf16Way)way), c.n, c.ci, c.h, c.w, c.co, c.k, c.kw, c.stride,
               c.pad, variant, whole ? " whole numbers" : "");
      CHECK(strcmp(conv_algo_name(&n), "bf16") == 0, "%s: runs as %s", what, conv_algo_name(&n));
      if (!run_variant(&run, variant, got, what)) continue;
      compare(got, want, size, len, whole, what);
      if (variant == 0 && kind != CONV_DW && c.n > 1) check_alone(run, c, kind, got, what);
    }
  }
  for (int k = 0; k < 2; k++) mem_free(run.op[k]);
  mem_free(run.s2);
  mem_free(run.s3);
  mem_free(got);
  mem_free(want);
  mem_free(size);
  graph_free(g);
}

static void check_matmul(int m, int n, int k, bool ta, bool tb, bool whole, Rng *r) {
  Graph *g = graph_new();
  Shape in[2] = {ta ? SHAPE2(k, m) : SHAPE2(m, k), tb ? SHAPE2(n, k) : SHAPE2(k, n)};
  const Val v = g_matmul(g, g_input(g, "a", in[0]), g_input(g, "b", in[1]), ta, tb);
  const Node node = *graph_node(g, v);
  Run run = {.node = &node, .in = in, .whole = whole};
  for (int i = 0; i < 2; i++) run.op[i] = random_tensor(r, in[i], whole);
  double *want[2], *a = mem_alloc((size_t)(m * k) * sizeof *a),
                   *b = mem_alloc((size_t)(k * n) * sizeof *b);
  const MatmulSize size = {m, n, k};
  for (int absolute = 0; absolute < 2; absolute++) {
    want[absolute] = mem_alloc((size_t)(m * n) * sizeof(double));
    for (int i = 0; i < m * k; i++) a[i] = (double)rounded(run.op[0][ta ? i % k * m + i / k : i]);
    for (int i = 0; i < k * n; i++) b[i] = (double)rounded(run.op[1][tb ? i % n * k + i / n : i]);
    for (int i = 0; absolute && i < m * k; i++) a[i] = fabs(a[i]);
    for (int i = 0; absolute && i < k * n; i++) b[i] = fabs(b[i]);
    matmul_0_naive(&size, a, b, want[absolute]);
  }
  real *got = mem_alloc((size_t)(m * n) * sizeof *got);
  for (int way = BF16_VECTORS; way < BF16_WAYS; way++) {
    char what[96];
    if (!bf16_set_way((Bf16Way)way)) continue;
    snprintf(what, sizeof what, "matmul %s %dx%dx%d ta%d tb%d", bf16_name((Bf16Way)way), m, n, k,
             ta, tb);
    if (run_variant(&run, 0, got, what)) compare(got, want[0], want[1], m * n, whole, what);
  }
  for (int i = 0; i < 2; i++) {
    mem_free(run.op[i]);
    mem_free(want[i]);
  }
  mem_free(a);
  mem_free(b);
  mem_free(got);
  graph_free(g);
}

/* Refused: no instruction set but avx512 has bf16, and float is what graphs get then. */
static void check_refusal(void) {
  Error e = {0};
  const IsaLevel now = isa_current();
  isa_set(ISA_PORTABLE);
  CHECK(bf16_way() == BF16_NONE, "the portable kernels have bf16");
  CHECK(bf16_use(true, &e) == ST_INVALID && strstr(e.msg, "portable") &&
            strstr(e.msg, "AVX512_BF16"),
        "refusal: %s", e.msg);
  CHECK(!bf16_used(), "on after a refusal");
  CHECK(bf16_use(false, &e) == ST_OK, "off is always possible");
  isa_set(now);
}

int main(void) {
  static const Case cases[] = {{1, 1, 5, 5, 1, 1, 1, 1, 0},     {3, 1, 8, 8, 17, 1, 1, 1, 0},
                               {1, 17, 9, 7, 3, 1, 1, 2, 0},    {2, 5, 6, 6, 5, 2, 2, 1, 1},
                               {1, 3, 13, 11, 5, 3, 3, 1, 1},   {3, 17, 4, 4, 17, 3, 3, 1, 1},
                               {1, 17, 9, 9, 5, 3, 3, 2, 0},    {3, 5, 8, 8, 17, 3, 3, 2, 1},
                               {1, 5, 11, 16, 3, 5, 5, 1, 2},   {2, 3, 12, 9, 17, 5, 5, 2, 2},
                               {1, 1, 4, 4, 1, 3, 3, 1, 1},     {2, 3, 16, 16, 64, 3, 3, 1, 1},
                               {1, 64, 16, 16, 3, 3, 3, 1, 1},  {2, 33, 24, 24, 20, 3, 3, 1, 1},
                               {1, 7, 23, 29, 9, 3, 3, 1, 0},   {1, 4, 10, 10, 6, 3, 3, 1, 2},
                               {2, 40, 8, 8, 50, 3, 3, 1, 1},   {8, 6, 4, 4, 30, 3, 3, 1, 1},
                               {1, 13, 33, 33, 26, 3, 3, 2, 0}, {2, 9, 30, 41, 7, 1, 7, 1, 3},
                               {1, 6, 17, 19, 8, 7, 1, 1, 3},   {2, 3, 21, 21, 4, 3, 3, 3, 1},
                               {5, 2, 3, 3, 2, 3, 3, 1, 1},     {1, 130, 7, 7, 110, 3, 3, 1, 1},
                               {1, 2, 2, 2, 3, 1, 1, 2, 0},     {2, 3, 64, 64, 4, 3, 3, 1, 1},
                               {1, 300, 6, 6, 14, 1, 1, 1, 0},  {19, 3, 5, 5, 3, 3, 3, 1, 1},
                               {2, 30, 21, 21, 26, 3, 3, 2, 0}, {1, 20, 12, 14, 25, 3, 3, 2, 1},
                               {1, 3, 4, 4, 2, 1, 1, 1, 3},     {9, 2, 64, 65, 2, 3, 3, 1, 1},
                               {1, 2, 9, 8, 3, 5, 3, 2, 3},     {2, 4, 10, 10, 3, 1, 1, 3, 1}};
  Error e = {0};
  check_refusal();
  if (bf16_use(true, &e) != ST_OK) {
    printf("no products of bf16 here: %s\n", e.msg);
    return test_end();
  }
  Rng r = {.seed = 11};
  conv_set_algo(CONV_BF16);
  for (int i = 0; i < COUNT_OF(cases); i++)
    for (int kind = CONV_FWD; kind <= CONV_DW; kind++)
      for (int whole = 0; whole < 2; whole++) check_case(cases[i], (ConvKind)kind, whole != 0, &r);
  conv_set_algo(CONV_AUTO);
  static const int mm[][3] = {
      {70, 90, 515}, {16, 16, 32}, {129, 65, 33}, {400, 300, 64}, {17, 150, 200}};
  for (int i = 0; i < COUNT_OF(mm); i++)
    for (int t = 0; t < 8; t++)
      if (bf16_matmul_pays(mm[i][0], mm[i][1], mm[i][2]) &&
          ((t & 1) || !(t & 2) || PRLX_MIN(mm[i][0], mm[i][1]) > 64))
        check_matmul(mm[i][0], mm[i][1], mm[i][2], t & 1, t & 2, t & 4, &r);
  printf("largest error %.3g of the sum of absolute products, by %s\n", worst_error,
         bf16_name(bf16_machine_way()));
  threads_stop();
  return test_end();
}
