/* test_io.c: safetensors, JSON, data sets, logs, atomic writing: round trips, number types, hostile
 * bytes, failing memory, full disks. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/rng.h"
#include "io/formats/bytes.h"
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/jsonl.h"
#include "io/images/dataset.h"
#include "test/test.h"

static char dir[64];
static const char *in_dir(const char *name) {
  static char b[4][160];
  static int k;
  k = (k + 1) % 4;
  snprintf(b[k], sizeof b[k], "%s/%s", dir, name);
  return b[k];
}

static int files_in_dir(void) {
  DIR *d = opendir(dir);
  int n = 0;
  for (struct dirent *x; (x = readdir(d));) n += x->d_name[0] != '.';
  closedir(d);
  return n;
}

static void put_file(const char *path, const void *p, size_t n) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(p, 1, n, f) != n) {
    printf("FAIL cannot write %s\n", path);
    exit(1);
  }
  fclose(f);
}

/* One line, names the file, ends properly: what every error message must be. */
static bool good_message(const Error *e, const char *path) {
  return strstr(e->msg, path) && !strchr(e->msg, '\n') && e->msg[0] && e->code != ST_OK;
}

/* ---- halves ---- */
static void test_half(void) {
  int bad = 0, bad_round = 0;
  for (uint32_t h = 0; h < 65536; h++) {
    float f = half_to_float((uint16_t)h);
    uint16_t back = float_to_half(f);
    if (isnan(f) ? (back & 0x7c00) != 0x7c00 || !(back & 0x3ff) : back != h) bad++;
  }
  CHECK(bad == 0, "half -> float -> half gives the same half (%d do not)", bad);
  /* between neighbours: nearest, ties to even; above the largest: infinity from 65520 on */
  for (uint32_t h = 0; h < 0x7c00; h++) {
    double a = half_to_float((uint16_t)h),
           b = h == 0x7bff ? 65536 : half_to_float((uint16_t)(h + 1)), mid = (a + b) / 2;
    uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
    for (int s = 0; s < 2; s++) {
      uint16_t sign = s ? 0x8000 : 0;
      float m = (float)(s ? -mid : mid), lo = nextafterf(m, 0),
            hi = nextafterf(m, s ? -1e9f : 1e9f);
      bad_round += float_to_half(m) != (sign | even) || float_to_half(lo) != (sign | h) ||
                   float_to_half(hi) != (sign | (h + 1));
    }
  }
  CHECK(bad_round == 0, "rounding to nearest, ties to even (%d wrong)", bad_round);
  CHECK(float_to_half(INFINITY) == 0x7c00 && float_to_half(-1e30f) == 0xfc00 &&
            float_to_half(1e-30f) == 0 && float_to_half(-0.0f) == 0x8000,
        "extremes");
}

/* ---- safetensors ---- */
static const float f32[6] = {0, 1, -2.5f, 1e-30f, 65504, 3.25f};
static Status write_sample(const char *path, Error *e) {
  static const double f64[2] = {1.0 / 3, -1e300};
  static const int64_t i64[3] = {-1, 0, INT64_C(1) << 40};
  static const int32_t i32[2] = {-7, 1 << 30};
  static const int16_t i16[2] = {-300, 300};
  static const int8_t i8[2] = {-128, 127};
  static const uint8_t u8[3] = {0, 1, 255};
  static const uint16_t bf[2] = {0x3fc0, 0xc2f7};
  StWriter *w;
  Status s = st_writer_new(&w, e);
  if (s != ST_OK) return s;
  if (s == ST_OK) s = st_add(w, "u8", DT_U8, SHAPE1(3), u8, e);
  if (s == ST_OK) s = st_add(w, "f32", DT_F32, SHAPE3(1, 2, 3), f32, e);
  if (s == ST_OK) s = st_add(w, "f64", DT_F64, SHAPE1(2), f64, e);
  if (s == ST_OK) s = st_add(w, "i64", DT_I64, SHAPE1(3), i64, e);
  if (s == ST_OK) s = st_add(w, "i32", DT_I32, SHAPE1(2), i32, e);
  if (s == ST_OK) s = st_add(w, "i16", DT_I16, SHAPE2(2, 1), i16, e);
  if (s == ST_OK) s = st_add(w, "i8", DT_I8, SHAPE1(2), i8, e);
  if (s == ST_OK) s = st_add(w, "bool", DT_BOOL, SHAPE1(3), u8, e);
  if (s == ST_OK) s = st_add(w, "bf16", DT_BF16, SHAPE1(2), bf, e);
  if (s == ST_OK) s = st_add(w, "scalar \"\\\n\xc3\xa9", DT_F32, SHAPE0(), f32 + 2, e);
  if (s == ST_OK) s = st_add(w, "empty", DT_F32, SHAPE2(0, 5), f32, e);
  if (s == ST_OK) s = st_add_f32_as_f16(w, "f16", SHAPE1(6), f32, e);
  if (s == ST_OK) s = st_add_meta(w, "key", "tab\there \"quoted\"", e);
  if (s == ST_OK) s = st_add_metaf(w, e, "number", "%d", 42);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

static double value(const StFile *f, const char *name, int i) {
  double d[8] = {0};
  float s[8] = {0};
  const StTensor *t = st_find(f, name);
  if (!t || shape_numel(t->shape) > 8) return NAN;
  st_to_f64(t, d);
  st_to_f32(t, s);
  return s[i] == (float)d[i] ? d[i] : NAN; /* both conversions must agree */
}

static void test_round_trip(void) {
  Error e = {0};
  StFile f;
  const char *p = in_dir("a.safetensors");
  CHECK(write_sample(p, &e) == ST_OK, "write: %s", e.msg);
  CHECK(st_open(&f, p, &e) == ST_OK, "open: %s", e.msg);
  CHECK(f.ntensor == 12 && f.nmeta == 2 && strcmp(f.tensor[0].name, "u8") == 0, "counts and order");
  for (int i = 0; i < 6; i++)
    CHECK(value(&f, "f32", i) == (double)f32[i] &&
              value(&f, "f16", i) == (double)half_to_float(float_to_half(f32[i])),
          "f32, f16 %d", i);
  CHECK(value(&f, "f64", 0) == 1.0 / 3 && value(&f, "i64", 0) == -1 &&
            value(&f, "i64", 2) == 0x1p40 && value(&f, "i32", 1) == 0x1p30,
        "wide types");
  CHECK(value(&f, "i16", 0) == -300 && value(&f, "i8", 0) == -128 && value(&f, "u8", 2) == 255 &&
            value(&f, "bool", 2) == 1,
        "narrow types");
  CHECK(value(&f, "bf16", 0) == 1.5 && value(&f, "bf16", 1) == -123.5, "bf16");
  CHECK(value(&f, "scalar \"\\\n\xc3\xa9", 0) == -2.5, "odd names survive");
  CHECK(st_find(&f, "empty") && st_find(&f, "empty")->bytes == 0 && !st_find(&f, "no"),
        "empty and absent tensors");
  CHECK(strcmp(st_meta(&f, "key"), "tab\there \"quoted\"") == 0 &&
            strcmp(st_meta(&f, "number"), "42") == 0 && !st_meta(&f, "x"),
        "metadata");
  for (int i = 0; i < f.ntensor; i++)
    CHECK((uintptr_t)f.tensor[i].data % dtype_size(f.tensor[i].dtype) == 0, "%s is aligned",
          f.tensor[i].name);
  float got[6];
  CHECK(st_read(&f, "f32", SHAPE3(1, 2, 3), got, &e) == ST_OK && memcmp(got, f32, sizeof got) == 0,
        "st_read");
  CHECK(st_read(&f, "f32", SHAPE1(6), got, &e) == ST_FORMAT && good_message(&e, p) &&
            strstr(e.msg, "f32"),
        "wrong shape: %s", e.msg);
  CHECK(st_read(&f, "gone", SHAPE1(6), got, &e) == ST_FORMAT && strstr(e.msg, "gone"),
        "missing tensor: %s", e.msg);
  st_close(&f);
  StWriter *w;
  CHECK(st_writer_new(&w, &e) == ST_OK && st_add(w, "x", DT_F32, SHAPE1(1), f32, &e) == ST_OK &&
            st_add(w, "x", DT_F32, SHAPE1(1), f32, &e) == ST_INVALID,
        "same name twice");
  CHECK(st_add(w, "y", DT_F32, SHAPE2(INT64_MAX, INT64_MAX), f32, &e) == ST_INVALID &&
            st_add(w, "z", DT_F32, SHAPE1(-1), f32, &e) == ST_INVALID,
        "impossible shapes");
  st_writer_free(w);
}

/* Files made by hand: header text, padded data of `extra` bytes. */
static Status open_text(const char *header, size_t extra, Error *e) {
  const char *p = in_dir("hand.safetensors");
  size_t n = strlen(header);
  char *b = calloc(1, n + 8 + extra);
  for (int i = 0; i < 8; i++) b[i] = (char)((uint64_t)n >> (8 * i));
  memcpy(b + 8, header, n);
  put_file(p, b, n + 8 + extra);
  free(b);
  StFile f;
  Status s = st_open(&f, p, e);
  if (s == ST_OK) st_close(&f);
  return s;
}
#define T(name, shape, a, b) \
  "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" a "," b "]}"
static void test_crafted(void) {
  static const struct {
    const char *what;
    const char *header;
  } bad[] = {
      {"overlap", "{" T("a", "[2]", "0", "8") "," T("b", "[2]", "4", "12") "}"},
      {"overlap behind an empty tensor",
       "{" T("a", "[2]", "0", "8") "," T("e", "[0]", "4", "4") "," T("b", "[2]", "6", "14") "}"},
      {"same place twice", "{" T("a", "[2]", "0", "8") "," T("b", "[2]", "0", "8") "}"},
      {"beyond the end", "{" T("a", "[5]", "0", "20") "}"},
      {"backwards", "{" T("a", "[0]", "8", "4") "}"},
      {"size and shape differ", "{" T("a", "[3]", "0", "8") "}"},
      {"overflowing shape", "{" T("a", "[4294967296,4294967296,4294967296]", "0", "0") "}"},
      {"overflow that wraps to the right size",
       "{" T("a", "[4611686018427387905,4]", "0", "16") "}"},
      {"huge number", "{" T("a", "[99999999999999999999]", "0", "8") "}"},
      {"negative size", "{" T("a", "[-2]", "0", "8") "}"},
      {"fraction", "{" T("a", "[2.0]", "0", "8") "}"},
      {"leading zero", "{" T("a", "[02]", "0", "8") "}"},
      {"rank 7", "{" T("a", "[1,1,1,1,1,1,2]", "0", "8") "}"},
      {"name twice", "{" T("a", "[1]", "0", "4") "," T("a", "[1]", "4", "8") "}"},
      {"name twice by escape", "{" T("a", "[1]", "0", "4") "," T("\\u0061", "[1]", "4", "8") "}"},
      {"unknown type", "{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}"},
      {"missing field", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}"},
      {"field twice",
       "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"},
      {"trailing comma", "{" T("a", "[2]", "0", "8") ",}"},
      {"trailing text", "{" T("a", "[2]", "0", "8") "} x"},
      {"array", "[]"},
      {"nothing", ""},
      {"space first", " {}"},
      {"unclosed", "{"},
      {"tensor is a number", "{\"a\":1}"},
      {"empty entry", "{\"a\":{}}"},
      {"metadata not strings", "{\"__metadata__\":{\"a\":1}}"},
      {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}"},
      {"metadata key twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"},
      {"control character", "{\"a\n\":1}"},
      {"bad escape", "{\"\\x\":1}"},
      {"lone surrogate", "{\"\\ud800\":1}"},
      {"zero character", "{\"a\\u0000\":1}"},
      {"bad UTF-8", "{\"\xff\":1}"},
      {"overlong UTF-8", "{\"\xc0\xaf\":1}"},
      {"UTF-8 surrogate", "{\"\xed\xa0\x80\":1}"},
      {"control character in a name that is shown", "{" T("x\\n\\u001b[31m", "[3]", "0", "8") "}"},
  };
  Error e;
  size_t live = mem_live_count();
  for (int i = 0; i < COUNT_OF(bad); i++) {
    e.code = ST_OK;
    CHECK(open_text(bad[i].header, 16, &e) == ST_FORMAT && good_message(&e, "hand.safetensors"),
          "refused: %s: %s", bad[i].what, e.msg);
  }
  char deep[400] = "{\"a\":{\"x\":";
  memset(deep + 10, '[', 200);
  CHECK(open_text(deep, 16, &e) == ST_FORMAT && strstr(e.msg, "deep"), "deep nesting: %s", e.msg);
  CHECK(open_text("{}", 0, &e) == ST_OK && open_text("{}      ", 3, &e) == ST_FORMAT,
        "no tensors; data that nobody names is refused");
  CHECK(open_text("{" T("a", "[1]", "12", "16") "," T("b", "[ 1 , 2 ]", "0", "8") "}", 16, &e) ==
                ST_FORMAT &&
            strstr(e.msg, "hole"),
        "a hole between tensors: %s", e.msg);
  CHECK(open_text("{" T("a", "[2]", "8", "16") "}", 16, &e) == ST_FORMAT && strstr(e.msg, "hole"),
        "a hole in front: %s", e.msg);
  CHECK(open_text("{" T("a", "[1]", "8", "12") "," T("b", "[ 1 , 2 ]", "0", "8") "}", 12, &e) ==
            ST_OK,
        "white space, any order: %s", e.msg);
  CHECK(open_text("{\"__metadata__\":null," T("a", "[1]", "0", "4") "}", 4, &e) == ST_OK,
        "metadata null: %s", e.msg);
  CHECK(open_text("{\"a\":{\"extra\":{\"k\":[1,-2.5e3,true,null,\"\\ud83d\\ude00\"]},\"dtype\":"
                  "\"U8\",\"shape\":[0,9223372036854775807],\"data_offsets\":[0,0]}}",
                  0, &e) == ST_OK,
        "unknown field, empty: %s", e.msg);
  unsigned char big[16] = {0, 0, 0, 0, 0, 0, 0, 0x80, '{'};
  put_file(in_dir("b"), big, 16);
  StFile f;
  CHECK(st_open(&f, in_dir("b"), &e) == ST_FORMAT && good_message(&e, "/b"),
        "header length 2^63: %s", e.msg);
  CHECK(st_open(&f, in_dir("none"), &e) == ST_IO && st_open(&f, dir, &e) == ST_IO &&
            st_open(&f, "/dev/zero", &e) == ST_IO,
        "absent file, folder, device: %s", e.msg);
  put_file(in_dir("b"), "", 0);
  CHECK(st_open(&f, in_dir("b"), &e) == ST_FORMAT, "empty file: %s", e.msg);
  CHECK(truncate(in_dir("b"), INT64_C(200) << 20) == 0, "sparse file");
  int fd = open(in_dir("b"), O_WRONLY);
  uint64_t len = (uint64_t)101 << 20;
  bytes_little(&len, &len, 1, sizeof len);
  CHECK(fd >= 0 && write(fd, &len, 8) == 8 && close(fd) == 0 &&
            st_open(&f, in_dir("b"), &e) == ST_FORMAT && strstr(e.msg, "100 MB"),
        "header of 101 MB: %s", e.msg);
  CHECK(mem_live_count() == live, "nothing leaked");
}

/* Number types of the current format: widened exactly, or named and refused where used. */
static void test_number_types(void) {
  static const struct {
    const char *type;
    int bytes; /* of the first value */
    uint64_t bits;
    double value;
  } k[] = {{"U16", 2, 65535, 65535},       {"U32", 4, 4294967295u, 4294967295.0},
           {"U64", 8, 1ull << 53, 0x1p53}, {"F8_E4M3", 1, 0x38, 1},
           {"F8_E4M3", 1, 0x7e, 448},      {"F8_E4M3", 1, 0x81, -0x1p-9},
           {"F8_E4M3", 1, 0x7f, NAN},      {"F8_E5M2", 1, 0x3c, 1},
           {"F8_E5M2", 1, 0x7b, 57344},    {"F8_E5M2", 1, 0xfc, -INFINITY},
           {"F8_E5M2", 1, 0x01, 0x1p-16},  {"F8_E5M2", 1, 0x7d, NAN},
           {"F8_E8M0", 1, 127, 1},         {"F8_E8M0", 1, 0, 0x1p-127},
           {"F8_E4M3FNUZ", 1, 0x40, 1},    {"F8_E4M3FNUZ", 1, 0x7f, 240},
           {"F8_E4M3FNUZ", 1, 0x80, NAN},  {"F8_E5M2FNUZ", 1, 0x40, 1},
           {"F8_E5M2FNUZ", 1, 0x7f, 57344}};
  Error e;
  StFile f;
  char h[200];
  const char *p = in_dir("hand.safetensors");
  for (int i = 0; i < COUNT_OF(k); i++) {
    float v;
    double d;
    snprintf(h, sizeof h, "{\"a\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,%d]}}",
             k[i].type, k[i].bytes);
    CHECK(open_text(h, (size_t)k[i].bytes, &e) == ST_OK, "%s: %s", k[i].type, e.msg);
    const int fd = open(p, O_WRONLY);
    uint64_t bits;
    bytes_little(&bits, &k[i].bits, 1, sizeof bits);
    const ssize_t wrote = pwrite(fd, &bits, (size_t)k[i].bytes, (off_t)(8 + strlen(h)));
    close(fd);
    CHECK(wrote == k[i].bytes && st_open(&f, p, &e) == ST_OK, "%s: %s", k[i].type, e.msg);
    st_to_f32(&f.tensor[0], &v);
    st_to_f64(&f.tensor[0], &d);
    CHECK(isnan(k[i].value) ? isnan(v) && isnan(d) : d == k[i].value && v == (float)d,
          "%s %llx: %g, %g; expected %g", k[i].type, (unsigned long long)k[i].bits, (double)v, d,
          k[i].value);
    st_close(&f);
  }
  static const char *const named[] = {"C64", "F4", "F6_E2M3", "F6_E3M2"};
  static const int bytes[] = {32, 2, 3, 3};
  for (int i = 0; i < COUNT_OF(named); i++) {
    snprintf(h, sizeof h, "{\"a\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}",
             named[i], bytes[i]);
    CHECK(open_text(h, (size_t)bytes[i], &e) == ST_FORMAT && strstr(e.msg, named[i]) &&
              !strstr(e.msg, "damaged"),
          "%s is refused by name: %s", named[i], e.msg);
    CHECK(st_open_any(&f, p, &e) == ST_OK && !strcmp(dtype_name(f.tensor[0].dtype), named[i]),
          "%s can be looked at: %s", named[i], e.msg);
    st_close(&f);
  }
  CHECK(open_text("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, &e) ==
                ST_FORMAT &&
            strstr(e.msg, "whole bytes"),
        "three numbers of 4 bits: %s", e.msg);
}

/* Every truncation, then every byte replaced by several others: opening and reading may fail, never
 * crash (asan watches) or leak. */
static void test_hostile(void) {
  uint8_t *b, *c;
  size_t n, live = mem_live_count();
  Error e;
  StFile f;
  Rng r = {2024, 0, 0};
  const char *p = in_dir("m.safetensors");
  CHECK(file_read(in_dir("a.safetensors"), &b, &n, 1 << 20, &e) == ST_OK && n > 900,
        "sample file: %zu bytes", n);
  c = malloc(n);
  int opened = 0, mute = 0;
  for (size_t k = 0; k < n; k++) {
    put_file(p, b, k);
    if (st_open(&f, p, &e) == ST_OK) {
      opened++;
      st_close(&f);
    } else
      mute += !good_message(&e, p);
  }
  CHECK(opened == 0 && mute == 0, "truncations refused (%d opened, %d messages bad)", opened, mute);
  double sum = 0;
  opened = 0;
  for (size_t k = 0; k < n; k++)
    for (int j = 0; j < 3; j++) {
      memcpy(c, b, n);
      c[k] ^= (uint8_t)(j == 0 ? 1u << rng_below(&r, 8) : 1 + rng_below(&r, 255));
      put_file(p, c, n);
      if (st_open(&f, p, &e) != ST_OK) {
        mute += !good_message(&e, p);
        continue;
      }
      opened++;
      for (int i = 0; i < f.ntensor; i++) {
        double d[64];
        if (shape_numel(f.tensor[i].shape) <= 64) {
          st_to_f64(&f.tensor[i], d);
          sum += d[0] > 0;
        }
      }
      st_close(&f);
    }
  CHECK(mute == 0 && opened > 0 && sum >= 0, "mutations: %d of %zu still open, %d bad messages",
        opened, 3 * n, mute);
  free(c);
  mem_free(b);
  CHECK(mem_live_count() == live, "nothing leaked");
}

/* Runs step with the 0th, 1st, ... allocation failing until it succeeds; every failure must be
 * ST_NOMEM and leak nothing. */
static void sweep(const char *what, Status (*step)(Error *e)) {
  int k = 0, wrong = 0;
  for (; k < 2000; k++) {
    Error e = {ST_OK, ""};
    size_t live = mem_live_count();
    mem_fail_after(k);
    Status s = step(&e);
    mem_fail_after(-1);
    wrong += mem_live_count() != live || (s != ST_OK && (s != ST_NOMEM || e.code != ST_NOMEM));
    if (s == ST_OK) break;
  }
  CHECK(k < 2000 && k > 0 && wrong == 0, "%s: memory failing at each of %d allocations (%d wrong)",
        what, k, wrong);
}

static Status step_write(Error *e) { return write_sample(in_dir("w.safetensors"), e); }
static Status step_open(Error *e) {
  StFile f;
  Status s = st_open(&f, in_dir("a.safetensors"), e);
  if (s == ST_OK) st_close(&f);
  return s;
}

static Status step_log(Error *e) {
  Jsonl j;
  Status s = jsonl_open(&j, in_dir("s.jsonl"), e);
  if (s != ST_OK) return s;
  char text[3000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  jsonl_begin(&j);
  jsonl_str(&j, "t", text);
  s = jsonl_end(&j, e);
  jsonl_close(&j);
  return s;
}

static Status step_dataset(Error *e) {
  Dataset d;
  Status s = dataset_open(&d, "data/ambiguous.safetensors", e);
  if (s != ST_OK) return s;
  s = dataset_save(&d, in_dir("d.safetensors"), true, e);
  dataset_free(&d);
  return s;
}

static Status step_pngs(Error *e) {
  Dataset d;
  const char *p[1] = {"data/ambiguous_lesion.png"};
  Status s = dataset_from_pngs(&d, 1, p, 64, e);
  if (s == ST_OK) dataset_free(&d);
  return s;
}

/* ---- writing that fails ---- */
static void test_atomic(void) {
  Error e;
  int before = files_in_dir();
  CHECK(write_sample("/dev/full", &e) == ST_IO && good_message(&e, "/dev/full"), "full device: %s",
        e.msg);
  struct stat st;
  CHECK(stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode), "the device is still there");
  CHECK(write_sample(dir, &e) == ST_IO && good_message(&e, dir), "folder as target: %s", e.msg);
  CHECK(write_sample(in_dir("no/such/x"), &e) == ST_IO && good_message(&e, "no/such/x"),
        "no folder: %s", e.msg);
  CHECK(file_write_atomic("", "x", 1, &e) != ST_OK, "empty name: %s", e.msg);
  CHECK(mkdir(in_dir("ro"), 0555) == 0, "read-only folder");
  if (geteuid() != 0)
    CHECK(write_sample(in_dir("ro/x"), &e) == ST_IO && good_message(&e, "ro/x"),
          "read-only folder: %s", e.msg);
  rmdir(in_dir("ro"));
  CHECK(file_write_atomic(in_dir("t"), "old", 3, &e) == ST_OK &&
            symlink("t", in_dir("link")) == 0 && chmod(in_dir("t"), 0640) == 0,
        "files");
  CHECK(file_write_atomic(in_dir("link"), "newer", 5, &e) == ST_OK &&
            lstat(in_dir("link"), &st) == 0 && S_ISLNK(st.st_mode),
        "a link stays a link");
  CHECK(stat(in_dir("t"), &st) == 0 && st.st_size == 5 && (st.st_mode & 0777) == 0640,
        "its target is replaced and keeps its permissions");
  uint8_t *p;
  size_t n;
  CHECK(file_read(in_dir("t"), &p, &n, 100, &e) == ST_OK && n == 5 &&
            strcmp((char *)p, "newer") == 0,
        "read back");
  mem_free(p);
  CHECK(file_read(in_dir("t"), &p, &n, 4, &e) == ST_FORMAT && !p &&
            file_read(dir, &p, &n, 4, &e) == ST_IO &&
            file_read(in_dir("zz"), &p, &n, 4, &e) == ST_IO,
        "too long, folder, absent");
  CHECK(dir_make(in_dir("p/q//r/"), &e) == ST_OK && dir_make(in_dir("p/q"), &e) == ST_OK &&
            file_exists(in_dir("p/q/r")),
        "folders: %s", e.msg);
  CHECK(dir_make(in_dir("t/x"), &e) == ST_IO && dir_make("", &e) == ST_INVALID,
        "folder below a file: %s", e.msg);
  rmdir(in_dir("p/q/r"));
  rmdir(in_dir("p/q"));
  rmdir(in_dir("p"));
  unlink(in_dir("link"));
  unlink(in_dir("t"));
  CHECK(files_in_dir() == before, "no temporary file is left behind");
}

/* ---- JSON lines ---- */
static void expect_file(const char *name, const char *text) {
  Error e;
  uint8_t *p = NULL;
  size_t n = 0;
  bool ok = file_read(in_dir(name), &p, &n, 1 << 20, &e) == ST_OK && n == strlen(text) &&
            memcmp(p, text, n) == 0;
  CHECK(ok, "%s holds %s; expected %s", name, p ? (char *)p : "nothing", text);
  mem_free(p);
}

static void add_line(Jsonl *j, int tick, double v) {
  Error e;
  jsonl_begin(j);
  jsonl_int(j, "tick", tick);
  jsonl_num(j, "v", v);
  jsonl_str(j, "s", "a\"\\\n");
  CHECK(jsonl_end(j, &e) == ST_OK, "line");
}

static void test_jsonl(void) {
  Error e;
  Jsonl j;
  const char *p = in_dir("log.jsonl");
  CHECK(jsonl_open(&j, p, &e) == ST_OK, "open: %s", e.msg);
  add_line(&j, 1, 0.5);
  add_line(&j, 2, NAN);
  jsonl_close(&j);
  FILE *f = fopen(p, "a");
  fputs("{\"tick\":3,\"v\":1", f); /* killed in the middle of a line */
  fclose(f);
  CHECK(jsonl_open(&j, p, &e) == ST_OK, "reopen: %s", e.msg);
  add_line(&j, 4, -1e-300);
  jsonl_close(&j);
  expect_file("log.jsonl",
              "{\"tick\":1,\"v\":0.5,\"s\":\"a\\\"\\\\\\u000a\"}\n{\"tick\":2,\"v\":null,\"s\":"
              "\"a\\\"\\\\\\u000a\"}\n{\"tick\":4,\"v\":-1e-300,\"s\":\"a\\\"\\\\\\u000a\"}\n");
  f = fopen(p, "a");
  fputs("no "
        "json\n{\"v\":1}\n{\"tick\":1.5}\n{\"tick\":\"2\"}\n{\"a\":{\"tick\":9},\"tick\":2}\n{"
        "\"tick\":1",
        f);
  fclose(f);
  CHECK(jsonl_truncate_after(p, "tick", 2, &e) == ST_OK, "truncate: %s", e.msg);
  expect_file("log.jsonl",
              "{\"tick\":1,\"v\":0.5,\"s\":\"a\\\"\\\\\\u000a\"}\n{\"tick\":2,\"v\":null,\"s\":"
              "\"a\\\"\\\\\\u000a\"}\n{\"tick\":1.5}\n{\"a\":{\"tick\":9},\"tick\":2}\n");
  CHECK(jsonl_truncate_after(in_dir("absent"), "tick", 2, &e) == ST_OK, "no log yet");
  char *junk = calloc(1, 10000);
  memset(junk, 'x', 10000);
  put_file(p, junk, 10000);
  free(junk);
  CHECK(jsonl_open(&j, p, &e) == ST_OK, "a torn line longer than the buffer");
  jsonl_close(&j);
  expect_file("log.jsonl", "");
  CHECK(jsonl_open(&j, "/dev/full", &e) == ST_OK, "full device opens");
  jsonl_begin(&j);
  jsonl_int(&j, "a", 1);
  CHECK(jsonl_end(&j, &e) == ST_IO && good_message(&e, "/dev/full"), "full disk: %s", e.msg);
  jsonl_close(&j);
  CHECK(jsonl_open(&j, dir, &e) == ST_IO, "folder: %s", e.msg);
}

/* ---- data sets ---- */
static void test_dataset(void) {
  Error e;
  Dataset d, d2;
  CHECK(dataset_open(&d, "data/prlx_lesions.safetensors", &e) == ST_OK && d.n == 101 &&
            d.channels == 1 && d.h == 64 && d.w == 64,
        "bundled lesions");
  CHECK(d.labels && d.labels[100] == 1 && strcmp(d.names[0], "seed0000.png") == 0 &&
            strcmp(dataset_meta(&d, "window.chi"), "display") == 0,
        "labels, names, window");
  float lo = 9, hi = -9;
  for (int i = 0; i < 101 * 4096; i++) {
    lo = fminf(lo, d.images[i]);
    hi = fmaxf(hi, d.images[i]);
  }
  CHECK(lo >= -1 && hi <= 1 && hi - lo > 1.5f, "values %g .. %g", (double)lo, (double)hi);
  CHECK(dataset_save(&d, in_dir("d.safetensors"), true, &e) == ST_OK &&
            dataset_open(&d2, in_dir("d.safetensors"), &e) == ST_OK,
        "8-bit round trip: %s", e.msg);
  CHECK(memcmp(d.images, d2.images, 101 * 4096 * 4) == 0 && d2.nmeta == d.nmeta,
        "same images and metadata");
  dataset_free(&d2);
  d.images[5] = 0.1234567f;
  CHECK(dataset_save(&d, in_dir("d.safetensors"), true, &e) == ST_INVALID &&
            good_message(&e, "d.safetensors"),
        "no silent rounding: %s", e.msg);
  CHECK(dataset_save(&d, in_dir("d.safetensors"), false, &e) == ST_OK &&
            dataset_open(&d2, in_dir("d.safetensors"), &e) == ST_OK && d2.images[5] == d.images[5],
        "floats stay floats");
  dataset_free(&d2);
  d.images[5] = NAN;
  CHECK(dataset_save(&d, in_dir("d.safetensors"), false, &e) == ST_OK &&
            dataset_open(&d2, in_dir("d.safetensors"), &e) == ST_NUMERIC &&
            good_message(&e, "d.safetensors"),
        "NaN: %s", e.msg);
  dataset_free(&d);
  CHECK(dataset_open(&d, in_dir("a.safetensors"), &e) == ST_FORMAT &&
            good_message(&e, "a.safetensors"),
        "no data set: %s", e.msg);
  const char *p[2] = {"data/ambiguous_lesion.png", "test/data/grey8.png"};
  CHECK(dataset_from_pngs(&d, 1, p, 64, &e) == ST_OK &&
            dataset_open(&d2, "data/ambiguous.safetensors", &e) == ST_OK,
        "ambiguous lesion: %s", e.msg);
  CHECK(memcmp(d.images, d2.images, 4096 * 4) == 0, "PNG and data set hold the same lesion");
  dataset_free(&d);
  dataset_free(&d2);
  CHECK(dataset_from_pngs(&d, 2, p, 64, &e) == ST_FORMAT && strstr(e.msg, "10 x 6") &&
            strstr(e.msg, "64 x 64"),
        "wrong size: %s", e.msg);
}

/* A small file with checksums: every byte of it changed in turn (and every bit of some), each an
 * error; a changed number names its tensor. */
static void test_checksums(void) {
  const float x[5] = {1, 2, 3, 4, 5}, y[2] = {-1, 7};
  const char *path = in_dir("sum.safetensors"), *hurt = in_dir("hurt.safetensors");
  StWriter *w;
  StFile f;
  Error e = {0};
  uint8_t *data = NULL;
  size_t n = 0;
  bool found = false;
  CHECK(st_writer_new(&w, &e) == ST_OK, "%s", e.msg);
  st_add_meta(w, "format", "test", &e);
  st_add_meta(w, "checksums", "of another file", &e); /* comes with copied metadata: left out */
  st_add(w, "first", DT_F32, SHAPE1(5), x, &e);
  st_add(w, "second", DT_F32, SHAPE2(1, 2), y, &e);
  CHECK(st_add_checksums(w, &e) == ST_OK && st_commit(w, path, &e) == ST_OK, "%s", e.msg);
  CHECK(st_open(&f, path, &e) == ST_OK && st_verify(&f, &found, &e) == ST_OK && found,
        "an untouched file: %s", e.msg);
  st_close(&f);
  CHECK(file_read(path, &data, &n, 1 << 20, &e) == ST_OK, "%s", e.msg);
  int missed = 0, named = 0;
  for (size_t i = 0; i < n; i++) {
    const bool blank =
        data[i] == ' ' && i > 64 && i + 28 < n; /* padding between the JSON's end and data */
    data[i] ^= 1;
    put_file(hurt, data, n);
    const Status s = st_open(&f, hurt, &e);
    if (s == ST_OK) st_close(&f);
    missed += s == ST_OK && !blank;
    named += s != ST_OK && strstr(e.msg, "damaged: tensor second") != NULL;
    data[i] ^= 1;
  }
  CHECK(!missed, "%d of %zu changed bytes go unnoticed", missed, n);
  /* its bytes, and the nine characters of its checksum */
  CHECK(named == (int)sizeof y + 9, "%d changed bytes of the second tensor name it", named);
  mem_free(data);
  unlink(path);
  unlink(hurt);
}

/* Files of a process that is gone are removed, those of others and of other machines are not. */
static void test_stale(void) {
  char name[160], host[256] = "";
  Error e = {0};
  gethostname(host, sizeof host - 1);
  const unsigned here = crc32_ieee(0, host, strlen(host));
  mkdir(in_dir("s"), 0777);
  snprintf(name, sizeof name, "%s/s/x.png.tmp%08x-%d.0", dir, here, 0x3fffffff);
  put_file(name, "x", 1);
  char mine[160], other[160];
  snprintf(mine, sizeof mine, "%s/s/x.png.tmp%08x-%ld.7", dir, here, (long)getpid());
  put_file(mine, "x", 1);
  snprintf(other, sizeof other, "%s/s/x.png.tmp%08x-%d.0", dir, here ^ 1, 0x3fffffff);
  put_file(other, "x", 1);
  CHECK(file_write_atomic(in_dir("s/new"), "y", 1, &e) == ST_OK, "%s", e.msg);
  CHECK(!file_exists(name), "what a killed process left is removed");
  CHECK(file_exists(mine) && file_exists(other), "a living process's and another machine's stay");
  unlink(mine);
  unlink(other);
  unlink(in_dir("s/new"));
  rmdir(in_dir("s"));
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_test_io.%ld", (long)getpid());
  if (mkdir(dir, 0777) != 0) {
    printf("FAIL cannot make %s\n", dir);
    return 1;
  }
  test_half();
  test_round_trip();
  test_crafted();
  test_number_types();
  test_hostile();
  test_atomic();
  test_checksums();
  test_stale();
  test_jsonl();
  test_dataset();
  sweep("write", step_write);
  sweep("open", step_open);
  sweep("log", step_log);
  sweep("data set", step_dataset);
  sweep("data set from PNG", step_pngs);
  static const char *const left[] = {"a.safetensors", "hand.safetensors", "b",
                                     "m.safetensors", "w.safetensors",    "s.jsonl",
                                     "log.jsonl",     "d.safetensors"};
  for (int i = 0; i < COUNT_OF(left); i++) unlink(in_dir(left[i]));
  CHECK(files_in_dir() == 0 && rmdir(dir) == 0, "nothing is left in %s", dir);
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
