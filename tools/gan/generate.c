/* generate.c: `prlx generate`: synthetic lesions from a network (prlx_generate of prlx.h). Seed k
 * means z = numpy.random.RandomState(k).randn(z_dim), as in the reference, so the same seeds give
 * the same lesions there and here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/png.h"
#include "models/api/api.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/gan/image_volumes.h"
#include "tools/view/sheet.h"

typedef struct Args {
  const char *network;
  const char *out;
  IntList seeds;
  int count;
  int cutoff;
  int noise;
  int label;
  int batch;
  int columns;
  int64_t noise_seed;
  double psi;
  bool png;
  bool sheet;
  bool nifti;
} Args;

static bool show_progress(void *ctx, int64_t done, int64_t n) {
  progress_update(ctx, (double)done, NULL);
  return !tool_interrupted;
}

/* Fills d->images. *done = finished images (fewer after Ctrl-C). */
static Status sample_all(const prlx_network *net, const Args *a, const int64_t *seeds, Dataset *d,
                         int64_t *done, Error *e) {
  prlx_generate_options o;
  prlx_error pe;
  Backend *b;
  Progress bar;
  TRY(tool_backend(PREC_TF32, &b, e));
  uint32_t *seed32 = mem_alloc((size_t)d->n * sizeof *seed32);
  if (!seed32) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < d->n; i++) seed32[i] = (uint32_t)seeds[i];
  prlx_generate_defaults(&o, sizeof o);
  o.psi = a->psi;
  o.cutoff = a->cutoff;
  o.noise = (prlx_noise)a->noise;
  o.noise_seed = (uint64_t)a->noise_seed;
  o.label = a->label;
  o.batch = a->batch;
  o.device = api_device(b);
  o.progress = show_progress;
  o.context = &bar;
  progress_start(&bar, "generate", "lesion", (double)d->n);
  const prlx_status s = prlx_generate(net, d->n, seed32, &o, d->images, done, &pe);
  progress_end(&bar);
  mem_free(seed32);
  return s == PRLX_INTERRUPTED ? ST_OK : api_status(s, &pe, e);
}

/* ---- output ---- */

static Status new_dataset(Dataset *d, const Network *net, const Args *a, int64_t n,
                          const int64_t *seeds, Error *e) {
  const GenConfig *c = &net->G.cfg;
  char text[160];
  *d = (Dataset){
      .n = n, .channels = c->img_channels, .h = c->img_resolution, .w = c->img_resolution};
  d->images = mem_alloc((size_t)(n * d->channels) * (size_t)(d->h * d->w) * sizeof *d->images);
  d->names = mem_alloc((size_t)n * sizeof *d->names);
  d->labels = c->c_dim ? mem_alloc((size_t)n * sizeof *d->labels) : NULL;
  if (!d->images || !d->names || (c->c_dim && !d->labels))
    return err_set(e, ST_NOMEM, "out of memory for %lld images; generate fewer at a time",
                   (long long)n);
  for (int64_t i = 0; i < n; i++) {
    snprintf(d->names[i], sizeof d->names[i], "seed%04lld", (long long)seeds[i]);
    if (d->labels) d->labels[i] = a->label;
  }
  TRY(meta_of_images(net->meta, net->nmeta, &d->meta, &d->nmeta, e));
  /* a plain state dict says nothing about its images */
  if (!dataset_meta(d, "channels")) {
    TRY(dataset_set_meta(d, "channels",
                         d->channels == 1   ? "chi"
                         : d->channels == 3 ? "chi,rim,flair"
                                            : "unknown",
                         e));
    TRY(dataset_set_meta(d, "window.chi", "display", e));
  }
  TRY(dataset_set_meta(d, "synthetic.network", a->network, e));
  snprintf(text, sizeof text, "psi %g, cutoff %d, noise %s", a->psi, a->cutoff,
           a->noise == PRLX_NOISE_CONST  ? "const"
           : a->noise == PRLX_NOISE_NONE ? "none"
                                         : "random");
  return dataset_set_meta(d, "synthetic.settings", text, e);
}

static uint8_t png_level(double v) { /* (v*127.5 + 128), clamped, truncated: SEMANTICS 8 */
  double x = v * 127.5 + 128;
  return x <= 0 ? 0 : x >= 255 ? 255 : (uint8_t)x;
}

static Status write_pngs(const Dataset *d, const char *dir, Error *e) {
  const int64_t hw = (int64_t)d->h * d->w;
  char path[PATH_LEN];
  Status s = ST_OK;
  uint8_t *px = mem_alloc((size_t)hw);
  if (!px) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < d->n; i++) {
    s = path_format(path, e, "%s/%s.png", dir, d->names[i]);
    if (s != ST_OK) goto done;
    for (int64_t k = 0; k < hw; k++) px[k] = png_level(d->images[i * d->channels * hw + k]);
    s = png_write8(path, d->w, d->h, 1, px, e);
    if (s != ST_OK) goto done;
  }
done:
  mem_free(px);
  return s;
}

enum { SHEET_MAX = 400 };
/* Up to 400 lesions, all channels, with the window that black and white stand for. */
static Status write_sheet(const Dataset *d, const char *dir, int columns, Error *e) {
  char path[PATH_LEN], head[200];
  TRY(path_join(path, dir, "sheet.png", e));
  const int n = (int)PRLX_MIN(d->n, SHEET_MAX);
  const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w;
  SheetCell *cell = mem_alloc((size_t)n * sizeof *cell);
  if (!cell) return err_set(e, ST_NOMEM, "out of memory for the sheet");
  for (int i = 0; i < n; i++) {
    cell[i].img = d->images + (size_t)i * per;
    snprintf(cell[i].caption, sizeof cell[i].caption, "%.40s", d->names[i]);
  }
  snprintf(head, sizeof head, "%lld synthetic lesions%s", (long long)d->n,
           d->n > n ? ", the first ones" : "");
  Sheet s = {.head = head, .cell = cell, .n = n, .h = d->h, .w = d->w, .columns = columns};
  sheet_describe(&s, d->meta, d->nmeta, d->channels);
  const Status st = sheet_draw(&s, path, e);
  mem_free(cell);
  return st;
}

/* A network of images without susceptibility scale (PNG) has nothing to put into ppm. */
static Status write_nifti(Dataset *d, const char *dir, Error *e) {
  int files;
  const Status s = images_to_nifti(d, d->images, d->n, dir, "synthetic", &files, e);
  if (s == ST_INVALID) {
    if (!tool_quiet) fprintf(stderr, "prlx generate: note: no NIfTI: %s\n", e->msg);
    *e = (Error){0};
    return ST_OK;
  }
  TRY(s);
  if (!tool_quiet) printf("%d NIfTI volumes (ppm) in %s/nifti\n", files, dir);
  return ST_OK;
}

static Status generate_write(const Args *a, Dataset *d, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, a->out, "dataset.safetensors", e));
  TRY(dataset_save(d, path, false, e));
  if (a->sheet) TRY(write_sheet(d, a->out, a->columns, e));
  if (a->png) TRY(write_pngs(d, a->out, e));
  if (a->nifti) TRY(write_nifti(d, a->out, e));
  return ST_OK;
}

static Status generate_all(const Args *a, const int64_t *seeds, int64_t n, int64_t *done,
                           Error *e) {
  prlx_network *net;
  prlx_error pe;
  Dataset d = {0};
  TRY(api_status(prlx_network_load(a->network, &net, &pe), &pe, e));
  Status s = api_label(&net->net, a->label, e);
  if (s != ST_OK) goto done;
  s = outputs_folder(a->out, "dataset.safetensors sheet.png lesions.tsv", e);
  if (s != ST_OK) goto done;
  s = new_dataset(&d, &net->net, a, n, seeds, e);
  if (s != ST_OK) goto done;
  s = sample_all(net, a, seeds, &d, done, e);
  if (s != ST_OK || !*done) goto done;
  d.n = *done;
  s = generate_write(a, &d, e);
done:
  dataset_free(&d);
  prlx_network_free(net);
  return s;
}

int tool_generate(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("network", &a.network, NULL, "FILE",
              "trained network: .safetensors or the folder of a run (required)"),
      OPT_RANGE("seeds", &a.seeds, "0-63", 0, 4294967295., "seeds of z, such as 0-63,70"),
      OPT_INT("count", &a.count, "0", 0, 100000000, "instead of --seeds: seeds 0 .. count-1"),
      OPT_INT("class", &a.label, "-1", -1, 65535, "class of a conditional network"),
      OPT_GROUP("Sampling"),
      OPT_REAL("trunc", &a.psi, "1", -10, 10,
               "truncation psi: w moves towards the mean of W; 1 = none"),
      OPT_INT("trunc-cutoff", &a.cutoff, "-1", -1, MAX_WS,
              "truncate the first layers only; -1 = all"),
      OPT_CHOICE("noise", &a.noise, "const", "const|random|none",
                 "noise inputs: the network's own maps, fresh ones, none"),
      OPT_I64("noise-seed", &a.noise_seed, "0", 0, 9e15,
              "for --noise random; every lesion has its own stream"),
      OPT_INT("batch", &a.batch, "8", 1, 4096,
              "lesions at a time; the results do not depend on it"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a.out, "out/generate", "DIR",
              "folder of the results: dataset.safetensors (float), sheet.png"),
      OPT_FLAG(
          "nifti", &a.nifti, "yes",
          "nifti/sub-NAME/anat/... in ppm for every lesion and channel (a BIDS dataset), where\n"
          "the scale is known"),
      OPT_FLAG("png", &a.png, "no", "also one PNG per lesion (first channel)"),
      OPT_FLAG("sheet", &a.sheet, "yes", "sheet.png with up to 400 lesions"),
      OPT_INT("columns", &a.columns, "0", 0, 400, "columns of the sheet; 0 = square"),
  };
  OptSpec spec = {
      .cmd = "generate",
      .summary = "Makes synthetic lesions with a trained network.",
      .details =
          "  prlx generate --network run/network.safetensors --seeds 0-99 --out out/synthetic\n"
          "  prlx generate --network run/network.safetensors --count 5000 --noise random "
          "--no-sheet",
      .opt = t,
      .n = COUNT_OF(t)};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  int64_t n = a.count ? a.count : a.seeds.n, done = 0,
          *seeds = mem_alloc((size_t)n * sizeof *seeds);
  Error e = {0};
  if (!a.network)
    rc = tool_usage("generate", "no network; give --network FILE");
  else if (a.count && opts_given(&spec, "seeds"))
    rc = tool_usage("generate", "--count and --seeds exclude each other");
  else if (!seeds)
    err_set(&e, ST_NOMEM, "out of memory for %lld seeds", (long long)n),
        rc = tool_fail("generate", &e);
  else {
    for (int64_t i = 0; i < n; i++) seeds[i] = a.count ? i : a.seeds.v[i];
    rc = generate_all(&a, seeds, n, &done, &e) == ST_OK ? EXIT_DONE : tool_fail("generate", &e);
    if (rc == EXIT_DONE && done)
      printf("%lld lesions in %s: dataset.safetensors (float)%s%s\n", (long long)done, a.out,
             a.sheet ? ", sheet.png" : "", a.png ? ", one PNG each" : "");
    if (rc == EXIT_DONE && done < n) {
      fprintf(stderr, "prlx generate: stopped after %lld of %lld lesions\n", (long long)done,
              (long long)n);
      rc = EXIT_FAILED;
    }
  }
  mem_free(seeds);
  opts_free(&spec);
  return rc;
}
