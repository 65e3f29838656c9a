/* paper_data.c: `prlx paper answers`: what a simulated reader answers in a reader study. A command
 * of its own so that the step of `prlx paper run` can be repeated by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "io/formats/tsv.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

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
  char path[PATH_LEN];
  const char *dir = strchr(arg, '=');
  p->source = !strncmp(arg, "source=", 7);
  if (!dir || (!p->source && strncmp(arg, "rim=", 4)))
    return err_set(e, ST_INVALID,
                   "%.200s; expected rim=DIR or source=DIR, folders of `prlx classify --predict`",
                   arg);
  TRY(path_join(path, dir + 1, "predictions.tsv", e));
  TRY(tsv_read(path, &p->t, e));
  p->subject = tsv_column(&p->t, "subject");
  p->lesion = tsv_column(&p->t, "lesion");
  p->rim = tsv_column(&p->t, "rim");
  return p->subject >= 0 && p->lesion >= 0 && p->rim >= 0
             ? ST_OK
             : err_set(e, ST_FORMAT, "%s: no column subject, lesion or rim", path);
}

/* The answers to all items of the key, as text. */
static Status put_answers(const Tsv *key, const Prediction *p, int n, const char *reader, FILE *f,
                          Error *e) {
  const int study = tsv_column(key, "study"), experiment = tsv_column(key, "experiment"),
            item = tsv_column(key, "item"), name = tsv_column(key, "name");
  if (study < 0 || experiment < 0 || item < 0 || name < 0)
    return err_set(e, ST_FORMAT, "%s: no key of `prlx reader make`", key->path);
  fprintf(f, "study,reader,item,answer\n");
  for (int i = 0; i < key->nrow; i++) {
    const bool source = !strcmp(tsv_get(key, i, experiment), "source");
    const double v = find_probability(p, n, source, tsv_get(key, i, name));
    if (v < 0)
      return err_set(e, ST_INVALID, "%s: item %s (%s) is in none of the predictions for %s",
                     key->path, tsv_get(key, i, item), tsv_get(key, i, name),
                     source ? "source" : "rim");
    fprintf(f, "%s,%s,%s,%s\n", tsv_get(key, i, study), reader, tsv_get(key, i, item),
            source     ? v >= 0.5 ? "real" : "synthetic"
            : v >= 0.5 ? "rim"
                       : "non-rim");
  }
  return ST_OK;
}

enum { PREDICTIONS = 8 };
static Status write_answers(const char *key, int n, char **arg, const char *out, const char *reader,
                            Error *e) {
  Tsv k = {0};
  Prediction p[PREDICTIONS] = {0};
  TextFile t = {0};
  if (n > PREDICTIONS) return err_set(e, ST_INVALID, "more than %d predictions", PREDICTIONS);
  TRY(tsv_read(key, &k, e));
  Status s = ST_OK;
  for (int i = 0; i < n; i++) {
    s = read_prediction(arg[i], &p[i], e);
    if (s != ST_OK) goto done;
  }
  s = text_begin(&t, out, e);
  if (s != ST_OK) goto done;
  s = put_answers(&k, p, n, reader, t.stream, e);
  if (s != ST_OK) goto done;
  s = text_commit(&t, out, e);
done:
  text_abort(&t);
  for (int i = 0; i < n; i++) tsv_free(&p[i].t);
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
  return write_answers(s.args[0], s.nargs - 1, s.args + 1, out, reader, &e) == ST_OK
             ? EXIT_DONE
             : tool_fail("paper answers", &e);
}
