/* cuda_check.h: one step on the device against the CPU kernel of the same operation (cuda_check.c).
 */
#ifndef PRLX_TEST_CUDA_CHECK_H
#define PRLX_TEST_CUDA_CHECK_H
#include "core/backend.h"
#include "test/op_cases.h"
#define TEST_SHARED
#include "test/test.h"

typedef struct Bench { /* what the checks share */
  Backend *b;
  bool covered[OP_COUNT];
  /* checked */
  int64_t steps;
  int64_t variants;
  int64_t layouts; /* of them, with channels last */
  double worst[OP_COUNT]; /* largest error seen, relative to the bound's scale */
  bool quick;             /* the fast subset of make test */
  const char *only;       /* PRLX_ONLY: cases whose name contains this; NULL: all */
} Bench;

/* A step with host operands: runs it with every storage type the backend supports under its
 * precision, each in two orders of threads (equal bits asked for), and compares with the reference.
 * data[k] NULL: absent. `prog`, `store`: as in DevStep. */
typedef struct HostStep {
  Node n;
  int nargs;
  Shape shape[PW_MAX_ARGS];
  const float *data[PW_MAX_ARGS];
  const PwProgram *prog;
  const PwProgram *store;
  int store_from;
  /* loops: 1 + the argument whose memory is the result's too; 0: none */
  int inplace;
} HostStep;
bool skipped(const Bench *t, const char *name);
void check_step(Bench *t, const HostStep *h, const char *name);

/* Every node of a graph, one by one: inputs are filled as the case asks. */
void check_graph(Bench *t, const Case *c, const Built *built, const char *name);

/* Builds the case with gradients up to `levels` orders (at most what the operation allows) and
 * checks every node. */
void check_case(Bench *t, const Case *c, int levels);
void check_operations(Bench *t); /* cuda_shapes.c: the table over many shapes */

/* cuda_loops.c: fused loops, reductions, loops in the store of a convolution */
void check_loops(Bench *t);
void check_multi(Bench *t); /* cuda_multi.c: loops with several results */
void check_optimiser(Bench *t); /* cuda_plans.c */
void check_plans(Bench *t);
void check_layouts(Bench *t); /* cuda_layouts.c */

/* The case as a plan, with gradients up to second order, on the device as it is and with all maps
 * in planes. */
void check_plan_planes(Bench *t, const Case *c, double bound);
#endif
