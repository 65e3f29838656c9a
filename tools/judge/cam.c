/* cam.c: `prlx cam`: class activation maps over lesions (Figure 9 of the paper), before and after
 * an augmentation, and how much of them lies on the rim.
 *
 *   slices -> classifiers of a run -> mean map -> enlarged to the patch -> maps.safetensors,
 *   table.tsv, sheet.png; share of the mass on the rim channel */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "models/judge/cam.h"
#include "models/store/classifierfile.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/judge/slices.h"
#include "tools/view/canvas.h"

typedef struct Args {
  const char *model;
  const char *after;
  const char *out;
  int cls;
  int kind;
  int show;
  double widen;
} Args;
enum { SIDES = 2 }; /* before, after */
typedef struct Job {
  Args a;
  SliceSet d;
  SliceSet rim;
  bool has_rim;
  int sides;
  real *map[SIDES]; /* [n,h,w] */
  /* [n] per slice; NaN where there is nothing to measure */
  double *prob[SIDES];
  double *share[SIDES];
  double *area;
  bool *hit[SIDES];
} Job;

static void job_free(Job *j) {
  slices_free(&j->d);
  slices_free(&j->rim);
  for (int k = 0; k < SIDES; k++) {
    mem_free(j->map[k]);
    mem_free(j->prob[k]);
    mem_free(j->share[k]);
    mem_free(j->hit[k]);
  }
  mem_free(j->area);
}

/* ---- maps ---- */

static Status cam_allocate(Job *j, int k, Error *e) {
  const size_t n = (size_t)j->d.n;
  j->map[k] = mem_alloc(n * (size_t)j->d.h * (size_t)j->d.w * sizeof *j->map[k]);
  j->prob[k] = mem_alloc(n * sizeof *j->prob[k]);
  j->share[k] = mem_alloc(n * sizeof *j->share[k]);
  j->hit[k] = mem_alloc(n * sizeof *j->hit[k]);
  if (!j->area) j->area = mem_alloc(n * sizeof *j->area);
  return j->map[k] && j->prob[k] && j->share[k] && j->hit[k] && j->area
             ? ST_OK
             : err_set(e, ST_NOMEM, "out of memory for %zu maps", n);
}

/* Mean map and probability over the classifiers. */
static Status make_maps(Job *j, int k, const Classifier *c, int runs, Error *e) {
  const int64_t n = j->d.n, hw = (int64_t)j->d.h * j->d.w;
  int mh, mw;
  cam_size(&c[0], j->d.h, j->d.w, &mh, &mw);
  Slices d = slices_view(&j->d);
  const int64_t cells = (int64_t)mh * mw;
  real *map = mem_alloc((size_t)(n * cells) * sizeof *map),
       *mean = mem_alloc((size_t)(n * cells) * sizeof *mean);
  double *p = mem_alloc((size_t)(n * c[0].cfg.classes) * sizeof *p);
  Status s = ST_OK;
  if (!map || !mean || !p) {
    s = err_set(e, ST_NOMEM, "out of memory for %lld maps", (long long)n);
    goto done;
  }
  for (int r = 0; r < runs; r++) {
    s = classifier_predict(&c[r], &d, p, e);
    if (s != ST_OK) goto done;
    s = cam_maps(&c[r], &d, j->a.cls, j->a.kind ? CAM_GRAD : CAM_ZHOU, map, e);
    if (s != ST_OK) goto done;
    for (int64_t i = 0; i < n * cells; i++) mean[i] += map[i] / (real)runs;
    for (int64_t i = 0; i < n; i++) j->prob[k][i] += p[i * c[r].cfg.classes + j->a.cls] / runs;
  }
  for (int64_t i = 0; i < n; i++)
    cam_enlarge(mean + i * cells, mh, mw, j->d.h, j->d.w, j->map[k] + i * hw);
done:
  mem_free(map);
  mem_free(mean);
  mem_free(p);
  return s;
}

/* The rim channel is a probability mapped to -1 .. 1: the rim is where it is above one half. */
static Status cam_measure(Job *j, int k, Error *e) {
  const int64_t hw = (int64_t)j->d.h * j->d.w;
  Status s = ST_OK;
  uint8_t *mask = mem_alloc((size_t)hw);
  if (!mask) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < j->d.n; i++) {
    j->share[k][i] = j->area[i] = NAN;
    if (!j->has_rim) continue;
    for (int64_t q = 0; q < hw; q++) mask[q] = j->rim.images[i * hw + q] > 0;
    s = cam_share(j->map[k] + i * hw, mask, j->d.h, j->d.w, j->a.widen, &j->share[k][i],
                  &j->area[i], &j->hit[k][i], e);
    if (s != ST_OK) goto done;
  }
done:
  mem_free(mask);
  return s;
}

/* Images that the second classifier is to see, of as many channels as the first one saw. */
static Status check_channels(const Job *j, const char *model, const char *data,
                             const char *channels, Error *e) {
  SliceSet other = {0};
  Status s = slices_add(&other, data, channels, e);
  if (s != ST_OK) goto done;
  if (other.channels != j->d.channels)
    s = err_set(e, ST_INVALID,
                "%s takes other channels (%s) than %s; compare classifiers of the same", model,
                channels, j->a.model);
done:
  slices_free(&other);
  return s;
}

/* The classifiers of a side, and what they are to see. */
typedef struct Side {
  Classifier *c;
  int runs;
} Side;

static Status check_pools(const char *model, const Side *s, Error *e) {
  for (int r = 1; r < s->runs; r++)
    if (s->c[r].cfg.pools != s->c[0].cfg.pools)
      return err_set(e, ST_INVALID,
                     "%s: classifier %d has %d poolings, the first %d; their maps cannot be "
                     "averaged",
                     model, r, s->c[r].cfg.pools, s->c[0].cfg.pools);
  return ST_OK;
}

static Status side_load(Job *j, int k, const char *model, const char *data, Side *s, Error *e) {
  char channels[64];
  Backend *b;
  TRY(tool_backend_fit("cam", &b, e));
  TRY(classifiers_load(model, &s->c, &s->runs, channels, e));
  for (int r = 0; r < s->runs; r++) s->c[r].backend = b;
  TRY(check_pools(model, s, e));
  TRY(k ? check_channels(j, model, data, channels, e) : slices_add(&j->d, data, channels, e));
  return classifier_fits(&s->c[0], j->d.h, j->d.w, data, e);
}

/* Both sides are there and fit the data before the first map is made. */
static Status cam_sides(Job *j, const char *data, Side side[SIDES], Error *e) {
  const char *model[SIDES] = {j->a.model, j->a.after};
  Error none = {0};
  j->sides = 1 + (j->a.after != NULL);
  for (int k = 0; k < j->sides; k++) TRY(side_load(j, k, model[k], data, &side[k], e));
  TRY(outputs_folder(j->a.out, "maps.safetensors table.tsv sheet.png", e));
  /* no such channel: maps only */
  const Status s = slices_add(&j->rim, data, "rim", &none);
  if (s != ST_OK && s != ST_INVALID) return err_set(e, s, "%s", none.msg);
  j->has_rim = s == ST_OK;
  for (int k = 0; k < j->sides; k++) {
    TRY(cam_allocate(j, k, e));
    TRY(make_maps(j, k, side[k].c, side[k].runs, e));
    TRY(cam_measure(j, k, e));
  }
  return ST_OK;
}

static Status cam_maps_of(Job *j, const char *data, Error *e) {
  Side side[SIDES] = {{0}, {0}};
  const Status s = cam_sides(j, data, side, e);
  for (int k = 0; k < SIDES; k++) classifiers_free(side[k].c, side[k].runs);
  return s;
}

/* ---- output ---- */

static Status add_maps(const Job *j, StWriter *w, Error *e) {
  const Shape s = SHAPE3(j->d.n, j->d.h, j->d.w);
  TRY(st_add_meta(w, "format", "prlx-maps-1", e));
  TRY(st_add_meta(w, "model", j->a.model, e));
  TRY(st_add_meta(w, "kind", j->a.kind ? "Grad-CAM" : "CAM", e));
  TRY(st_add_metaf(w, e, "class", "%d", j->a.cls));
  TRY(st_add(w, "maps", DT_F32, s, j->map[0], e));
  return j->sides > 1 ? st_add(w, "maps.after", DT_F32, s, j->map[1], e) : ST_OK;
}

static Status write_maps(const Job *j, Error *e) {
  char path[PATH_LEN];
  StWriter *w = NULL;
  TRY(path_join(path, j->a.out, "maps.safetensors", e));
  TRY(st_writer_new(&w, e));
  const Status s = add_maps(j, w, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

static Status write_table(const Job *j, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  TRY(path_join(path, j->a.out, "table.tsv", e));
  static const char *const head[] = {"image", "subject", "lesion", "class", "rim_area"},
                           *const side[SIDES][3] = {{"p", "share", "hit"},
                                                    {"p_after", "share_after", "hit_after"}};
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  for (int k = 0; k < j->sides; k++)
    for (int i = 0; i < 3; i++) tsv_cell(&w, "%s", side[k][i]);
  tsv_row_end(&w);
  for (int64_t i = 0; i < j->d.n; i++) {
    const SliceLesion *l = &j->d.row[j->d.lesion[i]];
    tsv_cell(&w, "%lld", (long long)i);
    tsv_cell(&w, "%s", l->subject);
    tsv_cell(&w, "%s", l->name);
    tsv_cell(&w, "%s",
             l->label == 0   ? "non-rim"
             : l->label == 1 ? "rim"
             : l->label == 2 ? "ambiguous"
                             : "");
    tsv_cell(&w, isnan(j->area[i]) ? "" : "%.5f", j->area[i]);
    for (int k = 0; k < j->sides; k++) {
      tsv_cell(&w, "%.6f", j->prob[k][i]);
      tsv_cell(&w, isnan(j->share[k][i]) ? "" : "%.5f", j->share[k][i]);
      tsv_cell(&w, isnan(j->share[k][i]) ? "" : "%d", (int)j->hit[k][i]);
    }
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

/* The patch in grey, half covered by the colours of the map's positive part, its own maximum being
 * 1. */
static void draw_overlay(Canvas *c, int x0, int y0, int zoom, const real *img, const real *map,
                         int h, int w) {
  double top = 0;
  for (int i = 0; i < h * w; i++) top = PRLX_MAX(top, (double)map[i]);
  for (int y = 0; y < h * zoom; y++)
    for (int x = 0; x < w * zoom; x++) {
      if (x0 + x >= c->w || y0 + y >= c->h) continue;
      const int i = y / zoom * w + x / zoom;
      const double grey = PRLX_MIN(PRLX_MAX(((double)img[i] + 1) * 127.5, 0.0), 255.0);
      uint8_t rgb[3];
      cam_colour(top > 0 ? PRLX_MAX((double)map[i], 0.0) / top : 0, rgb);
      for (int k = 0; k < 3; k++)
        c->rgb[((int64_t)(y0 + y) * c->w + x0 + x) * 3 + k] = (uint8_t)(0.5 * grey + 0.5 * rgb[k]);
    }
}

/* The middle slice of up to `show` lesions of the class, or of any class when the set has none of
 * it. */
static int pick_slices(const Job *j, int64_t *slice) {
  int n = 0;
  for (int pass = 0; pass < 2 && !n; pass++)
    for (int64_t l = 0; l < j->d.lesions && n < j->a.show; l++) {
      if (!j->d.row[l].slices || (!pass && j->d.row[l].label != j->a.cls)) continue;
      int64_t seen = 0;
      for (int64_t i = 0; i < j->d.n; i++)
        if (j->d.lesion[i] == l && seen++ == j->d.row[l].slices / 2) {
          slice[n++] = i;
          break;
        }
    }
  return n;
}

static Status write_sheet(const Job *j, Error *e) {
  enum { GAP = 6, HEAD = 20, CAPTION = 24 };
  int64_t slice[64];
  const int n = pick_slices(j, slice), h = j->d.h, w = j->d.w,
            zoom = w >= 128  ? 1
                   : w >= 48 ? 2
                             : 4;
  const int cols = 1 + j->sides + j->has_rim, cw = w * zoom + GAP, ch = h * zoom + CAPTION,
            groups = n > 8   ? 3
                     : n > 3 ? 2
                             : 1,
            rows = (n + groups - 1) / groups;
  Canvas c;
  char path[PATH_LEN];
  TRY(path_join(path, j->a.out, "sheet.png", e));
  TRY(canvas_new(&c, groups * (cols * cw + 2 * GAP), HEAD + rows * ch + 36, 24, e));
  for (int k = 0; k < n; k++) {
    const int64_t i = slice[k], hw = (int64_t)h * w;
    const SliceLesion *l = &j->d.row[j->d.lesion[i]];
    int x = GAP + k / rows * (cols * cw + 2 * GAP), y = HEAD + k % rows * ch;
    const real *img = j->d.images + i * j->d.channels * hw;
    char text[128], p[2][40] = {"", ""};
    canvas_text(&c, x, y + h * zoom + 3, 1, 0xe0e0e0,
                (snprintf(text, sizeof text, "%.20s %.16s", l->subject, l->name), text));
    canvas_image(&c, x, y, zoom, false, img, w, h, -1, 1);
    if (k % rows == 0) canvas_text(&c, x, 6, 1, 0xb0b0b0, "slice");
    if (j->has_rim) {
      x += cw;
      canvas_image(&c, x, y, zoom, false, j->rim.images + i * hw, w, h, -1, 1);
      if (k % rows == 0) canvas_text(&c, x, 6, 1, 0xb0b0b0, "true rim");
    }
    for (int q = 0; q < j->sides; q++) {
      x += cw;
      draw_overlay(&c, x, y, zoom, img, j->map[q] + i * hw, h, w);
      if (k % rows == 0)
        canvas_text(&c, x, 6, 1, 0xb0b0b0,
                    q              ? "after"
                    : j->sides > 1 ? "before"
                    : j->a.kind    ? "Grad-CAM"
                                   : "CAM");
      if (isnan(j->share[q][i]))
        snprintf(p[q], sizeof p[q], "P %.2f", j->prob[q][i]);
      else
        snprintf(p[q], sizeof p[q], "P %.2f rim %.2f", j->prob[q][i], j->share[q][i]);
      canvas_text(&c, x, y + h * zoom + 3, 1, 0xe0e0e0, p[q]);
    }
  }
  for (int x = 0; x < 128; x++) {
    uint8_t rgb[3];
    cam_colour(x / 127.0, rgb);
    canvas_rect(&c, GAP + x, c.h - 26, 1, 8,
                (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2], true);
  }
  canvas_text(&c, GAP, c.h - 14, 1, 0x909090, "0 .. maximum of each map");
  const Status s = canvas_write(&c, path, e);
  canvas_free(&c);
  return s;
}

/* Over slices of lesions of the class on which there is a rim; a lesion counts once. */
static void print_numbers(const Job *j) {
  for (int k = 0; k < j->sides; k++) {
    double share = 0, area = 0, hits = 0;
    int64_t lesions = 0, slices = 0;
    for (int64_t l = 0; l < j->d.lesions; l++) {
      double sl = 0, al = 0, hl = 0;
      int64_t m = 0;
      for (int64_t i = 0; i < j->d.n && j->d.row[l].label == j->a.cls; i++)
        if (j->d.lesion[i] == l && !isnan(j->share[k][i])) {
          sl += j->share[k][i];
          al += j->area[i];
          hl += j->hit[k][i];
          m++;
        }
      if (!m) continue;
      share += sl / (double)m;
      area += al / (double)m;
      hits += hl / (double)m;
      slices += m;
      lesions++;
    }
    const char *name = k ? j->a.after : j->a.model;
    if (!j->has_rim)
      printf("%s: no rim channel in the data, no share\n", name);
    else if (!lesions)
      printf("%s: no lesion of class %d with a rim, no share\n", name, j->a.cls);
    else
      printf("%s: share of the map on the true rim (widened by %g pixels) %.4f; a flat map would "
             "have %.4f; maximum on the rim %.4f; %lld slices of %lld lesions\n",
             name, j->a.widen, share / (double)lesions, area / (double)lesions,
             hits / (double)lesions, (long long)slices, (long long)lesions);
  }
  printf("results in %s: maps.safetensors, table.tsv, sheet.png\n", j->a.out);
}

static Status cam_run(Job *j, const char *data, Error *e) {
  TRY(cam_maps_of(j, data, e));
  TRY(write_maps(j, e));
  TRY(write_table(j, e));
  TRY(write_sheet(j, e));
  print_numbers(j);
  return ST_OK;
}

int tool_cam(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("cam");
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("model", &a->model, NULL, "FILE|DIR",
              "classifier, or the folder of a run of `prlx classify` (mean over its classifiers; "
              "required)"),
      OPT_STR("after", &a->after, NULL, "FILE|DIR",
              "a second one, such as after augmentation: maps side by side"),
      OPT_GROUP("Map"),
      OPT_INT("class", &a->cls, "1", 0, 999, "class whose evidence is shown: 1 rim"),
      OPT_CHOICE(
          "kind", &a->kind, "cam", "cam|grad",
          "class activation map, or Grad-CAM (the same up to a factor, without negative values)"),
      OPT_REAL("widen", &a->widen, "2", 0, 1000,
               "pixels around the true rim that still count as on it"),
      OPT_GROUP("Output"),
      OPT_INT("show", &a->show, "12", 1, 64, "lesions on the sheet, by their middle slice"),
      OPT_STR("out", &a->out, "out/cam", "DIR", "folder of the results"),
  };
  OptSpec spec = {.cmd = "cam",
                  .summary = "Class activation maps: where the classifier sees a rim, and how much "
                             "of it lies on the rim.",
                  .details =
                      "  prlx cam test.safetensors --model run/none\n"
                      "  prlx cam test.safetensors --model run/none --after run/ld --out cam\n"
                      "The share needs a data set with a rim channel (prlx pack --channels "
                      "chi,rim,flair); the classifier need not see it.",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "DATA",
                  .pos_min = 1,
                  .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) {
    mem_free(j);
    return rc;
  }
  Error e = {0};
  if (!a->model)
    rc = tool_usage("cam", "no classifier; give --model FILE or DIR");
  else
    rc = cam_run(j, spec.args[0], &e) == ST_OK ? EXIT_DONE : tool_fail("cam", &e);
  opts_free(&spec);
  job_free(j);
  mem_free(j);
  return rc;
}
