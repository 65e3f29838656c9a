/* golden.h: compares this program with the numbers in test/golden/ (format and meaning:
 * test/golden/README.md). `build/golden [-q] PATH...` runs every .safetensors file given, or found
 * in the given folders. What a file holds is decided from its metadata alone (`case`, `cases`,
 * `cfg.*`), never from its name, so other sets of the same format run through the same code. A
 * runner loads the inputs, computes, and calls gold_compare for every out.*, grad*.* tensor; if any
 * is left uncompared at the end, that is one more failure (gold_skip names the exceptions). Memory
 * returned by gold_* belongs to the framework and lives until the file is done. */
#ifndef PRLX_GOLDEN_H
#define PRLX_GOLDEN_H
#include "core/graph.h"
#include "core/plan.h"
#include "io/formats/safetensors.h"

typedef struct GoldBlock {
  struct GoldBlock *next;
  const StTensor *of;
  real *data;
} GoldBlock;
typedef struct Gold {
  StFile f; /* the open golden file */
  const char *path;
  const char *kind; /* metadata `case`: "ops", "mapping_2u", ... */
  bool quiet;       /* print failures only */
  int passed;
  int failed;
  unsigned char *seen; /* per tensor: compared or skipped */
  GoldBlock *mem;
} Gold;
typedef void (*GoldFn)(Gold *g);

/* Where plans run: NULL = the CPU. A device when the program was linked with test/cuda_golden.c. */
struct Backend *golden_backend(void) __attribute__((weak));
static inline struct Backend *gold_backend(void) {
  return golden_backend ? golden_backend() : NULL;
}

void golden_backend_free(void) __attribute__((weak));

/* ---- metadata ---- */
const char *gold_str(Gold *g, const char *key);        /* NULL if absent */
double gold_num(Gold *g, const char *key, double def); /* def if absent */
int64_t gold_int(Gold *g, const char *key, int64_t def);

/* i-th name of the list `cases`; NULL after the last */
const char *gold_case(Gold *g, int i);

/* value of `key` in the list cfg.<name>; NULL if absent */
const char *gold_cfg(Gold *g, const char *name, const char *key);
double gold_cfg_num(Gold *g, const char *name, const char *key, double def);
int gold_cfg_int(Gold *g, const char *name, const char *key, int def);

/* sprintf that stays alive */
const char *gold_name(Gold *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- tensors ---- */
bool gold_has(Gold *g, const char *name);

/* Values as real (any dtype); *shape may be NULL. NULL and one failure when the tensor is absent.
 * Loaded once per name. */
real *gold_load(Gold *g, const char *name, Shape *shape);
Shape gold_shape(Gold *g, const char *name);   /* rank 0 if absent */
int64_t gold_numel(Gold *g, const char *name); /* 0 if absent */

/* Scratch of n reals, zeroed, owned by the framework. */
real *gold_scratch(Gold *g, int64_t n);

/* max |golden|, 0 if absent: to build a scale over several tensors */
double gold_maxabs(Gold *g, const char *name);

/* ---- verdicts ---- */
/* One test: max |got - golden| <= tol * max|golden|, tol = max(1e-5, 20*err32.<name>) from the
 * metadata; without err32: first-order gradients 1e-4, second-order ones (grad2*, grad_r1*, path
 * length), training steps and projector 1e-3, others 1e-5; grad.w of generator_paper* 1e-2. I64 and
 * U8 tensors must be equal. n must be the tensor's element count. got == NULL fails. */
void gold_compare(Gold *g, const char *name, const real *got, int64_t n);
void gold_compare_f64(Gold *g, const char *name, const double *got, int64_t n);

/* The same judged against `scale` instead of max|golden| when scale > max|golden| (R1 bias
 * gradients: the largest R1 gradient of the net); min_tol > 0 raises the tolerance to at least this
 * (for chaotic quantities; say why where it is used). */
void gold_compare_scale(Gold *g, const char *name, const real *got, int64_t n, double scale,
                        double min_tol);

/* Features of `batch` images, m numbers each, against out.<tap>.mean, .std (population), .l2 and
 * .samples (evenly spaced). */
void gold_compare_tap(Gold *g, const char *tap, const real *x, int64_t batch, int64_t m);
void gold_skip(Gold *g, const char *name, const char *why); /* not compared on purpose */

/* one passed test that is no tensor comparison */
void gold_pass(Gold *g, const char *what);
void gold_fail(Gold *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* true if s is ST_OK, else one failure with e->msg */
bool gold_ok(Gold *g, Status s, const Error *e, const char *what);

/* ---- a graph with golden inputs and expected values ----
 *   GoldRun r; gold_run_begin(&r, g);
 *   Val x = gold_in(&r, "in.x"), y = g_square(r.graph, x);
 *   gold_expect(&r, y, "out.y");
 *   gold_run_end(&r);                 // plans, fills the inputs, runs, compares, frees */
#define GOLD_MAX_VALS 512
typedef struct GoldRun {
  Gold *g;
  Graph *graph;
  Plan *plan;
  int nin;
  int nout;
  bool failed;
  Val in[GOLD_MAX_VALS];
  Val out[GOLD_MAX_VALS];
  const real *src[GOLD_MAX_VALS];
  const char *name[GOLD_MAX_VALS]; /* of out; NULL: only kept readable (gold_value) */
  double scale[GOLD_MAX_VALS];
  double min_tol[GOLD_MAX_VALS];
} GoldRun;
void gold_run_begin(GoldRun *r, Gold *g);

/* graph input with the tensor's own shape; same name gives the same value */
Val gold_in(GoldRun *r, const char *name);

/* the same numbers with another shape of equal size */
Val gold_in_as(GoldRun *r, const char *name, Shape s);

/* an input from elsewhere; data must live until the run */
Val gold_in_data(GoldRun *r, const char *name, Shape s, const real *data);

/* element count must match; shapes may differ */
void gold_expect(GoldRun *r, Val v, const char *name);
void gold_expect_scale(GoldRun *r, Val v, const char *name, double scale, double min_tol);

/* readable after the run without comparison */
void gold_keep(GoldRun *r, Val v);

/* sum(y * in.r-like value): the scalar L of the golden files. */
Val gold_dot(GoldRun *r, Val y, Val w);

/* d L / d x for several x, sticky error. */
bool gold_grads(GoldRun *r, Val L, int n, const Val *wrt, Val *out);

/* plan and run; false (one failure) if something failed */
bool gold_run_exec(GoldRun *r);

/* after gold_run_exec; input, expected or kept values */
const real *gold_value(GoldRun *r, Val v);
void gold_run_check(GoldRun *r); /* the comparisons */
void gold_run_free(GoldRun *r);
void gold_run_end(GoldRun *r); /* exec + check + free */

/* ---- runners. Weak: a missing one is reported as a failed test, not as a link error. ---- */
#define GOLD_RUNNER(fn) void fn(Gold *g) __attribute__((weak))
GOLD_RUNNER(golden_formula); /* golden_ops.c */
GOLD_RUNNER(golden_ops);
GOLD_RUNNER(golden_nn);
GOLD_RUNNER(golden_mapping);       /* golden_nets.c */
GOLD_RUNNER(golden_generator);     /* also generator_paper* */
GOLD_RUNNER(golden_discriminator); /* also discriminator_paper* */
GOLD_RUNNER(golden_path_length);
GOLD_RUNNER(golden_train_step); /* golden_train.c; also train_step_mix */
GOLD_RUNNER(golden_ada);
GOLD_RUNNER(golden_augment); /* golden_augment.c: augment_gray, augment_rgb */
GOLD_RUNNER(golden_augment_random);
GOLD_RUNNER(golden_augment_r1);
GOLD_RUNNER(golden_vgg16_lpips); /* golden_projector.c */
GOLD_RUNNER(golden_projector);
GOLD_RUNNER(golden_projector_schedule);
GOLD_RUNNER(golden_inception); /* golden_inception.c */
GOLD_RUNNER(golden_fid_kid);
#endif
