/* multi.cu: fused loops with several results (core/plan_multi.c): maps, sums over pixels and a sum
 * over channels from one pass over the operands. In the backward pass of a layer that is its
 * gradient, the sums of it for bias and noise, and the products for styles and demodulation, which
 * each on its own would read the same maps again.
 *
 * The inner axis is cut into strips of 8 to 256 numbers, a vector of 8 for each thread of a group
 * of 1 to 32; a group walks rows (all outer coordinates but those of the grid). Sums that take in
 * the inner axis: a group adds its row of a strip by shuffles, and that sum goes to scratch,
 * whatever outer axes are summed besides. Sums that keep it: each thread adds along the rows that
 * it walks, then the groups of a block are added, in order, and go to scratch, a number for each
 * chunk of rows. A second kernel adds what lies there, in order. Strips, chunks and groups depend
 * on the shape only, and those of a row not on how many rows there are: the same bits on every GPU
 * and, where rows belong to samples, in any batch.
 *
 * There may be several sums that keep the inner axis: of one expression, as a layer's gradient for
 * its styles and its bias, from the same numbers in scratch; of others, each with numbers of its
 * own. Threads walk what all of them take in; one that takes in the first axis besides, which the
 * others keep, adds along that in the second kernel. They differ in nothing else: one that keeps
 * the first axis then has the walk, and the bits, that it has alone.
 *
 * Where maps lie with their channels last (cuda/map.cuh) these are the inner axis, and sums over
 * pixels keep it. */
#include "cuda/map.cuh"
#include "cuda/pointwise.cuh"

/* Rows that a thread walks; threads of a block; slots that there is shared memory for; inner axes
 * shorter than this are not worth a group. */
enum { MULTI_STEPS = 8, MULTI_THREADS = 256, MULTI_SLOTS = 5, MULTI_INNER = 16 };

/* Expressions with sums that keep the inner axis: a thread has 8 numbers for each. */
enum { MULTI_COLUMN_MOST = 4 };

/* MULTI_AGAIN: a sum of what a result before it, of MULTI_COLUMNS, is a sum of. */
typedef enum { MULTI_MAP, MULTI_ROWS, MULTI_COLUMNS, MULTI_AGAIN } MultiKind;

/* A result; of a sum also its numbers in scratch, the blocks of multi_add that are its own, how
 * many threads add one output, and how many terms that has. column: of MULTI_COLUMNS, which of
 * these. as: of MULTI_AGAIN, the result whose numbers in scratch it adds. */
typedef struct MultiOut {
  void *to;
  double *partial;
  uint8_t type;
  uint8_t kind;
  uint8_t log_group;
  uint8_t column;
  uint8_t as;
  MapView view; /* a map, where there are channels that lie last */
  MapFrame frame;
  uint32_t summed; /* outer axes */
  uint32_t nout;
  uint32_t terms;
  uint32_t first;
} MultiOut;

typedef struct Multi {
  PwDev d;
  int nresult;
  bool last;     /* the axes are n, y, x, channel */
  int ncolumn;   /* results of MULTI_COLUMNS */
  uint32_t grid; /* outer axes that blocks have, and that a thread walks */
  uint32_t walk;
  uint32_t ngrid;
  uint32_t nwalk;
  uint32_t log_group;
  FastDiv strips;
  FastDiv chunks;
  FastDiv inner;
  uint32_t row_stride[PW_OUTER];
  uint32_t grid_stride[PW_OUTER]; /* of axes of the grid, else 0 */
  MultiOut out[1 + PW_MAX_MORE];
} Multi;

static_assert(sizeof(Multi) <= 4096, "more than a kernel takes as its arguments");

/* ---- host ---- */
static Shape result_shape(const PwProgram *p, int r) {
  return r ? p->more[r - 1].shape : p->out_shape;
}

static uint32_t axes_product(const PwDev *d, uint32_t mask) {
  uint32_t n = 1;
  for (int r = 0; r < d->outer; r++)
    if (mask >> r & 1) n *= d->dim[r].d;
  return n;
}

static void multi_groups(Multi *m) {
  const PwDev *d = &m->d;
  uint32_t stride = 1, grid_stride = 1;
  for (int r = d->outer - 1; r >= 0; r--) {
    const bool grid = m->grid >> r & 1;
    m->row_stride[r] = stride;
    m->grid_stride[r] = grid ? grid_stride : 0;
    stride *= d->dim[r].d;
    if (grid) grid_stride *= d->dim[r].d;
  }
  while (m->log_group < 5 && (PW_VEC << m->log_group) < (int)d->inner) m->log_group++;
  m->ngrid = axes_product(d, m->grid);
  m->nwalk = axes_product(d, m->walk);
  m->inner = fast_div(d->inner);
  m->strips = fast_div(cuda_ceil(d->inner, PW_VEC << m->log_group));
  m->chunks = fast_div(cuda_ceil(m->nwalk, (int64_t)MULTI_STEPS * (MULTI_THREADS >> m->log_group)));
}

/* Are these the same but for the first axis? */
static bool same_rest(Shape a, Shape b) {
  bool same = a.rank == b.rank;
  for (int i = 1; same && i < a.rank; i++) same = a.dim[i] == b.dim[i];
  return same;
}

/* Result r, a sum that keeps the inner axis, beside those before it. False: it cannot be. */
static bool multi_column(Multi *m, const PwProgram *p, int r) {
  MultiOut *o = &m->out[r];
  const int code = r ? p->more[r - 1].result : p->result;
  o->kind = MULTI_COLUMNS;
  for (int k = r - 1; k >= 0; k--) {
    if (m->out[k].kind < MULTI_COLUMNS) continue;
    if (!same_rest(result_shape(p, k), result_shape(p, r))) return false;
    if (m->out[k].kind == MULTI_AGAIN || code != (k ? p->more[k - 1].result : p->result)) continue;
    o->kind = MULTI_AGAIN;
    o->as = (uint8_t)k;
  }
  m->walk &= o->summed;
  if (o->kind == MULTI_AGAIN) return true;
  if (m->ncolumn == MULTI_COLUMN_MOST) return false;
  o->column = (uint8_t)m->ncolumn++;
  return true;
}

/* How the results are made; false: one that cannot be made beside the others. */
static bool multi_kinds(Multi *m, const PwProgram *p, const PwResults *q) {
  const uint32_t all = (1u << m->d.outer) - 1;
  m->walk = all;
  for (int r = 0; r < m->nresult; r++) {
    MultiOut *o = &m->out[r];
    o->summed = q->summed[r];
    o->kind = shape_eq(result_shape(p, r), p->iter) ? MULTI_MAP : MULTI_ROWS;
    if (o->kind == MULTI_ROWS && !q->inner_summed[r] && !multi_column(m, p, r)) return false;
  }
  m->grid = all & ~m->walk;
  return true;
}

/* What multi_add adds for result o, a sum that keeps the inner axis. */
static void multi_terms(const Multi *m, MultiOut *o) {
  const uint32_t besides = m->grid & o->summed;
  o->nout = axes_product(&m->d, m->grid & ~o->summed) * m->d.inner;
  o->terms = m->chunks.d * axes_product(&m->d, besides);
  if (besides)
    o->log_group = o->terms > 1024 ? 8 : o->terms > 16 ? 5 : 0;
  else
    o->log_group = o->terms > 64 ? 8 : 0;
}

/* Where the sums lie in scratch; returns its numbers. */
static size_t multi_places(Multi *m, double *scratch) {
  const uint32_t rows = m->ngrid * m->nwalk;
  size_t n = 0;
  uint32_t blocks = 0;
  for (int r = 0; r < m->nresult; r++) {
    MultiOut *o = &m->out[r];
    o->first = blocks;
    if (o->kind == MULTI_MAP) continue;
    o->partial = o->kind == MULTI_AGAIN ? m->out[o->as].partial : scratch ? scratch + n : NULL;
    if (o->kind == MULTI_ROWS) {
      o->nout = axes_product(&m->d, ~o->summed);
      o->terms = rows / PRLX_MAX(1u, o->nout) * m->strips.d;
      o->log_group = o->terms > 4096 ? 8 : o->terms > 16 ? 5 : 0;
      n += (size_t)rows * m->strips.d;
    } else {
      multi_terms(m, o);
      if (o->kind == MULTI_COLUMNS) n += (size_t)m->ngrid * m->d.inner * m->chunks.d;
    }
    blocks += (uint32_t)cuda_ceil((int64_t)o->nout << o->log_group, MULTI_THREADS);
  }
  return n;
}

/* The axes where channels lie last. False: a sum that keeps channels and pixels, which its result
 * has the other way round. */
static bool multi_last(const DevStep *s, Multi *m, PwResults *q) {
  static const int axis[3] = {0, 2, 3};
  const PwProgram *p = s->prog;
  const Shape all = p->iter;
  if (all.rank != 4 || all.dim[1] % MAP_CHUNK || !cuda_fits32(cuda_last_most(s)) ||
      !pw_dev_last(&m->d, s))
    return false;
  m->last = true;
  for (int r = 0; r <= p->nmore; r++) {
    const Shape o = result_shape(p, r);
    q->summed[r] = 0;
    for (int k = 0; k < 3; k++)
      if (o.dim[axis[k]] != all.dim[axis[k]]) q->summed[r] |= 1u << k;
    q->inner_summed[r] = o.dim[1] != all.dim[1];
    if (!shape_eq(o, all) && o.dim[1] > 1 && (o.dim[2] > 1 || o.dim[3] > 1)) return false;
  }
  return true;
}

/* The loop of s without its addresses. False: none that these kernels can run. */
static bool multi_init(const DevStep *s, Multi *m) {
  const PwProgram *p = s->prog;
  PwResults q;
  *m = Multi{};
  if (!p || p->nmore < 1 || !cuda_fits32(shape_numel(p->iter)) || shape_numel(p->iter) == 0 ||
      !pw_dev_init_several(&m->d, p, &q))
    return false;
  pw_dev_bind(&m->d, s->arg, s->targ, s->out);
  if (cuda_lies_last(s) && !multi_last(s, m, &q)) return false;
  if (m->d.nslot > MULTI_SLOTS || m->d.inner < (uint32_t)MULTI_INNER) return false;
  m->nresult = 1 + p->nmore;
  if (!multi_kinds(m, p, &q)) return false;
  multi_groups(m);
  return true;
}

bool cuda_multi_can(const DevStep *s) {
  Multi m;
  return multi_init(s, &m);
}

size_t cuda_multi_scratch(const DevStep *s) {
  Multi m;
  return multi_init(s, &m) ? multi_places(&m, NULL) * sizeof(double) : 0;
}

/* ---- device ---- */

/* Where a thread is in its walk. */
typedef struct MultiPlace {
  PwPlace at;
  uint32_t row;
  uint32_t strip;
} MultiPlace;

/* The sum of a row of a strip, from the vectors of its group. */
static __device__ __forceinline__ void multi_row(const Multi &m, const MultiOut &o,
                                                 const MultiPlace &w, const float *v) {
  const uint32_t group = 1u << m.log_group;
  double sum = (double)(((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])));
  for (uint32_t k = group >> 1; k; k >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, (int)k);
  if ((threadIdx.x & (group - 1)) == 0 && w.at.valid)
    o.partial[(size_t)w.row * m.strips.d + w.strip] = sum;
}

static __device__ __forceinline__ void multi_store(const Multi &m, const MultiOut &o,
                                                   const MultiPlace &w, const float *v) {
  if (m.last) {
    const int y = (int)w.at.idx[1], x = (int)w.at.idx[2];
    if (w.at.valid)
      map_store(o.view, o.frame, map_at(o.view, w.at.idx[0], (int)w.at.col, y, x), w.at.idx[0], y,
                x, v);
    return;
  }
  const uint32_t to = w.row * m.d.inner + w.at.col;
  if (m.d.wide_out && w.at.valid == PW_VEC) {
    pw_store_wide(o.to, o.type, to, v);
    return;
  }
#pragma unroll
  for (int j = 0; j < PW_VEC; j++)
    if (j < w.at.valid) st_any(o.to, (DType)o.type, to + j, v[j]);
}

/* What the step that was just made is a result of. All threads of a warp come here. */
template <int COLUMNS>
static __device__ __forceinline__ void multi_emit(const Multi &m, uint32_t results,
                                                  const MultiPlace &w, const float *acc,
                                                  float (*column)[PW_VEC]) {
  float v[PW_VEC];
#pragma unroll
  for (int j = 0; j < PW_VEC; j++) v[j] = j < w.at.valid ? acc[j] : 0;
#pragma unroll 1
  for (int r = 0; results >> r; r++) {
    if (!(results >> r & 1)) continue;
    const MultiOut &o = m.out[r];
    if (o.kind == MULTI_MAP)
      multi_store(m, o, w, v);
    else if (o.kind == MULTI_ROWS)
      multi_row(m, o, w, v);
    else if (o.kind == MULTI_COLUMNS) {
#pragma unroll
      for (int k = 0; k < COLUMNS; k++) {
        if (COLUMNS > 1 && o.column != k) continue;
#pragma unroll
        for (int j = 0; j < PW_VEC; j++) column[k][j] += v[j];
      }
    }
  }
}

template <int COLUMNS>
static __device__ __forceinline__ void multi_eval(const Multi &m, const MultiPlace &w,
                                                  float (*column)[PW_VEC]) {
  uint32_t even[PW_VEC] = {}, odd[PW_VEC] = {};
  float acc[PW_VEC] = {};
  pw_ahead(m.d, w.at, 0, even);
  pw_ahead(m.d, w.at, 1, odd);
#pragma unroll 1
  for (int k = 0; k < m.d.nop; k += 2) {
    pw_step(m.d, w.at, k, even, acc);
    if (m.d.op[k].results) multi_emit<COLUMNS>(m, m.d.op[k].results, w, acc, column);
    if (k + 1 >= m.d.nop) break;
    pw_step(m.d, w.at, k + 1, odd, acc);
    if (m.d.op[k + 1].results) multi_emit<COLUMNS>(m, m.d.op[k + 1].results, w, acc, column);
  }
}

/* Sum k along the rows of a chunk: of the groups of this block, in order. share: [group][8][lane of
 * a group], where the slots were, and the sum before this one. */
static __device__ __forceinline__ void multi_columns(const Multi &m, uint32_t block, uint32_t chunk,
                                                     uint32_t strip, int k, const float *column) {
  double *share = DYNAMIC_SHARED(double);
  const uint32_t lanes = 1u << m.log_group, lane = threadIdx.x & (lanes - 1),
                 mine = threadIdx.x >> m.log_group, groups = MULTI_THREADS >> m.log_group;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < PW_VEC; j++) share[(mine * PW_VEC + j) * lanes + lane] = (double)column[j];
  __syncthreads();
  if (threadIdx.x >= PW_VEC * lanes) return;
  const uint32_t col = (strip * lanes + lane) * PW_VEC + mine; /* mine: 0..7 here */
  if (col >= m.d.inner) return;
  double sum = 0;
  for (uint32_t i = 0; i < groups; i++) sum += share[i * PW_VEC * lanes + threadIdx.x];
  for (int r = 0; r < m.nresult; r++)
    if (m.out[r].kind == MULTI_COLUMNS && m.out[r].column == k)
      m.out[r].partial[((size_t)chunk * m.ngrid + block) * m.d.inner + col] = sum;
}

/* A block: a place of the grid, a chunk of the rows, a strip. Four expressions want more registers
 * than three blocks have. */
template <int COLUMNS>
static __global__ void __launch_bounds__(MULTI_THREADS, COLUMNS > 3 ? 2 : 3)
    multi_run(const __grid_constant__ Multi m) {
  const uint32_t lanes = 1u << m.log_group, groups = MULTI_THREADS >> m.log_group,
                 rest = div_by(blockIdx.x, m.strips), strip = blockIdx.x - rest * m.strips.d,
                 block = div_by(rest, m.chunks), chunk = rest - block * m.chunks.d;
  MultiPlace w = {};
  float column[COLUMNS][PW_VEC] = {};
  w.at.slots = DYNAMIC_SHARED(float4);
  w.at.tid = (int)threadIdx.x;
  w.at.nthreads = MULTI_THREADS;
  w.at.col = (strip * lanes + (threadIdx.x & (lanes - 1))) * PW_VEC;
  w.strip = strip;
  pw_coordinates(m.d, m.grid, block, w.at.idx);
  for (uint32_t i = 0; i < MULTI_STEPS; i++) {
    const uint32_t first = (chunk * MULTI_STEPS + i) * groups,
                   at = first + (threadIdx.x >> m.log_group);
    if (first >= m.nwalk) break;
    /* who has no row takes part in the shuffles, with zeros */
    w.at.valid =
        at < m.nwalk && w.at.col < m.d.inner ? (int)min((uint32_t)PW_VEC, m.d.inner - w.at.col) : 0;
    pw_coordinates(m.d, m.walk, at < m.nwalk ? at : 0, w.at.idx);
    w.row = 0;
#pragma unroll
    for (int r = 0; r < PW_OUTER; r++)
      if (r < m.d.outer) w.row += w.at.idx[r] * m.row_stride[r];
    multi_eval<COLUMNS>(m, w, column);
  }
  if (!m.ncolumn) return;
#pragma unroll
  for (int k = 0; k < COLUMNS; k++) multi_columns(m, block, chunk, strip, k, column[k]);
}

/* Term t of output o of a sum over rows: a row of a strip. */
static __device__ __forceinline__ double multi_term(const Multi &m, const MultiOut &o,
                                                    uint32_t *idx, uint32_t t) {
  const uint32_t q = div_by(t, m.strips);
  uint32_t row = 0;
  pw_coordinates(m.d, o.summed, q, idx);
#pragma unroll
  for (int r = 0; r < PW_OUTER; r++)
    if (r < m.d.outer) row += idx[r] * m.row_stride[r];
  return o.partial[(size_t)row * m.strips.d + (t - q * m.strips.d)];
}

/* Term t of the output at column col, whose coordinates in the grid are idx: a chunk of the rows at
 * a place of the axes that are summed besides. */
static __device__ __forceinline__ double multi_term_column(const Multi &m, const MultiOut &o,
                                                           uint32_t *idx, uint32_t col,
                                                           uint32_t t) {
  const uint32_t q = div_by(t, m.chunks), chunk = t - q * m.chunks.d;
  uint32_t block = 0;
  pw_coordinates(m.d, m.grid & o.summed, q, idx);
#pragma unroll
  for (int r = 0; r < PW_OUTER; r++)
    if (r < m.d.outer) block += idx[r] * m.grid_stride[r];
  return o.partial[((size_t)chunk * m.ngrid + block) * m.d.inner + col];
}

/* The sums of what lies in scratch, result after result. */
static __global__ void __launch_bounds__(MULTI_THREADS) multi_add(const __grid_constant__ Multi m) {
  SHARED(double, warp_sum, MULTI_THREADS / 32);
  int r = m.nresult - 1;
  while (m.out[r].kind == MULTI_MAP || blockIdx.x < m.out[r].first) r--;
  const MultiOut &o = m.out[r];
  const uint32_t group = 1u << o.log_group,
                 t = (blockIdx.x - o.first) * MULTI_THREADS + threadIdx.x, at = t >> o.log_group,
                 lane = t & (group - 1);
  uint32_t idx[PW_OUTER] = {};
  double sum = 0;
  if (at < o.nout && o.kind == MULTI_ROWS) {
    pw_coordinates(m.d, ~o.summed, at, idx);
    for (uint32_t k = lane; k < o.terms; k += group) sum += multi_term(m, o, idx, k);
  } else if (at < o.nout) {
    const uint32_t kept = div_by(at, m.inner), col = at - kept * m.d.inner;
    pw_coordinates(m.d, m.grid & ~o.summed, kept, idx);
    for (uint32_t k = lane; k < o.terms; k += group) sum += multi_term_column(m, o, idx, col, k);
  }
  for (uint32_t k = min(group, 32u) >> 1; k; k >>= 1)
    sum += __shfl_xor_sync(0xffffffffu, sum, (int)k);
  if (group > 32) {
    if ((threadIdx.x & 31) == 0) warp_sum[threadIdx.x >> 5] = sum;
    __syncthreads();
    for (uint32_t k = 1; lane == 0 && k < MULTI_THREADS / 32; k++) sum += warp_sum[k];
  }
  if (at < o.nout && lane == 0) st_any(o.to, (DType)o.type, at, (float)sum);
}

/* ---- launch ---- */
static bool multi_bind(const DevStep *s, Multi *m) {
  bool wide = m->d.wide_out;
  for (int r = 0; r < m->nresult; r++) {
    MultiOut *o = &m->out[r];
    o->to = r ? s->more[r - 1] : s->out;
    o->type = (uint8_t)(r ? s->tmore[r - 1] : s->tout);
    if (o->kind == MULTI_MAP && (uintptr_t)o->to % 16) wide = false;
    if (o->kind != MULTI_MAP || !m->last) continue;
    const MapLayout lies = r ? s->more_lies[r - 1] : s->out_lies;
    o->view = map_view(o->to, (DType)o->type, s->prog->iter, lies);
    if (lies.last) o->frame = map_frame(s->prog->iter, lies);
  }
  m->d.wide_out = wide;
  return multi_places(m, (double *)s->scratch) > 0;
}

static uint32_t multi_blocks(const Multi *m) {
  uint32_t blocks = 0;
  for (int r = 0; r < m->nresult; r++) {
    const MultiOut *o = &m->out[r];
    if (o->kind != MULTI_MAP)
      blocks += (uint32_t)cuda_ceil((int64_t)o->nout << o->log_group, MULTI_THREADS);
  }
  return blocks;
}

/* Dynamic shared memory: slots, later the sums of the groups. */
static size_t multi_shared(const Multi *m) {
  return PRLX_MAX(pw_slot_bytes(&m->d, MULTI_THREADS),
                  (size_t)MULTI_THREADS * PW_VEC * sizeof(double));
}

template <int COLUMNS> static void multi_launch(const CudaCtx *c, const Multi &m) {
  LAUNCH(multi_run<COLUMNS>, m.ngrid * m.chunks.d * m.strips.d, MULTI_THREADS, multi_shared(&m),
         c->stream, m);
}

Status cuda_multi(const CudaCtx *c, const DevStep *s, Error *e) {
  Multi m;
  if (shape_numel(s->prog->iter) == 0) return ST_OK;
  if (!multi_init(s, &m))
    return err_set(e, ST_INTERNAL, "cuda loop: %d results that one pass cannot make",
                   1 + s->prog->nmore);
  const bool sums = multi_bind(s, &m);
  if (m.ncolumn < 2)
    multi_launch<1>(c, m);
  else if (m.ncolumn == 2)
    multi_launch<2>(c, m);
  else if (m.ncolumn == 3)
    multi_launch<3>(c, m);
  else
    multi_launch<MULTI_COLUMN_MOST>(c, m);
  TRY(cuda_check("loop", s, e));
  if (!sums) return ST_OK;
  LAUNCH(multi_add, multi_blocks(&m), MULTI_THREADS, 0, c->stream, m);
  return cuda_check("loop", s, e);
}
