/* plan_memory.c: where values live. Lifetimes over the list of steps, in-place reuse, offsets in
 * one arena, and the refusal when the whole does not fit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "core/plan_impl.h"

size_t plan_round(const Plan *p, size_t bytes) {
  size_t a = p->backend ? 256 : 64;
  return (bytes + a - 1) & ~(a - 1);
}

static size_t memory_available(void) {
  const uint64_t bytes = os_memory_available();
  return bytes && bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

static void place_touch(Plan *p, Val v, int step) {
  PVal *x = &p->value[plan_root(p, v)];
  if (step < x->first) x->first = step;
  if (step > x->last) x->last = step;
}

static void place_lifetimes(Plan *p) {
  for (Val v = 1; v < p->n; v++) {
    PVal *x = &p->value[v];
    x->first = 1 << 30;
    x->last = -1;
    x->bytes = plan_round(p, (size_t)map_numel(x->node.shape, x->lies) *
                                 (p->backend ? dtype_size(x->dtype) : sizeof(real)));
  }
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    /* the steps of a batch run side by side */
    for (int r = 0; r < plan_results(s); r++) {
      place_touch(p, plan_result(s, r), k - s->batch_before);
      place_touch(p, plan_result(s, r), k + s->batch_after);
    }
    for (int i = 0; i < s->nargs; i++) {
      if (!s->arg[i]) continue;
      place_touch(p, s->arg[i], k - s->batch_before);
      place_touch(p, s->arg[i], k + s->batch_after);
    }
  }
}

static void place_kinds(Plan *p) {
  for (Val v = 1; v < p->n; v++) {
    PVal *x = &p->value[v];
    if (!x->alive) continue;
    if (x->node.op == OP_param || x->node.op == OP_constant)
      x->mem = MEM_LEAF;
    else if (x->node.op == OP_input)
      x->mem = MEM_IO;
    else if (x->step && !x->unstored)
      x->mem = (x->folded && x->last >= p->nfold) || (x->kept && x->last >= p->nkept) ? MEM_FOLDED
                                                                                      : MEM_ARENA;
  }
  /* what the caller reads stays where nothing overwrites it */
  for (Val v = 1; v < p->n; v++) {
    if (!p->value[v].alive || !p->value[v].output) continue;
    PVal *r = &p->value[plan_root(p, v)];
    if (r->mem == MEM_ARENA || r->mem == MEM_FOLDED) r->mem = MEM_IO;
  }
}

/* A fused loop may write over an argument that nothing reads afterwards: same size, walked in the
 * same order. */
static void in_place(Plan *p) {
  for (int k = 0; k < p->nstep; k++) {
    Step *s = &p->step[k];
    PVal *out = &p->value[s->value];
    if (!s->prog || s->conv || s->prog->reduce || s->prog->nmore || out->mem != MEM_ARENA ||
        s->batch_before || s->batch_after)
      continue;
    for (int i = 0; i < s->nargs; i++) {
      Val r = plan_root(p, s->arg[i]);
      PVal *a = &p->value[r];
      if (a->mem != MEM_ARENA || a->last != k || a->bytes != out->bytes || a->dtype != out->dtype ||
          memcmp(&a->lies, &out->lies, sizeof a->lies) != 0 ||
          shape_numel(s->prog->arg_shape[i]) != shape_numel(s->prog->iter))
        continue;
      bool twice = false; /* read through another shape too? */
      for (int j = 0; j < s->nargs; j++)
        twice = twice || (j != i && plan_root(p, s->arg[j]) == r &&
                          !shape_eq(s->prog->arg_shape[j], s->prog->arg_shape[i]));
      if (twice) continue;
      out->root = r;
      a->last = PRLX_MAX(a->last, out->last);
      out->mem = MEM_NONE;
      break;
    }
  }
}

/* The sort key travels with the value: plans may be made in several threads at once. */
typedef struct Sized {
  size_t bytes;
  Val v;
} Sized;
static int sized_compare(const void *a, const void *b) {
  const Sized *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->v < y->v ? -1 : 1;
}

typedef struct Span {
  size_t lo;
  size_t hi;
} Span;
static int span_compare(const void *a, const void *b) {
  const Span *x = a, *y = b;
  return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Greedy by size: the largest buffers first, each at the lowest offset that is free during its
 * whole life. Small buffers fit into the gaps that large ones leave, not the other way round. */
static Status place_offsets(Plan *p, Error *e) {
  Sized *order = mem_alloc((size_t)p->n * sizeof *order);
  Span *busy = mem_alloc((size_t)p->n * sizeof *busy);
  int n = 0;
  if (!order || !busy) {
    mem_free(order);
    mem_free(busy);
    return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  }
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].mem == MEM_ARENA && p->value[v].last >= 0)
      order[n++] = (Sized){p->value[v].bytes, v};
  qsort(order, (size_t)n, sizeof *order, sized_compare);
  for (int i = 0; i < n; i++) {
    PVal *x = &p->value[order[i].v];
    int nb = 0;
    for (int j = 0; j < i; j++) {
      const PVal *y = &p->value[order[j].v];
      if (y->first <= x->last && x->first <= y->last)
        busy[nb++] = (Span){y->offset, y->offset + y->bytes};
    }
    qsort(busy, (size_t)nb, sizeof *busy, span_compare);
    size_t at = 0;
    for (int j = 0; j < nb && busy[j].lo < at + x->bytes; j++) at = PRLX_MAX(at, busy[j].hi);
    x->offset = at;
    p->arena_bytes = PRLX_MAX(p->arena_bytes, at + x->bytes);
  }
  mem_free(order);
  mem_free(busy);
  return ST_OK;
}

Status plan_place(Plan *p, const PlanOptions *o, Error *e) {
  place_lifetimes(p);
  place_kinds(p);
  if (!p->keep_all) in_place(p);
  TRY(place_offsets(p, e));
  for (Val v = 1; v < p->n; v++) {
    PVal *x = &p->value[v];
    if (x->mem == MEM_FOLDED) {
      x->offset = p->folded_bytes;
      p->folded_bytes += x->bytes;
    }
    if (x->mem == MEM_IO) p->io_bytes += x->bytes;
  }
  for (int k = 0; k < p->nstep; k++) {
    Step *s = &p->step[k];
    s->scratch_at = s->batch_before ? s[-1].scratch_at + plan_round(p, s[-1].scratch) : 0;
    p->scratch_bytes = PRLX_MAX(p->scratch_bytes, s->scratch_at + plan_round(p, s->scratch));
  }
  size_t need = p->arena_bytes + p->scratch_bytes + p->folded_bytes + p->io_bytes + p->leaf_bytes;
  size_t limit = o->max_bytes ? o->max_bytes : p->backend ? SIZE_MAX : memory_available();
  if (p->backend) limit = PRLX_MIN(limit, p->backend->available(p->backend));
  if (o->memory)
    *o->memory =
        (PlanNeed){p->folded_bytes + p->leaf_bytes, need - p->folded_bytes - p->leaf_bytes, limit};
  if (need > limit)
    return err_set(e, ST_NOMEM,
                   "this computation needs %.6g MiB of %s but only %.6g MiB may be used; use a "
                   "smaller batch or network%s",
                   (double)need / 1048576, p->backend ? "device memory" : "memory",
                   (double)limit / 1048576, o->max_bytes ? ", or raise the limit" : "");
  if (p->arena->need && p->arena->backend != p->backend)
    return err_set(e, ST_INTERNAL, "plan: an arena is shared by plans of different backends");
  p->arena->backend = p->backend;
  p->arena->need = PRLX_MAX(p->arena->need, p->arena_bytes + p->scratch_bytes);
  return ST_OK;
}

int plan_batch_that_fits(const PlanNeed *n, int batch) {
  if (n->limit <= n->fixed || n->variable == 0) return 0;
  double fit = (double)(n->limit - n->fixed) / (double)n->variable * batch;
  return fit >= batch ? batch : (int)fit;
}
