/* plan_up.c: where a map of twice the size that a filter makes is added to what a convolution makes
 * and to nothing else, as the gradients at a block of a discriminator are, the convolution's store
 * reads the small map through the filter: two by two of its pixels for each of its own. The loop
 * that was in the filter's store runs there, and the convolution's own result, which was written
 * and read again, is in registers only. */
#include <math.h>
#include <string.h>
#include "core/plan_impl.h"

/* Whether the step is such a filter with a loop in its store; *up: how it reads. */
static bool up_is_filter(const Plan *p, const Step *s, PwUp *up) {
  const Node *n = s->conv ? &p->value[s->conv].node : NULL;
  if (!n || n->op != OP_upfirdn2d || s->prog->up.map) return false;
  const UpfirdnAttr *a = &n->attr.upfirdn;
  *up =
      (PwUp){(uint8_t)(s->store_from + 1), (uint8_t)s->prog->narg, a->flip != 0, a->pady0, a->padx0,
             (float)sqrt(a->gain)};
  return a->upx == 2 && a->upy == 2 && a->downx == 1 && a->downy == 1 && !a->per_sample &&
         s->shape[1].rank == 1 && s->shape[1].dim[0] == 4 && s->nargs < PW_MAX_ARGS;
}

/* The convolution, with nothing in its store, that makes argument i of the loop of step b for that
 * alone; -1: none. */
static int up_maker(const Plan *p, int b, int i) {
  const Step *s = &p->step[b];
  const Val v = s->arg[MAX_IN + i] ? plan_root(p, s->arg[MAX_IN + i]) : 0;
  const int a = v && i != s->store_from ? plan_store_maker(p, p->nkept, v) : -1;
  if (a < 0 || a >= b || !shape_eq(s->prog->arg_shape[i], s->prog->iter) ||
      !shape_eq(p->value[v].node.shape, s->prog->iter) || plan_store_readers(p, v) > 1)
    return -1;
  const Step *t = &p->step[a];
  const bool filter = p->value[t->value].node.op == OP_upfirdn2d;
  return !t->prog && !filter && plan_store_product(p, t) ? a : -1;
}

/* Convolution t with the loop of filter s, argument i of which is its result. */
static void up_join(const Step *t, const Step *s, int i, const PwUp *up, Step *m, PwProgram *q) {
  const int n = s->prog->narg;
  *q = *s->prog;
  q->up = *up;
  q->arg_shape[s->store_from] = s->shape[0];
  *m = *t;
  m->value = s->value;
  memcpy(m->more, s->more, sizeof m->more);
  m->conv = t->value;
  m->prog = q;
  m->store_from = i;
  for (int k = t->nargs; k < MAX_IN; k++) m->arg[k] = 0;
  for (int k = 0; k < n; k++) {
    m->arg[MAX_IN + k] = k == i ? 0 : s->arg[k == s->store_from ? 0 : MAX_IN + k];
    m->shape[MAX_IN + k] = s->shape[k == s->store_from ? 0 : MAX_IN + k];
  }
  plan_store_argument(m, q, s->arg[1], s->shape[1]); /* there is room: up_is_filter */
}

/* Step b, a filter, becomes the convolution that reads through it. */
static bool up_take(Plan *p, int b) {
  Step *s = &p->step[b], m;
  PwProgram q;
  PwUp up;
  if (!s->prog || !up_is_filter(p, s, &up)) return false;
  for (int i = 0; i < s->prog->narg; i++) {
    const int a = up_maker(p, b, i);
    if (a < 0) continue;
    up_join(&p->step[a], s, i, &up, &m, &q);
    const DevStep d = plan_dev_step(p, &m);
    if (!p->backend->can_store(p->backend, &d, &q, i)) continue;
    p->value[p->step[a].value].step = false;
    *s->prog = q;
    m.prog = s->prog;
    *s = m;
    memmove(p->step + a, p->step + a + 1, (size_t)(p->nstep - a - 1) * sizeof *p->step);
    p->nstep--;
    return true;
  }
  return false;
}

void plan_ups(Plan *p) {
  for (int b = p->nkept; b < p->nstep;) b += !up_take(p, b);
}
