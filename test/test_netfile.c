/* test_netfile.c: network and VGG files: what is written is read back, and what is wrong with a
 * file is said in one line. */
#include <unistd.h>
#include "core/threads.h"
#include "models/store/netfile.h"
#include "test/test.h"

static char dir[] = "/tmp/prlx_netfile_XXXXXX", path[300], path2[300];
static Generator G;

static void make_network(int c_dim) {
  GenConfig c = gen_config_small();
  c.img_resolution = 16;
  c.channel_base = 200;
  c.channel_max = 24;
  c.z_dim = 20;
  c.w_dim = 28;
  c.c_dim = c_dim;
  c.conv_clamp = -1;
  Rng r = {.seed = 9};
  Error e = {0};
  CHECK(generator_new(&G, &c, &e) == ST_OK, "%s", e.msg);
  generator_reset(&G, &r);
  rng_fill_normal(&r, params_find(&G.params, "mapping.w_avg")->data, c.w_dim);
}

/* Writes G with one thing changed. fn may alter name and shape or return false to leave the tensor
 * out. */
typedef bool (*Edit)(char *name, Shape *s);
static void write_edited(const char *prefix, Edit fn, const char *key, const char *value,
                         bool config) {
  StWriter *w;
  Error e = {0};
  Status s = st_writer_new(&w, &e);
  if (config) s = gen_config_write(w, &G.cfg, &e);
  if (key) s = st_add_meta(w, key, value, &e);
  for (int k = 0; k < G.params.n && s == ST_OK; k++) {
    char name[200];
    Shape sh = G.params.entry[k].shape;
    snprintf(name, sizeof name, "%s%s", prefix, G.params.entry[k].name);
    if (!fn || fn(name, &sh)) s = st_add(w, name, DT_F32, sh, G.params.entry[k].data, &e);
  }
  if (s == ST_OK) s = st_commit(w, path, &e);
  CHECK(s == ST_OK, "writing: %s", e.msg);
}

static bool edit_missing(char *name, Shape *s) {
  (void)s;
  return !strstr(name, "b8.conv1.bias");
}

static bool edit_shape(char *name, Shape *s) {
  if (strstr(name, "b8.conv1.weight")) *s = SHAPE4(s->dim[0], s->dim[1], 9, 1);
  return true;
}

static bool edit_scalar(char *name, Shape *s) {
  if (strstr(name, "noise_strength")) *s = SHAPE1(1);
  return true;
}

static bool edit_unknown(char *name, Shape *s) {
  (void)s;
  if (strstr(name, "b8.conv1.bias")) strcat(name, "_x");
  return true;
}

static bool edit_square(char *name, Shape *s) {
  if (strstr(name, "b4.conv1.weight")) *s = SHAPE4(1, s->dim[0] * s->dim[1], 3, 3);
  return true;
}

static void refused(Status want, const char *contains, const char *what) {
  Network n;
  Error e = {0};
  size_t live = mem_live_count();
  Status s = network_load(&n, path, &e);
  CHECK(s == want && strstr(e.msg, contains) && strstr(e.msg, path), "%s: status %d, \"%s\"", what,
        (int)s, e.msg);
  CHECK(!strchr(e.msg, '\n') && mem_live_count() == live, "%s: one line, no leak", what);
  if (s == ST_OK) network_free(&n);
}

static bool equal_params(const Params *a, const Params *b) {
  bool ok = a->n == b->n;
  for (int k = 0; k < a->n && ok; k++)
    ok = !strcmp(a->entry[k].name, b->entry[k].name) &&
         !memcmp(a->entry[k].data, b->entry[k].data, (size_t)a->entry[k].numel * sizeof(real));
  return ok;
}

static void test_round_trip(void) {
  StMeta meta[] = {{"channels", "chi"},
                   {"window.chi", "-100,200 ppb"},
                   {"format", "other"},
                   {"G.z_dim", "7"},
                   {"tick", "12"}};
  Error e = {0};
  Network n;
  CHECK(network_save(path, &G, meta, 5, false, &e) == ST_OK, "%s", e.msg);
  CHECK(network_load(&n, path, &e) == ST_OK, "%s", e.msg);
  CHECK(equal_params(&n.G.params, &G.params) && n.G.cfg.channel_base == G.cfg.channel_base &&
            n.G.cfg.conv_clamp == G.cfg.conv_clamp,
        "F32 round trip is exact, configuration included");
  CHECK(!strcmp(network_meta(&n, "window.chi"), "-100,200 ppb") &&
            !strcmp(network_meta(&n, "format"), "prlx-network-1"),
        "metadata");
  StMeta *img;
  int nimg;
  CHECK(meta_of_images(n.meta, n.nmeta, &img, &nimg, &e) == ST_OK && nimg == 2,
        "metadata of the images: %d", nimg);
  meta_free(img, nimg);
  network_free(&n);
  CHECK(network_save(path2, &G, NULL, 0, true, &e) == ST_OK && network_load(&n, path2, &e) == ST_OK,
        "%s", e.msg);
  double worst = 0, big = 0;
  for (int64_t k = 0; k < G.params.ntotal; k++) {
    double d = fabs((double)n.G.params.data[k] - (double)G.params.data[k]),
           rel = d / (fabs((double)G.params.data[k]) + 1e-4);
    worst = PRLX_MAX(worst, rel);
    big = PRLX_MAX(big, fabs((double)G.params.data[k]));
  }
  CHECK(worst < 1e-3 && worst > 0, "F16: relative difference %g", worst);
  const StTensor *t;
  StFile f;
  CHECK(st_open(&f, path, &e) == ST_OK, "%s", e.msg);
  CHECK((t = st_find(&f, "G_ema.synthesis.b8.conv0.resample_filter")) && t->shape.rank == 2 &&
            t->shape.dim[0] == 4,
        "resample filters are there for Python");
  st_close(&f);
  network_free(&n);
  real *m = params_find(&G.params, "mapping.fc0.weight")->data, keep = m[0];
  if (params_find(&G.params, "mapping.fc0.weight")->numel < F16_MIN_NUMEL)
    m = params_find(&G.params, "synthesis.b4.conv1.weight")->data, keep = m[0];
  m[0] = 1e6f;
  CHECK(network_save(path2, &G, NULL, 0, true, &e) == ST_NUMERIC && strstr(e.msg, "65504"),
        "F16 overflow: %s", e.msg);
  m[0] = keep;
}

static void test_variants(void) {
  static const char *const prefix[] = {"G_ema.", "G.", ""};
  for (int k = 0; k < 3; k++)
    for (int config = 0; config < 2; config++) {
      Network n;
      Error e = {0};
      write_edited(prefix[k], edit_scalar, NULL, NULL, config);
      Status s = network_load(&n, path, &e);
      CHECK(s == ST_OK && equal_params(&n.G.params, &G.params), "prefix \"%s\", %s metadata: %s",
            prefix[k], config ? "with" : "without", e.msg);
      if (s == ST_OK) {
        CHECK(n.G.cfg.z_dim == G.cfg.z_dim && n.G.cfg.mapping_layers == G.cfg.mapping_layers,
              "sizes");
        network_free(&n);
      }
    }
}

static void test_refusals(void) {
  write_edited("G_ema.", edit_missing, NULL, NULL, true);
  refused(ST_FORMAT, "b8.conv1.bias is missing", "missing tensor");
  write_edited("G_ema.", edit_shape, NULL, NULL, true);
  refused(ST_FORMAT, "b8.conv1.weight", "wrong shape");
  write_edited("G_ema.", edit_unknown, NULL, NULL, true);
  refused(ST_FORMAT, "bias_x", "unknown tensor");
  write_edited("G_ema.", edit_square, NULL, NULL, false);
  refused(ST_FORMAT, "no generator", "a first layer that is not square cannot ask for memory");
  write_edited("G_ema.", NULL, "G.z_dim", "999999", false);
  refused(ST_FORMAT, "G.z_dim", "metadata against tensors");
  write_edited("G_ema.", NULL, "G.channel_base", "64", false);
  refused(ST_FORMAT, "channel_base", "channel_base that gives other widths");
  write_edited("G_ema.", NULL, "G.conv_clamp", "many", false);
  refused(ST_FORMAT, "expected a number", "metadata that is no number");
  real *b = params_find(&G.params, "synthesis.b8.conv1.bias")->data, keep = b[2];
  b[2] = (real)NAN;
  write_edited("G_ema.", NULL, NULL, NULL, true);
  refused(ST_NUMERIC, "NaN at element 2", "NaN");
  b[2] = (real)INFINITY;
  write_edited("G_ema.", NULL, NULL, NULL, true);
  refused(ST_NUMERIC, "infinity", "infinity");
  b[2] = keep;
  FILE *f = fopen(path, "w");
  fputs("not a network", f);
  fclose(f);
  refused(ST_FORMAT, "", "some other file");
  unlink(path);
  refused(ST_IO, "", "no file");
}

static void test_vgg(void) {
  Vgg v;
  Error e = {0};
  Status s = vgg_load(&v, NULL, NULL, &e);
  CHECK(s == ST_OK, "bundled VGG16: %s", e.msg);
  if (s != ST_OK) return;
  CHECK(!strcmp(v.name, "VGG16-Caffe, mean heads"), "%s", v.name);
  CHECK(fabs(v.mean[0] - 123.68) < 1e-9 && v.std[2] == 1, "mean and std from the metadata: %g %g",
        v.mean[0], v.std[2]);
  CHECK(params_find(&v.params, "lin0")->data[0] > 0, "heads");
  /* A torchvision-like file: no metadata, no heads. */
  StWriter *w;
  s = st_writer_new(&w, &e);
  for (int k = 0; k < v.params.n && s == ST_OK; k++)
    if (v.params.entry[k].name[0] == 'f')
      s = st_add_f32_as_f16(w, v.params.entry[k].name, v.params.entry[k].shape,
                            v.params.entry[k].data, &e);
  if (s == ST_OK) s = st_commit(w, path, &e);
  Vgg u;
  if (s == ST_OK) s = vgg_load(&u, path, NULL, &e);
  CHECK(s == ST_OK, "%s", e.msg);
  if (s == ST_OK) {
    CHECK(strstr(u.name, "torchvision") && strstr(u.name, "LPIPS v0.1") &&
              fabs(u.mean[0] - 0.485 * 255) < 1e-9,
          "%s", u.name);
    CHECK(!memcmp(u.params.entry[0].data, v.params.entry[0].data, 64 * sizeof(real)), "weights");
    vgg_free(&u);
  }
  vgg_free(&v);
  CHECK(vgg_load(&u, path2, NULL, &e) == ST_FORMAT && strstr(e.msg, "features.0"),
        "a network is no VGG: %s", e.msg);
  CHECK(vgg_load(&u, NULL, "/nonexistent", &e) == ST_IO && strstr(e.msg, "--data"), "%s", e.msg);
}

int main(void) {
  if (!mkdtemp(dir)) return 1;
  snprintf(path, sizeof path, "%s/a.safetensors", dir);
  snprintf(path2, sizeof path2, "%s/b.safetensors", dir);
  for (int c = 0; c <= 3; c += 3) {
    make_network(c);
    test_round_trip();
    test_variants();
    test_refusals();
    generator_free(&G);
  }
  make_network(0);
  Error e = {0};
  CHECK(network_save(path2, &G, NULL, 0, false, &e) == ST_OK, "%s", e.msg);
  generator_free(&G);
  test_vgg();
  unlink(path);
  unlink(path2);
  rmdir(dir);
  CHECK(mem_live_count() == 0, "%zu blocks not freed", mem_live_count());
  return test_end();
}
