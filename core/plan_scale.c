/* plan_scale.c: maps of modulated layers on a backend. A convolution multiplies its map by a number
 * per image and channel while it lays the map out in scratch, and the weight gradient of the layer
 * does the same with the same map and numbers. Where the map may lie with its channels last, the
 * product becomes a value of its own: made once, in the store of who makes the map where that can
 * be (plan_store.c), and read in place by all of them. */
#include <string.h>
#include "core/plan_impl.h"

/* Operands of a convolution that are a map and its scale. */
typedef struct ScalePair {
  int map;
  int scale;
} ScalePair;
static const ScalePair scale_pairs[] = {{0, 3}, {0, 2}, {1, 3}};

/* The pairs of the step are scale_pairs[*first] .. [end - 1]; none of another operation, and where
 * a side has channels that are no whole chunk. */
static int scale_range(const Plan *p, const Step *s, int *first) {
  const Node *n = &p->value[s->conv ? s->conv : s->value].node;
  const bool dw = n->op == OP_conv2d_dw;
  *first = dw ? 1 : 0;
  if ((s->prog && !s->conv) || (!dw && n->op != OP_conv2d && n->op != OP_conv2d_dx) ||
      n->attr.conv.ci % MAP_CHUNK || n->attr.conv.co % MAP_CHUNK)
    return *first;
  return dw ? 3 : 1;
}

static bool scale_reads(const Step *s, ScalePair q, Val map, Val scale) {
  return q.scale < s->nargs && s->arg[q.map] == map && s->arg[q.scale] == scale;
}

/* Would the step read the map in place, were it not scaled? */
static bool scale_may(const Plan *p, const Step *s, ScalePair q) {
  MapLayout margin = {0};
  if (q.scale >= s->nargs || !s->arg[q.scale] || !s->arg[q.map] ||
      p->value[plan_root(p, s->arg[q.map])].dtype == DT_F32)
    return false;
  DevStep d = plan_dev_step(p, s);
  d.node.in[q.scale] = 0;
  return p->backend->channels_last(p->backend, &d, q.map, &margin) != LAST_NO;
}

/* All that read the pair read v. */
static void scale_replace(Plan *p, int k, Val map, Val scale, Val v) {
  int first;
  for (; k < p->nstep; k++) {
    Step *s = &p->step[k];
    Node *n = &p->value[s->conv ? s->conv : s->value].node;
    for (int end = scale_range(p, s, &first); first < end; first++) {
      const ScalePair q = scale_pairs[first];
      if (!scale_reads(s, q, map, scale) || !scale_may(p, s, q)) continue;
      n->in[q.map] = s->arg[q.map] = v;
      n->in[q.scale] = s->arg[q.scale] = 0;
    }
  }
}

/* The product before step k, which reads the pair. */
static Status scale_insert(Plan *p, int k, ScalePair q, Error *e) {
  const Step *s = &p->step[k];
  const Val map = s->arg[q.map], scale = s->arg[q.scale];
  const Shape in[2] = {s->shape[q.map], s->shape[q.scale]};
  const Node product = {.op = OP_mul, .nin = 2, .in = {map, scale}, .shape = in[0]};
  PwProgram *loop = mem_alloc(sizeof *loop);
  Step *to = mem_alloc((size_t)(p->nstep + 2) * sizeof *to);
  const Val v = loop && to ? plan_prep_value(p, p->n, &product) : 0;
  if (!v) {
    mem_free(loop);
    mem_free(to);
    return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  }
  PVal *x = &p->value[v];
  x->alive = x->step = true;
  x->root = v;
  x->dtype = p->value[plan_root(p, map)].dtype;
  scale_replace(p, k, map, scale, v);
  pw_from_node(&product, in, loop);
  memcpy(to, p->step, (size_t)k * sizeof *to);
  to[k] =
      (Step){.value = v, .prog = loop, .nargs = 2, .arg = {map, scale}, .shape = {in[0], in[1]}};
  memcpy(to + k + 1, p->step + k, (size_t)(p->nstep - k) * sizeof *to);
  mem_free(p->step);
  p->step = to;
  p->cap_step = p->nstep + 2;
  p->nstep++;
  return ST_OK;
}

Status plan_scales(Plan *p, Error *e) {
  p->products = p->n;
  if (!p->backend->channels_last) return ST_OK;
  for (int k = p->nkept; k < p->nstep; k++) {
    int first;
    for (int end = scale_range(p, &p->step[k], &first); first < end; first++) {
      const Step *s = &p->step[k];
      const ScalePair q = scale_pairs[first];
      if (!scale_may(p, s, q)) continue;
      TRY(scale_insert(p, k, q, e));
      k++; /* still the same step */
    }
  }
  return ST_OK;
}

/* All that read product v, of step m, multiply by themselves again. */
static void scale_undo(Plan *p, int m, Val v) {
  const Val map = p->step[m].arg[0], scale = p->step[m].arg[1];
  int first;
  for (int k = m + 1; k < p->nstep; k++) {
    Step *s = &p->step[k];
    Node *n = &p->value[s->conv ? s->conv : s->value].node;
    for (int end = scale_range(p, s, &first); first < end; first++) {
      const ScalePair q = scale_pairs[first];
      if (s->arg[q.map] != v) continue;
      n->in[q.map] = s->arg[q.map] = map;
      n->in[q.scale] = s->arg[q.scale] = scale;
    }
  }
  p->value[v].alive = p->value[v].step = false;
  mem_free(p->step[m].prog);
  memmove(p->step + m, p->step + m + 1, (size_t)(p->nstep - m - 1) * sizeof *p->step);
  p->nstep--;
}

void plan_scales_back(Plan *p) {
  for (int k = p->nstep - 1; k >= p->nkept; k--) {
    const Val v = p->step[k].value;
    if (v >= p->products && !p->value[v].lies.last) scale_undo(p, k, v);
  }
}
