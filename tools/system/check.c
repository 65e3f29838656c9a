/* check.c: `prlx check`: what this machine and this build can do, whether the bundled files are
 * whole; ends with a verdict. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/bf16.h"
#include "core/isa.h"
#include "core/ops.h"
#include "core/os.h"
#include "core/plan.h"
#include "core/rng.h"
#include "core/threads.h"
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/images/dataset.h"
#include "models/store/netfile.h"
#include "tools/cli/device.h"
#include "tools/cli/tool.h"

static int problems, warnings;

static void check_line(const char *mark, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void check_line(const char *mark, const char *what, const char *fmt, ...) {
  char text[1200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  printf("%-5s %-22s %s\n", mark, what, text);
  problems += !strcmp(mark, "BAD");
  warnings += !strcmp(mark, "warn");
}

/* ---- machine ---- */
static void check_device(void) {
  char text[600];
  int missing = 0;
  bool usable = tool_device_text(text, sizeof text, &missing);
  check_line(missing  ? "BAD"
             : usable ? "ok"
                      : "-",
             "CUDA", "%s%s", text, usable ? "" : "; the CPU is used");
  if (missing)
    check_line("BAD", "CUDA kernels", "%d operations have no kernel in this build", missing);
}

static void check_machine(void) {
  char list[128] = "";
  for (int i = 0; i < ISA_COUNT; i++)
    if (isa_has((IsaLevel)i))
      snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
               isa_name((IsaLevel)i));
  check_line("ok", "instruction sets", "%s can run here; %s is used", list,
             isa_name(isa_current()));
  check_line(bf16_way() == BF16_NONE ? "-" : "ok", "products of bf16", "%s%s",
             bf16_way() == BF16_NONE ? "not on this CPU, or not with PRLX_ISA as it is"
                                     : bf16_name(bf16_way()),
             bf16_way() == BF16_NONE ? "" : " (--precision bf16)");
  check_line("ok", "threads", "%d", threads_count());
  const double total = (double)os_memory_total(), available = (double)os_memory_available();
  if (available > 0)
    check_line(available < 512e6 ? "warn" : "ok", "memory", "%s available of %s",
               human_bytes(available), human_bytes(total));
  else
    check_line("warn", "memory", "unknown; give --memory to commands that ask");
  check_device();
}

/* ---- arithmetic ---- */
/* Philox4x32-10 of counter 0, key 0, as published with the generator (Random123, kat_vectors). */
static void check_philox(void) {
  static const uint32_t zero[4] = {0}, want[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  uint32_t out[4];
  philox4x32_10(zero, zero, out);
  if (memcmp(out, want, sizeof want))
    check_line("BAD", "random numbers", "Philox4x32-10 does not give its published values");
  else
    check_line("ok", "random numbers", "Philox4x32-10 gives its published values");
}

enum { CN = 2, CI = 7, CO = 19, CS = 13 };
/* Largest difference between the library's 3x3 convolution and plain loops, relative to the largest
 * value; negative on failure. */
static double conv_error(Backend *dev, Error *e) {
  static real x[CN * CI * CS * CS], w[CO * CI * 9];
  Rng r = {1, 2, 0};
  rng_fill_normal(&r, x, COUNT_OF(x));
  rng_fill_normal(&r, w, COUNT_OF(w));
  Graph *g = graph_new();
  if (!g) return -1;
  Val y = g_conv2d(g, g_param(g, "x", SHAPE4(CN, CI, CS, CS), x, false),
                   g_param(g, "w", SHAPE4(CO, CI, 3, 3), w, false), 1, 1);
  Plan *p = NULL;
  double worst = 0, largest = 0;
  const real *out = NULL;
  if (graph_status(g, e) || plan_new(g, 1, &y, &(PlanOptions){.backend = dev}, &p, e) ||
      plan_run(p, e) || plan_read(p, y, &out, e))
    worst = -1;
  for (int n = 0; out && n < CN; n++)
    for (int o = 0; o < CO; o++)
      for (int i = 0; i < CS; i++)
        for (int j = 0; j < CS; j++) {
          double s = 0;
          for (int c = 0; c < CI; c++)
            for (int k = 0; k < 9; k++) {
              int a = i + k / 3 - 1, b = j + k % 3 - 1;
              if (a >= 0 && a < CS && b >= 0 && b < CS)
                s += (double)x[((n * CI + c) * CS + a) * CS + b] * (double)w[(o * CI + c) * 9 + k];
            }
          worst = fmax(worst, fabs(s - (double)out[((n * CO + o) * CS + i) * CS + j]));
          largest = fmax(largest, fabs(s));
        }
  plan_free(p);
  graph_free(g);
  return worst < 0 ? worst : worst / largest;
}

/* The self-test of the GPU's kernels in one precision. */
static void check_kernels(Precision p) {
  DeviceTested t[DEVICE_TESTED_MAX];
  Error e = {0};
  char what[32];
  const int n = tool_device_selftest(p, t, &e);
  double worst = 0;
  int refused = 0, cases = 0;
  snprintf(what, sizeof what, "GPU kernels %s", precision_name(p));
  if (n < 0) check_line("BAD", what, "%s", e.msg);
  for (int k = 0; k < n; k++) {
    worst = fmax(worst, t[k].worst);
    cases += t[k].cases;
    if (t[k].rung == 0) continue;
    refused++;
    check_line("warn", what, "%s refused: %s; %s takes its place", t[k].kind, t[k].text,
               tool_device_rung(t[k].rung));
  }
  if (n > 0 && refused == 0)
    check_line("ok", what,
               "%d kinds, %d cases agree with their definitions (worst %.2f of what rounding "
               "allows)",
               n, cases, worst);
}

static void check_device_kernels(void) {
  static const Precision all[] = {PREC_STRICT, PREC_TF32, PREC_F16, PREC_BF16};
  const int one = opts_precision();
  for (int k = 0; k < COUNT_OF(all); k++)
    if (one == 0 || one == k + 1) check_kernels(all[k]);
}

static void check_arithmetic(void) {
  IsaLevel chosen = isa_current();
  check_philox();
  for (int i = 0; i < ISA_COUNT; i++) {
    if (!isa_has((IsaLevel)i)) continue;
    char what[32];
    Error e = {0};
    snprintf(what, sizeof what, "convolution %s", isa_name((IsaLevel)i));
    isa_set((IsaLevel)i);
    double d = conv_error(NULL, &e);
    if (d < 0)
      check_line("BAD", what, "%s", e.msg);
    else if (!(d < 1e-5))
      check_line("BAD", what, "differs from plain loops by %.1e of the largest value", d);
    else
      check_line("ok", what, "equals plain loops to %.0e", d);
  }
  isa_set(chosen);
  check_device_kernels();
  Backend *b = NULL;
  Error e = {0};
  if (tool_backend(PREC_STRICT, &b, &e)) {
    check_line("BAD", "device", "%s", e.msg);
    return;
  }
  if (!b) return;
  double d = conv_error(b, &e), most = b->precision == PREC_STRICT ? 1e-5 : 1e-2;
  if (d < 0)
    check_line("BAD", "convolution GPU", "%s", e.msg);
  else if (!(d < most))
    check_line("BAD", "convolution GPU",
               "differs from plain loops by %.1e of the largest value (%s)", d,
               precision_name(b->precision));
  else
    check_line("ok", "convolution GPU", "equals plain loops to %.0e (%s)", d,
               precision_name(b->precision));
}

/* ---- bundled files ---- */
typedef enum { FILE_OTHER, FILE_VGG, FILE_NETWORK, FILE_DATASET } BundledKind;
static const struct {
  const char *name;
  BundledKind kind;
  const char *use;
  bool needed;
} bundled[] = {
    {"vgg16_caffe.safetensors", FILE_VGG, "perceptual distance of project", true},
    {"lpips_vgg_v0.1.safetensors", FILE_OTHER, "LPIPS heads for an imported torchvision VGG16",
     false},
    {"inception_v3_nsfwjs.safetensors", FILE_OTHER, "features of fid; not the public FID network",
     false},
    {"network_small.safetensors", FILE_NETWORK, "default network of generate and project", true},
    {"ambiguous.safetensors", FILE_DATASET, "ambiguous lesion of the demo", false},
    {"prlx_lesions.safetensors", FILE_DATASET, "training images of the demo", false},
};

/* Line "crc bytes name" of data/checksums.txt. */
static bool expected_sum(const char *sums, const char *name, uint32_t *crc, size_t *bytes) {
  char got[128];
  for (const char *p = sums; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
    unsigned c;
    if (sscanf(p, "%8x %zu %127s", &c, bytes, got) == 3 && !strcmp(got, name))
      return *crc = c, true;
  }
  return false;
}

static Status content_ok(BundledKind kind, const char *path, Error *e) {
  Status s = ST_OK;
  if (kind == FILE_VGG) {
    Vgg v = {0};
    if (!(s = vgg_load(&v, path, NULL, e))) vgg_free(&v);
  } else if (kind == FILE_NETWORK) {
    Network net = {0};
    if (!(s = network_load(&net, path, e))) network_free(&net);
  } else if (kind == FILE_DATASET) {
    Dataset d = {0};
    if (!(s = dataset_open(&d, path, e))) dataset_free(&d);
  } else {
    StFile f;
    if (!(s = st_open(&f, path, e))) st_close(&f);
  }
  return s;
}

/* Returns whether the file can be used. */
static bool check_file(int k, const char *sums) {
  char path[PATH_LEN];
  uint8_t *data = NULL;
  size_t n = 0, want_n = 0;
  uint32_t want = 0;
  Error e = {0};
  const char *name = bundled[k].name;
  if (data_find(name, NULL, path, sizeof path, &e)) {
    check_line(bundled[k].needed ? "BAD" : "-", name, "not found (%s)", bundled[k].use);
    return false;
  }
  if (file_read(path, &data, &n, (size_t)1 << 30, &e)) {
    check_line("BAD", name, "%s", e.msg);
    return false;
  }
  uint32_t crc = crc32_ieee(0, data, n);
  mem_free(data);
  bool known = expected_sum(sums, name, &want, &want_n);
  if (known && (crc != want || n != want_n)) {
    check_line("BAD", name,
               "%s: %zu bytes with CRC %08x; expected %zu bytes with CRC %08x; copy the file again",
               path, n, crc, want_n, want);
    return false;
  }
  if (content_ok(bundled[k].kind, path, &e)) {
    check_line("BAD", name, "%s", e.msg);
    return false;
  }
  check_line(known ? "ok" : "warn", name, "%s, CRC %08x%s: %s", human_bytes((double)n), crc,
             known ? "" : " (not in checksums.txt)", bundled[k].use);
  return true;
}

int tool_check(int argc, char **argv) {
  OptSpec s = {
      .cmd = "check",
      .summary = "what this machine and this build can do, and whether the bundled files are whole",
      .details = "Exit code 0 when everything needed is there, 1 otherwise."};
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  problems = warnings = 0;
  check_machine();
  check_arithmetic();
  char path[PATH_LEN];
  uint8_t *sums = NULL;
  size_t n = 0;
  Error e = {0};
  if (data_find("checksums.txt", NULL, path, sizeof path, &e) ||
      file_read(path, &sums, &n, 1 << 20, &e))
    check_line("warn", "checksums.txt", "not found: files are only checked for their form");
  bool have[COUNT_OF(bundled)];
  for (int k = 0; k < COUNT_OF(bundled); k++) have[k] = check_file(k, (const char *)sums);
  mem_free(sums);
  printf("\nwhat works: train yes (needs a data set); generate %s; project %s\n",
         have[2] ? "yes" : "with --network only",
         have[0] ? have[2] ? "yes" : "with --network only" : "no, the VGG16 weights are missing");
  if (problems)
    printf("verdict: %d problem%s; see the lines marked BAD\n", problems, problems > 1 ? "s" : "");
  else
    printf("verdict: all good%s\n", warnings ? ", with warnings" : "");
  return problems ? EXIT_FAILED : EXIT_DONE;
}
