/* train_bucket.c: which gradients are summed over the processes together. A backward pass finishes
 * the gradients one after another: those of the layers next to the loss first. In that order they
 * are gathered into buckets; train_comm.c hands one to the engine (core/comm.h, sum_begin) when
 * its last gradient is there.
 *
 * A number of the gradient is added in the same order whatever bucket it is in: the bits do not
 * depend on the size of buckets, nor on whether there are any. Which tensors make a bucket is what
 * process 0 says, so that all begin the same; when it is complete each process asks its own plan.
 */
#include <limits.h>
#include <stdlib.h>
#include "models/gan/train_impl.h"

/* ---- which gradients go together ---- */

static int grad_compare(const void *a, const void *b) {
  const GradPart *x = *(const GradPart *const *)a, *y = *(const GradPart *const *)b;
  if (x->done != y->done) return x->done < y->done ? -1 : 1;
  return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Buckets of at least so many bytes, in the order in which this process's plan makes gradients. */
static void bucket_assign(GradPart **order, int n, int64_t bytes) {
  int64_t filled = 0;
  int bucket = 0;
  qsort(order, (size_t)n, sizeof *order, grad_compare);
  for (int i = 0; i < n; i++) {
    if (filled >= bytes) {
      bucket++;
      filled = 0;
    }
    order[i]->bucket = bucket;
    filled += order[i]->n * (int64_t)sizeof(real);
  }
}

/* The ranges of bucket k, in the order of the flat range, neighbours in one; how many. */
static int bucket_parts(const PhaseNet *p, int k, real *sum, const real *round, CommPart *to) {
  int n = 0;
  for (int i = 0; i < p->ngrad; i++) {
    const GradPart *g = &p->grad[i];
    if (g->bucket != k) continue;
    if (n && to[n - 1].x + to[n - 1].n == sum + g->offset)
      to[n - 1].n += g->n;
    else
      to[n++] = (CommPart){sum + g->offset, round + g->offset, g->n};
  }
  return n;
}

static int bucket_done(const PhaseNet *p, int k) {
  int done = 0;
  for (int i = 0; i < p->ngrad; i++)
    if (p->grad[i].bucket == k) done = PRLX_MAX(done, p->grad[i].done);
  return done;
}

/* Bucket 0 is complete after the first of `after` steps, and so on; one that waits for the end of
 * the run has no mark, nor has one behind it. How many have one. */
static int bucket_marks(const PhaseNet *p, int *after) {
  int n = 0, last = 0;
  for (; n < p->nbucket; n++) {
    last = PRLX_MAX(last, bucket_done(p, n));
    if (last == INT_MAX) break;
    after[n] = last;
  }
  return n;
}

/* The lists of the net are long enough for one bucket per tensor. */
Status bucket_layout(PhaseNet *p, Comm *c, int64_t bytes, real *sum, const real *round, Error *e) {
  int64_t *number = p->grad_number;
  if (comm_lead(c)) bucket_assign(p->grad_order, p->ngrad, bytes);
  for (int i = 0; i < p->ngrad; i++) number[i] = p->grad[i].bucket;
  TRY(c->broadcast(c, number, (size_t)p->ngrad * sizeof *number, 0, e));
  for (int i = 0; i < p->ngrad; i++) {
    p->grad[i].bucket = (int)number[i];
    p->nbucket = PRLX_MAX(p->nbucket, p->grad[i].bucket + 1);
  }
  CommPart *to = p->part;
  for (int k = 0; k < p->nbucket; k++) {
    p->bucket[k] = (Bucket){to, bucket_parts(p, k, sum, round, to)};
    to += p->bucket[k].n;
  }
  return plan_marks(p->plan, bucket_marks(p, p->grad_after), p->grad_after, e);
}

Status bucket_room(PhaseNet *p, int n, Error *e) {
  const size_t N = (size_t)n + 1;
  p->grad = mem_alloc(N * sizeof *p->grad);
  p->grad_order = mem_alloc(N * sizeof *p->grad_order);
  p->grad_number = mem_alloc(N * sizeof *p->grad_number);
  p->grad_after = mem_alloc(N * sizeof *p->grad_after);
  p->part = mem_alloc(N * sizeof *p->part);
  p->bucket = mem_alloc(N * sizeof *p->bucket);
  if (!p->grad || !p->grad_order || !p->grad_number || !p->grad_after || !p->part || !p->bucket)
    return err_set(e, ST_NOMEM, "training: out of memory for a list of %d tensors", n);
  return ST_OK;
}

void bucket_add(PhaseNet *p, const ParamEntry *x, int done) {
  const int i = p->ngrad++;
  /* with the padding behind it, zeros in every process: neighbours then touch */
  p->grad[i] = (GradPart){x->offset, (x->numel + 15) / 16 * 16, 0, done};
  p->grad_order[i] = &p->grad[i];
}

void bucket_free(PhaseNet *p) {
  mem_free(p->grad);
  mem_free(p->grad_order);
  mem_free(p->grad_number);
  mem_free(p->grad_after);
  mem_free(p->part);
  mem_free(p->bucket);
}

/* ---- what can overlap, counted from the plans ---- */

static void print_buckets(const PhaseNet *p, const char *name, int n, FILE *f) {
  for (int k = 0, last = 0; k < n; k++) {
    int64_t bytes = 0;
    int tensors = 0;
    last = PRLX_MAX(last, bucket_done(p, k));
    for (int i = 0; i < p->ngrad; i++) {
      if (p->grad[i].bucket != k) continue;
      bytes += p->grad[i].n * (int64_t)sizeof(real);
      tensors++;
    }
    const PlanRest r = plan_rest(p->plan, last);
    fprintf(f, "%s\t%d\t%d\t%.4g\t%d\t%.1f\t%.1f\n", name, k, tensors, (double)bytes / 1e6, r.steps,
            100 * r.flop, 100 * r.bytes);
  }
}

void bucket_counts(PhaseNet *p, const char *name, int64_t bytes, FILE *f) {
  int n = 0;
  if (!p->plan || !p->ngrad || bytes <= 0) return;
  bucket_assign(p->grad_order, p->ngrad, bytes);
  for (int i = 0; i < p->ngrad; i++) n = PRLX_MAX(n, p->grad[i].bucket + 1);
  print_buckets(p, name, n, f);
}
