/* test_locale.c: a program that links the library may have chosen a locale whose numbers have a
 * comma, or another mark: files hold the same bytes and read as the same numbers. The locales are
 * made here by localedef, where it and its sources are (Debian: locales). */
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/formats/jsonl.h"
#include "io/formats/number.h"
#include "io/formats/tsv.h"
#include "io/images/window.h"
#include "models/api/api.h"
#include "models/store/netfile.h"
#include "test/test.h"

static char dir[] = "/tmp/prlx_locale_XXXXXX";

static const char *in_dir(const char *name) {
  static char b[4][300];
  static int k;
  k = (k + 1) % 4;
  snprintf(b[k], sizeof b[k], "%s/%s", dir, name);
  return b[k];
}

/* ---- numbers alone ---- */
static void test_read(const char *where) {
  static const struct {
    const char *text;
    double v;
    int used;
  } c[] = {{"0.5", 0.5, 3},
           {" -1.25e3x", -1250, 8},
           {"7", 7, 1},
           {"0,5", 0, 1},
           {".5.5", 0.5, 2},
           {"1.", 1, 2},
           {".", 0, 0},
           {"", 0, 0},
           {"x1.5", 0, 0},
           {"1e-2,3", 0.01, 4},
           {"0x1.8p1", 3, 7},
           {"1.5e", 1.5, 3},
           {"1e400", INFINITY, 5},
           {"-inf", -INFINITY, 4}};
  for (int i = 0; i < COUNT_OF(c); i++) {
    char *end;
    const double v = number_read(c[i].text, &end);
    CHECK(v == c[i].v && end - c[i].text == c[i].used, "%s: '%s' is %g, %d bytes of it", where,
          c[i].text, v, (int)(end - c[i].text));
  }
  char longest[201];
  memset(longest, '1', 200);
  longest[200] = 0;
  CHECK(isfinite(number_read(longest, NULL)), "%s: 200 digits", where);
}

static void test_write(const char *where) {
  static const struct {
    const char *format;
    double v;
    const char *text;
  } c[] = {{"%.9g", 0.1, "0.1"},
           {"%.9g", -1e-30, "-1e-30"},
           {"%.3f", 1234567.125, "1234567.125"},
           {"%.9g", 256, "256"},
           {"%.17g", 0.1, "0.10000000000000001"},
           {"%.10g", 2.5e100, "2.5e+100"}};
  char b[NUMBER_TEXT];
  for (int i = 0; i < COUNT_OF(c); i++)
    CHECK(!strcmp(number_write(b, c[i].format, c[i].v), c[i].text), "%s: %s is '%s'", where,
          c[i].text, b);
}

/* ---- files ---- */
static void test_texts(const char *where) {
  Window w;
  char text[80];
  Tsv t;
  Error e;
  double v = 0;
  static const char table[] = "a\tb\n0.25\t1,5\n";
  CHECK(window_parse("slice -0.5,99.25", &w) && w.lo == -0.5 && w.hi == 99.25, "%s: window", where);
  window_text(&w, text);
  CHECK(!strcmp(text, "slice -0.5,99.25"), "%s: window: %s", where, text);
  CHECK(tsv_parse((const uint8_t *)table, sizeof table - 1, "t", &t, &e) == ST_OK, "%s", e.msg);
  CHECK(tsv_number(&t, 0, 0, &v, &e) == ST_OK && v == 0.25, "%s: a table: %g", where, v);
  CHECK(tsv_number(&t, 0, 1, &v, &e) == ST_FORMAT && strstr(e.msg, "1,5"), "%s: %s", where, e.msg);
  tsv_free(&t);
}

static void write_files(const char *name, const Generator *G) {
  Jsonl j;
  Error e = {0};
  char file[80];
  snprintf(file, sizeof file, "%s.jsonl", name);
  CHECK(jsonl_open(&j, in_dir(file), &e) == ST_OK, "%s", e.msg);
  jsonl_begin(&j);
  jsonl_num(&j, "half", 0.5);
  jsonl_num(&j, "none", NAN);
  CHECK(jsonl_end(&j, &e) == ST_OK, "%s", e.msg);
  jsonl_close(&j);
  snprintf(file, sizeof file, "%s.safetensors", name);
  CHECK(network_save_trained(in_dir(file), G, NULL, 0, 1500, 7, "small", &e) == ST_OK, "%s", e.msg);
}

static bool same_files(const char *a, const char *b) {
  FILE *f = fopen(in_dir(a), "rb"), *g = fopen(in_dir(b), "rb");
  bool same = f && g;
  for (int x = 0; same && x != EOF;) same = (x = getc(f)) == getc(g);
  if (f) fclose(f);
  if (g) fclose(g);
  return same;
}

static void test_files(const char *where, const char *name, const Generator *G) {
  char a[80];
  prlx_error e;
  prlx_network *n;
  write_files(name, G);
  snprintf(a, sizeof a, "%s.jsonl", name);
  CHECK(same_files(a, "C.jsonl"), "%s: a line of JSON", where);
  snprintf(a, sizeof a, "%s.safetensors", name);
  CHECK(same_files(a, "C.safetensors"), "%s: a network", where);
  CHECK(!prlx_network_load(in_dir(a), &n, &e), "%s: %s", where, e.msg);
  const char *kimg = n ? prlx_network_meta(n, "train.kimg") : NULL;
  CHECK(kimg && !strcmp(kimg, "1.500"), "%s: kimg", where);
  prlx_network_free(n);
  prlx_vgg *vgg;
  CHECK(!prlx_vgg_load(NULL, NULL, &vgg, &e), "%s: VGG16: %s", where, e.msg);
  prlx_vgg_free(vgg);
}

/* False where there is none such. */
static bool choose(const char *language) {
  char command[500], name[40];
  snprintf(name, sizeof name, "%s.UTF-8", language);
  snprintf(command, sizeof command, "localedef -i %s -f UTF-8 '%s' >'%s' 2>&1", language,
           in_dir(name), in_dir("log"));
  const int rc = system(command);
  if (rc == 0) setenv("LOCPATH", dir, 1);
  return setlocale(LC_ALL, name) && strcmp(localeconv()->decimal_point, ".") != 0;
}

int main(void) {
  static const char *const languages[] = {"de_DE", "ps_AF"}; /* a comma; a mark of two bytes */
  Generator G;
  Error e = {0};
  GenConfig c = gen_config_small();
  Rng r = {.seed = 9};
  char command[100];
  c.img_resolution = 16;
  c.channel_base = 64;
  c.channel_max = 4;
  c.z_dim = c.w_dim = 8;
  c.conv_clamp = 0.375;
  if (!mkdtemp(dir) || generator_new(&G, &c, &e) != ST_OK) return 1;
  generator_reset(&G, &r);
  test_read("C");
  test_write("C");
  test_texts("C");
  write_files("C", &G);
  for (int k = 0; k < COUNT_OF(languages); k++) {
    const char *name = languages[k];
    if (choose(name)) {
      test_read(name);
      test_write(name);
      test_texts(name);
      test_files(name, name, &G);
    } else {
      printf("test_locale: no %s.UTF-8 and no localedef to make it: skipped\n", name);
    }
    setlocale(LC_ALL, "C");
  }
  generator_free(&G);
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  return system(command) ? 1 : test_end();
}
