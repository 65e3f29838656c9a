/* plan_from.c: the first map of a discriminator is an image of one channel times weights, plus
 * biases, through an activation. Where the store of a convolution reads it, as the mask of the
 * gradient behind it, or a filter does, the map is made there again of the image: of a pixel and
 * two numbers for each channel, in place of a map as large as the result. */
#include <string.h>
#include "core/plan_impl.h"

/* What makes a map of an image. */
typedef struct FromImage {
  Val image;
  Val weights;
  Val bias;
  Shape shape; /* of the image */
  PwLrelu act;
} FromImage;

/* Whether the step is conv2d of one pixel from one channel, plus a bias, through an activation. */
static bool from_is_made(const Plan *p, const Step *s, FromImage *f) {
  const PwProgram *q = s->prog;
  const Node *n = s->conv ? &p->value[s->conv].node : NULL;
  if (!n || n->op != OP_conv2d || q->nmore || q->nop != 2 || q->narg != 2) return false;
  const ConvAttr *c = &n->attr.conv;
  const int bias = 1 - s->store_from, own = -1 - s->store_from;
  const PwOp *add = &q->op[0], *act = &q->op[1];
  const bool both =
      (add->lhs == own && add->rhs == -1 - bias) || (add->rhs == own && add->lhs == -1 - bias);
  *f = (FromImage){s->arg[0], s->arg[1], s->arg[MAX_IN + bias], s->shape[0], act->param.lrelu};
  return c->kh == 1 && c->kw == 1 && c->stride == 1 && c->pad == 0 && c->ci == 1 && f->weights &&
         !s->arg[3] && both && add->op == OP_add && act->op == OP_lrelu && act->lhs == add->dst &&
         q->result == act->dst && q->arg_shape[bias].rank == 4 &&
         q->arg_shape[bias].dim[1] == q->iter.dim[1] &&
         shape_numel(q->arg_shape[bias]) == q->iter.dim[1];
}

/* Weights and biases as further arguments. False: no room. */
static bool from_add(Step *m, PwProgram *q, const FromImage *f, DType type) {
  const Shape channels = SHAPE4(1, q->iter.dim[1], 1, 1);
  const int weights = plan_store_argument(m, q, f->weights, channels),
            bias = plan_store_argument(m, q, f->bias, channels);
  q->from.weights = (uint8_t)weights;
  q->from.bias = (uint8_t)bias;
  q->from.stored_as = (uint8_t)type;
  q->from.act = f->act;
  return weights >= 0 && bias >= 0;
}

/* Argument k of the loop in the store of step b becomes the image. */
static bool from_take(Plan *p, int b, int k, const FromImage *f, Val map) {
  Step m = p->step[b];
  PwProgram q = *m.prog;
  if (q.from.image) return false;
  q.from.image = (uint8_t)(k + 1);
  q.arg_shape[k] = m.shape[MAX_IN + k] = f->shape;
  m.arg[MAX_IN + k] = f->image;
  if (!from_add(&m, &q, f, p->value[map].dtype)) return false;
  m.prog = &q;
  const DevStep d = plan_dev_step(p, &m);
  if (!p->backend->can_store(p->backend, &d, &q, m.store_from)) return false;
  m.prog = p->step[b].prog;
  *m.prog = q;
  p->step[b] = m;
  return true;
}

/* What makes the value of the step's argument, where it is such a map in 16 bits. */
static bool from_maker(const Plan *p, int b, Val v, FromImage *f, Val *map) {
  *map = v ? plan_root(p, v) : 0;
  const int a = *map ? plan_store_maker(p, p->nkept, *map) : -1;
  return a >= 0 && a < b && p->value[*map].dtype != DT_F32 && from_is_made(p, &p->step[a], f);
}

/* Step b, a filter, reads the image. */
static Status from_filter(Plan *p, int b, Error *e) {
  const Step *s = &p->step[b];
  FromImage f;
  Val map;
  Step m;
  PwProgram q;
  if (s->prog || p->value[s->value].node.op != OP_upfirdn2d ||
      !from_maker(p, b, s->arg[0], &f, &map))
    return ST_OK;
  plan_store_begin(s, p->value[s->value].node.shape, &m, &q);
  m.arg[0] = f.image;
  m.shape[0] = f.shape;
  q.from.image = PW_INPUT;
  if (!from_add(&m, &q, &f, p->value[map].dtype)) return ST_OK;
  const DevStep d = plan_dev_step(p, &m);
  if (!p->backend->can_store(p->backend, &d, &q, m.store_from)) return ST_OK;
  m.prog = mem_alloc(sizeof q);
  if (!m.prog) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  *m.prog = q;
  p->step[b] = m;
  return ST_OK;
}

Status plan_froms(Plan *p, Error *e) {
  for (int b = p->nkept; b < p->nstep; b++) {
    const Step *s = &p->step[b];
    TRY(from_filter(p, b, e));
    for (int k = 0; s->conv && k < s->prog->narg; k++) {
      FromImage f;
      Val map;
      if (k != s->store_from && shape_eq(s->prog->arg_shape[k], s->prog->iter) &&
          from_maker(p, b, s->arg[MAX_IN + k], &f, &map) && from_take(p, b, k, &f, map))
        break;
    }
  }
  return ST_OK;
}
