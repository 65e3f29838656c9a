/* paper_audit.c: the claims behind paper/AUDIT.md, each with its arithmetic. Numbers are as printed
 * in arXiv 2505.23353 (section and table named). Here: cohort, readers, the list;
 * paper_audit_tables.c: Tables 2 to 4, Figure 8, training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "models/judge/agreement.h"
#include "paper/engine/paper_audit_impl.h"

/* ---- cohort ---- */
static Verdict check_kappa(void) {
  const int64_t in[4] = {260, 89, 88, 7543}, top[4] = {260, 89, 88, 7720},
                skew[4] = {260, 177, 0, 7543};
  Kappa a, b, c;
  Error e = {0};
  if (kappa_cohen(in, 2, 0.95, &a, &e) || kappa_cohen(top, 2, 0.95, &b, &e) ||
      kappa_cohen(skew, 2, 0.95, &c, &e))
    return audit_failed(&e);
  SAY("177 among the 7,720: table {260 89; 88 7543}, kappa %.4f, 95 %% [%.3f, %.3f]\n", a.kappa,
      a.ci.lo, a.ci.hi);
  SAY("177 on top of them:  table {260 89; 88 7720}, kappa %.4f\n", b.kappa);
  SAY("all 177 from one reader: kappa %.4f; so the split between the readers does not matter\n",
      c.kappa);
  return rounds_to(a.kappa, 0.73, 0.005) && rounds_to(b.kappa, 0.73, 0.005) ? FITS : DOES_NOT_FIT;
}

static Verdict check_where_ambiguous(void) {
  SAY("3.1 defines: rim only where both readers agree, otherwise non-rim; so the 177 are among the "
      "7,720. 4.1 counts \"another\" 177 beside 260 and 7,720\n");
  SAY("260 + 7,720 = %d lesions, or 260 + 177 + 7,720 = %d; kappa rounds to 0.73 in both cases "
      "(above) and cannot tell\n",
      260 + 7720, 260 + 177 + 7720);
  SAY("by the definition up to 177 of 7,720 = %.1f %% of the non-rim lesions are ambiguous ones, "
      "in "
      "training or test; the row \"Ambiguous as non-rim\" tries it\n",
      100 * 177 / 7720.);
  return DOES_NOT_FIT;
}

static Verdict check_recovered(void) {
  SAY("260 + 177 = %d, which is +%.0f %%: the arithmetic holds; 5.1 calls it nearly 70 %%\n",
      260 + 177, 100 * 177 / 260.);
  SAY("100 of the 177 were projected (3.6, 4.3) and added (5.2: 100 for each method): on the 200 "
      "rims of the training +%.0f %%. 77 were never trained on, 60 of the 260 are the test\n",
      100 * 100 / 200.);
  return DOES_NOT_FIT;
}

static Verdict check_sexes(void) {
  SAY("79 / 256 = %.2f %% (printed 30.8), 177 / 256 = %.2f %% (printed 69.2); %.1f and %.1f are 80 "
      "and 180 of 260\n",
      7900 / 256., 17700 / 256., 8000 / 260., 18000 / 260.);
  return rounds_to(7900 / 256., 30.8, 0.05) ? FITS : DOES_NOT_FIT;
}

static Verdict check_patients(void) {
  SAY("256 - 164 = %d patients with a rim lesion; 35 with one + 18 with two + 36 with three to "
      "twelve = %d; %d are missing\n",
      256 - 164, 35 + 18 + 36, 92 - 89);
  SAY("percentages of 256: %.1f, %.1f, %.1f, %.1f (printed 35.9, 13.7, 7.0, 14.1: each right for "
      "its count)\n",
      9200 / 256., 3500 / 256., 1800 / 256., 3600 / 256.);
  return DOES_NOT_FIT;
}

static Verdict check_rims_per_patient(void) {
  const int fixed = 35 + 2 * 18;
  SAY("35 x 1 + 18 x 2 = %d, so 36 patients share %d rims, %.2f each; allowed 3 to 12\n", fixed,
      260 - fixed, (260 - fixed) / 36.);
  return FITS;
}

static Verdict check_prevalence(void) {
  SAY("260 / 7,980 = %.2f %%; the 10 %% of the introduction is a pooled figure of other studies, "
      "not of this cohort\n",
      26000 / 7980.);
  return FITS;
}

static Verdict check_split(void) {
  SAY("200 + 60 = %d rim lesions: all of them; 400 + 120 = %d non-rim lesions of 7,720 (%.1f %%); "
      "which ones is not said\n",
      200 + 60, 400 + 120, 52000 / 7720.);
  return FITS;
}

/* ---- Table 1 ---- */
static Verdict check_table1_counts(void) {
  static const double printed[4] = {0.31, 0.40, 0.55, 0.29};
  static const char *const what[4] = {"real called rim", "synthetic called rim", "real called real",
                                      "synthetic called real"};
  bool all = true;
  for (int i = 0; i < 4; i++) {
    int n = 0, k = 0;
    for (int j = 0; j <= 55; j++)
      if (rounds_to(j / 55., printed[i], 0.005)) n++, k = j;
    const Interval w = wilson_interval(k, 55, 0.95);
    SAY("%-22s %.2f = %d/55 (%s), Wilson [%.2f, %.2f]\n", what[i], printed[i], k,
        n == 1 ? "the only count that rounds so" : "not unique", w.lo, w.hi);
    all = all && n == 1;
  }
  return all ? FITS : DOES_NOT_FIT;
}

static Verdict check_table1_text(void) {
  SAY("table and caption: real called rim 0.31, synthetic called real 0.29; text: 0.29 and 0.31. "
      "Both readings cannot hold\n");
  SAY("the caption calls 0.31 about one third and 0.29 nearly a third; the text says the same of "
      "the "
      "exchanged numbers\n");
  SAY("nothing hangs on it: rim calls 22 against 17 of 55 p = %.2f, 22 against 16 p = %.2f; real "
      "calls 30 against 16 p = %.3f, 30 against 17 p = %.3f\n",
      fisher_exact(22, 33, 17, 38), fisher_exact(22, 33, 16, 39), fisher_exact(30, 25, 16, 39),
      fisher_exact(30, 25, 17, 38));
  return DOES_NOT_FIT;
}

static Verdict check_slices_read(void) {
  SAY("3.2: 110 slices; 4.2: 55 real + 55 synthetic = %d, a single slice of each lesion\n",
      55 + 55);
  return FITS;
}

static Verdict check_rim_calls(void) {
  const double p = fisher_exact(22, 33, 17, 38);
  SAY("4.2 reads the two as a difference, with a reason for it. 22/55 against 17/55: Fisher's "
      "exact "
      "p = %.2f: a difference is not shown (which is not to show that there is none)\n",
      p);
  return p < 0.05 ? FITS : DOES_NOT_FIT;
}

static Verdict check_convincing(void) {
  const Interval w = wilson_interval(69, 110, 0.95);
  const double p = fisher_exact(30, 25, 16, 39);
  SAY("30/55 against 16/55: Fisher's exact p = %.3f; correct in 30 + 39 = 69 of 110 = %.3f, Wilson "
      "[%.2f, %.2f], against guessing p = %.3f, d' %.2f\n",
      p, 69 / 110., w.lo, w.hi, binomial_half(69, 110), d_prime(30, 55, 16, 55));
  SAY("an observation, no claim of the paper contradicts it: one reader told them apart above "
      "chance and far from always; a second reader would decide more than any test here\n");
  return UNDECIDED;
}

static Verdict check_nearly_half(void) {
  const Interval w = wilson_interval(22, 55, 0.95);
  SAY("22/55 = %.2f, Wilson [%.2f, %.2f]: one half lies inside\n", 22 / 55., w.lo, w.hi);
  return FITS;
}

const Claim paper_claims[] = {
    {"kappa", "4.1", "260 lesions rim by both readers, 177 by one, 7,720 non-rim; kappa 0.73",
     check_kappa},
    {"ambiguous", "3.1, 4.1", "are the 177 ambiguous lesions among the 7,720 non-rim ones?",
     check_where_ambiguous},
    {"recovered", "3.6, 4.3, 5.1, 5.2", "177 recovered, 260 to 437 rim lesions (68 %)",
     check_recovered},
    {"sexes", "3.1", "79 men (30.8 %), 177 women (69.2 %) of 256", check_sexes},
    {"patients", "4.1",
     "256 patients; rim lesions in 92 (35.9 %): one in 35, two in 18, three to twelve in 36",
     check_patients},
    {"rims", "4.1", "260 rim lesions in those patients", check_rims_per_patient},
    {"prevalence", "1.3, 4.1", "10 % of lesions are rim; 260 of the cohort's", check_prevalence},
    {"split", "3.4", "training 200 rim + 400 non-rim, test 60 + 120", check_split},
    {"slices-read", "3.2, 4.2", "a radiologist read 110 slices", check_slices_read},
    {"table1", "Table 1", "fractions of 55 real and 55 synthetic slices", check_table1_counts},
    {"table1-text", "Table 1, 4.2", "the same fractions in the text", check_table1_text},
    {"rim-calls", "Table 1, 4.2",
     "called rim: 0.40 of the synthetic, 0.31 of the real slices; read as a higher fraction",
     check_rim_calls},
    {"convincing", "Table 1, 4.2, 6",
     "called real: 0.55 of the real, 0.29 of the synthetic slices; synthetic rims are convincing, "
     "realistic",
     check_convincing},
    {"nearly-half", "Table 1, 4.2", "\"nearly half\" of the synthetic slices called rim (0.40)",
     check_nearly_half},
    {"fid-spread", "Table 2, abstract",
     "augmentations ranked by FID, the best four between 34.17 and 34.49; denoising approximates "
     "the test rims best",
     check_fid_spread},
    {"fid-deepsmote", "Table 2, 4.4",
     "real rims, DeepSMOTE and ADA-GAN bring the training set closer to the test rims",
     check_deepsmote_fid},
    {"figure8", "Figure 8, 4.5", "FID 8.79 (conditional) and 14.20 (rim only) during training",
     check_figure8},
    {"slightly", "Figure 8, 4.5", "8.79 is slightly lower than 14.20", check_slightly},
    {"fid-scales", "Figure 8, Table 2", "FID of ADA-GAN: 14.20 and 34.36", check_fid_scales},
    {"rows", "Tables 3 and 4", "every row was tested on 60 rim and 120 non-rim lesions (3.4)",
     check_rows},
    {"one-test-set", "Tables 3 and 4", "all rows come from one test set", check_one_test_set},
    {"all-improve", "Table 3, caption", "all augmentation strategies improve", check_all_improve},
    {"plus-ld", "Table 4, 4.5", "including the denoised lesions improves accuracy and sensitivity",
     check_plus_ld},
    {"table-cited", "4.4", "ADA-GAN and DeepSMOTE improve the classifier as seen in Table 3",
     check_table_cited},
    {"sensitivity", "Tables 3 and 4", "sensitivity rises from 0.85 to 0.95",
     check_sensitivity_gain},
    {"time", "2.2, 3.4, 3.7, 3.10",
     "32 h, with the non-rim lesions 48 h: \"nearly doubles\" the training time; three contrasts "
     "34 h",
     check_training_time},
    {"25000", "3.4, 3.7, 3.10", "25,000 synthetic lesions", check_25000},
    {"slices", "training_options.json", "max_size 11,356", check_slices},
    {"network", "repository",
     "network-snapshot-025000.pkl and training_options.json belong together", check_network_size},
    {"adam", "3.4, 3.5", "Adam with 0.9 and 0.99", check_adam},
    {"fid-loss", "3.4", "trained via minimisation of the Frechet distance", check_fid_loss},
    {"training-set", "2.2, 3.4, 3.6, 3.7, 4.3", "the denoising network saw rim lesions only",
     check_training_set},
    {"comparison", "2.1", "oversampling in the latent space is part of the comparison",
     check_comparison},
};
const int paper_claim_count = COUNT_OF(paper_claims);
