/* test_import_wrap.c: weights as training programs leave them: wrappers and dicts around a state
 * dict, archives without checksums, arguments beside the tensors, files dealt out by an index,
 * number types that are only known by name. */
#include <stdio.h>
#include <unistd.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/import.h"
#include "models/store/netfile.h"
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

/* Two generators: `raw` of zeros, `average` with the sample's numbers. */
static void pair_write(const StFile *f, const char *raw, const char *average) {
  StWriter *w;
  Error e = {0};
  char name[300];
  static const float zero[4096];
  CHECK(st_writer_new(&w, &e) == ST_OK, "%s", e.msg);
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    const bool filter = str_ends_with(t->name, "resample_filter");
    if (strncmp(t->name, "G_ema.", 6)) continue;
    snprintf(name, sizeof name, "%s%s", raw, t->name + 6);
    CHECK(st_add(w, name, t->dtype, t->shape, filter ? t->data : zero, &e) == ST_OK, "%s", e.msg);
    snprintf(name, sizeof name, "%s%s", average, t->name + 6);
    CHECK(st_add(w, name, t->dtype, t->shape, t->data, &e) == ST_OK, "%s", e.msg);
  }
  CHECK(st_commit(w, in_dir("w.safetensors"), &e) == ST_OK, "%s", e.msg);
}

/* Of two generators the average is G_ema, whatever it is called and wherever it lies; where nothing
 * says which one that is, both are named. */
static void test_averages(void) {
  static const struct {
    const char *raw;
    const char *average;
    bool known;
  } k[] = {
      {"state_dict.", "ema_state_dict.", true},
      {"state_dict.", "state_dict_ema.", true},
      {"G.", "G_avg.", true},
      {"gen.", "gen_ema.", true},
      {"generator.", "generator_running.", true},
      {"G.", "Gs.", true},
      {"model.", "modelEma.module.", true},
      {"state_dict.model.", "callbacks.EMA.ema_state_dict.model.", true},
      {"raw.generator.", "ema.generator.", true},
      {"schema.", "ema.", true},
      {"model.", "shadow.", true},
      {"", "ema.module.", true},
      {"ema.", "G_ema.", true},
      {"a.", "b.", false},
      {"generator.", "generator_B.", false},
      {"state_dict.", "best_state_dict.", false},
      {"ema_models.0.", "ema_models.1.", false},
      {"cinema.", "schema.", false},
  };
  StFile f;
  Error e = {0};
  Import im;
  CHECK(st_open(&f, DIR_ "tiny_nv.safetensors", &e) == ST_OK, "%s", e.msg);
  for (int i = 0; i < COUNT_OF(k); i++) {
    pair_write(&f, k[i].raw, k[i].average);
    const Status s = import_open(&im, in_dir("w.safetensors"), &e);
    CHECK(k[i].known ? s == ST_OK
                     : s == ST_FORMAT && strstr(e.msg, k[i].raw) && strstr(e.msg, k[i].average) &&
                           good_message(&e, "w.safetensors"),
          "'%s' and '%s': %s", k[i].raw, k[i].average, e.msg);
    if (s != ST_OK) continue;
    const ImportTensor *got = import_find(&im, "G_ema.mapping.w_avg");
    const StTensor *want = st_find(&f, "G_ema.mapping.w_avg");
    CHECK(got && !memcmp(got->data, want->data, want->bytes), "'%s' and '%s': the raw one",
          k[i].raw, k[i].average);
    import_close(&im);
  }
  st_close(&f);
}

/* The sample generator with one tensor in another shape or type, or with one more. */
static void odd_write(const StFile *f, const char *odd, DType type, Shape shape) {
  static const float zero[4096];
  StWriter *w;
  Error e = {0};
  bool seen = false;
  CHECK(st_writer_new(&w, &e) == ST_OK, "%s", e.msg);
  for (int k = 0; k < f->ntensor; k++) {
    const StTensor *t = &f->tensor[k];
    const bool this = !strcmp(t->name, odd);
    seen |= this;
    if (strncmp(t->name, "G_ema.", 6)) continue;
    CHECK(st_add(w, t->name, this ? type : t->dtype, this ? shape : t->shape, this ? zero : t->data,
                 &e) == ST_OK,
          "%s", e.msg);
  }
  if (!seen) CHECK(st_add(w, odd, type, shape, zero, &e) == ST_OK, "%s", e.msg);
  CHECK(st_commit(w, in_dir("w.safetensors"), &e) == ST_OK, "%s", e.msg);
}

/* What import and generate refuse alike, and what they blame. */
static void test_odd_tensors(void) {
  static const struct {
    const char *tensor;
    DType type;
    Shape shape;
    const char *want; /* NULL: taken */
  } k[] = {
      {"G_ema.synthesis.b4.conv1.weight", DT_F32, SHAPE4(3, 3, 8, 8), "transpose it"},
      {"G_ema.synthesis.b16.conv1.affine.weight", DT_F32, SHAPE2(8, 4), "transpose it"},
      {"G_ema.synthesis.b8.conv0.bias", DT_F32, SHAPE1(3), "belong"},
      {"G_ema.mapping.fc0.weight", DT_I8, SHAPE2(8, 8), "holds whole numbers (I8)"},
      {"G_ema.mapping.w_avg", DT_I64, SHAPE1(8), "holds whole numbers (I64)"},
      {"G_ema.synthesis.b8.resample_filter", DT_F32, SHAPE2(4, 4), "not the filter"},
      {"G_ema.synthesis.b4.conv1.weight_orig", DT_F32, SHAPE1(3), "weight_orig does not belong"},
      {"G_ema.synthesis.b4.conv1.total_ops", DT_F64, SHAPE1(1), NULL},
      {"G_ema.mapping.fc0.total_params", DT_F64, SHAPE1(1), NULL},
  };
  StFile f;
  Error e = {0};
  Network net;
  CHECK(st_open(&f, DIR_ "tiny_nv.safetensors", &e) == ST_OK, "%s", e.msg);
  for (int i = 0; i < COUNT_OF(k); i++) {
    odd_write(&f, k[i].tensor, k[i].type, k[i].shape);
    const Status s = network_load(&net, in_dir("w.safetensors"), &e);
    CHECK(k[i].want ? s == ST_FORMAT && strstr(e.msg, k[i].want) && strstr(e.msg, k[i].tensor)
                    : s == ST_OK,
          "%s: %s", k[i].tensor, s == ST_OK ? "taken" : e.msg);
    if (s == ST_OK) network_free(&net);
  }
  st_close(&f);
}

/* Metadata that are no texts, one file of several, a file cut short: named as that. */
static void test_odd_files(void) {
  static const struct {
    const char *file;
    const char *head;
    const char *want;
  } k[] = {
      {"w.safetensors", "{\"__metadata__\":{\"epoch\":3}}", "the value of \"epoch\" is no text"},
      {"w.safetensors", "{\"__metadata__\":\"hello\"}", "__metadata__ is no object of texts"},
      {"w.safetensors", " {\"a\":1}", "does not begin with {"},
      {"m.safetensors.index.json", NULL, "without a weight_map"},
  };
  Import im;
  Error e = {0};
  for (int i = 0; i < COUNT_OF(k); i++) {
    uint8_t file[200] = "{\"metadata\": {}}";
    const size_t n = k[i].head ? 8 + strlen(k[i].head) : strlen((char *)file);
    if (k[i].head) {
      memset(file, 0, 8);
      file[0] = (uint8_t)(n - 8);
      memcpy(file + 8, k[i].head, n - 8);
    }
    CHECK(file_write_atomic(in_dir(k[i].file), file, n, &e) == ST_OK, "%s", e.msg);
    CHECK(import_open(&im, in_dir(k[i].file), &e) == ST_FORMAT && strstr(e.msg, k[i].want) &&
              good_message(&e, k[i].file),
          "%s: %s", k[i].want, e.msg);
  }
  CHECK(strstr(import_shard_hint("a/model-00001-of-00002.safetensors"), "index") &&
            !*import_shard_hint("a/model-0001-of-00002.safetensors") &&
            !*import_shard_hint("-00001-of-00002.safetensors") && !*import_shard_hint("x"),
        "one of several files");
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
  test_averages();
  test_odd_tensors();
  test_odd_files();
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
