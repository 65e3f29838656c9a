/* evidence_words.c: what the numbers of `prlx evidence` say in words. See evidence.h */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "models/judge/agreement.h"
#include "models/judge/evaluate.h"
#include "tools/judge/evidence_impl.h"

typedef struct Words {
  char *s;
  size_t n;
  size_t at;
  const Evidence *ev;
  Status st;
  Error *e;
} Words;
static void words_say(Words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void words_say(Words *w, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  const int k = vsnprintf(w->s + w->at, w->n - w->at, fmt, ap);
  va_end(ap);
  w->at = PRLX_MIN(w->n - 1, w->at + (size_t)PRLX_MAX(k, 0));
}

static Spread words_get(Words *w, Subset s, int k) {
  Spread x = {0};
  if (w->st == ST_OK) w->st = subset_spread(w->ev, s, k, &x, w->e);
  return x;
}

static const char *spread_text(const Spread *x, double scale, const char *fmt, char out[80]) {
  char a[32], b[32];
  if (!isfinite(x->mean_lo)) {
    snprintf(out, 80, "no interval: one subject");
    return out;
  }
  snprintf(a, sizeof a, fmt, scale * x->mean_lo);
  snprintf(b, sizeof b, fmt, scale * x->mean_hi);
  snprintf(out, 80, "%s to %s", a, b);
  return out;
}

static void mean_line(Words *w, int k, const char *fmt) {
  const Spread x = words_get(w, SUB_ALL, k);
  char m[32], t[80];
  if (!x.n) return;
  snprintf(m, sizeof m, fmt, x.mean);
  words_say(w, "%s: mean %s (%s), ", ev_column[k].words, m, spread_text(&x, 1, fmt, t));
  snprintf(m, sizeof m, fmt, x.median);
  words_say(w, "median %s.\n", m);
}

/* What the classifier says of a class of lesions, before and after. */
static void words_calls(Words *w, Subset s) {
  const Evidence *ev = w->ev;
  int64_t n = 0, before = 0, after = 0, gained = 0, lost = 0;
  char t[2][80];
  for (int64_t i = 0; i < ev->lesions; i++) {
    const EvLesion *r = &ev->row[i];
    const double a = summary_value(ev, r, F_CALL0), b = summary_value(ev, r, F_CALL1);
    if (!subset_has(r, s) || isnan(a) || isnan(b)) continue;
    n++;
    before += a > 0;
    after += b > 0;
    gained += !(a > 0) && b > 0;
    lost += a > 0 && !(b > 0);
  }
  if (!n) return;
  const Spread a = words_get(w, s, F_CALL0), b = words_get(w, s, F_CALL1);
  words_say(w,
            "Of %lld %s%slesions the classifier%s rim in %lld before (%.0f %%; %s) and %lld after "
            "denoising (%.0f %%; %s); %lld became rim, %lld stopped being rim; McNemar p = %.3g.\n",
            (long long)n, s == SUB_ALL ? "" : subset_name[s], s == SUB_ALL ? "" : " ",
            ev->runs > 1 ? "s' mean calls" : " calls", (long long)before, 100 * a.mean,
            spread_text(&a, 100, "%.0f", t[0]), (long long)after, 100 * b.mean,
            spread_text(&b, 100, "%.0f", t[1]), (long long)gained, (long long)lost,
            eval_mcnemar_p(gained, lost));
}

static Status auc_numbers(const Evidence *ev, int64_t n, const int *truth, const double *score,
                          const int64_t *group, double v[3], Error *e) {
  double all[M_COUNT], lo[M_COUNT], hi[M_COUNT];
  TRY(eval_metrics(n, truth, score, ev->a.threshold, all, e));
  lo[M_ROC_AUC] = hi[M_ROC_AUC] = NAN;
  if (ev->groups > 1)
    TRY(eval_bootstrap(n, truth, 1, score, group, ev->groups, ev->a.threshold, ev->a.resamples,
                       ev->a.level, 0, lo, hi, e));
  v[0] = all[M_ROC_AUC];
  v[1] = lo[M_ROC_AUC];
  v[2] = hi[M_ROC_AUC];
  return ST_OK;
}

/* truth: 1, 0, or -1 for a lesion that does not count. */
static Status auc_line(Words *w, int (*truth_of)(const EvLesion *), const char *what) {
  const Evidence *ev = w->ev;
  const size_t m = (size_t)ev->lesions;
  int64_t n = 0, rims = 0;
  double v[2][3];
  Status s = ST_OK;
  int *truth = mem_alloc(m * sizeof *truth);
  double *score = mem_alloc(2 * m * sizeof *score);
  int64_t *group = mem_alloc(m * sizeof *group);
  if (!truth || !score || !group) {
    s = err_set(w->e, ST_NOMEM, "out of memory");
    goto done;
  }
  for (int64_t i = 0; i < ev->lesions; i++) {
    const EvLesion *r = &ev->row[i];
    truth[n] = truth_of(r);
    if (truth[n] < 0 || isnan(r->v[EV_RIM0]) || isnan(r->v[EV_RIM1])) continue;
    group[n] = r->group;
    score[n] = r->v[EV_RIM0];
    score[m + (size_t)n] = r->v[EV_RIM1];
    rims += truth[n++];
  }
  if (rims < 2 || n - rims < 2) goto done;
  for (int k = 0; k < 2; k++) {
    s = auc_numbers(ev, n, truth, score + (size_t)k * m, group, v[k], w->e);
    if (s != ST_OK) goto done;
  }
  words_say(w,
            "Separating %s from the others: ROC AUC of the rim score %.3f before (%.2f to "
            "%.2f), %.3f after (%.2f to %.2f).\n",
            what, v[0][0], v[0][1], v[0][2], v[1][0], v[1][1], v[1][2]);
done:
  mem_free(truth);
  mem_free(score);
  mem_free(group);
  return s;
}

static int true_rim(const EvLesion *r) { return r->truth; }

static void truth_lines(Words *w) {
  const Evidence *ev = w->ev;
  int64_t n = 0, rims = 0, right[2] = {0}, only[2] = {0}, true_to_rim = 0, false_to_rim = 0;
  for (int64_t i = 0; i < ev->lesions; i++) {
    const EvLesion *r = &ev->row[i];
    if (r->truth < 0) continue;
    n++;
    rims += r->truth;
    const double a = summary_value(ev, r, F_RIGHT0), b = summary_value(ev, r, F_RIGHT1);
    if (isnan(a) || isnan(b)) continue;
    right[0] += a > 0;
    right[1] += b > 0;
    only[0] += a > 0 && !(b > 0);
    only[1] += b > 0 && !(a > 0);
    *(r->truth ? &true_to_rim : &false_to_rim) +=
        summary_value(ev, r, F_CALL1) > summary_value(ev, r, F_CALL0);
  }
  words_say(
      w,
      "Truth (phantom): of %lld lesions %lld have a conspicuity above the readers' cut, so that "
      "a reader without noise would say rim; conspicuity is continuous, so most others have a "
      "fainter rim, not none. By their true crest: truth.tsv.\n",
      (long long)n, (long long)rims);
  const Spread a = words_get(w, SUB_ALL, F_RIGHT0), b = words_get(w, SUB_ALL, F_RIGHT1);
  char t[2][80];
  if (!a.n || !b.n) return;
  words_say(
      w,
      "The classifier agrees with the truth in %lld before (%.0f %%; %s) and %lld after denoising "
      "(%.0f %%; %s); McNemar p = %.3g. Of the lesions that became rim, %lld have a true rim and "
      "%lld have none.\n",
      (long long)right[0], 100 * a.mean, spread_text(&a, 100, "%.0f", t[0]), (long long)right[1],
      100 * b.mean, spread_text(&b, 100, "%.0f", t[1]), eval_mcnemar_p(only[0], only[1]),
      (long long)true_to_rim, (long long)false_to_rim);
  if (w->st == ST_OK) w->st = auc_line(w, true_rim, "true rims");
}

/* A lesion whose other visit taught the network is no new one to it. */
static void later_trained(Words *w) {
  const DatasetLesions *src = w->ev->train.src;
  int64_t n = 0;
  for (int64_t i = 0; src && i < w->ev->lesions; i++) {
    const EvLesion *r = &w->ev->row[i];
    bool found = false;
    for (int64_t k = 0; k < src->n && r->later >= 0 && !found; k++)
      found =
          !strcmp(src->name[k], r->name) && !strcmp(src->subject[src->subject_of[k]], r->subject);
    n += found;
  }
  if (n)
    words_say(w, "%lld of these lesions are among the training data, from this or another visit.\n",
              (long long)n);
}

/* The best truth that a cohort of patients has: readers disagreed at one visit and agree at a later
 * one. */
static void later_lines(Words *w) {
  const Evidence *ev = w->ev;
  int64_t disputed = 0, seen = 0, rims = 0, others = 0, right[2] = {0}, only[2] = {0}, same = 0,
          known = 0;
  for (int64_t i = 0; i < ev->lesions; i++) {
    const EvLesion *r = &ev->row[i];
    const int later = evidence_later(r);
    if (r->cls != CLASS_AMBIGUOUS) continue;
    disputed++;
    seen += r->visits > 0;
    rims += later == 1;
    others += later == 0;
    known += later >= 0 && r->truth >= 0;
    same += later >= 0 && r->truth == later;
    const double a = summary_value(ev, r, F_LATER0), b = summary_value(ev, r, F_LATER1);
    if (isnan(a) || isnan(b)) continue;
    right[0] += a > 0;
    right[1] += b > 0;
    only[0] += a > 0 && !(b > 0);
    only[1] += b > 0 && !(a > 0);
  }
  words_say(
      w,
      "Later visits: of %lld ambiguous lesions %lld were seen again; at the first later visit "
      "at which both readers agree %lld are rims and %lld are none, %lld stay disputed.\n",
      (long long)disputed, (long long)seen, (long long)rims, (long long)others,
      (long long)(seen - rims - others));
  if (known)
    words_say(w, "That later word is the truth of this visit (phantom) in %lld of %lld.\n",
              (long long)same, (long long)known);
  later_trained(w);
  const Spread a = words_get(w, SUB_ALL, F_LATER0), b = words_get(w, SUB_ALL, F_LATER1);
  char t[2][80];
  if (!a.n || !b.n) return;
  words_say(w,
            "Judged by the later visit, the classifier is right at this one in %lld before (%.0f "
            "%%; %s) and %lld after denoising (%.0f %%; %s) of %lld; McNemar p = %.3g.\n",
            (long long)right[0], 100 * a.mean, spread_text(&a, 100, "%.0f", t[0]),
            (long long)right[1], 100 * b.mean, spread_text(&b, 100, "%.0f", t[1]), (long long)b.n,
            eval_mcnemar_p(only[0], only[1]));
  if (w->st == ST_OK) w->st = auc_line(w, evidence_later, "lesions that are rims later");
}

static void pair_line(Words *w, Subset s, int before, int after, const char *what,
                      const char *fmt) {
  const int k = summary_change(before);
  const Spread a = words_get(w, s, before), b = words_get(w, s, after),
               d = words_get(w, s, EV_COUNT + k);
  char x[3][32], t[80], chance[32] = "";
  if (!a.n || !b.n) return;
  snprintf(x[0], 32, fmt, a.mean);
  snprintf(x[1], 32, fmt, b.mean);
  snprintf(x[2], 32, fmt, d.mean);
  if (before == EV_DICE0)
    snprintf(chance, sizeof chance, ", chance %.3f", words_get(w, s, EV_CHANCE).mean);
  words_say(w, "%s%s%s%s: mean %s before, %s after%s; change %s (%s), %lld lesion%s.\n", what,
            s == SUB_ALL ? "" : " (", s == SUB_ALL ? "" : subset_name[s], s == SUB_ALL ? "" : ")",
            x[0], x[1], chance, x[2], spread_text(&d, 1, fmt, t), (long long)d.n,
            d.n == 1 ? "" : "s");
}

/* Lesions with a true crest from lo to hi ppb: what stood above the core, what stands there now. */
static void crest_line(Words *w, double lo, double hi) {
  double sum[2] = {0};
  int64_t n = 0;
  for (int64_t i = 0; i < w->ev->lesions; i++) {
    const EvLesion *r = &w->ev->row[i];
    if (!(r->rim_ppb >= lo && r->rim_ppb < hi) || isnan(r->v[EV_CORE0]) || isnan(r->v[EV_CORE1]))
      continue;
    n++;
    sum[0] += r->v[EV_CORE0];
    sum[1] += r->v[EV_CORE1];
  }
  char range[48];
  if (isfinite(hi))
    snprintf(range, sizeof range, "%g to %g ppb", lo, hi);
  else
    snprintf(range, sizeof range, "%g ppb and more", lo);
  if (n)
    words_say(w, "True crest of %s, %lld lesions: rim above core %.1f ppb before, %.1f after.\n",
              range, (long long)n, sum[0] / (double)n, sum[1] / (double)n);
}

/* Where no lesion has a second neighbour there is no such ratio. */
static void gap_text(char out[100], double mean, double typical) {
  char of[24] = "n/a";
  if (isfinite(typical)) snprintf(of, sizeof of, "%.2f", typical);
  if (isfinite(mean))
    snprintf(out, 100, "mean %.2f, of training lesions %s", mean, of);
  else
    snprintf(out, 100, "n/a, no second lesion to compare with; of training lesions %s", of);
}

static void memory_lines(Words *w) {
  const Evidence *ev = w->ev;
  const EvNear *near = &ev->near;
  int64_t close[2] = {0}, copy[2] = {0};
  for (int64_t i = 0; i < ev->lesions; i++) {
    const Memory m[2] = {ev->row[i].px, ev->row[i].lp};
    for (int k = 0; k < 2; k++) {
      close[k] += m[k] >= MEMORY_CLOSE;
      copy[k] += m[k] == MEMORY_COPY;
    }
  }
  const char *thing = !ev->a.synthetic       ? "denoised lesions"
                      : ev->lesions == ev->n ? "synthetic images"
                                             : "synthetic lesions";
  for (int k = 0; k < (near->lp ? 2 : 1); k++) {
    const Spread r = words_get(w, SUB_ALL, k ? EV_LP_RATIO : EV_PX_RATIO),
                 g = words_get(w, SUB_ALL, k ? EV_LP_GAP : EV_PX_GAP);
    const NearReference *ref = k ? &near->ref_lp : &near->ref_px;
    char t[80], gap[100];
    if (!isfinite(r.mean)) {
      words_say(w,
                "Memorisation by %s%s%s: not measured: half of the training lesions or more stand "
                "twice in the training data, so that the distance between them is 0; leave the "
                "second ones out.\n",
                k ? "LPIPS (" : "pixel (RMS, first channel)", k ? ev->near_by : "", k ? ")" : "");
      continue;
    }
    gap_text(gap, g.mean, quantile_sorted(ref->gap, ref->n, 0.5));
    words_say(
        w,
        "Memorisation by %s%s%s: distance to the nearest training image is %.2f of the median "
        "between training lesions (%s); %lld of %lld %s are closer to a training image than any of "
        "%lld training lesions is to another, %lld of these stand out as copies (nearest over "
        "second nearest: %s).\n",
        k ? "LPIPS (" : "pixel (RMS, first channel)", k ? ev->near_by : "", k ? ")" : "", r.mean,
        spread_text(&r, 1, "%.2f", t), (long long)close[k], (long long)ev->lesions, thing,
        (long long)ref->n, (long long)copy[k], gap);
  }
  if (near->own)
    words_say(
        w,
        "%lld images are of lesions that are in the training data; those lesions were left out as "
        "their own neighbours.\n",
        (long long)near->own);
}

static void left_out(Words *w) {
  const EvArgs *a = &w->ev->a;
  if (!w->ev->target.images)
    words_say(w,
              "Left out: everything before denoising; the targets are not known (--targets FILE or "
              "--cohort lesions.tsv).\n");
  if (!a->model)
    words_say(w,
              "Left out: rim scores; no classifier (--model FILE or folder of prlx classify).\n");
  if (!a->train)
    words_say(w, "Left out: memorisation; no training data (--train FILE).\n");
  else if (!a->perceptual)
    words_say(w, "Left out: perceptual neighbours (--no-perceptual).\n");
  if (!a->cohort)
    words_say(w, "Left out: truth and true rim; no cohort (--cohort lesions.tsv).\n");
  else if (!w->ev->has_truth)
    words_say(w, "Left out: truth; %s has no column truth_rim (only a phantom knows the truth).\n",
              a->cohort);
  if (a->cohort && !w->ev->has_map)
    words_say(w, "Left out: overlap with the rim; %s names no rim maps.\n", a->cohort);
  else if (a->cohort && !w->ev->in_ppb)
    words_say(
        w, "Left out: contrasts of the rim; the susceptibility scale of the images is unknown.\n");
}

Status evidence_words(const Evidence *ev, char *text, size_t n, Error *e) {
  Words w = {.s = text, .n = n, .ev = ev, .e = e};
  text[0] = 0;
  if (ev->a.synthetic) {
    words_say(&w, "%lld synthetic images of %s against %lld training images of %s.\n",
              (long long)ev->n, ev->d.path, (long long)ev->train.n, ev->train.path);
    memory_lines(&w);
    return w.st;
  }
  words_say(
      &w,
      "%lld denoised lesions of %lld subjects (%lld images, %lld ambiguous lesions); intervals are "
      "%g %% by bootstrap of subjects; LPIPS with %s.\n",
      (long long)ev->lesions, (long long)ev->groups, (long long)ev->n,
      (long long)subset_size(ev, SUB_AMBIGUOUS), 100 * ev->a.level, ev->perceptual);
  if (ev->d.src && ev->d.src->n > ev->lesions)
    words_say(
        &w,
        "%lld of %lld lesions that were to be projected are there (a range, or an interrupted "
        "projection); numbers are of these.\n",
        (long long)ev->lesions, (long long)ev->d.src->n);
  if (ev->unfinished)
    words_say(&w, "%lld images stopped before step %d.\n", (long long)ev->unfinished, ev->asked);
  mean_line(&w, EV_LPIPS, "%.4f");
  mean_line(&w, EV_MSE, "%.5f");
  mean_line(&w, EV_W, "%.2f");
  for (int s = SUB_NONRIM; s <= SUB_AMBIGUOUS; s++) words_calls(&w, (Subset)s);
  if (!subset_size(ev, SUB_NONRIM) && !subset_size(ev, SUB_RIM) && !subset_size(ev, SUB_AMBIGUOUS))
    words_calls(&w, SUB_ALL);
  if (ev->has_truth) truth_lines(&w);
  if (ev->has_visits) later_lines(&w);
  pair_line(&w, SUB_ALL, EV_CORE0, EV_CORE1, "True rim above core, ppb", "%.1f");
  pair_line(&w, SUB_ALL, EV_SURROUND0, EV_SURROUND1, "True rim above surround, ppb", "%.1f");
  pair_line(&w, SUB_ALL, EV_DICE0, EV_DICE1,
            "Brightest pixels on the true rim (overlap at equal area)", "%.3f");
  pair_line(&w, SUB_ALL, EV_CORR0, EV_CORR1, "Correlation with the true rim map", "%.3f");
  pair_line(&w, SUB_ALL, EV_EDGE0, EV_EDGE1, "Edge of the lesion above its core, ppb", "%.1f");
  if (ev->has_truth)
    for (int s = SUB_TRUE_RIM; s <= SUB_TRUE_NONRIM; s++)
      pair_line(&w, (Subset)s, EV_EDGE0, EV_EDGE1, "Edge of the lesion above its core, ppb",
                "%.1f");
  if (ev->has_visits)
    for (int s = SUB_LATER_RIM; s <= SUB_LATER_NONRIM; s++)
      pair_line(&w, (Subset)s, EV_EDGE0, EV_EDGE1, "Edge of the lesion above its core, ppb",
                "%.1f");
  if (ev->has_truth) {
    crest_line(&w, 12, 25);
    crest_line(&w, 25, 50);
    crest_line(&w, 50, INFINITY);
  }
  if (ev->near.px) memory_lines(&w);
  left_out(&w);
  return w.st;
}
