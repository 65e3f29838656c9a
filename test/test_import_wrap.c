/* test_import_wrap.c: weights as training programs leave them: wrappers and dicts around a state
 * dict, archives without checksums, arguments beside the tensors, files dealt out by an index,
 * number types that are only known by name. */
#include <stdio.h>
#include <unistd.h>
#include "io/formats/file.h"
#include "models/store/import.h"
#include "test/test.h"
#define DIR_ "test/data/import/"

static char dir[64];
static const char *in_dir(const char *name) {
  static char b[4][200];
  static int k;
  k = (k + 1) % 4;
  snprintf(b[k], sizeof b[k], "%s/%s", dir, name);
  return b[k];
}

static bool good_message(const Error *e, const char *name) {
  return strstr(e->msg, name) && !strchr(e->msg, '\n') && e->code != ST_OK;
}

/* ---- wrappers ---- */
/* What a name of the sample network becomes: G is what stands for "G_ema.", D for "D."; NULL: left
 * out. */
static void wrapped_write(const StFile *f, const char *G, const char *D, const char *more) {
  StWriter *w;
  Error e = {0};
  char name[300];
  static const float one[4] = {1, 2, 3, 4};
  CHECK(st_writer_new(&w, &e) == ST_OK, "%s", e.msg);
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    const bool g = !strncmp(t->name, "G_ema.", 6), d = !strncmp(t->name, "D.", 2);
    if ((!g && !d) || (g && !G) || (d && !D)) continue;
    snprintf(name, sizeof name, "%s%s", g ? G : D, t->name + (g ? 6 : 2));
    CHECK(st_add(w, name, t->dtype, t->shape, t->data, &e) == ST_OK, "%s", e.msg);
  }
  if (more) CHECK(st_add(w, more, DT_F32, SHAPE1(4), one, &e) == ST_OK, "%s", e.msg);
  CHECK(st_commit(w, in_dir("w.safetensors"), &e) == ST_OK, "%s", e.msg);
}

/* The networks come out under our names, every tensor with the bytes it had. */
static void expect_networks(const StFile *f, bool D, const char *what) {
  Import im;
  Error e = {0};
  int same = 0, want = 0;
  const Status s = import_open(&im, in_dir("w.safetensors"), &e);
  CHECK(s == ST_OK && im.kind == IMPORT_NETWORK, "%s: %s", what, s == ST_OK ? im.title : e.msg);
  if (s != ST_OK) return;
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    if (strncmp(t->name, "G_ema.", 6) && (!D || strncmp(t->name, "D.", 2))) continue;
    const ImportTensor *got = import_find(&im, t->name);
    want++;
    same += got && shape_eq(got->shape, t->shape) && !memcmp(got->data, t->data, t->bytes);
  }
  CHECK(same == want && im.ntensor == want, "%s: %d of %d tensors, %d in all", what, same, want,
        im.ntensor);
  import_close(&im);
}

static void test_wrappers(void) {
  static const struct {
    const char *G;
    const char *D;
    const char *more;
  } k[] = {
      {"", NULL, NULL},
      {"_orig_mod.", NULL, NULL},
      {"module.", NULL, NULL},
      {"module._orig_mod.", NULL, NULL},
      {"G_ema.module.", "D.module.", NULL},
      {"G_ema._orig_mod.", "D._orig_mod.", NULL},
      {"g_ema.", NULL, NULL},
      {"g_ema.", "d.", "step"},
      {"ema.module.", "discriminator.", "optimizer.state.0"},
      {"state_dict.", NULL, NULL},
      {"model.state_dict.", NULL, NULL},
      {"model.", NULL, "optimizer.lr"},
      {"state_dict.generator_ema.", "state_dict.discriminator.", "epoch"},
      {"checkpoint.model.g_ema.", "checkpoint.model.d.", NULL},
      {"net._orig_mod.module.", NULL, "scaler"},
      {"anything.", NULL, "other"},
  };
  StFile f;
  Error e = {0};
  CHECK(st_open(&f, DIR_ "tiny_nv.safetensors", &e) == ST_OK, "%s", e.msg);
  for (int i = 0; i < COUNT_OF(k); i++) {
    char what[200];
    snprintf(what, sizeof what, "'%s' and '%s'", k[i].G, k[i].D ? k[i].D : "");
    wrapped_write(&f, k[i].G, k[i].D, k[i].more);
    expect_networks(&f, k[i].D != NULL, what);
  }
  st_close(&f);
}

/* A state dict of no known network keeps its names, but for what means nothing. */
static void test_other_dicts(void) {
  static const float v[2] = {1, 2};
  static const char *const in[] = {"state_dict._orig_mod.head.weight", "state_dict.module.bias"},
                           *const out[] = {"head.weight", "bias"};
  StWriter *w;
  Import im;
  Error e = {0};
  CHECK(st_writer_new(&w, &e) == ST_OK, "%s", e.msg);
  for (int k = 0; k < 2; k++)
    CHECK(st_add(w, in[k], DT_F32, SHAPE1(2), v, &e) == ST_OK, "%s", e.msg);
  CHECK(st_commit(w, in_dir("w.safetensors"), &e) == ST_OK &&
            import_open(&im, in_dir("w.safetensors"), &e) == ST_OK,
        "%s", e.msg);
  CHECK(im.kind == IMPORT_STATE && import_find(&im, out[0]) && import_find(&im, out[1]),
        "names without wrappers: %s, %s", im.tensor[0].name, im.tensor[1].name);
  import_close(&im);
  /* "module" that tells two tensors apart stays */
  CHECK(st_writer_new(&w, &e) == ST_OK &&
            st_add(w, "a.module.w", DT_F32, SHAPE1(2), v, &e) == ST_OK &&
            st_add(w, "a.w", DT_F32, SHAPE1(2), v, &e) == ST_OK &&
            st_commit(w, in_dir("w.safetensors"), &e) == ST_OK &&
            import_open(&im, in_dir("w.safetensors"), &e) == ST_OK,
        "%s", e.msg);
  CHECK(import_find(&im, "a.module.w") && import_find(&im, "a.w"), "no two of one name");
  import_close(&im);
}

/* ---- files of torch ---- */
static void test_torch(void) {
  Import im;
  Error e = {0};
  CHECK(import_open(&im, DIR_ "unchecked.pth", &e) == ST_OK && im.ntensor == 1 &&
            strstr(im.container, "without checksums") && ((const float *)im.tensor[0].data)[5] == 5,
        "no checksums: %s %s", im.container, e.msg);
  import_close(&im);
  CHECK(import_open(&im, DIR_ "zip.pth", &e) == ST_OK && !strstr(im.container, "without"), "%s",
        e.msg);
  import_close(&im);
  CHECK(import_open(&im, DIR_ "arguments.pth", &e) == ST_OK && im.ntensor == 1 &&
            !strcmp(im.tensor[0].name, "a") && ((const float *)im.tensor[0].data)[5] == 5,
        "arguments, a path, a date and a version beside the tensors: %s", e.msg);
  import_close(&im);
}

/* ---- indexes ---- */
static void shard_write(const char *file, const char *const *names, int n, float first) {
  StWriter *w;
  Error e = {0};
  static float v[4][2];
  CHECK(st_writer_new(&w, &e) == ST_OK, "%s", e.msg);
  for (int k = 0; k < n; k++) {
    v[k][0] = v[k][1] = first + (float)k;
    CHECK(st_add(w, names[k], DT_F32, SHAPE1(2), v[k], &e) == ST_OK, "%s", e.msg);
  }
  CHECK(st_commit(w, in_dir(file), &e) == ST_OK, "%s", e.msg);
}

static Status index_open(Import *im, const char *text, Error *e) {
  *e = (Error){0};
  CHECK(file_write_atomic(in_dir("m.safetensors.index.json"), text, strlen(text), e) == ST_OK, "%s",
        e->msg);
  return import_open(im, in_dir("m.safetensors.index.json"), e);
}

static void test_index(void) {
  static const char *const one[] = {"a", "b"}, *const two[] = {"c"};
  static const struct {
    const char *text;
    const char *want;
  } bad[] = {
      {"{\"weight_map\":{\"a\":\"1.safetensors\",\"x\":\"1.safetensors\"}}", "\"x\" is not in"},
      {"{\"weight_map\":{\"a\":\"9.safetensors\"}}", "9.safetensors"},
      {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "beside the index"},
      {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "beside the index"},
      {"{\"weight_map\":{\"a\":\"m.safetensors.index.json\"}}", "beside the index"},
      {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"}}", "twice"},
      {"{\"weight_map\":{},\"weight_map\":{}}", "twice"},
      {"{\"weight_map\":[1]}", "index"},
      {"{\"weight_map\":{\"a\":\"1.safetensors\"}", "index"},
      {"{\"weight_map\":{}}", "no tensors"},
  };
  Import im;
  Error e;
  const size_t live = mem_live_count();
  shard_write("1.safetensors", one, 2, 10);
  shard_write("2.safetensors", two, 1, 20);
  CHECK(index_open(&im,
                   " {\"metadata\":{\"total_size\":24},\"weight_map\":{\"c\":\"2.safetensors\","
                   "\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"}}",
                   &e) == ST_OK,
        "%s", e.msg);
  const ImportTensor *b = import_find(&im, "b"), *c = import_find(&im, "c");
  CHECK(im.ntensor == 3 && im.nshards == 2 && b && ((const float *)b->data)[1] == 11 && c &&
            ((const float *)c->data)[0] == 20,
        "two files: %s", im.container);
  CHECK(import_write(&im, in_dir("w.safetensors"), &e) == ST_OK, "%s", e.msg);
  import_close(&im);
  for (int k = 0; k < COUNT_OF(bad); k++)
    CHECK(index_open(&im, bad[k].text, &e) == ST_FORMAT || e.code == ST_IO, "%s: %s", bad[k].text,
          e.msg);
  for (int k = 0; k < COUNT_OF(bad); k++) {
    index_open(&im, bad[k].text, &e);
    CHECK(good_message(&e, "safetensors") && strstr(e.msg, bad[k].want), "%s: %s", bad[k].text,
          e.msg);
  }
  CHECK(mem_live_count() == live, "nothing leaked");
}

/* ---- types ---- */
static void test_types(void) {
  static const char head[] = "{\"a\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                             "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
  uint8_t file[8 + sizeof head - 1 + 12] = {sizeof head - 1};
  Import im;
  Error e = {0};
  memcpy(file + 8, head, sizeof head - 1);
  CHECK(file_write_atomic(in_dir("w.safetensors"), file, sizeof file, &e) == ST_OK, "%s", e.msg);
  CHECK(import_open(&im, in_dir("w.safetensors"), &e) == ST_FORMAT && strstr(e.msg, "C64") &&
            !strstr(e.msg, "damaged") && good_message(&e, "w.safetensors"),
        "complex weights: %s", e.msg);
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_wrap_%ld", (long)getpid());
  Error e;
  if (dir_make(dir, &e) != ST_OK) {
    printf("FAIL %s\n", e.msg);
    return 1;
  }
  test_wrappers();
  test_other_dicts();
  test_torch();
  test_index();
  test_types();
  static const char *const left[] = {"w.safetensors", "1.safetensors", "2.safetensors",
                                     "m.safetensors.index.json"};
  for (int i = 0; i < COUNT_OF(left); i++) unlink(in_dir(left[i]));
  CHECK(rmdir(dir) == 0 && mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
