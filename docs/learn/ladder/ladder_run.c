/* ladder_run.c: problems, their oracle, and how a rung is judged. Shared by climb.c and
 * test/test_oracle.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "core/ops.h"
#include "core/plan.h"
#include "docs/learn/ladder/ladder.h"

ConvGeom ladder_conv(int64_t n, int64_t ci, int64_t side, int64_t co, int64_t k, int64_t stride,
                     int64_t pad) {
  ConvGeom g = {.stride = (int)stride,
                .pad = (int)pad,
                .n = n,
                .ci = ci,
                .h = side,
                .w = side,
                .co = co,
                .kh = k,
                .kw = k};
  g.oh = g.ow = (side + 2 * pad - k) / stride + 1;
  return g;
}

static double ladder_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- problems ---- */
static void problem_sizes(Problem *p) {
  if (p->kind == LADDER_MATMUL) {
    const MatmulSize *s = p->size;
    p->len[0] = s->m * s->k;
    p->len[1] = s->k * s->n;
    p->out = s->m * s->n;
    p->flop = 2.0 * (double)(p->out * s->k);
    snprintf(p->text, sizeof p->text, "[%lld,%lld] x [%lld,%lld]", (long long)s->m, (long long)s->k,
             (long long)s->k, (long long)s->n);
  } else if (p->kind == LADDER_UPFIRDN) {
    const FirSize *s = p->size;
    p->len[0] = s->planes * s->h * s->w;
    p->len[1] = s->taps;
    p->out = s->planes * fir_side(s, s->h) * fir_side(s, s->w);
    p->flop = 2.0 * (double)(p->out * s->taps * s->taps);
    snprintf(p->text, sizeof p->text, "[%lld,%lld,%lld] up %lld down %lld, %lld taps",
             (long long)s->planes, (long long)s->h, (long long)s->w, (long long)s->up,
             (long long)s->down, (long long)s->taps);
  } else {
    const ConvGeom *s = p->size;
    p->len[0] = s->n * s->ci * s->h * s->w;
    p->len[1] = s->co * s->ci * s->kh * s->kw;
    p->len[2] = s->n * s->ci;
    p->out = s->n * s->co * s->oh * s->ow;
    p->flop = 2.0 * (double)(p->out * s->ci * s->kh * s->kw);
    snprintf(p->text, sizeof p->text, "[%lld,%lld,%lld,%lld] to %lld channels, %lldx%lld",
             (long long)s->n, (long long)s->ci, (long long)s->h, (long long)s->w, (long long)s->co,
             (long long)s->kh, (long long)s->kw);
  }
  p->inputs = p->kind == LADDER_MODCONV ? 3 : 2;
}

static void problem_oracle(Problem *p, double *const *in) {
  const double start = ladder_clock();
  switch (p->kind) {
    case LADDER_MATMUL: matmul_0_naive(p->size, in[0], in[1], p->want); break;
    case LADDER_CONV: conv_0_naive(p->size, in[0], in[1], p->want); break;
    case LADDER_MODCONV: modconv_0_naive(p->size, in[0], in[1], in[2], p->want); break;
    default: upfirdn_0_naive(p->size, in[0], in[1], p->want);
  }
  p->seconds = ladder_clock() - start;
}

bool problem_new(LadderKind kind, const void *size, uint64_t seed, Problem *p) {
  Rng r = {.seed = seed};
  double *in[3] = {NULL, NULL, NULL};
  *p = (Problem){.kind = kind, .size = size};
  problem_sizes(p);
  bool ok = (p->want = mem_alloc((size_t)p->out * sizeof *p->want)) != NULL;
  for (int i = 0; i < p->inputs && ok; i++) {
    p->in[i] = mem_alloc((size_t)p->len[i] * sizeof *p->in[i]);
    in[i] = mem_alloc((size_t)p->len[i] * sizeof *in[i]);
    ok = p->in[i] && in[i];
    for (int64_t k = 0; k < p->len[i] && ok; k++)
      in[i][k] = p->in[i][k] = (float)(2 * rng_uniform(&r) - 1);
  }
  if (ok) problem_oracle(p, in);
  for (int i = 0; i < 3; i++) mem_free(in[i]);
  return ok;
}

void problem_free(Problem *p) {
  for (int i = 0; i < 3; i++) mem_free(p->in[i]);
  mem_free(p->want);
}

/* ---- rungs ---- */
bool ladder_fits(const Rung *r, const Problem *p) {
  const ConvGeom *g = p->size;
  if (p->kind != LADDER_CONV || !strstr(r->name, "winograd")) return true;
  return g->kh == 3 && g->kw == 3 && g->stride == 1 && g->pad == 1 && !(g->h % 2 || g->w % 2);
}

#ifndef LADDER_CARD
/* The program without a card: nothing here is called. */
float *card_new(int64_t n) { return NULL; }
void card_free(float *p) {}
void card_put(float *dst, const float *src, int64_t n) {}
void card_get(float *dst, const float *src, int64_t n) {}
const char *card_wait(void) { return "built without CUDA"; }
bool card_emulated(void) { return false; }
#endif

static double worst_difference(const Problem *p, const float *got) {
  double top = 1e-30, worst = 0;
  for (int64_t i = 0; i < p->out; i++) {
    const double d = fabs((double)got[i] - p->want[i]);
    top = fmax(top, fabs(p->want[i]));
    if (!(d <= worst)) worst = d; /* NaN counts */
  }
  return worst / top;
}

static bool ladder_runs(const Rung *r, const Problem *p, float *const *in, float *out, bool card,
                        int repeat, double *seconds) {
  for (int k = 0; k < repeat; k++) {
    const double start = ladder_clock();
    r->run(p->size, (const float *const *)in, out);
    if (card && card_wait()) return false;
    const double took = ladder_clock() - start;
    if (seconds && (!k || took < *seconds)) *seconds = took;
  }
  return true;
}

double ladder_error(const Rung *r, const Problem *p, bool card, int repeat, double *seconds) {
  const bool device = card && !r->host;
  float *in[3] = {p->in[0], p->in[1], p->in[2]}, *out, *host;
  bool ok = true;
  host = mem_alloc((size_t)p->out * sizeof *host);
  if (host) memset(host, 0xff, (size_t)p->out * sizeof *host);
  out = device ? card_new(p->out) : host;
  for (int i = 0; i < p->inputs && device; i++) {
    in[i] = card_new(p->len[i]);
    if (in[i])
      card_put(in[i], p->in[i], p->len[i]);
    else
      ok = false;
  }
  ok = ok && out && host && ladder_runs(r, p, in, out, card, repeat, seconds);
  if (ok && device) card_get(host, out, p->out);
  const double error = ok ? worst_difference(p, host) : NAN;
  if (device) {
    for (int i = 0; i < p->inputs; i++) card_free(in[i]);
    card_free(out);
  }
  mem_free(host);
  return error;
}

/* ---- today's kernel: a graph of one layer, planned once per problem ---- */
static struct {
  const void *size;
  const float *in[3];
  Graph *g;
  Plan *p;
  Val x;
  Val y;
} today;

void ladder_today_end(void) {
  plan_free(today.p);
  graph_free(today.g);
  memset(&today, 0, sizeof today);
}

/* What models/gan/synthesis.c builds, without noise, bias and activation. */
static Val modulated(Graph *g, const ConvGeom *c, Val x, Val w, const float *style) {
  const Val s = g_param(g, "style", SHAPE2(c->n, c->ci), style, true);
  const Val sums = g_sum(g, g_square(g, w), 1u << 2 | 1u << 3);
  const Val q = g_reshape(g, sums, SHAPE2(c->co, c->ci));
  const Val length = g_axpb(g, g_matmul(g, g_square(g, s), q, false, true), 1, 1e-8);
  const Val scaled = g_mul(g, x, g_reshape(g, s, SHAPE4(c->n, c->ci, 1, 1)));
  return g_mul(g, g_conv2d(g, scaled, w, c->stride, c->pad),
               g_reshape(g, g_rsqrt0(g, length), SHAPE4(c->n, c->co, 1, 1)));
}

static void today_layer(Graph *g, LadderKind kind, const void *size, const float *const *in) {
  if (kind == LADDER_MATMUL) {
    const MatmulSize *s = size;
    today.x = g_input(g, "a", SHAPE2(s->m, s->k));
    today.y = g_matmul(g, today.x, g_param(g, "b", SHAPE2(s->k, s->n), in[1], true), false, false);
  } else if (kind == LADDER_UPFIRDN) {
    const FirSize *s = size;
    const int up = (int)s->up, down = (int)s->down, p0 = (int)s->pad0, p1 = (int)s->pad1;
    const UpFirDn u = {up, up, down, down, p0, p1, p0, p1, 0, s->gain, 0};
    today.x = g_input(g, "x", SHAPE4(1, s->planes, s->h, s->w));
    today.y = g_upfirdn2d(g, today.x, g_const(g, SHAPE1(s->taps), in[1]), &u);
  } else {
    const ConvGeom *c = size;
    const Val w = g_param(g, "w", SHAPE4(c->co, c->ci, c->kh, c->kw), in[1], true);
    today.x = g_input(g, "x", SHAPE4(c->n, c->ci, c->h, c->w));
    today.y = kind == LADDER_CONV ? g_conv2d(g, today.x, w, c->stride, c->pad)
                                  : modulated(g, c, today.x, w, in[2]);
  }
}

void ladder_today(LadderKind kind, const void *size, const float *const *in, float *out,
                  Backend *where) {
  Error e = {0};
  if (today.size != size || today.in[0] != in[0] || today.in[1] != in[1]) {
    ladder_today_end();
    today.g = graph_new();
    if (!today.g) return;
    today_layer(today.g, kind, size, in);
    const PlanOptions o = {.backend = where};
    if (plan_new(today.g, 1, &today.y, &o, &today.p, &e) != ST_OK) {
      fprintf(stderr, "ladder: %s\n", e.msg);
      return;
    }
    today.size = size;
    memcpy(today.in, in, 2 * sizeof *in);
  }
  const size_t n = (size_t)shape_numel(graph_shape(today.g, today.x));
  const real *y = NULL;
  memcpy(plan_data(today.p, today.x), in[0], n * sizeof(float));
  if (plan_run(today.p, &e) == ST_OK && plan_read(today.p, today.y, &y, &e) == ST_OK)
    memcpy(out, y, (size_t)shape_numel(graph_shape(today.g, today.y)) * sizeof(float));
  else
    fprintf(stderr, "ladder: %s\n", e.msg);
}
