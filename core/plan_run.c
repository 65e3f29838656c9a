/* plan_run.c: running a plan, its inputs and outputs, and its profile. */
#include <stdlib.h>
#include <string.h>
#include "core/conv.h"
#include "core/os.h"
#include "core/plan_impl.h"

static Status io_memory(PVal *x, Error *e) {
  if (x->ptr) return ST_OK;
  x->ptr = mem_alloc(x->bytes);
  return x->ptr ? ST_OK
                : err_set(e, ST_NOMEM, "out of memory for an input or output of %.1f MiB",
                          (double)x->bytes / 1048576);
}

Status plan_io(Plan *p, Error *e) {
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].mem == MEM_IO) TRY(io_memory(&p->value[v], e));
  return ST_OK;
}

static real *host_address(Plan *p, Val v) {
  const PVal *x = &p->value[plan_root(p, v)];
  if (x->mem == MEM_LEAF) return (real *)x->node.data;
  if (x->mem == MEM_ARENA) return (real *)((char *)p->arena->mem + x->offset);
  return x->mem == MEM_FOLDED || x->mem == MEM_IO ? x->ptr : NULL;
}

bool plan_has_data(const Plan *p, Val v) {
  return v > 0 && v < p->n && (p->value[v].output || p->value[v].node.op == OP_input);
}

real *plan_data(Plan *p, Val v) {
  if (!plan_has_data(p, v)) return NULL;
  if (p->backend) return plan_dev_data(p, v);
  PVal *x = &p->value[plan_root(p, v)];
  if (x->mem == MEM_LEAF) return (real *)x->node.data;
  return x->mem == MEM_IO && io_memory(x, NULL) == ST_OK ? x->ptr : NULL;
}

Status plan_read(Plan *p, Val v, const real **out, Error *e) {
  *out = NULL;
  if (!plan_has_data(p, v))
    return err_set(e, ST_INTERNAL, "plan_read: value %d is no output of the plan", (int)v);
  if (p->backend) return plan_dev_read(p, v, out, e);
  *out = plan_data(p, v);
  return *out ? ST_OK : err_set(e, ST_NOMEM, "out of memory to read an output of the plan");
}

Status plan_bind(Plan *p, Val v, real *ptr, Error *e) {
  if (!plan_has_data(p, v) || !p->value[v].alive)
    return err_set(e, ST_INTERNAL,
                   "plan_bind: value %d is neither an input nor an output of the plan", (int)v);
  if (p->backend) return plan_dev_bind(p, v, ptr, e);
  PVal *x = &p->value[plan_root(p, v)];
  if (x->mem == MEM_IO && !x->bound &&
      (p->value[v].node.op == OP_input || x->node.op != OP_input)) {
    mem_free(x->ptr);
    x->ptr = ptr;
    x->bound = true;
    p->ready = false;
    return ST_OK;
  }
  if (p->value[v].node.op == OP_input) {
    x->ptr = ptr;
    p->ready = false;
    return ST_OK;
  }
  return plan_add_copy(p, v, ptr, e);
}

/* The value already lives elsewhere: copied after each run. */
Status plan_add_copy(Plan *p, Val v, real *to, Error *e) {
  if (p->ncopy == p->cap_copy) {
    int cap = p->cap_copy ? 2 * p->cap_copy : 16;
    Copy *q = mem_grow(p->copy, (size_t)p->ncopy * sizeof *q, (size_t)cap * sizeof *q);
    if (!q) return err_set(e, ST_NOMEM, "out of memory while binding outputs");
    p->copy = q;
    p->cap_copy = cap;
  }
  p->copy[p->ncopy++] = (Copy){v, to};
  return ST_OK;
}

Status plan_fill_normal(Plan *p, Val v, Rng *r, Error *e) {
  if (!plan_has_data(p, v) || p->value[v].node.op != OP_input)
    return err_set(e, ST_INTERNAL, "plan_fill_normal: value %d is no input of the plan", (int)v);
  if (p->backend && p->value[v].alive) {
    PVal *x = &p->value[v];
    TRY(plan_prepare(p, e));
    x->host_new = false;
    x->dev_new = true;
    return p->backend->fill_normal(p->backend, r, x->dev, shape_numel(x->node.shape), e);
  }
  real *dst = plan_data(p, v);
  if (dst) rng_fill_normal(r, dst, shape_numel(p->value[v].node.shape));
  return ST_OK;
}

static Status host_prepare(Plan *p, Error *e) {
  PlanArena *a = p->arena;
  if (a->bytes < a->need) {
    mem_free(a->mem);
    a->bytes = 0;
    a->mem = mem_alloc(a->need);
    if (!a->mem)
      return err_set(e, ST_NOMEM,
                     "out of memory for an arena of %.0f MiB; use a smaller batch or network",
                     (double)a->need / 1048576);
    a->bytes = a->need;
  }
  if (p->folded_bytes && !p->folded) {
    p->folded = mem_alloc(p->folded_bytes);
    if (!p->folded)
      return err_set(e, ST_NOMEM, "out of memory for %.0f MiB of prepared weights",
                     (double)p->folded_bytes / 1048576);
  }
  for (Val v = 1; v < p->n; v++) {
    PVal *x = &p->value[v];
    if (x->mem == MEM_FOLDED) x->ptr = (real *)((char *)p->folded + x->offset);
    if (x->mem == MEM_IO) TRY(io_memory(x, e));
  }
  for (int k = 0; k < p->nstep; k++) {
    Step *s = &p->step[k];
    for (int i = 0; i < s->nargs; i++) s->ptr[i] = s->arg[i] ? host_address(p, s->arg[i]) : NULL;
    s->out = host_address(p, s->value);
  }
  p->ready = true;
  p->resolved_for = a->mem;
  return ST_OK;
}

static int64_t now_ns(void) { return (int64_t)(os_clock() * 1e9); }

static void run_step(Plan *p, Step *s, void *scratch) {
  if (s->prog) {
    pw_run(s->prog, s->ptr, s->out, scratch);
    return;
  }
  Exec x = {.node = &p->value[s->value].node, .ins = s->shape, .out = s->out, .scratch = scratch};
  for (int i = 0; i < s->nargs; i++) x.in[i] = s->ptr[i];
  node_row(x.node)->cpu(&x);
}

Status plan_prepare(Plan *p, Error *e) {
  if (p->ready && p->arena->bytes >= p->arena->need && p->resolved_for == p->arena->mem)
    return ST_OK;
  return p->backend ? plan_dev_prepare(p, e) : host_prepare(p, e);
}

void plan_on_stop(Plan *p, bool (*stop)(void *ctx), void *ctx) {
  p->stop = stop;
  p->stop_ctx = ctx;
}

Status plan_run(Plan *p, Error *e) {
  TRY(plan_prepare(p, e));
  if (p->backend) return plan_dev_run(p, e);
  void *scratch = (char *)p->arena->mem + p->arena_bytes;
  for (int k = p->folded_done ? p->nfold : 0, mark = 0; k < p->nstep; k++) {
    Step *s = &p->step[k];
    mark = plan_marks_step(p, k, mark);
    if (p->stop && p->stop(p->stop_ctx)) return err_set(e, ST_INTERRUPTED, "broken off");
    if (!p->profile) {
      run_step(p, s, scratch);
      if (p->range) plan_range_host(p, k);
      continue;
    }
    int64_t start = now_ns();
    run_step(p, s, scratch);
    s->ns += now_ns() - start;
    s->runs++;
  }
  p->folded_done = true;
  for (int i = 0; i < p->ncopy; i++)
    memcpy(p->copy[i].to, host_address(p, p->copy[i].value),
           (size_t)shape_numel(p->value[p->copy[i].value].node.shape) * sizeof(real));
  return ST_OK;
}

Status plan_sync(Plan *p, Error *e) { return p->backend ? p->backend->sync(p->backend, e) : ST_OK; }

void plan_refresh(Plan *p) { p->folded_done = p->kept_done = p->leaves_done = false; }

void plan_weights_changed(Plan *p) {
  if (p) p->kept_done = false;
}

double plan_step_bytes(const Plan *p, int k) {
  const Step *s = &p->step[k];
  double bytes = 0;
  for (int r = 0; r < plan_results(s); r++) {
    const Val v = plan_result(s, r);
    const PVal *x = &p->value[plan_root(p, v)];
    if (x->unstored) continue;
    bytes += (double)map_numel(p->value[v].node.shape, x->lies) * (double)dtype_size(x->dtype);
  }
  for (int i = 0; i < s->nargs; i++) {
    const PVal *x = s->arg[i] ? &p->value[plan_root(p, s->arg[i])] : NULL;
    if (x) bytes += (double)map_numel(s->shape[i], x->lies) * (double)dtype_size(x->dtype);
  }
  return bytes;
}

PlanRest plan_rest(const Plan *p, int after) {
  PlanRest r = {0};
  double flop = 0, bytes = 0;
  for (int k = p->nkept; k < p->nstep; k++) {
    const double b = plan_step_bytes(p, k);
    flop += p->step[k].flop;
    bytes += b;
    r.steps += k >= after;
    r.flop += k >= after ? p->step[k].flop : 0;
    r.bytes += k >= after ? b : 0;
  }
  r.flop = flop > 0 ? r.flop / flop : 0;
  r.bytes = bytes > 0 ? r.bytes / bytes : 0;
  return r;
}

PlanStats plan_stats(const Plan *p) {
  PlanStats s = {.arena_bytes = p->arena_bytes,
                 .folded_bytes = p->folded_bytes,
                 .io_bytes = p->io_bytes,
                 .scratch_bytes = p->scratch_bytes,
                 .steps = p->nstep};
  for (Val v = 1; v < p->n; v++) s.nodes += p->value[v].alive;
  s.kept_steps = p->nkept - p->nfold;
  for (int k = p->nfold; k < p->nkept; k++) {
    s.kept_bytes += plan_step_bytes(p, k);
  }
  for (int k = p->nkept; k < p->nstep; k++) {
    s.flop += p->step[k].flop;
    s.bytes += plan_step_bytes(p, k);
    s.scratch += (double)p->step[k].scratch;
  }
  if (p->backend) {
    s.kept_launches = plan_dev_launches(p, p->nfold, p->nkept - p->nfold);
    s.launches = plan_dev_launches(p, p->nkept, p->nstep - p->nkept);
  }
  return s;
}

/* ---- profile ---- */
void plan_profile(Plan *p, bool on) {
  p->profile = on;
  for (int k = 0; on && k < p->nstep; k++) p->step[k].ns = p->step[k].runs = 0;
}

void plan_describe(const Plan *p, const Step *s, char *buf, size_t n) {
  char shape[96];
  const Node *x = &p->value[s->value].node;
  size_t at = 0;
  buf[0] = 0;
  if (s->conv)
    at += (size_t)snprintf(buf + at, n - at, "%s %s ", node_row(&p->value[s->conv].node)->name,
                           shape_str(s->shape[0], shape));
  if (s->prog) {
    for (int i = 0; i < s->prog->nop && at + 24 < n; i++)
      at += (size_t)snprintf(buf + at, n - at, "%s%s", i ? "+" : "",
                             op_table[s->prog->op[i].op]->name);
    if (s->prog->up.map && at + 24 < n)
      at += (size_t)snprintf(buf + at, n - at, " with %s doubled",
                             shape_str(s->prog->arg_shape[s->prog->up.map - 1], shape));
    if (s->prog->from.image && at + 24 < n)
      at += (size_t)snprintf(buf + at, n - at, " of %s",
                             shape_str(s->prog->arg_shape[s->prog->from.image - 1], shape));
    if (s->prog->reduce && at + 24 < n)
      at += (size_t)snprintf(buf + at, n - at, "%ssum %s", at ? ">" : "",
                             shape_str(s->prog->iter, shape));
  } else {
    const char *algo = p->backend ? ""
                       : x->op == OP_conv2d || x->op == OP_conv2d_dx || x->op == OP_conv2d_dw
                           ? conv_algo_name(x)
                           : "";
    at += (size_t)snprintf(buf + at, n - at, "%s%s%s", node_row(x)->name, *algo ? " " : "", algo);
    for (int i = 0; i < PRLX_MIN(s->nargs, 2) && at + 40 < n; i++)
      at += (size_t)snprintf(buf + at, n - at, " %s", shape_str(s->shape[i], shape));
  }
  for (int r = 0; r < plan_results(s) && at + 8 < n; r++)
    at += (size_t)snprintf(buf + at, n - at, "%s%s%s", r ? ", " : " -> ",
                           shape_str(p->value[plan_result(s, r)].node.shape, shape),
                           p->value[plan_result(s, r)].unstored ? " (not stored)" : "");
}

/* slowest first; equal times in the order of the steps */
typedef struct Timed {
  int64_t ns;
  int step;
} Timed;
static int timed_compare(const void *a, const void *b) {
  const Timed *x = a, *y = b;
  if (x->ns != y->ns) return x->ns < y->ns ? 1 : -1;
  return x->step - y->step;
}

void plan_report(const Plan *p, FILE *f) {
  Timed *order = mem_alloc((size_t)(p->nstep + 1) * sizeof *order);
  double total = 0;
  char text[400];
  if (!order) return;
  for (int k = 0; k < p->nstep; k++) {
    order[k] = (Timed){p->step[k].ns, k};
    total += p->step[k].runs ? (double)p->step[k].ns / (double)p->step[k].runs : 0;
  }
  qsort(order, (size_t)p->nstep, sizeof *order, timed_compare);
  fprintf(f, "%d steps (%d folded), %.2f ms, arena %.1f MiB, prepared %.1f MiB, scratch %.1f MiB\n",
          p->nstep, p->nfold, total / 1e6, (double)p->arena_bytes / 1048576,
          (double)p->folded_bytes / 1048576, (double)p->scratch_bytes / 1048576);
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[order[k].step];
    if (!s->runs) continue;
    double ms = (double)s->ns / (double)s->runs / 1e6;
    plan_describe(p, s, text, sizeof text);
    fprintf(f, "%9.3f ms %5.1f%%", ms, 100 * ms * 1e6 / total);
    if (s->flop > 0)
      fprintf(f, " %7.1f GFLOP/s", s->flop / ms / 1e6);
    else
      fprintf(f, "                ");
    fprintf(f, "  %s\n", text);
  }
  mem_free(order);
}
