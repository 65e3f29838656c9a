/* paper_take.c: `prlx paper take`: part of a data set, or the same lesions under other classes;
 * `prlx paper stamp`: says in a network's metadata which images it was trained on. Commands of
 * their own so that every step of `prlx paper run` can be repeated by hand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/tsv.h"
#include "io/images/features.h"
#include "models/store/netfile.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

typedef struct Take {
  const char *in;
  const char *out;
  const char *like;    /* only the lesions of this data set */
  const char *closest; /* table.tsv of `prlx project`: nearest to their targets first */
  const char *truth;   /* lesions.tsv of a phantom: its truth_rim becomes the class */
  int cls;
  int64_t lesions;
  int64_t skip;
  Dataset d;
  bool *keep;     /* [d.n] */
  int64_t *order; /* [d.n] images in the order in which lesions are counted */
} Take;

static int64_t lesion_of(const Dataset *d, int64_t i) { return d->src ? d->src->lesion[i] : i; }

static Status take_class(Take *t, Error *e) {
  if (t->cls < 0) return ST_OK;
  if (!t->d.labels)
    return err_set(e, ST_INVALID, "%s: the data set has no labels; leave --class out", t->in);
  for (int64_t i = 0; i < t->d.n; i++) t->keep[i] = t->keep[i] && t->d.labels[i] == t->cls;
  return ST_OK;
}

static Status need_lesions(const Dataset *d, const char *path, const char *option, Error *e) {
  return d->src ? ST_OK
                : err_set(e, ST_INVALID,
                          "%s: the data set does not say which lesions its images show, which %s "
                          "needs; expected one of `prlx pack` or `project`",
                          path, option);
}

static Status take_like(Take *t, Error *e) {
  Dataset other;
  if (!t->like) return ST_OK;
  TRY(need_lesions(&t->d, t->in, "--like", e));
  TRY(dataset_open(&other, t->like, e));
  Status s = need_lesions(&other, t->like, "--like", e);
  if (s != ST_OK) goto done;
  bool *there = mem_alloc((size_t)other.src->n * sizeof *there);
  if (!there) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", t->like);
    goto done;
  }
  for (int64_t i = 0; i < other.n; i++) there[other.src->lesion[i]] = true;
  for (int64_t i = 0; i < t->d.n; i++) {
    const DatasetLesions *l = t->d.src;
    const int64_t k = l->lesion[i], at = lesions_find(other.src, l->subject[l->subject_of[k]],
                                                      l->scan[k], l->name[k]);
    t->keep[i] = t->keep[i] && at >= 0 && there[at];
  }
  mem_free(there);
done:
  dataset_free(&other);
  return s;
}

typedef struct Near {
  double distance;
  int64_t image;
} Near;
static int near_order(const void *a, const void *b) {
  const Near *x = a, *y = b;
  if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
  return x->image < y->image ? -1 : x->image > y->image;
}

/* Distance of an image in the table; NAN: it is not there. */
static Status near_of(const Tsv *t, int name, int value, const char *image, double *out, Error *e) {
  *out = NAN;
  for (int i = 0; i < t->nrow; i++)
    if (!strcmp(tsv_get(t, i, name), image)) return tsv_number(t, i, value, out, e);
  return ST_OK;
}

static Status take_closest(Take *t, Error *e) {
  Tsv table;
  if (!t->closest) return ST_OK;
  TRY(tsv_read(t->closest, &table, e));
  const int cn = tsv_column(&table, "lesion"), cv = tsv_column(&table, "lpips");
  Near *near = mem_alloc((size_t)t->d.n * sizeof *near);
  Status s = ST_OK;
  if (!near) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", t->in);
    goto done;
  }
  if (cn < 0 || cv < 0 || !t->d.names) {
    s = err_set(e, ST_FORMAT,
                "%s: no columns lesion and lpips, or images without names; expected table.tsv of "
                "the `prlx project` that made %s",
                t->closest, t->in);
    goto done;
  }
  for (int64_t i = 0; i < t->d.n; i++) {
    s = near_of(&table, cn, cv, t->d.names[i], &near[i].distance, e);
    if (s != ST_OK) goto done;
    near[i].image = i;
    t->keep[i] = t->keep[i] && isfinite(near[i].distance);
    if (isnan(near[i].distance)) near[i].distance = INFINITY;
  }
  qsort(near, (size_t)t->d.n, sizeof *near, near_order);
  for (int64_t i = 0; i < t->d.n; i++) t->order[i] = near[i].image;
done:
  mem_free(near);
  tsv_free(&table);
  return s;
}

/* The class of every lesion is what the phantom knows. */
static Status take_truth(Take *t, Error *e) {
  Tsv table;
  Dataset *d = &t->d;
  if (!t->truth) return ST_OK;
  TRY(need_lesions(d, t->in, "--truth", e));
  TRY(tsv_read(t->truth, &table, e));
  Status s = ST_OK;
  const int cs = tsv_column(&table, "subject"), cl = tsv_column(&table, "lesion"),
            ct = tsv_column(&table, "truth_rim");
  if (cs < 0 || cl < 0 || ct < 0 || !d->labels)
    s = err_set(e, ST_FORMAT,
                "%s: no columns subject, lesion and truth_rim; expected lesions.tsv of a phantom",
                t->truth);
  for (int64_t i = 0; i < d->n && s == ST_OK; i++) {
    const int64_t k = d->src->lesion[i];
    const char *subject = d->src->subject[d->src->subject_of[k]], *name = d->src->name[k];
    int r = 0;
    while (r < table.nrow &&
           (strcmp(tsv_get(&table, r, cs), subject) || strcmp(tsv_get(&table, r, cl), name)))
      r++;
    if (r == table.nrow) {
      s = err_set(e, ST_INVALID, "%s: no lesion %s of %s", t->truth, name, subject);
      break;
    }
    d->labels[i] = d->src->label[k] = atoi(tsv_get(&table, r, ct)) != 0;
  }
  tsv_free(&table);
  return s;
}

/* Of those that stay the lesions after the first `skip`, `lesions` of them. */
static Status take_count(Take *t, int64_t *at, int64_t *n, int64_t *used, Error *e) {
  const int64_t room = t->d.src ? t->d.src->n : t->d.n;
  int64_t *rank = mem_alloc((size_t)room * sizeof *rank), next = 0;
  if (!rank) return err_set(e, ST_NOMEM, "%s: out of memory", t->in);
  *n = *used = 0;
  for (int64_t k = 0; k < t->d.n; k++) {
    const int64_t i = t->order[k], l = lesion_of(&t->d, i);
    if (!t->keep[i]) continue;
    if (!rank[l]) rank[l] = ++next;
    if (rank[l] <= t->skip || (t->lesions && rank[l] > t->skip + t->lesions)) continue;
    *used = PRLX_MAX(*used, rank[l] - t->skip);
    at[(*n)++] = i;
  }
  mem_free(rank);
  if (*n) return ST_OK;
  return err_set(e, ST_INVALID, "%s: nothing is left%s; `prlx info` shows the classes", t->in,
                 t->cls >= 0 ? " of this class" : "");
}

static Status take_write(Take *t, Error *e) {
  int64_t *at = mem_alloc((size_t)t->d.n * sizeof *at), n = 0, used = 0;
  t->keep = mem_alloc((size_t)t->d.n * sizeof *t->keep);
  t->order = mem_alloc((size_t)t->d.n * sizeof *t->order);
  Status s = ST_OK;
  if (!at || !t->keep || !t->order) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", t->in);
    goto done;
  }
  for (int64_t i = 0; i < t->d.n; i++) {
    t->keep[i] = true;
    t->order[i] = i;
  }
  s = take_truth(t, e);
  if (s != ST_OK) goto done;
  s = take_class(t, e);
  if (s != ST_OK) goto done;
  s = take_like(t, e);
  if (s != ST_OK) goto done;
  s = take_closest(t, e);
  if (s != ST_OK) goto done;
  s = take_count(t, at, &n, &used, e);
  if (s != ST_OK) goto done;
  s = dataset_select(&t->d, at, n, e);
  if (s != ST_OK) goto done;
  s = dataset_save(&t->d, t->out, false, e);
  if (s != ST_OK) goto done;
  if (!tool_quiet)
    printf("%s: %lld images of %lld lesions%s\n", t->out, (long long)n, (long long)used,
           t->lesions > used ? " (there are no more)" : "");
done:
  mem_free(at);
  mem_free(t->keep);
  mem_free(t->order);
  return s;
}

int paper_take(int argc, char **argv) {
  Take k = {0};
  Error e = {0};
  Opt t[] = {
      OPT_STR("out", &k.out, NULL, "FILE", "the new data set (also -o; required)"),
      OPT_INT("class", &k.cls, "-1", -1, 65535,
              "only images of this class: 1 rim, 0 non-rim, 2 ambiguous; -1: all"),
      OPT_STR("like", &k.like, NULL, "FILE", "only lesions that this data set has"),
      OPT_STR("closest", &k.closest, NULL, "TABLE",
              "table.tsv of `prlx project`: lesions nearest to their targets come first"),
      OPT_I64("skip", &k.skip, "0", 0, 1e9, "leave out the first so many lesions"),
      OPT_I64("lesions", &k.lesions, "0", 0, 1e9,
              "the first so many lesions with all their slices; 0: all"),
      OPT_STR("truth", &k.truth, NULL, "TABLE",
              "lesions.tsv of a phantom: classes become what it knows (before --class)"),
  };
  OptSpec s = {.cmd = "paper take",
               .summary = "Part of a data set: one class, the first lesions, those of another set.",
               .opt = t,
               .n = COUNT_OF(t),
               .pos = "DATA",
               .pos_min = 1,
               .pos_max = 1};
  const int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  if (!k.out) return tool_usage("paper take", "no result; give --out FILE");
  k.in = s.args[0];
  if (dataset_open(&k.d, k.in, &e) != ST_OK) return tool_fail("paper take", &e);
  const Status st = take_write(&k, &e);
  dataset_free(&k.d);
  return st == ST_OK ? EXIT_DONE : tool_fail("paper take", &e);
}

/* ---- stamp ---- */

static Status stamp_write(const char *in, const char *data, const char *command, const char *out,
                          bool f16, Error *e) {
  Dataset d;
  Network net = {0};
  char key[65];
  int n = 0;
  TRY(dataset_open(&d, data, e));
  features_key(&d, "training data", key);
  dataset_free(&d);
  TRY(network_load(&net, in, e));
  StMeta *meta = mem_alloc((size_t)(net.nmeta + 2) * sizeof *meta);
  if (!meta) {
    network_free(&net);
    return err_set(e, ST_NOMEM, "%s: out of memory", in);
  }
  for (int k = 0; k < net.nmeta; k++)
    if (strcmp(net.meta[k].key, "train.data") && strcmp(net.meta[k].key, "train.command"))
      meta[n++] = net.meta[k];
  meta[n++] = (StMeta){(char *)"train.data", key};
  if (command) meta[n++] = (StMeta){(char *)"train.command", (char *)command};
  const Status s = network_save(out, &net.G, meta, n, f16, e);
  mem_free(meta);
  network_free(&net);
  return s;
}

int paper_stamp(int argc, char **argv) {
  const char *out = NULL, *data = NULL, *command = NULL;
  bool f16 = false;
  Error e = {0};
  Opt t[] = {
      OPT_STR("out", &out, NULL, "FILE", "the new network file (also -o; required)"),
      OPT_STR("data", &data, NULL, "FILE", "the data set it was trained on (required)"),
      OPT_STR("command", &command, NULL, "TEXT", "how, to be kept as train.command"),
      OPT_FLAG("f16", &f16, "no", "large tensors as F16"),
  };
  OptSpec s = {.cmd = "paper stamp",
               .summary = "Says in a network's metadata which images it was trained on, for "
                          "`prlx train --reuse`.",
               .opt = t,
               .n = COUNT_OF(t),
               .pos = "NETWORK",
               .pos_min = 1,
               .pos_max = 1};
  const int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  if (!out || !data) return tool_usage("paper stamp", "--data FILE and --out FILE are needed");
  return stamp_write(s.args[0], data, command, out, f16, &e) == ST_OK
             ? EXIT_DONE
             : tool_fail("paper stamp", &e);
}
