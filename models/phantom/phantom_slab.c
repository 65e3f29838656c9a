/* phantom_slab.c: a slab of head with several lesions: 3 x 3 anatomies blended where they overlap,
 * one dipole field and one inversion for all. */
#include "models/phantom/phantom_impl.h"

enum { TILES = 3, STEP = 80, OVERLAP = BOX_NX - STEP };
_Static_assert(SLAB_NX == TILES * STEP + OVERLAP && (int)SLAB_NY == SLAB_NX, "tiles fill the slab");
_Static_assert((int)SLAB_NZ == BOX_NZ && (int)BOX_NX == BOX_NY, "tiles fill the slab");
_Static_assert(SLAB_MAX_LESIONS == TILES * TILES, "one lesion per tile");

typedef struct Slab {
  Box box;
  Qsm q;
  float *chi;
  float *wm;
  float *gm;
  float *csf;
  float *vein;
  float *flair;
  float *head;
  float *buf[QSM_BUFFERS];
  float *mag;
  void *all;
} Slab;

static Status slab_new(Slab *s, Error *e) {
  *s = (Slab){.box = box_of(SLAB_NX, SLAB_NY, SLAB_NZ)};
  s->q.box = s->box;
  TRY(fft3_new(SLAB_NX, SLAB_NY, SLAB_NZ, &s->q.fft, e));
  /* n, k: multiples of 16 */
  const size_t n = s->box.n, k = fft3_count(s->q.fft),
               floats = (8 + QSM_BUFFERS) * n + 4 * k + fft3_scratch(s->q.fft);
  float *p = s->all = mem_alloc(floats * sizeof(float));
  if (!p)
    return err_set(e, ST_NOMEM, "out of memory for a slab (%zu MB)", floats * sizeof(float) >> 20);
  float **volume[] = {&s->chi, &s->wm, &s->gm, &s->csf, &s->vein, &s->flair, &s->head, &s->mag};
  for (int i = 0; i < COUNT_OF(volume); i++, p += n) *volume[i] = p;
  for (int i = 0; i < QSM_BUFFERS; i++, p += n) s->buf[i] = p;
  float **spectrum[] = {&s->q.re, &s->q.im, &s->q.copy_re, &s->q.copy_im};
  for (int i = 0; i < 4; i++, p += k) *spectrum[i] = p;
  s->q.scratch = p;
  return ST_OK;
}

static void slab_end(Slab *s) {
  fft3_free(s->q.fft);
  mem_free(s->all);
}

/* Partition of unity: smooth step over the overlap with the neighbour, 1 at the outer sides. */
static float tile_weight(int i, int tile) {
  float a = tile > 0 ? clampf(((float)i + .5f) / OVERLAP, 0, 1) : 1,
        b = tile < TILES - 1 ? clampf((BOX_NX - .5f - (float)i) / OVERLAP, 0, 1) : 1;
  a = a * a * (3 - 2 * a);
  b = b * b * (3 - 2 * b);
  return a * b;
}

/* Adds the painted tile to the slab; the lesion's voxels get `label` where the tile dominates. */
static void blend_tile(Slab *s, const PhantomWork *w, const float *flair, int tx, int ty, int label,
                       PhantomSlab *out) {
  for (int k = 0; k < BOX_NZ; k++)
    for (int j = 0; j < BOX_NY; j++) {
      size_t from = ((size_t)k * BOX_NY + (size_t)j) * BOX_NX,
             to = ((size_t)k * SLAB_NY + (size_t)(ty * STEP + j)) * SLAB_NX + (size_t)(tx * STEP);
      const float wy = tile_weight(j, ty);
      for (int i = 0; i < BOX_NX; i++, from++, to++) {
        const float t = wy * tile_weight(i, tx);
        s->chi[to] += t * w->tissue.chi[from];
        s->wm[to] += t * w->tissue.wm[from];
        s->gm[to] += t * w->tissue.gm[from];
        s->csf[to] += t * w->tissue.csf[from];
        s->vein[to] += t * w->tissue.vein[from];
        s->flair[to] += t * flair[from];
        out->rim[to] += t * w->rim[from];
        if (label && t > .5f && w->les[from] > .5f) out->labels[to] = (float)label;
      }
    }
}

/* Head outline, a rounded square of 99 mm, soft; outside there is air: no susceptibility, no
 * signal. */
static void cut_head(Slab *s) {
  size_t i = 0;
  for (int k = 0; k < SLAB_NZ; k++)
    for (int j = 0; j < SLAB_NY; j++)
      for (int x = 0; x < SLAB_NX; x++, i++) {
        const float u = box_x(&s->box, x) / 49.5f, v = box_y(&s->box, j) / 49.5f,
                    r = sqrtf(sqrtf(u * u * u * u + v * v * v * v));
        const float m = s->head[i] = soft((r - 1) * 49.5f, .3f);
        s->chi[i] *= m;
        s->wm[i] *= m;
        s->csf[i] *= m;
        s->gm[i] *= m;
        s->vein[i] *= m;
        s->flair[i] *= m;
      }
}

static void find_centres(PhantomSlab *out) {
  double count[SLAB_MAX_LESIONS] = {0};
  size_t i = 0;
  for (int k = 0; k < SLAB_NZ; k++)
    for (int j = 0; j < SLAB_NY; j++)
      for (int x = 0; x < SLAB_NX; x++, i++)
        if (out->labels[i] > 0) {
          const int l = (int)out->labels[i] - 1;
          out->centre[l][0] += x;
          out->centre[l][1] += j;
          out->centre[l][2] += k;
          count[l]++;
        }
  for (int l = 0; l < out->n; l++)
    for (int a = 0; a < 3; a++) out->centre[l][a] /= PRLX_MAX(count[l], 1);
}

/* Which tile carries which lesion: label[tile], 0 for none. */
static void deal_lesions(Rng *r, int lesions, int label[TILES * TILES]) {
  int order[TILES * TILES];
  for (int i = 0; i < TILES * TILES; i++) order[i] = i;
  for (int i = TILES * TILES - 1; i > 0; i--) {
    const int j = (int)rng_below(r, i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (int i = 0; i < TILES * TILES; i++) label[order[i]] = i < lesions ? i + 1 : 0;
}

static void paint_tiles(PhantomWork *w, Slab *s, const PhantomOptions *o, Rng *r, const int *want,
                        PhantomSlab *out) {
  int label[TILES * TILES];
  deal_lesions(r, out->n, label);
  for (int t = 0; t < TILES * TILES; t++) {
    PhantomLesion none = {0}, *l = label[t] ? &out->lesion[label[t] - 1] : &none;
    phantom_read(o, r, label[t] ? want[label[t] - 1] : PHANTOM_ANY, &l->conspicuity, &l->reader1,
                 &l->reader2);
    l->truth_rim = l->conspicuity > o->tau;
    phantom_anatomy(w, r, l->kind);
    if (label[t]) {
      const double centre[3] = {draw_u(r, -3, 3), draw_u(r, -3, 3), draw_u(r, -13, 13)};
      phantom_paint_lesion(w, r, l->conspicuity, 0, centre, l);
    } else
      phantom_no_lesion(w);
    phantom_flair_ideal(w, r, w->tmp[2]);
    blend_tile(s, w, w->tmp[2], t % TILES, t / TILES, label[t], out);
  }
}

Status phantom_slab(PhantomWork *w, const PhantomOptions *o, uint64_t seed, uint64_t index,
                    int lesions, const int *want, PhantomSlab *out, Error *e) {
  Slab s;
  *out = (PhantomSlab){.n = lesions};
  if (lesions < 0 || lesions > SLAB_MAX_LESIONS)
    return err_set(e, ST_INVALID, "a slab with %d lesions; expected 0 to %d", lesions,
                   SLAB_MAX_LESIONS);
  Status st = slab_new(&s, e);
  if (st != ST_OK) goto done;
  const size_t n = s.box.n;
  out->chi = mem_alloc(4 * n * sizeof(float));
  if (!out->chi) {
    st = err_set(e, ST_NOMEM, "out of memory for a slab");
    goto done;
  }
  out->flair = out->chi + n;
  out->rim = out->flair + n;
  out->labels = out->rim + n;
  Rng r = {.seed = seed, .subsequence = index};
  paint_tiles(w, &s, o, &r, want, out);
  find_centres(out);
  cut_head(&s);
  qsm_blur(&s.q, s.flair, .42, .42, .42, out->flair);
  draw_normals(&r, s.buf[0], n);
  draw_normals(&r, s.buf[1], n);
  /* Rician noise of sigma 3, nothing outside the head */
  for (size_t i = 0; i < n; i++) {
    const float a = out->flair[i] + 3 * s.buf[0][i], b = 3 * s.buf[1][i];
    out->flair[i] = s.head[i] > .5f ? sqrtf(a * a + b * b) : 0;
  }
  draw_normals(&r, s.flair, n);
  const double drawn = draw_u(&r, .05, .11), lambda = o->lambda > 0 ? o->lambda : drawn;
  const QsmInput in = {s.chi, s.wm, s.gm, s.csf, s.vein, NULL, s.flair};
  qsm_acquire(&s.q, &in, o, lambda, s.buf, s.mag, out->chi, NULL);
  for (size_t i = 0; i < n; i++)
    if (s.head[i] <= .5f) out->chi[i] = out->rim[i] = out->labels[i] = 0;
  for (int l = 0; l < out->n; l++) out->lesion[l].lambda = lambda;
done:
  slab_end(&s);
  return st;
}

void phantom_slab_free(PhantomSlab *s) {
  mem_free(s->chi);
  *s = (PhantomSlab){0};
}
