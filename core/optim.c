/* optim.c: Adam (Kingma & Ba 2015, with bias correction) and EMA over flat ranges. */
#include "core/optim.h"
#include <math.h>
#include "core/threads.h"

enum { BLOCK = 16384 };
static int64_t optim_blocks(int64_t n) { return (n + BLOCK - 1) / BLOCK; }

Status adam_init(Adam *a, int64_t n, double lr, double beta1, double beta2, double eps, Error *e) {
  *a = (Adam){.lr = lr, .beta1 = beta1, .beta2 = beta2, .eps = eps, .n = n};
  a->v = mem_alloc((size_t)n * sizeof(real));
  if (beta1 != 0) a->m = mem_alloc((size_t)n * sizeof(real));
  if (!a->v || (beta1 != 0 && !a->m)) {
    adam_free(a);
    return err_set(e, ST_NOMEM,
                   "out of memory for the Adam state of %lld parameters; choose a smaller network",
                   (long long)n);
  }
  return ST_OK;
}

void adam_free(Adam *a) {
  mem_free(a->m);
  mem_free(a->v);
  a->m = a->v = NULL;
}

/* c1, c2 = 1 - beta, formed in double: 1 - (float)0.999 would be off by 1e-5. */
typedef struct Step {
  Adam *a;
  real *p;
  const real *g;
  real lr;
  real b1;
  real b2;
  real c1;
  real c2;
  real inv_v;
  real eps;
  real m_corr;
} Step;

static void adam_block(void *ctx, int64_t block, int worker) {
  Step *s = ctx;
  int64_t lo = block * BLOCK, hi = PRLX_MIN(lo + BLOCK, s->a->n);
  real *restrict p = s->p, *restrict v = s->a->v, *restrict m = s->a->m;
  const real *restrict g = s->g;
  real lr = s->lr, b1 = s->b1, b2 = s->b2, c1 = s->c1, c2 = s->c2, inv_v = s->inv_v, eps = s->eps,
       mc = s->m_corr;
  for (int64_t i = lo; i < hi; i++) {
    real gi = g[i], mi = gi;
    if (m) {
      mi = m[i] = b1 * m[i] + c1 * gi;
      mi *= mc;
    }
    v[i] = b2 * v[i] + c2 * gi * gi;
    p[i] -= lr * mi / ((real)sqrt(v[i]) * inv_v + eps);
  }
}

void adam_step(Adam *a, real *p, const real *g) {
  a->t++;
  Step s = {a,
            p,
            g,
            (real)a->lr,
            (real)a->beta1,
            (real)a->beta2,
            (real)(1 - a->beta1),
            (real)(1 - a->beta2),
            (real)(1 / sqrt(1 - pow(a->beta2, (double)a->t))),
            (real)a->eps,
            a->beta1 != 0 ? (real)(1 / (1 - pow(a->beta1, (double)a->t))) : 1};
  par_for(optim_blocks(a->n), adam_block, &s);
}

typedef struct Flat {
  real *a;
  const real *b;
  int64_t n;
  double beta;
} Flat;

static void sanitize_block(void *ctx, int64_t block, int worker) {
  Flat *f = ctx;
  for (int64_t i = block * BLOCK; i < PRLX_MIN((block + 1) * BLOCK, f->n); i++) {
    real x = f->a[i];
    f->a[i] = x != x ? 0 : x > (real)3.4e38 ? (real)1e5 : x < (real)-3.4e38 ? (real)-1e5 : x;
  }
}

static void add_block(void *ctx, int64_t block, int worker) {
  Flat *f = ctx;
  for (int64_t i = block * BLOCK; i < PRLX_MIN((block + 1) * BLOCK, f->n); i++) f->a[i] += f->b[i];
}

static void ema_block(void *ctx, int64_t block, int worker) {
  Flat *f = ctx;
  real beta = (real)f->beta;
  for (int64_t i = block * BLOCK; i < PRLX_MIN((block + 1) * BLOCK, f->n); i++)
    f->a[i] = f->b[i] + beta * (f->a[i] - f->b[i]);
}

void grad_sanitize(real *g, int64_t n) {
  Flat f = {g, NULL, n, 0};
  par_for(optim_blocks(n), sanitize_block, &f);
}

void grad_accumulate(real *acc, const real *g, int64_t n) {
  Flat f = {acc, g, n, 0};
  par_for(optim_blocks(n), add_block, &f);
}

void ema_update(real *ema, const real *p, int64_t n, double beta) {
  Flat f = {ema, p, n, beta};
  par_for(optim_blocks(n), ema_block, &f);
}

void ema_size(real *ema, const real *p, const FlatPlaces *s, double beta) {
  const real twice = 2 * (1 - (real)beta);
  for (int i = 0; i < s->n; i++)
    if (p[s->at[i]] < 0) ema[s->at[i]] -= twice * p[s->at[i]];
}
