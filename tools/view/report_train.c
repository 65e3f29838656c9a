/* report_train.c: the page of a training run, from its metrics.jsonl and sample sheets. See
 * report.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/progress.h"
#include "tools/view/report.h"

/* Columns read from metrics.jsonl (our own writer: flat objects, one per line). */
static const char *const key[] = {"kimg",       "g_loss",  "d_loss",     "score_real",
                                  "score_fake", "r_t",     "p",          "r1",
                                  "pl",         "pl_mean", "s_per_kimg", "seconds"};
enum {
  C_KIMG,
  C_GLOSS,
  C_DLOSS,
  C_REAL,
  C_FAKE,
  C_RT,
  C_P,
  C_R1,
  C_PL,
  C_PLMEAN,
  C_SPEED,
  C_SECONDS,
  C_COUNT
};
typedef struct Columns {
  double *v[C_COUNT];
  int n;
  int cap;
} Columns;

static double json_field(const char *line, const char *end, const char *name) {
  char pat[40];
  int len = snprintf(pat, sizeof pat, "\"%s\":", name);
  for (const char *p = line; p + len < end; p++)
    if (!strncmp(p, pat, (size_t)len)) {
      char *stop;
      double v = strtod(p + len, &stop);
      return stop == p + len ? NAN : v;
    }
  return NAN;
}

static bool columns_add(Columns *c, const char *line, const char *end) {
  /* not a tick */
  if (!isfinite(json_field(line, end, "kimg")) || !isfinite(json_field(line, end, "s_per_kimg")))
    return true;
  if (c->n == c->cap) {
    int cap = c->cap ? 2 * c->cap : 256;
    for (int k = 0; k < C_COUNT; k++) {
      double *t = mem_grow(c->v[k], (size_t)c->cap * sizeof(double), (size_t)cap * sizeof(double));
      if (!t) return false;
      c->v[k] = t;
    }
    c->cap = cap;
  }
  for (int k = 0; k < C_COUNT; k++) c->v[k][c->n] = json_field(line, end, key[k]);
  c->n++;
  return true;
}

static Status columns_read(Columns *c, const char *path, Error *e) {
  uint8_t *data;
  size_t n;
  TRY(file_read(path, &data, &n, (size_t)1 << 30, e));
  Status s = ST_OK;
  const char *p = (const char *)data, *end = p + n;
  while (p < end) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    if (!nl) break; /* a torn last line */
    if (!columns_add(c, p, nl)) {
      s = err_set(e, ST_NOMEM, "%s: out of memory", path);
      goto done;
    }
    p = nl + 1;
  }
done:
  mem_free(data);
  return s;
}

/* Whether there is a sheet of this moment. */
static bool path_of_sheet(char path[PATH_LEN], const char *dir, double kimg) {
  return path_format(path, NULL, "%s/fakes%09.3f.png", dir, kimg) == ST_OK && file_exists(path);
}

/* Sample sheets fakes<kimg>.png of the run: the ticks' kimg values that have one, thinned to at
 * most `max`. */
static void add_sheets(Report *r, const char *dir, const Columns *c, int max) {
  char path[PATH_LEN], caption[160];
  int have = 0, *tick = mem_alloc((size_t)(c->n + 1) * sizeof *tick);
  if (!tick) {
    if (r->status == ST_OK) r->status = ST_NOMEM;
    return;
  }
  report_figures_begin(r);
  if (path_join(path, dir, "reals.png", NULL) == ST_OK && file_exists(path))
    report_png(r, path, 480, "Images of the data set.");
  for (int i = -1; i < c->n; i++) {
    if (path_of_sheet(path, dir, i < 0 ? 0 : c->v[C_KIMG][i])) tick[have++] = i;
  }
  int shown = PRLX_MIN(have, max);
  for (int k = shown - 1; k >= 0; k--) {
    int i = tick[shown > 1 ? (int)((int64_t)k * (have - 1) / (shown - 1)) : have - 1];
    double kimg = i < 0 ? 0 : c->v[C_KIMG][i];
    path_of_sheet(path, dir, kimg);
    if (i < 0)
      snprintf(caption, sizeof caption, "Synthetic, before training.");
    else
      snprintf(caption, sizeof caption,
               "Synthetic, after %.6g thousand images; the same latents in every sheet (averaged "
               "generator G_ema).",
               kimg);
    report_png(r, path, 480, caption);
  }
  report_figures_end(r);
  mem_free(tick);
}

static void add_curves(Report *r, const Columns *c) {
  const double *x = c->v[C_KIMG];
#define CURVE(label, col) \
  { label, x, c->v[col], c->n }
  const char *xl = "thousand images (kimg)";
  report_figures_begin(r);
  report_plot(r, "Losses (softplus)", xl, 2,
              (Curve[]){CURVE("generator", C_GLOSS), CURVE("discriminator", C_DLOSS)}, false);
  report_plot(r, "Discriminator scores (logits)", xl, 2,
              (Curve[]){CURVE("real", C_REAL), CURVE("synthetic", C_FAKE)}, false);
  report_plot(r, "Overfitting measure r_t and augmentation probability p", xl, 2,
              (Curve[]){CURVE("r_t", C_RT), CURVE("p", C_P)}, false);
  report_plot(r, "R1 penalty (squared gradient)", xl, 1, (Curve[]){CURVE("R1", C_R1)}, true);
  report_plot(r, "Path length: penalty and running mean", xl, 2,
              (Curve[]){CURVE("penalty", C_PL), CURVE("mean", C_PLMEAN)}, true);
  report_plot(r, "Seconds per thousand images", xl, 1, (Curve[]){CURVE("s/kimg", C_SPEED)}, false);
  report_figures_end(r);
}

static void columns_free(Columns *c) {
  for (int k = 0; k < C_COUNT; k++) mem_free(c->v[k]);
}

Status report_add_run(Report *r, const char *dir, int sheets, Error *e) {
  Columns c = {0};
  char path[PATH_LEN];
  TRY(path_join(path, dir, "metrics.jsonl", e));
  Status s = columns_read(&c, path, e);
  if (s != ST_OK) goto done;
  add_curves(r, &c);
  add_sheets(r, dir, &c, sheets);
done:
  columns_free(&c);
  return s;
}

static void training_page(Report *r, const char *dir, const char *config, const Columns *c) {
  char sub[PATH_LEN + 200];
  if (c->n > 0)
    snprintf(sub, sizeof sub, "%s: %.6g thousand images in %d ticks, %s", dir,
             c->v[C_KIMG][c->n - 1], c->n, human_time(c->v[C_SECONDS][c->n - 1]));
  else
    snprintf(sub, sizeof sub, "%s: no tick finished yet", dir);
  report_begin(r, "Training run", sub);
  report_heading(r, "Curves");
  add_curves(r, c);
  report_heading(r, "Samples");
  add_sheets(r, dir, c, 8);
  report_heading(r, "Configuration");
  report_pre(r, config);
}

Status report_training(const char *dir, const char *config, Error *e) {
  Columns c = {0};
  Report r;
  char metrics[PATH_LEN], page[PATH_LEN];
  TRY(path_join(metrics, dir, "metrics.jsonl", e));
  TRY(path_join(page, dir, "report.html", e));
  Status s = columns_read(&c, metrics, e);
  if (s != ST_OK) goto done;
  training_page(&r, dir, config, &c);
  s = report_write(&r, page, e);
done:
  columns_free(&c);
  return s;
}
