/* plan_internal.h: what plan.c (what runs), plan_memory.c (where it lives) and plan_run.c (running it) share. */
#ifndef PRLX_PLAN_INTERNAL_H
#define PRLX_PLAN_INTERNAL_H
#include "core/backend.h"
#include "core/plan.h"
#include "core/pointwise.h"

enum { GROUP_MAX_OPS = 14 };            /* pointwise nodes per fused loop: at most 15 arguments and 12 live registers */
typedef enum { MEM_NONE, MEM_LEAF, MEM_ARENA, MEM_FOLDED, MEM_IO } MemKind;

typedef struct PVal {                   /* a value of the plan: a copy of the graph's node, or a conv_prep the planner added */
  Node n;
  bool alive, folded, output, step;     /* step: has a step of its own */
  Val group;                            /* pointwise: root of the fused loop it runs in */
  Val seen;                             /* while grouping: the one group that reads it, -1 several or not fusable */
  int group_ops;                        /* for roots */
  Val root;                             /* value whose memory it uses (reshape; in-place) */
  MemKind mem;
  size_t bytes, offset;
  int first, last;                      /* steps between which the memory is used */
  real *ptr;                            /* MEM_IO, MEM_FOLDED: own memory */
  bool bound;
  /* backend (plan_device.c) */
  Dtype dtype;
  void *dev;                            /* device address, except of what lies in the arena */
  bool host_new, dev_new;               /* input: staging was written since the last upload; input or output: the device has what the staging has not */
  bool private_leaf;                    /* copied to the device for this plan */
} PVal;

typedef struct Step {
  Val v;
  PwProgram *prog;                      /* fused loop, else NULL */
  Val conv;                             /* backend: the loop runs in the store of this convolution (v is the loop's result); 0: no */
  int store_from;                       /* argument of the loop that is the convolution's result */
  int nargs;
  Val arg[PW_MAX_ARGS];
  Shape shape[PW_MAX_ARGS];
  const real *ptr[PW_MAX_ARGS];
  real *out;
  size_t scratch;
  double flop;
  int64_t ns, runs;
} Step;

typedef struct Copy { Val v; real *to; } Copy; /* a second binding of one value */

struct Plan {
  const Graph *g;
  PVal *v; int n, cap;
  Step *step; int nstep, cap_step, nfold;     /* the first nfold run once */
  size_t arena_bytes, scratch_bytes, folded_bytes, io_bytes;
  PlanArena own, *arena;
  void *resolved_for;                          /* arena memory the pointers were computed for */
  bool ready, folded_done, profile, keep_all;
  void *folded;
  Copy *copy; int ncopy, cap_copy;
  /* backend (plan_device.c) */
  Backend *backend;
  DevStep *dev;                                /* [nstep] */
  DevProgram *fold_program, *program;
  void *leaf_mem, *io_mem;
  size_t leaf_bytes;
  Val *io, *live; int nio, nlive;              /* inputs and outputs; private leaves that are not frozen */
  bool leaves_done;
};

static inline Val plan_root(const Plan *p, Val v) { while (p->v[v].root != v) v = p->v[v].root; return v; }
Status plan_place(Plan *p, const PlanOptions *o, Error *e);    /* plan_memory.c: lifetimes, in-place, offsets, limits */
size_t plan_round(const Plan *p, size_t bytes);                 /* to the alignment of the arena */
bool   plan_has_data(const Plan *p, Val v);                     /* an input or output */
Status plan_add_copy(Plan *p, Val v, real *to, Error *e);
/* plan_device.c */
Status device_lower(Plan *p, bool fuse, Error *e);              /* after the steps are known: loops into stores of convolutions, storage types, scratch */
Status device_prepare(Plan *p, Error *e);
Status device_run(Plan *p, Error *e);
real  *device_data(Plan *p, Val v);
Status device_bind(Plan *p, Val v, real *ptr, Error *e);
void   device_free(Plan *p);
void plan_describe(const Plan *p, const Step *s, char *buf, size_t n);
#endif
