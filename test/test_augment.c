/* test_augment.c: resampling operations against their definitions and adjoints, the fused warp
 * against the chain it replaces, and the augmentation pipe: identity at p = 0, what each channel
 * policy may change, frequencies of the draws. */
#include "core/isa.h"
#include "core/threads.h"
#include "models/gan/augment.h"
#include "test/test.h"

static Rng rng = {7, 1, 0};
static int between(int lo, int hi) { return lo + (int)rng_below(&rng, hi - lo + 1); }
static real *normals(int64_t n) {
  real *p = mem_alloc(sizeof(real) * (size_t)n);
  for (int64_t i = 0; i < n; i++) p[i] = (real)rng_normal(&rng);
  return p;
}

static double dot(const real *a, const real *b, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += (double)a[i] * b[i];
  return s;
}

static double norm(const real *a, int64_t n) { return sqrt(dot(a, a, n)); }
static double max_diff(const real *a, const real *b, int64_t n) {
  double m = 0;
  for (int64_t i = 0; i < n; i++) m = fmax(m, fabs((double)a[i] - b[i]));
  return m;
}

/* ---- a linear operation y = A x, run on random x and w: y, A'w, and A(A'w) by a second gradient
 * ---- */
typedef struct Linear {
  Graph *g;
  Val x;
  Val y;
} Linear;
static void check_linear(Linear l, const char *what, real **y_out) {
  Error e = {0};
  Plan *p = NULL;
  Shape sx = graph_shape(l.g, l.x), sy = graph_shape(l.g, l.y);
  int64_t nx = shape_numel(sx), ny = shape_numel(sy);
  Val w = g_input(l.g, "w", sy), t = 0, u = 0;
  graph_grad(l.g, 1, &l.y, &w, 1, &l.x, &t, 0, NULL, &e);
  graph_grad(l.g, 1, &t, &l.x, 1, &w, &u, 0, NULL, &e); /* d <A'w, x> / dw = A x again */
  Val outs[3] = {l.y, t, u};
  bool ok = graph_status(l.g, &e) == ST_OK && plan_new(l.g, 3, outs, NULL, &p, &e) == ST_OK;
  CHECK(ok, "%s: plan: %s", what, e.msg);
  if (ok) {
    real *a = normals(nx), *b = normals(ny);
    memcpy(plan_data(p, l.x), a, sizeof(real) * (size_t)nx);
    memcpy(plan_data(p, w), b, sizeof(real) * (size_t)ny);
    ok = plan_run(p, &e) == ST_OK;
    const real *y = plan_data(p, l.y), *aw = plan_data(p, t), *y2 = plan_data(p, u);
    double left = dot(y, b, ny), right = dot(a, aw, nx), scale = norm(y, ny) * norm(b, ny) + 1e-12;
    CHECK(ok && fabs(left - right) <= 2e-6 * scale, "%s: <Ax,w> = %.8g, <x,A'w> = %.8g", what, left,
          right);
    CHECK(ok && max_diff(y, y2, ny) <= 1e-5 * (norm(y, ny) + 1e-12),
          "%s: the adjoint of the adjoint is the operation", what);
    if (y_out) {
      *y_out = mem_alloc(sizeof(real) * (size_t)(nx + ny));
      memcpy(*y_out, a, sizeof(real) * (size_t)nx);
      memcpy(*y_out + nx, y, sizeof(real) * (size_t)ny);
    }
    mem_free(a);
    mem_free(b);
  }
  plan_free(p);
}

/* SEMANTICS 1.2 word by word, 2-D filter g with gain inside, correlation. */
static double upfirdn_at(const real *x, int h, int w, const double *f, int th, int tw,
                         const UpFirDn *p, int oy, int ox) {
  double s = 0;
  for (int i = 0; i < th; i++)
    for (int j = 0; j < tw; j++) {
      /* in the zero-inserted signal */
      int y = oy * p->downy + i - p->pady0, xx = ox * p->downx + j - p->padx0;
      if (y < 0 || xx < 0 || y >= h * p->upy || xx >= w * p->upx || y % p->upy || xx % p->upx)
        continue;
      s += f[i * tw + j] * x[y / p->upy * w + xx / p->upx];
    }
  return s;
}

static void test_upfirdn(int trial) {
  /* [fh,fw], [T], [N,T] */
  int n = between(1, 2), c = between(1, 3), h = between(1, 19), w = between(1, 37),
      kind = trial % 3;
  int th = trial % 4 == 1 ? 4 : between(1, 13), tw = kind ? th : between(1, 6);
  UpFirDn p = {.upx = between(1, 3),
               .upy = between(1, 3),
               .downx = between(1, 3),
               .downy = between(1, 3),
               .padx0 = between(-2, 9),
               .padx1 = between(-2, 9),
               .pady0 = between(-2, 9),
               .pady1 = between(-2, 9),
               .flip = between(0, 1),
               .gain = 1.5,
               .separable_per_sample = kind == 2};
  if (trial % 4 == 1) {
    p.upx = p.upy = between(1, 2);
    p.downx = p.downy = p.upx == 1 ? between(1, 2) : 1;
  }
  if (w * p.upx + p.padx0 + p.padx1 < tw || h * p.upy + p.pady0 + p.pady1 < th) return;
  Graph *g = graph_new();
  int64_t nf = kind == 0 ? th * tw : kind == 1 ? th : n * th;
  real *taps = normals(nf), *xy = NULL;
  Val x = g_input(g, "x", SHAPE4(n, c, h, w));
  Val f = g_const(g, kind == 0 ? SHAPE2(th, tw) : kind == 1 ? SHAPE1(th) : SHAPE2(n, th), taps);
  Val y = g_upfirdn2d(g, x, f, &p);
  Shape s = graph_shape(g, y);
  check_linear((Linear){g, x, y}, "upfirdn2d", &xy);
  double worst = 0, big = 1e-9, full[13 * 13];
  for (int i = 0; i < n * c && xy; i++) {
    const real *t = taps + (kind == 2 ? i / c * th : 0);
    for (int a = 0; a < th; a++)
      for (int b = 0; b < tw; b++) {
        int fa = p.flip ? a : th - 1 - a, fb = p.flip ? b : tw - 1 - b;
        full[a * tw + b] = p.gain * (kind ? (double)t[fa] * t[fb] : t[fa * tw + fb]);
      }
    for (int oy = 0; oy < s.dim[2]; oy++)
      for (int ox = 0; ox < s.dim[3]; ox++) {
        double want = upfirdn_at(xy + (int64_t)i * h * w, h, w, full, th, tw, &p, oy, ox);
        worst = fmax(worst,
                     fabs(want - xy[(int64_t)n * c * h * w + (i * s.dim[2] + oy) * s.dim[3] + ox]));
        big = fmax(big, fabs(want));
      }
  }
  CHECK(worst <= 1e-5 * big + 1e-5,
        "upfirdn2d against its definition: kind %d, %dx%d, taps %d,%d, up %d,%d down %d,%d: %.3g "
        "of %.3g",
        kind, h, w, th, tw, p.upx, p.upy, p.downx, p.downy, worst, big);
  mem_free(xy);
  mem_free(taps);
  graph_free(g);
}

static void test_sampling(int trial) {
  int n = between(1, 2), c = between(1, 3), h = between(1, 13), w = between(1, 13),
      oh = between(1, 13), ow = between(1, 13);
  Graph *g = graph_new();
  real *grid = normals((int64_t)n * oh * ow * 2);
  Val x = g_input(g, "x", SHAPE4(n, c, h, w));
  check_linear((Linear){g, x, g_grid_sample(g, x, g_const(g, SHAPE4(n, oh, ow, 2), grid))},
               "grid_sample", NULL);
  check_linear((Linear){g, x, g_resize(g, x, oh, ow)}, "resize", NULL);
  Val theta = g_input(g, "theta", SHAPE3(n, 2, 3));
  check_linear((Linear){g, theta, g_affine_grid(g, theta, oh, ow)}, "affine_grid", NULL);
  mem_free(grid);
  graph_free(g);
}

static void test_pool(void) {
  Error e = {0};
  Graph *g = graph_new();
  /* ties: the first maximum takes the gradient */
  const real x[16] = {1, 1, 0, 2, 1, 1, 2, 2, 3, 0, -1, -1, 0, 3, -1, -1};
  Val v = g_input(g, "x", SHAPE4(1, 1, 4, 4)), y = g_maxpool(g, v, 2, 2, 0), d = g_grad1(g, y, v),
      a = g_avgpool(g, v, 3, 1, 1);
  Plan *p = NULL;
  CHECK(plan_new(g, 3, (Val[]){y, d, a}, NULL, &p, &e) == ST_OK, "pool plan: %s", e.msg);
  if (p) {
    memcpy(plan_data(p, v), x, sizeof x);
    CHECK(plan_run(p, &e) == ST_OK, "pool run");
    const real wy[4] = {1, 2, 3, -1}, wd[16] = {1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0};
    CHECK(!memcmp(plan_data(p, y), wy, sizeof wy), "maxpool values");
    CHECK(!memcmp(plan_data(p, d), wd, sizeof wd), "first maximum takes the gradient");
    CHECK(fabs(plan_data(p, a)[0] - 1) < 1e-6 && fabs(plan_data(p, a)[5] - 8.0 / 9) < 1e-6,
          "average without padding");
  }
  plan_free(p);
  graph_free(g);
  g = graph_new();
  Val small = g_input(g, "x", SHAPE4(1, 1, 1, 4));
  CHECK(!g_maxpool(g, small, 2, 2, 0) && graph_status(g, &e) == ST_INVALID,
        "window larger than the image is refused");
  graph_free(g);
}

/* ---- the fused warp against pad, upsample, affine grid, sample, downsample ---- */
static Val warp_chain(Graph *g, Val x, const AugConfig *c, const AugParams *s, int n,
                      const int m[4]) {
  real taps[12], *th = mem_alloc(sizeof(real) * 6 * (size_t)n);
  for (int k = 0; k < 12; k++) taps[k] = (real)aug_sym6[k];
  for (int i = 0; i < n; i++) {
    double t[6];
    aug_theta(c, &s[i], m, t);
    for (int k = 0; k < 6; k++) th[6 * i + k] = (real)t[k];
  }
  Val f = g_const(g, SHAPE1(12), taps), theta = g_const(g, SHAPE3(n, 2, 3), th);
  mem_free(th);
  UpFirDn up = {2, 2, 1, 1, 6, 5, 6, 5, 0, 4, 0}, down = {1, 1, 2, 2, -1, -1, -1, -1, 1, 1, 0};
  Val u = g_upfirdn2d(g, g_reflect_pad(g, x, m[0], m[1], m[2], m[3]), f, &up);
  return g_upfirdn2d(
      g, g_grid_sample(g, u, g_affine_grid(g, theta, 2 * (c->res + 6), 2 * (c->res + 6))), f,
      &down);
}

static void test_warp(int trial) {
  enum { N = 3 };
  Error e = {0};
  AugConfig c;
  int res = between(8, 33), ch = between(1, 2), m[4];
  aug_preset(&c, "bg", ch, res, &e);
  AugParams s[N];
  for (int i = 0; i < N; i++) {
    AugDraws d;
    aug_draw(&c, &rng, &d);
    aug_params(&c, 0.9, &d, &s[i]);
    if (trial == 0) s[i].G[2] += 1000; /* all outside: zeros */
    /* far zoom out: the padded image is small inside zeros */
    if (trial == 1)
      for (int k = 0; k < 6; k++) s[i].G[k] *= 8;
  }
  aug_margin(&c, s, N, m);
  real geo[N * 10], taps[12];
  for (int i = 0; i < N; i++)
    for (int k = 0; k < 10; k++) geo[10 * i + k] = (real)(k < 6 ? s[i].G[k] : m[k - 6]);
  for (int k = 0; k < 12; k++) taps[k] = (real)aug_sym6[k];
  Graph *g = graph_new();
  Val x = g_input(g, "x", SHAPE4(N, ch, res, res)),
      y = g_warp(g, x, g_const(g, SHAPE2(N, 10), geo), g_const(g, SHAPE1(12), taps));
  check_linear((Linear){g, x, y}, "warp", NULL);
  Val z = warp_chain(g, x, &c, s, N, m);
  int64_t n = shape_numel(graph_shape(g, x));
  Plan *p = NULL;
  CHECK(plan_new(g, 2, (Val[]){y, z}, NULL, &p, &e) == ST_OK, "warp plan: %s", e.msg);
  if (p) {
    rng_fill_normal(&rng, plan_data(p, x), n);
    CHECK(plan_run(p, &e) == ST_OK, "run");
    double d = max_diff(plan_data(p, y), plan_data(p, z), n);
    CHECK(d < 4e-4, "fused warp equals the chain at %d, margins %d,%d,%d,%d: %.3g", res, m[0], m[1],
          m[2], m[3], d);
    if (trial == 0) CHECK(norm(plan_data(p, y), n) == 0, "outside is zero");
  }
  plan_free(p);
  graph_free(g);
}

/* NaN, infinite or huge geometry stays inside the arrays */
static void test_warp_bad_numbers(void) {
  const real bad[4] = {(real)NAN, (real)INFINITY, (real)1e30, (real)-1e30};
  Error e = {0};
  Graph *g = graph_new();
  Val x = g_input(g, "x", SHAPE4(4, 1, 16, 16)), geo = g_input(g, "geo", SHAPE2(4, 10)),
      f = g_input(g, "f", SHAPE1(12)), y = g_warp(g, x, geo, f), d = g_grad1(g, y, x);
  Plan *p = NULL;
  CHECK(plan_new(g, 2, (Val[]){y, d}, NULL, &p, &e) == ST_OK, "plan: %s", e.msg);
  for (int k = 0; p && k < 10; k++) {
    real *q = plan_data(p, geo);
    for (int i = 0; i < 40; i++) q[i] = i % 10 == k ? bad[i / 10] : 1;
    CHECK(plan_run(p, &e) == ST_OK || e.code == ST_NUMERIC, "bad geometry, element %d", k);
  }
  plan_free(p);
  graph_free(g);
}

/* ---- the pipe ---- */
typedef struct Pipe {
  Graph *g;
  Plan *p;
  Val x;
  Val y;
  Val dx;
  AugNodes nodes;
  AugConfig c;
  int n;
} Pipe;
static bool pipe_open(Pipe *q, const char *preset, int channels, int res, int n,
                      const AugChannel *policy) {
  Error e = {0};
  memset(q, 0, sizeof *q);
  q->n = n;
  bool ok = aug_preset(&q->c, preset, channels, res, &e) == ST_OK;
  for (int k = 0; policy && k < channels; k++) q->c.channel[k] = policy[k];
  q->g = graph_new();
  q->x = g_input(q->g, "img", SHAPE4(n, channels, res, res));
  q->y = aug_build(q->g, &q->c, q->x, &q->nodes);
  q->dx = g_grad1(q->g, g_square(q->g, q->y), q->x);
  ok = ok && graph_status(q->g, &e) == ST_OK &&
       plan_new(q->g, 2, (Val[]){q->y, q->dx}, NULL, &q->p, &e) == ST_OK;
  CHECK(ok, "pipe %s, %d channels: %s", preset, channels, e.msg);
  return ok;
}

static void pipe_close(Pipe *q) {
  plan_free(q->p);
  graph_free(q->g);
}

static void pipe_run(Pipe *q, double p) {
  Error e = {0};
  AugParams s[64];
  for (int i = 0; i < q->n; i++) {
    AugDraws d;
    aug_draw(&q->c, &rng, &d);
    aug_params(&q->c, p, &d, &s[i]);
  }
  aug_fill(&q->c, &q->nodes, q->p, s, q->n, NULL, &rng);
  CHECK(plan_run(q->p, &e) == ST_OK, "run: %s", e.msg);
}

static void fill_image(Pipe *q) {
  real *x = plan_data(q->p, q->x);
  int64_t n = shape_numel(graph_shape(q->g, q->x));
  for (int64_t i = 0; i < n; i++) x[i] = (real)(2 * rng_uniform(&rng) - 1);
}

static void test_identity(void) {
  static const struct {
    int channels;
    AugChannel policy[5];
  } kinds[] = {{1, {AUGC_GREY}},
               {3, {AUGC_RGB, AUGC_RGB, AUGC_RGB}},
               {3, {AUGC_GREY, AUGC_MASK, AUGC_GREY}},
               {5, {AUGC_RGB, AUGC_RGB, AUGC_RGB, AUGC_MASK, AUGC_GREY}}};
  static const char *const names[] = {"none",  "blit",   "geom", "color",  "filter",
                                      "noise", "cutout", "bgc",  "bgcfnc", "qsm"};
  for (int i = 0; i < COUNT_OF(kinds); i++)
    for (int k = 0; k < COUNT_OF(names); k++) {
      Pipe q;
      if (pipe_open(&q, names[k], kinds[i].channels, 64, 2, kinds[i].policy)) {
        fill_image(&q);
        pipe_run(&q, 0);
        double d = max_diff(plan_data(q.p, q.x), plan_data(q.p, q.y),
                            (int64_t)2 * kinds[i].channels * 64 * 64);
        CHECK(d <= 4e-5, "p = 0 is the identity: %s, %d channels: %.3g", names[k],
              kinds[i].channels, d);
      }
      pipe_close(&q);
    }
}

/* A constant image in every channel: colour may move grey channels only, and no channel may see
 * another one. */
static void test_policy(void) {
  const AugChannel policy[5] = {AUGC_GREY, AUGC_MASK, AUGC_GREY, AUGC_MASK, AUGC_GREY};
  enum { N = 16, R = 32 };
  Pipe q;
  bool ok = pipe_open(&q, "color", 5, R, N, policy), moved = false, mask = true, same = true;
  if (ok) {
    fill_image(&q);
    pipe_run(&q, 1);
    real *x = plan_data(q.p, q.x), *y = plan_data(q.p, q.y),
         *keep = mem_alloc(sizeof(real) * N * 5 * R * R);
    for (int i = 0; i < N * 5; i++) {
      double d = max_diff(x + i * R * R, y + i * R * R, R * R);
      if (policy[i % 5] == AUGC_MASK)
        mask = mask && d <= 1e-6;
      else
        moved = moved || d > 0.1;
    }
    CHECK(mask, "colour leaves mask channels alone");
    CHECK(moved, "colour moves grey channels");
    memcpy(keep, y, sizeof(real) * N * 5 * R * R);
    /* change one contrast only */
    for (int i = 0; i < N; i++)
      for (int k = 0; k < R * R; k++) x[(i * 5 + 2) * R * R + k] = 0;
    Error e = {0};
    plan_run(q.p, &e);
    for (int i = 0; i < N * 5; i++)
      same = same && (i % 5 == 2 || max_diff(keep + i * R * R, y + i * R * R, R * R) == 0);
    CHECK(same, "contrasts are never mixed");
    mem_free(keep);
  }
  pipe_close(&q);
  if (pipe_open(&q, "bgcfnc", 5, R, N, policy)) { /* an empty mask stays empty, whatever happens */
    real *x = plan_data(q.p, q.x);
    for (int i = 0; i < N * 5 * R * R; i++) x[i] = -1;
    bool empty = true;
    for (int round = 0; round < 3; round++) {
      pipe_run(&q, 1);
      const real *y = plan_data(q.p, q.y);
      for (int i = 0; i < N * 5; i++)
        for (int k = 0; policy[i % 5] == AUGC_MASK && k < R * R; k++)
          empty = empty && fabs(y[i * R * R + k] + 1) < 1e-5;
    }
    CHECK(empty, "an empty mask channel stays empty under the complete pipe");
  }
  pipe_close(&q);
}

static void test_qsm(void) {
  Error e = {0};
  AugConfig c, full;
  CHECK(aug_preset(&c, "qsm", 1, 64, &e) == ST_OK && aug_preset(&full, "bgc", 1, 64, &e) == ST_OK,
        "presets");
  CHECK(aug_preset(&full, "bgx", 1, 64, &e) == ST_INVALID && strstr(e.msg, "bgcfnc"),
        "unknown preset lists the known ones");
  CHECK(aug_preset(&full, "bgc", 17, 64, &e) == ST_INVALID, "too many channels");
  aug_preset(&full, "bgc", 1, 64, &e);
  int negative = 0, flipped = 0;
  for (int i = 0; i < 4000; i++) {
    AugDraws d;
    AugParams a, b;
    aug_draw(&c, &rng, &d);
    aug_params(&c, 1, &d, &a);
    aug_params(&full, 1, &d, &b);
    negative += a.grey[0] <= 0;
    flipped += b.grey[0] < 0;
  }
  CHECK(negative == 0, "qsm never turns the sign");
  CHECK(flipped > 1800 && flipped < 2200, "bgc flips half of the samples: %d of 4000", flipped);
}

static void test_frequencies(void) {
  Error e = {0};
  AugConfig c;
  enum { N = 20000 };
  for (int k = 0; k < 3; k++) {
    double p = (double[]){0.2, 0.6, 1.0}[k], tol = 5 * sqrt(p * (1 - p) / N) + 1e-9;
    int rot = 0, flip = 0, quarter = 0, cut = 0, sigma = 0, shift = 0;
    aug_preset(&c, "none", 1, 64, &e);
    c.mult[AUG_ROTATE] = c.mult[AUG_CUTOUT] = c.mult[AUG_NOISE] = 1;
    AugConfig b = c, r = c, t = c;
    b.mult[AUG_ROTATE] = r.mult[AUG_ROTATE] = t.mult[AUG_ROTATE] = 0;
    b.mult[AUG_XFLIP] = r.mult[AUG_ROTATE90] = t.mult[AUG_XFRAC] = 1;
    for (int i = 0; i < N; i++) {
      AugDraws d;
      AugParams s;
      aug_draw(&c, &rng, &d);
      aug_params(&c, p, &d, &s);
      rot += fabs(s.G[1]) > 1e-9;
      cut += s.cut;
      sigma += s.sigma > 0;
      aug_params(&b, p, &d, &s);
      flip += s.G[0] < 0;
      aug_params(&r, p, &d, &s);
      quarter += fabs(s.G[0] - 1) > 1e-9;
      aug_params(&t, p, &d, &s);
      shift += s.G[2] != 0;
    }
    CHECK(fabs((double)rot / N - p) <= tol, "P(rotate pre or post) = %g, found %g", p,
          (double)rot / N);
    CHECK(fabs((double)cut / N - p) <= tol && fabs((double)sigma / N - p) <= tol &&
              fabs((double)shift / N - p) <= tol,
          "cutout, noise, translation at p = %g", p);
    CHECK(fabs((double)flip / N - p / 2) <= tol + 0.02,
          "half of the selected samples flip: %g at p = %g", (double)flip / N, p);
    CHECK(fabs((double)quarter / N - 0.75 * p) <= tol + 0.02, "three quarters turn: %g at p = %g",
          (double)quarter / N, p);
  }
}

/* Same bits with any number of threads; same numbers to rounding with any instruction set. */
static void test_determinism(void) {
  const AugChannel policy[5] = {AUGC_RGB, AUGC_RGB, AUGC_RGB, AUGC_GREY, AUGC_MASK};
  Pipe q;
  Error e = {0};
  if (pipe_open(&q, "bgcfnc", 5, 48, 7, policy)) {
    int64_t n = (int64_t)7 * 5 * 48 * 48;
    real *y = mem_alloc(sizeof(real) * (size_t)n), *d = mem_alloc(sizeof(real) * (size_t)n);
    fill_image(&q);
    threads_set(1);
    pipe_run(&q, 0.8);
    memcpy(y, plan_data(q.p, q.y), sizeof(real) * (size_t)n);
    memcpy(d, plan_data(q.p, q.dx), sizeof(real) * (size_t)n);
    threads_set(3);
    plan_run(q.p, &e);
    CHECK(!memcmp(y, plan_data(q.p, q.y), sizeof(real) * (size_t)n) &&
              !memcmp(d, plan_data(q.p, q.dx), sizeof(real) * (size_t)n),
          "one and three threads give the same bits");
    IsaLevel now = isa_current();
    for (int k = 0; k < ISA_COUNT; k++)
      if (isa_set((IsaLevel)k)) {
        plan_run(q.p, &e);
        CHECK(max_diff(y, plan_data(q.p, q.y), n) < 1e-4 &&
                  max_diff(d, plan_data(q.p, q.dx), n) < 1e-3,
              "instruction set %s agrees", isa_name((IsaLevel)k));
      }
    isa_set(now);
    threads_set(0);
    mem_free(y);
    mem_free(d);
  }
  pipe_close(&q);
}

static void test_errors(void) {
  Error e = {0};
  AugConfig c;
  AugNodes nodes;
  for (int k = 0; k < 3; k++) {
    Graph *g = graph_new();
    aug_preset(&c, k == 0 ? "filter" : "bgc", k == 1 ? 4 : 3, 16, &e);
    c.channel[0] = k == 1 ? AUGC_RGB : AUGC_GREY;
    Val x = g_input(g, "x", k == 2 ? SHAPE4(1, 3, 32, 32) : SHAPE4(1, c.channels, 16, 16));
    CHECK(!aug_build(g, &c, x, &nodes) && graph_status(g, &e) == ST_INVALID,
          "impossible pipe %d is refused: %s", k, e.msg);
    graph_free(g);
  }
}

int main(void) {
  for (int i = 0; i < 60; i++) test_upfirdn(i);
  for (int i = 0; i < 12; i++) test_sampling(i);
  test_pool();
  for (int i = 0; i < 12; i++) test_warp(i);
  test_warp_bad_numbers();
  test_identity();
  test_policy();
  test_qsm();
  test_frequencies();
  test_determinism();
  test_errors();
  threads_stop();
  CHECK(mem_live_count() == 0, "nothing leaks: %zu blocks", mem_live_count());
  return test_end();
}
