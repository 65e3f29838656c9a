/* paper_report.c: `prlx paper report`: tables, figures and the page report.html of a run. See
 * paper_page.h, paper_report.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/tsv.h"
#include "paper/engine/paper_page.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

/* ---- what was run ---- */

/* Networks that `prlx train --reuse` took: a training leaves its metrics beside the network. */
static void put_taken(Report *p, const PaperRun *r) {
  static const char *const net[][2] = {
      {"gan", "ADA-GAN"}, {"cgan", "ADA-cGAN"}, {"multi_gan", "three contrasts"}};
  char names[80] = "", path[PATH_LEN];
  for (int i = 0; i < COUNT_OF(net); i++) {
    snprintf(path, sizeof path, "{w}/%s/network.safetensors", net[i][0]);
    const bool there = file_exists(paper_path(r, path));
    snprintf(path, sizeof path, "{w}/%s/metrics.jsonl", net[i][0]);
    if (!there || file_exists(paper_path(r, path))) continue;
    const size_t n = strlen(names);
    snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", net[i][1]);
  }
  if (*names)
    report_note(p,
                "Not trained in this run, but taken as the repository has them, since they were "
                "trained on these very images: %s. How they were trained stands in their metadata "
                "(prlx info); the options above are those of a training anew.",
                names);
}

static void put_about(Report *p, const PaperNumbers *q) {
  const PaperRun *r = q->r;
  const PaperScale *s = r->scale;
  page_put_anchor(p, "about", "What was run, and on what");
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
  put_taken(p, r);
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
      p,
      "Every classifier was trained with the same seeds and judged on the same test lesions, of "
      "subjects that no generator, no augmentation and no classifier has seen (checked by the "
      "leak steps). Intervals: 95 %%, over subjects and training seeds crossed. Published values: "
      "paper/published.tsv; a dash: not in the paper.");
}

/* ---- figures ---- */

/* Figures 2, 6, 7 and what belongs to them. */
static void put_lesions(Report *p, const PaperNumbers *q) {
  page_put_picture(p, q, "figures/figure2.png", 0,
                   "Figure 2: a rim lesion and a non-rim lesion, susceptibility and T2-FLAIR: on "
                   "FLAIR they cannot be told apart.");
  page_put_picture(p, q, "figures/figure6.png", 0,
                   "Figure 6: real rim lesions and synthetic ones. The paper shows synthetic ones "
                   "that its reader "
                   "called real rims; these are not chosen.");
  page_put_picture(
      p, q, "figures/figure7_first.png", 0,
      "Figure 7: ambiguous lesions before and after the published projection, the first "
      "of the file. P(rim): what the classifier without augmentation says.");
  page_put_picture(p, q, "figures/figure7_focus.png", 0,
                   "The same with the fast solver and the focus on the lesion.");
  page_put_picture(p, q, "figures/figure7_place.png", 0,
                   "The same lesions redrawn in place: what lies around them stays as it was "
                   "measured.");
  page_put_picture(
      p, q, "figures/figure7_cgan.png", 0,
      "The same lesions projected into the conditional network as rims (section 5.1).");
  page_put_picture(p, q, "figures/ideal.png", 0,
                   "What ideal denoising would give: the same lesions drawn with a clear rim (row "
                   "\"Ambiguous, drawn with a clear rim\"); shape, surroundings and noise are the "
                   "same.");
  page_put_picture(
      p, q, "figures/projection.png", 560,
      "One projection: as measured, denoised, and the difference (red: brighter after).");
  page_put_picture(p, q, "figures/projection_steps.png", 0,
                   "The way there: the image after every ten steps.");
}

static void put_figures(Report *p, const PaperNumbers *q, Chart c[PAPER_CHARTS]) {
  char b[2][80], cap[900];
  page_put_anchor(p, "figures", "Figures, under the paper's numbers");
  report_text(p,
              "Figures 1 (a whole brain) and 3 to 5 (schematics) have no counterpart. Lesions are "
              "the first of each file unless a rule is named.");
  report_figures_begin(p);
  put_lesions(p, q);
  if (c[CHART_FIGURE8].panels)
    chart_report(
        &c[CHART_FIGURE8], p,
        "Figure 8: distance of synthetic lesions to the training rims while the networks learn. "
        "Both "
        "curves have the same reference here; the published 14.20 and 8.79 are likely distances to "
        "two different sets.");
  snprintf(
      cap, sizeof cap,
      "Figure 9: where the classifier sees a rim, without augmentation and with the denoised "
      "lesions "
      "(maps over the slice). Share of the map on the true rim, widened by 2 pixels: %s before, %s "
      "after; a map without preference would have %.2f (%.0f rim slices of the test).",
      with_interval(b[0], q->cam_share[0][0], q->cam_share[0][1], q->cam_share[0][2], 2),
      with_interval(b[1], q->cam_share[1][0], q->cam_share[1][1], q->cam_share[1][2], 2),
      q->cam_area, q->cam_lesions);
  page_put_picture(p, q, "figures/figure9.png", 900, cap);
  page_put_picture(p, q, "figures/figure10.png", 0,
                   "Figure 10: susceptibility, rim probability and T2-FLAIR of real lesions and of "
                   "lesions generated together. Only susceptibility shows the rim, and the mask "
                   "should lie on it.");
  report_figures_end(p);
  if (c[CHART_FOREST].panels)
    chart_report(
        &c[CHART_FOREST], p,
        "Published values (open diamonds) and ours (filled, with interval) for the paper's "
        "rows, first test.");
  if (c[CHART_SWEEP].panels)
    chart_report(&c[CHART_SWEEP], p,
                 "How much synthetic data helps: ADA-GAN lesions added to the same real ones.");
}

/* ---- evidence, multi-contrast, audit ---- */

static void put_evidence(Report *p, const PaperNumbers *q) {
  char path[PATH_LEN];
  page_put_anchor(p, "evidence", "Evidence of denoising, lesion by lesion");
  if (!q->r->ambiguous) {
    report_text(p, "The cohort has no ambiguous lesions.");
    return;
  }
  static const char *const step[] = {
      "evidence.ld",          "evidence.focus",       "evidence.place", "evidence.cld",
      "evidence.control_rim", "evidence.control_own", "evidence.memory"};
  static const char *const title[] = {
      "ADA-GAN-LD, published projection",
      "The same, fast solver with focus",
      "The same, in place",
      "ADA-cGAN-LD",
      "Control: undisputed rims of the test, projected into ADA-GAN",
      "Control: images of ADA-GAN, projected into it",
      "Memorisation: synthetic lesions of ADA-GAN"};
  static const char *const chart[] = {
      "{w}/evidence_ld/histogram.svg",          "{w}/evidence_focus/histogram.svg",
      "{w}/evidence_place/histogram.svg",       "{w}/evidence_cld/histogram.svg",
      "{w}/evidence_control_rim/histogram.svg", "{w}/evidence_control_own/histogram.svg",
      "{w}/evidence_memory/histogram.svg"};
  for (int i = 0; i < COUNT_OF(step); i++) {
    report_put(p, "<h3>");
    report_put_escaped(p, title[i]);
    report_put(p, "</h3>\n");
    paper_file(q->r, path, "log/%s.txt", step[i]);
    page_put_file(p, q, path, "Results in", true);
    if (file_exists(paper_path(q->r, chart[i])))
      chart_report_file(p, paper_path(q->r, chart[i]), "Spread over the lesions.");
    report_putf(p, "<p><a href=\"#cmd-%s\">command</a></p>\n", step[i]);
  }
}

/* A number of the row dice in a table of `prlx segment`; NAN. */
static double segment_dice(const PaperNumbers *q, const char *file, const char *column) {
  Tsv t;
  char path[PATH_LEN];
  double v = NAN;
  paper_file(q->r, path, "work/%s", file);
  if (!page_table(q, path, &t)) return NAN;
  const int cm = tsv_column(&t, "metric"), cv = tsv_column(&t, column);
  for (int i = 0; i < t.nrow && cm >= 0 && cv >= 0; i++)
    if (!strcmp(tsv_get(&t, i, cm), "dice") && !tsv_missing(tsv_get(&t, i, cv)))
      v = atof(tsv_get(&t, i, cv));
  tsv_free(&t);
  return v;
}

/* The intervals of `prlx segment` are over subjects; what the seeds alone can do stands here. */
static void put_segment_seeds(Report *p, const PaperNumbers *q) {
  const char *runs = strstr(paper_setting(q->r->scale, "segment"), "--runs ");
  const double n = runs ? atof(runs + 7) : NAN;
  const double sd0 = segment_dice(q, "segment_real/metrics.tsv", "sd"),
               sd1 = segment_dice(q, "segment_both/metrics.tsv", "sd"),
               sd2 = segment_dice(q, "segment_denoised/metrics.tsv", "sd"),
               gain1 = segment_dice(q, "segment_both/comparison.tsv", "difference"),
               gain2 = segment_dice(q, "segment_denoised/comparison.tsv", "difference");
  const double noise = 2 * sqrt((sd0 * sd0 + fmax(sd1, sd2) * fmax(sd1, sd2)) / n);
  if (!isfinite(noise) || !isfinite(gain1) || !isfinite(gain2)) return;
  const bool shown = fmin(fabs(gain1), fabs(gain2)) > noise;
  report_text(p,
              "Dice gained: %+.3f with generated lesions, %+.3f with denoised ones. The intervals "
              "above are over subjects. Over its %.0f seeds the U-Net of real lesions has an SD of "
              "%.3f, so that differences below about %.2f may be the seeds alone: %s.",
              gain1, gain2, n, sd0, noise, shown ? "these are larger" : "a gain is not shown");
}

static void put_contrasts(Report *p, const PaperNumbers *q) {
  static const char *const step[] = {"segment.judge", "segment.real", "segment.both",
                                     "segment.denoised"};
  static const char *const title[] = {
      "Do generated masks lie on the generated rims?", "U-Net for the rim, trained on real masks",
      "The same with generated lesions added, and the paired difference",
      "The same with denoised ambiguous lesions added (section 3.10)"};
  char path[PATH_LEN];
  page_put_anchor(p, "multi", "Three contrasts: susceptibility, rim, FLAIR");
  if (!q->r->contrasts) {
    report_text(p, "Left out: not every lesion of the cohort has FLAIR and a rim mask.");
    return;
  }
  for (int i = 0; i < COUNT_OF(step); i++) {
    report_put(p, "<h3>");
    report_put_escaped(p, title[i]);
    report_put(p, "</h3>\n");
    paper_file(q->r, path, "log/%s.txt", step[i]);
    page_put_file(p, q, path, NULL, false);
    report_putf(p, "<p><a href=\"#cmd-%s\">command</a></p>\n", step[i]);
  }
  put_segment_seeds(p, q);
}

static void put_audit(Report *p, const PaperNumbers *q) {
  char *text;
  page_put_anchor(p, "audit", "Do the published numbers fit one another?");
  if (!page_text(q, paper_path(q->r, "{w}/audit.txt"), &text)) {
    report_text(p, "Not there: the step audit has not run.");
    return;
  }
  const char *last = strrchr(text, ',');
  while (last && last > text && last[-1] != '\n') last--;
  report_text(p,
              "%s. Each with its arithmetic below; in words: paper/AUDIT.md. Most of what does "
              "not fit is explained by a misprint or by tables from several runs.",
              last ? last : "");
  report_put(p, "<details><summary>all claims</summary>\n");
  report_pre(p, text);
  report_put(p, "</details>\n");
  mem_free(text);
}

static void put_limits(Report *p, const PaperNumbers *q) {
  page_put_anchor(p, "limits", "Limits");
  if (!q->r->cohort)
    report_text(p, "Phantom: its anatomy, noise and readers are a model. It can show that a method "
                   "fails when it should work, and why; that it works on patients it cannot show. "
                   "Its physics was not touched; slices and number of steps were chosen on an "
                   "earlier cohort, before augmentations were compared.");
  report_text(p,
              "One split into training and test and one network of each kind: no interval covers "
              "them. One comparison is primary; the others are not corrected for their number, "
              "but for McNemar's test over the paper's rows (Holm).");
  report_text(p, "The perceptual networks are bundled stand-ins: VGG16-Caffe with mean heads in "
                 "place of torchvision's VGG16 with LPIPS, an Inception-v3 of nsfwjs in place of "
                 "the public FID network. `prlx import` takes the public ones.");
  report_text(
      p, "Not for clinical use: a denoised lesion is a proposal of a network, not a measurement.");
}

static void put_commands(Report *p, const PaperNumbers *q) {
  const PaperRun *r = q->r;
  const char *section = "";
  page_put_anchor(p, "commands", "Commands");
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
      page_put_cell(p, true, s->section);
      report_put(p, "</tr>\n");
    }
    section = s->section;
    report_putf(p, "<tr id=\"cmd-%s\">", s->id);
    page_put_cell(p, false, s->id);
    page_put_cell(p, false, s->last ? "" : done);
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
  char path[PATH_LEN], title[200];
  answer_title(q, title, sizeof title);
  report_begin(&p, title,
               "Synthetic generation and latent projection denoising of rim lesions in multiple "
               "sclerosis (Roberts et al., CVPR workshops 2025), rerun by prlx paper run");
  report_put(&p, "<p><a href=\"#help\">the answer</a> · <a href=\"#main\">Tables 3, 4</a> · <a "
                 "href=\"#controls\">controls</a> · <a href=\"#table1\">readers</a> · <a "
                 "href=\"#table2\">FID</a> · <a href=\"#projection\">projection</a> · <a "
                 "href=\"#truth\">truth</a> · <a href=\"#figures\">figures</a> · <a "
                 "href=\"#evidence\">evidence</a> · <a href=\"#multi\">three contrasts</a> · <a "
                 "href=\"#audit\">audit</a> · <a href=\"#limits\">limits</a> · <a "
                 "href=\"#commands\">commands</a></p>\n");
  answer_page(&p, q, &c[CHART_HELPS]);
  put_about(&p, q);
  page_main_table(&p, q);
  page_controls(&p, q);
  page_table_one(&p, q);
  page_table_two(&p, q);
  page_projection(&p, q);
  page_truth(&p, q);
  put_figures(&p, q, c);
  put_evidence(&p, q);
  put_contrasts(&p, q);
  put_audit(&p, q);
  put_limits(&p, q);
  put_commands(&p, q);
  paper_file(q->r, path, "report.html");
  const Error *unread = &q->r->unread;
  if (unread->code == ST_OK) return report_write(&p, path, e);
  report_free(&p);
  return err_set(e, unread->code, "%s", unread->msg);
}

/* ---- the command ---- */

/* The folder of a run: its report and tables are written again. */
static Status report_own(const PaperRun *r, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, r->out, "commands.sh", e));
  return file_exists(path) ? outputs_own_folder(r->out, e) : ST_OK;
}

static Status report_all(PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e) {
  PaperRun *r = q->r;
  TRY(recipe_check_out(r, e));
  TRY(report_own(r, e));
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
