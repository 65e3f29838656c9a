/* test_import.c: importers: golden values exact, archives of torch, names of VGG16, heads,
 * Inception and StyleGAN2-ADA, an imported network runs as the original does, truncated and mutated
 * files, failing memory, checksums. Hostile pickles and zip archives: test_pickle.c. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/plan.h"
#include "models/store/import.h"
#include "io/formats/file.h"
#include "io/formats/sha256.h"
#include "test/import_bytes.h"
#include "models/store/netfile.h"
#define DIR_ "test/data/import/"

static char dir[64];
static const char *in_dir(const char *name) {
  static char b[4][200];
  static int k;
  k = (k + 1) % 4;
  snprintf(b[k], sizeof b[k], "%s/%s", dir, name);
  return b[k];
}

static void put_file(const char *path, const void *p, size_t n) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(p, 1, n, f) != n) {
    printf("FAIL cannot write %s\n", path);
    exit(1);
  }
  fclose(f);
}

/* ---- SHA-256: FIPS 180-4 examples ---- */
static void test_sha(void) {
  char h[65];
  sha256_hex("", 0, h);
  CHECK(!strcmp(h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "empty: %s",
        h);
  sha256_hex("abc", 3, h);
  CHECK(!strcmp(h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "abc: %s",
        h);
  sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, h);
  CHECK(!strcmp(h, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        "two blocks: %s", h);
  Sha256 s;
  char million[1000];
  memset(million, 'a', sizeof million);
  sha256_begin(&s);
  for (int k = 0, left = 1000000; left > 0; k++) {
    int n = PRLX_MIN(left, 1 + k % 997);
    sha256_add(&s, million, (size_t)n);
    left -= n;
  }
  sha256_end(&s, h);
  CHECK(!strcmp(h, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        "a million a, in odd pieces: %s", h);
}

/* ---- values ---- */
static void compare(const char *path, const char *truth, int expect) {
  Import im;
  StFile f;
  Error e = {0};
  Status s = import_open(&im, path, &e);
  CHECK(s == ST_OK, "%s", e.msg);
  if (s != ST_OK) return;
  CHECK(st_open(&f, truth, &e) == ST_OK, "%s", e.msg);
  int same = 0;
  for (int k = 0; k < im.ntensor; k++) {
    const StTensor *t = st_find(&f, im.tensor[k].name);
    int64_t n = shape_numel(im.tensor[k].shape);
    bool ok = t && shape_eq(t->shape, im.tensor[k].shape);
    double *want = calloc((size_t)(n + 1), sizeof *want), got;
    if (ok) st_to_f64(t, want);
    for (int64_t i = 0; i < n && ok; i++)
      ok = import_number(&im, &im.tensor[k], i, &got) && got == want[i];
    same += ok;
    CHECK(ok, "%s: %s equals the golden values", path, im.tensor[k].name);
    free(want);
  }
  CHECK(same == expect && im.ntensor == expect, "%s: %d of %d tensors", path, same, expect);
  for (int k = 0; k < f.nmeta; k++)
    if (!strncmp(f.meta[k].key, "G.", 2))
      CHECK(import_meta(&im, f.meta[k].key) &&
                !strcmp(import_meta(&im, f.meta[k].key), f.meta[k].value),
            "%s: %s", path, f.meta[k].key);
  st_close(&f);
  import_close(&im);
}

/* a, t, b, h, e of test/golden/make_containers.py. */
static void fixture(const char *name, const char *prefix) {
  static const double a[6] = {-1, -.5, 0, .5, 1, 1.5}, t[6] = {-1, .5, -.5, 1, 0, 1.5},
                      b[4] = {0, 1, 2, 3}, h[2] = {.25, -2}, ex[4] = {1.5, 1.5, 1.5, 1.5};
  static const struct {
    const char *name;
    const double *v;
    int n;
    DType type;
    bool part;
  } want[] = {{"a", a, 6, DT_F32, true},
              {"t", t, 6, DT_F32, true},
              {"b", b, 4, DT_I64, false},
              {"h", h, 2, DT_F16, false},
              {"e", ex, 4, DT_F32, false}};
  char path[200], full[40];
  snprintf(path, sizeof path, DIR_ "%s", name);
  Import im;
  Error e = {0};
  Status s = import_open(&im, path, &e);
  CHECK(s == ST_OK, "%s", e.msg);
  if (s != ST_OK) return;
  CHECK(im.ntensor == 5 && im.kind == IMPORT_STATE, "%s: %d tensors, kind %d", name, im.ntensor,
        (int)im.kind);
  for (int k = 0; k < COUNT_OF(want); k++) {
    snprintf(full, sizeof full, "%s%s", want[k].part ? prefix : "", want[k].name);
    const ImportTensor *x = import_find(&im, full);
    bool ok = x && x->dtype == want[k].type && shape_numel(x->shape) == want[k].n;
    double v;
    for (int i = 0; i < want[k].n && ok; i++)
      ok = import_number(&im, x, i, &v) && v == want[k].v[i];
    CHECK(ok, "%s: %s", name, full);
  }
  StFile f;
  const char *out = in_dir("o.safetensors");
  CHECK(import_write(&im, out, &e) == ST_OK && st_open(&f, out, &e) == ST_OK, "%s: %s", name,
        e.msg);
  CHECK(f.ntensor == 5 && st_meta(&f, "imported.sha256"), "%s: written", name);
  st_close(&f);
  import_close(&im);
}

/* ---- an imported network computes what the original does ---- */
static real *image_of(const char *path, int64_t *n) {
  Network net;
  Error e = {0};
  Status s = network_load(&net, path, &e);
  CHECK(s == ST_OK, "%s", e.msg);
  if (s != ST_OK) return NULL;
  Graph *g = graph_new();
  Plan *p = NULL;
  Val z = g_input(g, "z", SHAPE2(2, net.G.cfg.z_dim)),
      ws = g_broadcast_ws(g, &net.G, g_mapping(g, &net.G, z, 0, true), 0.7, -1);
  SynthOptions o = {.noise = NOISE_CONST, .frozen = true};
  Val img = g_synthesis(g, &net.G, ws, &o, NULL);
  s = graph_status(g, &e);
  if (s == ST_OK) s = plan_new(g, 1, &img, NULL, &p, &e);
  CHECK(s == ST_OK, "%s", e.msg);
  real *out = NULL;
  if (s == ST_OK) {
    for (int i = 0; i < 2 * net.G.cfg.z_dim; i++) plan_data(p, z)[i] = (real)sin(i + 1.0);
    CHECK(plan_run(p, &e) == ST_OK, "%s", e.msg);
    *n = shape_numel(graph_shape(g, img));
    out = malloc((size_t)*n * sizeof *out);
    memcpy(out, plan_data(p, img), (size_t)*n * sizeof *out);
  }
  plan_free(p);
  graph_free(g);
  network_free(&net);
  return out;
}

static void test_network(void) {
  Import im;
  Error e = {0};
  int64_t n = 0, m = 0;
  real *want = image_of(DIR_ "tiny_nv.safetensors", &n);
  double range = 0;
  for (int64_t i = 0; i < n; i++) range = fmax(range, fabs((double)want[i]));
  CHECK(n == 512 && range > 0.1, "the original gives an image: largest value %g", range);
  for (int k = 0; k < 3; k++) {
    CHECK(import_open(&im, k == 1 ? DIR_ "tiny_nv_p3.pkl" : DIR_ "tiny_nv.pkl", &e) == ST_OK, "%s",
          e.msg);
    CHECK(im.kind == IMPORT_NETWORK && import_meta(&im, "D.mbstd_group_size") &&
              !strcmp(import_meta(&im, "D.mbstd_group_size"), "4") && import_meta(&im, "augment.p"),
          "%s", im.title);
    if (k == 2)
      CHECK(import_keep(&im, "G_ema.", &e) == ST_OK && im.ntensor == 56 &&
                !import_meta(&im, "D.c_dim") && import_keep(&im, "Q.", &e) == ST_FORMAT,
            "G_ema alone: %d tensors", im.ntensor);
    CHECK(import_write(&im, in_dir("n.safetensors"), &e) == ST_OK, "%s", e.msg);
    import_close(&im);
    real *got = image_of(in_dir("n.safetensors"), &m);
    CHECK(m == n && got && !memcmp(got, want, (size_t)n * sizeof *got),
          "imported network %d: the same image to the bit", k);
    free(got);
  }
  /* The state dict alone, as Python programs pass it on: bare names, no configuration. */
  StFile f;
  StWriter *w;
  CHECK(st_open(&f, in_dir("n.safetensors"), &e) == ST_OK && st_writer_new(&w, &e) == ST_OK, "%s",
        e.msg);
  for (int k = 0; k < f.ntensor; k++)
    CHECK(st_add(w, f.tensor[k].name + 6, f.tensor[k].dtype, f.tensor[k].shape, f.tensor[k].data,
                 &e) == ST_OK,
          "%s", e.msg);
  CHECK(st_commit(w, in_dir("bare.safetensors"), &e) == ST_OK &&
            import_open(&im, in_dir("bare.safetensors"), &e) == ST_OK,
        "%s", e.msg);
  CHECK(im.kind == IMPORT_NETWORK && strstr(im.title, "256 is assumed") &&
            import_find(&im, "G_ema.synthesis.b4.const"),
        "%s", im.title);
  CHECK(import_write(&im, in_dir("n2.safetensors"), &e) == ST_OK, "%s", e.msg);
  import_close(&im);
  st_close(&f);
  real *got = image_of(in_dir("n2.safetensors"), &m);
  CHECK(m == n && got && !memcmp(got, want, (size_t)n * sizeof *got),
        "from a bare state dict: the same image");
  free(got);
  free(want);
}

/* A copy of tiny_nv.pkl with the first `old` after `after` replaced by `new` of the same length
 * must be refused with `contains`. */
static void edited_network(const char *after, const char *old, const char *new_, size_t n,
                           const char *contains) {
  uint8_t *p;
  size_t bytes, at = 0;
  Error e = {0};
  Import im;
  CHECK(file_read(DIR_ "tiny_nv.pkl", &p, &bytes, 1 << 20, &e) == ST_OK, "%s", e.msg);
  while (at + strlen(after) < bytes && memcmp(p + at, after, strlen(after))) at++;
  while (at + n < bytes && memcmp(p + at, old, n)) at++;
  memcpy(p + at, new_, n);
  size_t live = mem_live_count();
  Status s = import_memory(&im, p, bytes, "FILE", &e);
  CHECK(s == ST_FORMAT && strstr(e.msg, contains) && mem_live_count() == live, "%s: %s", contains,
        s == ST_OK ? im.title : e.msg);
  if (s == ST_OK) import_close(&im);
  mem_free(p);
}

static void test_odd_networks(void) {
  edited_network("SynthesisBlock", "skip", "orig", 4, "architecture other than skip");
  edited_network("SynthesisLayer", "lrelu", "swish", 5, "activation other than lrelu");
  edited_network("DiscriminatorBlock", "resnet", "resnot", 6, "architecture other than resnet");
  edited_network("resample_filter", "\x00\x00\x80\x3c\x00\x00\x40\x3d",
                 "\x00\x00\x80\x3d\x00\x00\x40\x3d", 8, "not the filter [1,3,3,1]");
}

/* ---- VGG16, heads, Inception: streams made here ---- */
static const int64_t big = 512 * 512 * 9 + 16, head_numel = 512; /* view k begins at element k */
static float vgg_value(int key, int64_t i) {
  return key ? (float)(i % 7 + 1) / 8 : (float)(i % 1021) / 1024 - 0.4f;
}

static const int vgg_width[14] = {3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512};
/* All tensors are views of one storage, so 59 MB of weights fit 9. */
static Bytes vgg_stream(const char *fmt, int last, bool heads, bool features, int64_t numel) {
  Bytes b = {0};
  legacy_head(&b);
  put_str(&b, "\x80\x02"
              "ccollections\nOrderedDict\n](");
  char name[64];
  for (int k = 0; k < last && features; k++) {
    for (int bias = 0; bias < 2; bias++) {
      snprintf(name, sizeof name, fmt, import_vgg_index[k], bias ? "bias" : "weight");
      put_str(&b, "](");
      pk_str_py2(&b, name);
      pk_contiguous(&b, "0", numel, k, bias ? 1 : 4,
                    (int64_t[]){vgg_width[k + 1], vgg_width[k], 3, 3}, true);
      put_str(&b, "e");
    }
  }
  static const int c[5] = {64, 128, 256, 512, 512};
  for (int k = 0; k < 5 && heads; k++) {
    put_str(&b, "](");
    snprintf(name, sizeof name, "lin%d.model.1.weight", k);
    pk_str_py2(&b, name);
    pk_contiguous(&b, "1", head_numel, 0, 4, (int64_t[]){1, c[k], 1, 1}, true);
    put_str(&b, "e");
  }
  if (features) { /* the classifier: left out */
    put_str(&b, "](");
    pk_str_py2(&b, "classifier.0.weight");
    pk_contiguous(&b, "0", numel, 0, 2, (int64_t[]){10, 20}, true);
    put_str(&b, "e");
  }
  put_str(&b, "e\x85R.");
  return b;
}

/* The data of the heads alone: their key is "1". */
static void heads_tail(Bytes *b) {
  put(b, "\x80\x02](", 4);
  pk_str_py2(b, "1");
  put_str(b, "e.");
  put_u(b, (uint64_t)head_numel, 8);
  for (int64_t i = 0; i < head_numel; i++) {
    float f = vgg_value(1, i);
    put(b, &f, 4);
  }
}

static void test_vgg(void) {
  Import im, hd;
  Error e = {0};
  Vgg v;
  Bytes b = vgg_stream("features.%d.%s", 13, false, true, big - 16),
        h = vgg_stream("", 0, true, false, 0);
  legacy_tail(&b, 1, (int64_t[]){big - 16}, vgg_value);
  heads_tail(&h);
  CHECK(import_memory(&im, b.p, b.n, "v.pth", &e) == ST_FORMAT &&
            strstr(e.msg, "outside its storage"),
        "offset beyond the end: %s", e.msg);
  bytes_free(&b);
  for (int kind = 0; kind < 3; kind++) {
    b = vgg_stream(kind == 0   ? "features.%d.%s"
                   : kind == 1 ? "net.slice1.%d.%s"
                               : "state_dict.layers.c%d.%s",
                   13, kind == 1, true, big);
    legacy_tail(&b, kind == 1 ? 2 : 1, (int64_t[]){big, head_numel}, vgg_value);
    CHECK(import_memory(&im, b.p, b.n, "v.pth", &e) == ST_OK, "names %d: %s", kind, e.msg);
    CHECK(im.kind == IMPORT_VGG && im.ntensor == (kind == 1 ? 31 : 26) && im.dropped == 1 &&
              import_find(&im, "features.28.bias"),
          "names %d: %s, %d tensors", kind, im.title, im.ntensor);
    if (kind == 0) {
      CHECK(import_memory(&hd, h.p, h.n, "h.pth", &e) == ST_OK && hd.kind == IMPORT_HEADS &&
                hd.ntensor == 5,
            "heads of Python 2: %s", e.msg);
      CHECK(import_add_heads(&im, &hd, &e) == ST_OK && im.ntensor == 31 &&
                shape_eq(import_find(&im, "lin4")->shape, SHAPE1(512)),
            "together");
      CHECK(import_set_meta(&im, "name", "test VGG", &e) == ST_OK &&
                import_write(&im, in_dir("v.safetensors"), &e) == ST_OK,
            "%s", e.msg);
      CHECK(vgg_load(&v, in_dir("v.safetensors"), NULL, &e) == ST_OK, "%s", e.msg);
      const ParamEntry *t = params_find(&v.params, "features.10.weight"),
                       *l = params_find(&v.params, "lin3");
      CHECK(t->data[5] == vgg_value(0, 5 + 4) && l->data[3] == vgg_value(1, 3) &&
                fabs(v.mean[0] - 0.485 * 255) < 1e-9 && !strcmp(v.name, "test VGG"),
            "loaded: values, heads, input scale");
      vgg_free(&v);
      import_close(&hd);
    }
    import_close(&im);
    bytes_free(&b);
  }
  b = vgg_stream("features.%d.%s", 12, false, true, big);
  legacy_tail(&b, 1, (int64_t[]){big}, vgg_value);
  CHECK(import_memory(&im, b.p, b.n, "v.pth", &e) == ST_FORMAT &&
            strstr(e.msg, "features.28 is missing"),
        "a VGG16 without its last layer: %s", e.msg);
  bytes_free(&b);
  for (size_t i = 0; i + 20 < h.n; i++)
    if (!memcmp(h.p + i, "lin1", 4)) {
      h.p[i + 3] = '9';
      break;
    }
  CHECK(import_memory(&im, h.p, h.n, "h.pth", &e) == ST_OK && im.kind == IMPORT_STATE,
        "heads without lin1 are no heads");
  import_close(&im);
  bytes_free(&h);
}

static float inc_value(int key, int64_t i) { return (float)(key + i % 3); }
static Bytes inception_stream(int convs, bool aux) {
  static const char *const part[] = {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean",
                                     "bn.running_var"};
  Bytes b = {0};
  char name[80];
  legacy_head(&b);
  put_str(&b, "\x80\x02}(");
  for (int k = 0; k < convs; k++)
    for (int j = 0; j < 5; j++) {
      if (k == 0 || k == 93)
        snprintf(name, sizeof name, "%s.%s", k ? "Mixed_7c.branch_pool" : "Conv2d_1a_3x3", part[j]);
      else
        snprintf(name, sizeof name, "Mixed_%d.branch.%s", k, part[j]);
      pk_str(&b, name);
      if (j)
        pk_contiguous(&b, "0", 900, 0, 1, (int64_t[]){k ? 2 : 32}, false);
      else
        pk_contiguous(&b, "0", 900, 0, 4, k ? (int64_t[]){2, 1, 1, 1} : (int64_t[]){32, 3, 3, 3},
                      false);
    }
  if (aux) {
    pk_str(&b, "AuxLogits.fc.bias");
    pk_contiguous(&b, "0", 900, 0, 1, (int64_t[]){3}, false);
  }
  put_str(&b, "u.");
  legacy_tail(&b, 1, (int64_t[]){900}, inc_value);
  return b;
}

static void test_inception(void) {
  Import im;
  Error e = {0};
  Bytes b = inception_stream(94, false);
  CHECK(import_memory(&im, b.p, b.n, "i.pth", &e) == ST_OK && im.kind == IMPORT_INCEPTION &&
            im.ntensor == 470 && strstr(im.title, "the FID Inception"),
        "%s", e.msg);
  import_close(&im);
  bytes_free(&b);
  b = inception_stream(94, true);
  CHECK(import_memory(&im, b.p, b.n, "i.pth", &e) == ST_OK && im.ntensor == 470 &&
            strstr(im.title, "NOT the FID"),
        "torchvision's is told apart: %s", e.msg);
  import_close(&im);
  bytes_free(&b);
}

/* ---- damaged files ---- */
static Status try_bytes(const uint8_t *p, size_t n, Error *e) {
  Import im;
  memset(e, 0, sizeof *e);
  Status s = import_memory(&im, p, n, "FILE", e);
  if (s == ST_OK) import_close(&im);
  return s;
}

static void test_damage(const char *name, int mutations) {
  char path[200];
  snprintf(path, sizeof path, DIR_ "%s", name);
  uint8_t *p, *q;
  size_t n, live0 = mem_live_count();
  Error e;
  CHECK(file_read(path, &p, &n, 1 << 20, &e) == ST_OK, "%s", e.msg);
  size_t step = n > 8000 ? 331 : 1;
  int bad = 0;
  for (size_t k = 0; k < n; k += step) {
    /* exactly as long as it claims: reading beyond is seen by the sanitizer */
    q = malloc(k + 1);
    memcpy(q, p, k);
    Status s = try_bytes(q, k, &e);
    bad += s != ST_FORMAT || strncmp(e.msg, "FILE", 4) || strchr(e.msg, '\n');
    free(q);
  }
  CHECK(bad == 0, "%s: every truncation is refused in one line (%d are not)", name, bad);
  uint32_t r = 12345;
  q = malloc(n);
  for (int k = 0; k < mutations; k++) {
    memcpy(q, p, n);
    for (int j = 0; j < 1 + k % 4; j++) {
      r = r * 1664525 + 1013904223;
      uint32_t at = r >> 4;
      r = r * 1664525 + 1013904223;
      q[at % n] = k % 3 ? (uint8_t)(r >> 24) : q[at % n] ^ (uint8_t)(1 << (r >> 29));
    }
    Status s = try_bytes(q, n, &e);
    if (s != ST_OK && s != ST_FORMAT)
      CHECK(0, "%s, mutation %d: status %d, %s", name, k, (int)s, e.msg);
    if (s != ST_OK && (strncmp(e.msg, "FILE", 4) || strchr(e.msg, '\n')))
      CHECK(0, "%s, mutation %d: %s", name, k, e.msg);
  }
  free(q);
  mem_free(p);
  CHECK(mem_live_count() == live0, "%s: no leak", name);
}

static void test_memory(const char *name) {
  char path[200];
  snprintf(path, sizeof path, DIR_ "%s", name);
  size_t live = mem_live_count();
  int bad = 0, k = 0;
  Error e = {0};
  for (; k < 200000; k++) {
    Import im;
    mem_fail_after(k);
    Status s = import_open(&im, path, &e);
    if (s == ST_OK) s = import_write(&im, in_dir("m.safetensors"), &e), import_close(&im);
    mem_fail_after(-1);
    if (s == ST_OK) break;
    bad += s != ST_NOMEM || mem_live_count() != live;
  }
  CHECK(bad == 0 && k > 10 && k < 200000, "%s: each of %d allocations may fail (%d bad)", name, k,
        bad);
  unlink(in_dir("m.safetensors"));
}

static void test_files(void) {
  Import im;
  Error e = {0};
  static const struct {
    const char *text;
    size_t n;
    const char *want;
  } bad[] = {
#define T(s) s, sizeof(s) - 1
      {T("<!DOCTYPE html><html>"), "web page"},
      {T("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"},
      {T("\x1f\x8b\x08 abc"), "gzip"},
      {T("\x89HDF\r\n\x1a\n..."), "HDF5"},
      {T("hello world, this is text"), "not a file of weights"},
      {T("\x80\x02}."), "no tensors"},
      {T("\x80\x02K\x05."), "no tensors"},
#undef T
  };
  for (int k = 0; k < COUNT_OF(bad); k++) {
    put_file(in_dir("x"), bad[k].text, bad[k].n);
    CHECK(import_open(&im, in_dir("x"), &e) == ST_FORMAT && strstr(e.msg, bad[k].want) &&
              strstr(e.msg, dir),
          "%s: %s", bad[k].want, e.msg);
  }
  put_file(in_dir("x"), "", 0);
  CHECK(import_open(&im, in_dir("x"), &e) == ST_FORMAT && strstr(e.msg, "empty"), "%s", e.msg);
  CHECK(import_open(&im, dir, &e) == ST_IO && import_open(&im, in_dir("none"), &e) == ST_IO &&
            strstr(e.msg, "none"),
        "%s", e.msg);
  ZipItem it = stored("x/weights.npy", "abc", 3);
  Bytes b = {0};
  make_zip(&b, &it, 1);
  CHECK(try_bytes(b.p, b.n, &e) == ST_FORMAT && strstr(e.msg, "numpy archive"), "%s", e.msg);
  bytes_free(&b);
  /* The hash in a name: right, and wrong. */
  uint8_t *p;
  size_t n;
  char name[64], hex[65];
  CHECK(file_read(DIR_ "legacy_p2.pth", &p, &n, 1 << 20, &e) == ST_OK, "%s", e.msg);
  sha256_hex(p, n, hex);
  snprintf(name, sizeof name, "net-%.8s.pth", hex);
  put_file(in_dir(name), p, n);
  put_file(in_dir("net-00000000.pth"), p, n);
  CHECK(import_open(&im, in_dir(name), &e) == ST_OK && im.sha_known == 1 && !strcmp(im.sha256, hex),
        "%s", e.msg);
  import_close(&im);
  CHECK(import_open(&im, in_dir("net-00000000.pth"), &e) == ST_OK && im.sha_known == -1 &&
            strstr(im.sha_note, "NOT the 00000000"),
        "%s", im.sha_note);
  import_close(&im);
  put_file(in_dir("net-00000000.pth"), p, n / 2);
  CHECK(import_open(&im, in_dir("net-00000000.pth"), &e) == ST_FORMAT && strstr(e.msg, "SHA-256"),
        "damaged, and said so: %s", e.msg);
  mem_free(p);
  unlink(in_dir(name));
  unlink(in_dir("net-00000000.pth"));
  unlink(in_dir("x"));
}

int main(void) {
  static const char *const plain[] = {"legacy_p1.pth",    "legacy_p2.pth", "legacy_p3.pth",
                                      "legacy_p4.pth",    "legacy_p5.pth", "zip.pth",
                                      "zip_deflated.pth", "zip_zip64.pth", "checkpoint.pth"};
  bool big_run = getenv("TEST_LONG") != NULL;
  snprintf(dir, sizeof dir, "/tmp/prlx_test_import.%ld", (long)getpid());
  if (mkdir(dir, 0777) != 0) {
    printf("FAIL cannot make %s\n", dir);
    return 1;
  }
  test_sha();
  compare(DIR_ "tiny_nv.pkl", DIR_ "tiny_nv.safetensors", 140);
  compare(DIR_ "tiny_nv_p3.pkl", DIR_ "tiny_nv.safetensors", 140);
  compare(DIR_ "tiny_zip.pth", DIR_ "tiny_pth.safetensors", 18);
  compare(DIR_ "tiny_legacy.pth", DIR_ "tiny_pth.safetensors", 18);
  for (int k = 0; k < COUNT_OF(plain); k++) fixture(plain[k], "");
  fixture("script.pt", "part.");
  test_network();
  test_odd_networks();
  test_vgg();
  test_inception();
  test_files();
  for (int k = 0; k < COUNT_OF(plain); k++) test_damage(plain[k], big_run ? 200000 : 3000);
  test_damage("script.pt", big_run ? 200000 : 3000);
  test_damage("tiny_legacy.pth", big_run ? 100000 : 2000);
  test_damage("tiny_zip.pth", big_run ? 100000 : 2000);
  test_damage("tiny_nv.pkl", big_run ? 10000 : 300);
  test_damage("tiny_nv_p3.pkl", big_run ? 10000 : 300);
  test_memory("checkpoint.pth");
  test_memory("zip_deflated.pth");
  test_memory("legacy_p2.pth");
  test_memory("script.pt");
  if (big_run) test_memory("tiny_nv.pkl");
  static const char *const left[] = {"o.safetensors", "n.safetensors", "n2.safetensors",
                                     "bare.safetensors", "v.safetensors"};
  for (int k = 0; k < COUNT_OF(left); k++) unlink(in_dir(left[k]));
  CHECK(rmdir(dir) == 0, "nothing is left in %s", dir);
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
