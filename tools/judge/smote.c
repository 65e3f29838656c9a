/* smote.c: `prlx smote`: the oversampling baselines: SMOTE between pixels (Chawla et al. 2002) or
 * between the codes of an autoencoder (DeepSMOTE, Dablain et al. 2021). Both work on slices: a new
 * image lies between slices of two different lesions of the class. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "models/judge/deepsmote.h"
#include "models/judge/smote.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/judge/slices.h"

typedef struct Args {
  const char *out;
  int method;
  int lesions;
  int images;
  int cls;
  int k;
  int epochs;
  int batch;
  int width;
  int latent;
  int kind;
  int64_t seed;
  double lr;
  double penalty;
} Args;
enum { METHOD_PIXEL, METHOD_DEEP };
typedef struct Job {
  Args a;
  Dataset d;
  int64_t *pool;
  int64_t *lesion;
  int64_t n;
  int64_t lesions;
  real *x;
  Dataset o;
  SmotePick *pick;
  Progress bar;
  double rec;
  double pen;
} Job;

static void job_free(Job *j) {
  dataset_free(&j->d);
  dataset_free(&j->o);
  mem_free(j->pool);
  mem_free(j->lesion);
  mem_free(j->x);
  mem_free(j->pick);
}

static int64_t label_of(const Dataset *d, int64_t i) {
  return d->labels ? d->labels[i] : d->src ? d->src->label[d->src->lesion[i]] : -1;
}

/* Slices of the class: their numbers into j->pool, their lesions into j->lesion. */
static Status pool_slices(Job *j, bool *seen, Error *e) {
  const Dataset *d = &j->d;
  for (int64_t i = 0; i < d->n; i++) {
    if (label_of(d, i) < 0)
      return err_set(e, ST_INVALID, "%s: image %lld has no class; SMOTE works within a class",
                     d->path, (long long)i);
    if (label_of(d, i) != j->a.cls) continue;
    const int64_t l = d->src ? d->src->lesion[i] : i;
    j->lesions += !seen[l];
    seen[l] = true;
    j->lesion[j->n] = l;
    j->pool[j->n++] = i;
  }
  return ST_OK;
}

static Status smote_gather(Job *j, Error *e) {
  const Dataset *d = &j->d;
  const int64_t per = (int64_t)d->channels * d->h * d->w, nl = d->src ? d->src->n : d->n;
  j->pool = mem_alloc((size_t)d->n * sizeof *j->pool);
  j->lesion = mem_alloc((size_t)d->n * sizeof *j->lesion);
  bool *seen = mem_alloc((size_t)nl * sizeof *seen);
  const Status s = j->pool && j->lesion && seen ? pool_slices(j, seen, e)
                                                : err_set(e, ST_NOMEM, "out of memory");
  mem_free(seen);
  TRY(s);
  if (j->lesions < 2)
    return err_set(e, ST_INVALID,
                   "%s: %lld lesions of class %d; SMOTE needs at least 2; see --class", d->path,
                   (long long)j->lesions, j->a.cls);
  j->x = mem_alloc((size_t)(j->n * per) * sizeof *j->x);
  if (!j->x) return err_set(e, ST_NOMEM, "out of memory for %lld slices", (long long)j->n);
  for (int64_t i = 0; i < j->n; i++)
    memcpy(j->x + i * per, d->images + j->pool[i] * per, (size_t)per * sizeof *j->x);
  return ST_OK;
}

static Status new_dataset(Job *j, Error *e) {
  const Args *a = &j->a;
  const Dataset *d = &j->d;
  Dataset *o = &j->o;
  char text[200];
  *o = (Dataset){.channels = d->channels, .h = d->h, .w = d->w, .path = mem_strdup(a->out)};
  /* As many slices as that many lesions of the class have on average. */
  o->n = a->images
             ? a->images
             : PRLX_MAX((int64_t)1,
                        (int64_t)llround((double)a->lesions * (double)j->n / (double)j->lesions));
  const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w;
  o->images = mem_alloc((size_t)o->n * per * sizeof *o->images);
  o->labels = mem_alloc((size_t)o->n * sizeof *o->labels);
  o->names = mem_alloc((size_t)o->n * sizeof *o->names);
  j->pick = mem_alloc((size_t)o->n * sizeof *j->pick);
  if (!o->path || !o->images || !o->labels || !o->names || !j->pick)
    return err_set(e, ST_NOMEM, "out of memory for %lld images", (long long)o->n);
  for (int i = 0; i < d->nmeta; i++) TRY(dataset_set_meta(o, d->meta[i].key, d->meta[i].value, e));
  if (a->method == METHOD_PIXEL)
    snprintf(text, sizeof text, "SMOTE on pixels: k %d, seed %lld", a->k, (long long)a->seed);
  else
    snprintf(text, sizeof text,
             "DeepSMOTE: k %d, width %d, codes %d, %d epochs, batch %d, lr %g, penalty %g (%s), "
             "seed %lld",
             a->k, a->width, a->latent, a->epochs, a->batch, a->lr, a->penalty,
             a->kind == DEEPSMOTE_PAPER ? "paper" : "code", (long long)a->seed);
  TRY(dataset_set_meta(o, "synthetic.method", text, e));
  return dataset_set_meta(o, "synthetic.from", d->path, e);
}

/* Picks and blends in the space of x [n,dim], result [o.n,dim]. */
static Status smote_fill(Job *j, const real *x, int64_t dim, real *out, Error *e) {
  Rng r = {.seed = (uint64_t)j->a.seed, .subsequence = 2};
  TRY(smote_pick(x, j->n, dim, j->d.src ? j->lesion : NULL, j->a.k, j->o.n, &r, j->pick, e));
  smote_blend(x, dim, j->pick, j->o.n, out);
  return ST_OK;
}

static bool on_epoch(void *ctx, int epoch, double rec, double pen) {
  Job *j = ctx;
  j->rec = rec;
  j->pen = pen;
  progress_update(&j->bar, epoch, "reconstruction %.5f, penalty %.5f", rec, pen);
  return !tool_interrupted;
}

/* The autoencoder learns from all classes, as published; the codes of the class are oversampled. */
static Status smote_deep(Job *j, Error *e) {
  const Args *a = &j->a;
  const Dataset *d = &j->d;
  if (d->h != d->w)
    return err_set(e, ST_INVALID, "%s: %d x %d pixels; DeepSMOTE takes squares", d->path, d->w,
                   d->h);
  DeepSmoteConfig cfg = deepsmote_defaults(d->channels, d->h);
  cfg.width = a->width;
  cfg.latent = a->latent;
  DeepSmoteTrain o = deepsmote_train_defaults();
  o.epochs = a->epochs;
  o.batch = a->batch;
  o.lr = a->lr;
  o.penalty = a->penalty;
  o.kind = (DeepSmotePenalty)a->kind;
  o.seed = (uint64_t)a->seed;
  o.tick = on_epoch;
  o.ctx = j;
  DeepSmote m;
  Backend *b;
  TRY(tool_backend_fit("smote", &b, e));
  TRY(deepsmote_new(&m, &cfg, e));
  m.backend = b;
  Status s = ST_OK;
  int64_t *labels = mem_alloc((size_t)d->n * sizeof *labels);
  real *z = mem_alloc((size_t)(j->n * cfg.latent) * sizeof *z),
       *znew = mem_alloc((size_t)(j->o.n * cfg.latent) * sizeof *znew);
  if (!labels || !z || !znew) {
    s = err_set(e, ST_NOMEM, "out of memory for the codes");
    goto done;
  }
  for (int64_t i = 0; i < d->n; i++) labels[i] = label_of(d, i);
  progress_start(&j->bar, "DeepSMOTE", "epoch", a->epochs);
  s = deepsmote_train(&m, &o, &(Slices){d->images, labels, d->n, d->channels, d->h, d->w}, e);
  progress_end(&j->bar);
  if (s != ST_OK) goto done;
  s = deepsmote_encode(&m, j->x, j->n, z, e);
  if (s != ST_OK) goto done;
  s = smote_fill(j, z, cfg.latent, znew, e);
  if (s != ST_OK) goto done;
  s = deepsmote_decode(&m, znew, j->o.n, j->o.images, e);
  if (s != ST_OK) goto done;
  if (!tool_quiet)
    printf("DeepSMOTE: last epoch's reconstruction error %.5f, penalty %.5f (mean square, network "
           "units)\n",
           j->rec, j->pen);
done:
  mem_free(labels);
  mem_free(z);
  mem_free(znew);
  deepsmote_free(&m);
  return s;
}

static Status smote_run(Job *j, const char *path, Error *e) {
  TRY(outputs_file(j->a.out, "prlx-dataset-", e));
  TRY(dataset_open(&j->d, path, e));
  TRY(smote_gather(j, e));
  TRY(new_dataset(j, e));
  TRY(j->a.method == METHOD_DEEP
          ? smote_deep(j, e)
          : smote_fill(j, j->x, (int64_t)j->d.channels * j->d.h * j->d.w, j->o.images, e));
  for (int64_t i = 0; i < j->o.n; i++) {
    j->o.labels[i] = j->a.cls;
    snprintf(j->o.names[i], sizeof j->o.names[i], "%s%05lld",
             j->a.method == METHOD_DEEP ? "deepsmote" : "smote", (long long)i);
  }
  TRY(dataset_save(&j->o, j->a.out, false, e));
  printf("%s: %lld images of class %d, made from %lld slices of %lld lesions\n", j->a.out,
         (long long)j->o.n, j->a.cls, (long long)j->n, (long long)j->lesions);
  return ST_OK;
}

int tool_smote(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("smote");
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("Method"),
      OPT_CHOICE("method", &a->method, "deep", "pixel|deep",
                 "between pixels (SMOTE), or between codes of an autoencoder (DeepSMOTE)"),
      OPT_INT("k", &a->k, "5", 1, 1000, "nearest neighbours, all of other lesions"),
      OPT_GROUP("DeepSMOTE (published: width 64, 200 epochs, batch 100, lr 0.0002)"),
      OPT_INT("epochs", &a->epochs, "50", 1, 100000, "passes over the slices of all classes"),
      OPT_INT("batch", &a->batch, "32", 2, 4096, "slices per step (and as many of one class)"),
      OPT_REAL("lr", &a->lr, "0.001", 1e-9, 10, "learning rate of Adam"),
      OPT_INT("width", &a->width, "16", 1, 512,
              "channels of the first convolution; doubled by each of the next three"),
      OPT_INT("latent", &a->latent, "300", 1, 65536, "codes"),
      OPT_REAL("penalty", &a->penalty, "1", 0, 1e6, "weight of the penalty"),
      OPT_CHOICE("penalty-as", &a->kind, "paper", "paper|code",
                 "codes permuted against the images (paper), or as in the authors' program"),
      OPT_GROUP("What is made"),
      OPT_INT("lesions", &a->lesions, "100", 1, 1000000,
              "as many slices as this many lesions of the class have on average"),
      OPT_INT("images", &a->images, "0", 0, 100000000, "instead: this many slices"),
      OPT_INT("class", &a->cls, "1", 0, 2, "class to oversample: 1 rim, 0 non-rim, 2 ambiguous"),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "seed"),
      OPT_STR("out", &a->out, "smote.safetensors", "FILE", "the data set of new slices"),
  };
  OptSpec spec = {
      .cmd = "smote",
      .summary = "Baselines: SMOTE and DeepSMOTE: new slices between those of two lesions.",
      .details = "  prlx smote train.safetensors --method pixel --out smote.safetensors\n"
                 "  prlx smote train.safetensors --out deepsmote.safetensors\n"
                 "  prlx classify train.safetensors deepsmote.safetensors --test test.safetensors\n"
                 "All channels are blended together. Oversample training data only.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "DATA",
      .pos_min = 1,
      .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) {
    mem_free(j);
    return rc;
  }
  Error e = {0};
  rc = opts_need(&spec, a->method == METHOD_DEEP, "epochs batch lr width latent penalty penalty-as",
                 "--method deep");
  if (rc < 0 && opts_given(&spec, "images") && opts_given(&spec, "lesions"))
    rc = tool_usage("smote", "--lesions and --images exclude each other");
  if (rc < 0) rc = smote_run(j, spec.args[0], &e) == ST_OK ? EXIT_DONE : tool_fail("smote", &e);
  opts_free(&spec);
  job_free(j);
  mem_free(j);
  return rc;
}
