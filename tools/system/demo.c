/* demo.c: `prlx demo` (`make demo`): denoise the bundled ambiguous lesion, generate a sheet, train
 * for a few ticks, and put it all on one page. It only calls the other commands, with the options
 * it prints. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/isa.h"
#include "core/threads.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/netfile.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/view/canvas.h"
#include "tools/view/report.h"

typedef struct Demo {
  const char *out;
  const char *given_network;
  int steps;
  int threads;
  double kimg;
  /* files used; `about`: what the network was trained on */
  char network[PATH_LEN];
  char lesion[PATH_LEN];
  char images[PATH_LEN];
  char about[600];
  /* none is bundled: the one trained here is used */
  bool own_network;
  double seconds[4];
  double noise_before;
  double noise_after;
  double rim_before; /* ring minus core, grey levels */
  double rim_after;
  double rim_fast;
  double lpips;
  double fast_lpips;
  double mse;
  double max_change;
} Demo;

/* A file of the demonstration; tool_demo has made sure that the longest name fits. */
static void demo_path(const Demo *d, char out[PATH_LEN], const char *name) {
  path_join(out, d->out, name, NULL);
}

static double demo_seconds(const Demo *d) {
  double sum = 0;
  for (int i = 0; i < COUNT_OF(d->seconds); i++) sum += d->seconds[i];
  return sum;
}

/* Prints and runs one command; arguments end with NULL. */
static int run_command(const Demo *d, double *seconds, int (*tool)(int, char **), ...) {
  char threads[16], *argv[32];
  int argc = 0;
  va_list ap;
  va_start(ap, tool);
  while (argc < 28 && (argv[argc] = va_arg(ap, char *))) argc++;
  va_end(ap);
  snprintf(threads, sizeof threads, "%d", d->threads);
  if (!tool_quiet) {
    printf("\n$ prlx");
    for (int i = 0; i < argc; i++) printf(" %s", argv[i]);
    printf("\n");
  }
  fflush(stdout);
  argv[argc++] = (char *)"--threads";
  argv[argc++] = threads;
  if (tool_quiet) argv[argc++] = (char *)"--quiet";
  argv[argc] = NULL;
  double t0 = time_now();
  int rc = tool(argc, argv);
  *seconds = time_now() - t0;
  return rc;
}

/* ---- pictures of the projection ---- */
static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Fine grain of an image in grey levels of 255: 1.4826 median |4 I - four neighbours| / sqrt(20),
 * robust against edges (Immerkaer 1996 in spirit). */
static double noise_level(const float *img, int n) {
  float *v = mem_alloc((size_t)(n * n) * sizeof *v);
  int k = 0;
  for (int y = 1; v && y < n - 1; y++)
    for (int x = 1; x < n - 1; x++) {
      const float *p = img + y * n + x;
      v[k++] = fabsf(4 * p[0] - p[-1] - p[1] - p[-n] - p[n]);
    }
  if (!v) return NAN;
  qsort(v, (size_t)k, sizeof *v, by_value);
  double m = 1.4826 * (double)v[k / 2] / sqrt(20) * 127.5;
  mem_free(v);
  return m;
}

/* Mean of the pixels between two distances from (cx, cy). */
static double ring_mean(const float *img, int n, int cx, int cy, double r0, double r1) {
  double sum = 0;
  int count = 0;
  for (int y = 0; y < n; y++)
    for (int x = 0; x < n; x++) {
      const double r = hypot(x - cx, y - cy);
      if (r < r0 || r >= r1) continue;
      sum += (double)img[y * n + x];
      count++;
    }
  return count ? sum / count : -INFINITY;
}

/* The brightest ring around the lesion minus its core, in grey levels of 255: above 0 where a dark
 * core lies in a bright rim. The lesion: the brightest disc (radius n/16) near the centre. */
static double rim_above_core(const float *img, int n) {
  const int reach = n / 8;
  int cx = n / 2, cy = n / 2;
  double best = -INFINITY, rim = -INFINITY;
  for (int y = n / 2 - reach; y <= n / 2 + reach; y++)
    for (int x = n / 2 - reach; x <= n / 2 + reach; x++) {
      const double v = ring_mean(img, n, x, y, 0, n / 16.0);
      if (v <= best) continue;
      best = v;
      cx = x;
      cy = y;
    }
  for (double r = n / 32.0; r < n / 8.0; r++) rim = fmax(rim, ring_mean(img, n, cx, cy, r, r + 1));
  return (rim - ring_mean(img, n, cx, cy, 0, n / 40.0)) * 127.5;
}

static Status demo_picture(const Demo *d, const char *name, const float *img, int n, bool diverging,
                           float limit, Error *e) {
  enum { ZOOM = 6 };
  Canvas c;
  char path[PATH_LEN];
  TRY(canvas_new(&c, n * ZOOM, n * ZOOM, 255, e));
  if (diverging)
    canvas_image_diverging(&c, 0, 0, ZOOM, img, n, n, limit);
  else
    canvas_image(&c, 0, 0, ZOOM, false, img, n, n, -1, 1);
  demo_path(d, path, name);
  const Status s = canvas_write(&c, path, e);
  canvas_free(&c);
  return s;
}

static Status draw_change(Demo *d, const float *before, const float *after, int n, Error *e) {
  float *diff = mem_alloc((size_t)(n * n + 1) * sizeof *diff);
  if (!diff) return err_set(e, ST_NOMEM, "demo: out of memory");
  d->max_change = d->mse = 0;
  for (int i = 0; i < n * n; i++) {
    diff[i] = after[i] - before[i];
    d->max_change = fmax(d->max_change, fabs((double)diff[i]));
    d->mse += (double)diff[i] * (double)diff[i] / (n * n);
  }
  d->noise_before = noise_level(before, n);
  d->noise_after = noise_level(after, n);
  d->rim_before = rim_above_core(before, n);
  d->rim_after = rim_above_core(after, n);
  Status s = demo_picture(d, "before.png", before, n, false, 0, e);
  if (s != ST_OK) goto done;
  s = demo_picture(d, "after.png", after, n, false, 0, e);
  if (s != ST_OK) goto done;
  s = demo_picture(d, "difference.png", diff, n, true, (float)d->max_change, e);
done:
  mem_free(diff);
  return s;
}

static Status demo_compare(Demo *d, Error *e) {
  Dataset after = {0}, before = {0}, fast = {0};
  char path[PATH_LEN];
  demo_path(d, path, "project/denoised.safetensors");
  Status s = dataset_open(&after, path, e);
  if (s != ST_OK) goto done;
  s = dataset_open(&before, d->lesion, e);
  if (s != ST_OK) goto done;
  demo_path(d, path, "fast/denoised.safetensors");
  s = dataset_open(&fast, path, e);
  if (s != ST_OK) goto done;
  if (before.h != after.h || before.w != after.w || before.h != before.w || fast.h != before.h ||
      fast.w != before.w) {
    s = err_set(e, ST_FORMAT, "%s: not the size of %s", path, d->lesion);
    goto done;
  }
  d->rim_fast = rim_above_core(fast.images, fast.h);
  s = demo_picture(d, "fast.png", fast.images, fast.h, false, 0, e);
  if (s != ST_OK) goto done;
  s = draw_change(d, before.images, after.images, before.h, e);
done:
  dataset_free(&fast);
  dataset_free(&before);
  dataset_free(&after);
  return s;
}

/* LPIPS of the first lesion in table.tsv of the folder, or NaN. */
static double read_lpips(const Demo *d, const char *table) {
  char path[PATH_LEN];
  uint8_t *text;
  size_t n;
  double v = NAN;
  demo_path(d, path, table);
  if (file_read(path, &text, &n, 1 << 20, NULL)) return NAN;
  const char *row = strchr((char *)text, '\n');
  if (row && sscanf(row, "%*s %lf", &v) != 1) v = NAN;
  mem_free(text);
  return v;
}

/* ---- the page ---- */
static void section_denoise(Report *r, const Demo *d) {
  char path[PATH_LEN], caption[600];
  report_heading(r, "1. An ambiguous lesion, denoised");
  report_text(r,
              "Two readers of the same lesion can disagree about whether it has a paramagnetic "
              "rim. Projection looks for the latent code whose synthetic image "
              "resembles the lesion most, as VGG16 sees it, and shows that image instead: %d steps "
              "of Adam, %s.",
              d->steps, human_time(d->seconds[0]));
  report_figures_begin(r);
  demo_path(d, path, "before.png");
  snprintf(caption, sizeof caption,
           "Before: the ambiguous lesion as published, a real quantitative susceptibility map "
           "scaled to 8 bits. Its fine grain (noise and texture) measures %.1f grey levels of 255.",
           d->noise_before);
  report_png(r, path, 320, caption);
  demo_path(d, path, "after.png");
  snprintf(caption, sizeof caption,
           "After: the image of the projected code, made by the generator. Its fine grain measures "
           "%.1f grey levels; its distance to the lesion is %.3f (LPIPS, "
           "VGG16-Caffe with mean heads).",
           d->noise_after, d->lpips);
  report_png(r, path, 320, caption);
  demo_path(d, path, "fast.png");
  snprintf(caption, sizeof caption,
           "After, by the fast solver (not the paper's): the same network, w alone by L-BFGS from "
           "the best of several starts, %s; LPIPS %.3f.",
           human_time(d->seconds[3]), d->fast_lpips);
  report_png(r, path, 320, caption);
  demo_path(d, path, "difference.png");
  snprintf(caption, sizeof caption,
           "Difference: the first after minus before, red brighter and blue darker, full colour at "
           "%.0f grey "
           "levels. What shows a shape here was not noise: the network could "
           "not or would not draw it (mean squared change %.4f on the scale from -1 to 1).",
           d->max_change * 127.5, d->mse);
  report_png(r, path, 320, caption);
  report_figures_end(r);
  /* a step of the published 8-bit picture that an eye sees */
  const bool seen = d->rim_after >= 8;
  report_text(
      r,
      "The paper's Figure 7 shows a dark core in a bright rim after denoising. Here the "
      "brightest ring stands %.0f grey levels above the core (negative: below) before and %.0f "
      "after (%.0f by the fast solver): %s.",
      d->rim_before, d->rim_after, d->rim_fast,
      seen ? "so does this picture"
           : "this picture does not show it, with a network 30 times smaller than the "
             "paper's, trained over a hundred times shorter, on 101 of its images");
  report_note(r, "The picture after is a proposal of a network and no measurement. Whether it "
                 "helps readers is a question for a reader study, not for this page.");
}

static void section_training(Report *r, const Demo *d, Error *e) {
  char path[PATH_LEN];
  report_heading(r, "3. Training from scratch, a few ticks");
  report_text(r,
              "A new generator and discriminator of the small configuration, trained for %g "
              "thousand images in %s. That is enough to see the mechanism at work and far too "
              "little for lesions: the published configuration asks for 25 000 thousand.",
              d->kimg, human_time(d->seconds[2]));
  demo_path(d, path, "train");
  if (report_add_run(r, path, 2, e)) report_note(r, "%s", e->msg);
}

static void section_origin(Report *r, const Demo *d) {
  char made[700];
  snprintf(made, sizeof made,
           d->own_network ? "trained in part 3 of this demo, because no network is bundled: its "
                            "images are not to be judged"
                          : "%s",
           d->about);
  const char *const cell[] = {"picture",
                              "what it is",
                              "ambiguous lesion (before)",
                              "real: sample/noisy_rim.png of the PRLx-GAN repository, MIT licence; "
                              "its susceptibility scale is not known",
                              "denoised lesion (after)",
                              "synthetic: the generator's image nearest to the lesion",
                              "64 lesions",
                              "synthetic: random codes; nobody's brain",
                              "training images",
                              "synthetic: 101 images that the paper's own network made and its "
                              "authors published, MIT licence",
                              "samples of the new network",
                              "synthetic",
                              "network of parts 1 and 2",
                              made,
                              "perceptual distance",
                              "VGG16 of its original authors with channel means of the LPIPS "
                              "heads: real weights, but not LPIPS to the digit (data/README.md)"};
  report_heading(r, "What is real and what is synthetic");
  report_table(r, COUNT_OF(cell) / 2, 2, cell);
}

static Status write_page(const Demo *d, Error *e) {
  Report r;
  char path[PATH_LEN], sub[256];
  snprintf(sub, sizeof sub,
           "prlx %s on %d threads (%s): everything on this page was computed in %s", PRLX_VERSION,
           threads_count(), isa_name(isa_current()), human_time(demo_seconds(d)));
  report_begin(&r, "PRLx-GAN in plain C: demonstration", sub);
  section_denoise(&r, d);
  report_heading(&r, "2. Sixty-four synthetic lesions");
  report_text(
      &r,
      "Random codes through the same generator, seeds 0 to 63, in %s. None was picked or left out.",
      human_time(d->seconds[1]));
  demo_path(d, path, "generate/sheet.png");
  report_png(&r, path, 640, "Seeds 0 to 63.");
  section_training(&r, d, e);
  section_origin(&r, d);
  demo_path(d, path, "report.html");
  return report_write(&r, path, e);
}

/* ---- the command ---- */
static Status find_files(Demo *d, Error *e) {
  Network net = {0};
  TRY(data_find("ambiguous.safetensors", NULL, d->lesion, sizeof d->lesion, e));
  TRY(data_find("prlx_lesions.safetensors", NULL, d->images, sizeof d->images, e));
  if (d->given_network)
    TRY(path_format(d->network, e, "%s", d->given_network));
  else if (data_find("network_small.safetensors", NULL, d->network, sizeof d->network, NULL)) {
    d->own_network = true;
    demo_path(d, d->network, "train/network.safetensors");
    return ST_OK;
  }
  TRY(network_load(&net, d->network, e));
  const char *source = network_meta(&net, "source"), *kimg = network_meta(&net, "train.kimg");
  snprintf(d->about, sizeof d->about, "%.200s, trained %s thousand images on: %.300s", d->network,
           kimg ? kimg : "an unknown number of", source ? source : "(not stated)");
  network_free(&net);
  return ST_OK;
}

static int run_project(Demo *d) {
  char steps[16], out[PATH_LEN];
  snprintf(steps, sizeof steps, "%d", d->steps);
  demo_path(d, out, "project");
  return run_command(d, &d->seconds[0], tool_project, "project", "--network", d->network, "--steps",
                     steps, "--out", out, d->lesion, (char *)NULL);
}

static int run_fast(Demo *d) {
  char steps[16], pixel[16], out[PATH_LEN];
  snprintf(steps, sizeof steps, "%d", d->steps < 200 ? d->steps : 200);
  snprintf(pixel, sizeof pixel, "%d", d->steps < 120 ? d->steps : 120);
  demo_path(d, out, "fast");
  return run_command(d, &d->seconds[3], tool_project, "project", "--network", d->network,
                     "--solver", "fast", "--steps", steps, "--pixel-steps", pixel, "--out", out,
                     d->lesion, (char *)NULL);
}

static int run_generate(Demo *d) {
  char out[PATH_LEN];
  demo_path(d, out, "generate");
  return run_command(d, &d->seconds[1], tool_generate, "generate", "--network", d->network,
                     "--seeds", "0-63", "--out", out, (char *)NULL);
}

static int run_train(Demo *d) {
  char out[PATH_LEN], kimg[32], tick[32];
  demo_path(d, out, "train");
  snprintf(kimg, sizeof kimg, "%g", d->kimg);
  snprintf(tick, sizeof tick, "%g", fmax(d->kimg / 8, 0.001));
  return run_command(d, &d->seconds[2], tool_train, "train", "--data", d->images, "--out", out,
                     "--config", "small", "--kimg", kimg, "--tick", tick, "--snap", "1000",
                     "--no-layers", "--force", (char *)NULL);
}

int tool_demo(int argc, char **argv) {
  Demo d = {0};
  Opt t[] = {
      OPT_STR("out", &d.out, "out/demo", "DIR", "folder of the results"),
      OPT_STR("network", &d.given_network, NULL, "FILE",
              "network for the denoising and the sheet\n(default: the bundled one, else the one "
              "trained here)"),
      OPT_INT("steps", &d.steps, "1000", 1, 100000, "steps of the projection"),
      OPT_REAL("kimg", &d.kimg, "0.64", 0.001, 1000, "length of the training, thousand images"),
  };
  OptSpec s = {.cmd = "demo",
               .summary =
                   "denoise the bundled lesion, generate 64 lesions, train a few ticks; one report",
               .opt = t,
               .n = COUNT_OF(t)};
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  Error e = {0};
  char longest[PATH_LEN];
  d.threads = threads_count();
  if (path_join(longest, d.out, "generate/nifti/seed0000_Chimap.nii.gz", &e) != ST_OK)
    return tool_fail("demo", &e);
  if (outputs_folder(d.out, "report.html", &e) || find_files(&d, &e)) return tool_fail("demo", &e);
  bool quiet = tool_quiet;
  if (d.own_network) {
    printf("no network is bundled (data/network_small.safetensors): the one trained here serves "
           "the other steps\n");
    rc = run_train(&d);
  } else
    rc = EXIT_DONE;
  tool_quiet = quiet;
  if (rc == EXIT_DONE) rc = run_project(&d);
  if (rc == EXIT_DONE && !tool_interrupted) tool_quiet = quiet, rc = run_fast(&d);
  if (rc == EXIT_DONE && !tool_interrupted) tool_quiet = quiet, rc = run_generate(&d);
  if (rc == EXIT_DONE && !tool_interrupted && !d.own_network)
    tool_quiet = quiet, rc = run_train(&d);
  if (rc != EXIT_DONE) return rc;
  if (tool_interrupted) return EXIT_FAILED;
  d.lpips = read_lpips(&d, "project/table.tsv");
  d.fast_lpips = read_lpips(&d, "fast/table.tsv");
  if (demo_compare(&d, &e) || write_page(&d, &e)) return tool_fail("demo", &e);
  printf("\n%s/report.html: open it in a browser (%s)\n", d.out, human_time(demo_seconds(&d)));
  return EXIT_DONE;
}
