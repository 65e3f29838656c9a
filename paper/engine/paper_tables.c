/* paper_tables.c: Tables 1 to 4, controls and the second test as TSV: published | ours | interval,
 * one number per row; confusion matrices of every seed; predictions. See paper_report.h. */
#include <stdio.h>
#include <string.h>
#include "tools/cli/outputs.h"
#include "paper/engine/paper_report.h"

static void number_cell(TsvWriter *w, double v, int digits) {
  if (isfinite(v))
    tsv_cell(w, "%.*f", digits, v);
  else
    tsv_cell(w, "n/a");
}

static void head_row(TsvWriter *w, int n, const char *const *name) {
  for (int i = 0; i < n; i++) tsv_cell(w, "%s", name[i]);
  tsv_row_end(w);
}

static Status table_commit(const PaperNumbers *q, TsvWriter *w, const char *name, Error *e) {
  char path[PATH_LEN];
  paper_file(q->r, path, "tables/%s", name);
  return tsv_commit(w, path, e);
}

/* ---- Table 1 ---- */

const char *published_reading(const PaperNumbers *q, const char *what, const char **note) {
  static const char *const quantity[4][3] = {
      {"real called rim", "Real rims", "Rim lesion fraction"},
      {"synthetic called rim", "Synthetic rims", "Rim lesion fraction"},
      {"real called real", "Real rims", "Real image fraction"},
      {"synthetic called real", "Synthetic rims", "Real image fraction"}};
  for (int k = 0; k < 4; k++)
    if (!strcmp(what, quantity[k][0]))
      return published(q, "Table 1", quantity[k][1], quantity[k][2], note);
  return published(q, "Table 1", NULL, "", note);
}

static Status table_one(const PaperNumbers *q, Error *e) {
  static const char *const name[] = {"reader", "quantity", "published", "published from",
                                     "k",      "n",        "ours",      "low",
                                     "high",   "p",        "step"};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(name), name);
  const Tsv *t = &q->reader;
  for (int i = 0; q->has_reader && i < t->nrow; i++) {
    const char *from, *what = tsv_get(t, i, tsv_column(t, "quantity")),
                      *pub = published_reading(q, what, &from);
    tsv_cell(&w, "%s", tsv_get(t, i, tsv_column(t, "reader")));
    tsv_cell(&w, "%s", what);
    tsv_cell(&w, "%s", pub);
    tsv_cell(&w, "%s", from);
    static const char *const col[] = {"k", "n", "value", "lower", "upper", "p"};
    for (int k = 0; k < COUNT_OF(col); k++) {
      const char *v = tsv_get(t, i, tsv_column(t, col[k]));
      tsv_cell(&w, "%s", tsv_missing(v) ? "n/a" : v);
    }
    tsv_cell(&w, "reader.score");
    tsv_row_end(&w);
  }
  return table_commit(q, &w, "table1.tsv", e);
}

/* ---- Table 2 ---- */
static const PaperFid *fid_of(const PaperNumbers *q, const char *set) {
  for (int i = 0; i < q->fid.sets; i++)
    if (!strcmp(q->fid.set[i].set, set)) return &q->fid.set[i];
  return NULL;
}

/* "{w}/a+{w}/b" with folders, as `prlx fid` was called. */
static void fid_name(const PaperRun *r, const char *text, char *out, size_t n) {
  size_t at = 0;
  char part[400];
  for (const char *p = text; *p && at < n; p += *p == '+') {
    const size_t len = strcspn(p, "+");
    snprintf(part, sizeof part, "%.*s", (int)len, p);
    at += (size_t)snprintf(out + at, n - at, "%s%s", at ? "+" : "", paper_path(r, part));
    p += len;
  }
}

const PaperFid *numbers_fid(const PaperNumbers *q, const PaperAug *a, bool with_real) {
  char text[400], set[1200];
  if (a->index == 0)
    snprintf(text, sizeof text, "{w}/train_rim.safetensors");
  else if (!a->fid || (with_real && a->replaces))
    return NULL;
  else
    snprintf(text, sizeof text, "%s%s", with_real ? "{w}/train_rim.safetensors+" : "", a->fid);
  fid_name(q->r, text, set, sizeof set);
  return fid_of(q, set);
}

const PaperFid *numbers_nonrim(const PaperNumbers *q) {
  return fid_of(q, paper_path(q->r, "{w}/train_nonrim.safetensors"));
}

static void fid_row(TsvWriter *w, const PaperNumbers *q, const char *name, const char *set,
                    const char *paper2, const PaperFid *x) {
  const char *note, *pub = published(q, "Table 2", paper2, "FID from test rim lesions", &note);
  if (!x) return;
  tsv_cell(w, "%s", name);
  tsv_cell(w, "%s", set);
  tsv_cell(w, "%s", pub);
  tsv_cell(w, "%s", note);
  tsv_cell(w, "%lld", (long long)x->n);
  const double v[] = {x->fid,           x->lo,        x->hi,     x->inf,     1000 * x->kid,
                      1000 * x->kid_se, x->precision, x->recall, x->nearest, x->detail,
                      x->border,        x->both};
  for (int i = 0; i < COUNT_OF(v); i++) number_cell(w, v[i], 3);
  tsv_cell(w, "fid");
  tsv_row_end(w);
}

static Status table_two(const PaperNumbers *q, Error *e) {
  static const char *const name[] = {
      "row",    "set",     "published FID",  "note",           "images",         "FID",
      "low",    "high",    "FID_inf",        "KID x 1000",     "standard error", "precision",
      "recall", "nearest", "told by detail", "told by border", "told by both",   "step"};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(name), name);
  fid_row(&w, q, "Real non-rim only", "real non-rims of the training", "Real non-rim only",
          numbers_nonrim(q));
  for (int with = 1; with >= 0; with--)
    for (int i = with ? 0 : 1; i < q->r->naug; i++) {
      const PaperAug *a = &q->r->aug[i];
      fid_row(&w, q, a->name,
              i == 0 ? "real rims alone"
              : with ? "real rims with what is added"
                     : "what is added, alone",
              with ? a->paper2 : NULL, numbers_fid(q, a, with));
    }
  return table_commit(q, &w, "table2.tsv", e);
}

/* ---- Tables 3 and 4, controls, second test ---- */

static void crossed_cells(TsvWriter *w, const Crossed *c, bool difference) {
  number_cell(w, c->value, 4);
  number_cell(w, c->lo, 4);
  number_cell(w, c->hi, 4);
  number_cell(w, difference ? c->detectable : c->sd, 4);
}

static void classifier_rows(TsvWriter *w, const PaperNumbers *q, const PaperRow *x, int test,
                            const char *source) {
  const PaperTest *t = &x->test[test];
  const bool none = x->missing || !t->n;
  for (int k = 0; k < M_COUNT; k++) {
    const char *note, *pub = published(q, source, x->aug && *source ? x->aug->paper : NULL,
                                       metric_name[k], &note);
    const Crossed nothing = {NAN, NAN, NAN, NAN, NAN, NAN};
    tsv_cell(w, "%s", x->name);
    if (x->added < 0)
      tsv_cell(w, "replaces");
    else
      tsv_cell(w, "%d", x->added);
    tsv_cell(w, "%s", metric_name[k]);
    tsv_cell(w, "%s", pub);
    tsv_cell(w, "%s", note);
    crossed_cells(w, none ? &nothing : &t->level[k], false);
    number_cell(w, none ? NAN : t->ensemble[k], 4);
    crossed_cells(w, none ? &nothing : &t->none[k], true);
    crossed_cells(w, none ? &nothing : &t->ambiguous[k], true);
    tsv_cell(w, "%d", x->runs);
    tsv_cell(w, "%s", x->missing ? x->missing : x->step);
    tsv_row_end(w);
  }
}

/* table 3, 4: the rows that stand there; 0: the others. */
static Status classifier_table(const PaperNumbers *q, int table, int test, const char *file,
                               Error *e) {
  static const char *const name[] = {"row",
                                     "lesions added",
                                     "metric",
                                     "published",
                                     "note",
                                     "ours",
                                     "low",
                                     "high",
                                     "sd over seeds",
                                     "ensemble",
                                     "minus None",
                                     "minus None low",
                                     "minus None high",
                                     "minus None detectable",
                                     "minus Ambiguous",
                                     "minus Ambiguous low",
                                     "minus Ambiguous high",
                                     "minus Ambiguous detectable",
                                     "seeds",
                                     "step"};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(name), name);
  for (int i = 0; i < q->rows; i++) {
    const PaperRow *x = &q->row[i];
    const int bits = x->aug ? x->aug->table : 0;
    if (test == 0 && (table ? !(bits & 1 << table) : bits != 0)) continue;
    classifier_rows(&w, q, x, test, test || !table ? "" : table == 3 ? "Table 3" : "Table 4");
  }
  return table_commit(q, &w, file, e);
}

static void confusion_row(TsvWriter *w, const PaperRow *x) {
  tsv_cell(w, "%s", x->name);
  for (int k = 0; k < 4; k++) number_cell(w, x->missing ? NAN : x->count[k], 1);
  if (isnan(x->p)) {
    tsv_cell(w, "n/a");
    tsv_cell(w, "n/a");
  } else {
    tsv_cell(w, "%lld", (long long)x->only_here);
    tsv_cell(w, "%lld", (long long)x->only_none);
  }
  number_cell(w, x->p, 4);
  number_cell(w, x->p_holm, 4);
  tsv_cell(w, "%s", x->missing ? x->missing : x->step);
  tsv_row_end(w);
}

static Status confusion_means(const PaperNumbers *q, Error *e) {
  static const char *const columns[] = {"row",
                                        "rim found",
                                        "false rim",
                                        "non-rim right",
                                        "rim missed",
                                        "ensemble right only here",
                                        "ensemble right only in None",
                                        "McNemar p",
                                        "Holm",
                                        "step"};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(columns), columns);
  for (int i = 0; i < q->rows; i++) confusion_row(&w, &q->row[i]);
  return table_commit(q, &w, "confusion.tsv", e);
}

/* One matrix for each row, test and seed, with the threshold it is of. */
static Status confusion_seeds(const PaperNumbers *q, Error *e) {
  static const char *const columns[] = {"row",       "test",      "seed",          "threshold",
                                        "rim found", "false rim", "non-rim right", "rim missed"};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(columns), columns);
  for (int i = 0; i < q->rows; i++)
    for (int k = 0; k < PAPER_TESTS; k++) {
      const PaperRow *x = &q->row[i];
      const PaperTest *t = &x->test[k];
      for (int r = 0; r < x->runs && t->n; r++) {
        const Confusion c = eval_confusion(t->n, t->truth, t->score + r * t->n, x->threshold);
        const int64_t v[4] = {c.tp, c.fp, c.tn, c.fn};
        tsv_cell(&w, "%s", x->name);
        tsv_cell(&w, "%s", k ? "second" : "first");
        tsv_cell(&w, "%d", r);
        tsv_cell(&w, "%.4f", x->threshold);
        for (int j = 0; j < 4; j++) tsv_cell(&w, "%lld", (long long)v[j]);
        tsv_row_end(&w);
      }
    }
  return table_commit(q, &w, "confusion_seeds.tsv", e);
}

/* Every lesion's probability of a rim, the mean of the seeds, a column for each row. */
static Status predictions_table(const PaperNumbers *q, int test, const char *file, Error *e) {
  TsvWriter w = {0};
  const PaperTest *first = NULL;
  tsv_cell(&w, "subject");
  tsv_cell(&w, "class");
  for (int i = 0; i < q->rows; i++) {
    if (!q->row[i].test[test].n) continue;
    if (!first) first = &q->row[i].test[test];
    tsv_cell(&w, "%s", strchr(q->row[i].id, '_') + 1);
  }
  tsv_row_end(&w);
  for (int64_t l = 0; first && l < first->n; l++) {
    tsv_cell(&w, "%lld", (long long)first->group[l]);
    tsv_cell(&w, "%s", first->truth[l] ? "rim" : "non-rim");
    for (int i = 0; i < q->rows; i++)
      if (q->row[i].test[test].n == first->n) tsv_cell(&w, "%.4f", q->row[i].test[test].mean[l]);
    tsv_row_end(&w);
  }
  return table_commit(q, &w, file, e);
}

Status tables_write(const PaperNumbers *q, Error *e) {
  char dir[PATH_LEN];
  paper_file(q->r, dir, "tables");
  TRY(outputs_own_folder(dir, e));
  TRY(table_one(q, e));
  TRY(table_two(q, e));
  TRY(classifier_table(q, 3, 0, "table3.tsv", e));
  TRY(classifier_table(q, 4, 0, "table4.tsv", e));
  TRY(classifier_table(q, 0, 0, "controls.tsv", e));
  TRY(classifier_table(q, 0, 1, "second.tsv", e));
  TRY(confusion_means(q, e));
  TRY(confusion_seeds(q, e));
  TRY(predictions_table(q, 0, "predictions_first.tsv", e));
  return predictions_table(q, 1, "predictions_second.tsv", e);
}
