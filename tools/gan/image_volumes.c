/* image_volumes.c: see image_volumes.h */
#include "tools/gan/image_volumes.h"
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "io/images/bids.h"
#include "io/images/lesion.h"
#include "tools/cli/tool.h"
#include "tools/view/sheet.h"

/* ---- descriptions ---- */
/* What the commands write beside volumes, sidecars and descriptions. */
#define BIDS_ONLY                                                                             \
  "/*.png\n/*.safetensors\n/*.tsv\n/*.html\n/*.svg\n/*.txt\n/*.jsonl\n/*.csv\n/*.json.part\n" \
  "/evidence\n/nifti\n/frames\n/trace*\n"

Status denoised_describe(const char *dir, unsigned kinds, Error *e) {
  const BidsDataset d = {
      .name = "Lesions denoised by latent projection (prlx project)",
      .tool = "prlx project",
      .version = PRLX_VERSION,
      .how = "slices replaced by their projection into the latent space of a network",
      .readme = "Made by a network: prlx project replaced slices of lesions by the nearest image "
                "that its network can make.\n\nlesions.tsv, where it is there, says which lesion "
                "each comes from (source_lesion) and which slices were replaced. The other slices\n"
                "are as they were. label-lesion_mask covers the replaced slices only. A denoised "
                "image is a proposal of a network, not a measurement.\n",
      .ignore = BIDS_ONLY,
      .kinds = kinds,
      .chi_more = "",
      .skull_stripped = true};
  return bids_describe(dir, &d, false, e);
}

static Status synthetic_describe(const char *dir, const char *kind, unsigned kinds, Error *e) {
  char name[100], readme[600];
  snprintf(name, sizeof name, "Images of a network (prlx, %s)", kind);
  snprintf(readme, sizeof readme,
           "Made by a network: no volume here is a measurement, no subject a patient.\n\n"
           "Each sub- is one %s image, a single slice centred at 0 mm; Chimap in ppm. lesions.tsv "
           "has provenance %s in every row, so that prlx pack\nputs them into training only.\n",
           kind, kind);
  const BidsDataset d = {.name = name,
                         .tool = "prlx",
                         .version = PRLX_VERSION,
                         .how = "slices made by a network",
                         .readme = readme,
                         .ignore = "lesions.tsv\n",
                         .kinds = kinds,
                         .chi_more = "",
                         .skull_stripped = true,
                         .simulated = true};
  return bids_describe(dir, &d, false, e);
}

/* ---- volumes ---- */
/* Volume of images i .. i+count-1 (one lesion), channel c; grid and limits of each. */
static Status write_block(const Dataset *d, const ImageMeaning *m, const float *images, int64_t i,
                          int count, int c, const Grid *whole, const char *dir, const char *name,
                          const char *kind, Error *e) {
  const int64_t hw = (int64_t)d->h * d->w;
  const DatasetLesions *s = d->src;
  int64_t z0 = 0, z1 = 0;
  if (s) {
    z0 = INT64_MAX;
    for (int k = 0; k < count; k++) {
      z0 = PRLX_MIN(z0, s->slice[i + k]);
      z1 = PRLX_MAX(z1, s->slice[i + k]);
    }
  }
  Grid g = *whole;
  const double first[3] = {0, 0, (double)z0};
  double mm[3];
  g.dim[2] = z1 - z0 + 1;
  grid_mm(whole, first, mm);
  for (int r = 0; r < 3; r++) g.affine[4 * r + 3] = mm[r];
  float *v = mem_alloc((size_t)(hw * g.dim[2]) * sizeof *v);
  if (!v) return err_set(e, ST_NOMEM, "out of memory");
  for (int k = 0; k < count; k++) {
    const double typical[2] = {m->window[c].lo, m->window[c].hi},
                 *lim = s ? s->window + ((i + k) * d->channels + c) * 2 : typical;
    image_to_volume(images + ((i + k) * d->channels + c) * hw, hw, m->ch[c], lim,
                    v + (s ? s->slice[i + k] - z0 : 0) * hw);
  }
  char desc[80];
  snprintf(desc, sizeof desc, "prlx: %s %s", kind,
           m->ch[c] == CH_CHI   ? "susceptibility, ppm"
           : m->ch[c] == CH_RIM ? "rim"
                                : "T2-FLAIR");
  const Status st = patch_write(dir, name, (PatchKind)m->ch[c], v, &g, desc,
                                m->ch[c] == CH_CHI ? "{\n  \"Units\": \"ppm\"\n}\n" : NULL, e);
  mem_free(v);
  return st;
}

static unsigned meaning_kinds(const ImageMeaning *m) {
  unsigned kinds = 0;
  for (int c = 0; c < m->n; c++) kinds |= 1u << m->ch[c];
  return kinds;
}

/* Files of one lesion or image; names: relative to dir, with their ending, by channel. */
static Status write_images(const Dataset *d, const ImageMeaning *m, const float *images, int64_t i,
                           int count, const Grid *g, const char *subject, const char *scan,
                           const char *lesion, const char *dir, const char *kind,
                           char path[CH_COUNT][PATCH_NAME + 8], Error *e) {
  for (int c = 0; c < d->channels; c++) {
    char name[PATCH_NAME];
    patch_name(subject, scan, lesion, (PatchKind)m->ch[c], name);
    TRY(write_block(d, m, images, i, count, c, g, dir, name, kind, e));
    snprintf(path[m->ch[c]], PATCH_NAME + 8, "%s.nii.gz", name);
  }
  return ST_OK;
}

/* Images cut from lesions: back to where they came from. */
static Status write_sources(const Dataset *d, const ImageMeaning *m, const float *images, int64_t n,
                            const char *dir, const char *kind, int *files, Error *e) {
  const DatasetLesions *s = d->src;
  for (int64_t i = 0, end; i < n; i = end, *files += d->channels) {
    const int64_t l = s->lesion[i];
    char id[80], path[CH_COUNT][PATCH_NAME + 8];
    Grid g;
    for (end = i + 1; end < n && s->lesion[end] == l;) end++;
    memcpy(g.dim, s->dim + 3 * l, sizeof g.dim);
    memcpy(g.affine, s->affine + 16 * l, sizeof g.affine);
    snprintf(id, sizeof id, "%.63s%.16s", s->name[l], kind);
    TRY(write_images(d, m, images, i, (int)(end - i), &g, s->subject[s->subject_of[l]], s->scan[l],
                     id, dir, kind, path, e));
  }
  return denoised_describe(dir, meaning_kinds(m), e);
}

static void image_row(TsvWriter *w, const char *subject, char path[CH_COUNT][PATCH_NAME + 8],
                      int64_t label, const char *kind) {
  tsv_cell(w, "%s", subject);
  tsv_cell(w, "01");
  tsv_cell(w, "%s", path[CH_CHI]);
  tsv_cell(w, "%s", path[CH_FLAIR]);
  tsv_cell(w, "%s", path[CH_RIM]);
  for (int k = 0; k < 2; k++) tsv_cell(w, label == 0 || label == 1 ? "%d" : "n/a", (int)label);
  tsv_cell(w, "%s", kind);
  tsv_row_end(w);
}

/* Images that belong to nobody: each the only lesion of a subject of its own. */
static Status write_made(const Dataset *d, const ImageMeaning *m, const float *images, int64_t n,
                         const Grid *g, const char *dir, const char *kind, int *files, Error *e) {
  static const char *const col[] = {"subject", "lesion",  "chi",     "flair",
                                    "rim",     "reader1", "reader2", "provenance"};
  TsvWriter w = {0};
  char folder[PATH_LEN], table[PATH_LEN];
  TRY(path_join(folder, dir, "nifti", e));
  TRY(path_join(table, folder, "lesions.tsv", e));
  Status s = ST_OK;
  for (int k = 0; k < COUNT_OF(col); k++) tsv_cell(&w, "%s", col[k]);
  tsv_row_end(&w);
  for (int64_t i = 0; i < n; i++, *files += d->channels) {
    char subject[80], path[CH_COUNT][PATCH_NAME + 8] = {{0}};
    snprintf(subject, sizeof subject, "sub-%.63s", d->names[i]);
    s = write_images(d, m, images, i, 1, g, subject, "", "01", folder, kind, path, e);
    if (s != ST_OK) goto done;
    image_row(&w, subject, path, d->labels ? d->labels[i] : -1, kind);
  }
  s = synthetic_describe(folder, kind, meaning_kinds(m), e);
  if (s == ST_OK) return tsv_commit(&w, table, e);
done:
  mem_free(w.buf);
  return s;
}

/* A lesion for each run of slices, or an image each. */
static int64_t fill_ids(const Dataset *d, int64_t n, PatchId *id) {
  const DatasetLesions *s = d->src;
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!s)
      id[k++] = (PatchId){d->names[i], "", "01"};
    else if (!i || s->lesion[i] != s->lesion[i - 1])
      id[k++] = (PatchId){s->subject[s->subject_of[s->lesion[i]]], s->scan[s->lesion[i]],
                          s->name[s->lesion[i]]};
  }
  return k;
}

Status images_names_check(const Dataset *d, int64_t n, Error *e) {
  ImageMeaning m;
  meaning_read(&m, d->meta, d->nmeta, d->channels);
  if (!m.n || (!m.known && !d->src)) return ST_OK;
  PatchId *id = mem_alloc((size_t)n * sizeof *id);
  Error inner = {0};
  if (!id) return err_set(e, ST_NOMEM, "%s: out of memory", d->path ? d->path : "images");
  const Status s = patch_names_check(id, fill_ids(d, n, id), &inner);
  mem_free(id);
  if (s == ST_OK) return ST_OK;
  return err_set(e, s, "%s: %.900s; --no-nifti writes no volumes", d->path ? d->path : "images",
                 inner.msg);
}

Status images_to_nifti(const Dataset *d, const float *images, int64_t n, const char *dir,
                       const char *kind, int *files, Error *e) {
  ImageMeaning m;
  *files = 0;
  meaning_read(&m, d->meta, d->nmeta, d->channels);
  if (!m.n || (!m.known && !d->src))
    return err_set(e, ST_INVALID,
                   "%s: the susceptibility scale of the images is unknown (no window in ppb); "
                   "train on a data set made by prlx pack from NIfTI",
                   d->path ? d->path : "images");
  if (d->src) return write_sources(d, &m, images, n, dir, kind, files, e);
  /* patches of the paper are 25.6 mm wide */
  if (m.voxel[0] == 0) {
    m.voxel[0] = m.voxel[1] = 25.6 / d->w;
    m.voxel[2] = 1;
  }
  Grid g = {{d->w, d->h, 1}, {0}};
  for (int r = 0; r < 3; r++) {
    g.affine[5 * r] = m.voxel[r];
    g.affine[4 * r + 3] = -m.voxel[r] * (double)(g.dim[r] - 1) / 2;
  }
  g.affine[15] = 1;
  return write_made(d, &m, images, n, &g, dir, kind, files, e);
}
