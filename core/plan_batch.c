/* plan_batch.c: the order of the steps on a backend. What is small there costs its launch, and
 * there is much of it (styles, weight norms, statistics, their gradients), a little beside each
 * layer. So small steps wait until a large one needs them, or the plan ends; then those of a kind
 * that wait for nothing come one after another, from all layers, and the backend may launch them
 * together (DevStep.together). Large steps keep their order, which the arena was made for. */
#include <string.h>
#include "core/plan_impl.h"

/* bytes that a small step may keep in the arena while it waits; steps of a batch */
enum { BATCH_BYTES = 2 << 20, BATCH_MOST = 64 };

/* needed: by a large step that comes next; chosen: for the batch that is made */
typedef enum { WAITS, NEEDED, CHOSEN, DONE } BatchState;

typedef struct BatchOrder {
  const Plan *p;
  /* steps lo..hi-1 of the plan are put into `to`, of which n are there */
  int lo;
  int hi;
  Step *to;
  int n;
  int *maker;     /* step of a value with memory; -1: none */
  uint8_t *state; /* BatchState of a step */
  int8_t *kind;   /* of a small step: Backend.batch_kind; -1: a large one */
} BatchOrder;

static bool batch_is_large(const BatchOrder *o, int k) {
  const Plan *p = o->p;
  const Step *s = &p->step[k];
  const PVal *out = &p->value[s->value];
  const int op = out->node.op;
  size_t bytes = (size_t)shape_numel(out->node.shape) * dtype_size(out->dtype);
  for (int r = 1; r < plan_results(s); r++) {
    const PVal *x = &p->value[plan_result(s, r)];
    bytes += (size_t)shape_numel(x->node.shape) * dtype_size(x->dtype);
  }
  if (s->conv || op == OP_conv2d || op == OP_conv2d_dx || op == OP_conv2d_dw || op == OP_conv_prep)
    return true;
  for (int i = 0; i < s->nargs; i++) {
    const Val v = s->arg[i] ? plan_root(p, s->arg[i]) : 0;
    if (v && o->maker[v] >= 0)
      bytes += (size_t)shape_numel(p->value[v].node.shape) * dtype_size(p->value[v].dtype);
  }
  return bytes > BATCH_BYTES;
}

/* All that it reads is there, or comes before lo. */
static bool batch_is_ready(const BatchOrder *o, int k) {
  const Step *s = &o->p->step[k];
  for (int i = 0; i < s->nargs; i++) {
    const int m = s->arg[i] ? o->maker[plan_root(o->p, s->arg[i])] : -1;
    if (m >= o->lo && o->state[m] != DONE) return false;
  }
  return true;
}

static bool batch_is_waiting(const BatchOrder *o, int k) {
  return o->kind[k] >= 0 && (o->state[k] == WAITS || o->state[k] == NEEDED);
}

/* Small steps that step k needs, through other small ones, too. */
static void batch_need(BatchOrder *o, int k) {
  for (int j = k; j >= o->lo; j--) {
    const Step *s = &o->p->step[j];
    if (j != k && (o->kind[j] < 0 || o->state[j] != NEEDED)) continue;
    for (int i = 0; i < s->nargs; i++) {
      const int m = s->arg[i] ? o->maker[plan_root(o->p, s->arg[i])] : -1;
      if (m >= o->lo && batch_is_waiting(o, m)) o->state[m] = NEEDED;
    }
  }
}

/* A needed step that is ready: one that is launched alone in any case, or of the kind of which most
 * are ready. -1: nothing is needed. */
static int batch_pick(const BatchOrder *o) {
  int count[BATCH_KINDS] = {0}, first[BATCH_KINDS], best = -1;
  for (int i = 0; i < BATCH_KINDS; i++) first[i] = -1;
  for (int k = o->lo; k < o->hi; k++) {
    if (!batch_is_waiting(o, k) || !batch_is_ready(o, k)) continue;
    const int kind = o->kind[k];
    count[kind]++;
    if (o->state[k] == NEEDED && first[kind] < 0) first[kind] = k;
  }
  if (first[0] >= 0) return first[0];
  for (int i = 1; i < BATCH_KINDS; i++)
    if (first[i] >= 0 && (best < 0 || count[i] > count[best])) best = i;
  return best < 0 ? -1 : first[best];
}

static void batch_emit(BatchOrder *o, int k, int before, int after) {
  Step *s = &o->to[o->n++];
  *s = o->p->step[k];
  s->batch_before = before;
  s->batch_after = after;
  o->state[k] = DONE;
}

/* Step `first`, and with it all of its kind that are ready, needed or not: they cost nothing. Those
 * that are launched alone cost the same now or later, and others may wait for them. */
static void batch_emit_kind(BatchOrder *o, int first) {
  int chosen[BATCH_MOST] = {first}, n = 1;
  const bool alone = o->kind[first] == 0;
  o->state[first] = CHOSEN;
  for (int k = o->lo; k < o->hi && n < BATCH_MOST; k++)
    if (o->kind[k] == o->kind[first] && batch_is_waiting(o, k) && batch_is_ready(o, k)) {
      o->state[k] = CHOSEN;
      chosen[n++] = k;
    }
  for (int i = 0; i < n; i++) batch_emit(o, chosen[i], alone ? 0 : i, alone ? 0 : n - 1 - i);
}

static void batch_range(BatchOrder *o, int lo, int hi) {
  o->lo = lo;
  o->hi = hi;
  for (int k = lo; k < hi; k++) {
    if (o->kind[k] >= 0) continue;
    batch_need(o, k);
    for (int j; (j = batch_pick(o)) >= 0;) batch_emit_kind(o, j);
    batch_emit(o, k, 0, 0);
  }
  for (int k = lo; k < hi; k++)
    if (batch_is_waiting(o, k)) o->state[k] = NEEDED;
  for (int j; (j = batch_pick(o)) >= 0;) batch_emit_kind(o, j);
}

/* Who makes what, and which steps are large. */
static void batch_begin(BatchOrder *o) {
  const Plan *p = o->p;
  for (Val v = 0; v < p->n; v++) o->maker[v] = -1;
  for (int k = 0; k < p->nstep; k++)
    for (int r = 0; r < plan_results(&p->step[k]); r++)
      o->maker[plan_root(p, plan_result(&p->step[k], r))] = k;
  for (int k = 0; k < p->nstep; k++)
    if (batch_is_large(o, k)) o->kind[k] = -1;
}

Status plan_batch(Plan *p, int8_t *kind, Error *e) {
  const size_t n = (size_t)p->nstep + 1;
  BatchOrder o = {.p = p,
                  .to = mem_alloc(n * sizeof *o.to),
                  .maker = mem_alloc((size_t)p->n * sizeof *o.maker),
                  .state = mem_alloc(n),
                  .kind = kind};
  const bool ok = o.to && o.maker && o.state;
  if (ok) {
    batch_begin(&o);
    batch_range(&o, 0, p->nfold);
    batch_range(&o, p->nfold, p->nkept);
    batch_range(&o, p->nkept, p->nstep);
    memcpy(p->step, o.to, (size_t)p->nstep * sizeof *p->step);
  }
  mem_free(o.to);
  mem_free(o.maker);
  mem_free(o.state);
  return ok ? ST_OK : err_set(e, ST_NOMEM, "out of memory while planning a computation");
}
