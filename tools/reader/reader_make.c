/* reader_make.c: `prlx reader make`: two data sets -> a page of blinded slices and, apart from it,
 * the key.
 *
 *   candidates (class, one slice per lesion) -> n of each set at random -> 16-bit values in one
 *   common range -> one order and one set of codes per experiment -> study.html, study.key.tsv
 *
 * The page holds no file name, no set and no label. Images lie in it in the random order of the
 * first experiment. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "io/images/dataset.h"
#include "io/images/window.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/reader/reader.h"
#include "tools/view/assets.h"
#include "tools/view/report.h"

enum { EXP_SOURCE, EXP_RIM, EXPS };
enum { CLASS_RIM, CLASS_NONRIM, CLASS_ALL };
static const char *const exp_id[EXPS] = {"source", "rim"};
typedef struct Pick {
  int set;
  int64_t index;
  char code[EXPS][8];
} Pick;
typedef struct Study {
  const char *out;
  const char *key;
  const char *title;
  int n;
  int experiment;
  int cls;
  int64_t seed;
  Dataset d[2]; /* 0 real, 1 synthetic */
  Window window[2];
  Pick *pick;           /* [2n], order of the page's images */
  int64_t *order[EXPS]; /* [2n] order of an experiment: index into pick */
  uint16_t *px;         /* [2n,H,W] */
  /* display units of values 0 and 65535; window at the start */
  double range[2];
  double shown[2];
  const char *unit;
  uint32_t id;
  Report page;
} Study;

/* ---- choice of slices ---- */
static void shuffle_numbers(int64_t *v, int64_t n, Rng *r) {
  for (int64_t i = n - 1; i > 0; i--) {
    const int64_t j = rng_below(r, i + 1), t = v[i];
    v[i] = v[j];
    v[j] = t;
  }
}

static bool in_class(const Study *st, const Dataset *d, int64_t i) {
  if (!d->labels || st->cls == CLASS_ALL) return true;
  return d->labels[i] == (st->cls == CLASS_RIM ? 1 : 0);
}

/* One slice per lesion where lesions are known: the middle one of those that qualify, so that no
 * lesion counts twice. Returns the number. */
static int64_t find_candidates(const Study *st, const Dataset *d, int64_t *list) {
  int64_t n = 0;
  if (!d->src) {
    for (int64_t i = 0; i < d->n; i++)
      if (in_class(st, d, i)) list[n++] = i;
    return n;
  }
  for (int64_t l = 0; l < d->src->n; l++) {
    const int64_t first = n;
    int64_t m = 0;
    for (int64_t i = 0; i < d->n; i++)
      if (d->src->lesion[i] == l && in_class(st, d, i)) list[first + m++] = i;
    if (m) list[n++] = list[first + m / 2];
  }
  return n;
}

static Status check_enough(const Study *st, const Dataset *d, int64_t m, Error *e) {
  static const char *const what[] = {"rim", "non-rim", ""};
  const bool one_class = d->labels && st->cls != CLASS_ALL;
  if (m >= st->n) return ST_OK;
  return err_set(e, ST_INVALID, "%s: %lld different %s%slesions; %d asked for; use --n %lld%s",
                 d->path, (long long)m, d->labels ? what[st->cls] : "", one_class ? " " : "", st->n,
                 (long long)m, one_class ? " or --class all" : "");
}

static Status choose_slices(Study *st, Rng *r, Error *e) {
  for (int k = 0; k < 2; k++) {
    const Dataset *d = &st->d[k];
    int64_t *list = mem_alloc((size_t)d->n * sizeof *list);
    if (!list) return err_set(e, ST_NOMEM, "%s: out of memory", d->path);
    const int64_t m = find_candidates(st, d, list);
    const Status s = check_enough(st, d, m, e);
    shuffle_numbers(list, m, r);
    for (int i = 0; i < st->n && s == ST_OK; i++)
      st->pick[k * st->n + i] = (Pick){.set = k, .index = list[i]};
    mem_free(list);
    TRY(s);
  }
  return ST_OK;
}

static const float *image_of(const Study *st, const Pick *p) {
  const Dataset *d = &st->d[p->set];
  return d->images + p->index * d->channels * d->h * d->w;
}

/* A picture that is in both sets would be real and synthetic at once. */
static Status check_disjoint(const Study *st, Error *e) {
  const size_t bytes = (size_t)st->d[0].h * (size_t)st->d[0].w * sizeof(float);
  for (int i = 0; i < st->n; i++)
    for (int j = st->n; j < 2 * st->n; j++)
      if (!memcmp(image_of(st, &st->pick[i]), image_of(st, &st->pick[j]), bytes))
        return err_set(e, ST_INVALID,
                       "%s: image %lld is the same as image %lld of %s; one set must be real, the "
                       "other synthetic",
                       st->d[0].path, (long long)st->pick[i].index, (long long)st->pick[j].index,
                       st->d[1].path);
  return ST_OK;
}

/* ---- values ---- */
static double display_value(const Study *st, int set, double x) {
  const Window *w = &st->window[set];
  return w->mode == WINDOW_FIXED ? window_unmap(w->lo, w->hi, x) : (x + 1) * 127.5;
}

static Status check_sets(Study *st, Error *e) {
  const Dataset *a = &st->d[0], *b = &st->d[1];
  if (a->h != b->h || a->w != b->w)
    return err_set(e, ST_INVALID,
                   "%s: %d x %d pixels, but %s has %d x %d; the size would give the answer away",
                   a->path, a->w, a->h, b->path, b->w, b->h);
  for (int k = 0; k < 2; k++) {
    const char *text = dataset_meta(&st->d[k], "window.chi");
    if (!text || !window_parse(text, &st->window[k]))
      st->window[k] = (Window){WINDOW_DISPLAY, 0, 0};
  }
  if ((st->window[0].mode == WINDOW_FIXED) != (st->window[1].mode == WINDOW_FIXED))
    return err_set(e, ST_INVALID,
                   "%s has a window in ppb, %s has not; the brightness would give the answer away; "
                   "pack or generate both alike",
                   st->d[st->window[0].mode != WINDOW_FIXED].path,
                   st->d[st->window[0].mode == WINDOW_FIXED].path);
  const bool ppb = st->window[0].mode == WINDOW_FIXED;
  st->unit = ppb ? "ppb" : "grey level";
  st->shown[0] = ppb ? PRLX_MIN(st->window[0].lo, st->window[1].lo) : 0;
  st->shown[1] = ppb ? PRLX_MAX(st->window[0].hi, st->window[1].hi) : 255;
  return ST_OK;
}

/* One range for all slices, beyond the window by as much as the values go, but at most by its
 * width: a wild pixel must not coarsen the rest. */
static void quantise_slices(Study *st) {
  const int64_t per = (int64_t)st->d[0].h * st->d[0].w;
  const double span = st->shown[1] - st->shown[0];
  double lo = st->shown[0], hi = st->shown[1];
  for (int i = 0; i < 2 * st->n; i++)
    for (int64_t q = 0; q < per; q++) {
      const double v = display_value(st, st->pick[i].set, (double)image_of(st, &st->pick[i])[q]);
      lo = PRLX_MIN(lo, v);
      hi = PRLX_MAX(hi, v);
    }
  st->range[0] = PRLX_MAX(lo, st->shown[0] - span);
  st->range[1] = PRLX_MIN(hi, st->shown[1] + span);
  for (int i = 0; i < 2 * st->n; i++)
    for (int64_t q = 0; q < per; q++) {
      const double v = display_value(st, st->pick[i].set, (double)image_of(st, &st->pick[i])[q]);
      const double x = (v - st->range[0]) / (st->range[1] - st->range[0]) * 65535;
      st->px[i * per + q] = (uint16_t)lrint(PRLX_MIN(65535.0, PRLX_MAX(0.0, x)));
    }
}

/* Codes of six letters and digits, none twice, none easily misread. */
static void draw_codes(Study *st, Rng *r) {
  static const char alphabet[] = "23456789abcdefghjkmnpqrstuvwxyz";
  const int total = 2 * st->n;
  for (int k = 0; k < EXPS * total; k++) {
    char *c = st->pick[k % total].code[k / total];
    bool again = true;
    while (again) {
      for (int i = 0; i < 6; i++) c[i] = alphabet[rng_below(r, (int64_t)sizeof alphabet - 1)];
      again = false;
      for (int m = 0; m < k && !again; m++) again = !strcmp(c, st->pick[m % total].code[m / total]);
    }
  }
}

/* ---- the page ---- */
static bool has_exp(const Study *st, int x) {
  return st->experiment == 0 || st->experiment == x + 1;
}

static void put_experiments(Study *st) {
  static const char *const text[EXPS] = {
      "\"name\":\"Real or synthetic\",\"question\":\"Is this slice real or "
      "synthetic?\",\"answers\":[[\"real\",\"Real\"],[\"synthetic\",\"Synthetic\"]]",
      "\"name\":\"Rim or non-rim\",\"question\":\"Is this a rim "
      "lesion?\",\"answers\":[[\"rim\",\"Rim\"],[\"non-rim\",\"Non-rim\"]]"};
  bool first = true;
  for (int x = 0; x < EXPS; x++) {
    char item[64];
    if (!has_exp(st, x)) continue;
    report_put(&st->page, first ? "{\"id\":\"" : ",\n{\"id\":\"");
    report_put(&st->page, exp_id[x]);
    report_put(&st->page, "\",");
    report_put(&st->page, text[x]);
    report_put(&st->page, ",\"items\":[");
    for (int i = 0; i < 2 * st->n; i++) {
      snprintf(item, sizeof item, "%s[\"%s\",%lld]", i ? "," : "",
               st->pick[st->order[x][i]].code[x], (long long)st->order[x][i]);
      report_put(&st->page, item);
    }
    report_put(&st->page, "]}");
    first = false;
  }
}

/* 16-bit values of one slice, little-endian, in base64; room: 2 bytes per value. */
static void put_slice(Study *st, const uint16_t *v, int64_t n, uint8_t *room) {
  for (int64_t i = 0; i < n; i++) {
    room[2 * i] = (uint8_t)(v[i] & 255);
    room[2 * i + 1] = (uint8_t)(v[i] >> 8);
  }
  report_put_base64(&st->page, room, (size_t)(2 * n));
}

/* What the script reads: images, window, experiments; no file name, no set, no label. */
static void put_study(Study *st, uint8_t *room) {
  const int64_t per = (int64_t)st->d[0].h * st->d[0].w;
  Report *r = &st->page;
  report_putf(r,
              "<script type='application/json' "
              "id='study'>\n{\"study\":\"%08x\",\"w\":%d,\"h\":%d,\"range\":[%.6g,%.6g],"
              "\"window\":[%.6g,%.6g],\"unit\":\"%s\",\"step\":1,\n",
              st->id, st->d[0].w, st->d[0].h, st->range[0], st->range[1], st->shown[0],
              st->shown[1], st->unit);
  report_put(r, "\"experiments\":[");
  put_experiments(st);
  report_put(r, "],\n\"images\":[\n");
  for (int i = 0; i < 2 * st->n; i++) {
    report_put(r, i ? ",\n\"" : "\"");
    put_slice(st, st->px + i * per, per, room);
    report_put(r, "\"");
  }
  report_put(r, "]}\n</script>\n");
}

static Status write_page(Study *st, Error *e) {
  Report *r = &st->page;
  char name[32];
  uint8_t *room = mem_alloc(2 * (size_t)st->d[0].h * (size_t)st->d[0].w);
  if (!room) return err_set(e, ST_NOMEM, "%s: out of memory", st->out);
  for (const char *at = asset_reader_html; (at = report_put_until(r, at, name));) {
    if (!strcmp(name, "TITLE")) report_put_escaped(r, st->title);
    if (!strcmp(name, "STYLE")) report_put(r, asset_reader_css);
    if (!strcmp(name, "STUDY")) put_study(st, room);
    if (!strcmp(name, "SCRIPT")) report_put(r, asset_reader_js);
  }
  mem_free(room);
  if (r->status) return err_set(e, ST_NOMEM, "%s: out of memory", st->out);
  return file_write_atomic(st->out, r->s, r->len, e);
}

static const char *label_name(const Dataset *d, int64_t i) {
  static const char *const name[] = {"non-rim", "rim", "ambiguous"};
  return d->labels && d->labels[i] >= 0 && d->labels[i] <= 2 ? name[d->labels[i]] : "n/a";
}

static Status write_key(const Study *st, const char *path, Error *e) {
  static const char *const head[] = {"study", "experiment", "item", "source",
                                     "label", "image",      "name", "file"};
  TsvWriter w = {0};
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  for (int x = 0; x < EXPS; x++)
    for (int i = 0; i < 2 * st->n && has_exp(st, x); i++) {
      const Pick *p = &st->pick[st->order[x][i]];
      const Dataset *d = &st->d[p->set];
      tsv_cell(&w, "%08x", st->id);
      tsv_cell(&w, "%s", exp_id[x]);
      tsv_cell(&w, "%s", p->code[x]);
      tsv_cell(&w, "%s", p->set ? "synthetic" : "real");
      tsv_cell(&w, "%s", label_name(d, p->index));
      tsv_cell(&w, "%lld", (long long)p->index);
      tsv_cell(&w, "%s", d->names ? d->names[p->index] : "");
      tsv_cell(&w, "%s", d->path);
      tsv_row_end(&w);
    }
  return tsv_commit(&w, path, e);
}

/* Chooses, shuffles, codes; mixed: room for the picks. */
static Status build_study(Study *st, Pick *mixed, Error *e) {
  const int total = 2 * st->n;
  const size_t per = (size_t)st->d[0].h * (size_t)st->d[0].w;
  Rng r = {(uint64_t)st->seed, 0x72656164, 0};
  TRY(check_sets(st, e));
  TRY(choose_slices(st, &r, e));
  TRY(check_disjoint(st, e));
  for (int i = 0; i < total; i++) st->order[0][i] = st->order[1][i] = i;
  shuffle_numbers(st->order[0], total, &r);
  for (int i = 0; i < total; i++) {
    mixed[i] = st->pick[st->order[0][i]];
    st->order[0][i] = i;
  }
  memcpy(st->pick, mixed, (size_t)total * sizeof *mixed);
  shuffle_numbers(st->order[1], total, &r);
  draw_codes(st, &r);
  quantise_slices(st);
  st->id = crc32_numbers(0, st->px, (size_t)total * per, sizeof *st->px);
  for (int i = 0; i < total; i++)
    st->id = crc32_ieee(st->id, st->pick[i].code, sizeof st->pick[i].code);
  return ST_OK;
}

static Status write_study(Study *st, const char *key, Error *e) {
  const int total = 2 * st->n;
  const size_t per = (size_t)st->d[0].h * (size_t)st->d[0].w;
  st->pick = mem_alloc((size_t)total * sizeof *st->pick);
  st->px = mem_alloc((size_t)total * per * sizeof *st->px);
  for (int x = 0; x < EXPS; x++) st->order[x] = mem_alloc((size_t)total * sizeof **st->order);
  Pick *mixed = mem_alloc((size_t)total * sizeof *mixed);
  const Status s = st->pick && st->px && st->order[0] && st->order[1] && mixed
                       ? build_study(st, mixed, e)
                       : err_set(e, ST_NOMEM, "%s: out of memory", st->out);
  mem_free(mixed);
  TRY(s);
  TRY(write_key(st, key, e)); /* first: a page without its key would be lost work */
  return write_page(st, e);
}

static Status make_study(Study *st, const OptSpec *spec, char key[PATH_LEN], Error *e) {
  const size_t n = strlen(st->out), cut = n > 5 && str_ends_with(st->out, ".html") ? 5 : 0;
  TRY(st->key ? path_format(key, e, "%s", st->key)
              : path_format(key, e, "%.*s.key.tsv", (int)(n - cut), st->out));
  TRY(outputs_file(st->out, "prlx", e));
  TRY(st->key ? outputs_file(st->key, "study\texperiment\titem", e)
              : outputs_beside(key, st->out, e));
  TRY(dataset_open(&st->d[0], spec->args[0], e));
  TRY(dataset_open(&st->d[1], spec->args[1], e));
  return write_study(st, key, e);
}

static int run_make(Study *st, const OptSpec *spec) {
  char key[PATH_LEN];
  Error e = {0};
  if (!st->out) return tool_usage("reader make", "no output; give -o STUDY.html");
  if (make_study(st, spec, key, &e) != ST_OK) return tool_fail("reader make", &e);
  printf("study %08x: %d real and %d synthetic slices, %s -> %s (%s)\n", st->id, st->n, st->n,
         st->experiment == 0 ? "two experiments" : exp_id[st->experiment - 1], st->out,
         human_bytes((double)st->page.len));
  printf("  window at the start %g to %g %s%s\n", st->shown[0], st->shown[1], st->unit,
         st->d[0].channels > 1 || st->d[1].channels > 1 ? "; first channel only" : "");
  printf("  the key stays with you: %s\n", key);
  return EXIT_DONE;
}

int reader_make(int argc, char **argv) {
  Study *st = mem_alloc(sizeof *st);
  if (!st) return tool_no_memory("reader");
  Opt t[] = {
      OPT_STR("out", &st->out, NULL, "FILE", "the page, e.g. study.html (also -o)"),
      OPT_STR(
          "key", &st->key, NULL, "FILE",
          "which item is what; default: beside the page, study.key.tsv. Do not give it to readers"),
      OPT_STR("title", &st->title, "Reader study", "TEXT", "heading of the page; readers see it"),
      OPT_INT("n", &st->n, "55", 1, 2000, "slices of each set (the paper: 55 + 55)"),
      OPT_CHOICE(
          "experiment", &st->experiment, "both", "both|source|rim",
          "real or synthetic, rim or non-rim, or both (asked separately, in different order)"),
      OPT_CHOICE("class", &st->cls, "rim", "rim|nonrim|all",
                 "which lesions, where a set has labels; sets without labels are taken whole"),
      OPT_I64("seed", &st->seed, "0", 0, 9e15,
              "of choice, order and codes; whoever knows it and the sets can rebuild the key"),
  };
  OptSpec spec = {
      .cmd = "reader make",
      .summary =
          "Makes a blinded reader study: one HTML page that works from disk, without network.",
      .details = "  prlx reader make test.safetensors out/dataset.safetensors -o study.html\n\n"
                 "Readers open the page in a browser, answer slice by slice with the keys 1 and 2, "
                 "and export a CSV file for `prlx reader score`.\n"
                 "One slice per lesion (the middle one) where the lesion is known. Values are kept "
                 "in 16 bits, so that the window of the page is real.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "REAL.safetensors SYNTHETIC.safetensors",
      .pos_min = 2,
      .pos_max = 2};
  int rc = opts_parse(&spec, argc, argv);
  if (rc < 0) {
    rc = run_make(st, &spec);
    opts_free(&spec);
  }
  for (int k = 0; k < 2; k++) dataset_free(&st->d[k]);
  for (int x = 0; x < EXPS; x++) mem_free(st->order[x]);
  mem_free(st->pick);
  mem_free(st->px);
  report_free(&st->page);
  mem_free(st);
  return rc;
}
