/* export.c: `prlx export`: our files under the names of Python programs: a generator as its state
 * dict (strict loading works: resample_filter buffers are there), VGG16 as torchvision's features
 * and the LPIPS package's heads, everything else as it is, 8-bit tensors turned back to float. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "models/store/import.h"
#include "models/store/netfile.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

typedef struct Args {
  const char *out;
  const char *prefix;
  bool f16;
  bool dry_run;
  int net;
} Args;
static const char *const net_prefix[] = {"G_ema.", "G.", "D."};
enum { F16_MIN = 1024 }; /* as in netfile.c: small tensors stay F32 */

/* Tensors converted for this file live until it is written. */
typedef struct Export {
  StWriter *w;
  float **own;
  int nown;
  int cap;
  const Args *a;
  int64_t numbers;
  int n;
} Export;

static float *export_keep(Export *x, int64_t n) {
  if (x->nown == x->cap) {
    int next = x->cap ? 2 * x->cap : 64;
    void *p = mem_grow(x->own, (size_t)x->nown * sizeof *x->own, (size_t)next * sizeof *x->own);
    if (!p) return NULL;
    x->own = p;
    x->cap = next;
  }
  float *f = mem_alloc((size_t)n * sizeof *f);
  if (f) x->own[x->nown++] = f;
  return f;
}

static Status export_put(Export *x, const char *name, Shape s, const float *v, Error *e) {
  int64_t n = shape_numel(s);
  char b[96];
  if (x->a->dry_run)
    printf("    %-44s %-5s %s\n", name, x->a->f16 && n >= F16_MIN ? "F16" : "F32", shape_str(s, b));
  x->n++;
  x->numbers += n;
  if (!x->a->f16 || n < F16_MIN) return st_add(x->w, name, DT_F32, s, v, e);
  for (int64_t i = 0; i < n; i++)
    if (fabsf(v[i]) > 65504.0f)
      return err_set(e, ST_NUMERIC, "tensor %s holds %g; F16 goes to 65504; export without --f16",
                     name, (double)v[i]);
  return st_add_f32_as_f16(x->w, name, s, v, e);
}

/* Tensor t under another name and shape; U8 with .scale and .min beside it becomes float. */
static Status put_tensor(Export *x, const StFile *f, const StTensor *t, const char *name, Shape s,
                         Error *e) {
  char key[300];
  snprintf(key, sizeof key, "%.200s.scale", t->name);
  const StTensor *scale = st_find(f, key);
  snprintf(key, sizeof key, "%.200s.min", t->name);
  const StTensor *min = st_find(f, key);
  bool whole = t->dtype == DT_I64 || t->dtype == DT_I32 || t->dtype == DT_I16 ||
               t->dtype == DT_I8 || t->dtype == DT_U8 || t->dtype == DT_BOOL || t->dtype == DT_F64;
  bool coded = t->dtype == DT_U8 && scale && min && shape_numel(scale->shape) == 1 &&
               shape_numel(min->shape) == 1;
  if (whole && !coded) {
    char b[96];
    if (x->a->dry_run) printf("    %-44s %-5s %s\n", name, dtype_name(t->dtype), shape_str(s, b));
    x->n++;
    return st_add(x->w, name, t->dtype, s, t->data, e);
  }
  int64_t n = shape_numel(t->shape);
  float *v = export_keep(x, n);
  if (!v) return err_set(e, ST_NOMEM, "%s: out of memory for tensor %s", f->path, t->name);
  st_to_f32(t, v);
  float k = 1, off = 0;
  if (coded) {
    st_to_f32(scale, &k);
    st_to_f32(min, &off);
  }
  for (int64_t i = 0; i < n && coded; i++) v[i] = v[i] * k + off;
  return export_put(x, name, s, v, e);
}

/* A network's tensors without their prefix; filters are added where the file does not hold them. */
static Status export_net(Export *x, const StFile *f, Error *e) {
  static const float filter[16] = {1 / 64.f, 3 / 64.f, 3 / 64.f, 1 / 64.f, 3 / 64.f, 9 / 64.f,
                                   9 / 64.f, 3 / 64.f, 3 / 64.f, 9 / 64.f, 9 / 64.f, 3 / 64.f,
                                   1 / 64.f, 3 / 64.f, 3 / 64.f, 1 / 64.f};
  const char *prefix = net_prefix[x->a->net];
  size_t len = strlen(prefix);

  bool bare = x->a->net == 0 && !st_find(f, "G_ema.synthesis.b4.const"), any = false;
  if (bare && st_find(f, "synthesis.b4.const")) len = 0, prefix = "";
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    char name[300];
    if (strncmp(t->name, prefix, len) != 0) continue;
    any = true;
    snprintf(name, sizeof name, "%s%s", x->a->prefix, t->name + len);
    TRY(put_tensor(x, f, t, name, t->shape, e));
    /* A layer with a 3x3 kernel (and every 1x1 of the discriminator) has the buffer; so does each
     * block. The epilogue block of D has none. */
    const char *dot = strrchr(t->name, '.');
    bool layer = dot && !strcmp(dot, ".weight") && t->shape.rank == 4 &&
                 (x->a->net == 2 || t->shape.dim[2] == 3);
    bool block = strstr(t->name, x->a->net == 2 ? ".conv0.weight" : ".conv1.weight") != NULL;
    for (int up = 0; up < 2 && layer; up++) {
      char own[300];
      int cut = (int)(dot - t->name);
      if (up && !block) continue;
      for (int i = 0; i < up; i++)
        while (cut > 0 && t->name[--cut] != '.') {}
      snprintf(own, sizeof own, "%.*s.resample_filter", cut, t->name);
      if (st_find(f, own)) continue;
      snprintf(own, sizeof own, "%s%.*s.resample_filter", x->a->prefix, cut - (int)len,
               t->name + len);
      TRY(export_put(x, own, SHAPE2(4, 4), filter, e));
    }
  }
  return any ? ST_OK
             : err_set(e, ST_FORMAT, "%s: no tensors %s*; see `prlx info`", f->path, prefix);
}

static Status export_vgg(Export *x, const StFile *f, Error *e) {
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    char name[300];
    bool head = !strncmp(t->name, "lin", 3) && t->name[3] && !t->name[4] && t->shape.rank == 1;
    snprintf(name, sizeof name, head ? "%s%s.model.1.weight" : "%s%s", x->a->prefix, t->name);
    TRY(put_tensor(x, f, t, name, head ? SHAPE4(1, t->shape.dim[0], 1, 1) : t->shape, e));
  }
  return ST_OK;
}

static Status export_plain(Export *x, const StFile *f, Error *e) {
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    size_t len = strlen(t->name);
    char base[300], name[300];
    int cut = len > 6 && !strcmp(t->name + len - 6, ".scale") ? 6
              : len > 4 && !strcmp(t->name + len - 4, ".min") ? 4
                                                              : 0;
    snprintf(base, sizeof base, "%.*s", (int)PRLX_MIN(len - (size_t)cut, (size_t)290), t->name);
    const StTensor *coded = cut ? st_find(f, base) : NULL;
    if (coded && coded->dtype == DT_U8) continue;
    snprintf(name, sizeof name, "%s%.200s", x->a->prefix, t->name);
    TRY(put_tensor(x, f, t, name, t->shape, e));
  }
  return ST_OK;
}

/* What the file is; nothing damaged goes out. */
static Status export_check(const Args *a, const StFile *f, bool net, Error *e) {
  const char *format = st_meta(f, "format");
  Network check;
  if (format && !strcmp(format, "prlx-dataset-1"))
    return err_set(
        e, ST_INVALID,
        "%s: a data set, readable in Python as it is (safetensors); expected a network or weights",
        f->path);
  if (!net || a->net != 0) return ST_OK;
  TRY(network_load(&check, f->path, e));
  network_free(&check);
  return ST_OK;
}

static Status export_meta(Export *x, const StFile *f, Error *e) {
  TRY(st_writer_new(&x->w, e));
  TRY(st_add_meta(x->w, "format", "pt", e));
  for (int k = 0; k < f->nmeta; k++)
    if (strcmp(f->meta[k].key, "format") != 0)
      TRY(st_add_meta(x->w, f->meta[k].key, f->meta[k].value, e));
  return ST_OK;
}

static Status export_commit(Export *x, Error *e) {
  StWriter *w = x->w;
  x->w = NULL;
  TRY(st_commit(w, x->a->out, e));
  printf("%s: %d tensors, %lld numbers%s; in Python: safetensors.torch.load_file(\"%s\")\n",
         x->a->out, x->n, (long long)x->numbers, x->a->f16 ? ", large ones as F16" : "", x->a->out);
  return ST_OK;
}

static Status export_file(const Args *a, const char *path, Error *e) {
  StFile f;
  Export x = {.a = a};
  TRY(st_open(&f, path, e));
  const bool net = st_find(&f, "G_ema.synthesis.b4.const") || st_find(&f, "G.synthesis.b4.const") ||
                   st_find(&f, "synthesis.b4.const");
  const bool vgg = st_find(&f, "features.0.weight") && st_find(&f, "features.28.weight");
  Status s = export_check(a, &f, net, e);
  if (s != ST_OK) goto done;
  s = export_meta(&x, &f, e);
  if (s != ST_OK) goto done;
  if (a->dry_run)
    printf("%s: %s\n", path, net ? "StyleGAN2-ADA network" : vgg ? "VGG16" : "weights");
  s = net ? export_net(&x, &f, e) : vgg ? export_vgg(&x, &f, e) : export_plain(&x, &f, e);
  if (s != ST_OK || a->dry_run) goto done;
  s = export_commit(&x, e);
done:
  st_writer_free(x.w);
  for (int k = 0; k < x.nown; k++) mem_free(x.own[k]);
  mem_free(x.own);
  st_close(&f);
  return s;
}

int tool_export(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_STR("out", &a.out, NULL, "FILE",
              "the .safetensors file to write (-o; required without --dry-run)"),
      OPT_CHOICE("net", &a.net, "G_ema", "G_ema|G|D", "which network of the file"),
      OPT_STR("prefix", &a.prefix, NULL, "TEXT",
              "put in front of every name (default: nothing, as load_state_dict wants it)"),
      OPT_FLAG("f16", &a.f16, "no", "large tensors as 16-bit floats"),
      OPT_FLAG("dry-run", &a.dry_run, "no", "list the names; write nothing"),
  };
  OptSpec spec = {
      .cmd = "export",
      .summary = "networks and weights -> .safetensors under the names of Python programs",
      .details = "  prlx export run/network.safetensors -o G_ema.safetensors\n"
                 "  python: G.load_state_dict(safetensors.torch.load_file(\"G_ema.safetensors\"))",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "FILE",
      .pos_min = 1,
      .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  if (!a.out && !a.dry_run) return tool_usage("export", "no --out FILE (or --dry-run)");
  if (!a.prefix) a.prefix = "";
  Error e = {0};
  if (outputs_file(a.dry_run ? NULL : a.out, "\"format\":\"pt\"", &e) != ST_OK)
    return tool_fail("export", &e);
  return export_file(&a, spec.args[0], &e) == ST_OK ? EXIT_DONE : tool_fail("export", &e);
}
