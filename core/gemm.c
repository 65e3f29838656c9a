/* gemm.c: tasks with a bounded number of private scratch slots. */
#include "core/gemm.h"
#include "core/threads.h"

typedef struct Strands {
  int64_t n;
  int nslots;
  void (*fn)(void *, int64_t, int);
  void *ctx;
} Strands;

static void gemm_strand(void *ctx, int64_t s, int worker) {
  const Strands *t = ctx;
  for (int64_t i = s; i < t->n; i += t->nslots) t->fn(t->ctx, i, (int)s);
}

/* Scratch is sized when a plan is made, the number of threads may change afterwards: with more
 * threads than slots, tasks are dealt to one strand per slot instead. */
void par_tasks(int64_t n, int nslots, void (*fn)(void *ctx, int64_t task, int slot), void *ctx) {
  if (threads_count() <= nslots) {
    par_for(n, fn, ctx);
  } else {
    Strands t = {n, nslots, fn, ctx};
    par_for(nslots < n ? nslots : n, gemm_strand, &t);
  }
}
