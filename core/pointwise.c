/* pointwise.c: the fused loop. Neighbouring axes that every argument walks in one stride are
 * merged; what remains is cut into tiles of at most PW_CHUNK numbers: a piece of the inner axis,
 * or, where that is short (4x4 maps, 3x3 kernels), several rows of the axis before it. All steps of
 * a program run on one tile while it is in the first-level cache. */
#include "core/pointwise.h"
#include <string.h>
#include "core/threads.h"

enum { SHORT_INNER = 128, TASK_ELEMS = 16384 };

/* in a tile: contiguous, one number, neither (copied into a buffer first) */
typedef enum { ARG_RUN, ARG_ONE, ARG_EXPAND } ArgKind;

typedef struct Loop {
  const PwProgram *p;
  const PwKernels *k;
  const real *const *args;
  real *out;
  /* number of outer axes; then come the row axis and the inner axis */
  int outer;
  /* [narg] = output; 0 where an argument is stretched */
  int64_t dim[MAX_RANK + 2];
  int64_t stride[PW_MAX_ARGS + 1][MAX_RANK + 2];
  int64_t rows;
  int64_t inner;
  int64_t tile_rows;
  int64_t tile_cols;
  int64_t row_tiles;
  int64_t col_tiles;
  ArgKind kind[PW_MAX_ARGS];
  /* reduction */
  bool row_kept;
  bool col_kept;
  int kept[MAX_RANK];
  int nkept;
  int summed[MAX_RANK];
  int nsummed;
  int64_t nkeep;
  int64_t nsum;
  int64_t keep_per_task;
  int64_t sum_per_task;
  int64_t sum_block; /* sum items that are added before anything else is */
  int64_t sum_tasks;
  int64_t acc_size;
  double *partial;
  /* no reduction */
  int64_t items;
  int64_t items_per_task;
} Loop;

static void strides_of(Shape s, Shape iter, int64_t *st) {
  int64_t step = 1;
  for (int i = iter.rank - 1; i >= 0; i--) {
    int64_t d = s.rank == 0 ? 1 : s.dim[i];
    st[i] = d == 1 ? 0 : step;
    step *= d;
  }
}

static int merge_axes(Loop *l, const PwProgram *p) {
  int64_t st[PW_MAX_ARGS + 1][MAX_RANK];
  int na = p->narg + 1, rank = 0;
  for (int a = 0; a < p->narg; a++) strides_of(p->arg_shape[a], p->iter, st[a]);
  strides_of(p->out_shape, p->iter, st[p->narg]);
  for (int i = 0; i < p->iter.rank; i++) {
    int64_t d = p->iter.dim[i];
    if (d == 1) continue;
    bool merge = rank > 0;
    for (int a = 0; merge && a < na; a++) merge = l->stride[a][rank - 1] == st[a][i] * d;
    if (!merge) l->dim[rank++] = 1;
    l->dim[rank - 1] *= d;
    for (int a = 0; a < na; a++) l->stride[a][rank - 1] = st[a][i];
  }
  return rank;
}

static void insert_unit_axis(Loop *l, int at, int rank) {
  for (int i = rank; i > at; i--) {
    l->dim[i] = l->dim[i - 1];
    for (int a = 0; a <= l->p->narg; a++) l->stride[a][i] = l->stride[a][i - 1];
  }
  l->dim[at] = 1;
  for (int a = 0; a <= l->p->narg; a++) l->stride[a][at] = 0;
}

static void loop_init(Loop *l, const PwProgram *p, const real *const *args, real *out) {
  memset(l, 0, sizeof *l);
  l->p = p;
  l->k = ISA_PICK(pw_kernels);
  l->args = args;
  l->out = out;
  int rank = merge_axes(l, p);
  if (rank == 0) insert_unit_axis(l, 0, rank++);
  /* long inner axis: tiles of one row */
  if (rank == 1 || l->dim[rank - 1] >= SHORT_INNER) {
    insert_unit_axis(l, rank - 1, rank);
    rank++;
  }
  int row = rank - 2, col = rank - 1;
  l->outer = row;
  l->rows = l->dim[row];
  l->inner = l->dim[col];
  l->tile_cols = PRLX_MIN(l->inner, PW_CHUNK);
  l->tile_rows = PRLX_MIN(l->rows, PRLX_MAX(1, PW_CHUNK / l->inner));
  l->row_tiles = (l->rows + l->tile_rows - 1) / l->tile_rows;
  l->col_tiles = (l->inner + l->tile_cols - 1) / l->tile_cols;
  for (int a = 0; a < p->narg; a++) {
    int64_t r = l->stride[a][row], c = l->stride[a][col];
    bool one_row = l->tile_rows == 1;
    if ((one_row || r == 0) && c == 0)
      l->kind[a] = ARG_ONE;
    else if (c == 1 && (one_row || r == l->inner))
      l->kind[a] = ARG_RUN;
    else
      l->kind[a] = ARG_EXPAND;
  }
}

typedef struct Work {
  real reg[PW_MAX_REGS][PW_CHUNK];
  real arg[PW_MAX_ARGS][PW_CHUNK];
} Work;

static void pw_expand(const Loop *l, int a, const real *src, int r, int n, real *dst) {
  int64_t rs = l->stride[a][l->outer], cs = l->stride[a][l->outer + 1];
  for (int i = 0; i < r; i++, src += rs, dst += n) {
    if (cs)
      for (int j = 0; j < n; j++) dst[j] = src[j * cs];
    else {
      real x = src[0];
      for (int j = 0; j < n; j++) dst[j] = x;
    }
  }
}

/* The tile of r rows and n columns (r = 1 or n = whole inner axis) whose arguments start at off[].
 * Result: r*n numbers, or one if *one. */
static const real *pw_eval(const Loop *l, const int64_t *off, int r, int n, Work *w, real *final,
                           bool *one) {
  const PwProgram *p = l->p;
  const real *ptr[PW_MAX_ARGS];
  int total = r * n;
  for (int a = 0; a < p->narg; a++) {
    ptr[a] = l->args[a] + off[a];
    if (l->kind[a] == ARG_EXPAND) {
      pw_expand(l, a, ptr[a], r, n, w->arg[a]);
      ptr[a] = w->arg[a];
    }
  }
  for (int k = 0; k < p->nop; k++) {
    const PwOp *o = &p->op[k];
    int mode = 0;
    const real *a, *b;
    if (o->lhs < 0) {
      a = ptr[-1 - o->lhs];
      mode |= l->kind[-1 - o->lhs] == ARG_ONE;
    } else
      a = w->reg[o->lhs];
    if (o->rhs < 0) {
      b = ptr[-1 - o->rhs];
      mode |= (l->kind[-1 - o->rhs] == ARG_ONE) << 1;
    } else
      b = w->reg[o->rhs];
    l->k->apply(o, final && k == p->nop - 1 ? final : w->reg[o->dst], a, b, total,
                total == 1 ? 0 : mode);
  }
  *one = p->result < 0 && l->kind[-1 - p->result] == ARG_ONE;
  return final ? final : p->result < 0 ? ptr[-1 - p->result] : w->reg[p->result];
}

static void add_axes(const Loop *l, const int *axes, int n, int64_t index, int64_t *off) {
  for (int i = n - 1; i >= 0; i--) {
    int axis = axes ? axes[i] : i;
    int64_t k = index % l->dim[axis];
    index /= l->dim[axis];
    for (int a = 0; a <= l->p->narg; a++) off[a] += k * l->stride[a][axis];
  }
}

static void add_tile(const Loop *l, int64_t row, int64_t col, int64_t *off) {
  for (int a = 0; a <= l->p->narg; a++)
    off[a] += row * l->stride[a][l->outer] + col * l->stride[a][l->outer + 1];
}

/* ---- no reduction ---- */
static void map_task(void *ctx, int64_t task, int worker) {
  const Loop *l = ctx;
  Work w;
  bool one;
  for (int64_t item = task * l->items_per_task;
       item < PRLX_MIN((task + 1) * l->items_per_task, l->items); item++) {
    int64_t ct = item % l->col_tiles, rest = item / l->col_tiles, rt = rest % l->row_tiles,
            off[PW_MAX_ARGS + 1] = {0};
    int64_t row = rt * l->tile_rows, col = ct * l->tile_cols;
    add_axes(l, NULL, l->outer, rest / l->row_tiles, off);
    add_tile(l, row, col, off);
    pw_eval(l, off, (int)PRLX_MIN(l->tile_rows, l->rows - row),
            (int)PRLX_MIN(l->tile_cols, l->inner - col), &w, l->out + off[l->p->narg], &one);
  }
}

static void run_map(Loop *l) {
  l->items = l->row_tiles * l->col_tiles;
  for (int i = 0; i < l->outer; i++) l->items *= l->dim[i];
  l->items_per_task = PRLX_MAX(1, TASK_ELEMS / (l->tile_rows * l->tile_cols));
  par_for((l->items + l->items_per_task - 1) / l->items_per_task, map_task, l);
}

/* ---- reduction: every output number is a sum in one fixed order, in double ----
 * A keep item is one tile of outputs, a sum item one tile of what is added to it. Where there are
 * few keep items the sum items are cut into fixed blocks whose partial sums are added in order
 * afterwards. */
static void plan_reduce(Loop *l) {
  int row = l->outer, col = l->outer + 1, na = l->p->narg;
  l->row_kept = l->stride[na][row] != 0;
  l->col_kept = l->stride[na][col] != 0;
  l->nkeep = (l->row_kept ? l->row_tiles : 1) * (l->col_kept ? l->col_tiles : 1);
  l->nsum = (l->row_kept ? 1 : l->row_tiles) * (l->col_kept ? 1 : l->col_tiles);
  for (int i = 0; i < l->outer; i++) {
    if (l->stride[na][i]) {
      l->kept[l->nkept++] = i;
      l->nkeep *= l->dim[i];
    } else {
      l->summed[l->nsummed++] = i;
      l->nsum *= l->dim[i];
    }
  }
  l->acc_size = (l->row_kept ? l->tile_rows : 1) * (l->col_kept ? l->tile_cols : 1);
  int64_t tile = l->tile_rows * l->tile_cols;
  /* Enough outputs: each is one task's. Where its bits may not depend on how many there are
   * (p->samples), the task still adds block by block, as several tasks would. */
  const bool whole = l->nkeep >= 64;
  l->sum_block = PRLX_MAX(1, TASK_ELEMS / tile);
  if (whole && !l->p->samples) l->sum_block = l->nsum;
  l->sum_per_task = whole ? l->nsum : l->sum_block;
  l->sum_tasks = (l->nsum + l->sum_per_task - 1) / l->sum_per_task;
  l->keep_per_task = PRLX_MAX(1, TASK_ELEMS / (tile * PRLX_MIN(l->sum_per_task, l->nsum)));
}

typedef struct Tile {
  int64_t row;
  int64_t col;
  int r;
  int n;
} Tile;

/* Which outputs keep item k is; returns the offsets of arguments and output. */
static Tile keep_tile(const Loop *l, int64_t k, int64_t *off) {
  Tile t = {0, 0, (int)l->tile_rows, (int)l->tile_cols};
  if (l->col_kept) {
    t.col = k % l->col_tiles * l->tile_cols;
    k /= l->col_tiles;
    t.n = (int)PRLX_MIN(l->tile_cols, l->inner - t.col);
  }
  if (l->row_kept) {
    t.row = k % l->row_tiles * l->tile_rows;
    k /= l->row_tiles;
    t.r = (int)PRLX_MIN(l->tile_rows, l->rows - t.row);
  }
  add_axes(l, l->kept, l->nkept, k, off);
  add_tile(l, t.row, t.col, off);
  return t;
}

static void pw_accumulate(const Loop *l, double *acc, const real *v, int r, int n, bool one) {
  if (one) {
    int count = (l->row_kept ? r : 1) * (l->col_kept ? n : 1), times = r * n / count;
    for (int i = 0; i < count; i++) acc[i] += (double)v[0] * times;
  } else if (l->row_kept && l->col_kept)
    l->k->add_to(acc, v, r * n);
  else if (l->col_kept)
    for (int i = 0; i < r; i++) l->k->add_to(acc, v + i * n, n);
  else if (l->row_kept)
    for (int i = 0; i < r; i++) acc[i] += l->k->sum(v + i * n, n);
  else
    acc[0] += l->k->sum(v, r * n);
}

static void pw_store(const Loop *l, const double *acc, const Tile *t, int64_t at) {
  int64_t rs = l->stride[l->p->narg][l->outer], cs = l->stride[l->p->narg][l->outer + 1];
  int r = l->row_kept ? t->r : 1, n = l->col_kept ? t->n : 1;
  for (int i = 0; i < r; i++)
    for (int j = 0; j < n; j++) l->out[at + i * rs + j * cs] = (real)acc[i * n + j];
}

/* acc = sum of the sum items first..last-1 of keep item `t`, whose arguments start at base[]. */
static void reduce_block(const Loop *l, const Tile *t, const int64_t *base, int64_t first,
                         int64_t last, Work *w, double *acc) {
  memset(acc, 0, (size_t)l->acc_size * sizeof *acc);
  for (int64_t s = first; s < last; s++) {
    int64_t off[PW_MAX_ARGS + 1], at = s, row = 0, col = 0;
    int r = t->r, n = t->n;
    bool one;
    memcpy(off, base, sizeof off);
    if (!l->col_kept) {
      col = at % l->col_tiles * l->tile_cols;
      at /= l->col_tiles;
      n = (int)PRLX_MIN(l->tile_cols, l->inner - col);
    }
    if (!l->row_kept) {
      row = at % l->row_tiles * l->tile_rows;
      at /= l->row_tiles;
      r = (int)PRLX_MIN(l->tile_rows, l->rows - row);
    }
    add_axes(l, l->summed, l->nsummed, at, off);
    add_tile(l, row, col, off);
    const real *v = pw_eval(l, off, r, n, w, NULL, &one);
    pw_accumulate(l, acc, v, r, n, one);
  }
}

static void reduce_task(void *ctx, int64_t task, int worker) {
  const Loop *l = ctx;
  Work w;
  double local[PW_CHUNK], block[PW_CHUNK];
  int64_t kb = task / l->sum_tasks, sb = task % l->sum_tasks;
  const int64_t end = PRLX_MIN((sb + 1) * l->sum_per_task, l->nsum);
  for (int64_t k = kb * l->keep_per_task; k < PRLX_MIN((kb + 1) * l->keep_per_task, l->nkeep);
       k++) {
    int64_t base[PW_MAX_ARGS + 1] = {0};
    Tile t = keep_tile(l, k, base);
    double *acc = l->partial ? l->partial + (sb * l->nkeep + k) * l->acc_size : local;
    for (int64_t s = sb * l->sum_per_task; s < end; s += l->sum_block) {
      const bool first = s == sb * l->sum_per_task;
      reduce_block(l, &t, base, s, PRLX_MIN(s + l->sum_block, end), &w, first ? acc : block);
      for (int64_t i = 0; i < l->acc_size && !first; i++) acc[i] += block[i];
    }
    if (!l->partial) pw_store(l, acc, &t, base[l->p->narg]);
  }
}

size_t pw_scratch(const PwProgram *p) {
  if (!p->reduce) return 0;
  Loop l;
  loop_init(&l, p, NULL, NULL);
  plan_reduce(&l);
  return l.sum_tasks > 1 ? (size_t)(l.sum_tasks * l.nkeep * l.acc_size) * sizeof(double) : 0;
}

static void run_reduce(Loop *l, void *scratch) {
  plan_reduce(l);
  l->partial = l->sum_tasks > 1 ? scratch : NULL;
  par_for((l->nkeep + l->keep_per_task - 1) / l->keep_per_task * l->sum_tasks, reduce_task, l);
  for (int64_t k = 0; l->partial && k < l->nkeep; k++) {
    int64_t base[PW_MAX_ARGS + 1] = {0};
    Tile t = keep_tile(l, k, base);
    double *total = l->partial + k * l->acc_size;
    for (int64_t s = 1; s < l->sum_tasks; s++)
      for (int64_t i = 0; i < l->acc_size; i++)
        total[i] += l->partial[(s * l->nkeep + k) * l->acc_size + i];
    pw_store(l, total, &t, base[l->p->narg]);
  }
}

void pw_run(const PwProgram *p, const real *const *args, real *out, void *scratch) {
  Loop l;
  if (shape_numel(p->iter) == 0) return;
  loop_init(&l, p, args, out);
  if (p->reduce)
    run_reduce(&l, scratch);
  else
    run_map(&l);
}

void pw_single(const PwProgram *p, int r, PwProgram *one) {
  *one = *p;
  one->nmore = 0;
  if (r > 0) {
    one->result = p->more[r - 1].result;
    one->out_shape = p->more[r - 1].shape;
  }
  /* operations that come later make other results */
  while (one->result >= 0 && one->nop > 0 && one->op[one->nop - 1].dst != one->result) one->nop--;
  one->reduce = r > 0 ? !shape_eq(one->out_shape, one->iter) : p->reduce;
}
