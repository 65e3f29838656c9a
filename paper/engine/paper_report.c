/* paper_report.c: `prlx paper report`: tables, figures and the page report.html of a run. See
 * paper_report.h. The words are computed from the numbers: whether something helps is decided by
 * intervals, never by the sign alone. */
#include "paper/engine/paper_report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "tools/cli/tool.h"

/* ---- html ---- */

static void put_cell(Report *p, bool head, const char *text) {
  report_put(p, head ? "<th>" : "<td>");
  report_put_escaped(p, text);
  report_put(p, head ? "</th>" : "</td>");
}

/* The value, its interval below it in small. */
static void interval_cell(Report *p, double v, double lo, double hi, int digits) {
  if (isnan(v))
    report_put(p, "<td>n/a</td>");
  else if (isnan(lo))
    report_putf(p, "<td>%.*f</td>", digits, v);
  else
    report_putf(p,
                "<td>%.*f<br><small style=\"white-space:nowrap;color:var(--soft)\">%.*f to "
                "%.*f</small></td>",
                digits, v, digits, lo, digits, hi);
}

static void head_row(Report *p, int n, const char *const *name) {
  report_put(p, "<table style=\"font-size:13px\">\n<tr>");
  for (int i = 0; i < n; i++) put_cell(p, true, name[i]);
  report_put(p, "</tr>\n");
}

/* The command that made a row. */
static void link_cell(Report *p, const char *step) {
  report_putf(p, "<td><a href=\"#cmd-%s\">command</a></td>", step);
}

static void missing_row(Report *p, const char *name, const char *why, int columns) {
  report_put(p, "<tr>");
  put_cell(p, false, name);
  report_putf(p, "<td colspan=\"%d\">", columns - 1);
  report_put_escaped(p, why);
  report_put(p, "</td></tr>\n");
}

static void put_anchor(Report *p, const char *id, const char *title) {
  report_putf(p, "<a id=\"%s\"></a>", id);
  report_heading(p, title);
}

/* Text of a file, without lines that begin with `drop`. */
static void put_file(Report *p, const char *path, const char *drop, bool as_paragraphs) {
  uint8_t *data = NULL;
  size_t n;
  if (!file_exists(path) || file_read(path, &data, &n, 1 << 20, NULL) != ST_OK) return;
  char *text = mem_alloc(n + 1);
  if (text) {
    memcpy(text, data, n);
    if (!as_paragraphs) report_pre(p, text);
    for (char *save, *line = as_paragraphs ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
      if (!drop || strncmp(line, drop, strlen(drop))) report_text(p, "%s", line);
  }
  mem_free(text);
  mem_free(data);
}

static void put_picture(Report *p, const PaperNumbers *q, const char *name, int width,
                        const char *caption) {
  char path[PATH_LEN];
  paper_file(q->r, path, "%s", name);
  if (file_exists(path)) report_png(p, path, width, caption);
}

/* ---- what was run ---- */

static void put_about(Report *p, const PaperNumbers *q) {
  const PaperRun *r = q->r;
  const PaperScale *s = r->scale;
  put_anchor(p, "about", "What was run, and on what");
  if (r->cohort)
    report_text(p,
                "The lesions of %s: %d rim (both readers), %d ambiguous (one reader), %d non-rim.",
                r->cohort, r->rim, r->ambiguous, r->nonrim);
  else
    report_note(p,
                "A stand-in for the cohort of the paper, which is not public: simulated lesions "
                "(prlx phantom), %d rim, %d ambiguous and %d other lesions of %d simulated "
                "patients. Nothing here says anything about patients.",
                r->rim, r->ambiguous, r->nonrim, s->subjects);
  report_text(
      p,
      "Scale \"%s\": %s. Training of ADA-GAN %g kimg (%s), ADA-cGAN %g kimg, three contrasts %g "
      "kimg%s; projection: %s; classifier: %s. The paper: 25,000 kimg, 1000 steps, 25 epochs.",
      s->name, s->about, paper_setting_number(s, "gan_kimg"), paper_setting(s, "gan"),
      paper_setting_number(s, "cgan_kimg"), paper_setting_number(s, "multi_kimg"),
      paper_setting_number(s, "transfer") != 0
          ? ", all started from the bundled small network (transfer learning)"
          : "",
      paper_setting(s, "project"), paper_setting(s, "classify"));
  if (strstr(paper_setting(s, "gan"), "small"))
    report_note(
        p, "Stand-in for the published networks: the small configuration of this program (fewer "
           "channels, fewer images shown), because a few processor cores cannot train the "
           "published one. `prlx paper run --scale paper` is the published setting, for a GPU.");
  if (r->scaled)
    report_note(p,
                "The cohort has fewer lesions than the paper's %s for training and %s for the "
                "test: counts were scaled (about %d rims for training, %d for the test; %d lesions "
                "added by an augmentation).",
                paper_setting(s, "train_counts"), paper_setting(s, "test_counts"), r->train_rim,
                r->test_rim, r->add);
  if (!r->ambiguous)
    report_note(p, "No ambiguous lesions in the cohort: everything about denoising is left out.");
  if (q->fid.network[0])
    report_text(p,
                "Feature distances: %s; %s. Numbers of another network cannot be compared, those "
                "of the paper are printed for orientation only.",
                q->fid.network, q->fid.convention);
  report_text(
      p, "Every classifier was trained with the same seeds and judged on the same test lesions, of "
         "subjects that no generator, no augmentation and no classifier has seen (checked by the "
         "leak steps). Intervals: 95 %%, bootstrap over subjects, those of differences also over "
         "training seeds (few: the spread over seeds stands in the second table). "
         "Published values are those in paper/published.tsv; n/a: not in our notes of the paper.");
}

/* ---- does it help? ---- */

static const char *delta_verdict(const Delta *d) {
  if (isnan(d->v) || isnan(d->lo)) return "no interval";
  return d->lo > 0 ? "better" : d->hi < 0 ? "worse" : "no difference shown";
}

static void compare_line(Report *p, const char *what, const char *with, const Delta d[M_COUNT]) {
  char b[4][80];
  static const Metric m[4] = {M_SENSITIVITY, M_SPECIFICITY, M_BALANCED, M_ROC_AUC};
  for (int i = 0; i < 4; i++) with_interval(b[i], d[m[i]].v, d[m[i]].lo, d[m[i]].hi, 3);
  report_text(p,
              "%s against %s: sensitivity %s: %s; specificity %s: %s; balanced accuracy %s: %s; "
              "ROC AUC %s: %s.",
              what, with, b[0], delta_verdict(&d[m[0]]), b[1], delta_verdict(&d[m[1]]), b[2],
              delta_verdict(&d[m[2]]), b[3], delta_verdict(&d[m[3]]));
}

/* A number of `prlx evidence`; lesions NULL: the first set it is given for. */
static double evidence_summary(const PaperNumbers *q, const char *dir, const char *number,
                               const char *lesions, const char *column) {
  Tsv t;
  char path[PATH_LEN];
  double v = NAN;
  paper_file(q->r, path, "work/%s/summary.tsv", dir);
  if (!file_exists(path) || tsv_read(path, &t, NULL) != ST_OK) return NAN;
  const int cn = tsv_column(&t, "number"), cl = tsv_column(&t, "lesions"),
            cv = tsv_column(&t, column);
  for (int i = 0; i < t.nrow; i++)
    if (!strcmp(tsv_get(&t, i, cn), number) && (!lesions || !strcmp(tsv_get(&t, i, cl), lesions)) &&
        isnan(v) && !tsv_missing(tsv_get(&t, i, cv)))
      v = atof(tsv_get(&t, i, cv));
  tsv_free(&t);
  return v;
}

static double mean_of(const PaperNumbers *q, const char *dir, const char *number) {
  return evidence_summary(q, dir, number, NULL, "mean");
}

/* The same projection of lesions nobody doubts, and of images that the network can make for
 * certain: which part is to blame. */
static void put_controls(Report *p, const PaperNumbers *q) {
  const double before = mean_of(q, "evidence_control_rim", "called_rim_before"),
               after = mean_of(q, "evidence_control_rim", "called_rim_after"),
               rims = mean_of(q, "evidence_control_rim", "lpips");
  const double own = mean_of(q, "evidence_control_own", "lpips"),
               own0 = mean_of(q, "evidence_control_own", "called_rim_before"),
               own1 = mean_of(q, "evidence_control_own", "called_rim_after");
  const double core = mean_of(q, "evidence_control_rim", "rim_core_ppb_change"),
               high = evidence_summary(q, "evidence_control_rim", "rim_core_ppb_change", NULL,
                                       "mean_high");
  if (isfinite(before) && isfinite(after))
    report_text(
        p,
        "Control, undisputed rims of the test projected in the same way (LPIPS %.3f): called rim "
        "%.0f %% before, %.0f %% after; the true rim above the core changes by %+.1f ppb. %s",
        rims, 100 * before, 100 * after, core,
        high < 0 ? "Rims that nobody doubts are flattened, too: it is the network and the search "
                   "that cannot draw them, not the ambiguity."
                 : "Rims that nobody doubts are not flattened.");
  if (isfinite(own) && isfinite(own0) && isfinite(own1))
    report_text(p,
                "Control, images of the network itself projected back (a perfect answer exists): "
                "LPIPS %.3f, called rim %.0f %% before, %.0f %% after. %s",
                own, 100 * own0, 100 * own1,
                isfinite(rims) && own < 0.6 * rims
                    ? "These it finds far better: what is missing is range of the network, not "
                      "steps of the search."
                    : "Even these are not found again: the search stops too early for this "
                      "network; more steps would come first.");
}

/* Why: from the evidence of the same run; each sentence only when its numbers are there. */
static void put_why(Report *p, const PaperNumbers *q) {
  const double before = evidence_summary(q, "evidence_ld", "called_rim_before", NULL, "mean"),
               after = evidence_summary(q, "evidence_ld", "called_rim_after", NULL, "mean");
  const double right0 = evidence_summary(q, "evidence_ld", "right_before", NULL, "mean"),
               right1 = evidence_summary(q, "evidence_ld", "right_after", NULL, "mean");
  const double core = evidence_summary(q, "evidence_ld", "rim_core_ppb_change", NULL, "mean"),
               clo = evidence_summary(q, "evidence_ld", "rim_core_ppb_change", NULL, "mean_low"),
               chi = evidence_summary(q, "evidence_ld", "rim_core_ppb_change", NULL, "mean_high");
  const double copy = evidence_summary(q, "evidence_ld", "copy_of_training", NULL, "mean"),
               lpips = evidence_summary(q, "evidence_ld", "lpips", NULL, "mean");
  const double low = evidence_summary(q, "evidence_ld", "rim_score_change", NULL, "mean_low"),
               high = evidence_summary(q, "evidence_ld", "rim_score_change", NULL, "mean_high");
  if (isnan(before) && isnan(core) && isnan(lpips)) return;
  report_text(p, "Why? What projection did to the ambiguous lesions themselves:");
  if (isfinite(before) && isfinite(after))
    report_text(p,
                "The classifier trained without any augmentation calls %.0f %% of them rim before "
                "and %.0f %% after projection. %s",
                100 * before, 100 * after,
                low > 0 ? "Its rim score rises on average: projection moves them towards what it "
                          "knows as rims, which is what the method is for."
                : high < 0 ? "Its rim score falls on average: projection makes them look less like "
                             "rims to it, the opposite of what the method is for."
                           : "No change of its mean rim score is shown (the interval holds zero).");
  if (isfinite(right0) && isfinite(right1))
    report_text(p,
                "Measured against the truth of the phantom, its call is right for %.0f %% before "
                "and %.0f %% after.%s",
                100 * right0, 100 * right1,
                " Where the lesion has no true rim, adding it as a rim is a wrong label, however "
                "clear it looks.");
  if (isfinite(core))
    report_text(p, "The true rim stands %.1f ppb (%.1f to %.1f) %s above the core than before. %s",
                fabs(core), core < 0 ? -chi : clo, core < 0 ? -clo : chi,
                core < 0 ? "less" : "more",
                clo > 0   ? "So projection brings the true rim out."
                : chi < 0 ? "So the generator flattens the rim it should bring out: a network too "
                            "small, or trained too little, to draw it."
                          : "The interval holds zero: no change shown.");
  if (isfinite(lpips))
    report_text(p,
                "Perceptual distance to the target: %.3f on average (LPIPS with the bundled "
                "VGG16-Caffe). %s",
                lpips,
                isfinite(copy)
                    ? copy > 0 ? "Some denoised lesions are copies of training lesions, see below."
                               : "None of the denoised lesions is a copy of a training lesion."
                    : "");
  put_controls(p, q);
}

static void does_it_help(Report *p, const PaperNumbers *q, Chart *c) {
  const PaperRow *none = numbers_row(q, "classify_none"),
                 *amb = numbers_row(q, "classify_ambiguous"), *ld = numbers_row(q, "classify_ld"),
                 *both = numbers_row(q, "classify_gan_ld"), *cld = numbers_row(q, "classify_cld"),
                 *gan = numbers_row(q, "classify_gan");
  put_anchor(p, "help", "Does latent projection denoising help here?");
  if (!none || !ld) {
    report_text(p, "Not answered: %s.",
                q->r->ambiguous ? "the classifiers have not been trained yet"
                                : "the cohort has no ambiguous lesions");
    return;
  }
  const Delta *d = &ld->none[M_BALANCED], *a = &ld->ambiguous[M_BALANCED];
  char b[2][80];
  with_interval(b[0], d->v, d->lo, d->hi, 3);
  report_note(p,
              "%s Adding the denoised ambiguous lesions changes balanced accuracy by %s against no "
              "augmentation: %s. Against adding the same lesions as they are, not denoised: %s, "
              "%s. McNemar, corrected for all rows: p = %.3g.",
              !strcmp(delta_verdict(d), "better")  ? "Yes."
              : !strcmp(delta_verdict(d), "worse") ? "No: it harms."
                                                   : "Not shown.",
              b[0], delta_verdict(d), amb ? with_interval(b[1], a->v, a->lo, a->hi, 3) : "n/a",
              amb ? delta_verdict(a) : "not run", ld->p_holm);
  compare_line(p, "ADA-GAN-LD (denoised)", "None", ld->none);
  if (amb)
    compare_line(p, "ADA-GAN-LD (denoised)", "Ambiguous (the same lesions, as they are)",
                 ld->ambiguous);
  if (gan) compare_line(p, "ADA-GAN (synthetic)", "None", gan->none);
  if (both) compare_line(p, "ADA-GAN+LD (both)", "None", both->none);
  if (cld)
    compare_line(p, "ADA-cGAN-LD (projected into the conditional network)", "None", cld->none);
  put_why(p, q);
  report_text(
      p,
      "The test has %lld lesions of %lld subjects: a difference of a few lesions cannot be told "
      "from chance, here or in the paper (51 against 57 of 60 rims has p = 0.13 as two samples).",
      (long long)none->n, (long long)none->groups);
  if (c->panels)
    chart_report(
        c, p,
        "Difference of each row to the classifier without augmentation, with its interval. Left of "
        "the line: worse. Open diamonds: the same difference between published values.");
}

/* ---- tables ---- */

static void main_table(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {
      "augmentation",        "adds",    "accuracy published",    "ours",
      "precision published", "ours",    "sensitivity published", "ours",
      "balanced accuracy",   "ROC AUC", "McNemar p, Holm",       ""};
  static const Metric m[] = {M_ACCURACY, M_PRECISION, M_SENSITIVITY};
  char b[80];
  put_anchor(p, "main", "Main table: classifiers (Tables 3 and 4 of the paper)");
  head_row(p, COUNT_OF(name), name);
  for (int i = 0; i < q->rows; i++) {
    const PaperRow *x = &q->row[i];
    if (x->missing) {
      missing_row(p, x->name, x->missing, COUNT_OF(name));
      continue;
    }
    report_put(p, "<tr>");
    put_cell(p, false, x->name);
    snprintf(b, sizeof b, "%d", x->added);
    put_cell(p, false, x->added < 0 ? "replaces" : b);
    for (int k = 0; k < 3; k++) {
      put_cell(p, false, published(q, "3", x->name, metric_name[m[k]], NULL));
      interval_cell(p, x->m[m[k]], x->lo[m[k]], x->hi[m[k]], 2);
    }
    interval_cell(p, x->m[M_BALANCED], x->lo[M_BALANCED], x->hi[M_BALANCED], 2);
    interval_cell(p, x->m[M_ROC_AUC], x->lo[M_ROC_AUC], x->hi[M_ROC_AUC], 2);
    if (isnan(x->p))
      snprintf(b, sizeof b, "-");
    else
      snprintf(b, sizeof b, "%.3g, %.3g", x->p, x->p_holm);
    put_cell(p, false, b);
    link_cell(p, x->step);
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table>\n");
  report_text(
      p, "Ours: mean over the training seeds, 95 %% interval over subjects. The published rows "
         "None and Affine cannot come from one test set of 60 rim and 120 non-rim lesions (prlx "
         "paper audit), so a distance to them is no failure; which rows stand in Table 3 and "
         "which in Table 4 is not in our notes. Affine replaces the rims as in the paper, "
         "\"Affine, added\" adds to them. ADA-GAN+LD adds all synthetic and all denoised lesions; "
         "half of each is beside it, because twice as many lesions are twice as many.");
}

static void all_metrics(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {"augmentation",
                                     "specificity",
                                     "F1",
                                     "PR AUC",
                                     "sd of balanced accuracy over seeds",
                                     "rims found",
                                     "false rims",
                                     "non-rims right",
                                     "rims missed",
                                     "right only here",
                                     "right only in None"};
  char b[80];
  report_text(p, "The rest of the numbers, and the confusion matrix (mean over seeds):");
  head_row(p, COUNT_OF(name), name);
  for (int i = 0; i < q->rows; i++) {
    const PaperRow *x = &q->row[i];
    if (x->missing) continue;
    report_put(p, "<tr>");
    put_cell(p, false, x->name);
    static const Metric m[] = {M_SPECIFICITY, M_F1, M_PR_AUC};
    for (int k = 0; k < 3; k++) interval_cell(p, x->m[m[k]], x->lo[m[k]], x->hi[m[k]], 2);
    interval_cell(p, x->sd[M_BALANCED], NAN, NAN, 3);
    for (int k = 0; k < 4; k++) {
      snprintf(b, sizeof b, "%.1f", x->count[k]);
      put_cell(p, false, b);
    }
    for (int k = 0; k < 2; k++) {
      snprintf(b, sizeof b, "%lld", (long long)(k ? x->only_none : x->only_here));
      put_cell(p, false, isnan(x->p) ? "-" : b);
    }
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table>\n");
}

static void list_augmentations(Report *p, const PaperNumbers *q) {
  report_put(p, "<details><summary>What each row is</summary><table>\n");
  for (int i = 0; i < q->r->naug; i++) {
    report_put(p, "<tr>");
    put_cell(p, false, q->r->aug[i].name);
    put_cell(p, false, q->r->aug[i].what);
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table></details>\n");
}

static void table_one(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {"reader", "quantity", "published (one reader)", "ours", "of",
                                     "p",      ""};
  static const char *const pub[4][3] = {{"real called rim", "called rim", "real"},
                                        {"synthetic called rim", "called rim", "synthetic"},
                                        {"real called real", "called real", "real"},
                                        {"synthetic called real", "called real", "synthetic"}};
  const Tsv *t = &q->reader;
  put_anchor(p, "table1", "Table 1: reader study");
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
  head_row(p, COUNT_OF(name), name);
  for (int i = 0; i < t->nrow; i++) {
    const char *what = tsv_get(t, i, tsv_column(t, "quantity")), *v = "n/a",
               *pv = tsv_get(t, i, tsv_column(t, "p")), *k = tsv_get(t, i, tsv_column(t, "k"));
    char b[80], of[80];
    for (int a = 0; a < 4; a++)
      if (!strcmp(what, pub[a][0])) v = published(q, "1", pub[a][1], pub[a][2], NULL);
    const char *value = tsv_get(t, i, tsv_column(t, "value"));
    report_put(p, "<tr>");
    put_cell(p, false, tsv_get(t, i, tsv_column(t, "reader")));
    put_cell(p, false, what);
    put_cell(p, false, v);
    put_cell(p, false,
             tsv_missing(value)
                 ? "-"
                 : with_interval(b, atof(value), atof(tsv_get(t, i, tsv_column(t, "lower"))),
                                 atof(tsv_get(t, i, tsv_column(t, "upper"))), 2));
    snprintf(of, sizeof of, "%.30s of %.30s", tsv_missing(k) ? "-" : k,
             tsv_get(t, i, tsv_column(t, "n")));
    put_cell(p, false, of);
    put_cell(p, false, tsv_missing(pv) ? "" : pv);
    link_cell(p, "reader.score");
    report_put(p, "</tr>\n");
  }
  report_put(p, "</table>\n");
}

static void fid_rows(Report *p, const PaperNumbers *q, bool with_real) {
  for (int i = with_real ? 0 : 1; i < q->r->naug; i++) {
    const PaperAug *a = &q->r->aug[i];
    const PaperFid *x = numbers_fid(q, a, with_real);
    char b[80];
    if (!x) continue;
    report_put(p, "<tr>");
    put_cell(p, false, a->name);
    put_cell(p, false,
             !i            ? "real rims alone"
             : a->replaces ? "in place of the real rims"
             : with_real   ? "real rims + added"
                           : "added alone");
    put_cell(p, false, with_real || a->replaces ? published(q, "2", a->name, "FID", NULL) : "");
    interval_cell(p, x->fid, x->lo, x->hi, 2);
    snprintf(b, sizeof b, "%lld", (long long)x->n);
    put_cell(p, false, b);
    interval_cell(p, x->inf, NAN, NAN, 2);
    interval_cell(p, 1000 * x->kid, 1000 * (x->kid - 1.96 * x->kid_se),
                  1000 * (x->kid + 1.96 * x->kid_se), 2);
    interval_cell(p, x->precision, NAN, NAN, 2);
    interval_cell(p, x->recall, NAN, NAN, 2);
    interval_cell(p, x->nearest, NAN, NAN, 2);
    link_cell(p, "fid");
    report_put(p, "</tr>\n");
  }
}

static void table_two(Report *p, const PaperNumbers *q) {
  static const char *const name[] = {
      "augmentation", "set",       "published FID", "ours FID", "images", "FID_inf",
      "KID x 1000",   "precision", "recall",        "nearest",  ""};
  put_anchor(p, "table2", "Table 2: distance to the test rims");
  if (!q->fid.sets) {
    report_text(p, "Not there: the step fid has not run.");
    return;
  }
  head_row(p, COUNT_OF(name), name);
  fid_rows(p, q, true);
  fid_rows(p, q, false);
  report_put(p, "</table>\n");
  const PaperFid *floor = numbers_fid(q, &q->r->aug[0], true);
  char b[80];
  report_text(
      p,
      "Reference: %lld slices of test rims. Floor: real training rims against them, FID %s; halves "
      "of the test rims against each other %.2f. With fewer images than the 2048 features FID is "
      "biased upwards and depends on the number of images: compare rows of equal n, or KID, whose "
      "expectation does not; the paper's sets are as small. nearest below 0.5 would mean copies.",
      (long long)q->fid.n, floor ? with_interval(b, floor->fid, floor->lo, floor->hi, 2) : "n/a",
      floor ? floor->within : NAN);
}

/* ---- figures ---- */

static void put_figures(Report *p, const PaperNumbers *q, Chart c[PAPER_CHARTS]) {
  char b[2][80], cap[900];
  put_anchor(p, "figures", "Figures");
  report_text(p, "Our notes of the paper do not describe every figure to the last panel; where "
                 "they do not, the nearest counterpart is shown and its caption says so. Lesions "
                 "are the first of each file, not chosen.");
  report_figures_begin(p);
  put_picture(
      p, q, "figures/figure2.png", 560,
      "Figure 2, projection of one ambiguous lesion: as measured, denoised, and the difference "
      "(red: brighter after). What the generator cannot draw, such as noise and streaks, is "
      "gone; so is anatomy it has not learned.");
  put_picture(
      p, q, "figures/figure2_steps.png", 0,
      "Figure 2, the way there: the image after every ten steps, from the mean lesion of the "
      "network to the one nearest to the target.");
  put_picture(
      p, q, "figures/figure6.png", 780,
      "Figure 6: real rim lesions and synthetic ones. Look for a bright ring around a darker core, "
      "and for what gives a synthetic lesion away: smoothness, missing vessels, repeated shapes.");
  put_picture(
      p, q, "figures/figure7.png", 780,
      "Figure 7: ambiguous lesions, where one reader saw a rim and the other did not, before "
      "and after denoising, in the same order. P(rim): what the classifier without "
      "augmentation says; beside it, for the phantom, whether the lesion truly has a rim.");
  put_picture(
      p, q, "figures/figure7_cgan.png", 780,
      "The same lesions projected into the conditional network as rims (named as future work "
      "in the paper).");
  if (c[CHART_FIGURE8].panels)
    chart_report(
        &c[CHART_FIGURE8], p,
        "Figure 8: distance of 100 or so synthetic lesions to the training rims while the networks "
        "learn. Both curves have the same reference here; the published 14.20 (rim lesions) and "
        "8.79 (rim and non-rim lesions) are distances to two different sets.");
  snprintf(
      cap, sizeof cap,
      "Figure 9: where the classifier sees a rim, before and after augmentation (class activation "
      "maps over the slice). Share of the map on the true rim, widened by 2 pixels: %s before, %s "
      "after; a map without preference would have %.2f (%.0f rim slices of the test).",
      with_interval(b[0], q->cam_share[0][0], q->cam_share[0][1], q->cam_share[0][2], 2),
      with_interval(b[1], q->cam_share[1][0], q->cam_share[1][1], q->cam_share[1][2], 2),
      q->cam_area, q->cam_lesions);
  put_picture(p, q, "figures/figure9.png", 900, cap);
  put_picture(
      p, q, "figures/figure10.png", 900,
      "Figure 10, nearest counterpart: susceptibility, rim probability and T2-FLAIR of real "
      "lesions and of lesions generated together. On FLAIR every lesion is evenly bright; only "
      "susceptibility shows the rim, and the mask should lie on it.");
  report_figures_end(p);
  if (c[CHART_FOREST].panels)
    chart_report(
        &c[CHART_FOREST], p,
        "Published values (open diamonds) and ours (filled, with interval) for each augmentation.");
  if (c[CHART_SWEEP].panels)
    chart_report(&c[CHART_SWEEP], p,
                 "How much synthetic data helps: ADA-GAN lesions added to the same real ones.");
}

/* ---- evidence, multi-contrast, audit ---- */

static void put_evidence(Report *p, const PaperNumbers *q) {
  char path[PATH_LEN];
  put_anchor(p, "evidence", "Evidence of denoising, lesion by lesion");
  if (!q->r->ambiguous) {
    report_text(p, "The cohort has no ambiguous lesions.");
    return;
  }
  static const char *const step[] = {"evidence.ld", "evidence.cld", "evidence.control_rim",
                                     "evidence.control_own", "evidence.memory"};
  static const char *const title[] = {
      "ADA-GAN-LD", "ADA-cGAN-LD", "Control: undisputed rims of the test, projected into ADA-GAN",
      "Control: images of ADA-GAN, projected into it",
      "Memorisation: synthetic lesions of ADA-GAN"};
  static const char *const chart[] = {
      "{w}/evidence_ld/histogram.svg", "{w}/evidence_cld/histogram.svg",
      "{w}/evidence_control_rim/histogram.svg", "{w}/evidence_control_own/histogram.svg",
      "{w}/evidence_memory/histogram.svg"};
  for (int i = 0; i < COUNT_OF(step); i++) {
    report_put(p, "<h3>");
    report_put_escaped(p, title[i]);
    report_put(p, "</h3>\n");
    paper_file(q->r, path, "log/%s.txt", step[i]);
    put_file(p, path, "Results in", true);
    if (file_exists(paper_path(q->r, chart[i])))
      chart_report_file(p, paper_path(q->r, chart[i]), "Spread over the lesions.");
    report_putf(p, "<p><a href=\"#cmd-%s\">command</a></p>\n", step[i]);
  }
}

static void put_contrasts(Report *p, const PaperNumbers *q) {
  static const char *const step[] = {"segment.judge", "segment.real", "segment.both"};
  static const char *const title[] = {
      "Do generated masks lie on the generated rims?", "U-Net for the rim, trained on real masks",
      "The same with generated lesions added, and the paired difference"};
  char path[PATH_LEN];
  put_anchor(p, "multi", "Three contrasts: susceptibility, rim, FLAIR");
  if (!q->r->contrasts) {
    report_text(p, "Left out: not every lesion of the cohort has FLAIR and a rim mask.");
    return;
  }
  for (int i = 0; i < 3; i++) {
    report_put(p, "<h3>");
    report_put_escaped(p, title[i]);
    report_put(p, "</h3>\n");
    paper_file(q->r, path, "log/%s.txt", step[i]);
    put_file(p, path, NULL, false);
    report_putf(p, "<p><a href=\"#cmd-%s\">command</a></p>\n", step[i]);
  }
}

static void put_audit(Report *p, const PaperNumbers *q) {
  uint8_t *data = NULL;
  size_t n;
  put_anchor(p, "audit", "Do the published numbers fit one another?");
  const char *path = paper_path(q->r, "{w}/audit.txt");
  if (!file_exists(path) || file_read(path, &data, &n, 1 << 20, NULL) != ST_OK) {
    report_text(p, "Not there: the step audit has not run.");
    return;
  }
  char *text = mem_alloc(n + 1);
  if (text) {
    memcpy(text, data, n);
    const char *last = strrchr(text, ',');
    while (last && last > text && last[-1] != '\n') last--;
    report_text(p,
                "%s. Each with its arithmetic below; in words: paper/AUDIT.md. Most of what does "
                "not fit is explained by a misprint or by tables from several runs.",
                last ? last : "");
    report_put(p, "<details><summary>all claims</summary>\n");
    report_pre(p, text);
    report_put(p, "</details>\n");
  }
  mem_free(text);
  mem_free(data);
}

static void put_limits(Report *p, const PaperNumbers *q) {
  put_anchor(p, "limits", "Limits");
  if (!q->r->cohort)
    report_text(p, "Phantom: its anatomy, noise and readers are a model. It can show that a method "
                   "fails when it should work, and why; that it works on patients it cannot show. "
                   "Its difficulty was set so that the classifier without augmentation lands near "
                   "the published range, before the augmentations were compared.");
  report_text(p, "One split into training and test, as in the paper; the interval covers which "
                 "subjects are in the test and the training seeds, not which are in the training. "
                 "Several rows are compared with one: Holm's correction is given for McNemar's "
                 "test, the intervals of differences are not corrected.");
  report_text(p, "The perceptual networks are bundled stand-ins: VGG16-Caffe with mean heads in "
                 "place of torchvision's VGG16 with LPIPS, an Inception-v3 of nsfwjs in place of "
                 "the public FID network. `prlx import` takes the public ones.");
  report_text(
      p, "Not for clinical use: a denoised lesion is a proposal of a network, not a measurement.");
}

static void put_commands(Report *p, const PaperNumbers *q) {
  const PaperRun *r = q->r;
  const char *section = "";
  put_anchor(p, "commands", "Commands");
  report_text(p,
              "Every number above comes from these; run in this order they give the same numbers "
              "again (commands.sh). Seeds are in the options, or 0. Times are of this run.");
  report_put(p, "<table>\n");
  for (int k = 0; k < r->n; k++) {
    const Step *s = &r->step[k];
    char *text = step_text(r, s), done[80];
    snprintf(done, sizeof done, "%s", s->state == STEP_DONE ? human_time(s->took) : "not run");
    if (strcmp(section, s->section)) {
      report_put(p, "<tr>");
      put_cell(p, true, s->section);
      report_put(p, "</tr>\n");
    }
    section = s->section;
    report_putf(p, "<tr id=\"cmd-%s\">", s->id);
    put_cell(p, false, s->id);
    put_cell(p, false, s->last ? "" : done);
    report_put(p, "<td><code style=\"font-size:12px;overflow-wrap:anywhere\">");
    report_put_escaped(p, text ? text : "");
    report_put(p, "</code></td></tr>\n");
    mem_free(text);
  }
  report_put(p, "</table>\n");
}

/* OUT/report.html */
static Status report_make(const PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e) {
  Report p;
  char path[PATH_LEN];
  report_begin(&p, "Rim lesions: the paper's experiments, rerun",
               "Synthetic generation and latent projection denoising of rim lesions in multiple "
               "sclerosis (Roberts et al., CVPR workshops 2025), rerun by prlx paper run");
  report_put(&p, "<p><a href=\"#help\">Does it help?</a> · <a href=\"#main\">main table</a> · <a "
                 "href=\"#table1\">readers</a> · <a href=\"#table2\">FID</a> · <a "
                 "href=\"#figures\">figures</a> · <a href=\"#evidence\">evidence</a> · "
                 "<a href=\"#multi\">three contrasts</a> · <a href=\"#audit\">audit</a> · <a "
                 "href=\"#limits\">limits</a> · <a href=\"#commands\">commands</a></p>\n");
  put_about(&p, q);
  does_it_help(&p, q, &c[CHART_HELPS]);
  main_table(&p, q);
  list_augmentations(&p, q);
  all_metrics(&p, q);
  table_one(&p, q);
  table_two(&p, q);
  put_figures(&p, q, c);
  put_evidence(&p, q);
  put_contrasts(&p, q);
  put_audit(&p, q);
  put_limits(&p, q);
  put_commands(&p, q);
  paper_file(q->r, path, "report.html");
  return report_write(&p, path, e);
}

/* ---- the command ---- */

static Status report_all(PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e) {
  PaperRun *r = q->r;
  TRY(recipe_check_out(r, e));
  TRY(paper_count(r, e));
  TRY(paper_recipe(r, e));
  TRY(recipe_plan(r, e));
  TRY(numbers_gather(q, e));
  TRY(tables_write(q, e));
  TRY(figures_pictures(q, e));
  TRY(figures_charts(q, c, e));
  return report_make(q, c, e);
}

static Status report_run(PaperRun *r, Error *e) {
  PaperNumbers *q = mem_alloc(sizeof *q);
  Chart c[PAPER_CHARTS] = {0};
  if (!q) return err_set(e, ST_NOMEM, "out of memory");
  q->r = r;
  const Status s = report_all(q, c, e);
  for (int i = 0; i < PAPER_CHARTS; i++) chart_free(&c[i]);
  numbers_free(q);
  mem_free(q);
  return s;
}

int paper_report(int argc, char **argv) {
  PaperRun r = {0};
  PaperScale scale = {0};
  const char *name = NULL;
  Error e = {0};
  Opt t[] = {
      OPT_STR("scale", &name, "small", "NAME",
              "of the run: small, paper, tiny, or one of --scales"),
      OPT_STR("cohort", &r.cohort, NULL, "TSV", "of the run"),
      OPT_STR("published", &r.published, NULL, "TSV",
              "published numbers, instead of paper/published.tsv"),
      OPT_STR("recipe", &r.recipe, NULL, "FILE", "of the run"),
      OPT_STR("scales", &r.scales, NULL, "TSV", "of the run"),
  };
  OptSpec spec = {.cmd = "paper report",
                  .summary = "Tables, figures and report.html from the outputs of `prlx paper "
                             "run`, also of an unfinished one.",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "OUT",
                  .pos_min = 1,
                  .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  r.out = spec.args[0];
  r.scale = &scale;
  const Status s = paper_scale_load(&scale, r.scales, name, &e);
  if (s == ST_INVALID) return tool_usage("paper report", "option --scale: %s", e.msg);
  if (s != ST_OK) return tool_fail("paper report", &e);
  if (report_run(&r, &e) == ST_OK)
    rc = printf("%s/report.html\n", r.out) < 0;
  else
    rc = tool_fail("paper report", &e);
  paper_recipe_free(&r);
  paper_scale_free(&scale);
  return rc;
}
