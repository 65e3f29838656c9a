/* op_matmul.c: matrix product with optional transposes; every gradient is another one. */
#include <string.h>
#include "core/bf16.h"
#include "core/conv_impl.h"
#include "core/ops.h"
#include "core/threads.h"

typedef struct Matmul {
  bool ta;
  bool tb;
  bool per_row; /* a row of the result may not depend on m */
  bool bf16;
  /* mp: m rounded up to panels */
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t mp;
  const real *a;
  const real *b;
  real *c;
  const GemmKernels *kern;
  real *pa;
  char *slots;
  size_t slot_bytes;
} Matmul;

enum { MM_DOTS_MAX = 64, MM_MC = 192, MM_COLUMNS = 128, MM_DOT_ROWS = 12 };

static void matmul_shape(Graph *g, const Shape *in, Node *n) {
  char a[96], b[96];
  const bool ta = n->attr.matmul.transpose_a, tb = n->attr.matmul.transpose_b;
  if (in[0].rank != 2 || in[1].rank != 2 || in[0].dim[!ta] != in[1].dim[tb] || in[0].dim[!ta] < 1) {
    graph_fail(g, ST_INVALID, "matmul: %s%s times %s%s is not a matrix product",
               shape_str(in[0], a), ta ? "^T" : "", shape_str(in[1], b), tb ? "^T" : "");
    return;
  }
  n->shape = SHAPE2(in[0].dim[ta], in[1].dim[!tb]);
  n->attr.matmul.m = (int32_t)n->shape.dim[0];
  n->attr.matmul.n = (int32_t)n->shape.dim[1];
  n->attr.matmul.k = (int32_t)in[0].dim[!ta];
  n->attr.matmul.per_row = graph_is_batch_invariant(g);
  n->attr.matmul.bf16 = bf16_used();
}

Val g_matmul(Graph *g, Val a, Val b, bool ta, bool tb) {
  return g_op(g, OP_matmul, 2, (Val[]){a, b},
              &(Attr){.matmul = {.transpose_a = ta, .transpose_b = tb}});
}

/* y = op(a) op(b): d op(a) = dy op(b)^T, d op(b) = op(a)^T dy; a transposed operand takes the
 * transpose of that. */
static void matmul_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const bool ta = n->attr.matmul.transpose_a, tb = n->attr.matmul.transpose_b;
  const Val a = n->in[0], b = n->in[1];
  if (need & 1) dx[0] = ta ? g_matmul(g, b, dy, tb, true) : g_matmul(g, dy, b, false, !tb);
  if (need & 2) dx[1] = tb ? g_matmul(g, dy, a, true, ta) : g_matmul(g, a, dy, !ta, false);
}

static Matmul matmul_of(const Node *n) {
  const MatmulAttr *a = &n->attr.matmul;
  return (Matmul){.ta = a->transpose_a,
                  .tb = a->transpose_b,
                  .per_row = a->per_row,
                  .bf16 = a->bf16 != 0,
                  .m = a->m,
                  .n = a->n,
                  .k = a->k,
                  .mp = round_up(a->m, GEMM_PANEL)};
}

/* Both operands contiguous along k and one of them short: inner products need no packing, and
 * weights are read once. */
static bool is_dots(const Matmul *q) {
  return !q->ta && q->tb && (q->per_row || PRLX_MIN(q->m, q->n) <= MM_DOTS_MAX);
}

/* Inner products stay float: they read each number once, and rounding would be all the work. */
static bool is_bf16(const Matmul *q) {
  return q->bf16 && !is_dots(q) && bf16_matmul_pays(q->m, q->n, q->k);
}

static void dots_task(void *ctx, int64_t i, int worker) {
  const Matmul *q = ctx;
  /* tasks follow the long side; the short operand stays in the cache */
  const bool rows_a = q->m > q->n;
  const int64_t lo = i * MM_DOT_ROWS, hi = PRLX_MIN(lo + MM_DOT_ROWS, rows_a ? q->m : q->n);
  const int64_t m0 = rows_a ? lo : 0, m1 = rows_a ? hi : q->m, n0 = rows_a ? 0 : lo,
                n1 = rows_a ? q->n : hi;
  for (int64_t c = n0; c < n1; c += 3)
    for (int64_t r = m0; r < m1; r += 4)
      q->kern->dots((int)PRLX_MIN(4, m1 - r), (int)PRLX_MIN(3, n1 - c), q->k, q->a + r * q->k, q->k,
                    q->b + c * q->k, q->k, q->c + r * q->n + c, q->n);
}

static void pack_a_task(void *ctx, int64_t p, int worker) {
  const Matmul *q = ctx;
  const int64_t m0 = p * GEMM_PANEL, lanes = PRLX_MIN(GEMM_PANEL, q->m - m0);
  real *dst = q->pa + m0 * q->k;
  if (!q->ta) {
    q->kern->transpose(q->a + m0 * q->k, q->k, (int)lanes, GEMM_PANEL, NULL, q->k, dst, GEMM_PANEL);
    return;
  }
  for (int64_t k = 0; k < q->k; k++)
    for (int64_t j = 0; j < GEMM_PANEL; j++)
      dst[k * GEMM_PANEL + j] = j < lanes ? q->a[k * q->m + m0 + j] : 0;
}

/* Rows k0.. of b, columns n0.., into panels: long runs of a row at a time, the rows ahead fetched
 * early. */
static void pack_b(const Matmul *q, int64_t k0, int64_t kc, int64_t n0, int64_t n, real *b) {
  const int nr = q->kern->nr;
  const int64_t np = ceil_div(n, nr);
  if (q->tb) {
    for (int64_t p = 0; p < np; p++)
      q->kern->transpose(q->b + (n0 + p * nr) * q->k + k0, q->k, (int)PRLX_MIN(nr, n - p * nr), nr,
                         NULL, kc, b + p * kc * nr, nr);
    return;
  }
  for (int64_t k = 0; k < kc; k++) {
    const real *row = q->b + (k0 + k) * q->n + n0,
               *ahead = row + PRLX_MIN(8, q->k - 1 - k0 - k) * q->n;
    for (int64_t j = 0; j < n; j += 64 / (int64_t)sizeof(real)) __builtin_prefetch(ahead + j);
    for (int64_t p = 0; p < np; p++) {
      real *to = b + (p * kc + k) * nr;
      const int64_t w = PRLX_MIN(nr, n - p * nr);
      memcpy(to, row + p * nr, (size_t)w * sizeof(real));
      for (int64_t j = w; j < nr; j++) to[j] = 0;
    }
  }
}

/* MM_COLUMNS columns, MM_MC rows. */
static void panel_task(void *ctx, int64_t task, int slot) {
  const Matmul *q = ctx;
  const int nr = q->kern->nr;
  real *b = (real *)(void *)(q->slots + (size_t)slot * q->slot_bytes),
       *c = b + GEMM_KC * MM_COLUMNS;
  const int64_t nm = ceil_div(q->m, MM_MC), m0 = task % nm * MM_MC, m = PRLX_MIN(MM_MC, q->m - m0),
                n0 = task / nm * MM_COLUMNS;
  const int64_t n = PRLX_MIN(MM_COLUMNS, q->n - n0), np = ceil_div(n, nr), c_panel = MM_MC * nr;
  const bool in_place = !q->tb && n % nr == 0 && q->n <= 1024; /* b is read where it is */
  for (int64_t k0 = 0; k0 < q->k; k0 += GEMM_KC) {
    const int64_t kc = PRLX_MIN(GEMM_KC, q->k - k0);
    if (!in_place) pack_b(q, k0, kc, n0, n, b);
    q->kern->block(m, n, kc, q->pa + m0 * q->k + k0 * GEMM_PANEL, GEMM_PANEL, q->k * GEMM_PANEL,
                   in_place ? q->b + k0 * q->n + n0 : b, in_place ? q->n : nr,
                   in_place ? nr : kc * nr, c, nr, c_panel, k0 > 0 ? GEMM_ADD : GEMM_SET);
  }
  for (int64_t p = 0; p < np; p++)
    q->kern->stage(c + p * c_panel, nr, 1, m, PRLX_MIN(nr, n - p * nr), 1,
                   q->c + m0 * q->n + n0 + p * nr, q->n);
}

static size_t matmul_memory(Matmul *q, Bump *mem) {
  q->pa = bump(mem, (size_t)(q->mp * q->k), sizeof(real));
  q->slot_bytes = (size_t)((GEMM_KC + MM_MC) * MM_COLUMNS) * sizeof(real);
  q->slots = bump(mem, (size_t)conv_slots(q->slot_bytes), q->slot_bytes);
  return mem->used;
}

static size_t matmul_scratch(const Node *n, const Shape *in) {
  Matmul q = matmul_of(n);
  Bump mem = {NULL, 0};
  if (is_bf16(&q)) return bf16_matmul_scratch(q.tb, q.m, q.n, q.k);
  return is_dots(&q) ? 0 : matmul_memory(&q, &mem);
}

static void matmul_cpu(const Exec *x) {
  Matmul q = matmul_of(x->node);
  q.kern = ISA_PICK(gemm_kernels);
  q.a = x->in[0];
  q.b = x->in[1];
  q.c = x->out;
  if (is_dots(&q)) {
    par_for(ceil_div(PRLX_MAX(q.m, q.n), MM_DOT_ROWS), dots_task, &q);
    return;
  }
  if (is_bf16(&q)) {
    bf16_matmul(q.ta, q.tb, q.m, q.n, q.k, q.a, q.b, q.c, x->scratch);
    return;
  }
  Bump mem = {x->scratch, 0};
  matmul_memory(&q, &mem);
  par_for(q.mp / GEMM_PANEL, pack_a_task, &q);
  par_tasks(ceil_div(q.n, MM_COLUMNS) * ceil_div(q.m, MM_MC), conv_slots(q.slot_bytes), panel_task,
            &q);
}

const OpRow op_matmul = {.name = "matmul",
                         .order = ORDER_ANY,
                         .attr_bytes = sizeof(MatmulAttr),
                         .shape = matmul_shape,
                         .grad = matmul_grad,
                         .scratch = matmul_scratch,
                         .cpu = matmul_cpu};
