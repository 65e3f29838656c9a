/* paper_tables.c: Tables 1 to 4 as TSV: published | ours | interval, one number per row. See
 * paper_report.h. */
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
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
static Status table_one(const PaperNumbers *q, Error *e) {
  static const char *const name[] = {"reader", "quantity", "published", "published from",
                                     "k",      "n",        "ours",      "low",
                                     "high",   "p",        "step"};
  static const char *const quantity[4][3] = {{"real called rim", "called rim", "real"},
                                             {"synthetic called rim", "called rim", "synthetic"},
                                             {"real called real", "called real", "real"},
                                             {"synthetic called real", "called real", "synthetic"}};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(name), name);
  const Tsv *t = &q->reader;
  for (int i = 0; q->has_reader && i < t->nrow; i++) {
    const char *from = "not in our notes", *pub = "n/a",
               *what = tsv_get(t, i, tsv_column(t, "quantity"));
    for (int k = 0; k < 4; k++)
      if (!strcmp(what, quantity[k][0]))
        pub = published(q, "1", quantity[k][1], quantity[k][2], &from);
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

static void fid_row(TsvWriter *w, const PaperNumbers *q, const PaperAug *a, bool with_real) {
  const PaperFid *x = numbers_fid(q, a, with_real);
  const char *from = "", *pub = with_real || a->replaces || a->index == 0
                                    ? published(q, "2", a->name, "FID", &from)
                                    : "n/a";
  if (!x) return;
  tsv_cell(w, "%s", a->name);
  tsv_cell(w, "%s",
           a->index == 0 ? "real rims alone"
           : a->replaces ? "in place of the real rims"
           : with_real   ? "real rims with what is added"
                         : "what is added, alone");
  tsv_cell(w, "%s", pub);
  tsv_cell(w, "%s", from);
  tsv_cell(w, "%lld", (long long)x->n);
  const double v[] = {x->fid,           x->lo,        x->hi,     x->inf,    1000 * x->kid,
                      1000 * x->kid_se, x->precision, x->recall, x->nearest};
  for (int i = 0; i < COUNT_OF(v); i++) number_cell(w, v[i], 3);
  tsv_cell(w, "fid");
  tsv_row_end(w);
}

static Status table_two(const PaperNumbers *q, Error *e) {
  static const char *const name[] = {
      "row",    "set",     "published FID", "published from", "images",         "FID",
      "low",    "high",    "FID_inf",       "KID x 1000",     "standard error", "precision",
      "recall", "nearest", "step"};
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(name), name);
  for (int with = 1; with >= 0; with--)
    for (int i = 0; i < q->r->naug; i++)
      if (i || with) fid_row(&w, q, &q->r->aug[i], with);
  return table_commit(q, &w, "table2.tsv", e);
}

/* ---- Tables 3 and 4 ---- */
static void classifier_rows(TsvWriter *w, const PaperNumbers *q, const PaperRow *x) {
  for (int k = 0; k < M_COUNT; k++) {
    const char *from, *pub = published(q, "3", x->name, metric_name[k], &from);
    tsv_cell(w, "%s", x->name);
    if (x->added < 0)
      tsv_cell(w, "replaces");
    else
      tsv_cell(w, "%d", x->added);
    tsv_cell(w, "%s", metric_name[k]);
    tsv_cell(w, "%s", pub);
    tsv_cell(w, "%s", from);
    const double v[] = {
        x->m[k],       x->lo[k],      x->hi[k],          x->sd[k],           x->none[k].v,
        x->none[k].lo, x->none[k].hi, x->ambiguous[k].v, x->ambiguous[k].lo, x->ambiguous[k].hi};
    for (int i = 0; i < COUNT_OF(v); i++) number_cell(w, x->missing ? NAN : v[i], 4);
    tsv_cell(w, "%s", x->missing ? x->missing : x->step);
    tsv_row_end(w);
  }
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

Status tables_write(const PaperNumbers *q, Error *e) {
  static const char *const name[] = {"row",
                                     "lesions added",
                                     "metric",
                                     "published",
                                     "published from",
                                     "ours",
                                     "low",
                                     "high",
                                     "sd over seeds",
                                     "minus None",
                                     "low",
                                     "high",
                                     "minus Ambiguous",
                                     "low",
                                     "high",
                                     "step"};
  static const char *const columns[] = {"row",
                                        "rim found",
                                        "false rim",
                                        "non-rim right",
                                        "rim missed",
                                        "right only here",
                                        "right only in None",
                                        "McNemar p",
                                        "Holm",
                                        "step"};
  char dir[PATH_LEN];
  paper_file(q->r, dir, "tables");
  TRY(dir_make(dir, e));
  TRY(table_one(q, e));
  TRY(table_two(q, e));
  for (int t = 3; t <= 4; t++) {
    TsvWriter w = {0};
    for (int i = 0; i < COUNT_OF(name); i++) { /* column names must differ */
      if (i == 10 || i == 11)
        tsv_cell(&w, "minus None %s", name[i]);
      else if (i == 13 || i == 14)
        tsv_cell(&w, "minus Ambiguous %s", name[i]);
      else
        tsv_cell(&w, "%s", name[i]);
    }
    tsv_row_end(&w);
    for (int i = 0; i < q->rows; i++)
      if (q->row[i].table == t) classifier_rows(&w, q, &q->row[i]);
    TRY(table_commit(q, &w, t == 3 ? "table3.tsv" : "table4.tsv", e));
  }
  TsvWriter w = {0};
  head_row(&w, COUNT_OF(columns), columns);
  for (int i = 0; i < q->rows; i++) confusion_row(&w, &q->row[i]);
  return table_commit(q, &w, "confusion.tsv", e);
}
