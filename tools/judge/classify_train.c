/* classify_train.c: the trainings of `prlx classify`. See classify_impl.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "io/formats/tsv.h"
#include "tools/cli/outputs.h"
#include "tools/judge/classify_impl.h"

static bool on_epoch(void *ctx, int epoch, double loss, double acc) {
  Job *j = ctx;
  progress_update(&j->bar, (double)j->run * j->args.epochs + epoch,
                  "run %d of %d, loss %.4f, slices right %.3f", j->run + 1, j->runs, loss, acc);
  return !tool_interrupted;
}

static void count_lesions(const SliceSet *s, int64_t of[3]) {
  of[0] = of[1] = of[2] = 0;
  for (int64_t k = 0; k < s->lesions; k++)
    if (s->row[k].slices && s->row[k].label >= 0) of[s->row[k].label]++;
}

static ClassifierTrain train_options(Job *j) {
  const Args *a = &j->args;
  ClassifierTrain o = classifier_train_defaults();
  o.epochs = a->epochs;
  o.batch = a->batch;
  o.lr = a->lr;
  o.cosine = a->decay;
  o.average = a->average;
  o.tick = on_epoch;
  o.ctx = j;
  return o;
}

/* ---- which subjects are held out ---- */

/* fold [subjects]: 0..validate-1 in a random order, -1: no real lesion. */
static Status deal_subjects(Job *j, int *fold, Error *e) {
  const SliceSet *t = &j->train;
  int64_t *order = mem_alloc((size_t)t->subjects * sizeof *order), n = 0;
  Rng r = {.seed = (uint64_t)j->args.seed, .subsequence = 0x76616c};
  if (!order)
    return err_set(e, ST_NOMEM, "out of memory for %lld subjects", (long long)t->subjects);
  for (int64_t s = 0; s < t->subjects; s++) fold[s] = -1;
  for (int64_t l = 0; l < j->real_lesions; l++) {
    const int64_t s = t->row[l].subject_index;
    if (t->row[l].slices && fold[s] < 0) {
      fold[s] = 0;
      order[n++] = s;
    }
  }
  fit_shuffle(order, n, &r);
  const int folds = (int)PRLX_MIN((int64_t)j->args.validate, n / 2);
  for (int64_t i = 0; i < n && folds; i++) fold[order[i]] = (int)(i % folds);
  mem_free(order);
  if (folds < 2)
    return err_set(
        e, ST_INVALID,
        "--validate %d: %lld subjects with real lesions; expected at least 4, two in each "
        "part; leave it out",
        j->args.validate, (long long)n);
  if (folds < j->args.validate)
    fprintf(stderr,
            "prlx classify: note: %lld subjects with real lesions are held out in %d parts\n",
            (long long)n, folds);
  j->args.validate = folds;
  return ST_OK;
}

/* Slices of the training set with or without what is held out of a run. */
typedef struct Part {
  real *images;
  int64_t *label;
  int64_t *lesion;
  Slices view;
} Part;

static void part_free(Part *p) {
  mem_free(p->images);
  mem_free(p->label);
  mem_free(p->lesion);
}

/* held: real slices of the subjects of this fold; else every slice of all other subjects, or, with
 * real_only, the real ones among them. fold < 0: nobody is held out. */
static Status part_take(const Job *j, const int *of, int fold, bool held, bool real_only, Part *p,
                        Error *e) {
  const SliceSet *t = &j->train;
  const int64_t per = (int64_t)t->channels * t->h * t->w;
  *p = (Part){.images = mem_alloc((size_t)(t->n * per) * sizeof(real)),
              .label = mem_alloc((size_t)t->n * sizeof(int64_t)),
              .lesion = mem_alloc((size_t)t->n * sizeof(int64_t))};
  if (!p->images || !p->label || !p->lesion)
    return err_set(e, ST_NOMEM, "out of memory for %lld slices", (long long)t->n);
  int64_t n = 0;
  for (int64_t i = 0; i < t->n; i++) {
    const int64_t l = t->lesion[i];
    const bool out = fold >= 0 && of[t->row[l].subject_index] == fold,
               is_real = l < j->real_lesions;
    if (held ? !(out && is_real) : out || (real_only && !is_real)) continue;
    memcpy(p->images + n * per, t->images + i * per, (size_t)per * sizeof(real));
    p->label[n] = t->label[i];
    p->lesion[n++] = l;
  }
  p->view = (Slices){p->images, p->label, n, t->channels, t->h, t->w};
  return ST_OK;
}

/* ---- one run ---- */

static Status refit_norm(Job *j, const int *of, int fold, Error *e) {
  Part p;
  Status s = part_take(j, of, fold, false, true, &p, e);
  if (s != ST_OK) goto done;
  s = classifier_refit_norm(&j->model[j->run], &p.view, j->args.batch,
                            (uint64_t)j->args.seed + (uint64_t)j->run, e);
done:
  part_free(&p);
  return s;
}

static Status run_one(Job *j, const ClassifierConfig *cfg, const int *of, Error *e) {
  const Args *a = &j->args;
  char path[PATH_LEN];
  ClassifierTrain o = train_options(j);
  Part p;
  const int fold = a->validate ? j->run % a->validate : -1;
  o.seed = (uint64_t)a->seed + (uint64_t)j->run;
  TRY(path_format(path, e, "%s/model%d.safetensors", a->out, j->run));
  TRY(classifier_new(&j->model[j->run], cfg, e));
  j->model[j->run].backend = j->backend;
  Status s = part_take(j, of, fold, false, false, &p, e);
  if (s != ST_OK) goto done;
  s = classifier_train(&j->model[j->run], &o, &p.view, e);
  if (s != ST_OK || !a->real_norm) goto done;
  s = refit_norm(j, of, fold, e);
done:
  part_free(&p);
  if (s != ST_OK) return s;
  return classifier_save(&j->model[j->run], path, j->channels, o.seed, a->epochs, j->trained_on, e);
}

/* ---- the threshold, from what was held out ---- */

void classify_held_free(Held *h) {
  mem_free(h->lesion);
  mem_free(h->run);
  mem_free(h->truth);
  mem_free(h->score);
}

static Status held_grow(Held *h, int64_t more, Error *e) {
  const size_t a = (size_t)h->count, b = (size_t)(h->count + more);
  int64_t *l = mem_grow(h->lesion, a * sizeof *l, b * sizeof *l);
  if (l) h->lesion = l;
  int *r = mem_grow(h->run, a * sizeof *r, b * sizeof *r);
  if (r) h->run = r;
  int *t = mem_grow(h->truth, a * sizeof *t, b * sizeof *t);
  if (t) h->truth = t;
  double *s = mem_grow(h->score, a * sizeof *s, b * sizeof *s);
  if (s) h->score = s;
  return l && r && t && s ? ST_OK : err_set(e, ST_NOMEM, "out of memory for the validation");
}

static Status held_lesions(Job *j, const Part *p, const double *prob, Error *e) {
  const int64_t m = j->train.lesions;
  double *by = mem_alloc((size_t)m * sizeof *by);
  if (!by) return err_set(e, ST_NOMEM, "out of memory for the validation");
  classifier_by_lesion(p->view.n, prob, 2, 1, p->lesion, m, by);
  Status s = held_grow(&j->held, m, e);
  for (int64_t l = 0; l < m && s == ST_OK; l++) {
    if (!isfinite(by[l])) continue;
    const int64_t k = j->held.count++;
    j->held.lesion[k] = l;
    j->held.run[k] = j->run;
    j->held.truth[k] = j->train.row[l].label;
    j->held.score[k] = by[l];
  }
  mem_free(by);
  return s;
}

static Status held_predict(Job *j, const int *of, Error *e) {
  Part p;
  double *prob = NULL;
  Status s = part_take(j, of, j->run % j->args.validate, true, true, &p, e);
  if (s != ST_OK || !p.view.n) goto done;
  if (!(prob = mem_alloc((size_t)(2 * p.view.n) * sizeof *prob))) {
    s = err_set(e, ST_NOMEM, "out of memory for the validation");
    goto done;
  }
  s = classifier_predict(&j->model[j->run], &p.view, prob, e);
  if (s != ST_OK) goto done;
  s = held_lesions(j, &p, prob, e);
done:
  mem_free(prob);
  part_free(&p);
  return s;
}

typedef struct Call {
  double score;
  int truth;
} Call;
static int call_order(const void *a, const void *b) {
  const Call *x = a, *y = b;
  return x->score != y->score ? (x->score < y->score ? -1 : 1) : x->truth - y->truth;
}

/* The middle of the gap at which balanced accuracy is largest; of equal ones the lowest. */
static double best_threshold(Call *c, int64_t n, int64_t rims) {
  const double others = (double)(n - rims);
  double best = -1, at = 0.5, missed = 0, right = 0;
  for (int64_t i = 0; i + 1 < n; i++) {
    missed += c[i].truth;
    right += !c[i].truth;
    if (c[i].score == c[i + 1].score) continue;
    const double v = 1 - missed / (double)rims + right / others;
    if (v <= best + 1e-12) continue;
    best = v;
    at = (c[i].score + c[i + 1].score) / 2;
  }
  return at;
}

static Status choose_threshold(Job *j, Error *e) {
  const Held *h = &j->held;
  Call *c = mem_alloc((size_t)PRLX_MAX(h->count, 1) * sizeof *c);
  int64_t rims = 0;
  if (!c) return err_set(e, ST_NOMEM, "out of memory for the validation");
  for (int64_t i = 0; i < h->count; i++) {
    c[i] = (Call){h->score[i], h->truth[i]};
    rims += h->truth[i];
  }
  if (!rims || rims == h->count)
    fprintf(stderr,
            "prlx classify: note: the held-out subjects have %lld rim and %lld non-rim lesions; no "
            "threshold can be chosen on them, it stays %g; use a smaller --validate or more runs\n",
            (long long)rims, (long long)(h->count - rims), j->args.threshold);
  else {
    qsort(c, (size_t)h->count, sizeof *c, call_order);
    j->args.threshold = best_threshold(c, h->count, rims);
  }
  mem_free(c);
  return ST_OK;
}

static Status write_validation(const Job *j, Error *e) {
  static const char *const head[] = {"subject", "lesion", "class", "run", "rim"};
  char path[PATH_LEN];
  TsvWriter w = {0};
  TRY(path_join(path, j->args.out, "validation.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  for (int64_t i = 0; i < j->held.count; i++) {
    const SliceLesion *x = &j->train.row[j->held.lesion[i]];
    tsv_cell(&w, "%s", x->subject);
    tsv_cell(&w, "%s", x->name);
    tsv_cell(&w, "%s", classify_class_text(x->label));
    tsv_cell(&w, "%d", j->held.run[i]);
    tsv_cell(&w, "%.9g", j->held.score[i]);
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

/* ---- all runs ---- */

static void announce_training(const Job *j) {
  int64_t of[3];
  count_lesions(&j->train, of);
  if (tool_quiet) return;
  fprintf(stderr,
          "training: %lld rim and %lld non-rim lesions, %lld slices of %d x %d (%s); %d epochs, "
          "%d run%s\n",
          (long long)of[1], (long long)of[0], (long long)j->train.n, j->train.w, j->train.h,
          j->channels, j->args.epochs, j->args.runs, j->args.runs == 1 ? "" : "s");
}

static Status run_all(Job *j, const int *of, Error *e) {
  ClassifierConfig cfg = classifier_defaults(j->train.channels);
  cfg.pools = j->args.pools;
  for (j->run = 0; j->run < j->args.runs; j->run++) {
    TRY(run_one(j, &cfg, of, e));
    if (j->args.validate) TRY(held_predict(j, of, e));
  }
  if (!j->args.validate) return ST_OK;
  TRY(choose_threshold(j, e));
  return write_validation(j, e);
}

Status classify_train_all(Job *j, Error *e) {
  const Args *a = &j->args;
  int *of = mem_alloc((size_t)PRLX_MAX(j->train.subjects, 1) * sizeof *of);
  j->model = mem_alloc((size_t)a->runs * sizeof *j->model);
  Status s = of && j->model
                 ? outputs_folder(a->out,
                                  "model0.safetensors metrics.tsv predictions.tsv confusion.tsv "
                                  "difference.tsv validation.tsv",
                                  e)
                 : err_set(e, ST_NOMEM, "out of memory for %d classifiers", a->runs);
  if (s != ST_OK) goto done;
  j->runs = a->runs;
  s = a->validate ? deal_subjects(j, of, e) : ST_OK;
  if (s != ST_OK) goto done;
  announce_training(j);
  progress_start(&j->bar, "classify", "epoch", (double)a->runs * a->epochs);
  s = run_all(j, of, e);
  progress_end(&j->bar);
done:
  mem_free(of);
  return s;
}
