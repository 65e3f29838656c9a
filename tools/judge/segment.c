/* segment.c: `prlx segment`: a U-Net learns rim masks from real lesions, or real and generated
 * ones, and is tested on real lesions of other subjects.
 *
 *   TRAIN... (images with a rim channel) -> one training per seed -> model<k>.safetensors -> maps
 *   of TEST -> scores per lesion, intervals by subject --judge DATA: no training; does the mask of
 *   each image lie on a bright rim of the same image? (segment_judge.c) */
#include "tools/judge/segment.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/view/sheet.h"

typedef struct Args {
  const char *test;
  const char *model;
  const char *out;
  const char *channels;
  const char *compare;
  const char *judge;
  const char *reference;
  int runs;
  int epochs;
  int batch;
  int levels;
  int width;
  int resamples;
  int show;
  int cls;
  int64_t seed;
  double lr;
  double threshold;
  double level;
  bool turn;
} Args;

typedef struct Job {
  Args a;
  RimSlices train;
  RimSlices test;
  Unet *model;
  Backend *backend; /* NULL: the CPU */
  int runs;
  int run;
  char channels[64];
  char trained_on[800];
  SegScores score;
  /* [n,h,w] of one run, over the runs */
  real *prob;
  real *mean;
  Progress bar;
} Job;

static void rim_free(RimSlices *d) {
  slices_free(&d->x);
  slices_free(&d->rim);
}

static void job_free(Job *j) {
  rim_free(&j->train);
  rim_free(&j->test);
  unets_free(j->model, j->runs);
  seg_scores_free(&j->score);
  mem_free(j->prob);
  mem_free(j->mean);
}

/* ---- data ---- */

static Status rim_add(RimSlices *d, const char *arg, const char *channels, Error *e) {
  TRY(slices_add(&d->x, arg, channels, e));
  Error inner = {0};
  const Status s = slices_add(&d->rim, arg, "rim", &inner);
  return s == ST_OK ? ST_OK
                    : err_set(e, s,
                              "%.700s; a mask is needed: prlx pack --channels chi,rim,flair, or "
                              "generate with a network of such data",
                              inner.msg);
}

static Status load_train(Job *j, int n, char **arg, Error *e) {
  size_t len = 0;
  for (int i = 0; i < n; i++) {
    TRY(rim_add(&j->train, arg[i], j->channels, e));
    if (len < sizeof j->trained_on)
      len += (size_t)snprintf(j->trained_on + len, sizeof j->trained_on - len, "%s%s", i ? " " : "",
                              arg[i]);
  }
  return ST_OK;
}

static Status load_test(Job *j, Error *e) {
  Dataset d;
  Sheet meaning = {0};
  TRY(rim_add(&j->test, j->a.test, j->channels, e));
  TRY(dataset_open(&d, j->a.test, e));
  sheet_describe(&meaning, d.meta, d.nmeta, d.channels);
  j->test.mm = meaning.mm;
  dataset_free(&d);
  return ST_OK;
}

/* Names in brackets stand for images of unknown origin. */
static Status check_apart(const Job *j, Error *e) {
  for (int64_t a = 0; a < j->test.x.lesions; a++)
    for (int64_t b = 0; b < j->train.x.lesions; b++)
      if (j->test.x.row[a].subject[0] != '(' &&
          !strcmp(j->test.x.row[a].subject, j->train.x.row[b].subject))
        return err_set(
            e, ST_INVALID,
            "%s: subject %s is also in the training data; split by subject (prlx pack --test)",
            j->a.test, j->test.x.row[a].subject);
  return ST_OK;
}

/* ---- training ---- */

static bool on_epoch(void *ctx, int epoch, double loss, double dice) {
  Job *j = ctx;
  progress_update(&j->bar, (double)j->run * j->a.epochs + epoch,
                  "run %d of %d, loss %.4f, Dice in training %.3f", j->run + 1, j->runs, loss,
                  dice);
  return !tool_interrupted;
}

static int64_t with_rim(const RimSlices *d) {
  const int64_t hw = (int64_t)d->rim.h * d->rim.w;
  int64_t n = 0;
  for (int64_t i = 0; i < d->rim.n; i++) {
    int64_t k = 0;
    while (k < hw && !(d->rim.images[i * hw + k] > 0)) k++;
    n += k < hw;
  }
  return n;
}

static Status train_all(Job *j, Error *e) {
  const Args *a = &j->a;
  UnetConfig cfg = {j->train.x.channels, a->levels, a->width};
  UnetTrain o = unet_train_defaults();
  o.epochs = a->epochs;
  o.batch = a->batch;
  o.lr = a->lr;
  o.turn = a->turn;
  o.tick = on_epoch;
  o.ctx = j;
  Slices d = slices_view(&j->train.x);
  j->model = mem_alloc((size_t)a->runs * sizeof *j->model);
  if (!j->model) return err_set(e, ST_NOMEM, "out of memory for %d U-Nets", a->runs);
  j->runs = a->runs;
  if (!tool_quiet)
    fprintf(stderr, "training: %lld slices of %d x %d (%s), %lld with a rim; %d epochs, %d run%s\n",
            (long long)d.n, d.w, d.h, j->channels, (long long)with_rim(&j->train), a->epochs,
            a->runs, a->runs == 1 ? "" : "s");
  Status s = ST_OK;
  progress_start(&j->bar, "segment", "epoch", (double)a->runs * a->epochs);
  for (j->run = 0; j->run < a->runs; j->run++) {
    char path[PATH_LEN];
    o.seed = (uint64_t)a->seed + (uint64_t)j->run;
    s = path_format(path, e, "%s/model%d.safetensors", a->out, j->run);
    if (s != ST_OK) goto done;
    s = unet_new(&j->model[j->run], &cfg, e);
    if (s != ST_OK) goto done;
    j->model[j->run].backend = j->backend;
    s = unet_train(&j->model[j->run], &o, &d, j->train.rim.images, e);
    if (s != ST_OK) goto done;
    s = unet_save(&j->model[j->run], path, j->channels, o.seed, a->epochs, j->trained_on, e);
    if (s != ST_OK) goto done;
  }
done:
  progress_end(&j->bar);
  return s;
}

/* ---- test ---- */

static Status predict_all(Job *j, Error *e) {
  Slices d = slices_view(&j->test.x);
  const int64_t all = d.n * d.h * d.w;
  j->prob = mem_alloc((size_t)all * sizeof *j->prob);
  j->mean = mem_alloc((size_t)all * sizeof *j->mean);
  TRY(j->prob && j->mean ? seg_scores_new(&j->score, &j->test, j->runs, e)
                         : err_set(e, ST_NOMEM, "out of memory for %lld maps", (long long)d.n));
  for (int r = 0; r < j->runs; r++) {
    TRY(unet_predict(&j->model[r], &d, j->prob, e));
    TRY(seg_scores_add(&j->score, r, &j->test, j->prob, j->a.threshold, e));
    for (int64_t i = 0; i < all; i++) j->mean[i] += j->prob[i] / (real)j->runs;
  }
  seg_scores_mean(&j->score);
  return ST_OK;
}

/* The middle slice of every lesion, those with a rim first. */
static Status write_sheet(const Job *j, Error *e) {
  const RimSlices *d = &j->test;
  const int64_t hw = (int64_t)d->x.h * d->x.w;
  static const char *const title[4] = {"image", "true rim", "found (mean over runs)",
                                       "green true, red found"};
  char path[PATH_LEN];
  TRY(path_join(path, j->a.out, "sheet.png", e));
  SegRow *row = mem_alloc((size_t)j->a.show * sizeof *row);
  int n = 0;
  if (!row) return err_set(e, ST_NOMEM, "out of memory for the sheet");
  for (int pass = 0; pass < 2; pass++)
    for (int64_t l = 0; l < d->x.lesions && n < j->a.show; l++) {
      int64_t seen = 0;
      if (!d->x.row[l].slices || (pass == 0) != (j->score.with[l] > 0)) continue;
      for (int64_t i = 0; i < d->x.n; i++) {
        if (d->x.lesion[i] != l || seen++ != d->x.row[l].slices / 2) continue;
        const double v = j->score.mean[SEG_DICE * j->score.lesions + l],
                     tol = j->score.mean[SEG_DICE_TOLERANT * j->score.lesions + l];
        row[n] = (SegRow){.img = d->x.images + i * d->x.channels * hw,
                          .truth = d->rim.images + i * hw,
                          .found = j->mean + i * hw};
        if (isnan(v))
          snprintf(row[n].caption, sizeof row[n].caption, "%.24s %.20s  no rim",
                   d->x.row[l].subject, d->x.row[l].name);
        else
          snprintf(row[n].caption, sizeof row[n].caption, "%.24s %.20s  Dice %.2f, 1 px %.2f",
                   d->x.row[l].subject, d->x.row[l].name, v, tol);
        n++;
        break;
      }
    }
  Status s = segment_sheet(path, row, n, d->x.h, d->x.w, j->a.threshold, title, e);
  mem_free(row);
  return s;
}

/* Images to judge are as large as those of the training, and others. */
static Status check_size(const Job *j, Error *e) {
  const SliceSet *a = &j->train.x, *b = &j->test.x;
  if (a->h == b->h && a->w == b->w) return slices_warn_shared("segment", a, b, e);
  return err_set(e, ST_INVALID,
                 "%s: %d x %d pixels; the training data have %d x %d; expected the same size; crop "
                 "or pack them alike",
                 j->a.test, b->w, b->h, a->w, a->h);
}

/* Masks that hold no rim at all: nothing to learn from ... */
static Status need_a_rim(const RimSlices *d, const char *files, Error *e) {
  if (with_rim(d)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: none of the %lld slices has a rim in its mask; expected some that have; pack "
                 "lesions with rims, too",
                 files, (long long)d->x.n);
}

/* ... or to find. */
static void note_no_rim(const RimSlices *d, const char *file) {
  if (!with_rim(d))
    fprintf(stderr,
            "prlx segment: note: %s: none of the %lld test slices has a rim in its mask; Dice, "
            "sensitivity and precision are n/a\n",
            file, (long long)d->x.n);
}

static Status segment_run(Job *j, const OptSpec *spec, Error *e) {
  const Args *a = &j->a;
  const SegReport report = {a->out, a->resamples, a->level, a->threshold};
  snprintf(j->channels, sizeof j->channels, "%.63s", a->channels);
  TRY(tool_backend_fit("segment", &j->backend, e));
  if (a->model)
    TRY(unets_load(a->model, &j->model, &j->runs, j->channels, e));
  else
    TRY(load_train(j, spec->nargs, spec->args, e));
  for (int k = 0; k < j->runs && a->model; k++) j->model[k].backend = j->backend;
  if (a->test) TRY(load_test(j, e));
  if (a->test) TRY(check_apart(j, e));
  if (a->test && !a->model) TRY(check_size(j, e));
  if (!a->model) TRY(need_a_rim(&j->train, j->trained_on, e));
  if (a->test) note_no_rim(&j->test, a->test);
  if (a->compare) TRY(seg_compare_look(&j->test, a->compare, e));
  TRY(outputs_folder(a->out,
                     "model0.safetensors metrics.tsv predictions.tsv sheet.png comparison.tsv", e));
  if (!a->model) TRY(train_all(j, e));
  if (!a->test) return ST_OK;
  TRY(predict_all(j, e));
  TRY(seg_report(&j->score, &j->test, &report, e));
  if (a->compare) TRY(seg_compare(&j->score, &j->test, &report, a->compare, e));
  TRY(write_sheet(j, e));
  printf("results in %s: predictions.tsv, metrics.tsv, sheet.png%s\n", a->out,
         a->compare ? ", comparison.tsv" : "");
  return ST_OK;
}

static const char segment_training[] = "runs epochs batch lr levels width turn channels";

static int check_usage(const Args *a, const OptSpec *spec) {
  if (a->judge && (spec->nargs || a->test || a->model))
    return tool_usage("segment", "--judge judges the masks that are in DATA; leave out training "
                                 "data, --test and --model");
  if (a->judge) return opts_need(spec, false, segment_training, "training data TRAIN");
  if (a->reference) return tool_usage("segment", "--reference belongs to --judge DATA");
  if (!a->model && !spec->nargs)
    return tool_usage("segment", "nothing to learn from; give TRAIN... or --model");
  if (a->model && spec->nargs)
    return tool_usage("segment", "--model uses trained U-Nets; leave out the training data");
  if (a->model && !a->test) return tool_usage("segment", "--model needs --test FILE");
  if (a->compare && !a->test) return tool_usage("segment", "--compare needs --test FILE");
  for (const char *c = a->channels; c; c = strchr(c, ','), c = c ? c + 1 : NULL)
    if (!strncmp(c, "rim", 3) && (!c[3] || c[3] == ','))
      return tool_usage("segment", "--channels %s: the rim channel holds the answer", a->channels);
  const int rc = opts_need(spec, !a->model, segment_training, "training data TRAIN");
  return rc < 0 ? opts_need(spec, a->judge, "class", "--judge DATA") : rc;
}

int tool_segment(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("segment");
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("What to do"),
      OPT_STR("test", &a->test, NULL, "FILE",
              "real lesions of other subjects, with a rim channel: scores with intervals"),
      OPT_STR("model", &a->model, NULL, "FILE|DIR",
              "use these U-Nets instead of training: one file, or the folder of a run"),
      OPT_STR("compare", &a->compare, NULL, "DIR",
              "another run on the same test lesions (its predictions.tsv): paired differences"),
      OPT_STR("judge", &a->judge, NULL, "DATA",
              "no U-Net: do the masks of these images (rim channel) lie on their rims (chi)?"),
      OPT_STR("reference", &a->reference, NULL, "DATA",
              "with --judge: the same of these, such as the real training images"),
      OPT_INT("class", &a->cls, "-1", -1, 2,
              "with --judge: images of this class only, where classes are known: 1 rim; -1 all"),
      OPT_GROUP("Training"),
      OPT_INT("runs", &a->runs, "3", 1, 64, "trainings, with the seeds seed, seed+1, ..."),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "first seed"),
      OPT_INT("epochs", &a->epochs, "40", 1, 100000, "passes over the slices"),
      OPT_INT("batch", &a->batch, "8", 1, 4096,
              "slices per step; with few slices small, for more steps"),
      OPT_REAL("lr", &a->lr, "0.002", 1e-9, 10, "learning rate of Adam"),
      OPT_INT("levels", &a->levels, "4", 1, UNET_LEVELS,
              "resolutions of the U-Net; the side must be a multiple of 2^(levels-1)"),
      OPT_INT("width", &a->width, "16", 1, 256,
              "channels at the first level; twice as many at each further one"),
      OPT_FLAG("turn", &a->turn, "yes", "show each slice turned and mirrored at random"),
      OPT_STR("channels", &a->channels, "chi", "NAMES",
              "channels the U-Net sees: chi, or chi,flair"),
      OPT_GROUP("Evaluation"),
      OPT_REAL("threshold", &a->threshold, "0.5", 0, 1,
               "a pixel is called rim from this probability on"),
      OPT_INT("resamples", &a->resamples, "2000", 2, 10000000, "bootstrap resamples of subjects"),
      OPT_REAL("level", &a->level, "0.95", 0.01, 0.999, "of the intervals"),
      OPT_GROUP("Output"),
      OPT_INT("show", &a->show, "16", 1, 64, "lesions on the sheet"),
      OPT_STR("out", &a->out, "out/segment", "DIR", "folder of the results"),
  };
  OptSpec spec = {.cmd = "segment",
                  .summary = "A U-Net for the rim mask, trained on real or real and generated "
                             "masks; a judge of generated masks.",
                  .details =
                      "TRAIN: data sets with a rim channel: of `prlx pack --channels "
                      "chi,rim,flair`, or of `prlx generate` with a network trained on such.\n"
                      "  prlx segment train.safetensors --test test.safetensors --out run/real\n"
                      "  prlx segment train.safetensors synthetic/dataset.safetensors --test "
                      "test.safetensors --out run/both --compare run/real\n"
                      "  prlx segment --judge synthetic/dataset.safetensors --reference "
                      "train.safetensors --class 1\n"
                      "Scores: mean over the slices of a lesion that have a true rim, then over "
                      "lesions; slices without one give the false area. Intervals: bootstrap\n"
                      "of whole subjects, of the mean over the runs.\n"
                      "The judge's rule: of the k mask pixels, how many are among the k brightest "
                      "pixels within 4 pixels of the mask (Dice of mask and matched\n"
                      "threshold)? Beside it what chance gives, and the same masks on other "
                      "images: a mask that ignores its image scores like those.",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "TRAIN...",
                  .pos_min = 0,
                  .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) {
    mem_free(j);
    return rc;
  }
  Error e = {0};
  rc = check_usage(a, &spec);
  if (rc < 0) {
    const JudgeArgs q = {a->judge, a->reference, a->out, a->cls, a->resamples, a->show, a->level};
    const Status s = a->judge ? segment_judge(&q, &e) : segment_run(j, &spec, &e);
    rc = s == ST_OK ? EXIT_DONE : tool_fail("segment", &e);
  }
  opts_free(&spec);
  job_free(j);
  mem_free(j);
  return rc;
}
