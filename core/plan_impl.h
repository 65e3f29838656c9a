/* plan_impl.h: what plan.c (what runs), plan_memory.c (where it lives) and plan_run.c (running
 * it) share. */
#ifndef PRLX_PLAN_IMPL_H
#define PRLX_PLAN_IMPL_H
#include "core/backend.h"
#include "core/plan.h"
#include "core/pointwise.h"

/* pointwise nodes per fused loop: at most 15 arguments and 12 live registers */
enum { GROUP_MAX_OPS = 14 };
typedef enum { MEM_NONE, MEM_LEAF, MEM_ARENA, MEM_FOLDED, MEM_IO } MemKind;

/* a value of the plan: a copy of the graph's node, or a conv_prep the planner added */
typedef struct PVal {
  Node node;
  /* step: has a step of its own */
  bool alive;
  bool folded;
  bool kept; /* depends on parameters alone (PlanOptions.keep_weights), and is not folded */
  bool output;
  bool step;
  Val group; /* pointwise: root of the fused loop it runs in */
  /* while grouping: the one group that reads it, -1 several or not fusable */
  Val seen;
  int group_ops; /* for roots */
  Val root;      /* value whose memory it uses (reshape; in-place) */
  MemKind mem;
  size_t bytes;
  size_t offset;
  /* steps between which the memory is used */
  int first;
  int last;
  real *ptr; /* MEM_IO, MEM_FOLDED: own memory */
  bool bound;
  /* backend (plan_device.c) */
  DType dtype;
  MapLayout lies;
  void *dev; /* device address, except of what lies in the arena */
  /* input: staging was written since the last upload; input or output: the device has what the
   * staging has not */
  bool host_new;
  bool dev_new;
  bool private_leaf; /* copied to the device for this plan */
  bool unstored;     /* it is in registers only (PwProgram.unstored) */
} PVal;

typedef struct Step {
  Val value;
  Val more[PW_MAX_MORE]; /* backend: further results of prog (plan_multi.c) */
  PwProgram *prog;       /* fused loop, else NULL */
  /* backend: the loop runs in the store of this convolution (v is the loop's result); 0: no */
  Val conv;
  int store_from; /* argument of the loop that is the convolution's result */
  int nargs;
  Val arg[PW_MAX_ARGS];
  Shape shape[PW_MAX_ARGS];
  const real *ptr[PW_MAX_ARGS];
  real *out;
  size_t scratch;
  size_t scratch_at; /* of a batch, each step has its own */
  /* backend: steps before and after this one that may be launched with it (plan_batch.c) */
  int batch_before;
  int batch_after;
  double flop;
  int64_t ns;
  int64_t runs;
} Step;

/* a second binding of one value */
typedef struct Copy {
  Val value;
  real *to;
} Copy;

typedef struct StepRange StepRange; /* plan_range.c */

struct Plan {
  const Graph *graph;
  PVal *value;
  int n;
  int cap;
  Step *step;
  /* the first nfold run once, those up to nkept after plan_weights_changed */
  int nstep;
  int cap_step;
  int nfold;
  int nkept;
  size_t arena_bytes;
  size_t scratch_bytes;
  size_t folded_bytes;
  size_t io_bytes;
  PlanArena own;
  PlanArena *arena;
  void *resolved_for; /* arena memory the pointers were computed for */
  bool ready;
  bool folded_done;
  bool kept_done;
  bool keeps;
  bool profile;
  bool keep_all;
  Val products;            /* the first value that plan_scale.c added */
  bool (*stop)(void *ctx); /* NULL: runs are not broken off */
  void *stop_ctx;
  StepRange *range; /* [nstep] while runs count, else NULL */
  void *folded;
  Copy *copy;
  int ncopy;
  int cap_copy;
  /* backend (plan_device.c) */
  Backend *backend;
  DevStep *dev; /* [nstep] */
  DevProgram *fold_program;
  DevProgram *kept_program;
  DevProgram *program;
  void *leaf_mem;
  void *io_mem;
  size_t leaf_bytes;
  /* inputs and outputs; private leaves that are not frozen */
  Val *io;
  Val *live;
  int nio;
  int nlive;
  bool leaves_done;
  /* plan_marks.c: steps before mark i; of a backend the program of the steps from the mark before
   * it, the last one up to the end */
  int *mark;
  DevProgram **mark_program; /* [nmark + 1] */
  int nmark;
  void (*on_mark)(void *ctx, int i);
  void *mark_ctx;
};

/* When it is computed: once, after a change of the weights, in every run. */
static inline int plan_stage(const PVal *x) { return x->folded ? 0 : x->kept ? 1 : 2; }

/* How many values a step makes. */
static inline int plan_results(const Step *s) { return 1 + (s->prog ? s->prog->nmore : 0); }

/* Value r of them. */
static inline Val plan_result(const Step *s, int r) { return r ? s->more[r - 1] : s->value; }

/* The value whose memory v uses. */
static inline Val plan_root(const Plan *p, Val v) {
  while (p->value[v].root != v) v = p->value[v].root;
  return v;
}

/* plan_prep.c: the value of prepared weights; preps, from `first` on, are shared by all
 * convolutions that read the same weights in the same way. 0: out of memory. */
Val plan_prep_value(Plan *p, Val first, const Node *prep);

/* plan_memory.c: lifetimes, in-place, offsets, limits */
Status plan_place(Plan *p, const PlanOptions *o, Error *e);
size_t plan_round(const Plan *p, size_t bytes); /* to the alignment of the arena */
bool plan_has_data(const Plan *p, Val v);       /* an input or output */
Status plan_add_copy(Plan *p, Val v, real *to, Error *e);

/* plan_run.c: memory of inputs and outputs, so that plan_data is never NULL for want of memory;
 * plan_bind frees what it replaces */
Status plan_io(Plan *p, Error *e);

/* plan_device.c: the plan on a backend with programs. plan_dev_lower, after the steps are known:
 * loops into stores of convolutions, storage types, scratch. */
Status plan_dev_lower(Plan *p, bool fuse, Error *e);
Status plan_dev_prepare(Plan *p, Error *e);
Status plan_dev_run(Plan *p, Error *e);
real *plan_dev_data(Plan *p, Val v);
Status plan_dev_read(Plan *p, Val v, const real **out, Error *e);
Status plan_dev_bind(Plan *p, Val v, real *ptr, Error *e);
void plan_dev_free(Plan *p);
double plan_step_bytes(const Plan *p, int k);       /* operands and result once, margins, too */
int plan_dev_launches(const Plan *p, int k, int n); /* of n steps from k on */
bool plan_is_map(const Plan *p, Val v); /* a feature map: 16 bits where the precision asks for it */

/* plan_outer.c: gradients of an image of one channel, and for its weights, as loops. */
Status plan_outer(Plan *p, Error *e);

/* plan_recover.c: loops that read a map which another one, kept anyway, tells. */
void plan_recover(Plan *p);

/* plan_multi.c: loops that walk the same numbers become one with several results. */
Status plan_multi(Plan *p, Error *e);
DevStep plan_dev_step(const Plan *p, const Step *s); /* before it has addresses */

/* plan_scale.c: products of maps and scales that convolutions read become values; back: no longer
 * those that lie in planes, which a convolution would lay out again. */
Status plan_scales(Plan *p, Error *e);
void plan_scales_back(Plan *p);

/* plan_store.c: sums and products of what convolutions and filters store, in that store. */
Status plan_stores(Plan *p, Error *e);

/* What such passes share. product: is the step a convolution or a filter, whose store is its own?
 * maker: the step from `first` on that makes v, -1: none. readers: slots that read its memory,
 * outputs included. begin: step a with what runs in its store so far, *q. early: marks the steps
 * between a and b that make what the first nargs arguments of step b, but `from`, need; need[i]: of
 * step a + 1 + i; false: one is large, or needs what step a makes. hoist: those go before step a;
 * where that is then. argument: v becomes one more of the loop in the store, -1: no room, else
 * which. register: the first that the loop does not use. */
bool plan_store_product(const Plan *p, const Step *s);
int plan_store_maker(const Plan *p, int first, Val v);
int plan_store_readers(const Plan *p, Val v);
void plan_store_begin(const Step *a, Shape iter, Step *joint, PwProgram *q);
bool plan_store_early(const Plan *p, int a, int b, int from, int nargs, bool *need);
int plan_store_hoist(Plan *p, int a, int b, const bool *need);
int plan_store_argument(Step *joint, PwProgram *q, Val v, Shape shape);
int plan_store_register(const PwProgram *q);

/* plan_up.c: filters that double a map behind what convolutions store. */
void plan_ups(Plan *p);

/* plan_from.c: maps that are made of an image where the store of a convolution or a filter reads
 * them. */
Status plan_froms(Plan *p, Error *e);

/* plan_dot.c: images of one channel made in the stores of the maps that they are made of. */
Status plan_dots(Plan *p, Error *e);

/* plan_layout.c: which 16-bit maps lie with their channels last (MapLayout). */
Status plan_layouts(Plan *p, Error *e);

/* plan_batch.c: the order in which a backend runs the steps, and which of them together. kind:
 * Backend.batch_kind of each step; it is changed. */
Status plan_batch(Plan *p, int8_t *kind, Error *e);

/* plan_marks.c. prepare, run: on a backend. step: on the CPU, so many steps are done and mark
 * `next` comes next; returns the one after those that were reached. */
Status plan_marks_prepare(Plan *p, Error *e);
Status plan_marks_run(Plan *p, Error *e);
int plan_marks_step(Plan *p, int steps, int next);
void plan_marks_free(Plan *p);

/* plan_range.c: after step k on the CPU; all steps after the folded ones on a backend. */
void plan_range_host(Plan *p, int k);
Status plan_range_run(Plan *p, Error *e);
void plan_describe(const Plan *p, const Step *s, char *buf, size_t n);
#endif
