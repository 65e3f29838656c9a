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
#include "io/formats/tsv.h"
#include "io/images/dataset.h"
#include "io/images/window.h"
#include "tools/cli/tool.h"
#include "tools/reader/reader.h"

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
  char *buf;
  size_t len;
  size_t cap;
  bool nomem;
} Study;

/* ---- choice of slices ---- */
static void shuffle(int64_t *v, int64_t n, Rng *r) {
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
static int64_t candidates(const Study *st, const Dataset *d, int64_t *list) {
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

static Status choose(Study *st, Rng *r, Error *e) {
  static const char *const what[] = {"rim", "non-rim", ""};
  for (int k = 0; k < 2; k++) {
    const Dataset *d = &st->d[k];
    int64_t *list = mem_alloc((size_t)d->n * sizeof *list);
    if (!list) return err_set(e, ST_NOMEM, "%s: out of memory", d->path);
    const int64_t m = candidates(st, d, list);
    Status s = ST_OK;
    if (m < st->n)
      s = err_set(e, ST_INVALID, "%s: %lld different %s%slesions; %d asked for; use --n %lld%s",
                  d->path, (long long)m, d->labels ? what[st->cls] : "",
                  d->labels && st->cls != CLASS_ALL ? " " : "", st->n, (long long)m,
                  d->labels && st->cls != CLASS_ALL ? " or --class all" : "");
    shuffle(list, m, r);
    for (int i = 0; i < st->n && s == ST_OK; i++)
      st->pick[k * st->n + i] = (Pick){.set = k, .index = list[i]};
    mem_free(list);
    if (s != ST_OK) return s;
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
static void quantise(Study *st) {
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
static void code(Study *st, Rng *r) {
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
static void put_n(Study *st, const char *s, size_t n) {
  if (st->nomem) return;
  if (st->len + n + 1 > st->cap) {
    const size_t cap = PRLX_MAX(st->cap * 2, st->len + n + 65536);
    char *grown = mem_grow(st->buf, st->cap, cap);
    if (!grown) {
      st->nomem = true;
      return;
    }
    st->buf = grown;
    st->cap = cap;
  }
  memcpy(st->buf + st->len, s, n);
  st->len += n;
}

static void put(Study *st, const char *s) { put_n(st, s, strlen(s)); }

static void put_escaped(Study *st, const char *s) {
  for (; *s; s++)
    if (*s == '<')
      put(st, "&lt;");
    else if (*s == '>')
      put(st, "&gt;");
    else if (*s == '&')
      put(st, "&amp;");
    else
      put_n(st, s, 1);
}

static void put_base64(Study *st, const uint16_t *v, int64_t n) {
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const int64_t bytes = 2 * n;
  for (int64_t i = 0; i < bytes; i += 3) {
    uint32_t b[3] = {0};
    /* little-endian */
    for (int k = 0; k < 3 && i + k < bytes; k++)
      b[k] = (uint32_t)(v[(i + k) / 2] >> ((i + k) % 2 * 8)) & 255;
    const uint32_t x = b[0] << 16 | b[1] << 8 | b[2];
    const char q[4] = {digit[x >> 18], digit[x >> 12 & 63],
                       i + 1 < bytes ? digit[x >> 6 & 63] : '=',
                       i + 2 < bytes ? digit[x & 63] : '='};
    put_n(st, q, 4);
  }
}

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
    put(st, first ? "{\"id\":\"" : ",\n{\"id\":\"");
    put(st, exp_id[x]);
    put(st, "\",");
    put(st, text[x]);
    put(st, ",\"items\":[");
    for (int i = 0; i < 2 * st->n; i++) {
      snprintf(item, sizeof item, "%s[\"%s\",%lld]", i ? "," : "",
               st->pick[st->order[x][i]].code[x], (long long)st->order[x][i]);
      put(st, item);
    }
    put(st, "]}");
    first = false;
  }
}

static Status write_page(Study *st, Error *e) {
  const int64_t per = (int64_t)st->d[0].h * st->d[0].w;
  char text[512];
  for (const char *p = reader_page, *q; *p; p = q + 7) {
    q = strstr(p, "@TITLE@");
    put_n(st, p, q ? (size_t)(q - p) : strlen(p));
    if (!q) break;
    put_escaped(st, st->title);
  }
  snprintf(text, sizeof text,
           "<script type='application/json' "
           "id='study'>\n{\"study\":\"%08x\",\"w\":%d,\"h\":%d,\"range\":[%.6g,%.6g],\"window\":[%."
           "6g,%.6g],\"unit\":\"%s\",\"step\":1,\n",
           st->id, st->d[0].w, st->d[0].h, st->range[0], st->range[1], st->shown[0], st->shown[1],
           st->unit);
  put(st, text);
  put(st, "\"experiments\":[");
  put_experiments(st);
  put(st, "],\n\"images\":[\n");
  for (int i = 0; i < 2 * st->n; i++) {
    put(st, i ? ",\n\"" : "\"");
    put_base64(st, st->px + i * per, per);
    put(st, "\"");
  }
  put(st, "]}\n</script>\n<script>\n");
  put(st, reader_script);
  put(st, "</script>\n</body>\n</html>\n");
  if (st->nomem) return err_set(e, ST_NOMEM, "%s: out of memory", st->out);
  return file_write_atomic(st->out, st->buf, st->len, e);
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

static Status build(Study *st, const char *key, Error *e) {
  const int total = 2 * st->n;
  const size_t per = (size_t)st->d[0].h * (size_t)st->d[0].w;
  Rng r = {(uint64_t)st->seed, 0x72656164, 0};
  st->pick = mem_alloc((size_t)total * sizeof *st->pick);
  st->px = mem_alloc((size_t)total * per * sizeof *st->px);
  for (int x = 0; x < EXPS; x++) st->order[x] = mem_alloc((size_t)total * sizeof **st->order);
  Pick *mixed = mem_alloc((size_t)total * sizeof *mixed);
  if (!st->pick || !st->px || !st->order[0] || !st->order[1] || !mixed) {
    mem_free(mixed);
    return err_set(e, ST_NOMEM, "%s: out of memory", st->out);
  }
  Status s = check_sets(st, e);
  if (s == ST_OK) s = choose(st, &r, e);
  if (s == ST_OK) s = check_disjoint(st, e);
  if (s == ST_OK) {
    for (int i = 0; i < total; i++) st->order[0][i] = st->order[1][i] = i;
    shuffle(st->order[0], total, &r);
    for (int i = 0; i < total; i++) mixed[i] = st->pick[st->order[0][i]], st->order[0][i] = i;
    memcpy(st->pick, mixed, (size_t)total * sizeof *mixed);
    shuffle(st->order[1], total, &r);
    code(st, &r);
    quantise(st);
    st->id = crc32_ieee(0, st->px, (size_t)total * per * sizeof *st->px);
    for (int i = 0; i < total; i++)
      st->id = crc32_ieee(st->id, st->pick[i].code, sizeof st->pick[i].code);
    s = write_key(st, key, e); /* first: a page without its key would be lost work */
  }
  if (s == ST_OK) s = write_page(st, e);
  mem_free(mixed);
  return s;
}

static int run(Study *st, OptSpec *spec) {
  char key[4200];
  Error e = {0};
  const size_t n = st->out ? strlen(st->out) : 0,
               cut = n > 5 && !strcmp(st->out + n - 5, ".html") ? 5 : 0;
  if (!st->out) return tool_usage("reader make", "no output; give -o STUDY.html");
  if (st->key)
    snprintf(key, sizeof key, "%s", st->key);
  else
    snprintf(key, sizeof key, "%.*s.key.tsv", (int)PRLX_MIN(n - cut, (size_t)4100), st->out);
  Status s = dataset_open(&st->d[0], spec->args[0], &e);
  if (s == ST_OK) s = dataset_open(&st->d[1], spec->args[1], &e);
  if (s == ST_OK) s = build(st, key, &e);
  if (s != ST_OK) return tool_fail("reader make", &e);
  printf("study %08x: %d real and %d synthetic slices, %s -> %s (%s)\n", st->id, st->n, st->n,
         st->experiment == 0 ? "two experiments" : exp_id[st->experiment - 1], st->out,
         human_bytes((double)st->len));
  printf("  window at the start %g to %g %s%s\n", st->shown[0], st->shown[1], st->unit,
         st->d[0].channels > 1 || st->d[1].channels > 1 ? "; first channel only" : "");
  printf("  the key stays with you: %s\n", key);
  return EXIT_DONE;
}

int reader_make(int argc, char **argv) {
  Study *st = mem_alloc(sizeof *st);
  if (!st) return EXIT_FAILED;
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
    rc = run(st, &spec);
    opts_free(&spec);
  }
  for (int k = 0; k < 2; k++) dataset_free(&st->d[k]);
  for (int x = 0; x < EXPS; x++) mem_free(st->order[x]);
  mem_free(st->pick);
  mem_free(st->px);
  mem_free(st->buf);
  mem_free(st);
  return rc;
}
