/* plan_dot.c: images of one channel, as a generator's layers make them and as the gradient leaves a
 * discriminator, are sums over the channels of a map times weights (and styles). The store of the
 * convolution that makes the map sums them: it has eight channels of a pixel in registers. What
 * nothing else reads of the map is not stored then. */
#include <string.h>
#include "core/plan_impl.h"

/* A convolution of one pixel to one channel. */
typedef struct DotImage {
  const Step *step;
  Val value; /* its own, before what runs in its store */
  Shape map;
} DotImage;

/* Whether the step is one; *d: what it is. */
static bool dot_is_image(const Plan *p, const Step *s, DotImage *d) {
  const Val v = s->conv ? s->conv : s->value;
  const Node *n = &p->value[v].node;
  const ConvAttr *c = &n->attr.conv;
  if ((s->prog && !s->conv) || (n->op != OP_conv2d && n->op != OP_conv2d_dx) || !s->arg[1] ||
      (s->prog && (s->prog->nmore || s->prog->up.map)))
    return false;
  *d = (DotImage){s, v, s->shape[0]};
  return c->kh == 1 && c->kw == 1 && c->stride == 1 && c->pad == 0 && n->shape.dim[1] == 1 &&
         s->shape[0].dim[1] > 1;
}

/* One more operation: what is in *code times v. */
static bool dot_append(PwProgram *q, Step *m, int8_t *code, Val v, Shape shape) {
  const int reg = plan_store_register(q), k = plan_store_argument(m, q, v, shape);
  if (k < 0 || q->nop == PW_MAX_OPS || reg == PW_MAX_REGS) return false;
  q->op[q->nop++] = (PwOp){.op = OP_mul, .dst = (int8_t)reg, .lhs = *code, .rhs = (int8_t)(-1 - k)};
  *code = (int8_t)reg;
  return true;
}

/* Step a with the image behind result r of it. */
static bool dot_join(const Step *a, int r, const DotImage *d, Step *m, PwProgram *q) {
  const Step *s = d->step;
  const Shape map = d->map;
  plan_store_begin(a, map, m, q);
  int8_t code = r ? q->more[r - 1].result : q->result;
  if (q->nmore == PW_MAX_MORE) return false;
  if (s->nargs > 3 && s->arg[3] &&
      !dot_append(q, m, &code, s->arg[3], SHAPE4(map.dim[0], map.dim[1], 1, 1)))
    return false;
  if (!dot_append(q, m, &code, s->arg[1], SHAPE4(1, map.dim[1], 1, 1))) return false;
  q->more[q->nmore++] = (PwMore){code, SHAPE4(map.dim[0], 1, map.dim[2], map.dim[3])};
  m->more[q->nmore - 1] = d->value;
  return true;
}

/* Result r of the step, which nothing else reads: not stored. */
static void dot_drop(Step *m, PwProgram *q, int r) {
  if (r == 0) {
    q->unstored = true;
    return;
  }
  for (int k = r; k < q->nmore; k++) {
    q->more[k - 1] = q->more[k];
    m->more[k - 1] = m->more[k];
  }
  q->nmore--;
}

/* The loop that was in the store of the image, or nothing: a step less. */
static void dot_rest(Plan *p, int b, Val image) {
  Step *s = &p->step[b];
  if (!s->prog) {
    memmove(p->step + b, p->step + b + 1, (size_t)(p->nstep - b - 1) * sizeof *p->step);
    p->nstep--;
    return;
  }
  Step loop = {.value = s->value, .prog = s->prog, .nargs = s->prog->narg};
  for (int k = 0; k < loop.nargs; k++) {
    loop.arg[k] = k == s->store_from ? image : s->arg[MAX_IN + k];
    loop.shape[k] = s->prog->arg_shape[k];
  }
  *s = loop;
}

/* Step b, an image, goes into the store of step a, result r of which is its map. */
static bool dot_take(Plan *p, int a, int r, int b, const DotImage *d, bool *need) {
  PwProgram q;
  Step m;
  const Val map = plan_result(&p->step[a], r), image = d->value;
  if (!plan_store_early(p, a, b, 0, MAX_IN, need) || !dot_join(&p->step[a], r, d, &m, &q))
    return false;
  const bool alone = plan_store_readers(p, map) == 1;
  const DevStep was = plan_dev_step(p, &p->step[a]);
  if (alone) dot_drop(&m, &q, r);
  if (!p->backend->can_store(p->backend, &was, &q, m.store_from)) return false;
  if (!p->step[a].prog && !(p->step[a].prog = mem_alloc(sizeof q))) return false;
  m.prog = p->step[a].prog;
  m.flop += p->step[b].flop;
  *m.prog = q;
  if (alone && r) p->value[map].step = false;
  p->value[map].unstored = alone && !r;
  p->value[image].step = true;
  p->value[image].root = image;
  p->step[plan_store_hoist(p, a, b, need)] = m;
  dot_rest(p, b, image);
  return true;
}

Status plan_dots(Plan *p, Error *e) {
  bool *need = mem_alloc((size_t)p->nstep + 1);
  if (!need) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (int b = p->nkept; b < p->nstep; b++) {
    DotImage d;
    if (!dot_is_image(p, &p->step[b], &d)) continue;
    const Val map = plan_root(p, p->step[b].arg[0]);
    const int a = plan_store_maker(p, p->nkept, map);
    if (a < 0 || a >= b || !plan_store_product(p, &p->step[a])) continue;
    const bool bare = !p->step[b].prog;
    memset(need, 0, (size_t)p->nstep + 1);
    for (int r = 0; r < plan_results(&p->step[a]); r++)
      if (plan_result(&p->step[a], r) == map && dot_take(p, a, r, b, &d, need)) {
        b -= bare;
        break;
      }
  }
  mem_free(need);
  return ST_OK;
}
