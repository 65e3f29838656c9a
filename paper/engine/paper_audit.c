/* paper_audit.c: the claims behind paper/AUDIT.md, each with its arithmetic. Numbers are as printed
 * in arXiv 2505.23353 (section and table named); of Tables 3 and 4 two rows are held (None,
 * Affine), the others can be given with --rows. How the figures were taken down: paper/AUDIT.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/rng.h"
#include "models/gan/networks.h"
#include "models/judge/agreement.h"
#include "paper/engine/paper.h"

#define SAY(...) printf("    " __VA_ARGS__)
static bool rounds_to(double x, double printed, double half) {
  return fabs(x - printed) <= half + 1e-9;
}

/* ---- tools of the audit ---- */
int confusion_fits(const Triple *t, int positives, int negatives, int example[2], double acc[2]) {
  int fits = 0;
  acc[0] = 1;
  acc[1] = 0;
  for (int tp = 1; tp <= positives; tp++) {
    if (!rounds_to((double)tp / positives, t->sensitivity, t->half)) continue;
    for (int fp = 0; fp <= negatives; fp++) {
      if (!rounds_to((double)tp / (tp + fp), t->precision, t->half)) continue;
      const double a = (double)(tp + negatives - fp) / (positives + negatives);
      acc[0] = PRLX_MIN(acc[0], a);
      acc[1] = PRLX_MAX(acc[1], a);
      if (!rounds_to(a, t->accuracy, t->half)) continue;
      if (!fits++) example[0] = tp, example[1] = fp;
    }
  }
  return fits;
}

void implied_prevalence(const Triple *t, double share[2]) {
  share[0] = 1;
  share[1] = 0;
  /* monotone in each figure, so the corners of the rounding box suffice */
  for (int k = 0; k < 8; k++) {
    const double a = t->accuracy + (k & 1 ? t->half : -t->half),
                 p = t->precision + (k & 2 ? t->half : -t->half),
                 s = t->sensitivity + (k & 4 ? t->half : -t->half);
    const double pi = PRLX_MIN(1.0, PRLX_MAX(0.0, (1 - a) / (1 - s * (2 * p - 1) / p)));
    share[0] = PRLX_MIN(share[0], pi);
    share[1] = PRLX_MAX(share[1], pi);
  }
}

/* Sum of the square roots of the eigenvalues of the symmetric n x n matrix g (destroyed): cyclic
 * Jacobi. */
static double sum_sqrt_eigen(double *g, int n) {
  for (int sweep = 0; sweep < 12; sweep++)
    for (int p = 0; p < n; p++)
      for (int q = p + 1; q < n; q++) {
        const double a = g[p * n + q];
        if (fabs(a) < 1e-12 * sqrt(fabs(g[p * n + p] * g[q * n + q])) || a == 0) continue;
        const double th = (g[q * n + q] - g[p * n + p]) / (2 * a),
                     t = (th >= 0 ? 1 : -1) / (fabs(th) + sqrt(th * th + 1)),
                     c = 1 / sqrt(t * t + 1), s = t * c;
        for (int i = 0; i < n; i++) {
          const double x = g[i * n + p], y = g[i * n + q];
          g[i * n + p] = c * x - s * y;
          g[i * n + q] = s * x + c * y;
        }
        for (int i = 0; i < n; i++) {
          const double x = g[p * n + i], y = g[q * n + i];
          g[p * n + i] = c * x - s * y;
          g[q * n + i] = s * x + c * y;
        }
      }
  double sum = 0;
  for (int i = 0; i < n; i++) sum += sqrt(PRLX_MAX(0.0, g[i * n + i]));
  return sum;
}

/* n draws, centred; mean[d] gets the sample mean, the result is the trace of the sample covariance.
 */
static double draw_sample(Rng *r, int d, int n, double scale, double *x, double *mean) {
  double trace = 0;
  for (int j = 0; j < d; j++) {
    const double sd = sqrt(scale / (j + 1));
    mean[j] = 0;
    for (int i = 0; i < n; i++) mean[j] += (x[i * d + j] = sd * rng_normal(r)) / n;
    for (int i = 0; i < n; i++) {
      x[i * d + j] -= mean[j];
      trace += x[i * d + j] * x[i * d + j];
    }
  }
  return trace / (n - 1);
}

/* Fréchet distance between samples of n and m from one and the same Gaussian of d dimensions,
 * variances proportional to 1/i with the given sum: mean and standard deviation over `runs` draws.
 * Exact small-matrix form: tr (C1 C2)^1/2 = sum of singular values of A B^T / sqrt((n-1)(m-1)). */
static Status frechet_of_equals(int d, int n, int m, double variance, int runs, double *mean,
                                double *sd, Error *e) {
  double harmonic = 0, sum = 0, sum2 = 0;
  for (int j = 1; j <= d; j++) harmonic += 1.0 / j;
  double *a = mem_alloc(sizeof *a * (size_t)(n * d)), *b = mem_alloc(sizeof *b * (size_t)(m * d)),
         *ma = mem_alloc(sizeof *ma * (size_t)(2 * d));
  double *k = mem_alloc(sizeof *k * (size_t)(n * m)), *g = mem_alloc(sizeof *g * (size_t)(n * n)),
         *mb = ma ? ma + d : NULL;
  const bool ok = a && b && ma && k && g;
  Rng r = {20250529, 0, 0};
  for (int run = 0; run < runs && ok; run++) {
    double f = draw_sample(&r, d, n, variance / harmonic, a, ma) +
               draw_sample(&r, d, m, variance / harmonic, b, mb);
    for (int j = 0; j < d; j++) f += (ma[j] - mb[j]) * (ma[j] - mb[j]);
    for (int i = 0; i < n * m; i++) {
      k[i] = 0;
      for (int j = 0; j < d; j++) k[i] += a[i / m * d + j] * b[i % m * d + j];
    }
    for (int i = 0; i < n * n; i++) {
      g[i] = 0;
      for (int j = 0; j < m; j++) g[i] += k[i / n * m + j] * k[i % n * m + j];
    }
    f -= 2 * sum_sqrt_eigen(g, n) / sqrt((double)(n - 1) * (m - 1));
    sum += f;
    sum2 += f * f;
  }
  *mean = sum / runs;
  *sd = sqrt(PRLX_MAX(0.0, (sum2 - sum * sum / runs) / (runs - 1)));
  mem_free(a);
  mem_free(b);
  mem_free(ma);
  mem_free(k);
  mem_free(g);
  return ok ? ST_OK : err_set(e, ST_NOMEM, "audit: out of memory");
}

/* ---- cohort ---- */
static Verdict check_kappa(void) {
  const int64_t in[4] = {260, 89, 88, 7543}, top[4] = {260, 89, 88, 7720},
                skew[4] = {260, 177, 0, 7543};
  Kappa a, b, c;
  Error e = {0};
  if (kappa_cohen(in, 2, 0.95, &a, &e) || kappa_cohen(top, 2, 0.95, &b, &e) ||
      kappa_cohen(skew, 2, 0.95, &c, &e))
    return UNDECIDED;
  SAY("177 among the 7,720: table {260 89; 88 7543}, kappa %.4f, 95 %% [%.3f, %.3f]\n", a.kappa,
      a.ci.lo, a.ci.hi);
  SAY("177 on top of them:  table {260 89; 88 7720}, kappa %.4f\n", b.kappa);
  SAY("all 177 from one reader: kappa %.4f; so the split between the readers does not matter\n",
      c.kappa);
  return rounds_to(a.kappa, 0.73, 0.005) && rounds_to(b.kappa, 0.73, 0.005) ? FITS : DOES_NOT_FIT;
}

static Verdict check_where_ambiguous(void) {
  SAY("260 + 7,720 = %d lesions, or 260 + 177 + 7,720 = %d; kappa rounds to 0.73 in both cases "
      "(above)\n",
      260 + 7720, 260 + 177 + 7720);
  SAY("if they are inside, up to 177 of 7,720 = %.1f %% of the non-rim lesions may be ambiguous "
      "ones, in training or test\n",
      100 * 177 / 7720.);
  return UNDECIDED;
}

static Verdict check_recovered(void) {
  SAY("260 + 177 = %d, which is +%.0f %%: the arithmetic holds\n", 260 + 177, 100 * 177 / 260.);
  SAY("100 lesions were projected and used; with 200 rim lesions in training that is +%.0f %%, and "
      "77 lesions are not accounted for\n",
      100 * 100 / 200.);
  return UNDECIDED;
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
  SAY("nothing hangs on it: rim calls 22 against 17 of 55 p = %.2f, 22 against 16 p = %.2f; real "
      "calls 30 against 16 p = %.3f, 30 against 17 p = %.3f\n",
      fisher_exact(22, 33, 17, 38), fisher_exact(22, 33, 16, 39), fisher_exact(30, 25, 16, 39),
      fisher_exact(30, 25, 17, 38));
  return DOES_NOT_FIT;
}

static Verdict check_rim_calls(void) {
  const double p = fisher_exact(22, 33, 17, 38);
  SAY("22/55 against 17/55: Fisher's exact p = %.2f; no difference is shown (which is not to show "
      "that there is none)\n",
      p);
  return p > 0.05 ? FITS : DOES_NOT_FIT;
}

static Verdict check_indistinguishable(void) {
  const Interval w = wilson_interval(69, 110, 0.95);
  const double p = fisher_exact(30, 25, 16, 39);
  SAY("30/55 against 16/55: Fisher's exact p = %.3f; correct in 30 + 39 = 69 of 110 = %.3f, Wilson "
      "[%.2f, %.2f], against guessing p = %.3f, d' %.2f\n",
      p, 69 / 110., w.lo, w.hi, binomial_half(69, 110), d_prime(30, 55, 16, 55));
  SAY("one reader, told apart above chance, far from always; a second reader would decide more "
      "than any test here\n");
  return p < 0.05 ? DOES_NOT_FIT : FITS;
}

static Verdict check_nearly_half(void) {
  const Interval w = wilson_interval(22, 55, 0.95);
  SAY("22/55 = %.2f, Wilson [%.2f, %.2f]: one half lies inside\n", 22 / 55., w.lo, w.hi);
  return FITS;
}

/* ---- Table 2, Figure 8 ---- */
static Verdict check_fid_spread(void) {
  double m1, s1, m2, s2;
  Error e = {0};
  if (frechet_of_equals(256, 60, 60, 30, 40, &m1, &s1, &e) ||
      frechet_of_equals(64, 60, 200, 30, 40, &m2, &s2, &e))
    return UNDECIDED;
  SAY("two samples of ONE Gaussian (total variance 30, spectrum 1/i), 40 draws each: 60 and 60 in "
      "256 dimensions give FID %.1f +- %.2f,\n",
      m1, s1);
  SAY("60 and 200 in 64 dimensions %.1f +- %.2f, where the truth is 0. The published spread is "
      "34.49 - 34.17 = %.2f\n",
      m2, s2, 34.49 - 34.17);
  SAY("so the order of those rows needs an interval; slices of one lesion are not independent "
      "either. At most 60 x 24 = %d test slices are below the\n",
      60 * 24);
  SAY("2048 dimensions of the features: their covariance is singular\n");
  return UNDECIDED;
}

static Verdict check_deepsmote_fid(void) {
  SAY("36.48 - 34.49 = +%.2f: farther from the test rims than the real training rims alone\n",
      36.48 - 34.49);
  return DOES_NOT_FIT;
}

static Verdict check_figure8(void) {
  SAY("8.79 is measured against rim and non-rim lesions, 14.20 against rim lesions; distances to "
      "two different sets have no common zero\n");
  return UNDECIDED;
}

/* ---- Tables 3 and 4 ---- */
static const Triple row_none = {0.79, 0.93, 0.85, 0.005}, row_affine = {0.83, 0.92, 0.83, 0.005};

static Verdict one_row(const char *name, const Triple *t) {
  int ex[2] = {0}, ex2[2] = {0};
  double acc[2], acc2[2], share[2];
  const int n = confusion_fits(t, 60, 120, ex, acc), n2 = confusion_fits(t, 120, 60, ex2, acc2);
  implied_prevalence(t, share);
  SAY("%s: accuracy %.2f, precision %.2f, sensitivity %.2f\n", name, t->accuracy, t->precision,
      t->sensitivity);
  SAY("  rim positive (60 + 120): %d matrices fit; ", n);
  if (acc[0] <= acc[1])
    printf("precision and sensitivity alone allow accuracy %.3f to %.3f\n", acc[0], acc[1]);
  else
    printf("not even precision and sensitivity together\n");
  SAY("  non-rim positive (120 + 60): %d fit", n2);
  if (n2)
    printf(", such as %d of 120 found, %d false alarms", ex2[0], ex2[1]);
  else if (acc2[0] <= acc2[1])
    printf("; accuracy %.3f to %.3f", acc2[0], acc2[1]);
  printf("\n");
  SAY("  any test set: %.1f to %.1f %% positives\n", 100 * share[0], 100 * share[1]);
  return n ? FITS : DOES_NOT_FIT;
}

static Verdict check_row_none(void) { return one_row("None", &row_none); }
static Verdict check_row_affine(void) { return one_row("Affine", &row_affine); }

static Verdict check_one_test_set(void) {
  double a[2], b[2];
  implied_prevalence(&row_none, a);
  implied_prevalence(&row_affine, b);
  SAY("share of positives: None %.3f to %.3f, Affine %.3f to %.3f; 60/180 is 0.333, 120/180 is "
      "0.667\n",
      a[0], a[1], b[0], b[1]);
  SAY("%s\n", a[0] > b[1] ? "the two do not overlap: no single test set, of any size and any class "
                            "balance, gives both rows"
                          : "they overlap");
  return a[0] > b[1] ? DOES_NOT_FIT : FITS;
}

static Verdict check_all_improve(void) {
  SAY("sensitivity: None 0.85, Affine 0.83; precision: None 0.93, Affine 0.92. Accuracy does rise, "
      "0.79 to 0.83\n");
  return DOES_NOT_FIT;
}

static Verdict check_sensitivity_gain(void) {
  const Interval a = wilson_interval(51, 60, 0.95), b = wilson_interval(57, 60, 0.95);
  SAY("on 60 rims: 51 [%.2f, %.2f] against 57 [%.2f, %.2f] found; as independent samples Fisher's "
      "p = %.2f\n",
      a.lo, a.hi, b.lo, b.hi, fisher_exact(57, 3, 51, 9));
  SAY("the same lesions were judged twice: McNemar's exact p is %.3f if nothing was lost (0 "
      "against 6), %.2f if 3 were (3 against 9); not published\n",
      binomial_half(0, 6), binomial_half(3, 12));
  return UNDECIDED;
}

/* ---- training ---- */
static Verdict check_training_time(void) {
  SAY("48 h / 32 h = %.2f; 34 h / 32 h = %.2f. 25,000 kimg in 32, 48, 34 h = %.1f, %.1f, %.1f "
      "s/kimg\n",
      48 / 32., 34 / 32., 32 * 3600 / 25000., 48 * 3600 / 25000., 34 * 3600 / 25000.);
  SAY("at a fixed number of images shown, time does not depend on how many different images there "
      "are\n");
  return DOES_NOT_FIT;
}

static Verdict check_25000(void) {
  SAY("training_options.json has total_kimg = 25000 (25 million images shown to the "
      "discriminator), the reference's default\n");
  SAY("Table 2 to 4 use 100 synthetic lesions, the repository shows 101; both readings are "
      "possible, the second likelier\n");
  return UNDECIDED;
}

static Verdict check_slices(void) {
  SAY("11,356 slices / 600 lesions = %.1f of 24 slices each; / 260 rims = %.1f, more than the 24 "
      "there are; / 24 = %.0f lesions at least\n",
      11356 / 600., 11356 / 260., ceil(11356 / 24.));
  SAY("so it holds other lesions than rims; 200 rim + 400 non-rim with empty slices dropped would "
      "do\n");
  return UNDECIDED;
}

/* numbers of the state dict, without the gaps of our layout */
static int64_t state_bytes(const Params *p) {
  int64_t n = 0;
  for (int i = 0; i < p->n; i++) n += p->entry[i].numel;
  return 4 * n;
}

static int64_t snapshot_bytes(int c_dim) {
  GenConfig gc = gen_config_paper();
  Generator G;
  Discriminator D;
  Error e = {0};
  int64_t n = -1;
  gc.c_dim = c_dim;
  const DisConfig dc = dis_config_for(&gc);
  if (generator_new(&G, &gc, &e) != ST_OK) return -1;
  if (discriminator_new(&D, &dc, &e) == ST_OK) {
    n = 2 * state_bytes(&G.params) + state_bytes(&D.params);
    discriminator_free(&D);
  }
  generator_free(&G);
  return n;
}

static Verdict check_network_size(void) {
  const int64_t file = 271807472, plain = snapshot_bytes(0), cond = snapshot_bytes(2);
  if (plain < 0 || cond < 0) return UNDECIDED;
  SAY("published file %lld bytes; G + D + G_ema as float32: unconditional %lld (%lld left for "
      "names and code), conditional %lld (%lld)\n",
      (long long)file, (long long)plain, (long long)(file - plain), (long long)cond,
      (long long)(file - cond));
  SAY("the options say use_labels true, run directory 00018--cond-auto8; a conditional network "
      "cannot be smaller than its own numbers\n");
  return cond > file && plain < file ? DOES_NOT_FIT : UNDECIDED;
}

static Verdict check_adam(void) {
  SAY("training_options.json: betas 0, 0.99, eps 1e-8 for G and D; the projector of the reference "
      "code uses 0.9, 0.999\n");
  return DOES_NOT_FIT;
}

static Verdict check_training_set(void) {
  SAY("section 3.4: 200 rim + 400 non-rim lesions; section 3.7: the 400 were added for the "
      "conditional network only\n");
  return UNDECIDED;
}

const Claim paper_claims[] = {
    {"kappa", "cohort", "260 lesions rim by both readers, 177 by one, 7,720 non-rim; kappa 0.73",
     check_kappa},
    {"ambiguous", "cohort", "are the 177 ambiguous lesions among the 7,720 non-rim ones?",
     check_where_ambiguous},
    {"recovered", "text", "177 recovered, 260 to 437 rim lesions (68 %)", check_recovered},
    {"patients", "cohort",
     "256 patients; rim lesions in 92 (35.9 %): one in 35, two in 18, three to twelve in 36",
     check_patients},
    {"rims", "cohort", "260 rim lesions in those patients", check_rims_per_patient},
    {"prevalence", "introduction, cohort", "10 % of lesions are rim; 260 of the cohort's",
     check_prevalence},
    {"split", "Section 3.4", "training 200 rim + 400 non-rim, test 60 + 120", check_split},
    {"table1", "Table 1", "fractions of 55 real and 55 synthetic slices", check_table1_counts},
    {"table1-text", "Table 1 and text", "the same fractions in the text", check_table1_text},
    {"rim-calls", "Table 1",
     "called rim: 0.31 of the real, 0.40 of the synthetic slices; read as: no difference",
     check_rim_calls},
    {"told-apart", "Table 1",
     "called real: 0.55 of the real, 0.29 of the synthetic slices; read as: a reader cannot tell "
     "them apart",
     check_indistinguishable},
    {"nearly-half", "text on Table 1", "\"nearly half\" of the synthetic slices called rim (0.40)",
     check_nearly_half},
    {"fid-spread", "Table 2", "augmentations ranked by FID, the best four between 34.17 and 34.49",
     check_fid_spread},
    {"fid-deepsmote", "Table 2",
     "caption: augmentation brings the rims nearer to the test rims; DeepSMOTE 36.48, real rims "
     "alone 34.49",
     check_deepsmote_fid},
    {"figure8", "Figure 8", "FID 8.79 (conditional) and 14.20 (rim only) during training",
     check_figure8},
    {"row-none", "Table 3, row None", "tested on 60 rim and 120 non-rim lesions", check_row_none},
    {"row-affine", "Table 3, row Affine", "tested on 60 rim and 120 non-rim lesions",
     check_row_affine},
    {"one-test-set", "Tables 3 and 4", "all rows come from one test set", check_one_test_set},
    {"all-improve", "Table 3, caption", "all augmentation strategies improve", check_all_improve},
    {"sensitivity", "Tables 3 and 4", "sensitivity rises from 0.85 to 0.95",
     check_sensitivity_gain},
    {"time", "text",
     "32 h, with the larger set 48 h: \"nearly doubles the training time\"; multi-contrast 34 h",
     check_training_time},
    {"25000", "text", "25,000 synthetic lesions", check_25000},
    {"slices", "training_options.json", "max_size 11,356", check_slices},
    {"network", "repository",
     "network-snapshot-025000.pkl and training_options.json belong together", check_network_size},
    {"adam", "text", "Adam with 0.9 and 0.99", check_adam},
    {"training-set", "Sections 3.4, 3.7", "what the rim network was trained on",
     check_training_set},
};
const int paper_claim_count = COUNT_OF(paper_claims);
