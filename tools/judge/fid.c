/* fid.c: `prlx fid`: how far sets of images are from a reference set: FID with interval and
 * extrapolation, KID with standard error, precision and recall; and how well two simple numbers
 * tell each set from the reference, which none of these shows. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "tools/cli/device.h"
#include "tools/cli/tool.h"
#include "tools/judge/featureset.h"

/* images per set up to which inner products are kept, resamples are drawn */
enum { GRAM_MAX = 5000, BOOT_MAX = 2500 };
typedef struct Args {
  const char *inception;
  const char *data;
  const char *cache;
  int convention;
  int channels;
  int batch;
  int k;
  int cov;
  int reps;
  int sizes;
  int label;
  int64_t limit;
  int64_t seed;
  bool bits8;
  bool kid;
  bool pr;
  bool floor;
  bool no_cache;
  bool features;
  bool json;
} Args;
typedef struct Row {
  FeatureSet set;
  Fid fid;
  Kid kid;
  PrecisionRecall pr;
  Interval ci;
  FidCurve curve;
  FidFloor floor;
  TextureGap gap;
  bool has_gram;
  bool has_ci;
  bool has_pr;
} Row;
typedef struct Job {
  Args a;
  FeatureNet net;
  FeatureSet ref;
  Row *row;
  int n;
  Progress bar;
} Job;

static bool fid_tick(void *ctx, int64_t done) {
  Job *j = ctx;
  progress_update(&j->bar, (double)done, NULL);
  return !tool_interrupted;
}

/* ---- one set against the reference ---- */

static Features set_features(const FeatureSet *s) { return (Features){s->f.n, s->f.d, s->f.x}; }
static Groups set_groups(const FeatureSet *s) { return (Groups){s->group, s->ngroups}; }

/* Numbers that need the matrix of all scalar products. */
static Status gram_numbers(Job *j, Row *r, const Gram *g, Error *e) {
  const Args *a = &j->a;
  TRY(fid_gram(g, NULL, NULL, a->cov, &r->fid, e));
  r->has_gram = true;
  if (a->pr && g->na > a->k && g->nb > a->k) {
    TRY(precision_recall(g, a->k, &r->pr, e));
    r->has_pr = true;
  }
  return ST_OK;
}

static Status gram_curve(Job *j, Row *r, const Gram *g, Error *e) {
  const Args *a = &j->a;
  if (!a->sizes || g->na < 4 || g->nb < 4) return ST_OK;
  progress_start(&j->bar, "sample sizes", "subset", (double)(FID_SIZES - 1) * a->sizes + 1);
  const Status s = fid_curve(g, a->cov, a->sizes, (uint64_t)a->seed, &r->curve, fid_tick, j, e);
  progress_end(&j->bar);
  return s;
}

static Status gram_bootstrap(Job *j, Row *r, const Gram *g, Error *e) {
  const Args *a = &j->a;
  if (!a->reps || g->na > BOOT_MAX || g->nb > BOOT_MAX) return ST_OK;
  progress_start(&j->bar, "bootstrap", "resample", a->reps);
  const Status s = fid_bootstrap(g, set_groups(&j->ref), set_groups(&r->set), r->fid.fid, a->cov,
                                 a->reps, (uint64_t)a->seed, &r->ci, fid_tick, j, e);
  progress_end(&j->bar);
  r->has_ci = s == ST_OK;
  return s;
}

static Status compare_small(Job *j, Row *r, Error *e) {
  Gram g;
  TRY(gram_new_on(j->net.o.on, &g, set_features(&j->ref), set_features(&r->set), e));
  Status s = gram_numbers(j, r, &g, e);
  if (s != ST_OK) goto done;
  s = gram_curve(j, r, &g, e);
  if (s != ST_OK) goto done;
  if (j->a.floor) {
    s = fid_floor(&g, j->a.cov, 10, (uint64_t)j->a.seed, &r->floor, e);
    if (s != ST_OK) goto done;
  }
  s = gram_bootstrap(j, r, &g, e);
done:
  gram_free(&g);
  return s;
}

static Status check_alike(const FeatureSet *ref, const FeatureSet *set, Error *e) {
  const FeatureFile *a = &ref->f, *b = &set->f;
  TRY(feature_sets_seen_alike(ref, set, e));
  if (a->d == b->d && !strcmp(a->network, b->network) && !strcmp(a->convention, b->convention))
    return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: features of \"%.100s\", %.60s; those of %s are of \"%.100s\", %.60s; only "
                 "features of one network and convention can be compared",
                 set->path, b->network, b->convention, ref->path, a->network, a->convention);
}

static Status fid_compare(Job *j, Row *r, const char *path, Error *e) {
  TRY(feature_set_open(&r->set, &j->net, path, e));
  r->gap = (TextureGap){NAN, NAN, NAN};
  if (j->ref.texture && r->set.texture)
    TRY(texture_gap(j->ref.f.n, j->ref.texture, r->set.f.n, r->set.texture, &r->gap, e));
  if (!j->a.features) return ST_OK;
  const FeatureFile *a = &j->ref.f, *b = &r->set.f;
  TRY(check_alike(&j->ref, &r->set, e));
  bool small = a->n <= GRAM_MAX && b->n <= GRAM_MAX;
  TRY(small ? compare_small(j, r, e)
            : fid_features_on(j->net.o.on, set_features(&j->ref), set_features(&r->set), j->a.cov,
                              &r->fid, e));
  if (!j->a.kid) return ST_OK;
  return kid_features_on(j->net.o.on, set_features(&j->ref), set_features(&r->set),
                         set_groups(&j->ref), set_groups(&r->set), &r->kid, e);
}

/* ---- output ---- */

static void print_notes(const Job *j) {
  const Args *a = &j->a;
  bool few = false, few_groups = false, subjects = j->ref.by_subject, large = false, copies = false;
  for (int k = 0; k < j->n; k++) {
    const Row *r = &j->row[k];
    few |= PRLX_MIN(j->ref.f.n, r->set.f.n) <= j->ref.f.d;
    subjects |= r->set.by_subject;
    few_groups |=
        (j->ref.by_subject && j->ref.ngroups < 10) || (r->set.by_subject && r->set.ngroups < 10);
    large |= !r->has_gram || (a->reps && !r->has_ci);
    copies |= r->has_pr && r->pr.nearest_a < 0.5;
  }
  printf("covariance over %s", a->cov == COV_BIASED ? "n" : "n-1");
  if (a->reps)
    printf("; [95 %%]: bootstrap by %s, %d resamples, around their own mean",
           subjects ? "subject where known" : "image", a->reps);
  if (a->kid) printf("; KID: cubic kernel, unbiased, +- standard error (jackknife)");
  if (a->pr) printf("; precision, recall: k = %d", a->k);
  printf("\n");
  if (few)
    printf("note: fewer images than feature dimensions (%lld): FID is biased upwards; compare only "
           "rows of equal n, prefer KID; FID_inf is a rough correction\n",
           (long long)j->ref.f.d);
  if (few_groups)
    printf("note: fewer than 10 subjects in a set: intervals and standard errors are themselves "
           "uncertain\n");
  if (large)
    printf("note: not computed for large sets: precision, recall and FID_inf above %d images, "
           "intervals above %d\n",
           GRAM_MAX, BOOT_MAX);
  if (copies)
    printf("note: nearest < 0.5: images lie much closer to the reference than its own images to "
           "each other: copies?\n");
}

/* Sets that differ in the size of their images: resampling alone tells them apart. */
static void print_sizes(const Job *j) {
  const FeatureSet *a = &j->ref;
  for (int k = 0; k < j->n; k++) {
    const FeatureSet *b = &j->row[k].set;
    if (!a->h || !b->h || (a->h > 0 && a->h == b->h && a->w == b->w)) continue;
    if (a->h < 0 || b->h < 0)
      printf("note: %s and the reference: images of several sizes; resampling alone tells them "
             "apart\n",
             path_base(b->path));
    else
      printf("note: %s has images of %lld x %lld, the reference of %lld x %lld; resampling alone "
             "tells them apart\n",
             path_base(b->path), (long long)b->h, (long long)b->w, (long long)a->h,
             (long long)a->w);
  }
}

static void print_gaps(const Job *j) {
  printf("%-28s %6s %12s %9s %9s\n", "told from the reference by", "n", "fine detail", "border",
         "both");
  bool open = false;
  for (int k = 0; k < j->n; k++) {
    const Row *r = &j->row[k];
    open |= isnan(r->gap.both);
    printf("%-28.28s %6lld", path_base(r->set.path), (long long)r->set.f.n);
    if (isnan(r->gap.both))
      printf(" %12s %9s %9s\n", "-", "-", "-");
    else
      printf(" %12.3f %9.3f %9.3f\n", r->gap.detail, r->gap.border, r->gap.both);
  }
  printf("(area under the ROC curve: 0.5 not at all, 1 always; power at 0.35 to 0.5 over 0.06 to "
         "0.2 cycles per\npixel; steps at the outermost pixel over those further in; both: their "
         "linear discriminant, fitted on these images)\n");
  if (open)
    printf("(-: not measured: a file of features, images of one grey level or below %d pixels, or "
           "too few of them)\n",
           TEXTURE_LEAST);
  printf("\n");
}

/* Where images of the reference stand twice in it, their distances are no measure. */
static void print_manifold(const PrecisionRecall *p) {
  printf(" %9.3f %7.3f", p->precision, p->recall);
  if (isfinite(p->nearest_a))
    printf(" %8.3f", p->nearest_a);
  else
    printf(" %8s", "n/a");
}

static void print_table(const Job *j) {
  const Args *a = &j->a;
  if (!a->features) {
    printf("reference  %s, n = %lld\n\n", j->ref.path, (long long)j->ref.f.n);
    print_gaps(j);
    print_sizes(j);
    return;
  }
  printf("reference  %s, n = %lld\nfeatures   %s\ninput      %s\n\n", j->ref.path,
         (long long)j->ref.f.n, j->ref.f.network, j->ref.f.convention);
  printf("%-28s %6s %9s", "set", "n", "FID");
  if (a->reps) printf(" %21s", "[95 %]");
  if (a->sizes) printf(" %9s %5s", "FID_inf", "r2");
  if (a->kid) printf(" %21s", "KID x 1000");
  if (a->pr) printf(" %9s %7s %8s", "precision", "recall", "nearest");
  printf("\n");
  for (int k = 0; k < j->n; k++) {
    const Row *r = &j->row[k];
    char b[64];
    printf("%-28.28s %6lld %9.3f", path_base(r->set.path), (long long)r->set.f.n, r->fid.fid);
    snprintf(b, sizeof b, "[%.3f, %.3f]", r->ci.lo, r->ci.hi);
    if (a->reps) printf(" %21s", r->has_ci ? b : "-");
    if (a->sizes && r->curve.na[0])
      printf(" %9.3f %5.2f", r->curve.inf, r->curve.r2);
    else if (a->sizes)
      printf(" %9s %5s", "-", "-");
    /* two images: none can be left out, so there is no standard error */
    if (isnan(r->kid.se))
      snprintf(b, sizeof b, "%.3f +- n/a", 1000 * r->kid.kid);
    else
      snprintf(b, sizeof b, "%.3f +- %.3f", 1000 * r->kid.kid, 1000 * r->kid.se);
    if (a->kid) printf(" %21s", b);
    if (r->has_pr)
      print_manifold(&r->pr);
    else if (a->pr)
      printf(" %9s %7s %8s", "-", "-", "-");
    printf("\n");
  }
  for (int k = 0; k < j->n && a->floor; k++)
    if (j->row[k].has_gram)
      printf("floor      halves of the reference: FID %.3f; halves of it against as many of %s: "
             "%.3f (n = %lld)\n",
             j->row[k].floor.within, path_base(j->row[k].set.path), j->row[k].floor.between,
             (long long)j->row[k].floor.n);
  printf("\n");
  print_gaps(j);
  print_notes(j);
  print_sizes(j);
}

static void json_text(const char *s) {
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 32)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void json_num(const char *key, double v) {
  if (isfinite(v))
    printf(", \"%s\": %.9g", key, v);
  else
    printf(", \"%s\": null", key);
}

static void print_json(const Job *j) {
  const Args *a = &j->a;
  printf("{\"reference\": ");
  json_text(j->ref.path);
  printf(", \"n\": %lld, \"network\": ", (long long)j->ref.f.n);
  json_text(j->ref.f.network);
  printf(", \"convention\": ");
  json_text(j->ref.f.convention);
  printf(", \"covariance\": \"%s\", \"seed\": %lld, \"sets\": [",
         a->cov == COV_BIASED ? "n" : "n-1", (long long)a->seed);
  for (int k = 0; k < j->n; k++) {
    const Row *r = &j->row[k];
    printf("%s\n  {\"set\": ", k ? "," : "");
    json_text(r->set.path);
    printf(", \"n\": %lld", (long long)r->set.f.n);
    if (a->features) {
      json_num("fid", r->fid.fid);
      json_num("fid_mean_term", r->fid.mean);
    }
    json_num("auc_detail", r->gap.detail);
    json_num("auc_border", r->gap.border);
    json_num("auc_both", r->gap.both);
    if (r->has_ci) {
      json_num("fid_lo", r->ci.lo);
      json_num("fid_hi", r->ci.hi);
      json_num("fid_se", r->ci.se);
    }
    if (r->has_ci)
      printf(", \"resamples\": %lld, \"by\": \"%s\"", (long long)r->ci.reps,
             j->ref.by_subject || r->set.by_subject ? "subject" : "image");
    if (r->curve.na[0]) {
      json_num("fid_inf", r->curve.inf);
      json_num("fid_inf_r2", r->curve.r2);
      printf(", \"fid_by_n\": [");
      for (int i = 0; i < FID_SIZES; i++)
        printf("%s[%lld, %lld, %.9g]", i ? ", " : "", (long long)r->curve.na[i],
               (long long)r->curve.nb[i], r->curve.fid[i]);
      printf("]");
    }
    if (a->kid && a->features) {
      json_num("kid", r->kid.kid);
      json_num("kid_se", r->kid.se);
    }
    if (r->has_pr) {
      json_num("precision", r->pr.precision);
      json_num("recall", r->pr.recall);
      json_num("nearest", r->pr.nearest_a);
    }
    if (a->floor && r->has_gram) {
      json_num("floor_within", r->floor.within);
      json_num("floor_between", r->floor.between);
      printf(", \"floor_n\": %lld", (long long)r->floor.n);
    }
    printf("}");
  }
  printf("\n]}\n");
}

/* ---- the command ---- */

/* All sets, before the first image goes through the network. */
static Status look_at_all(Job *j, char **path, Error *e) {
  FeatureSet ref, set;
  TRY(feature_set_look(&ref, &j->net, path[0], e));
  Status s = ST_OK;
  for (int k = 0; k < j->n && s == ST_OK; k++) {
    s = feature_set_look(&set, &j->net, path[k + 1], e);
    if (s != ST_OK) break;
    if (j->a.features) s = check_alike(&ref, &set, e);
    feature_set_free(&set);
  }
  feature_set_free(&ref);
  return s;
}

static Status fid_run(Job *j, char **path, Error *e) {
  const Args *a = &j->a;
  j->net.o =
      (FeatureOptions){.weights = a->inception,
                       .data = a->data,
                       .cache = a->no_cache ? NULL : a->cache,
                       .batch = a->batch,
                       .limit = a->limit,
                       .texture_only = !a->features,
                       .label = a->label,
                       .input = {(FidConvention)a->convention, (FidChannels)a->channels, a->bits8}};
  TRY(look_at_all(j, path, e));
  if (a->features) TRY(tool_backend(PREC_TF32, &j->net.o.on, e));
  TRY(feature_set_open(&j->ref, &j->net, path[0], e));
  for (int k = 0; k < j->n; k++) {
    const Status s = fid_compare(j, &j->row[k], path[k + 1], e);
    if (s == ST_OK) continue;
    const Error inner = *e;
    if (!strstr(inner.msg, path[k + 1]) && !strstr(inner.msg, path[0]))
      err_set(e, s, "%s against %s: %.800s", path[k + 1], path[0], inner.msg);
    return s;
  }
  if (a->json)
    print_json(j);
  else
    print_table(j);
  return ST_OK;
}

/* Options of what is not computed. Returns -1 to go on. */
static int fid_unused(const OptSpec *s, const Args *a) {
  int rc = opts_need(s, a->features,
                     "inception convention 8bit channels batch cache no-cache covariance "
                     "bootstrap sizes k floor seed",
                     "--features");
  if (rc < 0) rc = opts_need(s, a->pr, "k", "--pr");
  return rc < 0 ? opts_need(s, !a->no_cache, "cache", "a run without --no-cache") : rc;
}

int tool_fid(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("fid");
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("Features"),
      OPT_STR("inception", &a->inception, NULL, "FILE",
              "Inception weights, such as `prlx import` makes of the public FID network\n(default: "
              "the bundled Inception of nsfwjs, which is not that network)"),
      OPT_CHOICE("convention", &a->convention, "pytorch-fid", "pytorch-fid|tensorflow|clean-fid",
                 "how images reach 299 x 299: bilinear with half-pixel centres; as the 2015 "
                 "graph\n(StyleGAN2-ADA); antialiased bicubic"),
      OPT_FLAG("8bit", &a->bits8, "no", "round images to 8 bits first, as tools that read PNG do"),
      OPT_CHOICE("channels", &a->channels, "auto", "auto|first|mean",
                 "what the network sees of several channels. auto: 3 as they are, else the first"),
      OPT_INT("label", &a->label, "-1", -1, 1000000, "only images of this class, in all data sets"),
      OPT_I64(
          "limit", &a->limit, "0", 0, 1e9,
          "at most so many images per set, evenly spaced (equal n makes FIDs comparable); 0: all"),
      OPT_INT("batch", &a->batch, "4", 1, 256, "images at a time"),
      OPT_STR("cache", &a->cache, "out/features", "DIR", "where features are kept, by content"),
      OPT_FLAG("no-cache", &a->no_cache, "no", "neither read nor write them"),
      OPT_STR("data", &a->data, NULL, "DIR", "folder of the bundled files"),
      OPT_GROUP("Numbers"),
      OPT_CHOICE("covariance", &a->cov, "unbiased", "unbiased|biased",
                 "over n-1 (pytorch-fid, clean-fid) or n (StyleGAN2-ADA)"),
      OPT_INT("bootstrap", &a->reps, "200", 0, 1000000,
              "resamples for the interval of FID; 0: none"),
      OPT_INT("sizes", &a->sizes, "4", 0, 10000,
              "random subsets per sample size for FID_inf; 0: none"),
      OPT_FLAG("kid", &a->kid, "yes", "kernel distance with standard error"),
      OPT_FLAG("pr", &a->pr, "yes", "precision and recall of the feature manifolds"),
      OPT_INT("k", &a->k, "3", 1, 64, "neighbours that precision and recall reach to"),
      OPT_FLAG(
          "features", &a->features, "yes",
          "FID, KID, precision and recall; --no-features: only how well fine detail and border "
          "tell\neach set from the reference, in seconds"),
      OPT_FLAG("floor", &a->floor, "no",
               "FID between halves of the reference, beside halves against the set"),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "seed of resamples and subsets"),
      OPT_FLAG("json", &a->json, "no", "JSON instead of a table"),
  };
  OptSpec spec = {
      .cmd = "fid",
      .summary = "distance of sets of images from a reference set: FID, KID, precision and recall",
      .details = "The first set is the reference (real images), every other one gets a row:\n"
                 "  prlx fid test.safetensors train.safetensors synthetic.safetensors "
                 "denoised.safetensors\n"
                 "FILE+FILE is both as one set: real rims with those that an augmentation adds.\n"
                 "A set is a data set, or a file with a tensor \"features\" [images, dimensions]. "
                 "Numbers of different networks or conventions\n"
                 "cannot be compared; every output names both. Features are kept, so a second call "
                 "is fast, and an interrupted one goes on.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "REFERENCE SET...",
      .pos_min = 2,
      .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc < 0) rc = fid_unused(&spec, a);
  if (rc >= 0) {
    mem_free(j);
    return rc;
  }
  Error e = {0};
  j->n = spec.nargs - 1;
  j->row = mem_alloc((size_t)j->n * sizeof *j->row);
  Status s = a->reps == 1
                 ? err_set(&e, ST_INVALID,
                           "--bootstrap 1; an interval needs at least 2 resamples, better 200")
             : j->row ? fid_run(j, spec.args, &e)
                      : err_set(&e, ST_NOMEM, "out of memory");
  rc = s == ST_OK ? EXIT_DONE : tool_fail("fid", &e);
  for (int k = 0; j->row && k < j->n; k++) feature_set_free(&j->row[k].set);
  feature_set_free(&j->ref);
  feature_net_free(&j->net);
  mem_free(j->row);
  opts_free(&spec);
  mem_free(j);
  return rc;
}
