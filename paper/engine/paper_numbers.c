/* paper_numbers.c: gathers the numbers of a finished run from the files of its steps; paired
 * differences, McNemar, Holm. See paper_report.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/path.h"
#include "models/judge/agreement.h"
#include "models/store/datapath.h"
#include "paper/engine/paper_report.h"
#include "tools/cli/tool.h"

enum { RESAMPLES = 1000 };

static const Step *step_of(const PaperRun *r, const char *id) {
  for (int k = 0; k < r->n; k++)
    if (!strcmp(r->step[k].id, id)) return &r->step[k];
  return NULL;
}

const PaperRow *numbers_row(const PaperNumbers *q, const char *id) {
  for (int i = 0; i < q->rows; i++)
    if (!strcmp(q->row[i].id, id)) return q->row[i].missing ? NULL : &q->row[i];
  return NULL;
}

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

const char *published(const PaperNumbers *q, const char *table, const char *row, const char *column,
                      const char **from) {
  static const char none[] = "n/a";
  const Tsv *t = &q->published;
  if (from) *from = "not in our notes";
  if (!q->has_published) return none;
  const int c[5] = {tsv_column(t, "table"), tsv_column(t, "row"), tsv_column(t, "column"),
                    tsv_column(t, "value"), tsv_column(t, "from")};
  for (int i = 0; i < t->nrow; i++) {
    if (strcmp(tsv_get(t, i, c[0]), table) || strcmp(tsv_get(t, i, c[1]), row) ||
        strcmp(tsv_get(t, i, c[2]), column))
      continue;
    if (from && c[4] >= 0) *from = tsv_get(t, i, c[4]);
    return tsv_missing(tsv_get(t, i, c[3])) ? none : tsv_get(t, i, c[3]);
  }
  return none;
}

double published_number(const PaperNumbers *q, const char *table, const char *row,
                        const char *column) {
  char *end;
  const char *text = published(q, table, row, column, NULL);
  const double v = strtod(text, &end);
  return end == text || *end ? NAN : v;
}

static Status open_published(PaperNumbers *q, Error *e) {
  char path[PATH_LEN];
  const char *own = q->r->published ? q->r->published : "paper/published.tsv";
  if (!q->r->published && !file_exists(own)) own = data_path("../paper/published.tsv");
  TRY(path_format(path, e, "%s", own));
  if (!q->r->published && !file_exists(path)) return ST_OK;
  TRY(tsv_read(path, &q->published, e));
  q->has_published = true;
  static const char *const need[] = {"table", "row", "column", "value"};
  for (int i = 0; i < COUNT_OF(need); i++)
    if (tsv_column(&q->published, need[i]) < 0)
      return err_set(e, ST_FORMAT, "%s: no column %s; expected table, row, column, value and from",
                     path, need[i]);
  return ST_OK;
}

/* ---- classifiers ---- */

/* Predictions of the lesions of a known class, in the order of the file: the same for all rows, as
 * the test file is. */
static Status read_predictions(const PaperRun *r, PaperRow *x, Error *e) {
  Tsv t;
  char path[PATH_LEN], name[32];
  paper_file(r, path, "work/%s/predictions.tsv", x->id);
  TRY(tsv_read(path, &t, e));
  Status s = ST_OK;
  const int cs = tsv_column(&t, "subject"), cc = tsv_column(&t, "class"),
            cr = tsv_column(&t, "rim");
  int col[64];
  for (x->runs = 0; x->runs < 64; x->runs++) {
    snprintf(name, sizeof name, "rim%d", x->runs);
    if ((col[x->runs] = tsv_column(&t, name)) < 0) break;
  }
  const size_t n = (size_t)PRLX_MAX(t.nrow, 1);
  x->group = mem_alloc(n * sizeof *x->group);
  x->truth = mem_alloc(n * sizeof *x->truth);
  x->mean = mem_alloc(n * sizeof *x->mean);
  x->score = mem_alloc(n * (size_t)PRLX_MAX(x->runs, 1) * sizeof *x->score);
  int *from = mem_alloc(n * sizeof *from);
  if (cs < 0 || cc < 0 || cr < 0 || !x->runs) {
    s = err_set(e, ST_FORMAT, "%s: not a table of `prlx classify`", path);
    goto done;
  }
  if (!x->group || !x->truth || !x->mean || !x->score || !from) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  for (int i = 0; i < t.nrow; i++) {
    const bool rim = !strcmp(tsv_get(&t, i, cc), "rim");
    if (!rim && strcmp(tsv_get(&t, i, cc), "non-rim")) continue;
    int64_t g = -1;
    for (int64_t k = 0; k < x->n && g < 0; k++)
      if (!strcmp(tsv_get(&t, from[k], cs), tsv_get(&t, i, cs))) g = x->group[k];
    x->group[x->n] = g < 0 ? x->groups++ : g;
    x->truth[x->n] = rim;
    x->mean[x->n] = atof(tsv_get(&t, i, cr));
    from[x->n++] = i;
  }
  for (int q = 0; q < x->runs; q++)
    for (int64_t i = 0; i < x->n; i++) x->score[q * x->n + i] = atof(tsv_get(&t, from[i], col[q]));
done:
  mem_free(from);
  tsv_free(&t);
  return s;
}

static void read_metrics(const PaperRun *r, PaperRow *x) {
  Tsv t;
  char path[PATH_LEN];
  paper_file(r, path, "work/%s/metrics.tsv", x->id);
  for (int k = 0; k < M_COUNT; k++) x->m[k] = x->sd[k] = x->lo[k] = x->hi[k] = NAN;
  if (tsv_read(path, &t, NULL) != ST_OK) return;
  static const char *const name[] = {"mean", "sd", "low", "high"};
  double *const to[] = {x->m, x->sd, x->lo, x->hi};
  for (int i = 0; i < t.nrow; i++)
    for (int k = 0; k < M_COUNT; k++)
      for (int c = 0; c < 4 && !strcmp(tsv_get(&t, i, 0), metric_name[k]); c++) {
        const char *v = tsv_get(&t, i, tsv_column(&t, name[c]));
        to[c][k] = tsv_missing(v) ? NAN : atof(v);
      }
  tsv_free(&t);
}

/* Mean over the trainings run[0..runs-1] (drawn, or each once) of the metrics on the lesions at[].
 */
static void mean_metrics(const PaperRow *x, const int *run, int64_t n, const int64_t *at,
                         int *truth, double *score, double m[M_COUNT]) {
  double one[M_COUNT];
  for (int k = 0; k < M_COUNT; k++) m[k] = 0;
  for (int q = 0; q < x->runs; q++) {
    for (int64_t i = 0; i < n; i++)
      truth[i] = x->truth[at[i]], score[i] = x->score[run[q] * x->n + at[i]];
    const bool ok = eval_metrics(n, truth, score, 0.5, one, NULL) == ST_OK;
    for (int k = 0; k < M_COUNT; k++) m[k] += ok ? one[k] / x->runs : NAN;
  }
}

/* Difference a - b of every metric with its interval: whole subjects and training seeds are drawn,
 * the same for both, so that neither the luck of the test set nor that of a training counts as a
 * difference. Field and Welsh 2007. */
static Status row_difference(const PaperRow *a, const PaperRow *b, Delta out[M_COUNT], Error *e) {
  for (int k = 0; k < M_COUNT; k++) out[k] = (Delta){a->m[k] - b->m[k], NAN, NAN};
  if (a->n != b->n || a->groups != b->groups ||
      memcmp(a->truth, b->truth, (size_t)a->n * sizeof *a->truth))
    return err_set(e, ST_INVALID, "%s and %s were tested on different lesions", a->id, b->id);
  if (a->groups < 2) return ST_OK;
  const size_t most = (size_t)(a->n * a->groups);
  int64_t *at = mem_alloc(most * sizeof *at);
  int *truth = mem_alloc(most * sizeof *truth);
  double *score = mem_alloc(most * sizeof *score), (*v)[RESAMPLES] = mem_alloc(sizeof *v * M_COUNT);
  Status s = ST_OK;
  if (!at || !truth || !score || !v) {
    s = err_set(e, ST_NOMEM, "out of memory for %d resamples", RESAMPLES);
    goto done;
  }
  Rng rng = {.seed = 0, .subsequence = 0x70617065};
  int run[64];
  int used[M_COUNT] = {0};
  for (int k = 0; k < RESAMPLES; k++) {
    double ma[M_COUNT], mb[M_COUNT];
    int64_t n = 0;
    for (int64_t g = 0; g < a->groups; g++) {
      const int64_t pick = rng_below(&rng, a->groups);
      for (int64_t i = 0; i < a->n; i++)
        if (a->group[i] == pick) at[n++] = i;
    }
    for (int i = 0; i < COUNT_OF(run); i++)
      run[i] = (int)rng_below(&rng, PRLX_MIN(a->runs, b->runs));
    mean_metrics(a, run, n, at, truth, score, ma);
    mean_metrics(b, run, n, at, truth, score, mb);
    for (int q = 0; q < M_COUNT; q++)
      if (isfinite(ma[q] - mb[q])) v[q][used[q]++] = ma[q] - mb[q];
  }
  for (int q = 0; q < M_COUNT; q++) {
    if (2 * used[q] <= RESAMPLES) continue;
    /* insertion would be slow for more; a thousand values */
    for (int i = 1; i < used[q]; i++) {
      const double x = v[q][i];
      int j = i;
      for (; j > 0 && v[q][j - 1] > x; j--) v[q][j] = v[q][j - 1];
      v[q][j] = x;
    }
    out[q].lo = quantile_sorted(v[q], used[q], 0.025);
    out[q].hi = quantile_sorted(v[q], used[q], 0.975);
  }
done:
  mem_free(at);
  mem_free(truth);
  mem_free(score);
  mem_free(v);
  return s;
}

static Status read_row(PaperNumbers *q, PaperRow *x, Error *e) {
  char path[PATH_LEN];
  const Step *s = step_of(q->r, x->step);
  paper_file(q->r, path, "work/%s/predictions.tsv", x->id);
  if (!s)
    x->missing = "no ambiguous lesions in the cohort";
  else if (!file_exists(path))
    x->missing = "this step has not run";
  if (x->missing) return ST_OK;
  read_metrics(q->r, x);
  TRY(read_predictions(q->r, x, e));
  for (int r = 0; r < x->runs; r++) {
    const Confusion c = eval_confusion(x->n, x->truth, x->score + r * x->n, 0.5);
    const int64_t v[4] = {c.tp, c.fp, c.tn, c.fn};
    for (int k = 0; k < 4; k++) x->count[k] += (double)v[k] / x->runs;
  }
  return ST_OK;
}

static Status read_classifiers(PaperNumbers *q, Error *e) {
  const PaperRun *r = q->r;
  double p[PAPER_ROWS];
  for (int i = 0; i < r->naug; i++) {
    const PaperAug *a = &r->aug[i];
    PaperRow *x = &q->row[q->rows++];
    snprintf(x->id, sizeof x->id, "classify_%s", a->id);
    snprintf(x->step, sizeof x->step, "classify.%s", a->id);
    snprintf(x->name, sizeof x->name, "%s", a->name);
    x->aug = a;
    x->table = a->table;
    x->added = a->replaces ? -1 : a->adds;
  }
  for (int i = 0; i < PAPER_SWEEP && r->scale->sweep[i]; i++) {
    PaperRow *x = &q->row[q->rows++];
    x->added = r->scale->sweep[i];
    snprintf(x->id, sizeof x->id, "classify_gan_%d", x->added);
    snprintf(x->step, sizeof x->step, "classify.gan_%d", x->added);
    snprintf(x->name, sizeof x->name, "ADA-GAN, %d lesions", x->added);
    x->table = 4;
  }
  for (int i = 0; i < q->rows; i++) TRY(read_row(q, &q->row[i], e));
  const PaperRow *none = numbers_row(q, "classify_none"),
                 *amb = numbers_row(q, "classify_ambiguous");
  for (int i = 0; i < q->rows; i++) {
    PaperRow *x = &q->row[i];
    x->p = p[i] = NAN;
    for (int k = 0; k < M_COUNT; k++) x->none[k] = x->ambiguous[k] = (Delta){NAN, NAN, NAN};
    if (x->missing || !none || x == none) continue;
    TRY(row_difference(x, none, x->none, e));
    if (amb && x != amb) TRY(row_difference(x, amb, x->ambiguous, e));
    x->p = p[i] =
        eval_mcnemar(x->n, x->truth, x->mean, none->mean, 0.5, &x->only_here, &x->only_none);
  }
  TRY(eval_holm(q->rows, p, e));
  for (int i = 0; i < q->rows; i++) q->row[i].p_holm = p[i];
  return ST_OK;
}

/* ---- feature distances (JSON of `prlx fid`) ---- */

static bool fid_field(Json *j, const char *key, PaperFid *x) {
  static const char *const name[] = {"fid",     "fid_lo",       "fid_hi",       "fid_inf",
                                     "kid",     "kid_se",       "precision",    "recall",
                                     "nearest", "floor_within", "floor_between"};
  double *const to[] = {&x->fid,       &x->lo,     &x->hi,      &x->inf,    &x->kid,    &x->kid_se,
                        &x->precision, &x->recall, &x->nearest, &x->within, &x->between},
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
                  .between = NAN};
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
  TRY(open_published(q, e));
  TRY(read_classifiers(q, e));
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
  for (int i = 0; i < q->rows; i++) {
    mem_free(q->row[i].group);
    mem_free(q->row[i].truth);
    mem_free(q->row[i].score);
    mem_free(q->row[i].mean);
  }
}
