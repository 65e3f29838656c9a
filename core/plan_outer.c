/* plan_outer.c: convolutions of one pixel and one channel on a backend, as loops. The gradient of
 * an image of one channel for the map that it was made of is their product, a number of the image
 * times a number of the channel, and what others make of it reads it in their own pass
 * (plan_multi.c): it needs no memory where all of them can be joined. The gradients of the weights
 * of such a layer and of its styles come from one sum over the pixels, of the map times the
 * gradient of the image; what depends on images and channels alone is multiplied afterwards. */
#include <string.h>
#include "core/plan_impl.h"

/* The steps as they are to be, and the first of the values that are added. */
typedef struct Outer {
  Plan *p;
  Step *to;
  int n;
  Val first;
  bool *spread; /* step of `to` that outer_dx made */
} Outer;

/* Value v from a program of one operation or sum, whose arguments follow. False: out of memory. */
static bool outer_emit(Outer *o, Val v, const PwProgram *q, Val lhs, Val rhs) {
  PwProgram *own = mem_alloc(sizeof *own);
  if (!own) return false;
  *own = *q;
  o->to[o->n++] = (Step){.value = v, .prog = own, .nargs = q->narg, .arg = {lhs, rhs}};
  Node *n = &o->p->value[v].node;
  *n = (Node){.op = q->reduce ? OP_sum : OP_mul,
              .nin = 2,
              .in = {lhs, rhs},
              .shape = n->shape,
              .name = n->name};
  return true;
}

/* The product of two values, or its sum where `to` is smaller. */
static PwProgram outer_program(Shape lhs, Shape rhs, Shape iter, Shape to) {
  return (PwProgram){.nop = 1,
                     .narg = 2,
                     .op = {{.op = OP_mul, .lhs = -1, .rhs = -2}},
                     .iter = iter,
                     .arg_shape = {lhs, rhs},
                     .out_shape = to,
                     .reduce = !shape_eq(iter, to)};
}

/* t[n,c] = sum of x[n,c,y,x] dy[n,0,y,x] over y, x: a value of its own, once. 0: out of memory. */
static Val outer_sum(Outer *o, Val x, Val dy, int32_t samples) {
  Plan *p = o->p;
  const Shape wide = p->value[x].node.shape, thin = p->value[dy].node.shape;
  const Node sum = {
      .op = OP_sum, .nin = 2, .in = {x, dy}, .shape = SHAPE4(wide.dim[0], wide.dim[1], 1, 1)};
  for (Val v = o->first; v < p->n; v++)
    if (p->value[v].node.in[0] == x && p->value[v].node.in[1] == dy) return v;
  const Val v = plan_prep_value(p, p->n, &sum);
  if (!v) return 0;
  PVal *t = &p->value[v];
  t->alive = t->step = true;
  t->root = v;
  PwProgram q = outer_program(wide, thin, wide, sum.shape);
  q.samples = samples;
  return outer_emit(o, v, &q, x, dy) ? v : 0;
}

static bool is_one_pixel(const Step *s, const Node *n) {
  const ConvAttr *a = &n->attr.conv;
  return !s->prog && (n->op == OP_conv2d_dx || n->op == OP_conv2d_dw) && a->kh == 1 && a->kw == 1 &&
         a->stride == 1 && a->pad == 0 && n->shape.rank == 4 && s->shape[0].rank == 4 &&
         s->shape[1].rank == 4;
}

static bool is_scaled(const Step *s, int slot) { return slot < s->nargs && s->arg[slot]; }

/* dx[n,c,y,x] = dy[n,0,y,x] w[0,c] */
static Status outer_dx(Outer *o, const Step *s, bool *done) {
  const Shape dx = o->p->value[s->value].node.shape;
  if (s->shape[0].dim[1] != 1 || is_scaled(s, 2) || is_scaled(s, 3)) return ST_OK;
  const PwProgram q = outer_program(s->shape[0], s->shape[1], dx, dx);
  *done = outer_emit(o, s->value, &q, s->arg[0], s->arg[1]);
  if (*done) o->spread[o->n - 1] = true;
  return *done ? ST_OK : ST_NOMEM;
}

/* dw[0,c] = sum of x[n,c,y,x] dy[n,0,y,x] over n, y, x; of an image x of one channel dw[k,0] the
 * other way round. Where x is multiplied by s: sum of t[n,c] s[n,c] over n. */
static Status outer_dw(Outer *o, const Step *s, bool *done) {
  const int wide = s->shape[1].dim[1] == 1 ? 0 : 1;
  const Shape map = s->shape[wide], image = s->shape[1 - wide], all = SHAPE4(1, map.dim[1], 1, 1),
              each = SHAPE4(map.dim[0], map.dim[1], 1, 1);
  PwProgram q = outer_program(map, image, map, all);
  const bool free = graph_is_batch_invariant(o->p->graph);
  Val lhs = s->arg[wide], rhs = s->arg[1 - wide];
  if (image.dim[1] != 1 || is_scaled(s, 3) || (is_scaled(s, 2) && wide)) return ST_OK;
  if (is_scaled(s, 2)) {
    lhs = outer_sum(o, lhs, rhs, free ? (int32_t)map.dim[0] : 0);
    rhs = s->arg[2];
    q = outer_program(each, each, each, all);
    if (!lhs) return ST_NOMEM;
  }
  *done = outer_emit(o, s->value, &q, lhs, rhs);
  return *done ? ST_OK : ST_NOMEM;
}

/* The step of outer_dx that makes v, or NULL. */
static const Step *outer_maker(const Outer *o, Val v) {
  for (int k = 0; k < o->n; k++)
    if (o->spread[k] && o->to[k].value == v) return &o->to[k];
  return NULL;
}

/* Sum of x dx over the pixels: t w. */
static Status outer_style(Outer *o, const Step *s, bool *done) {
  const PwProgram *l = s->prog;
  if (!l || !l->reduce || l->nop != 1 || l->op[0].op != OP_mul || s->nargs != 2 ||
      l->iter.rank != 4 || !shape_eq(l->arg_shape[0], l->iter) ||
      !shape_eq(l->arg_shape[1], l->iter) ||
      !shape_eq(l->out_shape, SHAPE4(l->iter.dim[0], l->iter.dim[1], 1, 1)))
    return ST_OK;
  for (int i = 0; i < 2 && !*done; i++) {
    const Step *m = outer_maker(o, s->arg[i]);
    if (!m) continue;
    const Val w = m->arg[1], t = outer_sum(o, s->arg[1 - i], m->arg[0], l->samples);
    if (!t) return ST_NOMEM;
    const PwProgram q =
        outer_program(l->out_shape, m->prog->arg_shape[1], l->out_shape, l->out_shape);
    *done = outer_emit(o, s->value, &q, t, w);
    if (!*done) return ST_NOMEM;
  }
  return ST_OK;
}

static Status outer_step(Outer *o, int k) {
  Step *s = &o->p->step[k];
  const Node *n = &o->p->value[s->value].node;
  bool done = false;
  if (k >= o->p->nkept && is_one_pixel(s, n))
    TRY(n->op == OP_conv2d_dx ? outer_dx(o, s, &done) : outer_dw(o, s, &done));
  else if (k >= o->p->nkept)
    TRY(outer_style(o, s, &done));
  if (!done)
    o->to[o->n++] = *s;
  else
    mem_free(s->prog);
  s->prog = NULL;
  return ST_OK;
}

Status plan_outer(Plan *p, Error *e) {
  Outer o = {.p = p, .first = p->n};
  const int cap = 2 * p->nstep + 1;
  o.to = mem_alloc((size_t)cap * sizeof *o.to);
  o.spread = mem_alloc((size_t)cap * sizeof *o.spread);
  Status st = o.to && o.spread ? ST_OK : ST_NOMEM;
  int k = 0;
  while (st == ST_OK && k < p->nstep) st = outer_step(&o, k++);
  mem_free(o.spread);
  if (st != ST_OK) {
    for (int i = 0; i < o.n; i++) mem_free(o.to[i].prog);
    mem_free(o.to);
    return err_set(e, st, "out of memory while planning a computation");
  }
  mem_free(p->step);
  p->step = o.to;
  p->nstep = o.n;
  p->cap_step = cap;
  return ST_OK;
}
