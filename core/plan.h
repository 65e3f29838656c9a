/* plan.h: from a graph to something that runs: folding, fusion, lifetimes, one arena, no allocation
 * inside a run. */
#ifndef PRLX_PLAN_H
#define PRLX_PLAN_H
#include <stdio.h>
#include "core/graph.h"
#include "core/rng.h"
typedef struct Plan Plan;
typedef struct Backend Backend; /* core/backend.h */

/* Working memory that several plans share because they never run at the same time (the phases of
 * training): as large as the largest needs. Zero-initialise; allocated by the first run; free with
 * plan_arena_free after the plans. */
typedef struct PlanArena {
  void *mem; /* bytes; NULL before the first run */
  size_t bytes;
  size_t need;      /* of the largest plan so far */
  Backend *backend; /* whose memory it is (NULL: host); set by the first plan */
} PlanArena;

/* Also of an empty one. */
void plan_arena_free(PlanArena *a);

/* What plan_new found, in bytes, also when it refuses for lack of memory. */
typedef struct PlanNeed {
  size_t fixed;    /* leaves and folded values: the same for any batch */
  size_t variable; /* everything else: grows with the batch */
  size_t limit;
} PlanNeed;

/* The largest batch <= `batch` whose need, scaled linearly, is within the limit; 0: none. */
int plan_batch_that_fits(const PlanNeed *n, int batch);

typedef struct PlanOptions {
  PlanArena *arena; /* NULL: the plan has its own */
  /* refuse (ST_NOMEM, saying need and limit) above this; 0 = the machine's available memory */
  size_t max_bytes;
  bool no_fusion; /* tests: run every node on its own */
  bool keep_all;  /* tests, debugging: every value stays readable after a run */
  /* on a backend: what depends on parameters alone is computed again only after
   * plan_weights_changed; takes memory of its own */
  bool keep_weights;
  Backend *backend; /* where to run; NULL: the CPU kernels. Must outlive the plan */
  PlanNeed *memory; /* filled when not NULL */
} PlanOptions;

/* Plans the computation of outs[] (and nothing they do not need). The graph must outlive the plan
 * and may not grow while it is used. opt may be NULL. *out is NULL on failure: ST_NOMEM: more than
 * there is or allowed; the graph's own status. */
Status plan_new(const Graph *g, int nouts, const Val *outs, const PlanOptions *opt, Plan **out,
                Error *e);

/* NULL allowed. */
void plan_free(Plan *p);

/* Computes the outputs from the inputs. Uses all cores; plans may run in several threads, where one
 * has the workers (core/threads.h). On a device it returns when everything is under way. */
Status plan_run(Plan *p, Error *e);

/* From now on plan_run asks between its steps whether to break off, and then ends with
 * ST_INTERRUPTED, its outputs undefined. NULL: no more. On the CPU only. */
void plan_on_stop(Plan *p, bool (*stop)(void *ctx), void *ctx);

/* Marks of a run: mark i is reached when the first after[i] steps are done, or on a device under
 * way in its stream; ascending. ST_NOMEM: no marks. */
Status plan_marks(Plan *p, int n, const int *after, Error *e);

/* fn (NULL: nobody asks) is called at each mark of the runs from now on, in order, between the
 * steps; it may not touch the plan. A run that fails, that is profiled or counts ranges may leave
 * out the later ones, and so may any run those at its very end. */
void plan_on_mark(Plan *p, void (*fn)(void *ctx, int i), void *ctx);

/* Steps of a run after which the memory that output v was bound to holds it; INT_MAX: when the run
 * is over (it is copied there). */
int plan_done(const Plan *p, Val v, const real *bound);

/* Shares of the work and of the operand bytes of a run. */
typedef struct PlanRest {
  int steps;
  double flop;
  double bytes;
} PlanRest;

/* What comes after so many steps of a run. */
PlanRest plan_rest(const Plan *p, int after);

/* Frozen parameters changed: recompute what was folded from them. */
void plan_refresh(Plan *p);

/* Parameters changed, frozen ones aside: with PlanOptions.keep_weights the next run must be told.
 * NULL allowed. */
void plan_weights_changed(Plan *p);

/* Memory of an input (write before run) or output (read after), numel reals; NULL for others. */
real *plan_data(Plan *p, Val v);

/* *out: memory of an output after a run. Waits for a device, and fails where the run or the
 * download failed; what plan_data gives then is NaN, not the numbers of an older run. For results
 * that matter; on the CPU the same as plan_data. */
Status plan_read(Plan *p, Val v, const real **out, Error *e);

/* Lets an input or output live in the caller's memory (numel reals, 64-byte aligned); before the
 * first run. */
Status plan_bind(Plan *p, Val v, real *ptr, Error *e);

/* On a backend:
 *   plan_data of an input   gives host memory and marks it: the next run uploads it. Call it again
 *                           before each run that has new content;
 *   plan_data of an output  downloads it when a run was made since the last call, which waits for
 *                           the device;
 *   plan_bind to memory in a shared range (backend_share) uses its mirror on the device, where
 *   nothing is copied; to any other memory: copied at each run; parameters in no shared range are
 *   copied to the device at the first run and after plan_refresh; those that are not frozen, before
 *   each run. */

/* Fills an input with N(0,1) from the stream (rng_fill_normal), on the device where the plan runs.
 * An input that no output depends on has no memory and draws nothing. */
Status plan_fill_normal(Plan *p, Val v, Rng *r, Error *e);

/* Backend: device address of an input or output (valid after the first run or plan_prepare); NULL
 * for others, and on the CPU. */
real *plan_device_data(Plan *p, Val v);

/* Waits for the runs so far and says what went wrong on the device, which plan_run, being
 * asynchronous there, may not know yet; call it before results that matter are read. On the CPU
 * there is nothing to wait for. plan_data of an output gives NaN where its download fails. */
Status plan_sync(Plan *p, Error *e);

/* Allocates what the first run would allocate. */
Status plan_prepare(Plan *p, Error *e);

typedef struct PlanStats {
  size_t arena_bytes;
  size_t folded_bytes;
  size_t io_bytes;
  size_t scratch_bytes;
  int nodes;
  int steps;
  double flop; /* of one run: 2 x multiply-adds of convolutions and matrix products */
  /* one run: numbers that the steps read and write, each operand once, and what goes through their
   * scratch (on a GPU: packed operands and partial sums), which is written and read besides */
  double bytes;
  double scratch;
  int64_t launches; /* kernels; 0 where the backend does not know or there is none */
  /* not among those: what runs after plan_weights_changed only (keep_weights) */
  int kept_steps;
  int64_t kept_launches;
  double kept_bytes;
} PlanStats;

/* What the plan takes and does. */
PlanStats plan_stats(const Plan *p);

/* Per-step profile: call plan_profile(p, true), run, then plan_report prints a table (name, shape,
 * ms, GFLOP/s) to `f`. */
void plan_profile(Plan *p, bool on);
void plan_report(const Plan *p, FILE *f);

/* The same table with all steps of one description in a line, and beside their rates the shares of
 * what the machine was measured to do at most: multiply-adds (gflops, 1e9/s, two each) and copied
 * bytes (gbytes, 1e9/s). Bytes: every operand and result once, so a rate above that of memory is
 * the cache's; what Winograd's transforms save makes a share of the peak above 100 %. */
void plan_roofline(const Plan *p, double gflops, double gbytes, FILE *f);

/* From now on (until off) runs count how the maps that are stored in 16 bits fit there: zeros,
 * subnormal numbers, infinities. Where they are stored as float, on the CPU too, what f16 would
 * make of them. A run that counts is slow; its results are the same bits. ST_NOMEM. */
Status plan_ranges(Plan *p, bool on, Error *e);

/* A line for each map counted: name, step, nearest parameter, what, stored as, percent zero,
 * percent subnormal, percent infinite or NaN, largest finite size; separated by tabs. */
void plan_ranges_report(const Plan *p, const char *name, FILE *f);
#endif
