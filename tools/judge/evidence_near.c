/* evidence_near.c: nearest training images of denoised or synthetic images, by pixel and by LPIPS
 * features, beside how near training images are to each other. See evidence.h. Training features
 * pass by in blocks (500,000 values per 64 x 64 image), so memory holds those of the queries only.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/rng.h"
#include "core/threads.h"
#include "models/math/ondevice.h"
#include "models/store/netfile.h"
#include "tools/cli/tool.h"
#include "tools/judge/evidence.h"

enum { TRAIN_BLOCK = 24, QUERY_BLOCK = 320, PIECE = 2048, PIXEL_BLOCK = 4096, DEVICE_BATCH = 8 };

void near_free(EvNear *near) {
  mem_free(near->px);
  mem_free(near->lp);
  reference_free(&near->ref_px);
  reference_free(&near->ref_lp);
  *near = (EvNear){0};
}

/* Queries: the images judged, then training images as reference. skip: training lesion that does
 * not count (the query's own), -1: none. */
typedef struct Query {
  const float *img;
  int64_t skip;
  Nearest px;
  Nearest lp;
} Query;
typedef struct Search {
  Evidence *ev;
  const Dataset *train;
  int64_t per;
  int64_t hw;
  Query *q;
  int64_t nq;
  int64_t *kept;
  int64_t nkept;       /* training images looked at by LPIPS */
  Shape tap[VGG_TAPS]; /* features of one image */
  /* of QUERY_BLOCK queries, of TRAIN_BLOCK training images */
  real *feat[VGG_TAPS];
  real *block[VGG_TAPS];
  int64_t q0;
  int64_t t0;
  int nblock; /* what lies in them */
  LpipsRun run;
  DevicePoints there[VGG_TAPS]; /* feat, on the device; there.on NULL: not used */
  Progress bar;
  int64_t seen;
} Search;

static int64_t train_lesion(const Dataset *t, int64_t i) { return t->src ? t->src->lesion[i] : i; }

/* The lesion itself, where it is among the training data: its neighbour would be itself. */
static int64_t own_lesion(const Evidence *ev, const EvLesion *r) {
  const DatasetLesions *s = ev->train.src;
  for (int64_t l = 0; s && ev->d.src && l < s->n; l++)
    if (!strcmp(s->name[l], r->name) && !strcmp(s->scan[l], r->scan) &&
        !strcmp(s->subject[s->subject_of[l]], r->subject))
      return l;
  for (int64_t i = 0; !s && !ev->d.src && ev->train.names && i < ev->train.n; i++)
    if (!strcmp(ev->train.names[i], r->name)) return i;
  return -1;
}

/* One slice of each of --typical training lesions, drawn without replacement. */
static Status choose_reference(Search *f, int64_t first, Error *e) {
  const Dataset *t = f->train;
  int64_t *order = mem_alloc((size_t)t->n * sizeof *order);
  bool *seen = mem_alloc((size_t)(t->src ? t->src->n : t->n) * sizeof *seen);
  if (order && seen) {
    Rng r = {.seed = 1, .subsequence = 0x6e656172};
    for (int64_t i = 0; i < t->n; i++) {
      const int64_t k = rng_below(&r, i + 1);
      order[i] = order[k];
      order[k] = i;
    }
    for (int64_t i = 0; i < t->n && f->nq - first < f->ev->a.typical; i++) {
      const int64_t l = train_lesion(t, order[i]);
      if (seen[l]) continue;
      seen[l] = true;
      f->q[f->nq++] = (Query){t->images + order[i] * f->per, l, NEAREST_NONE, NEAREST_NONE};
    }
  }
  const Status s = order && seen ? ST_OK
                                 : err_set(e, ST_NOMEM, "out of memory for %lld training images",
                                           (long long)t->n);
  mem_free(order);
  mem_free(seen);
  return s;
}

/* ---- by pixel ---- */
static void pixel_query(void *ctx, int64_t i, int worker) {
  const Search *f = ctx;
  Query *q = &f->q[i];
  for (int64_t k = 0; k < f->train->n; k++) {
    const int64_t l = train_lesion(f->train, k);
    if (l != q->skip)
      nearest_add(
          &q->px, k, l,
          sqrt(square_distance(q->img, f->train->images + k * f->per, f->hw) / (double)f->hw));
  }
}

/* First channels of n images, one behind the other. */
static float *first_channels(const Search *f, int64_t n,
                             const float *(*image)(const Search *, int64_t), int64_t from) {
  float *x = mem_alloc((size_t)(n * f->hw) * sizeof *x);
  for (int64_t i = 0; x && i < n; i++)
    memcpy(x + i * f->hw, image(f, from + i), (size_t)f->hw * sizeof *x);
  return x;
}

static const float *query_image(const Search *f, int64_t i) { return f->q[i].img; }
static const float *train_image(const Search *f, int64_t i) {
  return f->train->images + i * f->per;
}

/* Training images from `first` on, against all queries on the device. */
static Status pixel_block(const Search *f, const DevicePoints *queries, int64_t first, int64_t n,
                          Error *e) {
  float *x = first_channels(f, n, train_image, first);
  double *d = mem_alloc((size_t)(f->nq * n) * sizeof *d);
  DevicePoints block = {0};
  Status s = x && d ? device_points(&block, queries->on, n, f->hw, x, NULL, e)
                    : err_set(e, ST_NOMEM, "out of memory for %lld images", (long long)n);
  if (s != ST_OK) goto done;
  s = device_distances(queries, &block, d, e);
  for (int64_t i = 0; i < f->nq && s == ST_OK; i++)
    for (int64_t k = 0; k < n; k++) {
      const int64_t l = train_lesion(f->train, first + k);
      if (l != f->q[i].skip)
        nearest_add(&f->q[i].px, first + k, l, sqrt(d[i * n + k] / (double)f->hw));
    }
done:
  device_points_free(&block);
  mem_free(x);
  mem_free(d);
  return s;
}

static Status by_pixel(Search *f, Error *e) {
  Backend *on = f->ev->on;
  if (!device_has_dense(on)) {
    par_for(f->nq, pixel_query, f);
    return ST_OK;
  }
  DevicePoints queries = {0};
  float *x = first_channels(f, f->nq, query_image, 0);
  Status s = x ? device_points(&queries, on, f->nq, f->hw, x, NULL, e)
               : err_set(e, ST_NOMEM, "out of memory for %lld images", (long long)f->nq);
  for (int64_t i = 0; i < f->train->n && s == ST_OK; i += PIXEL_BLOCK) {
    s = pixel_block(f, &queries, i, PRLX_MIN((int64_t)PIXEL_BLOCK, f->train->n - i), e);
    if (s == ST_OK && tool_interrupted) s = err_set(e, ST_INTERRUPTED, "stopped; nothing written");
  }
  device_points_free(&queries);
  mem_free(x);
  return s;
}

/* ---- by features ---- */
static Status features_of(Search *f, const float *const *img, int n, real *const feat[VGG_TAPS],
                          Error *e) {
  real *x = mem_alloc((size_t)(n * f->per) * sizeof *x);
  if (!x) return err_set(e, ST_NOMEM, "out of memory for %d images", n);
  for (int i = 0; i < n; i++)
    for (int64_t k = 0; k < f->per; k++) x[i * f->per + k] = (real)img[i][k];
  const Status s = lpips_run(&f->run, n, x, feat, e);
  mem_free(x);
  return s;
}

/* Query i against the training images of the block. Pieces small enough that the block's share
 * stays in the cache. */
static void feature_query(void *ctx, int64_t i, int worker) {
  const Search *f = ctx;
  Query *q = &f->q[f->q0 + i];
  double d[TRAIN_BLOCK] = {0};
  for (int k = 0; k < VGG_TAPS; k++) {
    const int64_t m = shape_numel(f->tap[k]);
    const real *a = f->feat[k] + i * m;
    for (int64_t p = 0; p < m; p += PIECE)
      for (int b = 0; b < f->nblock; b++)
        d[b] += square_distance(a + p, f->block[k] + b * m + p, PRLX_MIN((int64_t)PIECE, m - p));
  }
  for (int b = 0; b < f->nblock; b++) {
    const int64_t at = f->kept[f->t0 + b], l = train_lesion(f->train, at);
    if (l != q->skip) nearest_add(&q->lp, at, l, d[b]);
  }
}

/* The features of the queries of a pass go to the device once, those of training images by. */
static Status features_there(const Search *f, real *const feat[VGG_TAPS], int64_t n,
                             DevicePoints out[VGG_TAPS], Error *e) {
  for (int k = 0; k < VGG_TAPS; k++) {
    device_points_free(&out[k]);
    TRY(device_points(&out[k], f->ev->on, n, shape_numel(f->tap[k]), feat[k], NULL, e));
  }
  return ST_OK;
}

/* All queries of the pass against the training images of the block. d, one: [nq,nblock] */
static Status block_there(Search *f, int64_t nq, DevicePoints block[VGG_TAPS], double *d,
                          double *one, Error *e) {
  TRY(features_there(f, f->block, f->nblock, block, e));
  for (int k = 0; k < VGG_TAPS; k++) {
    TRY(device_distances(&f->there[k], &block[k], one, e));
    for (int64_t i = 0; i < nq * f->nblock; i++) d[i] = one[i] + (k ? d[i] : 0);
  }
  for (int64_t i = 0; i < nq * f->nblock; i++) {
    Query *q = &f->q[f->q0 + i / f->nblock];
    const int64_t at = f->kept[f->t0 + i % f->nblock], l = train_lesion(f->train, at);
    if (l != q->skip) nearest_add(&q->lp, at, l, d[i]);
  }
  return ST_OK;
}

static Status block_on_device(Search *f, int64_t nq, Error *e) {
  DevicePoints block[VGG_TAPS] = {{0}};
  double *d = mem_alloc(2 * (size_t)(nq * f->nblock) * sizeof *d);
  const Status s = d ? block_there(f, nq, block, d, d + nq * f->nblock, e)
                     : err_set(e, ST_NOMEM, "out of memory for %lld images", (long long)nq);
  for (int k = 0; k < VGG_TAPS; k++) device_points_free(&block[k]);
  mem_free(d);
  return s;
}

static Status feature_pass(Search *f, int64_t q0, int64_t nq, Error *e) {
  const float *img[QUERY_BLOCK];
  const bool on = device_has_dense(f->ev->on);
  for (int64_t i = 0; i < nq; i++) img[i] = f->q[q0 + i].img;
  TRY(features_of(f, img, (int)nq, f->feat, e));
  if (on) TRY(features_there(f, f->feat, nq, f->there, e));
  f->q0 = q0;
  for (f->t0 = 0; f->t0 < f->nkept; f->t0 += TRAIN_BLOCK) {
    f->nblock = (int)PRLX_MIN((int64_t)TRAIN_BLOCK, f->nkept - f->t0);
    for (int b = 0; b < f->nblock; b++) img[b] = f->train->images + f->kept[f->t0 + b] * f->per;
    TRY(features_of(f, img, f->nblock, f->block, e));
    if (on)
      TRY(block_on_device(f, nq, e));
    else
      par_for(nq, feature_query, f);
    f->seen += f->nblock;
    progress_update(&f->bar, (double)f->seen, NULL);
    if (tool_interrupted) return err_set(e, ST_INTERRUPTED, "stopped; nothing written");
  }
  return ST_OK;
}

/* All training images, or `limit` of them, evenly spaced. */
static Status choose_candidates(Search *f, Error *e) {
  const int64_t n = f->train->n,
                limit = f->ev->a.limit > 0 && f->ev->a.limit < n ? f->ev->a.limit : n;
  f->kept = mem_alloc((size_t)limit * sizeof *f->kept);
  if (!f->kept) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < limit; i++) f->kept[f->nkept++] = i * n / limit;
  return ST_OK;
}

/* Room for the features of a block of queries and of one of training images. */
static Status features_alloc(Search *f, int64_t room, Error *e) {
  /* larger images are averaged down before VGG sees them */
  const int64_t side = PRLX_MIN(f->train->h, 256);
  for (int k = 0; k < VGG_TAPS; k++) {
    f->tap[k] = lpips_feature_shape(1, side, f->train->w * side / f->train->h, k);
    f->feat[k] = mem_alloc((size_t)(room * shape_numel(f->tap[k])) * sizeof(real));
    f->block[k] = mem_alloc((size_t)(TRAIN_BLOCK * shape_numel(f->tap[k])) * sizeof(real));
    if (!f->feat[k] || !f->block[k])
      return err_set(e, ST_NOMEM,
                     "out of memory for the features of %lld images; use --no-perceptual",
                     (long long)room);
  }
  return ST_OK;
}

static Status by_features(Search *f, Error *e) {
  Vgg v = {0};
  Evidence *ev = f->ev;
  const int64_t passes = (f->nq + QUERY_BLOCK - 1) / QUERY_BLOCK;
  TRY(vgg_load(&v, ev->a.vgg, ev->a.data, e));
  Status s = choose_candidates(f, e);
  if (s != ST_OK) goto done;
  snprintf(ev->near_by, sizeof ev->near_by, "%.95s", v.name);
  s = features_alloc(f, PRLX_MIN(f->nq, (int64_t)QUERY_BLOCK), e);
  if (s != ST_OK) goto done;
  const Dataset *t = f->train;
  s = lpips_run_new(&f->run, ev->on, &v, SHAPE4(ev->on ? DEVICE_BATCH : 1, t->channels, t->h, t->w),
                    VGG_CHANNELS_AUTO, e);
  if (s != ST_OK) goto done;
  progress_start(&f->bar, "evidence", "image", (double)(passes * f->nkept));
  for (int64_t q = 0; q < f->nq; q += QUERY_BLOCK) {
    s = feature_pass(f, q, PRLX_MIN((int64_t)QUERY_BLOCK, f->nq - q), e);
    if (s != ST_OK) break;
  }
  progress_end(&f->bar);
done:
  for (int k = 0; k < VGG_TAPS; k++) {
    mem_free(f->feat[k]);
    mem_free(f->block[k]);
    device_points_free(&f->there[k]);
  }
  lpips_run_free(&f->run);
  mem_free(f->kept);
  vgg_free(&v);
  return s;
}

/* ---- results ---- */
static Status reference_from(NearReference *r, const Query *q, int64_t n, bool lp, Error *e) {
  Nearest *x = mem_alloc((size_t)PRLX_MAX(n, 1) * sizeof *x);
  if (!x) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < n; i++) x[i] = lp ? q[i].lp : q[i].px;
  const Status s = reference_new(r, n, x, e);
  mem_free(x);
  return s;
}

/* RMS of the difference in ppb, each image through its own window. */
static double rms_ppb(const Evidence *ev, int64_t i, int64_t t) {
  double a[2], b[2], sum = 0;
  const int64_t hw = (int64_t)ev->d.h * ev->d.w, per = hw * ev->d.channels;
  if (!image_ppb(&ev->d, i, a) || !image_ppb(&ev->train, t, b)) return NAN;
  for (int64_t k = 0; k < hw; k++) {
    const double x = window_unmap(a[0], a[1], (double)ev->d.images[i * per + k]) -
                     window_unmap(b[0], b[1], (double)ev->train.images[t * per + k]);
    sum += x * x;
  }
  return sqrt(sum / (double)hw);
}

static Status refuse_one_lesion(const Dataset *t, Error *e) {
  return err_set(e, ST_INVALID,
                 "%s: images of one lesion only; expected at least two training lesions to compare "
                 "with",
                 t->path);
}

/* Before the networks run. */
static Status look_for_two(const Dataset *t, Error *e) {
  for (int64_t i = 1; i < t->n; i++)
    if (train_lesion(t, i) != train_lesion(t, 0)) return ST_OK;
  return refuse_one_lesion(t, e);
}

static Status keep_references(Search *f, int64_t first, Error *e) {
  EvNear *near = &f->ev->near;
  Status s = reference_from(&near->ref_px, f->q + first, f->nq - first, false, e);
  if (s != ST_OK) goto failed;
  if (!near->lp) return ST_OK;
  s = reference_from(&near->ref_lp, f->q + first, f->nq - first, true, e);
  if (s == ST_OK) return ST_OK;
failed:
  return s == ST_INVALID ? refuse_one_lesion(f->train, e) : s;
}

static Status keep_nearest(Search *f, int64_t first, Error *e) {
  Evidence *ev = f->ev;
  EvNear *near = &ev->near;
  near->reference = (int)(f->nq - first);
  near->px = mem_alloc((size_t)ev->n * sizeof *near->px);
  near->lp = ev->a.perceptual ? mem_alloc((size_t)ev->n * sizeof *near->lp) : NULL;
  if (!near->px || (ev->a.perceptual && !near->lp)) return err_set(e, ST_NOMEM, "out of memory");
  TRY(keep_references(f, first, e));
  for (int64_t i = 0; i < ev->n; i++) {
    const Query *q = &f->q[i];
    near->own += q->skip >= 0;
    near->px[i] = q->px;
    if (q->px.id >= 0) {
      ev->v[i][EV_PX] = q->px.distance;
      ev->v[i][EV_PX_PPB] = rms_ppb(ev, i, q->px.id);
      ev->v[i][EV_PX_RATIO] = q->px.distance / near->ref_px.median;
      ev->v[i][EV_PX_GAP] = nearest_gap(&q->px);
    }
    if (!near->lp) continue;
    near->lp[i] = q->lp;
    if (q->lp.id < 0) continue;
    ev->v[i][EV_LP] = q->lp.distance;
    ev->v[i][EV_LP_RATIO] = q->lp.distance / near->ref_lp.median;
    ev->v[i][EV_LP_GAP] = nearest_gap(&q->lp);
  }
  return ST_OK;
}

Status evidence_near_look(Evidence *ev, Error *e) {
  Vgg v;
  TRY(dataset_open(&ev->train, ev->a.train, e));
  const Dataset *d = &ev->d, *t = &ev->train;
  if (t->h != d->h || t->w != d->w || t->channels != d->channels)
    return err_set(e, ST_INVALID,
                   "%s: images of %d x %d, %d channels; %s has %d x %d, %d channels; give the data "
                   "the network was trained on",
                   t->path, t->w, t->h, t->channels, d->path, d->w, d->h, d->channels);
  TRY(look_for_two(t, e));
  if (!ev->a.perceptual) return ST_OK;
  TRY(vgg_load(&v, ev->a.vgg, ev->a.data, e));
  vgg_free(&v);
  return ST_OK;
}

Status evidence_near(Evidence *ev, Error *e) {
  const Dataset *d = &ev->d, *t = &ev->train;
  Search f = {
      .ev = ev, .train = t, .hw = (int64_t)d->h * d->w, .per = (int64_t)d->channels * d->h * d->w};
  f.q = mem_alloc((size_t)(ev->n + ev->a.typical) * sizeof *f.q);
  if (!f.q) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < ev->n; i++)
    f.q[f.nq++] = (Query){d->images + i * f.per, own_lesion(ev, &ev->row[ev->lesion[i]]),
                          NEAREST_NONE, NEAREST_NONE};
  Status s = choose_reference(&f, ev->n, e);
  if (s != ST_OK) goto done;
  s = by_pixel(&f, e);
  if (s != ST_OK) goto done;
  if (ev->a.perceptual) {
    s = by_features(&f, e);
    if (s != ST_OK) goto done;
  }
  s = keep_nearest(&f, ev->n, e);
done:
  mem_free(f.q);
  return s;
}
