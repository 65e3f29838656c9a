/* program.cu: the steps of a plan as one CUDA graph. The first run launches the kernels one by one
 * (they set their attributes then), the second captures them, later ones replay the capture: the
 * host then makes one call per plan instead of hundreds. */
#include <string.h>
#include "cuda/device_impl.h"

struct DevProgram {
  int n;
  int runs;
  DevStep *step;
  cudaGraphExec_t graph;
};

static Status no_kernel(const DevStep *s, Error *e) {
  return err_set(e, ST_INTERNAL, "cuda: operation %s has no kernel",
                 s->node.op < OP_COUNT && s->node.op ? op_table[s->node.op]->name : "?");
}

Status cuda_check(const char *what, const DevStep *s, Error *e) {
  cudaError_t r = cudaGetLastError();
  char shape[96];
  if (r == cudaSuccess) return ST_OK;
  return err_set(e, ST_INTERNAL, "cuda %s %s: %s; %s", what,
                 s ? shape_str(s->node.shape, shape) : "", cudaGetErrorString(r), cuda_mend(r));
}

static size_t program_scratch(Backend *b, const DevStep *s) { return cuda_scratch(&of(b)->c, s); }

static bool program_supports(Backend *b, const DevStep *s, int slot, DType t) {
  const CudaRow *r = cuda_row(s);
  return t == DT_F32 || (r && r->supports && r->supports(s, slot, t));
}

static bool can_store(Backend *b, const DevStep *conv, const PwProgram *p, int from) {
  return conv->node.op == OP_upfirdn2d ? cuda_filter_can_store(conv, p, from)
                                       : cuda_conv_can_store(&of(b)->c, conv, p, from);
}

static int program_channels_last(Backend *b, const DevStep *s, int slot, MapLayout *margin) {
  return cuda_channels_last(&of(b)->c, s, slot, margin);
}

static bool program_prepare(Backend *b, const DevStep *conv, Node *prep) {
  return cuda_conv_prepare(&of(b)->c, conv, prep);
}

static bool can_several(Backend *b, const DevStep *s, int64_t size) {
  const CudaCtx *c = &of(b)->c;
  return c->rung[KIND_MULTI] != RUNG_NAIVE && size >= c->several_from && cuda_multi_can(s);
}

/* What several steps of a plan may share a launch with; 0: nothing. */
enum { BATCH_ALONE, BATCH_LOOP, BATCH_SUM, BATCH_MATMUL };
static int batch_kind(Backend *b, const DevStep *s) {
  const CudaKind kind = cuda_kind(s);
  if (of(b)->c.rung[kind] == RUNG_NAIVE) return BATCH_ALONE;
  return kind == KIND_LOOP     ? cuda_loop_is_small(s) ? BATCH_LOOP : BATCH_ALONE
         : kind == KIND_SUM    ? cuda_sum_is_small(s) ? BATCH_SUM : BATCH_ALONE
         : kind == KIND_MATMUL ? BATCH_MATMUL
                               : BATCH_ALONE;
}

/* The step s, or all from there on that one launch does; *n: how many those were of the n. */
static Status launch_next(const CudaCtx *c, const DevStep *s, int *n, Error *e) {
  const int preps = cuda_conv_prep_count(s, *n), most = PRLX_MIN(*n, s->together);
  const CudaKind kind = cuda_kind(s);
  if (preps > 1) return cuda_conv_preps(c, s, *n = preps, e);
  *n = 1;
  if (most < 2 || c->rung[kind] == RUNG_NAIVE) return cuda_launch(c, s, e);
  const int loops = kind == KIND_LOOP ? cuda_loop_count(s, most) : 0,
            sums = kind == KIND_SUM ? cuda_sum_count(s, most) : 0,
            products = kind == KIND_MATMUL ? cuda_matmul_count(s, most) : 0;
  *n = PRLX_MAX(PRLX_MAX(1, sums), PRLX_MAX(loops, products));
  return loops > 1      ? cuda_loops(c, s, loops, e)
         : sums > 1     ? cuda_sums(c, s, sums, e)
         : products > 1 ? cuda_matmuls(c, s, products, e)
                        : cuda_launch(c, s, e);
}

static Status launch_steps(const CudaCtx *c, const DevStep *s, int count, Error *e) {
  for (int i = 0, n; i < count; i += n) {
    n = count - i;
    TRY(launch_next(c, s + i, &n, e));
  }
  return ST_OK;
}

/* The launches themselves, counted: no second list of what each operation takes. */
static int program_launches(Backend *b, int n, const DevStep *s) {
  Error e;
  for (int i = 0; i < n; i++)
    if (!cuda_row(&s[i]) || !cuda_row(&s[i])->launch) return 0;
  cuda_counted = 0;
  const Status st = launch_steps(&of(b)->c, s, n, &e);
  const int count = st == ST_OK ? cuda_counted : 0;
  cuda_counted = -1;
  return count;
}

static Status program_new(Backend *b, int n, const DevStep *s, DevProgram **out, Error *e) {
  *out = NULL;
  for (int i = 0; i < n; i++)
    if (!cuda_row(&s[i]) || !cuda_row(&s[i])->launch) return no_kernel(&s[i], e);
  DevProgram *p = (DevProgram *)mem_alloc(sizeof *p);
  if (p) p->step = (DevStep *)mem_alloc((size_t)n * sizeof *s);
  if (!p || !p->step) {
    mem_free(p);
    return err_set(e, ST_NOMEM, "cuda: out of memory for a program of %d steps", n);
  }
  memcpy(p->step, s, (size_t)n * sizeof *s);
  p->n = n;
  *out = p;
  return ST_OK;
}

static void program_free(Backend *b, DevProgram *p) {
  if (!p) return;
  if (p->graph) {
    cudaStreamSynchronize(of(b)->c.stream);
    cudaGraphExecDestroy(p->graph);
  }
  mem_free(p->step);
  mem_free(p);
}

static Status launch_all(Backend *b, DevProgram *p, Error *e) {
  return launch_steps(&of(b)->c, p->step, p->n, e);
}

/* Records the launches instead of running them. */
static Status program_capture(Backend *b, DevProgram *p, Error *e) {
  cudaStream_t stream = of(b)->c.stream;
  cudaGraph_t g = NULL;
  TRY(cuda_status(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                  "begin of a capture", e));
  /* a capture that was begun is ended, whatever became of the launches */
  Status st = launch_all(b, p, e);
  cudaError_t r = cudaStreamEndCapture(stream, &g);
  /* of a capture that failed: the launch has said why, and the next check must not find it again */
  if (st != ST_OK) cudaGetLastError();
  if (st == ST_OK) st = cuda_status(r, "end of a capture", e);
  if (st == ST_OK) st = cuda_status(cudaGraphInstantiate(&p->graph, g, 0), "making a graph", e);
  if (g) cudaGraphDestroy(g);
  return st;
}

static Status program_run(Backend *b, DevProgram *p, Error *e) {
  p->runs++;
  if (p->runs >= 2 && p->n > 0) {
    if (!p->graph) TRY(program_capture(b, p, e));
    return cuda_status(cudaGraphLaunch(p->graph, of(b)->c.stream), "running a graph", e);
  }
  return launch_all(b, p, e);
}

/* ev [n + 1], NULL where none could be made: the caller destroys them. */
static Status profile_events(Backend *b, DevProgram *p, int n, cudaEvent_t *ev, int64_t *ns,
                             Error *e) {
  const cudaStream_t stream = of(b)->c.stream;
  for (int i = 0; i <= n; i++) TRY(cuda_status(cudaEventCreate(&ev[i]), "an event", e));
  TRY(cuda_status(cudaEventRecord(ev[0], stream), "an event", e));
  for (int i = 0; i < n; i++) {
    TRY(cuda_launch(&of(b)->c, &p->step[i], e));
    TRY(cuda_status(cudaEventRecord(ev[i + 1], stream), "an event", e));
  }
  TRY(b->sync(b, e));
  for (int i = 0; i < n; i++) {
    float ms = 0;
    TRY(cuda_status(cudaEventElapsedTime(&ms, ev[i], ev[i + 1]), "the time of an event", e));
    ns[i] = (int64_t)((double)ms * 1e6);
  }
  return ST_OK;
}

static Status program_profile(Backend *b, DevProgram *p, int n, int64_t *ns, Error *e) {
  cudaEvent_t *ev = (cudaEvent_t *)mem_alloc((size_t)(n + 1) * sizeof *ev);
  if (!ev) return err_set(e, ST_NOMEM, "cuda: out of memory for a profile");
  const Status st = profile_events(b, p, n, ev, ns, e);
  for (int i = 0; i <= n; i++)
    if (ev[i]) cudaEventDestroy(ev[i]);
  mem_free(ev);
  return st;
}

void cuda_program_functions(Backend *b) {
  b->scratch = program_scratch;
  b->supports = program_supports;
  b->can_store = can_store;
  b->channels_last = program_channels_last;
  b->prepare = program_prepare;
  b->several = can_several;
  b->batch_kind = batch_kind;
  b->launches = program_launches;
  b->program = program_new;
  b->run = program_run;
  b->program_free = program_free;
  b->profile = program_profile;
}
