/* project.c: `prlx project`: latent projection denoising of lesions given as PNG files, a data set,
 * or a cohort (lesions.tsv).
 *
 *   targets + network -> prlx_project (prlx.h) -> PNG, NIfTI, lesions.tsv, denoised.safetensors,
 *   w.safetensors, targets.safetensors (the same lesions before), sheet.png, table.tsv
 *
 * All lesions use the same random stream, as if each were run on its own with the same seed: a
 * result depends on target, network and seed only. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/png.h"
#include "io/formats/text.h"
#include "models/api/api.h"
#include "tools/cli/device.h"
#include "tools/cli/tool.h"
#include "tools/gan/image_volumes.h"
#include "tools/gan/project_cohort.h"
#include "tools/view/canvas.h"
#include "tools/view/sheet.h"

typedef struct Args {
  const char *network;
  const char *out;
  const char *vgg;
  const char *data;
  const char *exclude;
  IntList range;
  int steps;
  int batch;
  int w_samples;
  int label;
  int vgg_channels;
  int frames;
  int slices;
  int units;
  int64_t seed;
  int64_t memory;
  double lr;
  double w_noise;
  double noise_weight;
  bool profile;
  bool ambiguous;
  bool nifti;
} Args;

typedef struct Job {
  Args a;
  prlx_network *net;
  prlx_vgg *vgg;
  Dataset in;
  Backend *backend;
  prlx_projection *r;    /* NULL: nothing was finished */
  CohortTargets *cohort; /* NULL: targets are files */
  int volumes;           /* lesions or NIfTI files written */
  /* images, side, channels, values per lesion */
  int64_t n;
  int64_t res;
  int64_t channels;
  int64_t per;
  int64_t done; /* lesions finished (or stopped) */
  char (*name)[64];
  double *mse;
  double *dw;
  double *seconds;
  float *frame;
  int nframes; /* [batch][nframes][res*res], channel 0 */
  int frames;  /* kept of this batch */
  /* when this batch began, when its last step ended */
  double t0;
  double t1;
  Progress bar;
  /* of a file that could not be written in a callback */
  Status failed;
  Error why;
} Job;

static const GenConfig *job_config(const Job *j) { return &j->net->net.G.cfg; }

static void job_free(Job *j) {
  prlx_projection_free(j->r);
  dataset_free(&j->in);
  targets_free(j->cohort);
  prlx_vgg_free(j->vgg);
  prlx_network_free(j->net);
  mem_free(j->name);
  mem_free(j->mse);
  mem_free(j->frame);
}

/* ---- input ---- */

/* File name of a lesion: its name without folder signs and .png; a repeated name gets a number. */
static void set_name(Job *j, int64_t k, const char *given) {
  char base[60], *d = j->name[k];
  if (given && *given)
    snprintf(base, sizeof base, "%.59s", given);
  else
    snprintf(base, sizeof base, "lesion%04lld", (long long)k);
  if (str_ends_with(base, ".png")) base[strlen(base) - 4] = 0;
  for (char *c = base; *c; c++)
    if (*c == '/' || *c == '\\' || (unsigned char)*c < 32 || *c == '.') *c = '_';
  snprintf(d, sizeof j->name[k], "%s", base);
  for (int again = 2, clash = 1; clash; again++) {
    clash = 0;
    for (int64_t i = 0; i < k; i++) clash |= !strcmp(j->name[i], d);
    if (clash) snprintf(d, sizeof j->name[k], "%s_%d", base, again);
  }
}

/* Keeps the images named by --range, in the given order. */
static Status choose_range(Dataset *d, const IntList *r, Error *e) {
  for (int i = 0; i < r->n; i++)
    if (r->v[i] >= d->n)
      return err_set(e, ST_INVALID,
                     "%s: --range asks for image %lld; the file has %lld, counted from 0", d->path,
                     (long long)r->v[i], (long long)d->n);
  return dataset_select(d, r->v, r->n, e);
}

static Status load_targets(Job *j, int n, char **path, Error *e) {
  const GenConfig *c = job_config(j);
  int sets = 0, tables = 0;
  for (int k = 0; k < n; k++) {
    sets += str_ends_with(path[k], ".safetensors");
    tables += str_ends_with(path[k], ".tsv");
  }
  if (tables && n > 1) return err_set(e, ST_INVALID, "%s: give one lesions.tsv at a time", path[0]);
  if (tables) {
    TargetRule r = {j->a.ambiguous, (SliceRule)j->a.slices, (ChiUnits)j->a.units, j->a.exclude,
                    &j->a.range};
    return targets_load(&j->cohort, path[0], &r, &j->net->net, &j->in, e);
  }
  if (j->a.ambiguous)
    return err_set(e, ST_INVALID, "%s: --ambiguous needs a lesions.tsv with the readers' labels",
                   path[0]);
  if (sets && n > 1)
    return err_set(e, ST_INVALID, "%s: give either PNG files or one data set", path[0]);
  if (!sets && c->img_channels != 1)
    return err_set(e, ST_INVALID,
                   "%s: a PNG has one channel, the network %s has %d; pack the lesions into a data "
                   "set with these channels",
                   path[0], j->a.network, c->img_channels);
  TRY(sets ? dataset_open(&j->in, path[0], e)
           : dataset_from_pngs(&j->in, n, (const char *const *)path, c->img_resolution, e));
  if (j->in.h != c->img_resolution || j->in.w != c->img_resolution ||
      j->in.channels != c->img_channels)
    return err_set(e, ST_INVALID,
                   "%s: images of %d x %d, %d channel%s; the network %s makes %d x %d, %d "
                   "channel%s; pack the data to that size",
                   path[0], j->in.w, j->in.h, j->in.channels, j->in.channels == 1 ? "" : "s",
                   j->a.network, c->img_resolution, c->img_resolution, c->img_channels,
                   c->img_channels == 1 ? "" : "s");
  return j->a.range.n ? choose_range(&j->in, &j->a.range, e) : ST_OK;
}

/* The same number must mean the same ppb on both sides. Known differences are worth a line, not a
 * refusal. Of a PNG ("display") nothing is known. */
static void warn_windows(const Job *j) {
  const Network *net = &j->net->net;
  for (int k = 0; k < net->nmeta; k++) {
    const char *key = net->meta[k].key, *mine = net->meta[k].value,
               *theirs = dataset_meta(&j->in, key);
    if (strncmp(key, "window", 6) || !theirs || !strcmp(mine, theirs) || !strcmp(theirs, "display"))
      continue;
    fprintf(stderr,
            "prlx project: note: %s of the targets is \"%s\", of the network's training data "
            "\"%s\"; values may not be comparable\n",
            key, theirs, mine);
  }
}

static Status project_allocate(Job *j, Error *e) {
  const GenConfig *c = job_config(j);
  j->n = j->in.n;
  j->res = c->img_resolution;
  j->channels = c->img_channels;
  j->per = j->channels * j->res * j->res;
  size_t n = (size_t)j->n;
  j->name = mem_alloc(n * sizeof *j->name);
  j->mse = mem_alloc(3 * n * sizeof *j->mse);
  j->nframes = j->a.frames ? (j->a.steps + j->a.frames - 1) / j->a.frames + 1 : 0;
  j->frame = mem_alloc((size_t)j->a.batch * (size_t)j->nframes * (size_t)(j->res * j->res) *
                       sizeof *j->frame);
  if (!j->name || !j->mse || !j->frame)
    return err_set(e, ST_NOMEM,
                   "out of memory for the results of %lld lesions; choose fewer with --range, or a "
                   "smaller --batch",
                   (long long)j->n);
  j->dw = j->mse + n;
  j->seconds = j->dw + n;
  for (int64_t k = 0; k < j->n; k++) set_name(j, k, j->in.names ? j->in.names[k] : NULL);
  return ST_OK;
}

/* ---- pictures ---- */

static Status write_png(const char *dir, const char *name, const char *tail, int w, int h,
                        const float *img, Error *e) {
  char path[PATH_LEN];
  prlx_error pe;
  TRY(path_format(path, e, "%s/%s%s.png", dir, name, tail));
  return api_status(prlx_png_write(path, w, h, img, &pe), &pe, e);
}

enum { STRIP_COLUMNS = 20 };
/* All kept steps of lesion i of the batch as one picture, 20 to a row. */
static Status write_strip(const Job *j, int i, int count, const char *name, Error *e) {
  int r = (int)j->res, cols = PRLX_MIN(count, STRIP_COLUMNS), rows = (count + cols - 1) / cols;
  float *big = mem_alloc((size_t)(cols * r) * (size_t)(rows * r) * sizeof *big);
  if (!big) return err_set(e, ST_NOMEM, "%s: out of memory for the picture of all steps", name);
  for (int k = 0; k < cols * r * rows * r; k++) big[k] = -1;
  for (int f = 0; f < count; f++)
    for (int y = 0; y < r; y++)
      memcpy(big + ((f / cols) * r + y) * cols * r + (f % cols) * r,
             j->frame + (((int64_t)i * j->nframes + f) * r + y) * r, (size_t)r * sizeof(float));
  Status s = write_png(j->a.out, name, "_steps", cols * r, rows * r, big, e);
  mem_free(big);
  return s;
}

enum { SHEET_ROWS = 60, GAP = 6, HEAD = 22, CAPTION = 12, FOOT = 50 };
/* Target, denoised, difference of lesion k, side by side for every channel. */
static Status draw_lesion(const Job *j, Canvas *c, int64_t k, int x, int y, int zoom, float limit,
                          Error *e) {
  const int r = (int)j->res, step = r * zoom + GAP;
  float *diff = mem_alloc((size_t)(r * r) * sizeof *diff);
  if (!diff) return err_set(e, ST_NOMEM, "sheet.png: out of memory");
  for (int ch = 0; ch < j->channels; ch++, x += 3 * step) {
    const float *t = j->in.images + k * j->per + ch * r * r,
                *d = prlx_projection_image(j->r, k) + ch * r * r;
    for (int i = 0; i < r * r; i++) diff[i] = d[i] - t[i];
    canvas_image(c, x, y, zoom, false, t, r, r, -1, 1);
    canvas_image(c, x + step, y, zoom, false, d, r, r, -1, 1);
    canvas_image_diverging(c, x + 2 * step, y, zoom, diff, r, r, limit);
  }
  mem_free(diff);
  return ST_OK;
}

/* sheet.png: one row per image, in as many column groups as needed: target, denoised, difference.
 */
static Status write_sheet(const Job *j, Error *e) {
  int zoom = j->res >= 128  ? 1
             : j->res >= 48 ? 2
                            : 4,
      cell = (int)j->res * zoom, n = (int)PRLX_MIN(j->done, SHEET_ROWS);
  int groups = n > 30 ? 4 : n > 12 ? 3 : n > 4 ? 2 : 1;
  if (j->channels > 1) groups = n > 12 ? 2 : 1;
  int rows = (n + groups - 1) / groups, gw = 3 * (int)j->channels * (cell + GAP) + 2 * GAP;
  Canvas c;
  char path[PATH_LEN];
  TRY(path_join(path, j->a.out, "sheet.png", e));
  TRY(canvas_new(&c, groups * gw + GAP, HEAD + rows * (cell + CAPTION + GAP) + FOOT, 24, e));
  Status s = ST_OK;
  double worst = 0.25;
  const float *img = prlx_projection_image(j->r, 0);
  for (int64_t k = 0; k < j->done * j->per; k++)
    worst = PRLX_MAX(worst, fabs((double)img[k] - (double)j->in.images[k]));
  float limit = (float)PRLX_MIN(worst, 1.0);
  for (int g = 0; g < groups; g++) {
    static const char *const head[3] = {"target", "denoised", "difference"};
    for (int k = 0; k < 3 * j->channels; k++)
      canvas_text(&c, GAP + g * gw + k * (cell + GAP), 7, 1, 0xb0b0b0, head[k % 3]);
  }
  for (int k = 0; k < n; k++) {
    int x = GAP + (k / rows) * gw, y = HEAD + (k % rows) * (cell + CAPTION + GAP);
    s = draw_lesion(j, &c, k, x, y, zoom, limit, e);
    if (s != ST_OK) goto done;
    char text[160];
    snprintf(text, sizeof text, "%.24s  LPIPS %.4f  MSE %.5f", j->name[k],
             prlx_projection_lpips(j->r, k), j->mse[k]);
    canvas_text(&c, x, y + cell + 3, 1, 0xe0e0e0, text);
  }
  Sheet meaning = {0};
  sheet_describe(&meaning, j->in.meta, j->in.nmeta, (int)j->channels);
  sheet_bar(&c, &meaning, zoom, GAP, c.h - 44);
  canvas_text(&c, GAP, c.h - 33, 1, 0xe0e0e0, meaning.foot);
  char foot[200];
  snprintf(foot, sizeof foot, "LPIPS with %s", prlx_vgg_name(j->vgg));
  canvas_text(&c, GAP, c.h - 22, 1, 0x909090, foot);
  snprintf(foot, sizeof foot, "difference = denoised - target, blue -%.2f to red %.2f",
           (double)limit, (double)limit);
  canvas_text(&c, GAP, c.h - 11, 1, 0x909090, foot);
  s = canvas_write(&c, path, e);
done:
  canvas_free(&c);
  return s;
}

/* ---- output files ---- */

static Status write_dataset(Job *j, Error *e) {
  char path[PATH_LEN], text[64];
  int64_t *labels = NULL;
  /* labels, names and meaning of the targets, other pixels; only the labels are its own */
  Dataset d = j->in;
  d.n = j->done;
  d.names = j->name;
  TRY(path_join(path, j->a.out, "targets.safetensors", e));
  TRY(dataset_save(&d, path, false, e));
  TRY(path_join(path, j->a.out, "denoised.safetensors", e));
  TRY(dataset_set_meta(&j->in, "denoised.network", j->a.network, e));
  TRY(dataset_set_meta(&j->in, "denoised.perceptual", prlx_vgg_name(j->vgg), e));
  snprintf(text, sizeof text, "%d", j->a.steps);
  TRY(dataset_set_meta(&j->in, "denoised.steps", text, e));
  snprintf(text, sizeof text, "%lld", (long long)j->a.seed);
  TRY(dataset_set_meta(&j->in, "denoised.seed", text, e));
  d.images = (float *)prlx_projection_image(j->r, 0); /* read only */
  d.meta = j->in.meta;
  d.nmeta = j->in.nmeta;
  if (j->cohort) {
    labels = mem_alloc((size_t)d.n * sizeof *labels);
    if (!labels) return err_set(e, ST_NOMEM, "%s: out of memory", path);
    /* what it is denoised for; the table says so too */
    for (int64_t k = 0; k < d.n; k++)
      labels[k] = d.labels[k] == CLASS_AMBIGUOUS ? CLASS_RIM : d.labels[k];
    d.labels = labels;
  }
  const Status s = dataset_save(&d, path, false, e);
  mem_free(labels);
  return s;
}

static Status add_w(const Job *j, StWriter *w, Error *e) {
  const int wd = prlx_network_w_dim(j->net);
  TRY(st_add_meta(w, "format", "prlx-latents-1", e));
  TRY(st_add_meta(w, "network", j->a.network, e));
  TRY(st_add_meta(w, "perceptual", prlx_vgg_name(j->vgg), e));
  TRY(st_add_metaf(w, e, "steps", "%d", j->a.steps));
  TRY(st_add_metaf(w, e, "seed", "%lld", (long long)j->a.seed));
  TRY(st_add_metaf(w, e, "w_std", "%.9g", prlx_projection_w_std(j->r)));
  TRY(st_add(w, "lpips", DT_F64, SHAPE1(j->done), api_lpips(j->r), e));
  TRY(st_add(w, "w", DT_F32, SHAPE2(j->done, wd), prlx_projection_w(j->r, 0), e));
  TRY(st_add(w, "w_avg", DT_F32, SHAPE1(wd), prlx_projection_w_avg(j->r), e));
  return st_add(w, "names", DT_U8, SHAPE2(j->done, 64), j->name, e);
}

static Status write_w(const Job *j, Error *e) {
  char path[PATH_LEN];
  StWriter *w = NULL;
  TRY(path_join(path, j->a.out, "w.safetensors", e));
  TRY(st_writer_new(&w, e));
  const Status s = add_w(j, w, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

static Status write_table(const Job *j, Error *e) {
  char path[PATH_LEN];
  TextFile t;
  TRY(path_join(path, j->a.out, "table.tsv", e));
  TRY(text_begin(&t, path, e));
  fprintf(t.f, "lesion\tlpips\tmse\tw_distance\tsteps\tseconds\tperceptual\n");
  for (int64_t k = 0; k < j->done; k++)
    fprintf(t.f, "%s\t%.6f\t%.6g\t%.4f\t%d\t%.2f\t%s\n", j->name[k], prlx_projection_lpips(j->r, k),
            j->mse[k], j->dw[k], prlx_projection_steps(j->r, k), j->seconds[k],
            prlx_vgg_name(j->vgg));
  return text_commit(&t, path, e);
}

/* Volumes in ppm, and for a cohort its lesions.tsv. Of images without a susceptibility scale (PNG)
 * there is nothing to write. */
static Status write_nifti(Job *j, Error *e) {
  const DenoiseInfo info = {j->net->net.path, prlx_vgg_name(j->vgg), api_lpips(j->r), j->a.steps};
  const float *img = prlx_projection_image(j->r, 0);
  if (!j->a.nifti) return ST_OK;
  if (j->cohort)
    return targets_write(j->cohort, &j->in, img, j->done, j->a.out, &info, &j->volumes, e);
  Dataset d = j->in;
  d.names = j->name;
  const Status s = images_to_nifti(&d, img, j->done, j->a.out, "denoised", &j->volumes, e);
  if (s != ST_INVALID) return s;
  if (!tool_quiet) fprintf(stderr, "prlx project: note: no NIfTI: %s\n", e->msg);
  *e = (Error){0};
  return ST_OK;
}

static Status write_all(Job *j, Error *e) {
  if (!j->done) return ST_OK;
  TRY(write_dataset(j, e));
  TRY(write_nifti(j, e));
  TRY(write_w(j, e));
  TRY(write_table(j, e));
  return write_sheet(j, e);
}

/* ---- the run ---- */

static void plan_message(const Job *j, const prlx_project_progress *p) {
  if (tool_quiet) return;
  fprintf(stderr, "%lld lesion%s of %lld x %lld, batch %d, %d steps; LPIPS: %s\n", (long long)j->n,
          j->n == 1 ? "" : "s", (long long)j->res, (long long)j->res, p->count, j->a.steps,
          prlx_vgg_name(j->vgg));
  fprintf(
      stderr,
      "memory: %s (activations %s, prepared weights %s) + networks %s; %.1f GFLOP per step\n",
      human_bytes((double)p->bytes), human_bytes((double)p->activation_bytes),
      human_bytes((double)p->weight_bytes),
      human_bytes((double)(j->net->net.G.params.ntotal + j->vgg->vgg.params.ntotal) * sizeof(real)),
      1e-9 * p->flop);
}

static void keep_frames(Job *j, const prlx_project_progress *p) {
  for (int i = 0; i < p->count && j->nframes; i++)
    memcpy(j->frame + ((int64_t)i * j->nframes + j->frames) * j->res * j->res,
           p->images + i * j->per, (size_t)(j->res * j->res) * sizeof(float));
  j->frames += j->nframes > 0;
}

/* Numbers and files of the lesions first .. first + count - 1, which are done. */
static Status finish_batch(Job *j, const prlx_project_progress *p, Error *e) {
  const int wd = prlx_network_w_dim(j->net);
  const float *mean = prlx_projection_w_avg(p->result);
  const double seconds = (j->t1 - j->t0) / p->count;
  for (int i = 0; i < p->count; i++) {
    const int64_t k = p->first + i;
    const float *img = p->images + i * j->per, *w = prlx_projection_w(p->result, k);
    for (int64_t q = 0; q < j->per; q++)
      j->mse[k] += pow((double)img[q] - (double)j->in.images[k * j->per + q], 2) / (double)j->per;
    for (int q = 0; q < wd; q++) j->dw[k] += pow((double)w[q] - (double)mean[q], 2);
    j->dw[k] = sqrt(j->dw[k]);
    j->seconds[k] = seconds;
    TRY(write_png(j->a.out, j->name[k], "", (int)j->res, (int)j->res, img, e));
    if (j->frames) TRY(write_strip(j, i, j->frames, j->name[k], e));
  }
  j->done = p->first + p->count;
  return ST_OK;
}

/* Called by prlx_project after each step. */
static bool show_progress(void *ctx, const prlx_project_progress *p) {
  Job *j = ctx;
  double mean = 0;
  if (!p->step) { /* says what it needs before the first step */
    if (!p->first) {
      plan_message(j, p);
      progress_start(&j->bar, "project", "step", (double)j->n * j->a.steps);
    }
    j->frames = 0;
    j->t0 = time_now();
    return !tool_interrupted;
  }
  if (p->images) keep_frames(j, p);
  if (p->finished) {
    j->failed = finish_batch(j, p, &j->why);
    return j->failed == ST_OK && !tool_interrupted;
  }
  j->t1 = time_now();
  for (int i = 0; i < p->count; i++) mean += p->lpips[i] / p->count;
  progress_update(&j->bar, (double)p->first * j->a.steps + p->step * (double)p->count,
                  "lesion %lld of %lld, LPIPS %.4f", (long long)p->first + 1, (long long)j->n,
                  mean);
  if (j->a.profile && p->step == p->steps) progress_clear(&j->bar);
  return !tool_interrupted;
}

static Status run_all(Job *j, Error *e) {
  const Args *a = &j->a;
  prlx_project_options o;
  prlx_error pe;
  prlx_project_defaults(&o, sizeof o);
  o.steps = a->steps;
  o.learning_rate = a->lr;
  o.w_noise = a->w_noise;
  o.noise_weight = a->noise_weight;
  o.w_samples = a->w_samples;
  o.seed = (uint64_t)a->seed;
  o.label = a->label;
  o.vgg = (prlx_vgg_channels)a->vgg_channels;
  o.batch = a->batch;
  o.max_bytes = (size_t)a->memory;
  o.frames = a->frames;
  o.profile = a->profile ? stderr : NULL;
  o.device = api_device(j->backend);
  o.progress = show_progress;
  o.context = j;
  const prlx_status s = prlx_project(j->net, j->vgg, j->n, j->in.images, &o, &j->r, &pe);
  if (j->bar.label) progress_end(&j->bar);
  if (j->failed != ST_OK) return err_set(e, j->failed, "%s", j->why.msg);
  return s == PRLX_INTERRUPTED ? ST_OK : api_status(s, &pe, e);
}

static void print_results(const Job *j) {
  printf("%-24s %9s %10s %10s %8s\n", "lesion", "LPIPS", "MSE", "|w-w_avg|", "seconds");
  int64_t show = PRLX_MIN(j->done, 20);
  for (int64_t k = 0; k < show; k++)
    printf("%-24.24s %9.4f %10.6f %10.3f %8.1f\n", j->name[k], prlx_projection_lpips(j->r, k),
           j->mse[k], j->dw[k], j->seconds[k]);
  if (j->done > show)
    printf("... and %lld more in %s/table.tsv\n", (long long)(j->done - show), j->a.out);
  printf("LPIPS with %s. Results in %s: PNG, denoised.safetensors (float), w.safetensors, "
         "sheet.png, table.tsv\n",
         prlx_vgg_name(j->vgg), j->a.out);
  if (j->cohort && j->volumes)
    printf("%d denoised lesion%s (NIfTI, ppm) in %s/lesions.tsv; next: prlx pack "
           "COHORT/lesions.tsv %s/lesions.tsv -o more.safetensors\n",
           j->volumes, j->volumes == 1 ? "" : "s", j->a.out, j->a.out);
  else if (j->volumes)
    printf("%d NIfTI volume%s (ppm)\n", j->volumes, j->volumes == 1 ? "" : "s");
}

static Status project_prepare(Job *j, const OptSpec *spec, Error *e) {
  Args *a = &j->a;
  prlx_error pe;
  TRY(tool_backend(PREC_TF32, &j->backend, e));
  TRY(api_status(prlx_network_load(a->network, &j->net, &pe), &pe, e));
  TRY(load_targets(j, spec->nargs, spec->args, e));
  TRY(api_status(prlx_vgg_load(a->vgg, a->data, &j->vgg, &pe), &pe, e));
  TRY(dir_make(a->out, e));
  warn_windows(j);
  /* a GPU wants many at once */
  if (!a->batch) a->batch = (int)PRLX_MIN(j->in.n, j->backend ? 128 : 4);
  TRY(api_label(&j->net->net, a->label, e));
  return project_allocate(j, e);
}

static Status project_run(Job *j, const OptSpec *spec, Error *e) {
  TRY(project_prepare(j, spec, e));
  return run_all(j, e);
}

int tool_project(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return EXIT_FAILED;
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("network", &a->network, NULL, "FILE",
              "trained network: .safetensors or the folder of a run (required)"),
      OPT_RANGE("range", &a->range, NULL, 0, 1e9,
                "which images of the data set, or lesions of the table, counted from 0, such as "
                "0-9,12\n(default: all)"),
      OPT_FLAG("ambiguous", &a->ambiguous, "no",
               "of a lesions.tsv: only lesions that exactly one reader calls rim"),
      OPT_CHOICE(
          "slices", &a->slices, "central", "lesion|all|central",
          "of a lesions.tsv: the slice with most of the lesion, those with lesion mask, or all"),
      OPT_STR("exclude", &a->exclude, NULL, "FILE",
              "of a lesions.tsv: leave out the subjects of this data set (the test set)"),
      OPT_CHOICE("units", &a->units, "ppm", "ppm|ppb",
                 "of the Chimap files of a lesions.tsv (BIDS: ppm)"),
      OPT_INT("class", &a->label, "-1", -1, 65535,
              "class of a conditional network; sets the mean of W that the projection starts from"),
      OPT_STR("vgg", &a->vgg, NULL, "FILE",
              "VGG16 weights (default: the bundled VGG16-Caffe with mean heads)"),
      OPT_CHOICE("vgg-channels", &a->vgg_channels, "auto", "auto|first|mean",
                 "what VGG sees of several channels. auto: 3 as they are, else the first"),
      OPT_STR("data", &a->data, NULL, "DIR", "folder of the bundled files"),
      OPT_GROUP("Projection (Eq. 1)"),
      OPT_INT("steps", &a->steps, "1000", 1, 1000000, "Adam steps per lesion"),
      OPT_INT("batch", &a->batch, "0", 0, 4096,
              "lesions at a time; 0: up to 4, on a GPU 128. The results do not\ndepend on it"),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "seed of the noise; the same for every lesion"),
      OPT_REAL("lr", &a->lr, "0.1", 1e-9, 1e3, "learning rate of Adam before its ramps"),
      OPT_REAL("w-noise", &a->w_noise, "0.05", 0, 100,
               "noise added to w at the start, in standard deviations of W"),
      OPT_REAL("noise-weight", &a->noise_weight, "1e5", 0, 1e12,
               "weight of the noise autocorrelation term"),
      OPT_INT("w-samples", &a->w_samples, "10000", 1, 10000000,
              "samples for the mean and deviation of W"),
      OPT_SIZE("memory", &a->memory, NULL, "refuse to start when the plan needs more, e.g. 2G"),
      OPT_FLAG("profile", &a->profile, "no", "print the time of every operation of the last step"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, "out/project", "DIR", "folder of the results"),
      OPT_FLAG("nifti", &a->nifti, "yes",
               "volumes in ppm, where the susceptibility scale is known"),
      OPT_INT("frames", &a->frames, "0", 0, 1000000,
              "keep the image of every k-th step: NAME_steps.png (costs one step each)"),
  };
  OptSpec spec = {
      .cmd = "project",
      .summary = "Denoises lesions by projecting them into the latent space of a network.",
      .details = "TARGET: grey PNG files of the network's size, one data set (.safetensors), or "
                 "one lesions.tsv.\n"
                 "  prlx project cohort/lesions.tsv --ambiguous --network run -o denoised\n"
                 "  prlx project --network run/network.safetensors lesion.png\n"
                 "  prlx project --network run/network.safetensors --range 0-7 --steps 300 "
                 "ambiguous.safetensors\n"
                 "Writes one PNG per lesion (first channel, 8 bits), denoised.safetensors (float, "
                 "all channels), targets.safetensors\n"
                 "(the same before), w.safetensors, sheet.png and table.tsv. Images are rendered "
                 "with the network's own noise. Ctrl-C stops and saves.\n"
                 "From a lesions.tsv also the volumes with the denoised slices in place, the other "
                 "slices as they were, and a lesions.tsv whose masks cover the\n"
                 "denoised slices only: packed again by lesion mask it gives these slices, "
                 "labelled rim, with provenance denoised.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "TARGET...",
      .pos_min = 1,
      .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) {
    mem_free(j);
    return rc;
  }
  Error e = {0};
  if (!a->network)
    rc = tool_usage("project", "no network; give --network FILE");
  else {
    const Status s = project_run(j, &spec, &e);
    Error e2 = {0};
    /* what is done is saved even when a later lesion failed */
    Status saved = write_all(j, &e2);
    if (j->done && saved == ST_OK) print_results(j);
    rc = s != ST_OK       ? tool_fail("project", &e)
         : saved != ST_OK ? tool_fail("project", &e2)
                          : EXIT_DONE;
    if (rc == EXIT_DONE && tool_interrupted) {
      fprintf(stderr,
              "prlx project: stopped: %lld of %lld lesions saved (table.tsv says after how many "
              "steps)\n",
              (long long)j->done, (long long)j->n);
      rc = EXIT_FAILED;
    }
  }
  opts_free(&spec);
  job_free(j);
  mem_free(j);
  return rc;
}
