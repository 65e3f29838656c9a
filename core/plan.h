/* plan.h: from a graph to something that runs: folding, fusion, lifetimes, one arena, no allocation inside a run. */
#ifndef PRLX_PLAN_H
#define PRLX_PLAN_H
#include "graph.h"
typedef struct Plan Plan;
/* Working memory that several plans share because they never run at the same time (the phases of training): as large as the largest
 * needs. Zero-initialise; allocated by the first run; free with plan_arena_free after the plans. */
typedef struct PlanArena { void *mem; size_t bytes, need; } PlanArena;
void plan_arena_free(PlanArena *a);
typedef struct PlanOptions {
  PlanArena *arena;      /* NULL: the plan has its own */
  size_t max_bytes;      /* refuse (ST_NOMEM, saying need and limit) above this; 0 = the machine's available memory */
  bool no_fusion;        /* tests: run every node on its own */
  bool keep_all;         /* tests, debugging: every value stays readable after a run */
} PlanOptions;
/* Plans the computation of outs[] (and nothing they do not need). The graph must outlive the plan and may not grow
 * while it is used. opt may be NULL. *out is NULL on failure. */
Status plan_new(const Graph *g, int nouts, const Val *outs, const PlanOptions *opt, Plan **out, Error *e);
void   plan_free(Plan *p);
Status plan_run(Plan *p, Error *e);
void   plan_refresh(Plan *p);             /* frozen parameters changed: recompute what was folded from them */
real  *plan_data(Plan *p, Val v);         /* memory of an input (write before run) or output (read after); NULL for others */
/* Lets an input or output live in the caller's memory (numel reals, 64-byte aligned); before the first run. */
Status plan_bind(Plan *p, Val v, real *ptr, Error *e);
typedef struct PlanStats { size_t arena_bytes, folded_bytes, io_bytes, scratch_bytes; int nodes, steps; double flop; } PlanStats;
PlanStats plan_stats(const Plan *p);      /* flop: 2 x multiply-adds of convolutions and matrix products */
/* Per-step profile: call plan_profile(p, true), run, then plan_report prints a table (name, shape, ms, GFLOP/s) to `f`. */
void plan_profile(Plan *p, bool on);
#include <stdio.h>
void plan_report(const Plan *p, FILE *f);
#endif
