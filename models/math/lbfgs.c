/* lbfgs.c: see lbfgs.h. The state is the last accepted point with its gradient, a ring of steps and
 * gradient changes, and the line search under way. */
#include "models/math/lbfgs.h"
#include <math.h>
#include <string.h>

/* Armijo's constant, and how often a step is shortened before the memory is dropped. */
#define LBFGS_DECREASE 1e-4
enum { LBFGS_SHORTEN = 8 };

struct Lbfgs {
  int64_t n;
  int memory;
  int kept;          /* steps in the ring */
  int next;          /* where the next one goes */
  int tries;         /* of the line search under way */
  bool started;      /* the value at x is known */
  double first;      /* length of the first step */
  double value;      /* at x */
  double slope;      /* gradient times direction, negative */
  double step;       /* multiple of the direction that is being tried */
  double *x;         /* [n] the best point, [n] each the rest */
  double *gradient;  /* at x */
  double *direction; /* x + step * direction is tried */
  double *point;     /* the point that is being tried */
  double *move;      /* [memory,n] steps */
  double *bend;      /* [memory,n] changes of the gradient */
  double *weight;    /* [memory] 1 / <move, bend> */
  double *alpha;     /* [memory] of the two-loop recursion */
};

static double inner_product(const double *a, const double *b, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += a[i] * b[i];
  return s;
}

Status lbfgs_new(int64_t n, int memory, Lbfgs **out, Error *e) {
  *out = NULL;
  if (n < 1 || memory < 1)
    return err_set(e, ST_INVALID, "L-BFGS: %lld variables, memory of %d steps; expected at least 1",
                   (long long)n, memory);
  Lbfgs *m = mem_alloc(sizeof *m);
  const size_t vectors = 4 + 2 * (size_t)memory;
  size_t numbers, bytes;
  if (!m || !mul_ok(vectors, (uint64_t)n, &numbers) ||
      !mul_ok(numbers + 2 * (size_t)memory, sizeof(double), &bytes) || !(m->x = mem_alloc(bytes))) {
    mem_free(m);
    return err_set(e, ST_NOMEM, "L-BFGS: out of memory for %lld variables; free memory",
                   (long long)n);
  }
  m->n = n;
  m->memory = memory;
  m->gradient = m->x + n;
  m->direction = m->gradient + n;
  m->point = m->direction + n;
  m->move = m->point + n;
  m->bend = m->move + memory * n;
  m->weight = m->bend + memory * n;
  m->alpha = m->weight + memory;
  *out = m;
  return ST_OK;
}

void lbfgs_free(Lbfgs *m) {
  if (!m) return;
  mem_free(m->x);
  mem_free(m);
}

void lbfgs_start(Lbfgs *m, const double *x, double first) {
  memcpy(m->x, x, (size_t)m->n * sizeof *x);
  memcpy(m->point, x, (size_t)m->n * sizeof *x);
  m->kept = 0;
  m->next = 0;
  m->tries = 0;
  m->started = false;
  m->first = first;
  m->value = HUGE_VAL;
}

const double *lbfgs_point(const Lbfgs *m) { return m->point; }
const double *lbfgs_best(const Lbfgs *m) { return m->x; }
double lbfgs_value(const Lbfgs *m) { return m->value; }

/* Ring position of the step that was taken `back` steps ago (0: the last). */
static int ring_at(const Lbfgs *m, int back) {
  return (m->next - 1 - back + 2 * m->memory) % m->memory;
}

/* direction = -H gradient, H the inverse Hessian of the remembered steps (algorithm 7.4); without
 * any, steepest descent of the given length. */
static void find_direction(Lbfgs *m) {
  const int64_t n = m->n;
  double *d = m->direction;
  for (int64_t i = 0; i < n; i++) d[i] = -m->gradient[i];
  for (int k = 0; k < m->kept; k++) {
    const int at = ring_at(m, k);
    m->alpha[at] = m->weight[at] * inner_product(m->move + at * n, d, n);
    for (int64_t i = 0; i < n; i++) d[i] -= m->alpha[at] * m->bend[at * n + i];
  }
  double scale;
  if (m->kept) {
    const double *y = m->bend + ring_at(m, 0) * n;
    scale = 1 / (m->weight[ring_at(m, 0)] * inner_product(y, y, n));
  } else
    scale = m->first / sqrt(inner_product(m->gradient, m->gradient, n));
  for (int64_t i = 0; i < n; i++) d[i] *= scale;
  for (int k = m->kept - 1; k >= 0; k--) {
    const int at = ring_at(m, k);
    const double beta = m->weight[at] * inner_product(m->bend + at * n, d, n);
    for (int64_t i = 0; i < n; i++) d[i] += m->move[at * n + i] * (m->alpha[at] - beta);
  }
  m->slope = inner_product(d, m->gradient, n);
}

/* The next point to try along the direction. */
static void place_point(Lbfgs *m) {
  for (int64_t i = 0; i < m->n; i++) m->point[i] = m->x[i] + m->step * m->direction[i];
}

/* A new line search from x; without a way down the remembered steps are dropped once. */
static bool begin_search(Lbfgs *m) {
  find_direction(m);
  if (!(m->slope < 0) && m->kept) {
    m->kept = 0;
    find_direction(m);
  }
  if (!(m->slope < 0)) return false;
  m->step = 1;
  m->tries = 0;
  place_point(m);
  return true;
}

static void accept_point(Lbfgs *m, double value, const double *gradient) {
  const int64_t n = m->n;
  double *s = m->move + m->next * n, *y = m->bend + m->next * n;
  for (int64_t i = 0; i < n; i++) {
    s[i] = m->point[i] - m->x[i];
    y[i] = gradient[i] - m->gradient[i];
  }
  /* Only steps along which the slope grows keep the inverse Hessian positive. */
  const double curve = inner_product(s, y, n), least = 1e-12 * inner_product(y, y, n);
  if (curve > least) {
    m->weight[m->next] = 1 / curve;
    m->next = (m->next + 1) % m->memory;
    m->kept = PRLX_MIN(m->kept + 1, m->memory);
  }
  memcpy(m->x, m->point, (size_t)n * sizeof *m->x);
  memcpy(m->gradient, gradient, (size_t)n * sizeof *gradient);
  m->value = value;
}

/* The minimum of the parabola through value, slope and the value tried, within a tenth and a half
 * of the step. */
static double step_shorter(const Lbfgs *m, double value) {
  if (!isfinite(value)) return 0.5 * m->step;
  const double bend = value - m->value - m->slope * m->step;
  const double best = bend > 0 ? -m->slope * m->step * m->step / (2 * bend) : 0.5 * m->step;
  return PRLX_MAX(0.1 * m->step, PRLX_MIN(0.5 * m->step, best));
}

bool lbfgs_tell(Lbfgs *m, double value, const double *gradient) {
  if (!m->started) {
    if (!isfinite(value)) return false;
    m->started = true;
    m->value = value;
    memcpy(m->gradient, gradient, (size_t)m->n * sizeof *gradient);
    return begin_search(m);
  }
  if (isfinite(value) && value <= m->value + LBFGS_DECREASE * m->step * m->slope) {
    accept_point(m, value, gradient);
    return begin_search(m);
  }
  if (++m->tries < LBFGS_SHORTEN) {
    m->step = step_shorter(m, value);
    place_point(m);
    return true;
  }
  if (!m->kept) return false;
  m->kept = 0;
  return begin_search(m);
}
