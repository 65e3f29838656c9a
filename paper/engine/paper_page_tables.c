/* paper_page_tables.c: tables on the page of a run. See paper_page.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "paper/engine/paper_page.h"

/* ---- Tables 3 and 4 ---- */

static void crossed_cell(Report *p, const Crossed *c, int digits) {
  page_interval_cell(p, c->value, c->lo, c->hi, digits);
}

/* with_second: the table has columns of the second test; a row without numbers there says so. */
static void main_row(Report *p, const PaperNumbers *q, const PaperRow *x, bool with_second) {
  static const Metric m[] = {M_ACCURACY, M_PRECISION, M_SENSITIVITY};
  const PaperTest *t = &x->test[0], *second = &x->test[1];
  char b[80];
  report_put(p, "<tr>");
  page_put_cell(p, false, x->name);
  page_put_cell(p, false,
                x->aug->table == (1 << 3 | 1 << 4) ? "3, 4"
                : x->aug->table == 1 << 3          ? "3"
                                                   : "4");
  for (int k = 0; k < COUNT_OF(m); k++) {
    const char *text;
    published_metric(q, x, m[k], &text);
    page_put_cell(p, false, text);
    crossed_cell(p, &t->level[m[k]], 2);
  }
  crossed_cell(p, &t->level[M_ROC_AUC], 3);
  if (with_second) {
    crossed_cell(p, &second->level[M_ROC_AUC], 3);
    crossed_cell(p, &second->level[M_SENS90], 2);
    crossed_cell(p, &second->none[M_ROC_AUC], 3);
  }
  if (isnan(x->p))
    snprintf(b, sizeof b, "-");
  else
    snprintf(b, sizeof b, "%.3g, %.3g", x->p, x->p_holm);
  page_put_cell(p, false, b);
  page_link_cell(p, x->step);
  report_put(p, "</tr>\n");
}

void page_main_table(Report *p, const PaperNumbers *q) {
  static const char *const head[] = {"augmentation",
                                     "Table",
                                     "accuracy published",
                                     "ours",
                                     "precision published",
                                     "ours",
                                     "sensitivity published",
                                     "ours",
                                     "ROC AUC",
                                     "ROC AUC, second test",
                                     "sensitivity at specificity 0.90, second test",
                                     "ROC AUC minus None, second test",
                                     "McNemar p, Holm",
                                     ""};
  enum { SECOND_AT = 9, SECOND = 3 }; /* its columns, where there is a second test */
  const PaperRow *none = numbers_row(q, "classify_none");
  const bool second = none && none->test[1].n;
  const char *shown[COUNT_OF(head)];
  int n = 0;
  for (int k = 0; k < COUNT_OF(head); k++)
    if (second || k < SECOND_AT || k >= SECOND_AT + SECOND) shown[n++] = head[k];
  page_put_anchor(p, "main", "Tables 3 and 4 of the paper: classifiers");
  page_head_row(p, n, shown);
  for (int i = 0; i < q->rows; i++) {
    const PaperRow *x = &q->row[i];
    if (!row_in_group(x, "paper")) continue;
    if (x->missing)
      page_missing_row(p, x->name, x->missing, n);
    else
      main_row(p, q, x, second);
  }
  report_put(p, "</table>\n");
  report_text(
      p,
      "Ours: mean over the training seeds; intervals 95 %%, over subjects and seeds crossed. The "
      "first columns are of the first test (%lld rim and %lld non-rim lesions; the paper: 60 and "
      "120) at the threshold chosen on held-out training subjects. None of the published rows can "
      "come from 60 rim and 120 non-rim lesions "
      "(prlx paper audit, rows), so a distance to them is no failure. McNemar: the ensembles of "
      "the seeds against that of None, first test, each at its own threshold, corrected over these "
      "rows.",
      none ? (long long)none->test[0].rims : 0,
      none ? (long long)(none->test[0].n - none->test[0].rims) : 0);
}

/* ---- controls ---- */

static void control_row(Report *p, const PaperRow *x, int test) {
  const PaperTest *t = &x->test[test];
  char b[40];
  report_put(p, "<tr>");
  page_put_cell(p, false, x->name);
  page_put_cell(p, false, x->aug ? x->aug->group : "sweep");
  snprintf(b, sizeof b, "%d", x->added);
  page_put_cell(p, false, x->added < 0 ? "replaces" : b);
  snprintf(b, sizeof b, "%d", x->runs);
  page_put_cell(p, false, b);
  crossed_cell(p, &t->level[M_ROC_AUC], 3);
  crossed_cell(p, &t->level[M_SENS90], 2);
  page_interval_cell(p, t->ensemble[M_ROC_AUC], NAN, NAN, 3);
  crossed_cell(p, &t->none[M_ROC_AUC], 3);
  page_interval_cell(p, t->none[M_ROC_AUC].detectable, NAN, NAN, 3);
  crossed_cell(p, &t->ambiguous[M_ROC_AUC], 3);
  page_interval_cell(p, t->level[M_SENSITIVITY].sd, NAN, NAN, 3);
  page_link_cell(p, x->step);
  report_put(p, "</tr>\n");
}

void page_controls(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {"row",
                                     "kind",
                                     "adds",
                                     "seeds",
                                     "ROC AUC",
                                     "sensitivity at specificity 0.90",
                                     "ROC AUC of the ensemble",
                                     "ROC AUC minus None",
                                     "detectable",
                                     "ROC AUC minus Ambiguous",
                                     "sd of sensitivity over seeds",
                                     ""};
  const PaperRow *none = numbers_row(q, "classify_none");
  const int test = none && none->test[1].n ? 1 : 0;
  page_put_anchor(p, "controls", "All rows, and the controls");
  page_head_row(p, COUNT_OF(name), name);
  for (int i = 0; i < q->rows; i++) {
    if (q->row[i].missing)
      page_missing_row(p, q->row[i].name, q->row[i].missing, COUNT_OF(name));
    else
      control_row(p, &q->row[i], test);
  }
  report_put(p, "</table>\n");
  if (none)
    report_text(
        p,
        "%s test: %lld lesions (%lld rim) of %lld subjects. detectable: the true difference "
        "that a study like this one would tell from none in four of five cases; a smaller "
        "one is not excluded by \"not shown\". Only the paper's rows are in the paper; the "
        "others are not.",
        test ? "Second" : "First", (long long)none->test[test].n, (long long)none->test[test].rims,
        (long long)none->test[test].groups);
  report_put(p, "<details><summary>What each row is</summary><table>\n");
  for (int i = 0; i < q->r->naug; i++) {
    report_put(p, "<tr>");
    page_put_cell(p, false, q->r->aug[i].name);
    page_put_cell(p, false, q->r->aug[i].what);
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table></details>\n");
}

/* ---- Table 1 ---- */

void page_table_one(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {"reader", "quantity", "published (one reader)", "ours", "of",
                                     "p",      ""};
  const Tsv *t = &q->reader;
  page_put_anchor(p, "table1", "Table 1: reader study");
  report_note(
      p, "The reader \"simulated\" is no person: the classifier without augmentation answers rim "
         "or non-rim, a second one trained to tell training rims from synthetic ones answers real "
         "or synthetic. A stand-in, so that the way from page to table is tried out. "
         "For people: open reader/study.html, answer, put the CSV files into reader/ and run the "
         "same command again.");
  if (!q->has_reader) {
    report_text(p, "Not there: the step reader.score has not run.");
    return;
  }
  page_head_row(p, COUNT_OF(name), name);
  for (int i = 0; i < t->nrow; i++) {
    const char *what = tsv_get(t, i, tsv_column(t, "quantity")), *v,
               *pv = tsv_get(t, i, tsv_column(t, "p")), *k = tsv_get(t, i, tsv_column(t, "k"));
    char b[80], of[80];
    v = published_reading(q, what, NULL);
    const char *value = tsv_get(t, i, tsv_column(t, "value"));
    report_put(p, "<tr>");
    page_put_cell(p, false, tsv_get(t, i, tsv_column(t, "reader")));
    page_put_cell(p, false, what);
    page_put_cell(p, false, v);
    page_put_cell(p, false,
                  tsv_missing(value)
                      ? "-"
                      : with_interval(b, atof(value), atof(tsv_get(t, i, tsv_column(t, "lower"))),
                                      atof(tsv_get(t, i, tsv_column(t, "upper"))), 2));
    snprintf(of, sizeof of, "%.30s of %.30s", tsv_missing(k) ? "-" : k,
             tsv_get(t, i, tsv_column(t, "n")));
    page_put_cell(p, false, of);
    page_put_cell(p, false, tsv_missing(pv) ? "" : pv);
    page_link_cell(p, "reader.score");
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table>\n");
}

/* ---- Table 2 ---- */

static void fid_row(Report *p, const PaperNumbers *q, const char *name, const char *set,
                    const char *paper2, const PaperFid *x) {
  char b[80];
  if (!x) return;
  report_put(p, "<tr>");
  page_put_cell(p, false, name);
  page_put_cell(p, false, set);
  page_put_cell(p, false, published(q, "Table 2", paper2, "FID from test rim lesions", NULL));
  page_interval_cell(p, x->fid, x->lo, x->hi, 2);
  snprintf(b, sizeof b, "%lld", (long long)x->n);
  page_put_cell(p, false, b);
  page_interval_cell(p, 1000 * x->kid, 1000 * (x->kid - 1.96 * x->kid_se),
                     1000 * (x->kid + 1.96 * x->kid_se), 2);
  page_interval_cell(p, x->precision, NAN, NAN, 2);
  page_interval_cell(p, x->recall, NAN, NAN, 2);
  page_interval_cell(p, x->nearest, NAN, NAN, 2);
  page_interval_cell(p, x->detail, NAN, NAN, 2);
  page_interval_cell(p, x->border, NAN, NAN, 2);
  page_interval_cell(p, x->both, NAN, NAN, 2);
  page_link_cell(p, "fid");
  report_put(p, "</tr>\n");
}

void page_table_two(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {"augmentation",
                                     "set",
                                     "published FID",
                                     "ours FID",
                                     "images",
                                     "KID x 1000",
                                     "precision",
                                     "recall",
                                     "nearest",
                                     "fine detail",
                                     "border",
                                     "both",
                                     ""};
  page_put_anchor(p, "table2", "Table 2: distance to the test rims");
  if (!q->fid.sets) {
    report_text(p, "Not there: the step fid has not run.");
    return;
  }
  page_head_row(p, COUNT_OF(name), name);
  fid_row(p, q, "Real non-rim only", "real non-rims", "Real non-rim only", numbers_nonrim(q));
  for (int with = 1; with >= 0; with--)
    for (int i = with ? 0 : 1; i < q->r->naug; i++) {
      const PaperAug *a = &q->r->aug[i];
      fid_row(p, q, a->name,
              i == 0 ? "real rims alone"
              : with ? "real rims + added"
                     : "added alone",
              with ? a->paper2 : NULL, numbers_fid(q, a, with));
    }
  report_put(p, "</table>\n");
  const PaperFid *floor = numbers_fid(q, &q->r->aug[0], true);
  char b[80];
  report_text(
      p,
      "Reference: %lld slices of test rims; halves of them against each other: FID %s. fine "
      "detail, border, both: how well these numbers alone tell the set from the test rims (area "
      "under the ROC curve, 0.5: not at all): a set above 0.7 carries a mark of its origin that a "
      "classifier can learn in place of the rim. With fewer images than the 2048 features FID is "
      "biased upwards: compare rows of equal n, or KID. A blur of 0.8 pixel costs as much FID with "
      "this network as exchanging rims for non-rims, so a generator is not judged by it here.",
      (long long)q->fid.n, with_interval(b, floor ? floor->within : NAN, NAN, NAN, 2));
}

/* ---- against truth ---- */

static const char *const truth_dir[] = {
    "evidence_ld",   "evidence_fast",       "evidence_focus",  "evidence_place",
    "evidence_rims", "evidence_place_rims", "evidence_nonrim", "evidence_place_nonrim"};
static const char *const truth_title[] = {"ambiguous, reference",
                                          "ambiguous, fast",
                                          "ambiguous, focus",
                                          "ambiguous, in place",
                                          "undisputed new rims, focus",
                                          "undisputed new rims, in place",
                                          "non-rims, focus",
                                          "non-rims, in place"};

static void truth_cell(Report *p, const PaperNumbers *q, const char *dir, const char *number,
                       const char *lesions, int digits) {
  char file[80];
  snprintf(file, sizeof file, "%s/truth.tsv", dir);
  page_interval_cell(p, page_evidence(q, file, number, lesions, "mean"),
                     page_evidence(q, file, number, lesions, "mean_low"),
                     page_evidence(q, file, number, lesions, "mean_high"), digits);
}

void page_truth(Report *p, const PaperNumbers *q) {
  static const struct {
    const char *number;
    const char *lesions;
    int digits;
  } row[] = {{"true rim above core, ppb, before", "true crest 12-25 ppb", 1},
             {"true rim above core, ppb, after", "true crest 12-25 ppb", 1},
             {"true rim above core, ppb, before", "true crest 25-50 ppb", 1},
             {"true rim above core, ppb, after", "true crest 25-50 ppb", 1},
             {"true rim above core, ppb, before", "true crest 50- ppb", 1},
             {"true rim above core, ppb, after", "true crest 50- ppb", 1},
             {"brightest pixels on the true rim (Dice), before", "true crest 25-50 ppb", 2},
             {"brightest pixels on the true rim (Dice), after", "true crest 25-50 ppb", 2},
             {"slope of the edge on the true crest, before", "all", 2},
             {"slope of the edge on the true crest, after", "all", 2},
             {"share that shows an edge of 12 ppb, before", "true crest 0-12 ppb", 2},
             {"share that shows an edge of 12 ppb, after", "true crest 0-12 ppb", 2},
             {"correct moves of the edge", "all", 2},
             {"correct moves of the rim score", "all", 2}};
  if (isnan(page_evidence(q, "evidence_ld/truth.tsv", "correct moves of the edge", "all", "n")))
    return;
  page_put_anchor(p, "truth", "Against the truth, lesion by lesion");
  report_put(p, "<table style=\"font-size:13px\">\n<tr><th></th><th>lesions</th>");
  for (int k = 0; k < COUNT_OF(truth_dir); k++) page_put_cell(p, true, truth_title[k]);
  report_put(p, "</tr>\n");
  for (int i = 0; i < COUNT_OF(row); i++) {
    report_put(p, "<tr>");
    page_put_cell(p, false, row[i].number);
    page_put_cell(p, false, row[i].lesions);
    for (int k = 0; k < COUNT_OF(truth_dir); k++)
      truth_cell(p, q, truth_dir[k], row[i].number, row[i].lesions, row[i].digits);
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table>\n");
  report_text(p,
              "Crest: how far the rim stands above the core; true crest: as the phantom drew it, "
              "before blur and noise. A correct move: the number rises where there is a rim "
              "above the readers' cut and falls where there is none; 0.5 is chance.");
}

/* ---- projection ---- */

void page_projection(Report *p, const PaperNumbers *q) {
  static const struct {
    const char *dir;
    const char *name;
    const char *step;
  } row[] = {{"evidence_ld", "reference (Eq. 1, Adam 0.9, 0.999)", "ld"},
             {"evidence_betas", "the printed Adam (0.9, 0.99), some of the lesions", "ld.betas"},
             {"evidence_fast", "fast: w alone, L-BFGS", "fast"},
             {"evidence_focus", "fast, focus on the lesion", "focus"},
             {"evidence_place", "in place (LPIPS: of the network's whole image)", "place"},
             {"evidence_cld", "fast, into the conditional network", "cld"},
             {"evidence_rims", "fast, focus: undisputed new rims", "projected.rims"},
             {"evidence_place_rims", "in place: undisputed new rims", "place.rims"},
             {"evidence_nonrim", "fast, focus: non-rims", "projected.nonrim"},
             {"evidence_place_nonrim", "in place: non-rims", "place.nonrim"},
             {"evidence_control_rim", "reference: undisputed test rims", "control.rim"},
             {"evidence_control_own", "reference: images of the network itself", "control.own"}};
  static const char *const head[] = {
      "projection",        "lesions", "LPIPS", "rim above core, ppb, before", "after", "change",
      "called rim before", "after",   ""};
  static const char *const number[] = {"lpips",
                                       "rim_core_ppb_before",
                                       "rim_core_ppb_after",
                                       "rim_core_ppb_change",
                                       "called_rim_before",
                                       "called_rim_after"};
  page_put_anchor(p, "projection", "Projection: solvers side by side");
  page_head_row(p, COUNT_OF(head), head);
  for (int i = 0; i < COUNT_OF(row); i++) {
    char file[80], b[40];
    snprintf(file, sizeof file, "%s/summary.tsv", row[i].dir);
    const double n = page_evidence(q, file, "lpips", NULL, "n");
    if (isnan(n)) continue;
    report_put(p, "<tr>");
    page_put_cell(p, false, row[i].name);
    snprintf(b, sizeof b, "%.0f", n);
    page_put_cell(p, false, b);
    for (int k = 0; k < COUNT_OF(number); k++)
      page_interval_cell(p, page_evidence(q, file, number[k], NULL, "mean"),
                         page_evidence(q, file, number[k], NULL, "mean_low"),
                         page_evidence(q, file, number[k], NULL, "mean_high"),
                         k == 0  ? 3
                         : k > 3 ? 2
                                 : 1);
    page_link_cell(p, row[i].step);
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table>\n");
  report_text(
      p, "The published objective is the first row and feeds the paper's rows; the others are "
         "beside it. Called rim: by the classifiers without augmentation, mean score at least 0.5 "
         "(not the threshold of Tables 3 and 4). Steps and options are in the commands.");
}
