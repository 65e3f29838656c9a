/* evidence_table.c: numbers of images to numbers of lesions, and the tables. See evidence.h */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "tools/judge/evidence_impl.h"

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
    [EV_INSIDE] = {"lpips_inside", "LPIPS to the target inside the region of focus"},
    [EV_OUTSIDE] = {"lpips_outside", "the same outside it"},
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
static const char *const flag_name[] = {
    "called_rim_before", "called_rim_after", "right_before",       "right_after",
    "close_to_training", "copy_of_training", "right_later_before", "right_later_after"};
_Static_assert(COUNT_OF(change) == CHANGES, "changes of the summary");

int summary_change(int before) {
  for (int k = 0; k < CHANGES; k++)
    if (change[k].before == (EvNumber)before) return k;
  return -1;
}

int evidence_later(const EvLesion *r) {
  return r->cls == CLASS_AMBIGUOUS && r->later >= 0 && r->later <= CLASS_RIM ? r->later : -1;
}

/* What number k of the summary is called; NULL: there is none. */
static const char *summary_name(int k) {
  return k < 0 || k >= NUMBERS ? NULL
         : k < EV_COUNT        ? ev_column[k].name
         : k < F_CALL0         ? change[k - EV_COUNT].name
                               : flag_name[k - F_CALL0];
}

double summary_value(const Evidence *ev, const EvLesion *r, int k) {
  if (k < EV_COUNT) return r->v[k];
  if (k < F_CALL0) return r->v[change[k - EV_COUNT].after] - r->v[change[k - EV_COUNT].before];
  if (k == F_CLOSE || k == F_COPY) {
    const Memory m = PRLX_MAX(r->px, r->lp);
    return r->px_image < 0 ? NAN : m >= (k == F_CLOSE ? MEMORY_CLOSE : MEMORY_COPY);
  }
  const double score = r->v[(k - F_CALL0) % 2 ? EV_RIM1 : EV_RIM0];
  const int truth = k >= F_LATER0 ? evidence_later(r) : r->truth;
  if (isnan(score) || (k >= F_RIGHT0 && truth < 0)) return NAN;
  const int called = score >= ev->a.threshold;
  return k < F_RIGHT0 ? called : called == truth;
}

/* ---- subsets ---- */
const char *const subset_name[SUBSETS] = {"all",      "non-rim",      "rim",       "ambiguous",
                                          "true rim", "true non-rim", "later rim", "later non-rim"};
bool subset_has(const EvLesion *r, Subset s) {
  switch (s) {
    case SUB_ALL: return true;
    case SUB_TRUE_RIM:
    case SUB_TRUE_NONRIM: return r->truth == (s == SUB_TRUE_RIM);
    case SUB_LATER_RIM:
    case SUB_LATER_NONRIM: return evidence_later(r) == (s == SUB_LATER_RIM);
    default: return r->cls == (int)s - 1;
  }
}

int64_t subset_size(const Evidence *ev, Subset s) {
  int64_t n = 0;
  for (int64_t i = 0; i < ev->lesions; i++) n += subset_has(&ev->row[i], s);
  return n;
}

Status subset_spread(const Evidence *ev, Subset s, int k, Spread *out, Error *e) {
  double *v = mem_alloc((size_t)ev->lesions * sizeof *v);
  int64_t *group = mem_alloc((size_t)ev->lesions * sizeof *group), n = 0;
  Status st = v && group ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
  if (st != ST_OK) goto done;
  for (int64_t i = 0; i < ev->lesions; i++)
    if (subset_has(&ev->row[i], s)) {
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
  else if (t->src) {
    char title[140];
    lesions_title(t->src, t->src->lesion[i], title, sizeof title);
    snprintf(out, 160, "%.139s_z%02lld", title, (long long)t->src->slice[i]);
  } else if (t->names && t->names[i][0])
    snprintf(out, 160, "%.63s", t->names[i]);
  else
    snprintf(out, 160, "image%lld", (long long)i);
  return out;
}

static const char *const class_name[] = {"n/a", "non-rim", "rim", "ambiguous"};

/* Names of the columns: of lesions always the same ones, of synthetic images only those that mean
 * something. */
static void lesion_header(TsvWriter *w, const Evidence *ev, bool all, const bool *used) {
  if (all) tsv_cell(w, "subject");
  tsv_cell(w, all ? "lesion" : "image");
  if (all) {
    if (ev->has_scans) tsv_cell(w, "scan");
    tsv_cell(w, "slices");
    tsv_cell(w, "class");
  }
  for (int k = 0; k < EV_COUNT; k++)
    if (used[k]) tsv_cell(w, "%s", ev_column[k].name);
  tsv_cell(w, "nearest_rms_image");
  tsv_cell(w, "nearest_lpips_image");
  tsv_cell(w, "memory_rms");
  tsv_cell(w, "memory_lpips");
  if (all) {
    tsv_cell(w, "truth_rim");
    tsv_cell(w, "truth_conspicuity");
    tsv_cell(w, "truth_rim_ppb");
    if (ev->has_visits) tsv_cell(w, "later_scan");
    if (ev->has_visits) tsv_cell(w, "later_class");
  }
  tsv_row_end(w);
}

static void lesion_row(TsvWriter *w, const Evidence *ev, bool all, const bool *used,
                       const EvLesion *r) {
  char name[160];
  if (all) tsv_cell(w, "%s", r->subject);
  tsv_cell(w, "%s", r->name);
  if (all) {
    if (ev->has_scans) tsv_cell(w, "%s", r->scan);
    tsv_cell(w, "%d", r->slices);
    tsv_cell(w, "%s", class_name[r->cls + 1]);
  }
  for (int k = 0; k < EV_COUNT; k++)
    if (used[k]) number_cell(w, r->v[k]);
  tsv_cell(w, "%s", ev_train_name(ev, r->px_image < 0 ? -1 : ev->near.px[r->px_image].id, name));
  tsv_cell(w, "%s", ev_train_name(ev, r->lp_image < 0 ? -1 : ev->near.lp[r->lp_image].id, name));
  tsv_cell(w, "%s", r->px_image < 0 ? "n/a" : memory_name[r->px]);
  tsv_cell(w, "%s", r->lp_image < 0 ? "n/a" : memory_name[r->lp]);
  if (all) {
    if (r->truth < 0)
      tsv_cell(w, "n/a");
    else
      tsv_cell(w, "%d", r->truth);
    number_cell(w, r->conspicuity);
    number_cell(w, r->rim_ppb);
    if (ev->has_visits) tsv_cell(w, "%s", r->later_scan);
    if (ev->has_visits) tsv_cell(w, "%s", class_name[r->later + 1]);
  }
  tsv_row_end(w);
}

static Status write_lesions(const Evidence *ev, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  bool used[EV_COUNT] = {false};
  const bool all = !ev->a.synthetic;
  TRY(path_join(path, ev->a.out, all ? "evidence.tsv" : "memory.tsv", e));
  for (int k = 0; k < EV_COUNT; k++) {
    used[k] = all;
    for (int64_t i = 0; i < ev->lesions; i++) used[k] |= isfinite(ev->row[i].v[k]);
  }
  lesion_header(&w, ev, all, used);
  for (int64_t i = 0; i < ev->lesions; i++) lesion_row(&w, ev, all, used, &ev->row[i]);
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
      s = subset_spread(ev, (Subset)sub, k, &x, e);
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
