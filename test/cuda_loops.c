/* cuda_loops.c: fused loops with random programs: operations, registers, broadcasting, sums over
 * any axes, results in the memory of an argument; and loops in the store of a convolution. */
#include "test/cuda_check.h"

static float *numbers(Rng *r, int64_t n) {
  float *x = mem_alloc((size_t)n * 4);
  if (x) rng_fill_normal(r, x, n);
  return x;
}

/* Operations whose values stay near 1 and that are continuous: rounding before them may not flip a
 * decision. */
static const uint8_t calm[] = {OP_add,   OP_sub,  OP_mul,       OP_maximum,  OP_neg,
                               OP_axpb,  OP_tanh, OP_sigmoid,   OP_softplus, OP_lrelu,
                               OP_clamp, OP_abs,  OP_broadcast, OP_square};
static bool binary(int op) {
  return op == OP_add || op == OP_sub || op == OP_mul || op == OP_maximum || op == OP_div ||
         op == OP_lrelu_mask || op == OP_clamp_mask;
}

static void random_args(PwProgram *p, Rng *r, Shape s) {
  p->iter = p->out_shape = s;
  for (int k = 0; k < p->narg; k++) {
    p->arg_shape[k] = s;
    if (k == 0) continue; /* one at least is whole */
    int kind = (int)rng_below(r, 4);
    if (kind == 0) {
      p->arg_shape[k] = SHAPE0();
      continue;
    }
    for (int i = 0; i < s.rank && kind > 1; i++)
      if (rng_below(r, 2)) p->arg_shape[k].dim[i] = 1;
  }
}

static PwProgram random_program(Rng *r, Shape s) {
  PwProgram p = {.narg = 1 + (int)rng_below(r, 6), .nop = (int)rng_below(r, 11)};
  int regs = 0;
  random_args(&p, r, s);
  for (int k = 0; k < p.nop; k++) {
    PwOp *o = &p.op[k];
    int pool = p.narg + regs;
    int a = (int)rng_below(r, pool), b = (int)rng_below(r, pool);
    o->op = calm[rng_below(r, COUNT_OF(calm))];
    if (k % 4 == 3) o->op = OP_clamp; /* keeps products of products small */
    o->lhs = (int8_t)(a < p.narg ? -1 - a : a - p.narg);
    o->rhs = binary(o->op) ? (int8_t)(b < p.narg ? -1 - b : b - p.narg) : o->lhs;
    o->dst = (int8_t)(regs < PW_MAX_REGS ? regs++ : (int)rng_below(r, PW_MAX_REGS));
    if (o->op == OP_axpb) {
      o->param.axpb = (PwAxpb){-0.7f, 0.3f};
    }
    if (o->op == OP_lrelu) {
      o->param.lrelu = (PwLrelu){0.2f, 1.4f, rng_below(r, 2) ? 0.9f : -1};
    }
    if (o->op == OP_clamp) {
      o->param.clamp = (PwClamp){-1.5f, 1.2f};
    }
    p.result = o->dst;
  }
  if (!p.nop) p.result = -1;
  if (rng_below(r, 2) || !p.nop) {
    p.reduce = true;
    for (int i = 0; i < s.rank; i++)
      if (rng_below(r, 2)) p.out_shape.dim[i] = 1;
  }
  return p;
}

static void print_program(const PwProgram *p) {
  char s[96];
  printf("loop over %s, result %d%s\n", shape_str(p->iter, s), p->result,
         p->reduce ? ", summed" : "");
  for (int k = 0; k < p->narg; k++)
    printf("  argument %d %s\n", -1 - k, shape_str(p->arg_shape[k], s));
  for (int k = 0; k < p->nop; k++)
    printf("  %d = %s(%d, %d)\n", p->op[k].dst, op_table[p->op[k].op]->name, p->op[k].lhs,
           p->op[k].rhs);
}

static void one_loop(Bench *t, Rng *r, const PwProgram *p, int inplace, const char *name) {
  HostStep h = {.n = {.op = p->reduce ? OP_sum : OP_add, .shape = p->out_shape},
                .nargs = p->narg,
                .prog = p,
                .inplace = inplace};
  float *data[PW_MAX_ARGS] = {NULL};
  for (int k = 0; k < p->narg; k++) {
    h.shape[k] = p->arg_shape[k];
    h.data[k] = data[k] = numbers(r, shape_numel(p->arg_shape[k]));
  }
  check_step(t, &h, name);
  for (int k = 0; k < p->narg; k++) mem_free(data[k]);
}

static void random_loops(Bench *t, int count) {
  const Shape shapes[] = {
      SHAPE4(2, 3, 5, 7),  SHAPE4(3, 8, 4, 4),   SHAPE4(1, 6, 33, 17),  SHAPE2(5, 70),
      SHAPE1(1),           SHAPE1(777),          SHAPE5(2, 1, 3, 2, 9), SHAPE6(2, 2, 1, 3, 2, 5),
      SHAPE4(5, 17, 1, 1), SHAPE4(2, 4, 16, 16), SHAPE4(2, 24, 3, 5)};
  Rng r = {.seed = 4};
  char name[64];
  for (int i = 0; i < count; i++) {
    PwProgram p = random_program(&r, shapes[i % COUNT_OF(shapes)]);
    snprintf(name, sizeof name, "random loop %d", i);
    if (t->only && !skipped(t, name)) print_program(&p);
    one_loop(t, &r, &p, !p.reduce && p.nop && i % 3 == 0 ? 1 : 0, name);
  }
}

/* ---- loops in the store ---- */
typedef struct Chain {
  const char *name;
  int narg;
  int from;
  int nop;
  PwOp op[6];
  uint8_t kind[5];
  bool must;
} Chain;
/* kinds of arguments: 0 whole, 1 [N,C,1,1], 2 [1,C,1,1], 3 [1,1,H,W], 4 [N,1,H,W], 5 rank 0.
 * Argument `from` is the convolution. */
#define NO_PARAM     \
  {                  \
    .axpb = { 0, 0 } \
  }
static const Chain chains[] = {
    {"bias, activation, clamp",
     2,
     0,
     2,
     {{OP_add, 0, -1, -2, NO_PARAM}, {OP_lrelu, 0, 0, 0, {.lrelu = {0.2f, 1.4142135f, 256}}}},
     {0, 2},
     true},
    {"demodulation, noise, bias, activation",
     5,
     0,
     5,
     {{OP_mul, 0, -1, -2, NO_PARAM},
      {OP_mul, 1, -3, -4, NO_PARAM},
      {OP_add, 0, 0, 1, NO_PARAM},
      {OP_add, 0, 0, -5, NO_PARAM},
      {OP_lrelu, 0, 0, 0, {.lrelu = {0.2f, 1.4142135f, 0.7f}}}},
     {0, 1, 3, 5, 2},
     false},
    {"noise of each sample, bias, activation",
     4,
     0,
     4,
     {{OP_mul, 0, -1, -2, NO_PARAM},
      {OP_add, 0, 0, -3, NO_PARAM},
      {OP_add, 0, -4, 0, NO_PARAM},
      {OP_lrelu, 0, 0, 0, {.lrelu = {0.2f, 1.4142135f, -1}}}},
     {0, 1, 4, 2},
     true},
    {"scaled and added to a map",
     2,
     1,
     2,
     {{OP_axpb, 0, -2, -2, {.axpb = {0.70710678f, 0}}}, {OP_add, 0, 0, -1, NO_PARAM}},
     {0, 0},
     true},
    {"mask of an activation",
     2,
     0,
     1,
     {{OP_lrelu_mask, 0, -1, -2, {.lrelu = {0.2f, 1.4142135f, 0.9f}}}},
     {0, 0},
     true},
    {"clamp", 1, 0, 1, {{OP_clamp, 0, -1, -1, {.clamp = {-0.5f, 0.5f}}}}, {0}, true},
    {"subtracted from a map", 2, 1, 1, {{OP_sub, 0, -1, -2, NO_PARAM}}, {0, 0}, true},
};
static Shape kind_shape(Shape s, int kind) {
  switch (kind) {
    case 1: return SHAPE4(s.dim[0], s.dim[1], 1, 1);
    case 2: return SHAPE4(1, s.dim[1], 1, 1);
    case 3: return SHAPE4(1, 1, s.dim[2], s.dim[3]);
    case 4: return SHAPE4(s.dim[0], 1, s.dim[2], s.dim[3]);
    case 5: return SHAPE0();
    default: return s;
  }
}

static int one_store(Bench *t, const Chain *c, const int m[7], bool transposed) {
  Graph *g = graph_new();
  Rng r = {.seed = 9};
  char name[160];
  Shape a = SHAPE4(m[0], m[1], m[2], m[3]),
        w = transposed ? SHAPE4(m[1], m[4], m[5], m[5]) : SHAPE4(m[4], m[1], m[5], m[5]);
  int64_t side = (m[5] - 1) / 2;
  Val x = g_input(g, "x", a), k = g_input(g, "w", w);
  Val y = transposed
              ? g_conv2d_dx(g, x, k, m[6], 0, (m[2] - 1) * m[6] + m[5], (m[3] - 1) * m[6] + m[5])
              : g_conv2d(g, x, k, m[6], (int)side);
  Shape s = graph_shape(g, y);
  PwProgram p = {
      .nop = c->nop, .narg = c->narg, .iter = s, .out_shape = s, .result = c->op[c->nop - 1].dst};
  memcpy(p.op, c->op, sizeof c->op);
  HostStep h = {.n = *graph_node(g, y),
                .nargs = MAX_IN + c->narg,
                .shape = {a, w, SHAPE0(), SHAPE4(m[0], m[1], 1, 1)},
                .store = &p,
                .store_from = c->from};
  float *data[PW_MAX_ARGS] = {numbers(&r, shape_numel(a)), numbers(&r, shape_numel(w)), NULL,
                              numbers(&r, (int64_t)m[0] * m[1])};
  for (int i = 0; i < c->narg; i++) {
    p.arg_shape[i] = h.shape[MAX_IN + i] = kind_shape(s, c->kind[i]);
    if (i != c->from) data[MAX_IN + i] = numbers(&r, shape_numel(p.arg_shape[i]));
  }
  for (int i = 0; i < PW_MAX_ARGS; i++) h.data[i] = data[i];
  DevStep d = {.node = h.n, .nargs = 4};
  memcpy(d.shape, h.shape, sizeof h.shape);
  int can = graph_status(g, NULL) == ST_OK && t->b->can_store(t->b, &d, &p, c->from);
  snprintf(name, sizeof name, "store of %s [%d,%d,%d,%d] to %d, k%d s%d: %s",
           transposed ? "conv2d_dx" : "conv2d", m[0], m[1], m[2], m[3], m[4], m[5], m[6], c->name);
  if (can) check_step(t, &h, name);
  for (int i = 0; i < PW_MAX_ARGS; i++) mem_free(data[i]);
  graph_free(g);
  return can;
}

static void stores(Bench *t) {
  static const int maps[][7] = {{2, 12, 9, 7, 20, 3, 1}, {3, 16, 8, 8, 8, 3, 1},
                                {2, 3, 5, 6, 24, 1, 1},  {1, 40, 4, 4, 33, 3, 1},
                                {2, 16, 8, 8, 1, 1, 1},  {1, 8, 17, 9, 16, 3, 2}};
  int can = 0, tried = 0;
  for (int c = 0; c < COUNT_OF(chains); c++)
    for (int m = 0; m < (t->quick ? 3 : COUNT_OF(maps)); m++)
      for (int tr = 0; tr < 2; tr++) {
        int ok = one_store(t, &chains[c], maps[m], tr);
        if (chains[c].must && m < 3 && !tr)
          CHECK(ok, "%s: a convolution must be able to store through: %s",
                precision_name(t->b->precision), chains[c].name);
        can += ok;
        tried++;
      }
  if (getenv("TEST_VERBOSE"))
    printf("loops in the store of a convolution: %d of %d possible\n", can, tried);
}

void check_loops(Bench *t) {
  stores(t);
  if (t->b->precision != PREC_TF32) random_loops(t, t->quick ? 40 : 400);
}
