/* info.c: `prlx info FILE...`: what is in a data set, network, snapshot, any .safetensors, NIfTI
 * volume, or PNG. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/png.h"
#include "io/images/dataset.h"
#include "models/store/netfile.h"
#include "tools/cli/tool.h"
#include "tools/cohort/info_nifti.h"
#include "tools/view/layers.h"

typedef struct Stats {
  double min;
  double max;
  double mean;
  double sd;
  int64_t n;
  int64_t bad;
} Stats;

/* Chunks of 4096 values, so that a large file costs no memory. */
static Stats tensor_stats(const StTensor *t) {
  Stats s = {INFINITY, -INFINITY, 0, 0, shape_numel(t->shape), 0};
  double buf[4096], sum = 0, sq = 0, shift = 0;
  size_t one = dtype_size(t->dtype);
  for (int64_t i = 0; i < s.n; i += COUNT_OF(buf)) {
    int64_t k = PRLX_MIN(s.n - i, COUNT_OF(buf));
    StTensor part = *t;
    part.shape = SHAPE1(k);
    part.data = (const char *)t->data + (size_t)i * one;
    part.bytes = (size_t)k * one;
    st_to_f64(&part, buf);
    /* keeps the variance exact when the mean is far from zero */
    if (i == 0 && isfinite(buf[0])) shift = buf[0];
    for (int64_t j = 0; j < k; j++) {
      if (!isfinite(buf[j])) {
        s.bad++;
        continue;
      }
      s.min = fmin(s.min, buf[j]);
      s.max = fmax(s.max, buf[j]);
      sum += buf[j] - shift;
      sq += (buf[j] - shift) * (buf[j] - shift);
    }
  }
  int64_t good = s.n - s.bad;
  double m = good > 0 ? sum / (double)good : 0;
  s.mean = good > 0 ? shift + m : NAN;
  s.sd = good > 0 ? sqrt(fmax(sq / (double)good - m * m, 0)) : NAN;
  return s;
}

static int print_tensors(const StFile *f, const char *match) {
  int bad = 0;
  char shape[96], name[512];
  printf("  %-44s %-5s %-20s %12s %12s %12s %12s\n", "tensor", "type", "shape", "min", "max",
         "mean", "sd");
  for (int i = 0; i < f->ntensor; i++) {
    const StTensor *t = &f->tensor[i];
    if (match && !strstr(t->name, match)) continue;
    snprintf(name, sizeof name, "%s", t->name);
    printf("  %-44s %-5s %-20s ", str_plain(name), dtype_name(t->dtype),
           shape_str(t->shape, shape));
    if (!shape_numel(t->shape) || !dtype_readable(t->dtype)) {
      printf("%12s\n", shape_numel(t->shape) ? "type not read" : "no elements");
      continue;
    }
    Stats s = tensor_stats(t);
    printf("%12.5g %12.5g %12.5g %12.5g", s.min, s.max, s.mean, s.sd);
    if (s.bad) printf("  %lld NOT FINITE", (long long)s.bad);
    printf("\n");
    bad += s.bad > 0;
  }
  return bad;
}

/* n bytes of a text out of a file; what would colour or move a terminal's lines does not reach it.
 */
static void print_plain(const char *s, size_t n) {
  char buf[512];
  while (n) {
    const size_t k = PRLX_MIN(n, sizeof buf - 1);
    memcpy(buf, s, k);
    buf[k] = 0;
    printf("%s", str_plain(buf));
    s += k;
    n -= k;
  }
}

static void print_meta(const StFile *f) {
  for (int i = 0; i < f->nmeta; i++) {
    const char *v = f->meta[i].value;
    const size_t n = strlen(v);
    printf("  ");
    print_plain(f->meta[i].key, strlen(f->meta[i].key));
    /* text of several lines, e.g. the configuration of a run */
    if (strchr(v, '\n')) {
      printf(" =\n");
      for (const char *p = v; *p;) {
        size_t len = strcspn(p, "\n");
        printf("    ");
        print_plain(p, len);
        printf("\n");
        p += len + (p[len] == '\n');
      }
    } else {
      printf(" = ");
      print_plain(v, PRLX_MIN(n, 200));
      printf("%s\n", n > 200 ? "..." : "");
    }
  }
}

/* ---- kinds ---- */
static Status show_dataset(const char *path, Error *e) {
  Dataset d = {0};
  TRY(dataset_open(&d, path, e));
  int64_t count[10] = {0}, other = 0;
  printf("data set: %lld images, %d channel%s, %dx%d\n", (long long)d.n, d.channels,
         d.channels > 1 ? "s" : "", d.w, d.h);
  for (int64_t i = 0; d.labels && i < d.n; i++)
    if (d.labels[i] >= 0 && d.labels[i] < COUNT_OF(count))
      count[d.labels[i]]++;
    else
      other++;
  if (d.labels) {
    printf("labels:");
    for (int k = 0; k < COUNT_OF(count); k++)
      if (count[k]) printf(" %d: %lld", k, (long long)count[k]);
    if (other) printf(" others: %lld", (long long)other);
    printf("\n");
  }
  dataset_free(&d);
  return ST_OK;
}

static Status show_network(const char *path, Error *e) {
  Network net = {0};
  TRY(network_load(&net, path, e));
  const GenConfig *c = &net.G.cfg;
  printf("generator (%s): %lld parameters, %dx%d, %d channel%s, z %d, w %d, %d labels, mapping %d "
         "layers, channels min(%d/r, %d), clamp %g\n",
         net.prefix[0] ? net.prefix : "bare names", (long long)params_count(&net.G.params),
         c->img_resolution, c->img_resolution, c->img_channels, c->img_channels > 1 ? "s" : "",
         c->z_dim, c->w_dim, c->c_dim, c->mapping_layers, c->channel_base, c->channel_max,
         c->conv_clamp);
  printf("all tensors present, of the right shape and finite: ready for generate and project\n");
  layers_print(stdout, &net.G, NULL);
  network_free(&net);
  return ST_OK;
}

static bool looks_like_network(const StFile *f) {
  return st_find(f, "G_ema.synthesis.b4.const") || st_find(f, "G.synthesis.b4.const") ||
         st_find(f, "synthesis.b4.const");
}

static Status show_safetensors(const char *path, const char *match, bool brief, Error *e) {
  StFile f;
  TRY(st_open_any(&f, path, e));
  Status s = ST_OK;
  const char *format = st_meta(&f, "format");
  double numbers = 0;
  for (int i = 0; i < f.ntensor; i++) numbers += (double)shape_numel(f.tensor[i].shape);
  printf("%s: safetensors, %s, %d tensors, %.0f numbers%s%s\n", path,
         human_bytes((double)f.map_bytes), f.ntensor, numbers, format ? ", format " : "",
         format ? format : "");
  if (format && !strcmp(format, "prlx-dataset-1"))
    s = show_dataset(path, e);
  else if (format && !strcmp(format, "prlx-train-state-1"))
    printf("snapshot of a training run: continue with `prlx train --resume`\n");
  else if (looks_like_network(&f))
    s = show_network(path, e);
  if (f.nmeta) {
    printf("metadata:\n");
    print_meta(&f);
  }
  if (!brief) {
    int bad = print_tensors(&f, match);
    if (bad && !s)
      s = err_set(e, ST_NUMERIC, "%s: %d tensor%s with NaN or infinity", path, bad,
                  bad > 1 ? "s" : "");
  }
  st_close(&f);
  return s;
}

static Status show_png(const char *path, Error *e) {
  Image img;
  TRY(png_read(path, &img, e));
  static const char *const kind[] = {"?", "grey", "grey + alpha", "RGB", "RGBA"};
  int64_t n = (int64_t)img.w * img.h;
  printf("%s: PNG, %dx%d, %s, maximum %d\n", path, img.w, img.h, kind[img.channels], img.maxval);
  for (int c = 0; c < img.channels; c++) {
    double sum = 0, lo = 65536, hi = -1;
    for (int64_t i = 0; i < n; i++) {
      double v = img.px[i * img.channels + c];
      sum += v;
      lo = fmin(lo, v);
      hi = fmax(hi, v);
    }
    printf("  channel %d: min %g, max %g, mean %.5g\n", c, lo, hi, sum / (double)n);
  }
  image_free(&img);
  return ST_OK;
}

static Status show_crc(const char *path, Error *e) {
  uint8_t *data;
  size_t n;
  TRY(file_read(path, &data, &n, SIZE_MAX / 2, e));
  printf("%08x %zu %s\n", crc32_ieee(0, data, n), n, path_base(path));
  mem_free(data);
  return ST_OK;
}

static Status show_file(const char *path, const char *match, bool brief, bool json, Error *e) {
  uint8_t head[8] = {0};
  size_t n;
  TRY(file_head(path, head, sizeof head, &n, e));
  if (info_is_nifti(path)) return info_nifti(path, json, brief, e);
  if (json)
    return err_set(
        e, ST_INVALID,
        "%s: --json is for NIfTI volumes; expected .nii, .nii.gz or .hdr/.img; leave --json out",
        path);
  if (n == 8 && !memcmp(head, "\211PNG\r\n\032\n", 8)) return show_png(path, e);
  /* says what is wrong with a file that is neither */
  return show_safetensors(path, match, brief, e);
}

int tool_info(int argc, char **argv) {
  const char *match = NULL;
  bool brief = false, crc = false, json = false;
  Opt t[] = {
      OPT_FLAG("brief", &brief, "no", "no table of tensors; of a NIfTI volume the header only"),
      OPT_FLAG("json", &json, "no", "NIfTI: one line of JSON per file"),
      OPT_STR("match", &match, NULL, "TEXT", "only tensors whose name contains this"),
      OPT_FLAG("crc", &crc, "no",
               "print CRC-32, bytes and name instead (the form of data/checksums.txt)"),
  };
  OptSpec s = {.cmd = "info",
               .summary =
                   "show what is in a data set, network, snapshot, .safetensors, NIfTI or PNG file",
               .opt = t,
               .n = COUNT_OF(t),
               .pos = "FILE...",
               .pos_min = 1,
               .pos_max = -1};
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  rc = EXIT_DONE;
  for (int i = 0; i < s.nargs; i++) {
    Error e = {0};
    if (i > 0 && !crc && !json) printf("\n");
    fflush(stdout);
    if (crc ? show_crc(s.args[i], &e) : show_file(s.args[i], match, brief, json, &e))
      rc = tool_fail("info", &e);
  }
  return rc;
}
