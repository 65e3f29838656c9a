/* test_path.c: paths are whole or refused; endings; names from files in messages; texts are written
 * whole or not at all. */
#include <unistd.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "test/test.h"

static void test_join(void) {
  char out[PATH_LEN], dir[PATH_LEN + 10];
  Error e = {0};
  CHECK(path_join(out, "a/b", "c.png", &e) == ST_OK && !strcmp(out, "a/b/c.png"), "join: %s", out);
  CHECK(path_format(out, &e, "%s_%04d%s", "x", 7, ".png") == ST_OK && !strcmp(out, "x_0007.png"),
        "format: %s", out);
  memset(dir, 'd', sizeof dir);
  dir[PATH_LEN - 3] = 0; /* with "/x" and the end exactly one byte too many */
  CHECK(path_join(out, dir, "x", &e) == ST_OK, "the longest path fits");
  CHECK(path_join(out, dir, "xy", &e) == ST_INVALID && !out[0], "one byte more is refused");
  CHECK(strstr(e.msg, "4096 bytes") && strstr(e.msg, "at most 4095"), "message: %s", e.msg);
}

static void test_endings(void) {
  CHECK(str_ends_with("a.png", ".png") && str_ends_with(".png", ".png"), "endings");
  CHECK(!str_ends_with("a.PNG", ".png") && !str_ends_with("png", ".png"), "no endings");
  CHECK(path_has_ending("a.NII.gz", ".nii.gz") && !path_has_ending(".nii", ".nii"), "files");
  CHECK(!strcmp(path_base("a/b/c"), "c") && !strcmp(path_base("c"), "c") && !*path_base("a/"),
        "base names");
}

static void test_shown(void) {
  char b[80], longer[200];
  CHECK(!strcmp(str_shown("a\nb\x7f\x1b[2J", b), "a?b??[2J"), "control characters: %s", b);
  CHECK(!strcmp(str_shown("L\xc3\xa4sion", b), "L\xc3\xa4sion"), "UTF-8 stays: %s", b);
  CHECK(!strcmp(str_shown("\xff\xc3x\xc2\x9b", b), "??x??"), "broken UTF-8: %s", b);
  memset(longer, 'x', sizeof longer);
  memcpy(longer + 75, "\xe2\x82\xac", 3); /* would be cut after its first byte */
  longer[199] = 0;
  str_shown(longer, b);
  CHECK(strlen(b) == 78 && !strcmp(b + 75, "..."), "cut between characters: %s", b);
  memcpy(longer + 75, "\xe2\x82", 3);
  CHECK(!strcmp(str_shown(longer + 70, b), "xxxxx??"), "a character cut short: %s", b);
}

static void test_text(void) {
  TextFile t;
  Error e = {0};
  char dir[] = "/tmp/prlx_text_XXXXXX", path[PATH_LEN], *text = NULL;
  uint8_t *back = NULL;
  size_t n = 0;
  if (!mkdtemp(dir) || path_join(path, dir, "t.tsv", &e) != ST_OK) return;
  CHECK(text_begin(&t, path, &e) == ST_OK, "begin: %s", e.msg);
  for (int i = 0; i < 1000; i++) fprintf(t.stream, "%d\n", i);
  CHECK(text_commit(&t, path, &e) == ST_OK && !t.stream && !t.text, "commit: %s", e.msg);
  CHECK(file_read(path, &back, &n, 10000, &e) == ST_OK && n == 3890, "%zu bytes", n);
  mem_free(back);
  CHECK(text_begin(&t, "x", &e) == ST_OK && fputs("abc", t.stream) >= 0, "begin again");
  CHECK(text_take(&t, "x", &text, &n, &e) == ST_OK && n == 3 && !strcmp(text, "abc"), "take");
  free(text);
  text_abort(&t);
  /* a stream that could not take everything: the old file stays */
  CHECK(text_begin(&t, path, &e) == ST_OK, "begin");
  fclose(t.stream);
  t.stream = fopen("/dev/full", "w");
  for (int i = 0; t.stream && i < 10000; i++) fprintf(t.stream, "%d\n", i);
  CHECK(!t.stream || text_commit(&t, path, &e) == ST_NOMEM, "a failed stream is noticed");
  CHECK(strstr(e.msg, "nothing written") && strstr(e.msg, path), "message: %s", e.msg);
  CHECK(file_read(path, &back, &n, 10000, &e) == ST_OK && n == 3890, "the old file: %zu bytes", n);
  mem_free(back);
  unlink(path);
  rmdir(dir);
}

int main(void) {
  test_text();
  test_join();
  test_endings();
  test_shown();
  return test_end();
}
