/* plan_layout.c: which 16-bit maps of a plan on a backend lie with their channels last, as its
 * convolutions read them (MapLayout), and which as planes, to be laid out again in scratch by each
 * convolution. What the same loop, sum or filter walks lies alike: those maps are one set, with
 * their channels last where each of their steps can do so and fewer bytes are moved that way. */
#include <string.h>
#include "core/plan_impl.h"

/* of a value */
typedef struct LayoutOf {
  Val set;        /* 0: no 16-bit map; else the next one on the way to the set's first value */
  bool never;     /* of the first value of a set: one of its maps must lie in planes */
  bool must;      /* of a first value, too */
  MapLayout last; /* with all margins that its readers want */
} LayoutOf;

typedef struct LayoutSets {
  Plan *p;
  LayoutOf *of;
} LayoutSets;

static Val layout_set(const LayoutSets *l, Val v) {
  while (l->of[v].set != v) v = l->of[v].set;
  return v;
}

/* The value with memory behind operand `slot` (-1 and less: the results) of s, where it is a 16-bit
 * map. */
static Val layout_value(const LayoutSets *l, const Step *s, int slot) {
  const Val v = slot < 0 ? plan_result(s, -1 - slot) : s->arg[slot];
  const Val root = v ? plan_root(l->p, v) : 0;
  return root && l->of[root].set ? root : 0;
}

/* Both in one set. */
static void layout_join(LayoutSets *l, Val a, Val b) {
  a = layout_set(l, a);
  b = layout_set(l, b);
  if (a == b) return;
  l->of[b].set = a;
  l->of[a].never = l->of[a].never || l->of[b].never;
  l->of[a].must = l->of[a].must || l->of[b].must;
}

/* What the backend says of one operand. A map that is read in another shape stays as it is. */
static void layout_ask(LayoutSets *l, const Step *s, const DevStep *d, int slot) {
  Backend *b = l->p->backend;
  const Val v = layout_value(l, s, slot);
  if (!v) return;
  const Shape own = l->p->value[v].node.shape, seen = slot < 0 ? own : s->shape[slot];
  LayoutOf *first = &l->of[layout_set(l, v)];
  const int answer = shape_eq(own, seen) ? b->channels_last(b, d, slot, &l->of[v].last) : LAST_NO;
  first->never = first->never || answer == LAST_NO;
  first->must = first->must || answer == LAST_MUST;
}

/* A convolution may read what lies otherwise than what it makes; the loop in its store, and all
 * else, may not. */
static void layout_step(LayoutSets *l, const Step *s) {
  const DevStep d = plan_dev_step(l->p, s);
  const bool conv =
      !d.prog && (d.node.op == OP_conv2d || d.node.op == OP_conv2d_dx || d.node.op == OP_conv2d_dw);
  Val with = 0;
  for (int slot = -plan_results(s); slot < s->nargs; slot++) {
    const Val v = layout_value(l, s, slot);
    layout_ask(l, s, &d, slot);
    if (!v || (conv && slot >= 0 && slot < MAX_IN)) continue;
    if (with) layout_join(l, with, v);
    with = v;
  }
}

static void layout_lay(LayoutSets *l, Val set, bool last) {
  for (Val v = 1; v < l->p->n; v++)
    if (l->of[v].set && layout_set(l, v) == set)
      l->p->value[v].lies = last ? l->of[v].last : (MapLayout){0};
}

static bool layout_touches(const LayoutSets *l, const Step *s, Val set) {
  for (int slot = -plan_results(s); slot < s->nargs; slot++) {
    const Val v = layout_value(l, s, slot);
    if (v && layout_set(l, v) == set) return true;
  }
  return false;
}

/* Bytes that the steps around a set move: operands, and scratch, written and read. */
static double layout_bytes(const LayoutSets *l, Val set) {
  Plan *p = l->p;
  double bytes = 0;
  for (int k = 0; k < p->nstep; k++) {
    if (!layout_touches(l, &p->step[k], set)) continue;
    const DevStep d = plan_dev_step(p, &p->step[k]);
    bytes += plan_step_bytes(p, k) + 2 * (double)p->backend->scratch(p->backend, &d);
  }
  return bytes;
}

/* The cheaper of the two for each set, beside what the others are, channels last where they are
 * alike: stores can do more then (plan_up.c, plan_dot.c). False: nothing changed. */
static bool layout_choose(LayoutSets *l) {
  bool changed = false;
  for (Val v = 1; v < l->p->n; v++) {
    const LayoutOf *x = &l->of[v];
    if (x->set != v || x->never || x->must) continue;
    const bool was = l->p->value[v].lies.last;
    layout_lay(l, v, true);
    const double last = layout_bytes(l, v);
    layout_lay(l, v, false);
    const bool now = last <= layout_bytes(l, v);
    layout_lay(l, v, now);
    changed = changed || now != was;
  }
  return changed;
}

enum { LAYOUT_ROUNDS = 4 };

Status plan_layouts(Plan *p, Error *e) {
  LayoutSets l = {p, NULL};
  if (!p->backend->channels_last) return ST_OK;
  l.of = mem_alloc((size_t)p->n * sizeof *l.of);
  if (!l.of) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].step && p->value[v].root == v && p->value[v].dtype != DT_F32) {
      l.of[v].set = v;
      l.of[v].last.last = 1;
    }
  for (int k = 0; k < p->nstep; k++) layout_step(&l, &p->step[k]);
  for (Val v = 1; v < p->n; v++)
    if (l.of[v].set == v) layout_lay(&l, v, !l.of[v].never);
  for (int k = 0; k < LAYOUT_ROUNDS; k++)
    if (!layout_choose(&l)) break;
  mem_free(l.of);
  return ST_OK;
}
