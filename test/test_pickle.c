/* test_pickle.c: the pickle machine and the zip reader against hostile bytes: every refusal is one
 * line, nothing is run, nothing leaks, memory is bounded. */
#include "core/base.h"
#include "io/formats/pickle.h"
#include "io/formats/torch.h"
#include "io/formats/zip.h"
#include "test/import_bytes.h"

/* Reads the bytes as a checkpoint. */
static Status open_bytes(const Bytes *b, int *count, Error *e) {
  TorchFile f;
  memset(e, 0, sizeof *e);
  Status s = torch_open(&f, b->p, b->n, "FILE", e);
  if (s != ST_OK) return s;
  s = torch_collect(&f, e);
  if (count) *count = f.count;
  torch_close(&f);
  return s;
}

static void refused(Bytes *b, Status want, const char *contains, const char *what) {
  Error e;
  size_t live = mem_live_count();
  Status s = open_bytes(b, NULL, &e);
  CHECK(s == want && strstr(e.msg, contains) && strstr(e.msg, "FILE"), "%s: status %d, \"%s\"",
        what, (int)s, e.msg);
  CHECK(!strchr(e.msg, '\n') && mem_live_count() == live, "%s: one line, no leak", what);
  bytes_free(b);
}

/* Read as data, nothing in it is a tensor. */
static void inert(Bytes *b, const char *what) {
  Error e;
  int count = -1;
  const size_t live = mem_live_count();
  const Status s = open_bytes(b, &count, &e);
  CHECK(s == ST_OK && count == 0 && mem_live_count() == live, "%s: status %d, %d tensors, \"%s\"",
        what, (int)s, count, e.msg);
  bytes_free(b);
}
#define TEXT(s) \
  (Bytes) { (uint8_t *)memcpy(malloc(sizeof(s)), s, sizeof(s)), sizeof(s) - 1, sizeof(s) }

/* ---- calls ---- */
static void test_calls(void) {
  Bytes b;
  const char *mark = "/tmp/prlx_pickle_was_run";
  remove(mark);
  b = TEXT("\x80\x02"
           "cos\nsystem\nX\x1e\0\0\0"
           "touch /tmp/prlx_pickle_was_run\x85R.");
  refused(&b, ST_FORMAT, "os.system", "os.system, protocol 2");
  b = TEXT("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.");
  refused(&b, ST_FORMAT, "posix.system", "STACK_GLOBAL");
  /* classes of other programs stand there as data: never called */
  b = TEXT("\x80\x02"
           "cdatetime\ndate\n(K\1tR.");
  inert(&b, "a date is data");
  b = TEXT("\x80\x02"
           "cmyproject.config\nRun7_Config\n)\x81}X\1\0\0\0"
           "aK\1sb.");
  inert(&b, "settings of a program are data");
  b = TEXT("\x80\x02"
           "csubprocess.x\nPopen\n(K\1tR.");
  refused(&b, ST_FORMAT, "subprocess.x", "a module below one that is refused");
  b = TEXT("(S'touch /tmp/prlx_pickle_was_run'\nios\nsystem\n.");
  refused(&b, ST_FORMAT, "os.system", "INST, protocol 0");
  b = TEXT("\x80\x02"
           "c__builtin__\neval\nX\x01\0\0\0"
           "1\x85R.");
  refused(&b, ST_FORMAT, "builtins.eval", "eval under its old module name");
  b = TEXT("\x80\x02"
           "cbuiltins\ngetattr\n.");
  refused(&b, ST_FORMAT, "builtins.getattr", "getattr");
  b = TEXT("\x80\x02"
           "ctorch._utils\n_rebuild_tensor_v2.__globals__\n.");
  refused(&b, ST_FORMAT, "asks for torch._utils._rebuild_tensor_v2.__globals__",
          "attribute path behind an allowed name");
  b = TEXT("\x80\x04\x8c\x06"
           "torch\0\x8c\x0c"
           "FloatStorage\x93.");
  refused(&b, ST_FORMAT, "asks for torch?.FloatStorage", "NUL inside a name");
  b = TEXT("\x80\x02"
           "c__torch__.evil\nC\n)\x81.");
  refused(&b, ST_FORMAT, "__torch__.evil.C", "TorchScript types outside TorchScript");
  b = TEXT("\x80\x02"
           "cos\033[31m\nsys\ttem\n.");
  refused(&b, ST_FORMAT, "os?[31m.sys?tem", "control characters in a name");
  FILE *f = fopen(mark, "r");
  CHECK(!f, "nothing was run");
  if (f) fclose(f);
}

/* ---- bytes that are no pickle of weights ---- */
static void test_malformed(void) {
  static const struct {
    const char *p;
    size_t n;
    const char *want;
  } bad[] = {
#define P(s) s, sizeof(s) - 1
      {P("\x80\x06."), "protocol newer than 5"},
      {P("\x80\x02"), "ends too early"},
      {P("\x80\x02."), "a value that is not there"},
      {P("\x80\x02t."), "without its mark"},
      {P("\x80\x02R."), "not there"},
      {P("\x80\x02]R."), "not there"},
      {P("\x80\x02]]R."), "not a name"},
      {P("\x80\x02"
         "ccollections\nOrderedDict\n]R."),
       "not a tuple"},
      {P("\x80\x02h\x05."), "never stored"},
      {P("\x80\x02j\xff\xff\xff\xff."), "never stored"},
      {P("\x80\x02]r\xff\xc9\x9a\x3b."), "memo index"},
      {P("(]p999999999\n."), "memo index"},
      {P("(]p99999999999999999999999999\n."), "memo index"},
      {P("\x80\x02X\xff\xff\xff\xff."), "beyond the end"},
      {P("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "beyond the end"},
      {P("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."), "beyond the end"},
      {P("\x80\x02\x8b\xff\xff\xff\xff."), "beyond the end"},
      {P("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff."), "frame"},
      {P("\x80\x05\x97."), "other files"},
      {P("\x80\x02\x82\x01."), "extension registry"},
      {P("\x80\x02\xff."), "unknown instruction"},
      {P("\x80\x02}K\x01s."), "not there"},
      {P("\x80\x02}(K\x01u."), "without a value"},
      {P("\x80\x02K\x01K\x02K\x03s."), "not a dict"},
      {P("\x80\x02K\x01K\x02"
         "a."),
       "not a list"},
      {P("\x80\x02(K\x01"
         "d."),
       "without a value"},
      {P("(I12x\n."), "none"},
      {P("(L\n."), "none"},
      {P("(F1.5.5\n."), "none"},
      {P("(S'abc\n."), "quotes"},
      {P("(S'ab\\'\n."), "escape"},
      {P("(V\\uzzzz\n."), "escape"},
      {P("(V\\UFFFFFFFF\n."), "escape"},
      {P("\x80\x02(K\x01K\x02"
         "0."),
       "no tensors|no tensor"},
      {P("\x80\x02"
         "c_codecs\nencode\n(X\x03\0\0\0\xe2\x82\xacX\x06\0\0\0latin1tR."),
       "Latin-1"},
      {P("\x80\x02"
         "ccollections\nOrderedDict\n]K\x01"
         "a\x85R."),
       "pairs"},
      {P("\x80\x02"
         "ccollections\nOrderedDict\nK\x01\x85R."),
       "something else"},
      {P("\x80\x02"
         "c__builtin__\nset\nK\x01\x85R."),
       "something else"},
      {P("\x80\x02"
         "ctorch\n"),
       "ends too early"},
      {P("\x80\x04\x8c\x05torchK\x01\x93."), "not text"},
      {P("\x80\x02Q."), "not there"},
      {P("\x80\x04)}\x92."), "not there"},
      {P("\x80\x04"
         "ctorch\nSize\n)}K\x01K\x02s\x92."),
       "keyword"},
      {P("\x80\x02(K\x01K\x02o."), "not a name"},
#undef P
  };
  for (int i = 0; i < COUNT_OF(bad); i++) {
    Bytes b = {malloc(bad[i].n), bad[i].n, bad[i].n};
    memcpy(b.p, bad[i].p, bad[i].n);
    /* well formed, only pointless: reading it must be harmless */
    if (strchr(bad[i].want, '|')) {
      Error e;
      open_bytes(&b, NULL, &e);
      bytes_free(&b);
      continue;
    }
    char what[32];
    snprintf(what, sizeof what, "malformed %d", i);
    refused(&b, ST_FORMAT, bad[i].want, what);
  }
}

/* ---- values ---- */
static void test_values(void) {
  static const char p[] =
      "\x80\x02}(X\x01\0\0\0iJ\xfe\xff\xff\xffX\x01\0\0\0l\x8a\x02\x00\xffX\x01\0\0\0gG?"
      "\xf8\0\0\0\0\0\0X\x01\0\0\0n"
      "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02"
      "f8K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbU\x08\0\0\0\0\0\0\x04\xc0tR"
      "X\x01\0\0\0m"
      "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02i2K\0K\1tR(K\3U\1>"
      "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbU\x02\xff\xfetR"
      "X\x01\0\0\0iK\x07u.";
  Pickle k;
  Error e = {0};
  double v;
  int64_t i;
  CHECK(pickle_read(&k, (const uint8_t *)p, sizeof p - 1, false, "FILE", &e) == ST_OK, "%s", e.msg);
  if (e.code) return;
  CHECK(k.used == sizeof p - 1 && pk_int(pk_get(k.root, "i"), &i) && i == 7,
        "the last of equal keys counts");
  CHECK(pk_int(pk_get(k.root, "l"), &i) && i == -256 && pk_number(pk_get(k.root, "g"), &v) &&
            v == 1.5,
        "LONG1 and floats");
  CHECK(pk_number(pk_get(k.root, "n"), &v) && v == -2.5 && !pk_int(pk_get(k.root, "n"), &i),
        "numpy float64");
  CHECK(pk_int(pk_get(k.root, "m"), &i) && i == -2, "numpy big-endian int16");
  CHECK(!pk_get(k.root, "zz") && !pk_get(NULL, "i") && !pk_arg(k.root, 0), "absent things");
  pickle_free(&k);
  static const char text[] = "(lp0\nS'a\\x41\\n\\101\\q\"'\np1\naV\\u20ac\xe9\np2\naI01\naI-"
                             "5\naL123456789012345678901L\naF-0.5\nag1\na.";
  CHECK(pickle_read(&k, (const uint8_t *)text, sizeof text - 1, false, "FILE", &e) == ST_OK &&
            k.root->nitem == 7,
        "protocol 0: %s", e.msg);
  if (e.code) return;
  CHECK(pk_is(k.root->item[0], "aA\nA\\q\"") && pk_is(k.root->item[1], "\xe2\x82\xac\xc3\xa9") &&
            k.root->item[2]->kind == PK_BOOL && k.root->item[3]->integer == -5,
        "protocol 0 text");
  CHECK(k.root->item[4]->kind == PK_LONG && k.root->item[4]->text.len == 9 &&
            !memcmp(k.root->item[4]->text.start, "\x35\x6c\x36\x2f\x81\x9f\x4e\xb1\x06", 9) &&
            k.root->item[5]->number == -0.5,
        "protocol 0 numbers");
  CHECK(k.root->item[6] == k.root->item[0], "memo");
  pickle_free(&k);
}

/* ---- size ---- */
static void test_floods(void) {
  Bytes b = {0};
  Error e;
  int count;
  put(&b, "\x80\x02", 2);
  /* 12 MB that would be 6 million memo entries and values of 80 bytes */
  put_many(&b, "N\x94", 2, 6000000);
  put_str(&b, ".");
  refused(&b, ST_FORMAT, "MiB", "memo flood");
  put(&b, "\x80\x02", 2);
  put_many(&b, "(", 1, 40000000);
  put_str(&b, ".");
  refused(&b, ST_FORMAT, "MiB", "mark flood");
  put(&b, "\x80\x02", 2);
  put_many(&b, "]", 1, 1000000); /* a million lists, each inside the next */
  put_many(&b, "a", 1, 999999);
  put_str(&b, ".");
  refused(&b, ST_FORMAT, "deep", "deep nesting");
  put(&b, "\x80\x02]q\0h\0a.", 9);
  refused(&b, ST_FORMAT, "contains itself", "a list inside itself");
  put(&b, "\x80\x02}q\0X\1\0\0\0ah\0s.", 15);
  refused(&b, ST_FORMAT, "contains itself", "a dict inside itself");
  put(&b, "\x80\x02]q\0.", 6); /* each list twice in the next: 2^25 paths */
  b.n = 5;
  for (int k = 1; k < 26; k++) {
    char t[16];
    put(&b, t, (size_t)sprintf(t, "](h%ch%ceq%c", k - 1 ? k - 1 : 'x', k - 1 ? k - 1 : 'x', k));
  }
  for (size_t i = 0; i < b.n; i++)
    if (b.p[i] == 'x') b.p[i] = 0;
  put_str(&b, ".");
  refused(&b, ST_FORMAT, "entries", "shared lists that unfold without end");
  put(&b, "\x80\x02X", 3);
  put_u(&b, 1 << 20, 4);
  put_many(&b, "s", 1, 1 << 20); /* source text: neither copied nor looked at */
  put_str(&b, ".");
  TorchFile f;
  CHECK(torch_open(&f, b.p, b.n, "FILE", &e) == ST_OK && f.tree.held < 5000,
        "a megabyte of text costs %zu bytes", f.tree.held);
  torch_close(&f);
  bytes_free(&b);
  put(&b, "\x80\x02}.", 4);
  CHECK(open_bytes(&b, &count, &e) == ST_OK && count == 0, "an empty dict: %s", e.msg);
  bytes_free(&b);
}

/* ---- tensors that lie ---- */
static float number(int key, int64_t i) { return (float)(key * 100 + (int)i); }
static const int64_t numel6[1] = {6};
static void one_tensor(Bytes *b, int64_t numel, int64_t offset, int rank, const int64_t *size,
                       const int64_t *stride) {
  legacy_head(b);
  put_str(b, "\x80\x02}");
  pk_str(b, "x");
  pk_tensor(b, "FloatStorage", "0", numel, offset, rank, size, stride, false);
  put_str(b, "s.");
  legacy_tail(b, 1, numel6, number);
}

static void test_tensors(void) {
  static const struct {
    int64_t numel;
    int64_t offset;
    int rank;
    int64_t size[8];
    int64_t stride[8];
    const char *want;
  } bad[] = {
      {6, 1, 1, {6}, {1}, "outside its storage"},
      {6, -1, 1, {2}, {1}, "outside"},
      {6, 0, 1, {7}, {1}, "outside"},
      {6, 0, 2, {2, 3}, {4, 1}, "outside"},
      {6, 0, 1, {2}, {-1}, "outside"},
      {6, 0, 1, {-2}, {1}, "outside"},
      {6, 0, 2, {INT64_MAX, INT64_MAX}, {1, 1}, "outside"},
      {6, 0, 2, {INT64_MAX, 2}, {0, INT64_MAX}, "outside"},
      {6, INT64_MAX, 1, {2}, {1}, "outside"},
      {6, 0, 7, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, "axes"},
      {6, 0, 2, {1 << 14, 1 << 14}, {0, 0}, "repeats its storage"},
      {7, 0, 1, {6}, {1}, "the object says 7"},
      {INT64_MAX / 16, 0, 1, {6}, {1}, "the object says"},
      {INT64_MAX, 0, 1, {6}, {1}, "not described"},
      {-1, 0, 1, {6}, {1}, "not described"},
      {6, 6, 0, {0}, {0}, "outside"},
  };
  for (int i = 0; i < COUNT_OF(bad); i++) {
    Bytes b = {0};
    char what[32];
    one_tensor(&b, bad[i].numel, bad[i].offset, bad[i].rank, bad[i].size, bad[i].stride);
    snprintf(what, sizeof what, "tensor %d", i);
    refused(&b, ST_FORMAT, bad[i].want, what);
  }
  Bytes b = {0};
  Error e;
  TorchFile f;
  one_tensor(&b, 6, 1, 3, (int64_t[]){2, 1, 2}, (int64_t[]){3, 100, 1});
  CHECK(torch_open(&f, b.p, b.n, "FILE", &e) == ST_OK && torch_collect(&f, &e) == ST_OK &&
            f.count == 1,
        "a strided tensor: %s", e.msg);
  if (!f.count) return;
  float v[4];
  memcpy(v, f.tensor[0].data, sizeof v);
  CHECK(v[0] == 1 && v[1] == 2 && v[2] == 4 && v[3] == 5 && f.tensor[0].own, "gathered %g %g %g %g",
        (double)v[0], (double)v[1], (double)v[2], (double)v[3]);
  torch_close(&f);
  bytes_free(&b);
  one_tensor(&b, 6, 0, 1, (int64_t[]){6}, (int64_t[]){1});
  uint8_t *key = b.p; /* the data list speaks of storage "1" */
  for (size_t i = 0; i + 3 < b.n; i++)
    if (!memcmp(b.p + i,
                "U\x01"
                "0e",
                4))
      key = b.p + i;
  key[2] = '1';
  refused(&b, ST_FORMAT, "does not use", "data of an unknown storage");
  legacy_head(&b);
  put_str(&b, "\x80\x02}");
  pk_str(&b, "x");
  pk_contiguous(&b, "0", 6, 0, 1, numel6, false);
  put_str(&b, "s.\x80\x02].");
  refused(&b, ST_FORMAT, "not in the file", "a storage without data");
  legacy_head(&b);
  put_str(&b, "\x80\x02}(");
  pk_str(&b, "a\x1b[2J");
  pk_contiguous(&b, "0", 6, 0, 1, numel6, false);
  put_str(&b, "u.");
  legacy_tail(&b, 1, numel6, number);
  refused(&b, ST_FORMAT, "printable", "a name with control characters");
  legacy_head(&b);
  put_str(&b, "\x80\x02}(");
  for (int k = 0; k < 2; k++) {
    pk_str(&b, "a");
    pk_contiguous(&b, "0", 6, 0, 1, numel6, false);
  }
  put_str(&b, "u.");
  legacy_tail(&b, 1, numel6, number);
  refused(&b, ST_FORMAT, "two tensors are called a", "the same name twice");
  legacy_head(&b);
  put_str(&b, "\x80\x02](");
  pk_contiguous(&b, "0", 6, 0, 1, numel6, false);
  put_str(&b, "q\x01");
  for (int k = 0; k < 20000; k++) put_str(&b, "h\x01");
  put_str(&b, "e.");
  legacy_tail(&b, 1, numel6, number);
  refused(&b, ST_FORMAT, "more than 16384 tensors", "too many tensors");
}

/* ---- zip ---- */
static Status read_all(const Bytes *b, Error *e) {
  ZipFile z;
  memset(e, 0, sizeof *e);
  Status s = zip_open(&z, b->p, b->n, "FILE", e);
  if (s != ST_OK) return s;
  for (int k = 0; k < z.count && s == ST_OK; k++) {
    const uint8_t *p;
    void *own;
    s = zip_read(&z, &z.entry[k], 1 << 24, &p, &own, e);
    mem_free(own);
  }
  zip_close(&z);
  return s;
}

static void bad_zip(Bytes *b, const char *want, const char *what) {
  Error e;
  size_t live = mem_live_count();
  Status s = read_all(b, &e);
  CHECK(s == ST_FORMAT && strstr(e.msg, want) && strstr(e.msg, "FILE") && !strchr(e.msg, '\n'),
        "%s: status %d, \"%s\"", what, (int)s, e.msg);
  CHECK(mem_live_count() == live, "%s: no leak", what);
  bytes_free(b);
}

/* deflate of n equal bytes in one fixed block: the densest there is, 258 bytes per length code. */
static size_t bomb_block(uint8_t *out, size_t codes) {
  size_t bit = 0;
#define BIT(v)                                    \
  do {                                            \
    out[bit >> 3] |= (uint8_t)((v) << (bit & 7)); \
    bit++;                                        \
  } while (0)
  BIT(1);
  BIT(1);
  BIT(0);
  for (int k = 7; k >= 0; k--) BIT(0x30 >> k & 1); /* literal 0 */
  for (size_t i = 0; i < codes; i++) {
    for (int k = 7; k >= 0; k--) BIT(0xc5 >> k & 1); /* length 258 */
    for (int k = 0; k < 5; k++) BIT(0);              /* distance 1 */
  }
  for (int k = 0; k < 7; k++) BIT(0);
#undef BIT
  return (bit + 7) / 8;
}

static void test_zip(void) {
  Bytes b = {0};
  Error e;
  ZipItem a = stored("a", "hello", 5), c = stored("b/c", "world!", 6), t;
  make_zip(&b, (ZipItem[]){a, c}, 2);
  CHECK(read_all(&b, &e) == ST_OK, "two entries: %s", e.msg);
  uint8_t *whole = malloc(b.n);
  size_t n = b.n;
  memcpy(whole, b.p, n);
  for (size_t k = 0; k < n; k++) {
    Bytes cut = {malloc(k + 1), k, k + 1};
    memcpy(cut.p, whole, k);
    Status s = read_all(&cut, &e);
    if (s != ST_FORMAT) CHECK(0, "cut at %zu: status %d", k, (int)s);
    bytes_free(&cut);
  }
  put(&b, "trailing", 8);
  bad_zip(&b, "no end record", "bytes behind the archive");
  t = c;
  t.name = "a";
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "appears twice", "one name twice");
  t = c;
  t.crc ^= 1;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "wrong checksum", "CRC");
  t = c;
  t.flags = 1;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "encrypted", "encrypted");
  t = c;
  t.method = 12;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "other than deflate", "bzip2");
  t = c;
  t.size = 7;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "two different sizes", "stored sizes");
  t = c;
  t.offset = 0;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "disagree", "another entry's header");
  t = a;
  t.offset = 0;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "overlaps", "the same data twice");
  t = c;
  t.offset = 1 << 30;
  make_zip(&b, (ZipItem[]){a, t}, 2);
  bad_zip(&b, "no local header", "offset beyond the file");
  static uint8_t block[80000];
  size_t packed = bomb_block(block, 40000);
  t = (ZipItem){"bomb", block, packed, 1 + 258 * 40000, 8, 0, 0, -1};
  make_zip(&b, (ZipItem[]){t}, 1);
  bad_zip(&b, "wrong checksum", "ten megabytes of zeros are inflated within the limit");
  t.size = 1 + 258 * 400000u;
  make_zip(&b, (ZipItem[]){t}, 1);
  bad_zip(&b, "more than 1032 times", "claims beyond deflate");
  t.size = 1 << 25;
  make_zip(&b, (ZipItem[]){t}, 1);
  bad_zip(&b, "at most 16777216", "beyond the limit of the caller");
  t.size = 1000;
  make_zip(&b, (ZipItem[]){t}, 1);
  bad_zip(&b, "more data than expected", "more than it claims");
  t.size = 11000000;
  make_zip(&b, (ZipItem[]){t}, 1);
  bad_zip(&b, "not what the directory says", "less than it claims");
  make_zip(&b, &a, 1);
  b.p[b.n - 12] = 200;
  bad_zip(&b, "impossible number", "wrong count");
  make_zip(&b, &a, 1);
  b.p[b.n - 6] = 250;
  bad_zip(&b, "outside the file", "directory beyond the end");
  make_zip(&b, &a, 1);
  memset(b.p + b.n - 12, 0xff, 10);
  bad_zip(&b, "outside the file", "ZIP64 without its record");
  srand(3);
  for (int k = 0; k < 20000; k++) {
    Bytes m = {malloc(n), n, n};
    memcpy(m.p, whole, n);
    for (int j = 0; j < 1 + k % 3; j++) m.p[(size_t)rand() % n] = (uint8_t)rand();
    size_t live = mem_live_count();
    Status s = read_all(&m, &e);
    if ((s != ST_OK && (s != ST_FORMAT || !e.msg[0])) || mem_live_count() != live)
      CHECK(0, "mutation %d: status %d", k, (int)s);
    bytes_free(&m);
  }
  free(whole);
}

int main(void) {
  test_calls();
  test_malformed();
  test_values();
  test_floods();
  test_tensors();
  test_zip();
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
