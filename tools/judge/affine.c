/* affine.c: `prlx affine`: the affine baseline: transformed copies of training lesions as a data
 * set of their own. One draw per lesion: all its slices and channels move alike. */
#include <stdio.h>
#include <string.h>
#include "models/judge/affine.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/judge/slices.h"

typedef struct Args {
  const char *out;
  int lesions;
  int cls;
  bool cls_given;
  int64_t seed;
  AffineRange range;
} Args;
typedef struct Copy {
  int64_t lesion;
  AffineMap map;
} Copy;

/* Lesions (or, where the file knows none, images) of the class, in random order, again from the
 * start when there are fewer than wanted. */
static Status affine_choose(const Dataset *d, const Args *a, Copy *copy, Error *e) {
  const int64_t n = d->src ? d->src->n : d->n;
  int64_t *order = mem_alloc((size_t)n * sizeof *order), m = 0;
  bool *used = mem_alloc((size_t)n * sizeof *used);
  Status s = ST_OK;
  if (!order || !used) {
    s = err_set(e, ST_NOMEM, "out of memory");
    goto done;
  }
  if (!d->src && !d->labels && !a->cls_given) {
    s = err_set(e, ST_INVALID,
                "%s: its images have no class; affine copies lesions of one class; say --class %d "
                "if all of them are of it",
                d->path, a->cls);
    goto done;
  }
  for (int64_t i = 0; i < d->n; i++) {
    int64_t l = d->src ? d->src->lesion[i] : i, label = d->src      ? d->src->label[l]
                                                        : d->labels ? d->labels[i]
                                                                    : a->cls;
    if (label == a->cls && !used[l]) used[l] = true, order[m++] = l;
  }
  if (!m) {
    s = err_set(e, ST_INVALID, "%s: no lesion of class %d; see --class", d->path, a->cls);
    goto done;
  }
  Rng shuffle = {.seed = (uint64_t)a->seed, .subsequence = 1};
  for (int k = 0; k < a->lesions; k++) {
    /* a copy's draw does not depend on how many are made */
    Rng r = {.seed = (uint64_t)a->seed, .subsequence = 1000 + (uint64_t)k};
    if (k % m == 0) fit_shuffle(order, m, &shuffle);
    copy[k] = (Copy){order[k % m], affine_draw(&a->range, &r)};
  }
done:
  mem_free(order);
  mem_free(used);
  return s;
}

static int64_t slices_of(const Dataset *d, int64_t lesion) {
  if (!d->src) return 1;
  int64_t n = 0;
  for (int64_t i = 0; i < d->n; i++) n += d->src->lesion[i] == lesion;
  return n;
}

/* Where the copies come from: same subject, volume and windows, a name of its own. */
static Status new_lesions(Dataset *o, const Dataset *d, const Copy *copy, int n, Error *e) {
  DatasetLesions *t = lesions_new(n, d->src->nsubjects, o->n, d->channels);
  if (!t) return err_set(e, ST_NOMEM, "out of memory for %d lesions", n);
  memcpy(t->subject, d->src->subject, (size_t)t->nsubjects * sizeof *t->subject);
  for (int k = 0; k < n; k++) {
    const int64_t l = copy[k].lesion;
    snprintf(t->name[k], sizeof t->name[k], "affine%04d-%.40s", k, d->src->name[l]);
    t->subject_of[k] = d->src->subject_of[l];
    t->label[k] = d->src->label[l];
    memcpy(t->dim + 3 * k, d->src->dim + 3 * l, 3 * sizeof *t->dim);
    memcpy(t->affine + 16 * k, d->src->affine + 16 * l, 16 * sizeof *t->affine);
  }
  o->src = t;
  return ST_OK;
}

static Status new_dataset(Dataset *o, const Dataset *d, const Args *a, const Copy *copy, Error *e) {
  char text[160];
  *o = (Dataset){.channels = d->channels, .h = d->h, .w = d->w, .path = mem_strdup(a->out)};
  for (int k = 0; k < a->lesions; k++) o->n += slices_of(d, copy[k].lesion);
  const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w;
  o->images = mem_alloc((size_t)o->n * per * sizeof *o->images);
  o->labels = mem_alloc((size_t)o->n * sizeof *o->labels);
  o->names = mem_alloc((size_t)o->n * sizeof *o->names);
  if (!o->path || !o->images || !o->labels || !o->names)
    return err_set(e, ST_NOMEM, "out of memory for %lld slices", (long long)o->n);
  for (int i = 0; i < d->nmeta; i++) TRY(dataset_set_meta(o, d->meta[i].key, d->meta[i].value, e));
  snprintf(text, sizeof text,
           "affine: rotation %g, scale %g to %g, shear %g, shift %g, flips %s, seed %lld",
           a->range.rotate, a->range.scale_lo, a->range.scale_hi, a->range.shear, a->range.shift,
           a->range.flip ? "yes" : "no", (long long)a->seed);
  TRY(dataset_set_meta(o, "synthetic.method", text, e));
  TRY(dataset_set_meta(o, "synthetic.from", d->path, e));
  return d->src ? new_lesions(o, d, copy, a->lesions, e) : ST_OK;
}

static void affine_fill(Dataset *o, const Dataset *d, const Args *a, const Copy *copy) {
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  int64_t at = 0;
  for (int k = 0; k < a->lesions; k++)
    for (int64_t i = 0; i < d->n; i++) {
      if ((d->src ? d->src->lesion[i] : i) != copy[k].lesion) continue;
      affine_apply(&copy[k].map, d->images + i * per, d->channels, d->h, d->w,
                   o->images + at * per);
      o->labels[at] = a->cls;
      snprintf(o->names[at], sizeof o->names[at], "affine%04d-%.40s", k,
               d->names ? d->names[i] : "");
      if (d->src) {
        o->src->lesion[at] = k;
        o->src->slice[at] = d->src->slice[i];
        memcpy(o->src->window + at * d->channels * 2, d->src->window + i * d->channels * 2,
               (size_t)d->channels * 2 * sizeof(double));
      }
      at++;
    }
}

static Status affine_run(const Args *a, const char *path, Error *e) {
  Dataset d, o = {0};
  TRY(affine_check(&a->range, e));
  TRY(outputs_file(a->out, "prlx-dataset-", e));
  TRY(dataset_open(&d, path, e));
  Status s = ST_OK;
  Copy *copy = mem_alloc((size_t)a->lesions * sizeof *copy);
  if (!copy) {
    s = err_set(e, ST_NOMEM, "out of memory");
    goto done;
  }
  s = affine_choose(&d, a, copy, e);
  if (s != ST_OK) goto done;
  s = new_dataset(&o, &d, a, copy, e);
  if (s != ST_OK) goto done;
  affine_fill(&o, &d, a, copy);
  s = dataset_save(&o, a->out, false, e);
  if (s != ST_OK) goto done;
  printf("%s: %d lesions, %lld slices of class %d\n", a->out, a->lesions, (long long)o.n, a->cls);
done:
  dataset_free(&d);
  dataset_free(&o);
  mem_free(copy);
  return s;
}

int tool_affine(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_GROUP("Transformation"),
      OPT_REAL("rotate", &a.range.rotate, "15", 0, 180,
               "rotation up to this many degrees either way"),
      OPT_REAL("scale-from", &a.range.scale_lo, "0.9", 0.1, 10, "smallest scale"),
      OPT_REAL("scale-to", &a.range.scale_hi, "1.1", 0.1, 10, "largest scale"),
      OPT_REAL("shear", &a.range.shear, "5", 0, 79, "shear up to this many degrees either way"),
      OPT_REAL("shift", &a.range.shift, "4", 0, 10000,
               "shift up to this many pixels either way, per axis"),
      OPT_FLAG("flip", &a.range.flip, "yes", "each axis flipped with probability 1/2"),
      OPT_GROUP("What is made"),
      OPT_INT("lesions", &a.lesions, "100", 1, 1000000,
              "how many transformed lesions (the originals are not among them)"),
      OPT_INT("class", &a.cls, "1", 0, 2,
              "of lesions of this class: 1 rim, 0 non-rim, 2 ambiguous"),
      OPT_I64("seed", &a.seed, "0", 0, 9e15, "seed"),
      OPT_STR("out", &a.out, "affine.safetensors", "FILE", "the data set of transformed lesions"),
  };
  OptSpec spec = {
      .cmd = "affine",
      .summary = "Baseline: affine copies of training lesions as a data set of their own.",
      .details = "  prlx affine train.safetensors --out affine.safetensors\n"
                 "  prlx classify train.safetensors affine.safetensors --test test.safetensors\n"
                 "All slices and channels of a lesion move alike. Make copies of training data "
                 "only: a copy belongs to the subject of its original.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "DATA",
      .pos_min = 1,
      .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  Error e = {0};
  a.cls_given = opts_given(&spec, "class");
  rc = affine_run(&a, spec.args[0], &e) == ST_OK ? EXIT_DONE : tool_fail("affine", &e);
  opts_free(&spec);
  return rc;
}
