/* plan_marks.c: marks in a run: what waits for a part of the outputs begins while the rest is still
 * computed (models/gan/train_bucket.c). On the CPU a mark is reached when its steps are done; on a
 * backend when they are under way: what is put into the stream then comes after them. There a run
 * with marks is one program for each piece between two marks, so one captured graph each; a run
 * without anyone who asks stays one program. */
#include <limits.h>
#include <string.h>
#include "core/plan_impl.h"

int plan_done(const Plan *p, Val v, const real *bound) {
  const PVal *x = v > 0 && v < p->n ? &p->value[plan_root(p, v)] : NULL;
  int done = INT_MAX;
  /* anything else is copied there after the run */
  if (!x || x->mem != MEM_IO || !x->bound || x->ptr != bound) return done;
  for (int k = 0; k < p->nstep; k++)
    for (int r = 0; r < plan_results(&p->step[k]); r++)
      if (plan_root(p, plan_result(&p->step[k], r)) == plan_root(p, v)) done = k + 1;
  return done;
}

/* Steps that are launched together are not torn apart. */
static int mark_place(const Plan *p, int after) {
  const int k = PRLX_MAX(p->nkept, PRLX_MIN(after, p->nstep));
  return p->backend && k > p->nkept ? k + p->step[k - 1].batch_after : k;
}

Status plan_marks(Plan *p, int n, const int *after, Error *e) {
  plan_marks_free(p);
  p->mark = mem_alloc((size_t)(n + 1) * sizeof *p->mark);
  p->mark_program = mem_alloc((size_t)(n + 1) * sizeof *p->mark_program);
  if (!p->mark || !p->mark_program) {
    plan_marks_free(p);
    return err_set(e, ST_NOMEM, "out of memory for the %d marks of a plan", n);
  }
  for (int i = 0; i < n; i++)
    p->mark[i] = PRLX_MAX(mark_place(p, after[i]), i ? p->mark[i - 1] : 0);
  p->mark[n] = p->nstep;
  p->nmark = n;
  p->ready = false;
  return ST_OK;
}

void plan_on_mark(Plan *p, void (*fn)(void *ctx, int i), void *ctx) {
  p->on_mark = fn;
  p->mark_ctx = ctx;
}

static void drop_programs(Plan *p) {
  for (int i = 0; p->backend && p->mark_program && i <= p->nmark; i++) {
    p->backend->program_free(p->backend, p->mark_program[i]);
    p->mark_program[i] = NULL;
  }
}

void plan_marks_free(Plan *p) {
  drop_programs(p);
  mem_free(p->mark);
  mem_free(p->mark_program);
  p->mark = NULL;
  p->mark_program = NULL;
  p->nmark = 0;
}

Status plan_marks_prepare(Plan *p, Error *e) {
  drop_programs(p);
  for (int i = 0, from = p->nkept; p->mark && i <= p->nmark; from = p->mark[i++])
    if (p->mark[i] > from)
      TRY(p->backend->program(p->backend, p->mark[i] - from, p->dev + from, &p->mark_program[i],
                              e));
  return ST_OK;
}

Status plan_marks_run(Plan *p, Error *e) {
  if (!p->on_mark || !p->nmark) return p->backend->run(p->backend, p->program, e);
  for (int i = 0; i <= p->nmark; i++) {
    if (p->mark_program[i]) TRY(p->backend->run(p->backend, p->mark_program[i], e));
    if (i < p->nmark) p->on_mark(p->mark_ctx, i);
  }
  return ST_OK;
}

int plan_marks_step(Plan *p, int steps, int next) {
  while (p->on_mark && next < p->nmark && p->mark[next] <= steps) p->on_mark(p->mark_ctx, next++);
  return next;
}
