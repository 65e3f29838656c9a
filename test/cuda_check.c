/* cuda_check.c: runs one step on the device and its twin on the CPU. Operands are rounded to their
 * storage type first, so that both see the same numbers; the bounds below are then those of the
 * arithmetic and of storing the result. */
#include "test/cuda_check.h"
#include "test/cuda_exact.h"

static bool on_tensor_cores(int op) {
  return op == OP_conv2d || op == OP_conv2d_dx || op == OP_conv2d_dw || op == OP_matmul;
}

static bool is_linear_sum(const HostStep *h) {
  return h->n.op == OP_sum || on_tensor_cores(h->n.op) || (h->prog && h->prog->reduce);
}

/* ---- the CPU's answer ---- */
static Shape out_shape(const HostStep *h) {
  return h->prog ? h->prog->out_shape : h->store ? h->store->out_shape : h->n.shape;
}

static bool cpu_loop(const PwProgram *p, const float *const *args, float *out) {
  void *scratch = mem_alloc(pw_scratch(p));
  if (scratch) pw_run(p, args, out, scratch);
  mem_free(scratch);
  return scratch != NULL;
}

/* *inner: the largest value between a convolution and the loop in its store. */
static bool cpu_step(const HostStep *h, const float *const *data, float *out, double *inner) {
  if (h->prog) return cpu_loop(h->prog, data, out);
  const OpRow *r = op_table[h->n.op];
  Exec x = {.node = &h->n, .ins = h->shape, .out = out};
  for (int i = 0; i < MAX_IN; i++) x.in[i] = data[i];
  float *conv = NULL;
  if (h->store) {
    conv = mem_alloc((size_t)shape_numel(h->n.shape) * 4);
    x.out = conv;
    if (!conv) return false;
  }
  x.scratch = mem_alloc(r->scratch ? r->scratch(&h->n, h->shape) : 0);
  bool ok = x.scratch != NULL;
  if (ok) r->cpu(&x);
  if (ok && h->store) {
    for (int64_t i = 0; inner && i < shape_numel(h->n.shape); i++)
      *inner = fmax(*inner, fabs((double)conv[i]));
    const float *args[PW_MAX_ARGS];
    for (int i = 0; i < h->store->narg; i++) args[i] = i == h->store_from ? conv : data[MAX_IN + i];
    ok = cpu_loop(h->store, args, out);
  }
  mem_free(x.scratch);
  mem_free(conv);
  return ok;
}

/* What a sum of terms of mixed signs may lose against its terms: the CPU's answer for the absolute
 * values of the operands, where that makes sense. */
static double terms(const HostStep *h, const float *const *data, int64_t n) {
  if (!is_linear_sum(h) || h->store || (h->prog && h->prog->nop > 0)) return 0;
  float *abs_data[PW_MAX_ARGS] = {NULL}, *out = mem_alloc((size_t)n * 4);
  double most = 0;
  for (int i = 0; i < h->nargs; i++)
    if (data[i]) {
      int64_t m = shape_numel(h->shape[i]);
      abs_data[i] = mem_alloc((size_t)m * 4);
      for (int64_t k = 0; abs_data[i] && k < m; k++) abs_data[i][k] = fabsf(data[i][k]);
    }
  if (out && cpu_step(h, (const float *const *)abs_data, out, NULL))
    for (int64_t k = 0; k < n; k++) most = fmax(most, (double)out[k]);
  for (int i = 0; i < PW_MAX_ARGS; i++) mem_free(abs_data[i]);
  mem_free(out);
  return most;
}

/* ---- storage ---- */
typedef struct Buffer {
  void *dev;
  size_t bytes;
  DType t;
  Shape s;
  MapLayout lies;
} Buffer;
static size_t size_of(DType t) { return t == DT_F32 ? 4 : 2; }

/* Number i of a map in planes, where it lies. */
static int64_t place_of(Shape s, MapLayout l, int64_t i) {
  if (!l.last) return i;
  const int64_t x = i % s.dim[3], y = i / s.dim[3] % s.dim[2],
                channel = i / s.dim[3] / s.dim[2] % s.dim[1],
                n = i / s.dim[3] / s.dim[2] / s.dim[1];
  return ((n * (s.dim[2] + l.edge) + l.edge + y) * (s.dim[3] + l.side) + l.side + x) * s.dim[1] +
         channel;
}

static bool put(Buffer *b, const float *x, Shape s, DType t, MapLayout l) {
  *b = (Buffer){.bytes = (size_t)map_numel(s, l) * size_of(t), .t = t, .s = s, .lies = l};
  b->dev = exact_new(b->bytes);
  if (!b->dev) return false;
  if (!x) return true;
  if (t == DT_F32) return exact_put(b->dev, x, b->bytes);
  uint16_t *h = mem_alloc(b->bytes);
  for (int64_t i = 0; h && i < shape_numel(s); i++)
    h[place_of(s, l, i)] = exact_to_16(x[i], t == DT_BF16);
  bool ok = h && exact_put(b->dev, h, b->bytes);
  mem_free(h);
  return ok;
}

/* What is not the map's own is zero: as many numbers are not zero as there are in the map. */
static bool has_clear_margin(const Buffer *b, const uint16_t *h) {
  int64_t in = 0, all = 0;
  for (int64_t i = 0; i < shape_numel(b->s); i++) in += h[place_of(b->s, b->lies, i)] != 0;
  for (int64_t i = 0; i < map_numel(b->s, b->lies); i++) all += h[i] != 0;
  return in == all;
}

static bool get(const Buffer *b, float *x) {
  if (b->t == DT_F32) return exact_get(x, b->dev, b->bytes);
  uint16_t *h = mem_alloc(b->bytes);
  bool ok = h && exact_get(h, b->dev, b->bytes) && has_clear_margin(b, h);
  for (int64_t i = 0; ok && i < shape_numel(b->s); i++)
    x[i] = exact_from_16(h[place_of(b->s, b->lies, i)], b->t == DT_BF16);
  mem_free(h);
  return ok;
}

static float *rounded(const float *x, int64_t n, DType t) {
  float *r = mem_alloc((size_t)n * 4);
  for (int64_t i = 0; r && i < n; i++)
    r[i] = t == DT_F32 ? x[i] : exact_from_16(exact_to_16(x[i], t == DT_BF16), t == DT_BF16);
  return r;
}

/* ---- one choice of storage types, and of how maps lie ---- */
typedef struct Types {
  DType arg[PW_MAX_ARGS];
  DType out;
  MapLayout lies[PW_MAX_ARGS];
  MapLayout out_lies;
} Types;

static void describe(const HostStep *h, const Types *ty, DevStep *s) {
  memset(s, 0, sizeof *s);
  s->node = h->n;
  s->nargs = h->nargs;
  s->prog = h->prog;
  s->prog_store = h->store;
  s->store_from = h->store_from;
  s->tout = ty->out;
  s->out_lies = ty->out_lies;
  for (int i = 0; i < h->nargs; i++) {
    s->shape[i] = h->shape[i];
    s->targ[i] = ty->arg[i];
    s->lies[i] = ty->lies[i];
  }
}

/* As the planner does: what is not supported beside the rest becomes float. */
static void settle(const Bench *t, const HostStep *h, Types *ty) {
  DevStep s;
  for (bool changed = true; changed;) {
    changed = false;
    describe(h, ty, &s);
    for (int i = -1; i < h->nargs; i++) {
      DType *d = i < 0 ? &ty->out : &ty->arg[i];
      if (*d == DT_F32 || t->b->supports(t->b, &s, i, *d)) continue;
      *d = DT_F32;
      changed = true;
      describe(h, ty, &s);
    }
  }
}

/* Bound of the error, as a part of `scale` (the largest value of the reference).
 *   strict: 1e-5. tf32: operands with 10 bits of mantissa: 2e-3 of products whose errors average
 *   out. f16 the same, bf16 (7 bits) eight times that. A result stored in 16 bits: half a unit in
 *   the last place more. */
static double bound(const Bench *t, const HostStep *h, DType tout) {
  double b = 1e-5;
  if (on_tensor_cores(h->n.op) && !h->prog)
    b = t->b->precision == PREC_STRICT ? 1e-5 : t->b->precision == PREC_BF16 ? 1.6e-2 : 2e-3;
  return b + (tout == DT_F16 ? 0x1p-11 : tout == DT_BF16 ? 0x1p-8 : 0);
}

/* Runs the step in two orders of threads, the second time as a captured graph would: same bits.
 * Answer in got; NULL or what is wrong. */
static const char *run_twice(Bench *t, const HostStep *h, const Types *ty, Buffer *in, Buffer *out,
                             float *got, int64_t n) {
  static char text[1200];
  DevStep s;
  Error e = {0};
  DevProgram *p = NULL;
  Buffer scratch = {0};
  float *again = mem_alloc((size_t)n * 4);
  const char *bad = again ? NULL : "out of memory";
  describe(h, ty, &s);
  for (int i = 0; i < h->nargs; i++) s.arg[i] = in[i].dev;
  s.out = out->dev;
  scratch.bytes = t->b->scratch(t->b, &s);
  if (scratch.bytes) s.scratch = scratch.dev = exact_new(scratch.bytes);
  if (!bad && t->b->program(t->b, 1, &s, &p, &e)) {
    snprintf(text, sizeof text, "%s", e.msg);
    bad = text;
  }
  for (int run = 0; !bad && run < (h->inplace ? 1 : 2); run++) {
    exact_order((uint64_t)(t->steps * 2 + run + 1));
    if (!h->inplace) exact_poison(out->dev, out->bytes);
    exact_poison(scratch.dev, scratch.bytes);
    const long before = exact_launches(), counted = t->b->launches(t->b, 1, &s);
    Status st = t->b->run(t->b, p, &e);
    const char *f = exact_fault();
    if (before >= 0 && exact_launches() != before + counted && !f)
      f = "it does not launch as many kernels as it says";
    if (f || st) {
      snprintf(text, sizeof text, "%s", f ? f : e.msg);
      bad = text;
      break;
    }
    if (!get(out, run ? again : got))
      bad = "the result cannot be read, or the zeros around it are none";
    if (!bad && run && memcmp(got, again, (size_t)n * 4)) bad = "two runs differ in bits";
  }
  t->b->program_free(t->b, p);
  exact_free(scratch.dev);
  mem_free(again);
  return bad;
}

static void check_types(Bench *t, const HostStep *h, const Types *ty, const char *name) {
  int64_t n = shape_numel(out_shape(h));
  float *data[PW_MAX_ARGS] = {NULL}, *want = mem_alloc((size_t)n * 4),
        *got = mem_alloc((size_t)n * 4);
  Buffer in[PW_MAX_ARGS] = {{0}}, out = {0};
  double scale = 1e-30, worst = 0;
  bool ok = want && got;
  char types[32] = "", shape[96];
  for (int i = 0; i < h->nargs && ok; i++) {
    strcat(types, !h->data[i] ? "-" : ty->arg[i] == DT_F32 ? "f" : ty->lies[i].last ? "l" : "h");
    if (!h->data[i]) continue;
    data[i] = rounded(h->data[i], shape_numel(h->shape[i]), ty->arg[i]);
    ok = data[i] && put(&in[i], data[i], h->shape[i], ty->arg[i], ty->lies[i]);
  }
  if (ok && h->inplace)
    out = in[h->inplace - 1];
  else
    ok = ok && put(&out, NULL, out_shape(h), ty->out, ty->out_lies);
  ok = ok && cpu_step(h, (const float *const *)data, want, &scale);
  CHECK(ok, "%s: no memory for the check", name);
  const char *bad = ok ? run_twice(t, h, ty, in, &out, got, n) : NULL;
  double limit = ok ? 2e-6 * terms(h, (const float *const *)data, n) : 0;
  int64_t at = 0;
  for (int64_t i = 0; ok && i < n; i++) scale = fmax(scale, fabs((double)want[i]));
  limit += bound(t, h, ty->out) * scale;
  for (int64_t i = 0; ok && !bad && i < n; i++) {
    double d = fabs((double)got[i] - (double)want[i]);
    if (!(d <= worst)) {
      worst = isnan(d) ? INFINITY : d;
      at = i;
    }
  }
  for (int i = 0; i < h->nargs && ok && !bad; i++) { /* operands stay as they were */
    if (!data[i] || h->inplace == i + 1) continue;
    int64_t m = shape_numel(h->shape[i]);
    float *back = mem_alloc((size_t)m * 4);
    if (!back || !get(&in[i], back) || memcmp(back, data[i], (size_t)m * 4))
      bad = "an operand was changed";
    mem_free(back);
  }
  CHECK(ok && !bad && worst <= limit,
        "%s, %s, %s -> %s (types %s%s): %s; worst difference %.3g at %lld of %lld (got %g, want "
        "%g), bound %.3g",
        precision_name(t->b->precision), name, op_table[h->n.op] ? op_table[h->n.op]->name : "loop",
        shape_str(out_shape(h), shape), types,
        ty->out == DT_F32   ? "f"
        : ty->out_lies.last ? "l"
                            : "h",
        bad ? bad : "", worst, (long long)at, (long long)n, ok && n ? (double)got[at] : 0,
        ok && n ? (double)want[at] : 0, limit);
  t->worst[h->n.op] = fmax(t->worst[h->n.op], limit > 0 ? worst / limit : 0);
  t->variants++;
  if (test_failed && getenv("TEST_STOP")) exit(1); /* mutants: one failure is enough */
  for (int i = 0; i < h->nargs; i++) {
    exact_free(in[i].dev);
    mem_free(data[i]);
  }
  if (!h->inplace) exact_free(out.dev);
  mem_free(want);
  mem_free(got);
}

/* The margin that a backend must cope with: what the step wants and so much more. */
static void margin_widen(MapLayout *m, int64_t k) {
  m->edge = (uint8_t)(m->edge + k / 2 % 2);
  m->side = (uint8_t)(m->side + k % 3);
}

/* With their channels last, as far as the backend takes them so: all maps, those that are read, the
 * one that is made. */
static void check_lies(Bench *t, const HostStep *h, const Types *planes, const char *name) {
  const MapLayout last = {.last = 1};
  Types ty = *planes;
  DevStep s;
  bool reads = false, makes = false;
  if (!t->b->channels_last) return;
  describe(h, planes, &s);
  for (int i = -1; i < h->nargs; i++) {
    MapLayout m = last;
    if ((i < 0 ? ty.out : ty.arg[i]) == DT_F32 || (i >= 0 && !h->data[i]) ||
        t->b->channels_last(t->b, &s, i, &m) == LAST_NO)
      continue;
    margin_widen(&m, t->variants + i + 1);
    *(i < 0 ? &ty.out_lies : &ty.lies[i]) = m;
    *(i < 0 ? &makes : &reads) = true;
  }
  if (h->inplace && makes && reads) ty.lies[h->inplace - 1] = ty.out_lies;
  if (h->inplace && !(makes && reads)) return;
  for (int way = 0; way < (h->inplace || !makes || !reads ? 1 : 3); way++) {
    Types now = ty;
    if (way == 1) now.out_lies = planes->out_lies;
    if (way == 2) memcpy(now.lies, planes->lies, sizeof now.lies);
    if (!makes && !reads) return;
    check_types(t, h, &now, name);
    t->layouts++;
  }
}

bool skipped(const Bench *t, const char *name) { return t->only && !strstr(name, t->only); }

void check_step(Bench *t, const HostStep *h, const char *name) {
  if (skipped(t, name)) return;
  Precision p = t->b->precision;
  DType half = p == PREC_F16 ? DT_F16 : p == PREC_BF16 ? DT_BF16 : DT_F32;
  Types done[3];
  int ndone = 0;
  t->steps++;
  t->covered[h->n.op] = true;
  /* float storage, same kernels as strict */
  if (p == PREC_TF32 && (h->prog || !on_tensor_cores(h->n.op))) return;
  /* all 16-bit, result only, operands only, none */
  for (int choice = half == DT_F32 ? 3 : 0; choice < 4; choice++) {
    Types ty;
    memset(&ty, 0, sizeof ty);
    ty.out = choice == 0 || choice == 1 ? half : DT_F32;
    for (int i = 0; i < h->nargs; i++)
      ty.arg[i] = h->data[i] && (choice == 0 || choice == 2) ? half : DT_F32;
    if (h->inplace) ty.arg[h->inplace - 1] = ty.out;
    settle(t, h, &ty);
    if (h->inplace && ty.arg[h->inplace - 1] != ty.out) continue;
    bool plain = ty.out == DT_F32, known = false;
    for (int i = 0; i < h->nargs; i++) plain = plain && ty.arg[i] == DT_F32;
    for (int k = 0; k < ndone; k++) known = known || !memcmp(&done[k], &ty, sizeof ty);
    if (known || (plain && half != DT_F32 && !on_tensor_cores(h->n.op))) continue;
    if (ndone < 3) done[ndone++] = ty;
    check_types(t, h, &ty, name);
    check_lies(t, h, &ty, name);
  }
}

/* ---- graphs ---- */
static void node_step(const Graph *g, Val v, float *const *value, HostStep *h, PwProgram *prog) {
  const Node *n = graph_node(g, v);
  *h = (HostStep){.n = *n, .nargs = n->nin};
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) {
      h->shape[i] = graph_node(g, n->in[i])->shape;
      h->data[i] = value[n->in[i]];
    }
  if (op_table[n->op]->flags & OPF_POINTWISE) {
    pw_from_node(n, h->shape, prog);
    h->prog = prog;
  }
  if (n->op == OP_sum) {
    *prog = (PwProgram){.narg = 1,
                        .result = -1,
                        .iter = h->shape[0],
                        .out_shape = n->shape,
                        .reduce = true,
                        .arg_shape = {h->shape[0]}};
    h->prog = prog;
  }
}

void check_graph(Bench *t, const Case *c, const Built *built, const char *name) {
  const Graph *g = built->g;
  int n = graph_size(g);
  float **value = mem_alloc((size_t)n * sizeof *value);
  Rng r = {.seed = 77};
  for (int i = 0; value && i < built->nin; i++) {
    Shape s = graph_shape(g, built->in[i]),
          image = c->op == OP_grid_sample_dx ? SHAPE4(1, 2, 4, 5) : c->shape[0];
    float *x = value[built->in[i]] = mem_alloc((size_t)shape_numel(s) * 4);
    if (x) fill(x, s, i < c->nin ? c->data[i] : GENERIC, &r, image);
  }
  bool ok = value != NULL;
  for (Val v = 1; v < n && ok; v++) {
    const Node *node = graph_node(g, v);
    if (value[v]) continue;
    size_t bytes = (size_t)shape_numel(node->shape) * 4;
    float *x = value[v] = mem_alloc(bytes);
    if (!x) {
      ok = false;
      break;
    }
    if (node->data) {
      memcpy(x, node->data, bytes);
      continue;
    }
    if (op_table[node->op]->flags & OPF_ALIAS) {
      memcpy(x, value[node->in[0]], bytes);
      t->covered[node->op] = true;
      continue;
    }
    HostStep h;
    PwProgram prog;
    node_step(g, v, value, &h, &prog);
    ok = cpu_step(&h, h.data, x, NULL);
    if (ok) check_step(t, &h, name);
  }
  CHECK(ok, "%s: no memory for the graph", name);
  for (int v = 0; value && v < n; v++) mem_free(value[v]);
  mem_free(value);
}

void check_case(Bench *t, const Case *c, int levels) {
  if (skipped(t, c->name)) return;
  Built b = {0};
  Error e = {0};
  int order = op_table[c->op]->order, most = c->order ? c->order : order > 3 ? 3 : order;
  if (levels > most) levels = most;
  build(c, &b, levels, &e);
  CHECK(b.levels == levels || levels == 0, "%s: %d of %d orders: %s", c->name, b.levels, levels,
        e.msg);
  Val wrt[16], grad[16];
  for (int i = 0; i < b.ndiff; i++) wrt[i] = b.in[b.diff[i]];
  if (levels > 0 && b.levels == levels)
    CHECK(graph_grad(b.g, 1, &b.scalar[levels - 1], NULL, b.ndiff, wrt, grad, 0, NULL, &e) == ST_OK,
          "%s: gradient of order %d: %s", c->name, levels, e.msg);
  CHECK(graph_status(b.g, &e) == ST_OK, "%s: %s", c->name, e.msg);
  if (graph_status(b.g, NULL) == ST_OK) check_graph(t, c, &b, c->name);
  graph_free(b.g);
}
