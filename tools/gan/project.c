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
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/gan/image_volumes.h"
#include "tools/gan/project_impl.h"

static const GenConfig *job_config(const ProjectJob *j) { return &j->net->net.G.cfg; }

static void job_free(ProjectJob *j) {
  prlx_projection_free(j->r);
  dataset_free(&j->in);
  targets_free(j->cohort);
  prlx_vgg_free(j->vgg);
  prlx_network_free(j->net);
  mem_free(j->name);
  mem_free(j->names);
  mem_free(j->mse);
  mem_free(j->region);
  mem_free(j->weight);
  mem_free(j->placed);
  history_free(j);
}

/* ---- input ---- */

/* File name of a lesion: its name without folder signs and .png; a repeated name gets a number. */
static void set_name(ProjectJob *j, int64_t k, const char *given) {
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
    if (clash) snprintf(d, sizeof j->name[k], "%.51s_%d", base, again); /* any number fits */
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

static Status load_targets(ProjectJob *j, int n, char **path, Error *e) {
  const GenConfig *c = job_config(j);
  int sets = 0, tables = 0;
  for (int k = 0; k < n; k++) {
    sets += str_ends_with(path[k], ".safetensors");
    tables += str_ends_with(path[k], ".tsv");
  }
  if (tables && n > 1) return err_set(e, ST_INVALID, "%s: give one lesions.tsv at a time", path[0]);
  if (tables) {
    j->table = path[0];
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
                   "channel%s; pack the data with %s, or give another network",
                   path[0], j->in.w, j->in.h, j->in.channels, j->in.channels == 1 ? "" : "s",
                   j->a.network, c->img_resolution, c->img_resolution, c->img_channels,
                   c->img_channels == 1 ? "" : "s",
                   j->in.channels == c->img_channels ? "that size (--size)"
                   : j->in.h == c->img_resolution    ? "these channels (--channels)"
                                                     : "that size and these channels");
  return j->a.range.n ? choose_range(&j->in, &j->a.range, e) : ST_OK;
}

/* The same number must mean the same ppb on both sides. Known differences are worth a line, not a
 * refusal. Of a PNG ("display") nothing is known. */
static void warn_windows(const ProjectJob *j) {
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

static Status project_allocate(ProjectJob *j, Error *e) {
  const GenConfig *c = job_config(j);
  j->n = j->in.n;
  j->res = c->img_resolution;
  j->channels = c->img_channels;
  j->per = j->channels * j->res * j->res;
  size_t n = (size_t)j->n;
  j->name = mem_alloc(n * sizeof *j->name);
  j->mse = mem_alloc(2 * n * sizeof *j->mse);
  j->history = mem_alloc(n * sizeof *j->history);
  j->names = mem_alloc(n * sizeof *j->names);
  if (!j->name || !j->mse || !j->history || !j->names)
    return err_set(e, ST_NOMEM,
                   "out of memory for the results of %lld lesions; choose fewer with --range",
                   (long long)j->n);
  j->dw = j->mse + n;
  for (int64_t k = 0; k < j->n; k++) {
    set_name(j, k, j->in.names ? j->in.names[k] : NULL);
    j->names[k] = j->name[k];
  }
  return ST_OK;
}

/* ---- the run ---- */

static void plan_message(const ProjectJob *j, const prlx_project_progress *p) {
  const ProjectArgs *a = &j->a;
  if (tool_quiet) return;
  if (a->solver == PRLX_SOLVER_REFERENCE)
    fprintf(stderr, "%lld lesion%s of %lld x %lld, batch %d, %d steps; LPIPS: %s\n",
            (long long)j->n, j->n == 1 ? "" : "s", (long long)j->res, (long long)j->res, p->batch,
            a->steps, prlx_vgg_name(j->vgg));
  else
    fprintf(stderr,
            "%lld lesion%s of %lld x %lld, batch %d, fast solver: %d pixel steps, at most %d "
            "steps; LPIPS: %s\n",
            (long long)j->n, j->n == 1 ? "" : "s", (long long)j->res, (long long)j->res, p->batch,
            a->pixel_steps, a->steps, prlx_vgg_name(j->vgg));
  fprintf(
      stderr,
      "memory: %s (activations %s, prepared weights %s) + networks %s; %.1f GFLOP per step\n",
      human_bytes((double)p->bytes), human_bytes((double)p->activation_bytes),
      human_bytes((double)p->weight_bytes),
      human_bytes((double)(j->net->net.G.params.ntotal + j->vgg->vgg.params.ntotal) * sizeof(real)),
      1e-9 * p->flop);
}

/* Lesion k is done: its pictures. */
static Status finish_lesion(ProjectJob *j, int64_t k, const float *img, Error *e) {
  TRY(project_png(j->a.out, j->name[k], "", (int)j->res, (int)j->res, project_result(j, k, img),
                  e));
  return history_pictures(j, k, e);
}

/* Called by prlx_project after each step of each lesion. */
static bool show_progress(void *ctx, const prlx_project_progress *p) {
  ProjectJob *j = ctx;
  if (p->image < 0) { /* says what it needs before the first step */
    if (j->bar.label) return !tool_interrupted;
    plan_message(j, p);
    progress_start(&j->bar, "project", "step", (double)j->n * j->a.steps);
    return !tool_interrupted;
  }
  j->whole += p->finished && !j->cut;
  if (j->failed != ST_OK) return false; /* lesions of the same batch still report their step */
  j->failed = history_add(j, p, &j->why);
  if (j->failed == ST_OK && p->finished) j->failed = finish_lesion(j, p->image, p->pixels, &j->why);
  j->cut = j->failed != ST_OK && !p->finished;
  j->all_steps += p->finished ? j->a.steps - p->step : 1;
  progress_update(&j->bar, (double)j->all_steps, "lesion %lld of %lld, LPIPS %.4f",
                  (long long)p->image + 1, (long long)j->n, p->lpips);
  if (j->a.profile && p->step == p->steps) progress_clear(&j->bar);
  return j->failed == ST_OK && !tool_interrupted;
}

static void fill_options(ProjectJob *j, prlx_project_options *o) {
  const ProjectArgs *a = &j->a;
  prlx_project_defaults_for((prlx_solver)a->solver, o, sizeof *o);
  o->space = j->space;
  o->steps = a->steps;
  o->learning_rate = a->lr;
  o->w_noise = a->w_noise;
  o->noise_weight = a->noise_weight;
  o->ramp_up = a->ramp_up;
  o->ramp_down = a->ramp_down;
  o->noise_ramp = a->noise_ramp;
  if (a->betas) o->beta2 = 0.99;
  o->pixel_steps = a->pixel_steps;
  o->patience = a->patience;
  o->tolerance = a->tolerance;
  o->enough = a->enough;
  o->optimised_noise = j->optimised;
  o->regions = j->region;
  o->focus = a->focus == FOCUS_NONE ? 0 : a->focus_strength;
  o->trace = a->trace != NULL;
  o->start = j->start;
  o->starts = a->starts;
  o->bank_size = a->bank_size;
  o->bank_file = a->bank;
  o->tune_steps = a->tune;
  o->tune_rate = a->tune_lr;
  o->tune_folder = a->keep_tuned ? j->folder : NULL;
  o->tune_names = j->names;
  o->w_samples = a->w_samples;
  o->seed = (uint64_t)a->seed;
  o->label = a->label;
  o->vgg = (prlx_vgg_channels)a->vgg_channels;
  o->batch = a->batch;
  o->max_bytes = (size_t)a->memory;
  o->frames = a->frames;
  o->profile = a->profile ? stderr : NULL;
  o->device = api_device(j->backend);
  o->progress = show_progress;
  o->context = j;
}

static double result_mse(const ProjectJob *j, int64_t k, const float *img) {
  double sum = 0;
  for (int64_t q = 0; q < j->per; q++)
    sum += pow((double)img[q] - (double)j->in.images[k * j->per + q], 2) / (double)j->per;
  return sum;
}

/* Of lesions that Ctrl-C stopped, too; not of those that an error did. */
static void gather_results(ProjectJob *j) {
  const double std = prlx_projection_w_std(j->r);
  j->done = prlx_projection_done(j->r);
  if (j->failed != ST_OK) j->done = PRLX_MIN(j->done, j->whole);
  for (int64_t k = 0; k < j->done; k++) {
    j->dw[k] = std * prlx_projection_w_distance(j->r, k);
    j->mse[k] = result_mse(j, k, project_result(j, k, prlx_projection_image(j->r, k)));
  }
}

static Status run_all(ProjectJob *j, Error *e) {
  prlx_project_options o;
  prlx_error pe;
  fill_options(j, &o);
  const prlx_status s = prlx_project(j->net, j->vgg, j->n, j->in.images, &o, &j->r, &pe);
  if (j->bar.label) progress_end(&j->bar);
  if (j->r) gather_results(j);
  if (j->failed != ST_OK) return err_set(e, j->failed, "%s", j->why.msg);
  return s == PRLX_INTERRUPTED ? ST_OK : api_status(s, &pe, e);
}

/* What the solver implies where nothing was said. */
static void choose_defaults(ProjectJob *j) {
  ProjectArgs *a = &j->a;
  prlx_project_options d;
  prlx_project_defaults_for((prlx_solver)a->solver, &d, sizeof d);
  if (!a->steps) a->steps = d.steps;
  j->space = a->space ? (prlx_space)(a->space - 1) : d.space;
  j->start = a->start                              ? (prlx_start)(a->start - 1)
             : space_has_w((ProjectSpace)j->space) ? d.start
                                                   : PRLX_START_MEAN;
  if (!a->starts) a->starts = j->start == d.start ? PRLX_MIN(d.starts, a->bank_size) : 1;
  j->optimised =
      a->render == RENDER_OPTIMISED || (a->render == RENDER_AUTO && j->space == PRLX_SPACE_NOISE);
}

/* Some choices come close to any image, lesion or not, and so do not denoise. */
static void warn_choices(const ProjectJob *j) {
  const char *what = j->a.tune                           ? "--tune"
                     : j->space == PRLX_SPACE_NOISE      ? "--space noise"
                     : j->space == PRLX_SPACE_WPLUS      ? "--space w+"
                     : j->space == PRLX_SPACE_WPLUS_ONLY ? "--space w+only"
                     : j->optimised                      ? "--render optimised"
                                                         : NULL;
  if (!what || tool_quiet) return;
  fprintf(stderr,
          "prlx project: note: %s comes close to images that are no lesions, too: what it gives "
          "is a copy more than a denoised lesion (numbers: paper/projection/README.md)\n",
          what);
}

static Status check_choices(const ProjectJob *j, Error *e) {
  const ProjectArgs *a = &j->a;
  const bool maps = space_has_noise((ProjectSpace)j->space);
  if (a->render == RENDER_OPTIMISED && !maps)
    return err_set(e, ST_INVALID,
                   "--render optimised, but --space %s optimises no noise maps; choose w, w+ or "
                   "noise",
                   space_name[j->space]);
  if (a->keep_tuned && !a->tune) return err_set(e, ST_INVALID, "--keep-tuned, but no --tune STEPS");
  if (a->bank && j->start != PRLX_START_NEAREST)
    return err_set(e, ST_INVALID, "--bank is of --start nearest; give both");
  return ST_OK;
}

/* No picture of a lesion takes the place of an input or of a stranger's file. */
static Status check_pictures(const ProjectJob *j, Error *e) {
  char name[sizeof j->name[0] + 16];
  for (int64_t k = 0; k < j->n; k++) {
    snprintf(name, sizeof name, "%s.png", j->name[k]);
    TRY(outputs_member(j->a.out, name, e));
  }
  if (j->cohort) return outputs_member(j->a.out, "lesions.tsv", e);
  Dataset d = j->in;
  d.names = j->name;
  return j->a.nifti ? images_names_check(&d, j->n, e) : ST_OK;
}

static Status project_prepare(ProjectJob *j, const OptSpec *spec, Error *e) {
  ProjectArgs *a = &j->a;
  prlx_error pe;
  choose_defaults(j);
  TRY(check_choices(j, e));
  TRY(tool_backend(PREC_TF32, &j->backend, e));
  TRY(api_status(prlx_network_load(a->network, &j->net, &pe), &pe, e));
  TRY(load_targets(j, spec->nargs, spec->args, e));
  TRY(api_status(prlx_vgg_load(a->vgg, a->data, &j->vgg, &pe), &pe, e));
  TRY(outputs_file(a->trace, "lesion\tstep", e));
  TRY(outputs_file(a->bank, "prlx-starts-", e));
  TRY(outputs_folder(
      a->out, "denoised.safetensors targets.safetensors w.safetensors table.tsv sheet.png", e));
  warn_windows(j);
  warn_choices(j);
  /* a GPU wants many at once */
  if (!a->batch) a->batch = (int)PRLX_MIN(j->in.n, j->backend ? 128 : 4);
  TRY(api_label(&j->net->net, a->label, e));
  TRY(project_allocate(j, e));
  if (a->cohort) j->table = a->cohort;
  if (a->keep_tuned) {
    TRY(path_join(j->folder, a->out, "tuned", e));
    TRY(dir_make(j->folder, e));
  }
  TRY(check_pictures(j, e));
  return project_regions(j, e);
}

static Status run_project(ProjectJob *j, const OptSpec *spec, Error *e) {
  TRY(project_prepare(j, spec, e));
  return run_all(j, e);
}

/* Options of a way that is not taken. */
static int check_usage(const ProjectArgs *a, const OptSpec *s) {
  const bool fast = a->solver == PRLX_SOLVER_FAST,
             bank = a->start ? a->start - 1 == PRLX_START_NEAREST : fast;
  int rc = a->network ? -1 : tool_usage("project", "no network; give --network FILE");
  if (rc < 0) rc = opts_need(s, fast, "pixel-steps patience tolerance enough", "--solver fast");
  if (rc < 0)
    rc = opts_need(s, !fast, "lr betas ramp-up ramp-down w-noise noise-ramp", "--solver reference");
  if (rc < 0) rc = opts_need(s, bank, "bank-size", "--start nearest");
  if (rc < 0) rc = opts_need(s, a->tune > 0, "tune-lr", "--tune STEPS");
  if (rc < 0)
    rc = opts_need(s, a->focus != FOCUS_NONE, "focus-strength", "--focus centre or --focus mask");
  if (rc < 0) rc = opts_need(s, a->focus == FOCUS_CENTRE, "focus-radius", "--focus centre");
  if (rc < 0)
    rc = opts_need(s, a->focus == FOCUS_MASK || (a->in_place && a->focus != FOCUS_CENTRE),
                   "focus-grow", "--focus mask or --in-place");
  return rc < 0 ? opts_need(s, a->in_place, "edge", "--in-place") : rc;
}

int tool_project(int argc, char **argv) {
  ProjectJob *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("project");
  ProjectArgs *a = &j->a;
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
      OPT_CHOICE("solver", &a->solver, "reference", "reference|fast",
                 "reference: Adam, ramps and added noise of the public projector;\nfast: L-BFGS on "
                 "the pixels, then on Eq. 1, as many steps as a lesion needs"),
      OPT_CHOICE("space", &a->space, "auto", "auto|w|w-only|w+|w+only|noise",
                 "what is searched: w and the noise maps (the paper), w alone with the network's\n"
                 "own maps, a w per layer with and without maps, the maps alone.\nauto: w, with "
                 "--solver fast w-only"),
      OPT_INT("steps", &a->steps, "0", 0, 1000000,
              "steps per lesion; 0: 1000, with --solver fast at most 200"),
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
      OPT_CHOICE("betas", &a->betas, "reference", "reference|paper",
                 "of Adam: 0.9 and 0.999, or 0.9 and 0.99 as the paper prints"),
      OPT_REAL("ramp-up", &a->ramp_up, "0.05", 0, 1,
               "share of the run in which the learning rate rises"),
      OPT_REAL("ramp-down", &a->ramp_down, "0.25", 0, 1, "share of the run in which it falls"),
      OPT_REAL("noise-ramp", &a->noise_ramp, "0.75", 0, 1,
               "share of the run in which the noise added to w falls to 0"),
      OPT_INT("pixel-steps", &a->pixel_steps, "120", 0, 1000000,
              "of --solver fast: evaluations on the pixels first"),
      OPT_INT("patience", &a->patience, "20", 1, 1000000,
              "of --solver fast: a lesion is done when so many evaluations"),
      OPT_REAL("tolerance", &a->tolerance, "0.02", 0, 1,
               "lowered its loss by less than this share"),
      OPT_REAL("enough", &a->enough, "0.001", 0, 1e9, "... or when its loss is down to this"),
      OPT_CHOICE("start", &a->start, "auto", "auto|mean|random|nearest",
                 "w to start from: the mean of W, random ones, or those of a bank of many whose "
                 "images\nlook most like the target. auto: mean, with --solver fast nearest"),
      OPT_INT("starts", &a->starts, "0", 0, 1000,
              "how many of these; --solver fast tries all and goes on with the closest.\n0: one, "
              "with --solver fast --start nearest 8"),
      OPT_INT("bank-size", &a->bank_size, "4096", 1, 10000000, "w in the bank of --start nearest"),
      OPT_STR("bank", &a->bank, NULL, "FILE",
              "keep the bank there: made once per network, refused for another"),
      OPT_INT("tune", &a->tune, "0", 0, 1000000,
              "steps of pivotal tuning (PTI): afterwards the network itself is fitted to each "
              "lesion.\nThe network's file is never changed"),
      OPT_REAL("tune-lr", &a->tune_lr, "3e-4", 1e-12, 1e3, "its learning rate"),
      OPT_GROUP("Focus"),
      OPT_CHOICE("focus", &a->focus, "none", "none|centre|mask",
                 "where the distance counts: everywhere, in a soft disc in the middle, or in the "
                 "lesion's mask"),
      OPT_REAL("focus-strength", &a->focus_strength, "0.5", 0, 1,
               "share of the distance that counts there only"),
      OPT_REAL("focus-radius", &a->focus_radius, "0.25", 0.01, 1,
               "of the disc, in sides of the image; it ends softly at 1.4 times that"),
      OPT_REAL("focus-grow", &a->focus_grow, "3", 0, 1000, "pixels that the mask grows by"),
      OPT_FLAG("in-place", &a->in_place, "no",
               "redraw the lesion only (its mask, grown, or with --focus centre the disc): "
               "everything else\nstays as it was measured. LPIPS is that of the network's whole "
               "image"),
      OPT_REAL("edge", &a->edge, "1.5", 0, 1000,
               "pixels over which the redrawn lesion passes into what was measured"),
      OPT_STR("cohort", &a->cohort, NULL, "FILE",
              "lesions.tsv with the masks of a data set's lesions"),
      OPT_GROUP("Computing"),
      OPT_SIZE("memory", &a->memory, NULL, "refuse to start when the plan needs more, e.g. 2G"),
      OPT_FLAG("profile", &a->profile, "no", "print the time of every operation of the last step"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, "out/project", "DIR", "folder of the results"),
      OPT_FLAG("nifti", &a->nifti, "yes",
               "volumes in ppm, where the susceptibility scale is known"),
      OPT_CHOICE("render", &a->render, "auto", "auto|const|optimised",
                 "noise maps of the result: the network's own (auto, except --space noise), or the "
                 "optimised\nones, which are then kept in w.safetensors"),
      OPT_FLAG("keep-tuned", &a->keep_tuned, "no",
               "of --tune: the tuned networks as tuned/NAME.safetensors"),
      OPT_INT("frames", &a->frames, "0", 0, 1000000,
              "keep the image of every k-th step: NAME_steps.png, and NAME_strip.png with numbers "
              "and\ncurves (costs a step each; fast: nothing)"),
      OPT_STR("trace", &a->trace, NULL, "FILE",
              "table of every step: distance, per VGG layer, inside and outside the region, "
              "regulariser\nper map, learning rate, added noise, distance from the mean of W, "
              "gradients"),
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
  rc = check_usage(a, &spec);
  if (rc < 0) {
    const Status s = run_project(j, &spec, &e);
    Error e2 = {0};
    /* what is done is saved even when a later lesion failed */
    Status saved = project_write(j, &e2);
    if (j->done && saved == ST_OK) project_print(j);
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
