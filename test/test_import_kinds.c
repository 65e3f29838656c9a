/* test_import_kinds.c: what stands in state dicts beside plain tensors: pickled numpy arrays, state
 * dicts inside namespaces, tensors of types that are not read, names that are too long. */
#include <stdio.h>
#include "io/formats/torch.h"
#include "models/store/import.h"
#include "test/import_bytes.h"

/* A literal that may hold zeros. */
#define PUT(b, text) put(b, text, sizeof text - 1)

static const float six[6] = {1, 2, 3, 4, 5, -6.5f};

/* The six numbers as `size` bytes each; big: highest byte first; turned: in Fortran order of 2 x 3.
 */
static size_t six_bytes(uint8_t *out, size_t size, bool big, bool turned) {
  for (int i = 0; i < 6; i++) {
    const int from = turned ? (i % 2) * 3 + i / 2 : i;
    const double d = six[from];
    uint8_t *p = out + (size_t)i * size;
    memcpy(p, size == 8 ? (const void *)&d : (const void *)&six[from], size);
    bytes_little(p, p, 1, size);
    if (big) bytes_turn(p, p, 1, size);
  }
  return 6 * size;
}

static void put_dtype(Bytes *b, const char *code, const char *order) {
  put_str(b, "cnumpy\ndtype\n(");
  pk_str(b, code);
  put_str(b, "\x89\x88tR(");
  PUT(b, "K\3");
  pk_str(b, order);
  PUT(b, "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb");
}

/* As numpy writes it in protocols 2 to 4, or (buffer) in protocol 5. */
static void put_array(Bytes *b, const char *code, const char *order, bool turned, bool buffer,
                      const void *data, size_t n) {
  if (buffer) {
    PUT(b, "cnumpy._core.numeric\n_frombuffer\n(\x96");
    put_u(b, n, 8);
    put(b, data, n);
    put_dtype(b, code, order);
    put_str(b, "K\2K\3\x86");
    pk_str(b, turned ? "F" : "C");
    put_str(b, "tR");
    return;
  }
  PUT(b, "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR(K\1K\2K\3\x86");
  put_dtype(b, code, order);
  put_str(b, turned ? "\x88" : "\x89");
  put_str(b, "B");
  put_u(b, n, 4);
  put(b, data, n);
  put_str(b, "tb");
}

static void put_foreign(Bytes *b, const char *call) {
  put_str(b, "ctorch._utils\n");
  put_str(b, call);
  PUT(b, "\n(NK\0K\3\x85K\1\x85\x89Nctorch\nfloat8_e4m3fn\ntR");
}

/* ---- arrays ---- */
static void check_six(const Bytes *b, const char *what) {
  TorchFile f;
  Error e = {0};
  Status s = torch_open(&f, b->p, b->n, "m.pkl", &e);
  if (s == ST_OK) s = torch_collect(&f, &e);
  CHECK(s == ST_OK, "%s: %s", what, e.msg);
  const TorchTensor *t = s == ST_OK ? torch_find(&f, "w") : NULL;
  CHECK(t && shape_eq(t->shape, SHAPE2(2, 3)), "%s: 2 x 3", what);
  for (int i = 0; t && i < 6; i++) {
    const StTensor one = {.dtype = t->dtype,
                          .shape = SHAPE0(),
                          .data = (const char *)t->data + (size_t)i * dtype_size(t->dtype),
                          .bytes = dtype_size(t->dtype)};
    double v;
    st_to_f64(&one, &v);
    CHECK(v == (double)six[i], "%s: number %d is %g", what, i, v);
  }
  torch_close(&f);
}

static void test_arrays(void) {
  uint8_t raw[48];
  for (int k = 0; k < 16; k++) {
    const bool wide = k & 1, big = k & 2, turned = k & 4, buffer = k & 8;
    const size_t n = six_bytes(raw, wide ? 8 : 4, big, turned);
    Bytes b = {0};
    char what[64];
    snprintf(what, sizeof what, "f%d %s%s%s", wide ? 8 : 4, big ? "big " : "",
             turned ? "Fortran " : "", buffer ? "protocol 5" : "");
    put_str(&b, "}");
    pk_str(&b, "w");
    put_array(&b, wide ? "f8" : "f4", big ? ">" : "<", turned, buffer, raw, n);
    put_str(&b, "s.");
    check_six(&b, what);
    bytes_free(&b);
  }
}

static void test_bad_arrays(void) {
  uint8_t raw[48];
  const size_t n = six_bytes(raw, 4, false, false);
  for (int k = 0; k < 2; k++)
    for (size_t cut = 0; cut < 3; cut++) {
      Bytes b = {0};
      TorchFile f;
      Error e = {0};
      put_str(&b, "}");
      pk_str(&b, "w");
      put_array(&b, cut ? "f4" : "U2", "<", false, k, raw, n - (cut ? cut * 2 : 0));
      put_str(&b, "s.");
      CHECK(torch_open(&f, b.p, b.n, "m.pkl", &e) == ST_OK, "%s", e.msg);
      const Status s = torch_collect(&f, &e);
      if (cut)
        CHECK(s == ST_FORMAT && strstr(e.msg, "its shape needs 6 x 4"), "cut: %s", e.msg);
      else
        CHECK(s == ST_OK && !strcmp(f.tensor[0].type, "numpy U2") && !f.tensor[0].data,
              "an array of texts is not read: %s", e.msg);
      torch_close(&f);
      bytes_free(&b);
    }
}

/* Of order "K": the data are 2 x 3 of an array of 3 x 2; and orders and axes that are none. */
static void test_moved_axes(void) {
  static const char *const axes[] = {"K\1K\0\x86", "K\1K\1\x86", "K\1K\2\x86", "K\0\x85", "N"};
  static const size_t length[] = {5, 5, 5, 3, 1};
  uint8_t raw[48];
  const size_t n = six_bytes(raw, 4, false, false);
  for (int k = 0; k < COUNT_OF(axes) + 1; k++) {
    Bytes b = {0};
    TorchFile f;
    Error e = {0};
    put_str(&b, "}");
    pk_str(&b, "w");
    put_str(&b, "cnumpy._core.numeric\n_frombuffer\n(C\x18");
    put(&b, raw, n);
    put_dtype(&b, "f4", "<");
    PUT(&b, "K\2K\3\x86");
    pk_str(&b, k < COUNT_OF(axes) ? "K" : "A");
    put(&b, axes[k % COUNT_OF(axes)], length[k % COUNT_OF(axes)]);
    put_str(&b, "tRs.");
    CHECK(torch_open(&f, b.p, b.n, "m.pkl", &e) == ST_OK, "%s", e.msg);
    const Status s = torch_collect(&f, &e);
    if (k) CHECK(s == ST_FORMAT && strstr(e.msg, "its shape or order"), "order %d: %s", k, e.msg);
    if (k == 0) CHECK(s == ST_OK && shape_eq(f.tensor[0].shape, SHAPE2(3, 2)), "%s", e.msg);
    for (int i = 0; i < 6 && s == ST_OK; i++)
      CHECK(load_le32((const uint8_t *)f.tensor[0].data + (size_t)i * 4) ==
                load_le32(raw + (size_t)(i % 2 * 3 + i / 2) * 4),
            "number %d of an array with moved axes", i);
    torch_close(&f);
    bytes_free(&b);
  }
}

/* Python 3 writes no bytes at all as bytes() in protocols 0 to 2. */
static void test_empty_array(void) {
  Bytes b = {0};
  Import im;
  Error e = {0};
  put_str(&b, "}");
  pk_str(&b, "w");
  PUT(&b, "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR(K\1K\0K\3\x86");
  put_dtype(&b, "f4", "<");
  put_str(&b, "\x89"
              "c__builtin__\nbytes\n)Rtbs.");
  CHECK(import_memory(&im, b.p, b.n, "m.pkl", &e) == ST_OK && im.ntensor == 1 &&
            shape_eq(im.tensor[0].shape, SHAPE2(0, 3)),
        "an array without numbers: %s", e.msg);
  import_close(&im);
  bytes_free(&b);
}

/* Arrays of texts stand beside a dict of no known network; alone they are nothing to import. */
static void test_texts_beside(void) {
  uint8_t raw[48];
  const size_t n = six_bytes(raw, 4, false, false);
  for (int k = 0; k < 2; k++) {
    Bytes b = {0};
    Import im;
    Error e = {0};
    put_str(&b, "}");
    pk_str(&b, "names");
    put_array(&b, "U1", "<", false, false, raw, n);
    put_str(&b, "s");
    if (k) pk_str(&b, "w");
    if (k) put_array(&b, "f4", HOST_BIG ? ">" : "<", false, false, raw, n);
    put_str(&b, k ? "s." : ".");
    const Status s = import_memory(&im, b.p, b.n, "m.pkl", &e);
    if (k)
      CHECK(s == ST_OK && im.ntensor == 1 && im.unread == 1, "texts beside a dict: %s", e.msg);
    else
      CHECK(s == ST_FORMAT && strstr(e.msg, "nothing but arrays") && strstr(e.msg, "numpy U1"),
            "texts alone: %s", e.msg);
    import_close(&im);
    bytes_free(&b);
  }
}

/* ---- namespaces ---- */
static void test_namespaces(void) {
  static const char *const open[] = {"cargparse\nNamespace\n)\x81}", "ctypes\nSimpleNamespace\n)R}",
                                     "ccopy_reg\n_reconstructor\n(cargparse\nNamespace\n"
                                     "c__builtin__\nobject\nNtR}"};
  uint8_t raw[48];
  const size_t n = six_bytes(raw, 4, false, false);
  for (int k = 0; k < COUNT_OF(open); k++) {
    Bytes b = {0};
    TorchFile f;
    Error e = {0};
    put_str(&b, "}");
    pk_str(&b, "a");
    put_str(&b, "](");
    put_str(&b, open[k]);
    pk_str(&b, "net");
    put_str(&b, "}");
    pk_str(&b, "w");
    put_array(&b, "f4", "<", false, false, raw, n);
    put_str(&b, "ssb"
                "es.");
    Status s = torch_open(&f, b.p, b.n, "m.pkl", &e);
    if (s == ST_OK) s = torch_collect(&f, &e);
    CHECK(s == ST_OK && f.count == 1 && !strcmp(f.tensor[0].name, "a.0.net.w"),
          "a state dict inside namespace %d: %s", k, e.msg);
    torch_close(&f);
    bytes_free(&b);
  }
}

/* ---- types that are not read, and long names ---- */
/* A network as far as names tell, and one entry more. */
static void put_network(Bytes *b, const char *more, const char *call) {
  static const float one[1] = {1};
  put_str(b, "}");
  pk_str(b, "G_ema.synthesis.b4.const");
  PUT(b, "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR(K\1K\1K\1K\1\x87");
  put_dtype(b, "f4", HOST_BIG ? ">" : "<");
  put_str(b, "\x89"
             "C\4");
  put(b, one, 4);
  put_str(b, "tbs");
  pk_str(b, more);
  put_foreign(b, call);
  put_str(b, "s.");
}

static void test_foreign(void) {
  static const char *const kind[][2] = {{"_rebuild_tensor_v3", "float8_e4m3fn"},
                                        {"_rebuild_sparse_tensor", "sparse"},
                                        {"_rebuild_qtensor", "quantised"},
                                        {"_rebuild_nested_tensor", "nested"},
                                        {"_rebuild_meta_tensor_no_storage", "meta"}};
  for (int k = 0; k < COUNT_OF(kind); k++) {
    Bytes b = {0}, c = {0};
    Import im;
    Error e = {0};
    put_network(&b, "extra", kind[k][0]);
    CHECK(import_memory(&im, b.p, b.n, "m.pkl", &e) == ST_OK && im.kind == IMPORT_NETWORK &&
              im.ntensor == 1 && im.unread == 1 && strstr(im.unread_what, "\"extra\" (") &&
              strstr(im.unread_what, kind[k][1]),
          "%s beside a network is skipped: %s%s", kind[k][1], im.unread_what, e.msg);
    import_close(&im);
    put_network(&c, "G_ema.mapping.fc0.weight", kind[k][0]);
    CHECK(import_memory(&im, c.p, c.n, "m.pkl", &e) == ST_FORMAT &&
              strstr(e.msg, "\"G_ema.mapping.fc0.weight\"") && strstr(e.msg, kind[k][1]),
          "%s inside it is refused by name: %s", kind[k][1], e.msg);
    bytes_free(&b);
    bytes_free(&c);
  }
}

/* A script may use any name, also one without letters: still a type that is not read. */
static void test_nameless_type(void) {
  Bytes b = {0}, z = {0};
  Import im;
  Error e = {0};
  put_str(&b, "}");
  pk_str(&b, "w");
  PUT(&b, "ctorch._utils\n_rebuild_tensor_v3\n(NK\0M\0\x10\x85K\1\x85\x89Nc__torch__\n\ntRs.");
  ZipItem item[] = {stored("x/data.pkl", b.p, b.n), stored("x/constants.pkl", "\x80\x02).", 4)};
  make_zip(&z, item, 2);
  CHECK(import_memory(&im, z.p, z.n, "m.pt", &e) == ST_FORMAT && strstr(e.msg, "type unknown"),
        "a type without a name: %s", e.msg);
  import_close(&im);
  bytes_free(&b);
  bytes_free(&z);
}

/* A key of a megabyte on 40000 entries is passed over each time without being read to its end. */
static void test_long_key_often(void) {
  Bytes b = {0};
  Import im;
  Error e = {0};
  const size_t length = 1 << 20;
  put_network(&b, "extra", "_rebuild_qtensor");
  b.n--; /* STOP */
  put_str(&b, "X");
  put_u(&b, length, 4);
  put_many(&b, "x", 1, length);
  PUT(&b, "q\1]s");
  put_many(&b, "h\1]s", 4, 40000);
  put_str(&b, ".");
  CHECK(import_memory(&im, b.p, b.n, "m.pkl", &e) == ST_OK && im.torch.toolong == 40001,
        "one long key, often: %s", e.msg);
  import_close(&im);
  bytes_free(&b);
}

static void test_many_foreign(void) {
  Bytes b = {0};
  Import im;
  Error e = {0};
  put_network(&b, "extra", "_rebuild_qtensor");
  b.n--; /* STOP */
  for (int k = 0; k < 100; k++) {
    char name[64];
    snprintf(name, sizeof name, "a tensor with a name of some length, number %d", k);
    pk_str(&b, name);
    put_foreign(&b, "_rebuild_sparse_tensor");
    put_str(&b, "s");
  }
  put_str(&b, ".");
  CHECK(import_memory(&im, b.p, b.n, "m.pkl", &e) == ST_OK && im.unread == 101 &&
            strlen(im.unread_what) < sizeof im.unread_what &&
            !strcmp(im.unread_what + strlen(im.unread_what) - 5, ", ..."),
        "a hundred of them: the first are named: %s%s", im.unread_what, e.msg);
  import_close(&im);
  bytes_free(&b);
}

static void test_long_names(void) {
  static const size_t length[] = {198, 199, 512, 3000};
  char name[3001];
  for (int k = 0; k < COUNT_OF(length); k++) {
    Bytes b = {0};
    Import im;
    Error e = {0};
    memset(name, 'x', length[k]);
    name[length[k]] = 0;
    put_network(&b, name, "_rebuild_qtensor");
    CHECK(import_memory(&im, b.p, b.n, "m.pkl", &e) == ST_OK && im.kind == IMPORT_NETWORK &&
              im.torch.toolong == (length[k] > 198) && im.unread == (length[k] == 198) &&
              !im.torch.longest == (length[k] == 198),
          "a name of %zu letters: %s", length[k], e.msg);
    import_close(&im);
    bytes_free(&b);
  }
}

/* What calls itself UTF-8 and is not would make a file that nobody can read. */
static void test_names_utf8(void) {
  static const char *const name[] = {"caf\xc3\xa9", "caf\xc3", "caf\xe9", "\xed\xa0\x80",
                                     "\xc0\xaf"};
  for (int k = 0; k < COUNT_OF(name); k++) {
    Bytes b = {0};
    Import im;
    Error e = {0};
    put_network(&b, name[k], "_rebuild_qtensor");
    const Status s = import_memory(&im, b.p, b.n, "m.pkl", &e);
    CHECK(s == (k ? ST_FORMAT : ST_OK) && (!k || strstr(e.msg, "not UTF-8")), "name %d: %s", k,
          e.msg);
    import_close(&im);
    bytes_free(&b);
  }
}

int main(void) {
  test_arrays();
  test_bad_arrays();
  test_moved_axes();
  test_empty_array();
  test_texts_beside();
  test_namespaces();
  test_foreign();
  test_nameless_type();
  test_many_foreign();
  test_long_key_often();
  test_long_names();
  test_names_utf8();
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
