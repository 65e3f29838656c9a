/* walk.c: `prlx walk`: ways through W, to see what it holds: from one lesion to another, styles of
 * one in the shape of another, towards the mean, along the principal directions. Karras et al. 2019
 * (style mixing, truncation), Harkonen et al. 2020 (principal directions of W). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/gan/walk_impl.h"

typedef struct Args {
  const char *network;
  const char *out;
  const char *from;
  const char *to;
  const char *point;
  const char *rows;
  const char *columns;
  const char *layers;
  const char *psi;
  int steps;
  int count;
  int samples;
  int label;
  int batch;
  int64_t seed;
  double reach;
} Args;

enum { WALK_MOST = 64 };

static real *walk_row(const Walk *k, int64_t i) {
  return k->ws + i * (int64_t)k->net.G.num_ws * k->net.G.cfg.w_dim;
}

/* to = mean + psi (from - mean), every layer. */
static void walk_truncate(const Walk *k, const real *from, double psi, real *to) {
  const int d = k->net.G.cfg.w_dim;
  for (int64_t i = 0; i < (int64_t)k->net.G.num_ws * d; i++) {
    const double m = (double)k->pca.mean[i % d];
    to[i] = (real)(m + psi * ((double)from[i] - m));
  }
}

/* ---- the four ways ---- */

static Status walk_interpolate(Walk *k, const Args *a, Error *e) {
  const int64_t per = (int64_t)k->net.G.num_ws * k->net.G.cfg.w_dim;
  TRY(walk_reserve(k, a->steps, 0, PRLX_MIN(a->steps, 12), e));
  real *last = walk_row(k, a->steps - 1);
  TRY(walk_point(k, a->from, k->ws, e));
  TRY(walk_point(k, a->to, last, e));
  for (int i = 0; i < a->steps; i++) {
    const double t = (double)i / (a->steps - 1);
    if (i > 0 && i < a->steps - 1)
      for (int64_t j = 0; j < per; j++)
        walk_row(k, i)[j] = (real)((1 - t) * (double)k->ws[j] + t * (double)last[j]);
    snprintf(k->name[i], sizeof k->name[i], "t%.3f", t);
    snprintf(k->cell[i].caption, sizeof k->cell[i].caption, "t = %.2f", t);
  }
  return ST_OK;
}

/* Row 0 and column 0 of the sheet show the parents (their corner stays empty); the rest has the
 * row's w but for the layers first..last, which come from the column's. */
static void walk_mix_cell(Walk *k, int64_t cell, const real *row, const real *col, int first,
                          int last) {
  const int d = k->net.G.cfg.w_dim;
  real *ws = walk_row(k, cell);
  memcpy(ws, row ? row : col, (size_t)k->net.G.num_ws * (size_t)d * sizeof *ws);
  if (row && col)
    memcpy(ws + (int64_t)first * d, col + (int64_t)first * d,
           (size_t)(last - first + 1) * (size_t)d * sizeof *ws);
}

static Status walk_mix(Walk *k, const Args *a, Error *e) {
  const int64_t per = (int64_t)k->net.G.num_ws * k->net.G.cfg.w_dim;
  int first, last, nr = 0, nc = 0;
  real *rows = NULL, *cols = NULL;
  TRY(walk_layers(&k->net.G, a->layers, &first, &last, e));
  Status s = walk_points(k, a->rows, &rows, &nr, e);
  if (s != ST_OK) goto done;
  s = walk_points(k, a->columns, &cols, &nc, e);
  if (s != ST_OK) goto done;
  s = walk_reserve(k, (int64_t)(nr + 1) * (nc + 1) - 1, 0, nc + 1, e);
  if (s != ST_OK) goto done;
  k->corner = true;
  int64_t at = 0;
  for (int r = 0; r <= nr; r++)
    for (int c = r ? 0 : 1; c <= nc; c++, at++) {
      walk_mix_cell(k, at, r ? rows + (r - 1) * per : NULL, c ? cols + (c - 1) * per : NULL, first,
                    last);
      snprintf(k->name[at], sizeof k->name[at], "row%02d_column%02d", r, c);
      if (r && c)
        snprintf(k->cell[at].caption, sizeof k->cell[at].caption, "%d + %d", r, c);
      else
        snprintf(k->cell[at].caption, sizeof k->cell[at].caption, "%s %d", r ? "row" : "column",
                 r ? r : c);
    }
done:
  mem_free(rows);
  mem_free(cols);
  return s;
}

static Status walk_psi(Walk *k, const Args *a, Error *e) {
  double psi[WALK_MOST];
  int n, points;
  real *p = NULL;
  const int64_t per = (int64_t)k->net.G.num_ws * k->net.G.cfg.w_dim;
  TRY(walk_numbers("psi", a->psi, -10, 10, psi, WALK_MOST, &n, e));
  TRY(walk_points(k, a->point, &p, &points, e));
  const Status s = walk_reserve(k, (int64_t)points * n, 0, n, e);
  for (int64_t i = 0; i < (int64_t)points * n && s == ST_OK; i++) {
    walk_truncate(k, p + i / n * per, psi[i % n], walk_row(k, i));
    snprintf(k->name[i], sizeof k->name[i], "point%02lld_psi%g", (long long)(i / n), psi[i % n]);
    snprintf(k->cell[i].caption, sizeof k->cell[i].caption, "psi %g", psi[i % n]);
  }
  mem_free(p);
  return s;
}

static Status walk_directions(Walk *k, const Args *a, Error *e) {
  const int d = k->net.G.cfg.w_dim, layers = k->net.G.num_ws, steps = a->steps;
  TRY(walk_reserve(k, (int64_t)k->pca.count * steps, k->pca.count, steps, e));
  real *start = mem_alloc((size_t)layers * (size_t)d * sizeof *start);
  if (!start) return err_set(e, ST_NOMEM, "walk: out of memory");
  const Status s = walk_point(k, a->point, start, e);
  for (int64_t i = 0; i < k->n && s == ST_OK; i++) {
    const int64_t c = i / steps;
    const double t = a->reach * (2 * (double)(i % steps) / (steps - 1) - 1);
    for (int64_t j = 0; j < (int64_t)layers * d; j++)
      walk_row(k, i)[j] =
          (real)((double)start[j] + t * k->pca.sd[c] * (double)k->pca.dir[c * d + j % d]);
    k->cell[i].section = (int)c;
    snprintf(k->section[c], sizeof k->section[c], "direction %d: %.1f %% of the variance of W",
             (int)c + 1, 100 * k->pca.share[c]);
    snprintf(k->name[i], sizeof k->name[i], "direction%02d_%+.2f", (int)c + 1, t);
    snprintf(k->cell[i].caption, sizeof k->cell[i].caption, "%+.1f sd", t);
  }
  mem_free(start);
  return s;
}

/* ---- results ---- */

/* Susceptibility per network unit of channel 0 in ppb; 0: the scale is unknown. */
static double walk_ppb(const Walk *k) {
  ImageMeaning m;
  meaning_read(&m, k->net.meta, k->net.nmeta, k->net.G.cfg.img_channels);
  return m.known && m.n && m.ch[0] == CH_CHI ? (m.window[0].hi - m.window[0].lo) / 2 : 0;
}

static Status walk_table(const Walk *k, const char *dir, Error *e) {
  const GenConfig *c = &k->net.G.cfg;
  const int64_t hw = (int64_t)c->img_resolution * c->img_resolution, per = hw * c->img_channels;
  const double ppb = walk_ppb(k);
  char path[PATH_LEN];
  TextFile t;
  TRY(path_join(path, dir, "table.tsv", e));
  TRY(text_begin(&t, path, e));
  fprintf(t.stream, "image\tw_distance\tcrest_%s\tcrest_radius_px\tchange_rms\n",
          ppb ? "ppb" : "units");
  for (int64_t i = 0; i < k->n; i++) {
    double radius, change = 0;
    const double crest =
        walk_crest(k->img + i * per, c->img_resolution, c->img_resolution, &radius);
    for (int64_t j = 0; j < hw && i; j++)
      change += pow((double)k->img[i * per + j] - (double)k->img[(i - 1) * per + j], 2);
    fprintf(t.stream, "%s\t%.4f\t%.5g\t%g\t", k->name[i], walk_distance(k, i),
            crest * (ppb ? ppb : 1), radius);
    if (i)
      fprintf(t.stream, "%.5f\n", sqrt(change / (double)hw));
    else
      fprintf(t.stream, "n/a\n");
  }
  return text_commit(&t, path, e);
}

static Status walk_sheet(Walk *k, const char *dir, const char *mode, Error *e) {
  const GenConfig *c = &k->net.G.cfg;
  const int64_t per = (int64_t)c->img_channels * c->img_resolution * c->img_resolution;
  const char *title[WALK_MOST];
  char path[PATH_LEN], head[160];
  TRY(path_join(path, dir, "walk.png", e));
  for (int i = 0; i < k->sections; i++) title[i] = k->section[i];
  for (int64_t i = 0; i < k->n; i++) k->cell[i].img = k->img + i * per;
  if (k->corner) {
    memmove(k->cell + 1, k->cell, (size_t)k->n * sizeof *k->cell);
    k->cell[0] = (SheetCell){0};
  }
  snprintf(head, sizeof head, "prlx walk %s: synthetic lesions, not patients", mode);
  Sheet s = {.head = head,
             .title = title,
             .sections = k->sections,
             .cell = k->cell,
             .n = (int)k->n + k->corner,
             .h = c->img_resolution,
             .w = c->img_resolution,
             .columns = k->columns};
  sheet_describe(&s, k->net.meta, k->net.nmeta, c->img_channels);
  return sheet_draw(&s, path, e);
}

static Status walk_add(StWriter *w, const Walk *k, const Args *a, Error *e) {
  const int d = k->net.G.cfg.w_dim;
  TRY(st_add_meta(w, "format", "prlx-latents-1", e));
  TRY(st_add_meta(w, "network", a->network, e));
  TRY(st_add_metaf(w, e, "w_std", "%.9g", k->pca.w_std));
  TRY(st_add(w, "ws", DT_F32, SHAPE3(k->n, k->net.G.num_ws, d), k->ws, e));
  TRY(st_add(w, "w_avg", DT_F32, SHAPE1(d), k->pca.mean, e));
  TRY(st_add(w, "names", DT_U8, SHAPE2(k->n, 64), k->name, e));
  TRY(st_add(w, "directions", DT_F32, SHAPE2(k->pca.count, d), k->pca.dir, e));
  return st_add(w, "directions.sd", DT_F64, SHAPE1(k->pca.count), k->pca.sd, e);
}

/* Every point of the walk, and the directions: to start a projection from, to go on with. */
static Status walk_latents(const Walk *k, const Args *a, const char *dir, Error *e) {
  char path[PATH_LEN];
  StWriter *w = NULL;
  TRY(path_join(path, dir, "w.safetensors", e));
  TRY(st_writer_new(&w, e));
  const Status s = walk_add(w, k, a, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

static Status walk_dataset(const Walk *k, const char *dir, Error *e) {
  const GenConfig *c = &k->net.G.cfg;
  char path[PATH_LEN];
  TRY(path_join(path, dir, "dataset.safetensors", e));
  Dataset d = {.n = k->n,
               .channels = c->img_channels,
               .h = c->img_resolution,
               .w = c->img_resolution,
               .images = k->img,
               .names = k->name};
  Status s = meta_of_images(k->net.meta, k->net.nmeta, &d.meta, &d.nmeta, e);
  if (s != ST_OK) goto done;
  s = dataset_save(&d, path, false, e);
done:
  d.images = NULL;
  d.names = NULL;
  dataset_free(&d);
  return s;
}

/* ---- the command ---- */

typedef struct WalkMode {
  const char *name;
  Status (*make)(Walk *k, const Args *a, Error *e);
} WalkMode;
static const WalkMode modes[] = {{"interpolate", walk_interpolate},
                                 {"mix", walk_mix},
                                 {"truncate", walk_psi},
                                 {"directions", walk_directions}};

static Status walk_class(Walk *k, const Args *a, Error *e) {
  const int cd = k->net.G.cfg.c_dim;
  if (cd && a->label < 0)
    return err_set(e, ST_INVALID, "%s: the network has %d classes; choose one with --class 0..%d",
                   a->network, cd, cd - 1);
  if (a->label >= 0 && a->label >= cd)
    return err_set(e, ST_INVALID, "%s: --class %d; the network has %s", a->network, a->label,
                   cd ? "fewer classes" : "no classes");
  if (!cd) return ST_OK;
  if (!(k->cond = mem_alloc((size_t)cd * sizeof *k->cond)))
    return err_set(e, ST_NOMEM, "walk: out of memory");
  k->cond[a->label] = 1;
  return ST_OK;
}

static Status walk_images(Walk *k, const Args *a, Error *e) {
  Backend *b;
  LatentRender *r;
  TRY(tool_backend(PREC_TF32, &b, e));
  TRY(latent_render_new(&k->net.G, (int)PRLX_MIN(a->batch, k->n), b, &r, e));
  const Status s = latent_render(r, k->n, k->ws, k->img, e);
  latent_render_free(r);
  return s;
}

/* The points and lists of this mode, before mean and directions are known: files that are not
 * there, or belong to another network, are found now. */
static Status walk_look(Walk *k, const Args *a, const WalkMode *mode, Error *e) {
  const char *one[2] = {NULL, NULL}, *list[2] = {NULL, NULL};
  double psi[WALK_MOST];
  int first, last, n;
  if (mode->make == walk_interpolate) {
    one[0] = a->from;
    one[1] = a->to;
  } else if (mode->make == walk_mix) {
    TRY(walk_layers(&k->net.G, a->layers, &first, &last, e));
    list[0] = a->rows;
    list[1] = a->columns;
  } else if (mode->make == walk_psi) {
    TRY(walk_numbers("psi", a->psi, -10, 10, psi, WALK_MOST, &n, e));
    list[0] = a->point;
  } else
    one[0] = a->point;
  real *ws = mem_alloc((size_t)k->net.G.num_ws * (size_t)k->net.G.cfg.w_dim * sizeof *ws);
  Status s = ws ? ST_OK : err_set(e, ST_NOMEM, "walk: out of memory");
  for (int i = 0; i < 2 && s == ST_OK && one[i]; i++) s = walk_point(k, one[i], ws, e);
  mem_free(ws);
  for (int i = 0; i < 2 && s == ST_OK && list[i]; i++) {
    s = walk_points(k, list[i], &ws, &n, e);
    if (s == ST_OK) mem_free(ws);
  }
  return s;
}

static Status walk_all(Walk *k, const Args *a, const WalkMode *mode, Error *e) {
  const int count = mode->make == walk_directions ? a->count : 1;
  TRY(network_load(&k->net, a->network, e));
  TRY(walk_class(k, a, e));
  TRY(walk_look(k, a, mode, e));
  TRY(outputs_folder(a->out, "walk.png table.tsv w.safetensors dataset.safetensors", e));
  TRY(latent_directions(&k->net.G, k->cond, a->samples, (uint32_t)a->seed, count, &k->pca, e));
  TRY(mode->make(k, a, e));
  TRY(walk_images(k, a, e));
  TRY(walk_dataset(k, a->out, e));
  TRY(walk_latents(k, a, a->out, e));
  TRY(walk_table(k, a->out, e));
  return walk_sheet(k, a->out, mode->name, e);
}

static const WalkMode *walk_mode(const char *name) {
  for (int i = 0; i < COUNT_OF(modes); i++)
    if (!strcmp(modes[i].name, name)) return &modes[i];
  return NULL;
}

int tool_walk(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("network", &a.network, NULL, "FILE",
              "trained network: .safetensors or the folder of a run (required)"),
      OPT_INT("class", &a.label, "-1", -1, 65535, "class of a conditional network"),
      OPT_GROUP("Points: seed:N, mean, or FILE.safetensors[:ROW] (w of prlx project or walk)"),
      OPT_STR("from", &a.from, "seed:0", "POINT", "interpolate: where the way begins"),
      OPT_STR("to", &a.to, "seed:1", "POINT", "interpolate: where it ends"),
      OPT_STR("rows", &a.rows, "seed:0-3", "POINTS", "mix: whose lesion it is"),
      OPT_STR("columns", &a.columns, "seed:4-8", "POINTS", "mix: whose layers are put into it"),
      OPT_STR("layers", &a.layers, "fine", "WHICH",
              "mix: coarse (4x4, 8x8), middle (16x16 to half the image), fine (its "
              "own\nresolution), all, or FIRST-LAST"),
      OPT_STR("point", &a.point, "seed:0", "POINT",
              "truncate (also several, separated by ','), directions: where it starts"),
      OPT_STR("psi", &a.psi, "1.5,1,0.7,0.5,0.25,0", "LIST", "truncate: shares of w - mean"),
      OPT_INT("count", &a.count, "6", 1, WALK_MOST, "directions: how many, largest first"),
      OPT_REAL("reach", &a.reach, "2", 0.001, 20,
               "directions: how far to either side, in standard deviations of W"),
      OPT_INT("steps", &a.steps, "7", 2, 1000, "interpolate, directions: images of a way"),
      OPT_GROUP("Statistics of W"),
      OPT_INT("samples", &a.samples, "10000", 2, 1000000, "w that mean and directions come from"),
      OPT_I64("seed", &a.seed, "123", 0, 4294967295., "their seed"),
      OPT_INT("batch", &a.batch, "8", 1, 4096, "images at a time; no result depends on it"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a.out, "out/walk", "DIR",
              "walk.png, table.tsv, w.safetensors (every point), dataset.safetensors"),
  };
  OptSpec spec = {
      .cmd = "walk",
      .summary = "Walks through the latent space W of a network and shows what lies there.",
      .details =
          "  prlx walk interpolate --network run --from seed:3 --to denoised/w.safetensors:0\n"
          "  prlx walk mix --network run --rows seed:0-3 --columns seed:4-8 --layers coarse\n"
          "  prlx walk truncate --network run --point seed:3,seed:5 --psi 1,0.7,0.5,0\n"
          "  prlx walk directions --network run --point mean --count 6 --reach 2\n\n"
          "table.tsv: w_distance is |w - mean| over the standard deviation of W (about 1: a "
          "random\n"
          "lesion); crest is the brightest circle around the middle minus the darkest within it\n"
          "(a rim has one, a disc 0); change_rms is the step from the image before.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "interpolate|mix|truncate|directions",
      .pos_min = 1,
      .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  const WalkMode *mode = walk_mode(spec.args[0]);
  if (!mode)
    rc =
        tool_usage("walk", "'%s'; expected interpolate, mix, truncate or directions", spec.args[0]);
  else if (!a.network)
    rc = tool_usage("walk", "no network; give --network FILE");
  else {
    Walk k = {0};
    Error e = {0};
    rc = walk_all(&k, &a, mode, &e) == ST_OK ? EXIT_DONE : tool_fail("walk", &e);
    if (rc == EXIT_DONE)
      printf("%lld images in %s: walk.png, table.tsv, w.safetensors, dataset.safetensors\n",
             (long long)k.n, a.out);
    walk_free(&k);
  }
  opts_free(&spec);
  return rc;
}
