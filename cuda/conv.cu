/* conv.cu: rows of conv2d, conv2d_dx and conv2d_dw: from a node to packed operands, a product and
 * its store (see conv.cuh). */
#include "cuda/conv.cuh"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which arithmetic ---- */

/* 16-bit products where all maps are stored so; a map in float next to one in 16 bits is computed
 * in tf32, which holds both exactly enough (10 bits of mantissa, 8 of exponent). sm_75 has no
 * tensor cores for tf32 and bf16. */
static ConvType type_of(const CudaCtx *c, const DevStep *s, int kind) {
  DType t = s->targ[0];
  if (kind == CONV_DW && s->targ[1] != t) t = DT_F32;
  if (c->rung[cuda_kind(s)] != RUNG_FAST) return CT_STRICT;
  if (t == DT_F16) return CT_F16;
  if (c->precision == PREC_STRICT || c->arch < 80) return CT_STRICT;
  return t == DT_BF16 ? CT_BF16 : CT_TF32;
}

/* ---- a node as products ---- */

typedef struct Work {
  ConvGeom g;
  ConvType type;
  /* the map of a 1x1, or the gradient of conv2d_dw, is read as it lies */
  bool planes;
  /* read where it lies, channels last */
  bool map_lies;
  bool rows_lie;
  bool prepared; /* the weights were packed by a step of their own (conv_prep) */
  int tile;
  /* packed map; second packed map of conv2d_dw */
  PackMap map;
  PackMap rows;
  /* rows: packed weights or second map */
  size_t map_bytes;
  size_t rows_bytes;
  size_t partial_bytes;
  size_t sums_bytes; /* sums over pixels of what the store makes */
  size_t dots_bytes; /* sums over channels */
  /* products, one after another: classes of a stride above 2 do not fit into one */
  int ngroup;
  ConvJob job; /* of the current group */
} Work;

static size_t round_up(size_t n) { return (n + 255) / 256 * 256; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* One axis of a residue class a of conv2d_dx: iy = a + s u. The taps that meet it are ky = py + s
 * j, at oy = u + o - j (Attr of conv_geom: iy + pad = oy s + ky). In the order j' = taps-1-j it is
 * a correlation that begins at oy = u + first. */
typedef struct Axis {
  int taps;
  int k0;
  int first;
  int pixels;
} Axis;
static Axis axis_of(int64_t a, int64_t s, int64_t pad, int64_t k, int64_t side) {
  int64_t py = (a + pad) % s, o = (a + pad) / s, taps = k > py ? ceil_div(k - py, s) : 0;
  return (Axis){(int)taps, (int)(py + s * (taps - 1)), (int)(o - (taps - 1)),
                (int)(a < side ? ceil_div(side - a, s) : 0)};
}

/* Margin before the map and length of the frame such that every class reads inside it. */
static void frame_of(int64_t s, int64_t pad, int64_t k, int64_t side, int64_t *before,
                     int64_t *length) {
  int64_t last = 0;
  *before = 0;
  for (int64_t a = 0; a < s; a++) {
    Axis x = axis_of(a, s, pad, k, side);
    if (!x.taps || !x.pixels) continue;
    *before = PRLX_MAX(*before, -x.first);
    last = PRLX_MAX(last, x.first + x.taps - 1 + x.pixels - 1);
  }
  *length = *before + last + 1;
}

/* Scales and prepared weights are known to the planner by operand, to a launch by address. */
static bool has_operand(const DevStep *s, int slot) {
  return slot < s->nargs && (s->node.in[slot] || s->arg[slot]);
}

/* Layouts without packing; see conv.cuh. */
static bool reads_planes(const DevStep *s, const Work *w) {
  const ConvGeom *g = &w->g;
  if (s->lies[g->kind == CONV_DW ? 1 : 0].last) return false;
  if (w->type != CT_F16 && w->type != CT_BF16) return false;
  if (g->oh * g->ow % 8 || has_operand(s, 3)) return false;
  return g->kind == CONV_DW || (g->kh == 1 && g->kw == 1 && g->stride == 1 && g->pad == 0);
}

/* Channels last, in the type of the product and not modulated. slot: of a map; scale: of its
 * scale. */
static bool reads_in_place(const DevStep *s, ConvType t, int slot, int scale) {
  return s->lies[slot].last && (t == CT_F16 || t == CT_BF16) && !has_operand(s, scale);
}

static void finish_class(ConvJob *job, ConvClass *cls) {
  cls->row_chunks = (uint32_t)(ceil_div((int64_t)cls->kh * cls->kw * job->map.pixel_chunks, 4) * 4);
  cls->steps = (int)cls->row_chunks / 4;
  cls->by_uv = fast_div((uint32_t)(cls->u * cls->v));
  cls->by_v = fast_div((uint32_t)cls->v);
  cls->by_kw = fast_div((uint32_t)cls->kw);
}

/* Longest first: the short ones fill the gaps at the end. Then offsets. */
static void place_classes(ConvClasses *all) {
  uint32_t chunk = 0, col = 0;
  for (int i = 1; i < all->count; i++)
    for (int k = i; k > 0 && all->of[k].steps > all->of[k - 1].steps; k--) {
      const ConvClass shorter = all->of[k - 1];
      all->of[k - 1] = all->of[k];
      all->of[k] = shorter;
    }
  for (int i = 0; i < all->count; i++) {
    ConvClass *cls = &all->of[i];
    cls->first_chunk = chunk;
    chunk += (uint32_t)all->rows * cls->row_chunks;
    cls->col0 = col;
    col += cls->cols;
  }
  all->cols = col;
}

static void forward_job(Work *w) {
  const ConvGeom *g = &w->g;
  ConvJob *job = &w->job;
  job->layout = w->planes ? LAYOUT_1X1 : LAYOUT_K;
  job->classes.rows = g->co;
  job->map.stride = g->stride;
  job->store.spread = 1;
  job->classes.count = 1;
  ConvClass *cls = &job->classes.of[0];
  *cls = (ConvClass){};
  cls->kh = (int)g->kh;
  cls->kw = (int)g->kw;
  cls->u = (int)g->oh;
  cls->v = (int)g->ow;
  cls->cols = (uint32_t)(g->n * g->oh * g->ow);
  finish_class(job, cls);
  place_classes(&job->classes);
}

/* Classes 4*group .. of the stride^2. */
static void adjoint_job(Work *w, int group) {
  const ConvGeom *g = &w->g;
  ConvJob *job = &w->job;
  const int64_t s = g->stride;
  job->layout = w->planes ? LAYOUT_1X1 : LAYOUT_K;
  job->classes.rows = g->ci;
  job->map.stride = 1;
  job->store.spread = (int)s;
  job->classes.count = 0;
  for (int64_t k = (int64_t)group * MAX_CLASSES;
       k < PRLX_MIN(s * s, ((int64_t)group + 1) * MAX_CLASSES); k++) {
    Axis y = axis_of(k / s, s, g->pad, g->kh, g->h), x = axis_of(k % s, s, g->pad, g->kw, g->w);
    if (!y.pixels || !x.pixels) continue;
    const bool none = !y.taps || !x.taps; /* no tap meets these pixels: zero */
    ConvClass *cls = &job->classes.of[job->classes.count++];
    *cls = (ConvClass){};
    cls->kh = none ? 0 : y.taps;
    cls->kw = none ? 1 : x.taps;
    cls->ky0 = y.k0;
    cls->kx0 = x.k0;
    cls->u = y.pixels;
    cls->v = x.pixels;
    cls->ay = (int)(k / s);
    cls->ax = (int)(k % s);
    cls->cols = (uint32_t)(g->n * cls->u * cls->v);
    if (!none)
      cls->map_chunk = (uint32_t)((w->map.top + y.first) * job->map.row_chunks +
                                  (w->map.left + x.first) * job->map.pixel_chunks);
    finish_class(job, cls);
  }
  place_classes(&job->classes);
}

static void weight_job(Work *w) {
  const ConvGeom *g = &w->g;
  ConvJob *job = &w->job;
  const int len = chunk_len(w->type);
  job->layout = w->planes ? LAYOUT_DW : LAYOUT_MN;
  job->classes.rows = g->co;
  job->map.stride = g->stride;
  job->store.spread = 1;
  job->classes.count = 1;
  job->kernels.pixels = (uint32_t)(g->n * g->oh * g->ow);
  job->kernels.by_oh_ow = fast_div((uint32_t)(g->oh * g->ow));
  job->kernels.by_ow = fast_div((uint32_t)g->ow);
  job->kernels.by_tap = fast_div(job->map.pixel_chunks * len);
  job->kernels.taps = (int)(g->kh * g->kw);
  job->kernels.kw = (int)g->kw;
  job->kernels.channels = (int)g->ci;
  job->classes.cols = (int64_t)job->kernels.taps * job->map.pixel_chunks * len;
  ConvClass *cls = &job->classes.of[0];
  *cls = (ConvClass){};
  cls->cols = (uint32_t)job->classes.cols;
  cls->kh = cls->kw = 1;
  cls->steps = (int)ceil_div(job->kernels.pixels, 4 * len);
  cls->by_uv = cls->by_v = cls->by_kw = fast_div(1);
}

static void make_job(Work *w, int group) {
  if (w->g.kind == CONV_FWD)
    forward_job(w);
  else if (w->g.kind == CONV_DX)
    adjoint_job(w, group);
  else
    weight_job(w);
}

/* ---- tile and splits ---- */

/* Clocks of a product, roughly: multiply-adds at what a full SM does, less where few blocks share
 * one, plus the traffic and the launch of partial sums (rates of sm_90; only ratios matter). The
 * job is one of n samples; the answer is for `batch` of them, and for one batch the same from every
 * n. */
static double product_clocks(const CudaCtx *c, const ConvJob *job, ConvType t, int tile, int splits,
                             int64_t n, int64_t batch) {
  const double rate = t == CT_TF32 ? 500 : t == CT_STRICT ? 90 : 1000;
  const double step = (double)tile * tile * 4 * chunk_len(t) / (rate * (tile == 128 ? 1 : 0.6));
  double blocks = 0, work = 0, longest = 0;
  for (int k = 0; k < job->classes.count; k++) {
    double tiles = (double)(ceil_div((int64_t)job->classes.of[k].cols / n * batch, tile) *
                            ceil_div(job->classes.rows, tile) * splits),
           steps = (double)ceil_div(job->classes.of[k].steps, splits) + 4;
    blocks += tiles;
    work += tiles * steps;
    longest = PRLX_MAX(longest, steps);
  }
  const double per_sm = ceil(blocks / c->sm_count), full = tile == 128 ? 2 : 4,
               share = PRLX_MIN(per_sm, full) / full;
  const double clocks = PRLX_MAX(work / blocks * per_sm, longest) * step / (0.25 + 0.75 * share);
  return splits == 1 ? clocks
                     : clocks + 4000 +
                           8.0 * splits * (double)job->classes.rows *
                               (double)(job->classes.cols / n * batch) / (c->sm_count * 14.0);
}

void conv_forced(const CudaCtx *c, int *tile, int *splits) {
  const char *force = getenv("PRLX_CUDA_CONV");
  *tile = c->tile;
  *splits = c->splits;
  if (force) sscanf(force, "%d,%d", tile, splits);
}

/* A graph whose samples must not depend on the batch (plan_n 1) takes the splits that suit four
 * samples, whatever the batch: the order of a sum follows from the splits alone. Weight gradients
 * add over samples: a split takes at most 65536 pixels, for the rounding of long sums. */
static void conv_choose(const CudaCtx *c, Work *w) {
  ConvJob *job = &w->job;
  const bool fixed = w->g.kind != CONV_DW && w->g.plan_n == 1;
  /* columns of a weight gradient are no samples */
  const int64_t n = w->g.kind == CONV_DW ? 1 : w->g.n, batch = fixed ? 4 : n;
  const int least = w->g.kind == CONV_DW ? (int)ceil_div(job->kernels.pixels, 65536) : 1;
  int most_steps = 1;
  for (int k = 0; k < job->classes.count; k++)
    most_steps = PRLX_MAX(most_steps, job->classes.of[k].steps);
  double best = INFINITY;
  for (int splits = least; splits <= PRLX_MAX(least, PRLX_MIN(32, most_steps / 6));
       splits += splits < 8 ? 1 : 4)
    for (int tile = 64; tile <= 128; tile *= 2) {
      double t = product_clocks(c, job, w->type, tile, splits, n, batch);
      if (t < best) {
        best = t;
        job->splits = splits;
        w->tile = tile;
      }
    }
  if (fixed)
    w->tile = product_clocks(c, job, w->type, 64, job->splits, n, n) <
                      product_clocks(c, job, w->type, 128, job->splits, n, n)
                  ? 64
                  : 128;
  int tile, splits;
  conv_forced(c, &tile, &splits);
  if (tile == 64 || tile == 128) w->tile = tile;
  if (splits >= 1 && splits <= 64) job->splits = splits;
}

/* ---- sizes ---- */

/* A map with the margin that its source has, offsets from pixel (-top, -left) on. */
static PackedMap lying_map(const DevStep *s, int slot, int64_t top, int64_t left) {
  const Shape x = s->shape[slot];
  const MapLayout l = s->lies[slot];
  PackedMap m = {};
  m.pixel_chunks = (uint32_t)(x.dim[1] / MAP_CHUNK);
  m.row_chunks = m.pixel_chunks * (uint32_t)(x.dim[3] + l.side);
  m.image_chunks = m.row_chunks * (uint32_t)(x.dim[2] + l.edge);
  if (conv_arg(s, slot))
    m.p = (const char *)conv_arg(s, slot) +
          ((l.edge - top) * m.row_chunks + (l.side - left) * m.pixel_chunks) * CHUNK;
  return m;
}

/* The second map of a weight gradient: it has no margin. */
static void describe_rows(Work *w, const DevStep *s) {
  const ConvGeom *g = &w->g;
  PackedMap *m = &w->job.grad;
  w->rows_lie = reads_in_place(s, w->type, 1, 3);
  if (w->rows_lie) {
    *m = lying_map(s, 1, 0, 0);
    return;
  }
  m->pixel_chunks = (uint32_t)ceil_div(g->co, chunk_len(w->type));
  m->row_chunks = m->pixel_chunks * (uint32_t)g->ow;
  m->image_chunks = m->row_chunks * (uint32_t)g->oh;
  w->rows = (PackMap){conv_arg(s, 1),
                      s->targ[1],
                      s->lies[1],
                      (const float *)conv_arg(s, 3),
                      NULL,
                      g->n,
                      g->co,
                      g->oh,
                      g->ow,
                      g->oh,
                      g->ow,
                      0,
                      0};
  w->rows_bytes = round_up((size_t)g->n * m->image_chunks * CHUNK);
}

/* The frame that the classes read: height, width, top and left. */
static void describe_frame(const ConvGeom *g, PackMap *p) {
  p->hp = (g->oh - 1) * g->stride + g->kh;
  p->wp = (g->ow - 1) * g->stride + g->kw;
  p->top = p->left = g->pad;
  if (g->kind != CONV_DX) return;
  frame_of(g->stride, g->pad, g->kh, g->h, &p->top, &p->hp);
  frame_of(g->stride, g->pad, g->kw, g->w, &p->left, &p->wp);
}

static void describe_map(Work *w, const DevStep *s) {
  const ConvGeom *g = &w->g;
  const int len = chunk_len(w->type);
  PackMap *p = &w->map;
  *p = (PackMap){conv_arg(s, 0), s->targ[0], s->lies[0], NULL, NULL, g->n, g->ci, g->h, g->w};
  p->scale = (const float *)conv_arg(s, g->kind == CONV_DW ? 2 : 3);
  if (g->kind == CONV_DX) {
    p->channels = g->co;
    p->h = g->oh;
    p->w = g->ow;
  }
  describe_frame(g, p);
  PackedMap *m = &w->job.map;
  w->map_lies = reads_in_place(s, w->type, 0, g->kind == CONV_DW ? 2 : 3);
  if (w->map_lies) {
    *m = lying_map(s, 0, p->top, p->left);
  } else {
    m->pixel_chunks = (uint32_t)ceil_div(p->channels, len);
    m->row_chunks = m->pixel_chunks * (uint32_t)p->wp;
    m->image_chunks = m->row_chunks * (uint32_t)p->hp;
    w->map_bytes = round_up((size_t)p->n * m->image_chunks * CHUNK);
  }
  m->step_taps = 4 / m->pixel_chunks;
  m->step_chunks = 4 % m->pixel_chunks;
  if (w->planes) {
    PlaneMap *q = &w->job.planes;
    q->channels = (uint32_t)(g->kind == CONV_DW ? g->co : p->channels);
    q->by_plane = fast_div(PRLX_MAX(1, g->oh * g->ow / len));
    q->image_chunks = q->channels * q->by_plane.d;
    if (g->kind != CONV_DW) w->map_bytes = 0;
  } else if (g->kind == CONV_DW)
    describe_rows(w, s);
}

/* Tiles of columns, each of which leaves a number for each row and sum. */
static int64_t sum_tiles(const Work *w) { return ceil_div(w->job.classes.cols, w->tile); }

/* Groups of rows, each of which leaves a number for each pixel of an image. */
static int64_t dot_groups(const Work *w) { return ceil_div(w->job.classes.rows, STORE_ROWS); }

/* Everything but addresses. The products of a stride above 2 share one place for weights and
 * partial sums. */
static void plan_work(const CudaCtx *c, const DevStep *s, Work *w) {
  memset(w, 0, sizeof *w);
  w->g = conv_geom(&s->node);
  w->type = type_of(c, s, w->g.kind);
  w->planes = reads_planes(s, w);
  w->prepared = w->g.kind != CONV_DW && has_operand(s, 2);
  describe_map(w, s);
  w->ngroup =
      w->g.kind == CONV_DX ? (int)ceil_div((int64_t)w->g.stride * w->g.stride, MAX_CLASSES) : 1;
  for (int k = 0; k < w->ngroup; k++) {
    make_job(w, k);
    const ConvJob *job = &w->job;
    if (!job->classes.count) continue;
    conv_choose(c, w);
    size_t rows = 0;
    const bool packs = !is_weight_gradient(job->layout) && !w->prepared;
    for (int i = 0; i < job->classes.count && packs; i++)
      rows += (size_t)job->classes.rows * job->classes.of[i].row_chunks * CHUNK;
    w->rows_bytes = PRLX_MAX(w->rows_bytes, round_up(rows));
    if (job->splits > 1)
      w->partial_bytes =
          PRLX_MAX(w->partial_bytes, round_up((size_t)job->splits * (size_t)job->classes.rows *
                                              (size_t)job->classes.cols * sizeof(float)));
  }
  for (int r = 0; s->prog_store && r < s->prog_store->nmore; r++) {
    const Shape more = s->prog_store->more[r].shape;
    if (more.dim[1] != s->node.shape.dim[1])
      w->dots_bytes = (size_t)(dot_groups(w) * shape_numel(more)) * sizeof(float);
    else if (!shape_eq(more, s->node.shape))
      w->sums_bytes += (size_t)sum_tiles(w) * (size_t)w->job.classes.rows * sizeof(float);
  }
}

static size_t conv_scratch(const CudaCtx *c, const DevStep *s) {
  Work w;
  const ConvGeom g = conv_geom(&s->node);
  if (conv_thin_fits(&g))
    return cuda_lies_last(s) ? thin_last_scratch(&g) : conv_thin_scratch(c, &g);
  plan_work(c, s, &w);
  return w.map_bytes + w.rows_bytes + w.partial_bytes + w.sums_bytes + w.dots_bytes;
}

/* ---- the loop in the store ---- */

/* Sums and filters are for stores of whole results whose channels lie last: without partial sums;
 * sums: of one product, those of each image where a tile has pixels of one image alone, and the
 * tile may depend on the batch. */
static bool can_whole(const CudaCtx *c, const DevStep *conv, const PwProgram *p,
                      const Chain *chain) {
  const int k = MAX_IN + p->up.map - 1;
  Work w;
  if (!conv->out_lies.last || c->rung[cuda_kind(conv)] != RUNG_FAST) return false;
  if (p->up.map && (!conv->lies[k].last || conv->targ[k] == DT_F32)) return false;
  plan_work(c, conv, &w);
  if (w.ngroup != 1 || w.job.splits != 1 || (chain->nsum && w.job.classes.count != 1)) return false;
  for (int i = 0; i < chain->nsum; i++)
    if (chain->sum[i].images &&
        (conv->node.shape.dim[2] * conv->node.shape.dim[3] % w.tile != 0 || w.g.plan_n == 1))
      return false;
  return true;
}

bool cuda_conv_can_store(const CudaCtx *c, const DevStep *conv, const PwProgram *p,
                         int store_from) {
  const ConvGeom g = conv_geom(&conv->node);
  Chain chain;
  /* the thin kernels run chains where there is no result, too */
  if ((p->nmore || p->up.map || p->from.image) && conv_thin_fits(&g)) return false;
  if (p->unstored && !p->nmore) return false;
  return MAX_IN + p->narg <= PW_MAX_ARGS && store_chain(p, store_from, &conv->node, NULL, &chain) &&
         ((!chain.nsum && !chain.ndot && !p->up.map && !p->from.image) ||
          can_whole(c, conv, p, &chain));
}

/* ---- channels last ---- */

/* The zeros that reading in place wants around the map, top and left of them p's. */
static bool margin_of(const PackMap *p, MapLayout *margin) {
  const int64_t edge = PRLX_MAX(p->top, p->hp - p->top - p->h),
                side = PRLX_MAX(p->left, p->wp - p->left - p->w);
  if (PRLX_MAX(edge, side) > MAP_MARGIN_MAX) return false;
  margin->edge = (uint8_t)PRLX_MAX(margin->edge, edge);
  margin->side = (uint8_t)PRLX_MAX(margin->side, side);
  return true;
}

/* Whether a map that is read in place has that much around it. */
static bool is_wide_enough(const Work *w, const DevStep *s) {
  const MapLayout l = s->lies[0];
  MapLayout need = {1, 0, 0};
  return !w->map_lies || (margin_of(&w->map, &need) && l.edge >= need.edge && l.side >= need.side);
}

/* ---- launch ---- */

/* The weights of the current group, from w to dst. */
static void weights_of(const Work *w, const float *from, void *dst, PackWeights *p) {
  *p = (PackWeights){w->type,
                     w->job.classes,
                     w->job.map.pixel_chunks,
                     w->g,
                     w->g.kind == CONV_DX,
                     false,
                     1,
                     from,
                     NULL,
                     dst};
}

/* Strides of the result, an image. */
static void store_to(const DevStep *s, ConvStore *to) {
  const MapView o = map_view(s->out, s->tout, s->node.shape, s->out_lies);
  to->out = o.data;
  to->last = o.last;
  to->out_n = o.sn;
  to->out_m = o.sc;
  to->out_y = o.sy;
  to->out_x = o.sx;
  if (o.last) to->frame = map_frame(s->node.shape, s->out_lies);
}

/* The sums over tiles of each image, or of all. */
static void add_sums(const CudaCtx *c, const DevStep *s, const Work *w) {
  const Chain *chain = &w->job.store.chain;
  const int64_t tiles = sum_tiles(w), rows = w->job.classes.rows;
  for (int k = 0; k < chain->nsum; k++) {
    const int r = chain->sum[k].more;
    const int64_t images = s->prog_store->more[r].shape.dim[0];
    filter_add_launch(c, w->job.store.sums + k * tiles * rows, s->more[r], s->tmore[r],
                      tiles / images, images, rows);
  }
  if (chain->ndot) {
    const int r = chain->dot.more;
    conv_add_dots(c, w->job.store.dots, s->more[r], s->tmore[r], dot_groups(w),
                  shape_numel(s->prog_store->more[r].shape));
  }
}

static void run_work(const CudaCtx *c, const DevStep *s, Work *w) {
  char *mem = (char *)s->scratch, *rows = mem + w->map_bytes, *partial = rows + w->rows_bytes;
  ConvJob *job = &w->job;
  const bool dw = w->g.kind == CONV_DW;
  w->map.dst = mem;
  w->rows.dst = rows;
  if (!w->map_lies && (dw || !w->planes)) conv_pack_map(c, w->type, &w->map);
  if (!w->rows_lie && dw && !w->planes) conv_pack_map(c, w->type, &w->rows);
  for (int k = 0; k < w->ngroup; k++) {
    make_job(w, k);
    if (!job->classes.count) continue;
    conv_choose(c, w);
    job->weights = w->prepared ? s->arg[2] : rows;
    if (!w->rows_lie) job->grad.p = rows;
    if (!w->map_lies) job->map.p = mem;
    job->planes.p = s->arg[dw ? 1 : 0];
    job->store.partial = (float *)partial;
    job->store.tout = s->tout;
    if (dw) {
      job->store.out = s->out;
      job->store.out_m = w->g.ci * job->kernels.taps;
    } else {
      store_to(s, &job->store);
      PackWeights pack;
      weights_of(w, (const float *)s->arg[1], rows, &pack);
      if (!w->prepared) conv_pack_weights(c, &pack, 1);
    }
    job->store.sums = (float *)(partial + w->partial_bytes);
    job->store.dots = (float *)(partial + w->partial_bytes + w->sums_bytes);
    job->store.dot_images = w->g.n;
    job->store.dot_height = (int)s->node.shape.dim[2];
    job->store.dot_width = (int)s->node.shape.dim[3];
    if (!conv_wgmma(c, w->type, job)) conv_gemm(c, w->type, w->tile, job);
    if (job->splits > 1) conv_reduce(c, job);
  }
  add_sums(c, s, w);
}

static Status conv_run(const char *what, const CudaCtx *c, const DevStep *s, Error *e) {
  const ConvGeom g = conv_geom(&s->node);
  Chain chain;
  if (s->node.shape.rank == 4 && shape_numel(s->node.shape) == 0) return ST_OK;
  memset(&chain, 0, sizeof chain);
  if (s->prog_store && !store_chain(s->prog_store, s->store_from, &s->node, s, &chain))
    return err_set(e, ST_INTERNAL, "cuda %s: a loop in its store that it said it cannot run", what);
  if (conv_thin_fits(&g) && cuda_lies_last(s))
    thin_last(c, &g, s, &chain);
  else if (conv_thin_fits(&g))
    conv_thin(c, &g, s, &chain);
  else {
    Work w;
    if (!conv_pack_fits(&g))
      return err_set(e, ST_INVALID, "cuda %s: kernel of %lldx%lld; at most 180 taps", what,
                     (long long)g.kh, (long long)g.kw);
    plan_work(c, s, &w);
    if (!is_wide_enough(&w, s))
      return err_set(e, ST_INTERNAL,
                     "cuda %s: a map with a margin of %d,%d; a kernel of %lldx%lld, pad %lld, "
                     "reads further",
                     what, s->lies[0].edge, s->lies[0].side, (long long)g.kh, (long long)g.kw,
                     (long long)g.pad);
    if ((uint64_t)g.n * w.job.map.image_chunks >= 1ull << 31 ||
        (uint64_t)g.n * w.job.grad.image_chunks >= 1ull << 31 ||
        w.rows_bytes / CHUNK >= 1ull << 31 || w.g.n * w.g.h * w.g.w >= INT64_C(1) << 31)
      return err_set(e, ST_INVALID,
                     "cuda %s: batch of %lld maps [%lld,%lld,%lld] is too large for one launch; "
                     "use a smaller batch",
                     what, (long long)g.n, (long long)g.ci, (long long)g.h, (long long)g.w);
    w.job.store.chain = chain;
    run_work(c, s, &w);
  }
  return cuda_check(what, s, e);
}

/* Any map may, also one that is modulated or wanted in another type: packing reads either layout.
 * What runs in the store must be of the result's shape. */
bool cuda_conv_last(const CudaCtx *c, const DevStep *s, int slot, MapLayout *margin) {
  const ConvGeom g = conv_geom(&s->node);
  if (slot < 0) return g.kind != CONV_DW;
  if (slot >= MAX_IN) return g.kind != CONV_DW && shape_eq(s->shape[slot], s->node.shape);
  if (slot > 0 || conv_thin_fits(&g)) return slot == 0 || (slot == 1 && g.kind == CONV_DW);
  Work w = {};
  w.g = g;
  w.type = type_of(c, s, g.kind);
  DevStep last = *s;
  last.lies[0].last = 1;
  describe_map(&w, &last);
  return !w.map_lies || margin_of(&w.map, margin);
}

/* ---- weights packed once for several products ---- */

/* Where the classes of one launch hold all there is: a stride above 2 packs group by group. */
bool cuda_conv_prepare(const CudaCtx *c, const DevStep *conv, Node *prep) {
  const ConvGeom g = conv_geom(&conv->node);
  Work w;
  if (g.kind == CONV_DW || conv_thin_fits(&g) || !conv_pack_fits(&g) ||
      c->rung[cuda_kind(conv)] == RUNG_NAIVE)
    return false;
  plan_work(c, conv, &w);
  if (w.ngroup > 1 || w.rows_bytes == 0) return false;
  memset(prep, 0, sizeof *prep);
  prep->op = OP_conv_prep;
  prep->nin = 1;
  prep->attr = conv->node.attr;
  prep->attr.conv.tile = (int32_t)w.type;
  prep->shape.rank = 1;
  prep->shape.dim[0] = (int64_t)(w.rows_bytes / sizeof(float));
  return true;
}

static void prep_of(const DevStep *s, PackWeights *p) {
  Work w;
  memset(&w, 0, sizeof w);
  w.g = conv_geom(&s->node);
  w.type = (ConvType)s->node.attr.conv.tile;
  describe_map(&w, s);
  make_job(&w, 0);
  weights_of(&w, (const float *)s->arg[0], s->out, p);
  if (s->node.attr.conv.gain != 0) p->gain = s->node.attr.conv.gain;
  p->swapped = s->node.attr.conv.swapped != 0;
  p->rows = s->nargs > 1 ? (const float *)s->arg[1] : NULL;
}

int cuda_conv_prep_count(const DevStep *s, int n) {
  int k = 0;
  while (k < PRLX_MIN(n, PACK_JOBS) && !s[k].prog && s[k].node.op == OP_conv_prep &&
         chunk_len((ConvType)s[k].node.attr.conv.tile) ==
             chunk_len((ConvType)s[0].node.attr.conv.tile))
    k++;
  return k;
}

Status cuda_conv_preps(const CudaCtx *c, const DevStep *s, int n, Error *e) {
  PackWeights p[PACK_JOBS];
  for (int k = 0; k < n; k++) prep_of(&s[k], &p[k]);
  conv_pack_weights(c, p, n);
  return cuda_check("conv_prep", s, e);
}

static Status conv_prep_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  return cuda_conv_preps(c, s, 1, e);
}

static Status conv2d_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  return conv_run("conv2d", c, s, e);
}

static Status conv2d_dx_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  return conv_run("conv2d_dx", c, s, e);
}

static Status conv2d_dw_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  return conv_run("conv2d_dw", c, s, e);
}

static bool maps_any(const DevStep *s, int slot, DType t) {
  return t == DT_F32 || slot < 1 || slot >= MAX_IN;
}

static bool both_any(const DevStep *s, int slot, DType t) {
  return t == DT_F32 || slot == 0 || slot == 1;
}

CUDA_ROW(conv2d, conv2d_launch, conv_scratch, maps_any);
CUDA_ROW(conv2d_dx, conv2d_dx_launch, conv_scratch, maps_any);
CUDA_ROW(conv2d_dw, conv2d_dw_launch, conv_scratch, both_any);
CUDA_ROW(conv_prep, conv_prep_launch, NULL, NULL);
