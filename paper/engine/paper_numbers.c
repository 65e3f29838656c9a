/* paper_numbers.c: gathers the numbers of a finished run from the files of its steps: published
 * ones, feature distances, maps. The classifiers: paper_rows.c. See paper_report.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/path.h"
#include "models/judge/agreement.h"
#include "models/store/datapath.h"
#include "paper/engine/paper_report.h"
#include "tools/cli/tool.h"

enum { RESAMPLES = 1000 };

const char *with_interval(char b[80], double v, double lo, double hi, int digits) {
  if (isnan(v))
    snprintf(b, 80, "n/a");
  else if (isnan(lo))
    snprintf(b, 80, "%.*f", digits, v);
  else
    snprintf(b, 80, "%.*f (%.*f to %.*f)", digits, v, digits, lo, digits, hi);
  return b;
}

/* ---- published numbers ---- */

static bool same_word(const char *a, const char *b) {
  for (; *a && *b; a++, b++)
    if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
  return *a == *b;
}

const char *published(const PaperNumbers *q, const char *source, const char *row,
                      const char *column, const char **note) {
  static const char none[] = "-";
  const Tsv *t = &q->published;
  if (note) *note = "not in the paper";
  if (!q->has_published || !row) return none;
  const int c[5] = {tsv_column(t, "source"), tsv_column(t, "row"), tsv_column(t, "column"),
                    tsv_column(t, "value"), tsv_column(t, "note")};
  for (int i = 0; i < t->nrow; i++) {
    if (strcmp(tsv_get(t, i, c[0]), source) || strcmp(tsv_get(t, i, c[1]), row) ||
        !same_word(tsv_get(t, i, c[2]), column) || tsv_missing(tsv_get(t, i, c[3])))
      continue;
    if (note) *note = c[4] < 0 || tsv_missing(tsv_get(t, i, c[4])) ? source : tsv_get(t, i, c[4]);
    return tsv_get(t, i, c[3]);
  }
  return none;
}

double published_number(const PaperNumbers *q, const char *source, const char *row,
                        const char *column) {
  char *end;
  const char *text = published(q, source, row, column, NULL);
  const double v = strtod(text, &end);
  return end == text || *end ? NAN : v;
}

double published_metric(const PaperNumbers *q, const PaperRow *x, Metric m, const char **text) {
  const char *t = "-";
  const char *source = NULL;
  if (x->aug && x->aug->table) source = x->aug->table & 1 << 3 ? "Table 3" : "Table 4";
  if (source) t = published(q, source, x->aug->paper, metric_name[m], NULL);
  if (text) *text = t;
  return source ? published_number(q, source, x->aug->paper, metric_name[m]) : NAN;
}

Status published_open(const PaperRun *r, Tsv *t, bool *there, Error *e) {
  static const char *const need[] = {"source", "row", "column", "value"};
  char path[PATH_LEN];
  const char *own = r->published ? r->published : "paper/published.tsv";
  *there = false;
  bool here = true;
  if (!r->published) TRY(file_look(own, &here, e));
  if (!here) own = data_path("../paper/published.tsv");
  TRY(path_format(path, e, "%s", own));
  if (!r->published) TRY(file_look(path, &here, e));
  if (!here) return ST_OK;
  TRY(tsv_read(path, t, e));
  *there = true;
  for (int i = 0; i < COUNT_OF(need); i++)
    if (tsv_column(t, need[i]) < 0)
      return err_set(e, ST_FORMAT, "%s: no column %s; expected source, row, column, value and note",
                     path, need[i]);
  return ST_OK;
}

/* ---- feature distances (JSON of `prlx fid`) ---- */

static bool fid_field(Json *j, const char *key, PaperFid *x) {
  static const char *const name[] = {
      "fid",    "fid_lo",  "fid_hi",       "fid_inf",       "kid",        "kid_se",     "precision",
      "recall", "nearest", "floor_within", "floor_between", "auc_detail", "auc_border", "auc_both"};
  double *const to[] = {&x->fid,     &x->lo,        &x->hi,     &x->inf,     &x->kid,
                        &x->kid_se,  &x->precision, &x->recall, &x->nearest, &x->within,
                        &x->between, &x->detail,    &x->border, &x->both},
                v;
  if (!strcmp(key, "set")) {
    char *text = NULL;
    if (!json_string(j, &text)) return false;
    snprintf(x->set, sizeof x->set, "%s", text);
    mem_free(text);
    return true;
  }
  for (int i = 0; i < COUNT_OF(name); i++)
    if (!strcmp(key, name[i]) && json_peek(j) != 'n') return json_number(j, to[i]);
  if (strcmp(key, "n")) return json_skip(j);
  if (!json_number(j, &v)) return false;
  x->n = (int64_t)v;
  return true;
}

static bool fid_set(Json *j, PaperFid *x) {
  *x = (PaperFid){.fid = NAN,
                  .lo = NAN,
                  .hi = NAN,
                  .inf = NAN,
                  .kid = NAN,
                  .kid_se = NAN,
                  .precision = NAN,
                  .recall = NAN,
                  .nearest = NAN,
                  .within = NAN,
                  .between = NAN,
                  .detail = NAN,
                  .border = NAN,
                  .both = NAN};
  if (!json_take(j, '{')) return false;
  for (char *key; !j->why;) {
    if (!json_string(j, &key)) return false;
    const bool ok = json_take(j, ':') && fid_field(j, key, x);
    mem_free(key);
    if (!ok) return false;
    if (!json_try(j, ',')) break;
  }
  return json_take(j, '}');
}

static bool fid_top(Json *j, const char *key, FidFile *f) {
  char *const to[] = {f->network, f->convention, f->reference};
  static const char *const name[] = {"network", "convention", "reference"};
  static const size_t size[] = {sizeof f->network, sizeof f->convention, sizeof f->reference};
  double v;
  char *text;
  for (int i = 0; i < 3; i++)
    if (!strcmp(key, name[i])) {
      if (!json_string(j, &text)) return false;
      snprintf(to[i], size[i], "%s", text);
      mem_free(text);
      return true;
    }
  if (!strcmp(key, "n")) {
    if (!json_number(j, &v)) return false;
    f->n = (int64_t)v;
    return true;
  }
  if (strcmp(key, "sets")) return json_skip(j);
  if (!json_take(j, '[')) return false;
  do {
    if (f->sets == PAPER_POINTS) return json_fail(j, "too many sets");
    if (!fid_set(j, &f->set[f->sets])) return false;
    f->sets++;
  } while (json_try(j, ','));
  return json_take(j, ']');
}

static Status read_fid(const char *path, FidFile *f, Error *e) {
  uint8_t *data = NULL;
  size_t n;
  Json j;
  if (!file_exists(path)) return ST_OK;
  TRY(file_read(path, &data, &n, 16u << 20, e));
  json_init(&j, (const char *)data, n);
  bool ok = json_take(&j, '{');
  for (char *key; ok;) {
    ok = json_string(&j, &key);
    if (!ok) break;
    ok = json_take(&j, ':') && fid_top(&j, key, f);
    mem_free(key);
    if (!ok || !json_try(&j, ',')) break;
  }
  ok = ok && json_take(&j, '}');
  mem_free(data);
  return ok ? ST_OK
            : err_set(e, ST_FORMAT, "%s: %s; expected what `prlx fid --json` prints", path,
                      j.why ? j.why : "broken");
}

/* ---- maps of the classifier ---- */

static Status read_cam(PaperNumbers *q, Error *e) {
  Tsv t;
  const char *path = paper_path(q->r, "{w}/cam/table.tsv");
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < 3; i++) q->cam_share[k][i] = NAN;
  q->cam_area = NAN;
  if (!file_exists(path)) return ST_OK;
  TRY(tsv_read(path, &t, e));
  Status s = ST_OK;
  const int cs = tsv_column(&t, "subject"), cc = tsv_column(&t, "class"),
            ca = tsv_column(&t, "rim_area");
  double *v = mem_alloc((size_t)PRLX_MAX(t.nrow, 1) * sizeof *v), sum = 0, area = 0;
  int64_t *g = mem_alloc((size_t)PRLX_MAX(t.nrow, 1) * sizeof *g), groups = 0;
  if (!v || !g) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  for (int i = 0; i < t.nrow; i++) {
    int k = 0;
    while (k < i && strcmp(tsv_get(&t, k, cs), tsv_get(&t, i, cs))) k++;
    g[i] = k < i ? g[k] : groups++;
  }
  for (int side = 0; side < 2; side++) {
    const int col = tsv_column(&t, side ? "share_after" : "share");
    double n = 0;
    sum = area = 0;
    for (int i = 0; i < t.nrow; i++) {
      const char *x = tsv_get(&t, i, col);
      v[i] = tsv_missing(x) || strcmp(tsv_get(&t, i, cc), "rim") ? NAN : atof(x);
      if (isnan(v[i])) continue;
      sum += v[i];
      area += atof(tsv_get(&t, i, ca));
      n++;
    }
    if (!n) continue;
    q->cam_share[side][0] = sum / n;
    q->cam_area = area / n;
    q->cam_lesions = n;
    s = eval_bootstrap_mean(t.nrow, v, g, groups, RESAMPLES, 0.95, 0, &q->cam_share[side][1],
                            &q->cam_share[side][2], e);
    if (s != ST_OK) goto done;
  }
done:
  mem_free(v);
  mem_free(g);
  tsv_free(&t);
  return s;
}

/* ---- all ---- */

Status numbers_gather(PaperNumbers *q, Error *e) {
  TRY(published_open(q->r, &q->published, &q->has_published, e));
  TRY(rows_gather(q, e));
  TRY(read_fid(paper_path(q->r, "{w}/fid.json"), &q->fid, e));
  TRY(read_fid(paper_path(q->r, "{w}/fid_kimg.json"), &q->kimg, e));
  const char *scores = paper_path(q->r, "{w}/reader_score.tsv");
  if (file_exists(scores)) {
    TRY(tsv_read(scores, &q->reader, e));
    q->has_reader = true;
  }
  return read_cam(q, e);
}

void numbers_free(PaperNumbers *q) {
  if (q->has_published) tsv_free(&q->published);
  if (q->has_reader) tsv_free(&q->reader);
  rows_free(q);
}
