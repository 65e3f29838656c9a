/* evidence_table.c: numbers of images to numbers of lesions, tables, and what they say in words.
 * See evidence.h */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "models/judge/agreement.h"
#include "models/judge/evaluate.h"
#include "tools/judge/evidence.h"

const EvColumn ev_column[EV_COUNT] = {
    [EV_LPIPS] = {"lpips", "LPIPS to the target"},
    [EV_MSE] = {"mse", "MSE to the target, network units"},
    [EV_W] = {"w_distance",
              "distance of w to the mean of W, standard deviations (a random image: about 1)"},
    [EV_RIM0] = {"rim_score_before", "rim score of the classifier, before"},
    [EV_RIM1] = {"rim_score_after", "rim score of the classifier, after"},
    [EV_PX] = {"nearest_rms", "RMS to the nearest training image, network units"},
    [EV_PX_PPB] = {"nearest_rms_ppb", "the same in ppb"},
    [EV_PX_RATIO] = {"nearest_rms_ratio", "the same over the median between training lesions"},
    [EV_PX_GAP] = {"nearest_rms_gap", "nearest over second nearest lesion, RMS"},
    [EV_LP] = {"nearest_lpips", "LPIPS to the nearest training image"},
    [EV_LP_RATIO] = {"nearest_lpips_ratio", "the same over the median between training lesions"},
    [EV_LP_GAP] = {"nearest_lpips_gap", "nearest over second nearest lesion, LPIPS"},
    [EV_EDGE0] = {"edge_ppb_before", "edge of the lesion above its core, ppb, before"},
    [EV_EDGE1] = {"edge_ppb_after", "edge of the lesion above its core, ppb, after"},
    [EV_CORE0] = {"rim_core_ppb_before", "true rim above core, ppb, before"},
    [EV_CORE1] = {"rim_core_ppb_after", "true rim above core, ppb, after"},
    [EV_SURROUND0] = {"rim_surround_ppb_before", "true rim above surround, ppb, before"},
    [EV_SURROUND1] = {"rim_surround_ppb_after", "true rim above surround, ppb, after"},
    [EV_DICE0] = {"rim_overlap_before", "brightest pixels on the true rim, before"},
    [EV_DICE1] = {"rim_overlap_after", "brightest pixels on the true rim, after"},
    [EV_CORR0] = {"rim_correlation_before", "correlation with the true rim map, before"},
    [EV_CORR1] = {"rim_correlation_after", "correlation with the true rim map, after"},
    [EV_CHANCE] = {"rim_overlap_chance", "overlap by chance"},
};

/* ---- images to lesions ---- */
static bool neighbour_number(int k) { return k >= EV_PX && k <= EV_LP_GAP; }

static void nearest_of(Evidence *ev, EvLesion *r, int64_t i) {
  const EvNear *near = &ev->near;
  if (near->px && (r->px_image < 0 || near->px[i].distance < near->px[r->px_image].distance)) {
    r->px_image = i;
    r->px = memory_of(&near->ref_px, &near->px[i]);
    for (int k = EV_PX; k <= EV_PX_GAP; k++) r->v[k] = ev->v[i][k];
  }
  if (near->lp && (r->lp_image < 0 || near->lp[i].distance < near->lp[r->lp_image].distance)) {
    r->lp_image = i;
    r->lp = memory_of(&near->ref_lp, &near->lp[i]);
    for (int k = EV_LP; k <= EV_LP_GAP; k++) r->v[k] = ev->v[i][k];
  }
}

Status evidence_gather(Evidence *ev, Error *e) {
  int(*count)[EV_COUNT] = mem_alloc((size_t)ev->lesions * sizeof *count);
  if (!count) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < ev->n; i++) {
    EvLesion *r = &ev->row[ev->lesion[i]];
    nearest_of(ev, r, i);
    for (int k = 0; k < EV_COUNT; k++)
      if (!neighbour_number(k) && isfinite(ev->v[i][k])) {
        r->v[k] += ev->v[i][k];
        count[ev->lesion[i]][k]++;
      }
  }
  for (int64_t l = 0; l < ev->lesions; l++)
    for (int k = 0; k < EV_COUNT; k++) {
      const bool near = neighbour_number(k),
                 known = near && (k < EV_LP ? ev->row[l].px_image : ev->row[l].lp_image) >= 0;
      if (!near)
        ev->row[l].v[k] = count[l][k] ? ev->row[l].v[k] / count[l][k] : NAN;
      else if (!known)
        ev->row[l].v[k] = NAN;
    }
  mem_free(count);
  return ST_OK;
}

/* ---- summary numbers ---- */
static const struct {
  const char *name;
  EvNumber before;
  EvNumber after;
} change[] = {
    {"rim_score_change", EV_RIM0, EV_RIM1},
    {"edge_ppb_change", EV_EDGE0, EV_EDGE1},
    {"rim_core_ppb_change", EV_CORE0, EV_CORE1},
    {"rim_surround_ppb_change", EV_SURROUND0, EV_SURROUND1},
    {"rim_overlap_change", EV_DICE0, EV_DICE1},
    {"rim_correlation_change", EV_CORR0, EV_CORR1},
};
static const char *const flag_name[] = {"called_rim_before", "called_rim_after",
                                        "right_before",      "right_after",
                                        "close_to_training", "copy_of_training"};
enum {
  CHANGES = COUNT_OF(change),
  F_CALL0 = EV_COUNT + CHANGES,
  F_CALL1,
  F_RIGHT0,
  F_RIGHT1,
  F_CLOSE,
  F_COPY,
  NUMBERS
};

const char *summary_name(int k) {
  return k < 0 || k >= NUMBERS ? NULL
         : k < EV_COUNT        ? ev_column[k].name
         : k < F_CALL0         ? change[k - EV_COUNT].name
                               : flag_name[k - F_CALL0];
}

double summary_value(const Evidence *ev, const EvLesion *r, int k) {
  if (k < EV_COUNT) return r->v[k];
  if (k < F_CALL0) return r->v[change[k - EV_COUNT].after] - r->v[change[k - EV_COUNT].before];
  if (k >= F_CLOSE) {
    const Memory m = PRLX_MAX(r->px, r->lp);
    return r->px_image < 0 ? NAN : m >= (k == F_CLOSE ? MEMORY_CLOSE : MEMORY_COPY);
  }
  const double score = r->v[(k - F_CALL0) % 2 ? EV_RIM1 : EV_RIM0];
  if (isnan(score) || (k >= F_RIGHT0 && r->truth < 0)) return NAN;
  const int called = score >= ev->a.threshold;
  return k < F_RIGHT0 ? called : called == r->truth;
}

typedef enum {
  SUB_ALL,
  SUB_NONRIM,
  SUB_RIM,
  SUB_AMBIGUOUS,
  SUB_TRUE_RIM,
  SUB_TRUE_NONRIM,
  SUBSETS
} Subset;
static const char *const subset_name[SUBSETS] = {"all",       "non-rim",  "rim",
                                                 "ambiguous", "true rim", "true non-rim"};
static bool in_subset(const EvLesion *r, Subset s) {
  return s == SUB_ALL || (s <= SUB_AMBIGUOUS  ? r->cls == (int)s - 1
                          : s == SUB_TRUE_RIM ? r->truth == 1
                                              : r->truth == 0);
}

static int64_t subset_size(const Evidence *ev, Subset s) {
  int64_t n = 0;
  for (int64_t i = 0; i < ev->lesions; i++) n += in_subset(&ev->row[i], s);
  return n;
}

static Status spread_of(const Evidence *ev, Subset s, int k, Spread *out, Error *e) {
  double *v = mem_alloc((size_t)ev->lesions * sizeof *v);
  int64_t *group = mem_alloc((size_t)ev->lesions * sizeof *group), n = 0;
  Status st = v && group ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
  if (st != ST_OK) goto done;
  for (int64_t i = 0; i < ev->lesions; i++)
    if (in_subset(&ev->row[i], s)) {
      v[n] = summary_value(ev, &ev->row[i], k);
      group[n++] = ev->row[i].group;
    }
  st = spread_by_group(n, v, group, ev->groups, ev->a.resamples, ev->a.level, 0, out, e);
done:
  mem_free(v);
  mem_free(group);
  return st;
}

/* ---- tables ---- */
static void number_cell(TsvWriter *w, double v) {
  if (isfinite(v))
    tsv_cell(w, "%.6g", v);
  else
    tsv_cell(w, "n/a");
}

const char *ev_train_name(const Evidence *ev, int64_t i, char out[160]) {
  const Dataset *t = &ev->train;
  if (i < 0)
    snprintf(out, 160, "n/a");
  else if (t->src)
    snprintf(out, 160, "%.60s_lesion-%.60s_z%02lld",
             t->src->subject[t->src->subject_of[t->src->lesion[i]]],
             t->src->name[t->src->lesion[i]], (long long)t->src->slice[i]);
  else if (t->names && t->names[i][0])
    snprintf(out, 160, "%.63s", t->names[i]);
  else
    snprintf(out, 160, "image%lld", (long long)i);
  return out;
}

static Status write_lesions(const Evidence *ev, Error *e) {
  static const char *const cls[] = {"n/a", "non-rim", "rim", "ambiguous"};
  char path[PATH_LEN], name[160];
  TsvWriter w = {0};
  bool used[EV_COUNT] = {false};
  /* always the same columns; of synthetic images only those that mean something */
  const bool all = !ev->a.synthetic;
  TRY(path_join(path, ev->a.out, all ? "evidence.tsv" : "memory.tsv", e));
  for (int k = 0; k < EV_COUNT; k++) {
    used[k] = all;
    for (int64_t i = 0; i < ev->lesions; i++) used[k] |= isfinite(ev->row[i].v[k]);
  }
  if (all) tsv_cell(&w, "subject");
  tsv_cell(&w, all ? "lesion" : "image");
  if (all) {
    tsv_cell(&w, "slices");
    tsv_cell(&w, "class");
  }
  for (int k = 0; k < EV_COUNT; k++)
    if (used[k]) tsv_cell(&w, "%s", ev_column[k].name);
  tsv_cell(&w, "nearest_rms_image");
  tsv_cell(&w, "nearest_lpips_image");
  tsv_cell(&w, "memory_rms");
  tsv_cell(&w, "memory_lpips");
  if (all) {
    tsv_cell(&w, "truth_rim");
    tsv_cell(&w, "truth_conspicuity");
    tsv_cell(&w, "truth_rim_ppb");
  }
  tsv_row_end(&w);
  for (int64_t i = 0; i < ev->lesions; i++) {
    const EvLesion *r = &ev->row[i];
    if (all) tsv_cell(&w, "%s", r->subject);
    tsv_cell(&w, "%s", r->name);
    if (all) {
      tsv_cell(&w, "%d", r->slices);
      tsv_cell(&w, "%s", cls[r->cls + 1]);
    }
    for (int k = 0; k < EV_COUNT; k++)
      if (used[k]) number_cell(&w, r->v[k]);
    tsv_cell(&w, "%s", ev_train_name(ev, r->px_image < 0 ? -1 : ev->near.px[r->px_image].id, name));
    tsv_cell(&w, "%s", ev_train_name(ev, r->lp_image < 0 ? -1 : ev->near.lp[r->lp_image].id, name));
    tsv_cell(&w, "%s", r->px_image < 0 ? "n/a" : memory_name[r->px]);
    tsv_cell(&w, "%s", r->lp_image < 0 ? "n/a" : memory_name[r->lp]);
    if (all) {
      if (r->truth < 0)
        tsv_cell(&w, "n/a");
      else
        tsv_cell(&w, "%d", r->truth);
      number_cell(&w, r->conspicuity);
      number_cell(&w, r->rim_ppb);
    }
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

Status evidence_tables(const Evidence *ev, Error *e) {
  static const char *const head[] = {"number",    "lesions", "n",          "mean",       "mean_low",
                                     "mean_high", "median",  "median_low", "median_high"};
  char path[PATH_LEN];
  TsvWriter w = {0};
  Status s = ST_OK;
  TRY(path_join(path, ev->a.out, "summary.tsv", e));
  TRY(write_lesions(ev, e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  for (int sub = 0; sub < SUBSETS; sub++) {
    const int64_t size = subset_size(ev, (Subset)sub);
    if (!size || (sub != SUB_ALL && size == ev->lesions && sub != SUB_AMBIGUOUS)) continue;
    for (int k = 0; k < NUMBERS; k++) {
      Spread x;
      s = spread_of(ev, (Subset)sub, k, &x, e);
      if (s != ST_OK) goto failed;
      if (!x.n) continue;
      const double v[6] = {x.mean, x.mean_lo, x.mean_hi, x.median, x.median_lo, x.median_hi};
      tsv_cell(&w, "%s", summary_name(k));
      tsv_cell(&w, "%s", subset_name[sub]);
      tsv_cell(&w, "%lld", (long long)x.n);
      for (int q = 0; q < 6; q++) number_cell(&w, v[q]);
      tsv_row_end(&w);
    }
  }
  return tsv_commit(&w, path, e);
failed:
  mem_free(w.buf);
  return s;
}

/* ---- words ---- */
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
  if (w->st == ST_OK) w->st = spread_of(w->ev, s, k, &x, w->e);
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
    if (!in_subset(r, s) || isnan(a) || isnan(b)) continue;
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

static Status auc_line(Words *w) {
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
    if (r->truth < 0 || isnan(r->v[EV_RIM0]) || isnan(r->v[EV_RIM1])) continue;
    truth[n] = r->truth;
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
            "Separating true rims from the others: ROC AUC of the rim score %.3f before (%.2f to "
            "%.2f), %.3f after (%.2f to %.2f).\n",
            v[0][0], v[0][1], v[0][2], v[1][0], v[1][1], v[1][2]);
done:
  mem_free(truth);
  mem_free(score);
  mem_free(group);
  return s;
}

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
      "Truth (phantom: a reader without noise would say rim): %lld of %lld lesions have a rim; "
      "taking every denoised lesion for rim, as the paper does, is right for %.0f %%.\n",
      (long long)rims, (long long)n, 100. * (double)rims / (double)n);
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
  if (w->st == ST_OK) w->st = auc_line(w);
}

static void pair_line(Words *w, Subset s, int before, int after, const char *what,
                      const char *fmt) {
  int k = 0;
  while (k < CHANGES && change[k].before != (EvNumber)before) k++;
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
    char t[80];
    words_say(
        w,
        "Memorisation by %s%s%s: distance to the nearest training image is %.2f of the median "
        "between training lesions (%s); %lld of %lld %s are closer to a training image than any of "
        "%lld training lesions is to another, %lld of these stand out as copies (nearest over "
        "second nearest: mean %.2f, of training lesions %.2f).\n",
        k ? "LPIPS (" : "pixel (RMS, first channel)", k ? ev->near_by : "", k ? ")" : "", r.mean,
        spread_text(&r, 1, "%.2f", t), (long long)close[k], (long long)ev->lesions, thing,
        (long long)ref->n, (long long)copy[k], g.mean, quantile_sorted(ref->gap, ref->n, 0.5));
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
  if (ev->near.px) memory_lines(&w);
  left_out(&w);
  return w.st;
}
