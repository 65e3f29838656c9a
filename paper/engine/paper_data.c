/* paper_data.c: two small helpers of `prlx paper run`, commands of their own so that every step can
 * be repeated by hand: `prlx paper take` (part of a data set) and `prlx paper answers` (what a
 * simulated reader answers in a reader study). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/tsv.h"
#include "io/images/dataset.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

/* ---- take ---- */

static Status take(const char *in, const char *out, int cls, int64_t lesions, Error *e) {
  Dataset d;
  Status s = dataset_open(&d, in, e);
  if (s != ST_OK) return s;
  int64_t *at = mem_alloc((size_t)d.n * sizeof *at), n = 0, used = 0;
  bool *seen = mem_alloc((size_t)(d.src ? d.src->n : d.n) * sizeof *seen);
  if (!at || !seen)
    s = err_set(e, ST_NOMEM, "%s: out of memory", in);
  else if (cls >= 0 && !d.labels)
    s = err_set(e, ST_INVALID, "%s: the data set has no labels; leave --class out", in);
  for (int64_t i = 0; i < d.n && s == ST_OK; i++) {
    const int64_t l = d.src ? d.src->lesion[i] : i;
    if (cls >= 0 && d.labels[i] != cls) continue;
    if (!seen[l] && lesions && used == lesions) continue;
    used += !seen[l];
    seen[l] = true;
    at[n++] = i;
  }
  if (s == ST_OK && !n)
    s = err_set(e, ST_INVALID, "%s: no image of class %d; `prlx info` shows the classes", in, cls);
  if (s == ST_OK) s = dataset_select(&d, at, n, e);
  if (s == ST_OK) s = dataset_save(&d, out, false, e);
  if (s == ST_OK && !tool_quiet)
    printf("%s: %lld images of %lld lesions%s\n", out, (long long)n, (long long)used,
           lesions > used ? " (there are no more)" : "");
  mem_free(at);
  mem_free(seen);
  dataset_free(&d);
  return s;
}

int paper_take(int argc, char **argv) {
  const char *out = NULL;
  int cls;
  int64_t lesions;
  Error e = {0};
  Opt t[] = {
      OPT_STR("out", &out, NULL, "FILE", "the new data set (also -o; required)"),
      OPT_INT("class", &cls, "-1", -1, 65535,
              "only images of this class: 1 rim, 0 non-rim, 2 ambiguous; -1: all"),
      OPT_I64("lesions", &lesions, "0", 0, 1e9,
              "the first so many lesions with all their slices; 0: all"),
  };
  OptSpec s = {.cmd = "paper take",
               .summary = "Part of a data set: one class, the first lesions.",
               .opt = t,
               .n = COUNT_OF(t),
               .pos = "DATA",
               .pos_min = 1,
               .pos_max = 1};
  const int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  if (!out) return tool_usage("paper take", "no result; give --out FILE");
  return take(s.args[0], out, cls, lesions, &e) == ST_OK ? EXIT_DONE : tool_fail("paper take", &e);
}

/* ---- answers ---- */

typedef struct Prediction {
  Tsv t;
  int subject;
  int lesion;
  int rim;
  bool source;
} Prediction;

/* Probability for an item: its image is called LESION, or SUBJECT_lesion-LESION_z12 as `prlx pack`
 * names slices. -1: not there. */
static double find_probability(const Prediction *p, int n, bool source, const char *name) {
  for (int k = 0; k < n; k++) {
    if (p[k].source != source) continue;
    for (int r = 0; r < p[k].t.nrow; r++) {
      const char *subject = tsv_get(&p[k].t, r, p[k].subject),
                 *lesion = tsv_get(&p[k].t, r, p[k].lesion);
      const size_t a = strlen(subject), b = strlen(lesion);
      if (!strcmp(name, lesion)) return atof(tsv_get(&p[k].t, r, p[k].rim));
      if (strncmp(name, subject, a) || name[a] != '_') continue;
      const char *rest = name + a + 1 + (strncmp(name + a + 1, "lesion-", 7) ? 0 : 7);
      if (!strncmp(rest, lesion, b) && (rest[b] == '_' || !rest[b]))
        return atof(tsv_get(&p[k].t, r, p[k].rim));
    }
  }
  return -1;
}

static Status read_prediction(const char *arg, Prediction *p, Error *e) {
  char path[4400];
  const char *dir = strchr(arg, '=');
  p->source = !strncmp(arg, "source=", 7);
  if (!dir || (!p->source && strncmp(arg, "rim=", 4)))
    return err_set(e, ST_INVALID,
                   "%.200s; expected rim=DIR or source=DIR, folders of `prlx classify --predict`",
                   arg);
  snprintf(path, sizeof path, "%s/predictions.tsv", dir + 1);
  const Status s = tsv_read(path, &p->t, e);
  if (s != ST_OK) return s;
  p->subject = tsv_column(&p->t, "subject");
  p->lesion = tsv_column(&p->t, "lesion");
  p->rim = tsv_column(&p->t, "rim");
  return p->subject >= 0 && p->lesion >= 0 && p->rim >= 0
             ? ST_OK
             : err_set(e, ST_FORMAT, "%s: no column subject, lesion or rim", path);
}

static Status answers(const char *key, int n, char **arg, const char *out, const char *reader,
                      Error *e) {
  Tsv k = {0};
  Prediction p[8] = {0};
  char *text = NULL;
  size_t len;
  Status s = n > COUNT_OF(p) ? err_set(e, ST_INVALID, "more than %d predictions", COUNT_OF(p))
                             : tsv_read(key, &k, e);
  for (int i = 0; i < n && s == ST_OK; i++) s = read_prediction(arg[i], &p[i], e);
  const int cs = tsv_column(&k, "study"), cx = tsv_column(&k, "experiment"),
            ci = tsv_column(&k, "item"), cn = tsv_column(&k, "name");
  if (s == ST_OK && (cs < 0 || cx < 0 || ci < 0 || cn < 0))
    s = err_set(e, ST_FORMAT, "%s: no key of `prlx reader make`", key);
  FILE *f = open_memstream(&text, &len);
  if (s == ST_OK && !f) s = err_set(e, ST_NOMEM, "out of memory");
  if (f) fprintf(f, "study,reader,item,answer\n");
  for (int i = 0; i < k.nrow && s == ST_OK; i++) {
    const bool source = !strcmp(tsv_get(&k, i, cx), "source");
    const double v = find_probability(p, n, source, tsv_get(&k, i, cn));
    if (v < 0)
      s = err_set(e, ST_INVALID, "%s: item %s (%s) is in none of the predictions for %s", key,
                  tsv_get(&k, i, ci), tsv_get(&k, i, cn), source ? "source" : "rim");
    else
      fprintf(f, "%s,%s,%s,%s\n", tsv_get(&k, i, cs), reader, tsv_get(&k, i, ci),
              source     ? v >= 0.5 ? "real" : "synthetic"
              : v >= 0.5 ? "rim"
                         : "non-rim");
  }
  if (f) fclose(f);
  if (s == ST_OK) s = file_write_atomic(out, text, len, e);
  free(text);
  for (int i = 0; i < n && i < COUNT_OF(p); i++) tsv_free(&p[i].t);
  tsv_free(&k);
  return s;
}

int paper_answers(int argc, char **argv) {
  const char *out = NULL, *reader = NULL;
  Error e = {0};
  Opt t[] = {
      OPT_STR("out", &out, NULL, "FILE", "the CSV file (also -o; required)"),
      OPT_STR("reader", &reader, "simulated", "NAME", "name of the reader in it"),
  };
  OptSpec s = {.cmd = "paper answers",
               .summary = "A simulated reader: answers a reader study with classifiers. A stand-in "
                          "for people, nothing more.",
               .details = "  prlx paper answers study.key.tsv rim=predictions_rim "
                          "source=predictions_source -o simulated.csv\n\n"
                          "rim=DIR, source=DIR: folders of `prlx classify --predict`; a "
                          "probability of one half or more answers rim, or real.",
               .opt = t,
               .n = COUNT_OF(t),
               .pos = "KEY.tsv rim=DIR... source=DIR...",
               .pos_min = 2,
               .pos_max = -1};
  const int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  if (!out) return tool_usage("paper answers", "no result; give --out FILE");
  return answers(s.args[0], s.nargs - 1, s.args + 1, out, reader, &e) == ST_OK
             ? EXIT_DONE
             : tool_fail("paper answers", &e);
}
