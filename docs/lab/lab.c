/* lab.c: what the page (docs/lab/page/worker.js) calls: networks, points of W, projections of one
 * lesion. It converts and keeps; everything is computed by models/ as in `prlx generate`, `prlx
 * walk` and `prlx project`, to the same bits as theirs in the portable instruction set
 * (test/wasm.sh compares).
 *
 * Functions return a Status; lab_error() has the line to show. One of each thing at a time: a
 * network, a target, a projection. Options and numbers travel as doubles in the order of
 * docs/lab/lab.h. */
#include "docs/lab/lab.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/isa.h"
#include "core/os.h"
#include "io/formats/png.h"
#include "io/images/finite.h"
#include "models/gan/latent.h"
#include "models/gan/project_focus.h"
#include "models/gan/project_run.h"
#include "models/gan/project_start.h"
#include "models/store/netfile.h"

static struct {
  Error e;
  char name[256];
  Network net;
  Vgg vgg;
  bool net_there;
  bool vgg_there;
  WStats stats;         /* where a projection starts */
  LatentDirections pca; /* what the sliders move along */
  LatentRender *render;
  real *ws;    /* [num_ws,w_dim] the point shown */
  real *image; /* [R,R] its image, or that of the projection */
  real *target;
  float *mask; /* [R,R] or NULL: nobody knows */
  float *region;
  bool target_there;
  bool mask_there;
  Projector *p;
  ProjectTask task;
  ProjectResults *result;
  real *start; /* [w_dim] */
  double numbers[LAB_NUMBERS];
} lab;

/* core/os_wasm.c */
unsigned char *os_wasm_file(const char *name, size_t n);
const unsigned char *os_wasm_bytes(const char *name, size_t *n);

/* ---- between page and program ---- */
LAB_EXPORT(lab_error) const char *lab_error(void) { return lab.e.msg; }
LAB_EXPORT(lab_text) char *lab_text(void) { return lab.name; }
LAB_EXPORT(lab_numbers) double *lab_numbers(void) { return lab.numbers; }
LAB_EXPORT(lab_image) real *lab_image(void) { return lab.image; }
LAB_EXPORT(lab_target) real *lab_target(void) { return lab.target; }
LAB_EXPORT(lab_mask) float *lab_mask(void) { return lab.mask_there ? lab.mask : NULL; }
LAB_EXPORT(lab_ws) real *lab_ws(void) { return lab.ws; }

/* Memory for the bytes of the file lab_text(). */
LAB_EXPORT(lab_file) void *lab_file(size_t n) { return os_wasm_file(lab.name, n); }

/* The file lab_text(), its length in numbers[0]. */
LAB_EXPORT(lab_bytes) const void *lab_bytes(void) {
  size_t n = 0;
  const void *p = os_wasm_bytes(lab.name, &n);
  lab.numbers[0] = (double)n;
  return p;
}

static int64_t lab_pixels(void) {
  const int64_t r = lab.net.G.cfg.img_resolution;
  return r * r;
}

/* ---- network and perceptual distance ---- */
static void lab_end(void) {
  projector_free(lab.p);
  project_results_free(lab.result);
  lab.p = NULL;
  lab.result = NULL;
}

static void lab_close(void) {
  lab_end();
  latent_render_free(lab.render);
  latent_directions_free(&lab.pca);
  mem_free(lab.stats.w_avg);
  mem_free(lab.ws);
  mem_free(lab.image);
  mem_free(lab.target);
  mem_free(lab.mask);
  mem_free(lab.region);
  mem_free(lab.start);
  network_free(&lab.net);
  lab.render = NULL;
  lab.stats.w_avg = NULL;
  lab.ws = lab.image = lab.target = lab.start = NULL;
  lab.mask = lab.region = NULL;
  lab.net_there = lab.target_there = lab.mask_there = false;
}

static Status open_network(const char *path, Error *e) {
  const GenConfig *c = &lab.net.G.cfg;
  TRY(network_load(&lab.net, path, e));
  lab.net_there = true;
  if (c->img_channels != 1 || c->c_dim)
    return err_set(e, ST_INVALID,
                   "%s: %d channels and %d classes; the page shows networks of one channel and no "
                   "classes: use prlx project",
                   path, c->img_channels, c->c_dim);
  const size_t n = (size_t)lab_pixels(), w = (size_t)c->w_dim;
  lab.ws = mem_alloc((size_t)lab.net.G.num_ws * w * sizeof *lab.ws);
  lab.image = mem_alloc(n * sizeof *lab.image);
  lab.target = mem_alloc(n * sizeof *lab.target);
  lab.mask = mem_alloc(n * sizeof *lab.mask);
  lab.region = mem_alloc(n * sizeof *lab.region);
  lab.start = mem_alloc(w * sizeof *lab.start);
  if (!lab.ws || !lab.image || !lab.target || !lab.mask || !lab.region || !lab.start)
    return err_set(e, ST_NOMEM, "%s: out of memory", path);
  TRY(latent_directions(&lab.net.G, NULL, 10000, 123, LAB_DIRECTIONS, &lab.pca, e));
  return latent_render_new(&lab.net.G, 1, NULL, &lab.render, e);
}

/* numbers: side, num_ws, w_dim, number of noise maps, parameters, share of the variance of W along
 * each direction. */
LAB_EXPORT(lab_network) int lab_network(void) {
  lab_close();
  const Status s = open_network(lab.name, &lab.e);
  if (s != ST_OK) {
    lab_close();
    return s;
  }
  const Generator *G = &lab.net.G;
  lab.numbers[0] = G->cfg.img_resolution;
  lab.numbers[1] = G->num_ws;
  lab.numbers[2] = G->cfg.w_dim;
  lab.numbers[3] = G->num_noise;
  for (int k = 0; k < LAB_DIRECTIONS; k++) lab.numbers[4 + k] = lab.pca.share[k];
  return ST_OK;
}

LAB_EXPORT(lab_vgg) int lab_vgg(void) {
  if (lab.vgg_there) vgg_free(&lab.vgg);
  const Status s = vgg_load(&lab.vgg, lab.name, ".", &lab.e);
  lab.vgg_there = s == ST_OK;
  return s;
}

static Status need_network(void) {
  return lab.net_there ? ST_OK : err_set(&lab.e, ST_INVALID, "no network is loaded");
}

/* ---- points of W ---- */
static void spread(const real *w) {
  for (int k = 0; k < lab.net.G.num_ws; k++)
    memcpy(lab.ws + (int64_t)k * lab.net.G.cfg.w_dim, w,
           (size_t)lab.net.G.cfg.w_dim * sizeof(real));
}

/* The sliders, in the order of `prlx walk`: the lesion of a seed; layers first .. last of another
 * seed's (mix < 0: none); towards the mean by psi; steps along the directions, in standard
 * deviations, numbers[0 ..]. */
LAB_EXPORT(lab_generate)
int lab_generate(double seed, double psi, double mix, int first, int last) {
  TRY(need_network());
  const int d = lab.net.G.cfg.w_dim, layers = lab.net.G.num_ws;
  const int64_t seeds[2] = {(int64_t)seed, (int64_t)(mix < 0 ? seed : mix)};
  real *w = mem_alloc(2 * (size_t)d * sizeof *w);
  if (!w) return err_set(&lab.e, ST_NOMEM, "out of memory");
  Status s = latent_of_seeds(&lab.net.G, NULL, 2, seeds, w, &lab.e);
  if (s == ST_OK) {
    spread(w);
    for (int k = PRLX_MAX(first, 0); mix >= 0 && k <= last && k < layers; k++)
      memcpy(lab.ws + (int64_t)k * d, w + d, (size_t)d * sizeof *w);
    for (int64_t i = 0; i < (int64_t)layers * d && psi != 1; i++) {
      const double m = (double)lab.pca.mean[i % d];
      lab.ws[i] = (real)(m + psi * ((double)lab.ws[i] - m));
    }
    for (int c = 0; c < LAB_DIRECTIONS; c++)
      for (int64_t i = 0; i < (int64_t)layers * d && lab.numbers[c] != 0; i++)
        lab.ws[i] = (real)((double)lab.ws[i] +
                           lab.numbers[c] * lab.pca.sd[c] * (double)lab.pca.dir[c * d + i % d]);
    s = latent_render(lab.render, 1, lab.ws, lab.image, &lab.e);
  }
  mem_free(w);
  return s;
}

/* One row of a file of latents, as `prlx walk` takes it. */
static Status read_latents(const StFile *f, Error *e) {
  const Generator *G = &lab.net.G;
  const StTensor *plus = st_find(f, "ws"), *t = plus ? plus : st_find(f, "w");
  char shape[96];
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: no tensor w or ws; expected the w.safetensors of this page or of `prlx "
                   "project`",
                   f->path);
  const int rank = t->shape.rank;
  const bool layers = rank == 3;
  if (rank < 2 || t->shape.dim[0] < 1 || t->shape.dim[rank - 1] != G->cfg.w_dim || rank > 3 ||
      (layers && t->shape.dim[1] != G->num_ws))
    return err_set(e, ST_INVALID,
                   "%s: %s is %s; this network has w of %d and %d layers: the file belongs to "
                   "another network",
                   f->path, t->name, shape_str(t->shape, shape), G->cfg.w_dim, G->num_ws);
  const int64_t per = (layers ? G->num_ws : 1) * (int64_t)G->cfg.w_dim;
  float *all = mem_alloc((size_t)shape_numel(t->shape) * sizeof *all);
  if (!all) return err_set(e, ST_NOMEM, "%s: out of memory", f->path);
  st_to_f32(t, all);
  Status s = ST_OK;
  for (int64_t i = 0; i < per && s == ST_OK; i++)
    if (!isfinite(all[i]))
      s = err_set(e, ST_NUMERIC, "%s: w is not finite (number %lld); project this lesion again",
                  f->path, (long long)i);
  if (s == ST_OK && layers) memcpy(lab.ws, all, (size_t)per * sizeof *all);
  if (s == ST_OK && !layers) spread(all);
  mem_free(all);
  return s;
}

/* The point in the file lab_text(), and its image. */
LAB_EXPORT(lab_latents) int lab_latents(void) {
  StFile f;
  TRY(need_network());
  TRY(st_open(&f, lab.name, &lab.e));
  const Status s = read_latents(&f, &lab.e);
  st_close(&f);
  return s != ST_OK ? s : (int)latent_render(lab.render, 1, lab.ws, lab.image, &lab.e);
}

/* A way from the point of a seed to the one in lab.ws: share t of it. */
LAB_EXPORT(lab_between) int lab_between(double seed, double t) {
  TRY(need_network());
  const int d = lab.net.G.cfg.w_dim, n = lab.net.G.num_ws * d;
  const int64_t one = (int64_t)seed;
  real *w = mem_alloc((size_t)(d + n) * sizeof *w);
  if (!w) return err_set(&lab.e, ST_NOMEM, "out of memory");
  Status s = latent_of_seeds(&lab.net.G, NULL, 1, &one, w, &lab.e);
  for (int i = 0; i < n && s == ST_OK; i++)
    w[d + i] = (real)((1 - t) * (double)w[i % d] + t * (double)lab.ws[i]);
  if (s == ST_OK) s = latent_render(lab.render, 1, w + d, lab.image, &lab.e);
  mem_free(w);
  return s;
}

/* ---- targets ---- */
static Status target_of(const Dataset *d, int64_t index, Error *e) {
  const GenConfig *c = &lab.net.G.cfg;
  const int64_t pixels = (int64_t)d->h * d->w;
  if (index >= d->n)
    return err_set(e, ST_INVALID, "%s: image %lld; the file has %lld, counted from 0", d->path,
                   (long long)index, (long long)d->n);
  if (d->h != c->img_resolution || d->w != c->img_resolution)
    return err_set(e, ST_INVALID,
                   "%s: images of %d x %d; the network makes %d x %d: cut or scale the lesion to "
                   "that size",
                   d->path, d->w, d->h, c->img_resolution, c->img_resolution);
  memcpy(lab.target, d->images + index * d->channels * pixels, (size_t)pixels * sizeof *lab.target);
  const char *channels = dataset_meta(d, "channels");
  lab.mask_there = d->channels > 1 && channels && !strncmp(channels, "chi,rim", 7);
  for (int64_t i = 0; i < pixels && lab.mask_there; i++)
    lab.mask[i] = d->images[(index * d->channels + 1) * pixels + i] > 0;
  lab.target_there = true;
  return ST_OK;
}

/* Image `index` of the file lab_text(): a grey PNG or a data set. A data set with the channels
 * chi,rim also says where the rim truly is. Refused, the target before stays. */
LAB_EXPORT(lab_load_target) int lab_load_target(double index) {
  const char *paths[1] = {lab.name};
  const size_t n = strlen(lab.name);
  Dataset d;
  TRY(need_network());
  TRY(n > 4 && !strcmp(lab.name + n - 4, ".png")
          ? dataset_from_pngs(&d, 1, paths, lab.net.G.cfg.img_resolution, &lab.e)
          : dataset_open(&d, lab.name, &lab.e));
  const Status s = target_of(&d, (int64_t)index, &lab.e);
  dataset_free(&d);
  return s;
}

/* The image shown becomes the target: its w is known, nothing is. */
LAB_EXPORT(lab_own_target) int lab_own_target(void) {
  TRY(need_network());
  memcpy(lab.target, lab.image, (size_t)lab_pixels() * sizeof *lab.target);
  lab.target_there = true;
  lab.mask_there = false;
  return ST_OK;
}

/* ---- projection ---- */
static Status task_region(const double *o, Error *e) {
  const int side = lab.net.G.cfg.img_resolution;
  lab.task.options.regions = o[LAB_FOCUS] != LAB_FOCUS_NONE || lab.mask_there;
  lab.task.options.focus = o[LAB_FOCUS] != LAB_FOCUS_NONE ? o[LAB_STRENGTH] : 0;
  lab.task.regions = lab.task.options.regions ? lab.region : NULL;
  if (o[LAB_FOCUS] == LAB_FOCUS_CENTRE) {
    const double radius = o[LAB_RADIUS] * side;
    focus_disc(side, radius, 0.4 * radius, lab.region);
    return ST_OK;
  }
  if (o[LAB_FOCUS] == LAB_FOCUS_MASK && !lab.mask_there)
    return err_set(e, ST_INVALID,
                   "focus on the rim: of this target nobody knows where the rim is; choose the "
                   "centre, or a phantom lesion");
  return lab.task.options.regions ? focus_mask(side, lab.mask, o[LAB_GROW], "target", lab.region, e)
                                  : ST_OK;
}

static void task_options(const double *o) {
  ProjectOptions *p = &lab.task.options;
  *p = o[LAB_SOLVER] == PROJECT_FAST ? project_defaults_fast() : project_defaults();
  p->space = (ProjectSpace)o[LAB_SPACE];
  p->num_steps = (int)o[LAB_STEPS];
  p->initial_lr = o[LAB_RATE];
  p->initial_noise_factor = o[LAB_JITTER];
  p->regularize_noise_weight = o[LAB_NOISE_WEIGHT];
  p->lr_rampup = o[LAB_RAMP_UP];
  p->lr_rampdown = o[LAB_RAMP_DOWN];
  p->noise_ramp = o[LAB_NOISE_RAMP];
  p->seed = (uint64_t)o[LAB_SEED];
  p->trace = true;
}

static Status task_start(const double *o, Error *e) {
  if (o[LAB_START] == START_MEAN) return ST_OK;
  lab.task.starts = lab.start;
  lab.task.nstarts = 1;
  return start_random(&lab.net.G, NULL, 1, lab.task.options.seed, 1, lab.start, e);
}

/* Begins: options in numbers. lab_step (reference) or lab_fast follow. */
LAB_EXPORT(lab_project) int lab_project(void) {
  const double *o = lab.numbers;
  Error *e = &lab.e;
  TRY(need_network());
  if (!lab.vgg_there) return err_set(e, ST_INVALID, "no feature network is loaded");
  if (!lab.target_there) return err_set(e, ST_INVALID, "no target; choose or drop a lesion first");
  lab_end();
  if (!lab.stats.w_avg) TRY(project_w_stats(&lab.net.G, NULL, 10000, 123, &lab.stats, e));
  lab.task = (ProjectTask){.G = &lab.net.G,
                           .vgg = &lab.vgg,
                           .ws = &lab.stats,
                           .batch = 1,
                           .n = 1,
                           .targets = lab.target,
                           .optimised = o[LAB_OPTIMISED] != 0,
                           .frames = (int)o[LAB_FRAMES]};
  task_options(o);
  TRY(task_region(o, e));
  TRY(project_options_check(&lab.task.options, e));
  TRY(task_start(o, e));
  if (lab.task.options.solver == PROJECT_FAST) return ST_OK;
  const uint64_t id = 0;
  TRY(projector_new(lab.task.G, lab.task.vgg, lab.task.ws, &lab.task.options, 1, &lab.p, e));
  TRY(projector_start(lab.p, lab.target, &id, e));
  if (lab.task.starts) TRY(projector_start_at(lab.p, lab.start, e));
  return lab.task.regions ? (int)projector_regions(lab.p, lab.region, e) : ST_OK;
}

/* A step's numbers in the order of docs/lab/lab.h. */
static void numbers_of(const ProjectTrace *t, double dist) {
  double *n = lab.numbers, reg = 0;
  n[LAB_N_STEP] = t->step;
  n[LAB_N_RATE] = t->lr;
  n[LAB_N_JITTER] = t->jitter;
  n[LAB_N_DIST] = dist;
  for (int k = 0; k < VGG_TAPS; k++) n[LAB_N_TAPS + k] = t->tap[k];
  n[LAB_N_INSIDE] = t->inside;
  n[LAB_N_OUTSIDE] = t->outside;
  for (int k = 0; k < lab.net.G.num_noise; k++) {
    n[LAB_N_MAPS + k] = t->reg[k];
    reg += t->reg[k];
  }
  n[LAB_N_REG] = reg;
  n[LAB_N_AWAY] = t->w_distance;
  n[LAB_N_GRAD_W] = t->grad_w;
  n[LAB_N_GRAD_NOISE] = t->grad_noise;
}

/* lab.ws of w, of one row or of all layers. */
static void keep_w(const real *w, int64_t n) {
  if (n == lab.net.G.cfg.w_dim)
    spread(w);
  else
    memcpy(lab.ws, w, (size_t)n * sizeof *w);
}

/* One step of the reference solver; numbers has its trace. ST_NUMERIC says where it broke. */
LAB_EXPORT(lab_step) int lab_step(void) {
  ProjectStep s;
  ProjectTrace t;
  if (!lab.p) return err_set(&lab.e, ST_INVALID, "no projection was begun");
  TRY(projector_step(lab.p, &s, &lab.e));
  TRY(projector_trace(lab.p, 0, &t, &lab.e));
  numbers_of(&t, s.dist[0]);
  return ST_OK;
}

/* The image of the projection as it stands, its w in lab.ws; numbers[0] its distance. */
LAB_EXPORT(lab_render) int lab_render(void) {
  double dist;
  if (!lab.p) return err_set(&lab.e, ST_INVALID, "no projection was begun");
  TRY(projector_render(lab.p, lab.task.optimised, lab.image, &dist, &lab.e));
  TRY(projector_fetch(lab.p, &lab.e));
  keep_w(projector_w(lab.p), projector_w_size(lab.p));
  lab.numbers[0] = dist;
  return ST_OK;
}

/* docs/lab/page/worker.js: an evaluation of the fast solver; its image where there is one. */
LAB_IMPORT("news") void lab_news(const real *image);

static bool fast_tell(void *context, const ProjectNews *news) {
  if (news->lesion < 0) return true;
  if (news->trace) {
    numbers_of(news->trace, news->dist);
    lab.numbers[LAB_N_STEP] = news->step - 1;
  }
  lab_news(news->trace || news->image ? news->image : NULL);
  return true;
}

/* All of the fast solver; lab_news after each evaluation. The image, lab.ws, and in numbers
 * distance and evaluations. */
LAB_EXPORT(lab_fast) int lab_fast(void) {
  lab.task.tell = fast_tell;
  const Status s = project_run(&lab.task, &lab.result, &lab.e);
  if (s != ST_OK) return s;
  memcpy(lab.image, lab.result->images, (size_t)lab_pixels() * sizeof *lab.image);
  keep_w(lab.result->w, lab.result->w_size);
  lab.numbers[0] = lab.result->lpips[0];
  lab.numbers[1] = lab.result->steps[0];
  return ST_OK;
}

/* ---- files for the user ---- */

/* The point shown as a file lab_text(): what `prlx walk` and this page take in. */
static Status add_latents(StWriter *w, Error *e) {
  const Generator *G = &lab.net.G;
  TRY(st_add_meta(w, "format", "prlx-latents-1", e));
  TRY(st_add_meta(w, "network", lab.net.path, e));
  TRY(st_add_meta(w, "perceptual", lab.vgg_there ? lab.vgg.name : "none", e));
  TRY(st_add_metaf(w, e, "w_std", "%.9g", lab.pca.w_std));
  TRY(st_add(w, "ws", DT_F32, SHAPE3(1, G->num_ws, G->cfg.w_dim), lab.ws, e));
  return st_add(w, "w_avg", DT_F32, SHAPE1(G->cfg.w_dim), lab.pca.mean, e);
}

LAB_EXPORT(lab_save_latents) int lab_save_latents(void) {
  StWriter *w;
  TRY(need_network());
  TRY(st_writer_new(&w, &lab.e));
  const Status s = add_latents(w, &lab.e);
  if (s == ST_OK) return st_commit(w, lab.name, &lab.e);
  st_writer_free(w);
  return s;
}

/* The image shown as an 8-bit PNG lab_text(), by the rule of SEMANTICS 8. */
LAB_EXPORT(lab_save_png) int lab_save_png(void) {
  TRY(need_network());
  const int side = lab.net.G.cfg.img_resolution;
  uint8_t *px = mem_alloc((size_t)lab_pixels());
  if (!px) return err_set(&lab.e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < lab_pixels(); i++) {
    const double v = (double)lab.image[i] * 127.5 + 128;
    px[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
  }
  const Status s = png_write8(lab.name, side, side, 1, px, &lab.e);
  mem_free(px);
  return s;
}
