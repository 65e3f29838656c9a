/* paper_answer.c: the first page of a run: what was asked, what was found, how sure. Every sentence
 * is chosen and filled by numbers of the run; whether something helps is decided by intervals,
 * never by a sign. See paper_page.h. */
#include <stdio.h>
#include <string.h>
#include "io/formats/sha256.h"
#include "paper/engine/paper_page.h"
#include "tools/view/assets.h"

typedef struct Answer {
  const PaperNumbers *q;
  const PaperRow *none;
  const PaperRow *ld;
  int test; /* the larger one where there is one */
} Answer;

static Answer answer_of(const PaperNumbers *q) {
  Answer a = {.q = q, .none = numbers_row(q, "classify_none"), .ld = numbers_row(q, "classify_ld")};
  a.test = a.none && a.none->test[1].n ? 1 : 0;
  return a;
}

static const char *verdict_of(const Crossed *c) {
  if (isnan(c->value) || isnan(c->lo)) return "no interval";
  return c->lo > 0 ? "better" : c->hi < 0 ? "worse" : "no difference shown";
}

/* "+0.012 (-0.010 to +0.034): no difference shown; 0.031 would have been found" */
static const char *difference_text(char b[160], const Crossed *c) {
  if (isnan(c->value))
    snprintf(b, 160, "not measured");
  else if (isnan(c->lo))
    snprintf(b, 160, "%+.3f, no interval", c->value);
  else if (c->lo > 0 || c->hi < 0)
    snprintf(b, 160, "%+.3f (%+.3f to %+.3f): %s", c->value, c->lo, c->hi, verdict_of(c));
  else
    snprintf(b, 160, "%+.3f (%+.3f to %+.3f): no difference shown; %.3f would have been found",
             c->value, c->lo, c->hi, c->detectable);
  return b;
}

void answer_title(const PaperNumbers *q, char *out, size_t n) {
  const Answer a = answer_of(q);
  if (!a.none || !a.ld) {
    snprintf(out, n, "Does denoising work? Not answered by this run");
    return;
  }
  const Crossed *c = &a.ld->test[a.test].none[M_ROC_AUC];
  const char *v = verdict_of(c);
  if (isnan(c->value) || isnan(c->lo)) {
    snprintf(out, n,
             "Does denoising work? Not answered by this run: the difference has no interval");
    return;
  }
  snprintf(out, n, "Does denoising work? %s: ROC AUC %+.3f (%+.3f to %+.3f)",
           !strcmp(v, "better")  ? "It helps the classifier"
           : !strcmp(v, "worse") ? "It harms the classifier"
                                 : "No gain shown",
           c->value, c->lo, c->hi);
}

/* ---- paragraphs ---- */

/* Set by the Makefile: the last commit of the plan, the recipe and the settings. */
#ifndef PRLX_PLAN_COMMIT
#define PRLX_PLAN_COMMIT ""
#endif

static void put_asked(Report *p, const Answer *a) {
  static const char commit[] = PRLX_PLAN_COMMIT;
  const bool known = commit[0] && commit[0] != ',';
  char digest[65];
  Sha256 h;
  const PaperTest *t = &a->none->test[a->test];
  sha256_begin(&h);
  sha256_add(&h, asset_PLAN_md, strlen(asset_PLAN_md));
  sha256_end(&h, digest);
  report_text(
      p,
      "Asked: does a rim classifier get better when lesions on which two readers disagree are "
      "denoised by latent projection and added to its training as rims? Fixed before the run "
      "in paper/PLAN.md (SHA-256 %.16s, %s%s): the difference in ROC AUC between ADA-GAN-LD and "
      "None, here on %lld lesions (%lld rim) of %lld subjects that nothing was trained or "
      "chosen on, %d and %d training seeds.",
      digest, known ? "commit " : "commit not known: built outside a git checkout",
      known ? commit : "", (long long)t->n, (long long)t->rims, (long long)t->groups, a->ld->runs,
      a->none->runs);
}

static void put_found(Report *p, const Answer *a) {
  const PaperTest *t = &a->ld->test[a->test];
  char b[3][160];
  report_note(
      p,
      "Found: ADA-GAN-LD minus None, ROC AUC %s. Sensitivity at specificity 0.90 %s. Against "
      "the same lesions added as they are: ROC AUC %s.",
      difference_text(b[0], &t->none[M_ROC_AUC]), difference_text(b[1], &t->none[M_SENS90]),
      difference_text(b[2], &t->ambiguous[M_ROC_AUC]));
  const double pub[2] = {published_number(a->q, "Table 3", "ADA-GAN-LD (ours)", "Accuracy") -
                             published_number(a->q, "Table 3", "None", "Accuracy"),
                         published_number(a->q, "Table 3", "ADA-GAN-LD (ours)", "Sensitivity") -
                             published_number(a->q, "Table 3", "None", "Sensitivity")};
  const PaperTest *first = &a->ld->test[0];
  if (isfinite(pub[0]) && isfinite(pub[1]))
    report_text(
        p,
        "The paper: accuracy %+.2f, sensitivity %+.2f, without interval, on 60 + 120 lesions. "
        "Here, on %lld + %lld: accuracy %s; sensitivity %s.",
        pub[0], pub[1], (long long)first->rims, (long long)(first->n - first->rims),
        difference_text(b[0], &first->none[M_ACCURACY]),
        difference_text(b[1], &first->none[M_SENSITIVITY]));
}

/* How much there was to gain: without room "not shown" says nothing about the method. */
static void put_room(Report *p, const Answer *a) {
  const bool worse = a->ld->test[a->test].none[M_ROC_AUC].hi < 0;
  const PaperRow *clear = numbers_row(a->q, "classify_clear"),
                 *rims = numbers_row(a->q, "classify_rims"),
                 *amb = numbers_row(a->q, "classify_ambiguous");
  char b[160];
  if (!clear) return;
  const Crossed *c = &clear->test[a->test].none[M_ROC_AUC];
  report_text(p,
              "Was there room? The same lesions as the phantom draws them with a clear rim (what "
              "ideal denoising would give), added as rims: ROC AUC %s. %s",
              difference_text(b, c),
              isnan(c->lo) ? ""
              : c->lo > 0  ? "So a denoising that worked would have been seen."
              : worse ? "So there was little to gain with this classifier and training set; the "
                        "loss is another matter, and is found."
                      : "So with this classifier and training set even ideal denoising is not told "
                        "from none: this run cannot show a gain, and does not speak against the "
                        "method.");
  if (rims)
    report_text(p, "As many further undisputed rims: %s.",
                difference_text(b, &rims->test[a->test].none[M_ROC_AUC]));
  if (amb)
    report_text(p, "The ambiguous lesions as they are, called rim: %s.",
                difference_text(b, &amb->test[a->test].none[M_ROC_AUC]));
}

/* What the network does to rims that nobody doubts, and to lesions without one. */
static void put_network(Report *p, const Answer *a) {
  const PaperNumbers *q = a->q;
  const double before = page_evidence(q, "evidence_rims/summary.tsv", "rim_core_ppb_before", NULL,
                                      "mean"),
               after = page_evidence(q, "evidence_rims/summary.tsv", "rim_core_ppb_after", NULL,
                                     "mean");
  if (isfinite(before) && isfinite(after) && before > 0)
    report_text(p,
                "Can the network draw rims? Of undisputed rims it has not seen, projected with the "
                "focus on the lesion, %.0f %% of the height above the core is kept (%.1f of %.1f "
                "ppb). %s",
                100 * PRLX_MAX(after, 0) / before, after, before,
                after >= 0.8 * before
                    ? "That is enough for the method to be tried fairly."
                    : "Less than 80 %: what is denoised is flattened first, whatever the method.");
  const double inv0 = page_evidence(q, "evidence_nonrim/truth.tsv",
                                    "share that shows an edge of 12 ppb, before",
                                    "true crest 0-12 ppb", "mean"),
               inv1 = page_evidence(q, "evidence_nonrim/truth.tsv",
                                    "share that shows an edge of 12 ppb, after",
                                    "true crest 0-12 ppb", "mean");
  if (isfinite(inv0) && isfinite(inv1))
    report_text(
        p,
        "Does it invent rims? Of non-rims without a visible rim %.0f %% have an edge of 12 ppb "
        "before and %.0f %% after.",
        100 * inv0, 100 * inv1);
  const double l0 =
                   page_evidence(q, "evidence_ld/summary.tsv", "rim_core_ppb_before", NULL, "mean"),
               l1 = page_evidence(q, "evidence_ld/summary.tsv", "rim_core_ppb_after", NULL, "mean"),
               f1 = page_evidence(q, "evidence_focus/summary.tsv", "rim_core_ppb_after", NULL,
                                  "mean");
  if (isfinite(l0) && isfinite(l1))
    report_text(
        p,
        "The ambiguous lesions: true rim above core %.1f ppb before, %.1f after the published "
        "projection%s.",
        l0, l1, isfinite(f1) ? "" : ", which was the only one");
  if (isfinite(f1)) report_text(p, "With the fast solver and the focus: %.1f.", f1);
}

static void put_texture(Report *p, const Answer *a) {
  const PaperFid *ld = a->ld->aug ? numbers_fid(a->q, a->ld->aug, false) : NULL,
                 *rims = numbers_fid(a->q, &a->q->r->aug[0], true);
  const PaperRow *twin = numbers_row(a->q, "classify_ld_twin"),
                 *focus = numbers_row(a->q, "classify_ld_focus");
  char b[2][160];
  if (!ld || !rims || isnan(ld->both)) return;
  report_text(
      p,
      "Does texture mark the class? Fine detail and the outermost pixel tell denoised lesions "
      "from real test rims with an area of %.2f (real training rims: %.2f). %s",
      ld->both, rims->both,
      ld->both > 0.7 ? "Above 0.7: a row that adds them as rims only can teach their texture "
                       "in place of the rim; see the twins."
                     : "Below 0.7: texture alone says little.");
  if (twin && focus)
    report_text(p,
                "With the focus: %s; with as many projected non-rims beside them, so that texture "
                "tells nothing: %s.",
                difference_text(b[0], &focus->test[a->test].none[M_ROC_AUC]),
                difference_text(b[1], &twin->test[a->test].none[M_ROC_AUC]));
}

static void put_sure(Report *p, const Answer *a) {
  const double sd = a->none->test[0].level[M_SENSITIVITY].sd;
  char b[80];
  report_text(
      p,
      "How sure: intervals are over subjects and training seeds; one phantom cohort for the "
      "training, one network of each kind. SD of sensitivity over the seeds of None, first "
      "test: %s. \"Would have been found\": the true difference that a study like this one tells "
      "from none in four of five cases. A phantom says nothing about patients.",
      with_interval(b, sd, NAN, NAN, 3));
}

/* The lesion alone redrawn: its surroundings cannot mark the class, whatever the network. */
static void put_place(Report *p, const Answer *a) {
  const PaperRow *place = numbers_row(a->q, "classify_ld_place"),
                 *twin = numbers_row(a->q, "classify_place_twin");
  const PaperFid *fid = place && place->aug ? numbers_fid(a->q, place->aug, false) : NULL;
  const double before = page_evidence(a->q, "evidence_place_rims/summary.tsv",
                                      "rim_core_ppb_before", NULL, "mean"),
               after = page_evidence(a->q, "evidence_place_rims/summary.tsv", "rim_core_ppb_after",
                                     NULL, "mean");
  char b[2][160], told[80] = "", kept[120] = "";
  if (!place) return;
  if (fid && !isnan(fid->both))
    snprintf(told, sizeof told, " Told from real rims with an area of %.2f.", fid->both);
  if (isfinite(before) && isfinite(after) && before > 0)
    snprintf(kept, sizeof kept, " Of undisputed rims %.0f %% of the height above the core is kept.",
             100 * PRLX_MAX(after, 0) / before);
  report_text(
      p,
      "And when only the lesion is redrawn, its surroundings left as measured (in "
      "place; not in the paper, added after the first results were seen)? ROC AUC %s%s%s."
      "%s%s",
      difference_text(b[0], &place->test[a->test].none[M_ROC_AUC]),
      twin ? "; with as many non-rims redrawn alike: " : "",
      twin ? difference_text(b[1], &twin->test[a->test].none[M_ROC_AUC]) : "", told, kept);
}

void answer_page(Report *p, const PaperNumbers *q, Chart *c) {
  const Answer a = answer_of(q);
  page_put_anchor(p, "help", "Does denoising work here?");
  if (!a.none || !a.ld) {
    report_text(p, "Not answered: %s.",
                q->r->ambiguous ? "the classifiers have not been trained yet"
                                : "the cohort has no ambiguous lesions");
    return;
  }
  put_asked(p, &a);
  put_found(p, &a);
  put_room(p, &a);
  put_network(p, &a);
  put_texture(p, &a);
  put_place(p, &a);
  put_sure(p, &a);
  report_figures_begin(p);
  page_put_picture(
      p, q, "figures/figure7.png", 0,
      "Ambiguous lesions before (upper row of each pair) and after projection: the "
      "three best, the three in the middle and the three worst by what became of the "
      "edge above the core. P: rim score of the classifier without augmentation; edge: "
      "outer 3 pixels of the lesion above its core, of the true crest of its rim.");
  report_figures_end(p);
  if (c->panels)
    chart_report(
        c, p,
        "Difference of each row to the classifier without augmentation, with its interval. "
        "Left of the line: worse.");
}
