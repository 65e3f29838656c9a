/* test_tsv.c: tables and cohorts: what is read, what is refused with file, row and mend, writing,
 * failing memory. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/rng.h"
#include "io/formats/csv.h"
#include "io/formats/file.h"
#include "io/images/cohort.h"
#include "test/test.h"

static char dir[64];
static const char *in_dir(const char *name) {
  static char b[4][400];
  static int k;
  k = (k + 1) % 4;
  snprintf(b[k], sizeof b[k], "%s/%s", dir, name);
  return b[k];
}

static void put_text(const char *path, const char *text) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(text, 1, strlen(text), f) != strlen(text)) {
    printf("FAIL cannot write %s\n", path);
    exit(1);
  }
  fclose(f);
}

/* ---- tables ---- */
static void test_read(void) {
  static const char *const same[] = {"a\tb\n1\tx y\n\tn/a\n",
                                     "\xef\xbb\xbf"
                                     "a\tb\r\n1\tx y\r\n\tn/a\r\n",
                                     "a\tb\n1\tx y\n\tn/a",
                                     "a\tb\n1\tx y\n\tn/a\n\n\r\n",
                                     "a\xc2\xa0\tb\n\xe2\x80\x8b"
                                     "1 \t\xef\xbb\xbfx y\xc2\xa0 \n\xc2\xa0\tn/a\n",
                                     "\"a\"\t\"b\"\n\"1\"\t\"x y\"\n\"\"\tn/a\n"};
  Tsv t;
  Error e;
  for (int i = 0; i < COUNT_OF(same); i++) {
    CHECK(tsv_parse((const uint8_t *)same[i], strlen(same[i]), "t.tsv", &t, &e) == ST_OK &&
              t.ncol == 2 && t.nrow == 2,
          "form %d: %s", i, e.msg);
    CHECK(tsv_column(&t, "b") == 1 && tsv_column(&t, "B") == -1 &&
              !strcmp(tsv_get(&t, 0, 0), "1") && !strcmp(tsv_get(&t, 0, 1), "x y") &&
              !strcmp(tsv_get(&t, 1, 0), "") && !strcmp(tsv_get(&t, 1, 1), "n/a") &&
              !*tsv_get(&t, 0, -1) && !*tsv_get(&t, 2, 0) && !*tsv_get(&t, 0, 2),
          "form %d: cells", i);
    tsv_free(&t);
  }
  static const char quoted[] = "a\tb\n\"say \"\"rim\"\"\"\t\"\"\"\"\n\"half\tx\"\n",
                    latin[] = "a\tb\n1\t2\nZo\xeb\t3\n";
  CHECK(tsv_parse((const uint8_t *)quoted, sizeof quoted - 1, "t", &t, &e) == ST_OK &&
            !strcmp(tsv_get(&t, 0, 0), "say \"rim\"") && !strcmp(tsv_get(&t, 0, 1), "\"") &&
            !strcmp(tsv_get(&t, 1, 0), "\"half"),
        "quotes inside: '%s'", tsv_get(&t, 0, 0));
  tsv_free(&t);
  CHECK(tsv_parse((const uint8_t *)latin, sizeof latin - 1, "t.tsv", &t, &e) == ST_FORMAT &&
            strstr(e.msg, "t.tsv: row 3 is not UTF-8"),
        "Latin-1: %s", e.msg);
  CHECK(tsv_parse((const uint8_t *)"only", 4, "t", &t, &e) == ST_OK && t.nrow == 0 && t.ncol == 1,
        "header only");
  tsv_free(&t);
  CHECK(tsv_missing("") && tsv_missing("n/a") && tsv_missing("N/A") && tsv_missing("NaN") &&
            tsv_missing("None") && tsv_missing("NULL") && !tsv_missing("0") && !tsv_missing("nab"),
        "missing cells");
  static const struct {
    const char *text;
    const char *says;
  } bad[] = {{"", "empty"},
             {"\n\n", "empty"},
             {"a\tb\n1\t2\n1\n", "row 3 has 1 columns"},
             {"a\tb\n1\t2\t3\n", "row 2 has 3"},
             {"a\t\tb\n", "column 2"},
             {"a,b,c\n1,2,3\n", "row 1 has no tab, but 2 commas"},
             {"a;b;c\n1;2;3\n", "semicolons"},
             {"a  b  c\n1  2  3\n", "4 blanks"},
             {"# mine\na\tb\n", "row 1 begins with #"},
             {"#a\tb\n", "begins with #"},
             {"a\tb\ta\n", "columns 1 and 3"},
             {"a\tb\n\n1\t2\n1\n", "row 4 has 1 columns"},
             {"\n\na\tb\n1\n", "row 4 has 1 columns; expected 2 as in row 3"},
             {"a\tb\r1\t2\r1\r", "row 3 has 1"},
             {"\211PNG\r\n\032\n", "PNG image"}};
  for (int i = 0; i < COUNT_OF(bad); i++)
    CHECK(tsv_parse((const uint8_t *)bad[i].text, strlen(bad[i].text), "t.tsv", &t, &e) ==
                  ST_FORMAT &&
              strstr(e.msg, bad[i].says) && strstr(e.msg, "t.tsv") && !strchr(e.msg, '\n'),
          "%s", e.msg);
  CHECK(tsv_parse((const uint8_t *)"a\tb\n1\0\t2\n", 10, "t.tsv", &t, &e) == ST_FORMAT &&
            strstr(e.msg, "zero bytes"),
        "%s", e.msg);
  /* many columns, then many short rows: no table of columns x rows may be made */
  size_t n = 200000;
  uint8_t *big = malloc(n);
  memset(big, '\n', n);
  for (int i = 0; i < 8000; i += 2) {
    big[i] = (uint8_t)('a' + i % 26);
    big[i + 1] = '\t';
  }
  big[n - 1] = 'x';
  CHECK(tsv_parse(big, n, "t.tsv", &t, &e) == ST_FORMAT, "columns x rows: %s", e.msg);
  free(big);
}

static void test_mutations(void) {
  static const char text[] = "subject\tlesion\tchi\n sub-1\t1\tx.nii\nsub-1\t2\tn/a\nsub-2\t1\t\n";
  static const char swap[] = "\t\n\r\0a\xff";
  Rng r = {4, 0, 0};
  int opened = 0, bad = 0;
  for (int k = 0; k < 4000; k++) {
    size_t n = (size_t)rng_below(&r, sizeof text);
    uint8_t *b = malloc(n + 1);
    memcpy(b, text, n);
    for (int j = (int)rng_below(&r, 3); j > 0 && n; j--)
      b[rng_below(&r, n)] = (uint8_t)swap[rng_below(&r, 6)];
    Tsv t;
    Error e = {ST_OK, ""};
    if (tsv_parse(b, n, "m", &t, &e) == ST_OK) {
      opened++;
      for (int i = 0; i < t.nrow; i++)
        for (int j = 0; j < t.ncol; j++) bad += strlen(tsv_get(&t, i, j)) > n;
      tsv_free(&t);
    } else
      bad += !e.msg[0];
    free(b);
  }
  CHECK(bad == 0 && opened > 100, "4000 mutations: %d opened, %d bad", opened, bad);
}

static void test_write(void) {
  TsvWriter w = {0};
  Tsv t;
  Error e = {ST_OK, ""};
  const char *p = in_dir("w.tsv");
  tsv_cell(&w, "name");
  tsv_cell(&w, "value");
  tsv_row_end(&w);
  for (int i = 0; i < 300; i++) {
    tsv_cell(&w, i == 7 ? "tab\there\nand %d" : "row %d", i);
    tsv_cell(&w, "%s", i % 2 ? "" : "0.5");
    if (i < 299) tsv_row_end(&w);
  }
  CHECK(tsv_commit(&w, p, &e) == ST_OK && !w.buf && tsv_read(p, &t, &e) == ST_OK && t.nrow == 300,
        "write: %s", e.msg);
  CHECK(!strcmp(tsv_get(&t, 7, 0), "tab here and 7") && !strcmp(tsv_get(&t, 299, 1), "n/a") &&
            !strcmp(tsv_get(&t, 298, 1), "0.5"),
        "cells");
  tsv_free(&t);
  tsv_cell(&w, "x");
  CHECK(tsv_commit(&w, "/no/such/folder/x.tsv", &e) == ST_IO && !w.buf, "unwritable: %s", e.msg);
}

/* ---- cohorts ---- */
static const char good[] = "subject\tlesion\tchi\tflair\trim\tmask\treader1\treader2\ttruth_rim\n"
                           "sub-001\t1\tvol.nii\tvol.nii\tn/a\tvol.nii\t1\t1\t1\n"
                           "sub-001\t2\tvol.nii\t\t\t\t1\t0\t0\n"
                           "sub-002\t1\tother.nii\tn/a\tn/a\tn/a\t0\t0\t0\n"
                           "sub-002\t2\tvol.nii\tn/a\tn/a\tn/a\tn/a\tn/a\t0\n";
static void with(char *out, size_t n, const char *from, const char *to) { /* one replacement */
  const char *at = strstr(good, from);
  if (!at) {
    printf("FAIL '%s' not in the sample\n", from);
    exit(1);
  }
  snprintf(out, n, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void test_cohort(void) {
  Cohort c;
  Error e = {ST_OK, ""};
  char text[1200], abs_row[200];
  int64_t k[4];
  put_text(in_dir("vol.nii"), "x");
  put_text(in_dir("other.nii"), "x");
  const char *p = in_dir("lesions.tsv");
  snprintf(abs_row, sizeof abs_row, "%s", in_dir("other.nii"));
  with(text, sizeof text, "other.nii", abs_row);
  put_text(p, text);
  CHECK(cohort_open(&c, p, &e) == ST_OK && c.n == 4 && !strcmp(c.dir, dir), "open: %s", e.msg);
  CHECK(c.lesion[0].cls == CLASS_RIM && c.lesion[1].cls == CLASS_AMBIGUOUS &&
            c.lesion[2].cls == CLASS_NONRIM && c.lesion[3].cls == CLASS_UNREAD &&
            c.lesion[3].reader2 == -1 && c.lesion[1].reader1 == 1,
        "classes");
  CHECK(!strcmp(c.lesion[0].chi, in_dir("vol.nii")) && !strcmp(c.lesion[2].chi, abs_row) &&
            c.lesion[0].flair && !c.lesion[0].rim && c.lesion[0].mask && !c.lesion[1].flair &&
            !strcmp(c.lesion[1].lesion, "2"),
        "paths");
  CHECK(!strcmp(tsv_get(&c.table, c.lesion[0].row, tsv_column(&c.table, "truth_rim")), "1") &&
            !strcmp(lesion_class_name(c.lesion[1].cls), "ambiguous"),
        "other columns");
  /* both 1, only the first 1, only the second 0, none 1: p_o = 2/3, p_e = 4/9 */
  double kappa = cohort_kappa(&c, k);
  CHECK(k[0] == 1 && k[1] == 1 && k[2] == 0 && k[3] == 1 && fabs(kappa - 0.4) < 1e-12, "kappa %g",
        kappa);
  cohort_free(&c);
  static const struct {
    const char *from;
    const char *to;
    const char *says;
    const char *row;
  } bad[] = {{"\treader2", "\tsecond", "'reader2'", "row 1"},
             {"subject", "participant", "'subject'", "row 1"},
             {"\tchi\t", "\tqsm\t", "'chi'", "row 1"},
             {"\t1\t1\t1\n", "\t2\t1\t1\n", "reader1 is '2'", "row 2"},
             {"\t1\t1\t1\n", "\t1\tyes\t1\n", "reader2 is 'yes'", "row 2"},
             {"\t1\t0\t0\n", "\tn/a\t0\t0\n", "only one reader", "row 3"},
             {"sub-001\t2", "sub-001\t1", "rows 2 and 3", "sub-001"},
             {"2\tvol.nii\t\t", "2\tgone.nii\t\t", "gone.nii", "row 3"},
             {"2\tvol.nii\t\t", "2\t.\t\t", "regular file", "row 3"},
             {"2\tvol.nii\t\t", "2\tn/a\t\t", "no chi", "row 3"},
             {"sub-001\t2", "\t2", "no subject", "row 3"},
             {"sub-001\t2", "sub-001\tn/a", "no lesion", "row 3"},
             {"\tn/a\tvol.nii\t1", "\tn/a\tmask.nii\t1", "mask.nii", "row 2"},
             {"\tn/a\tvol.nii\t1", "\tn/a\t1", "columns", "row 2"}};
  for (int i = 0; i < COUNT_OF(bad); i++) {
    with(text, sizeof text, bad[i].from, bad[i].to);
    put_text(p, text);
    size_t live = mem_live_count();
    Status s = cohort_open(&c, p, &e);
    CHECK(s != ST_OK && strstr(e.msg, bad[i].says) && strstr(e.msg, bad[i].row) &&
              strstr(e.msg, "lesions.tsv") && !strchr(e.msg, '\n') && mem_live_count() == live &&
              !c.lesion,
          "%s", e.msg);
  }
  put_text(p, "subject\tlesion\tchi\treader1\treader2\n");
  CHECK(cohort_open(&c, p, &e) == ST_FORMAT && strstr(e.msg, "no lesions"), "no rows: %s", e.msg);
  CHECK(cohort_open(&c, in_dir("none.tsv"), &e) == ST_IO && cohort_open(&c, dir, &e) == ST_IO,
        "no file: %s", e.msg);
  put_text(p, "subject\tlesion\tchi\treader1\treader2\ns\t1\tvol.nii\t0\t0\n");
  CHECK(cohort_open(&c, p, &e) == ST_OK && isnan(cohort_kappa(&c, NULL)),
        "kappa of one class is not defined: %s", e.msg);
  cohort_free(&c);
}

/* The counts of the paper (260 both, 177 one, the rest none; reading A of 7980 lesions) give its
 * kappa, 0.73. */
static void test_kappa(void) {
  enum { N = 7980 };
  Lesion *l = calloc(N, sizeof *l);
  Cohort c = {.lesion = l, .n = N};
  int64_t k[4];
  for (int i = 0; i < N; i++) {
    l[i].reader1 = i < 260 + 89;
    l[i].reader2 = i < 260 || (i >= 349 && i < 349 + 88);
  }
  double kappa = cohort_kappa(&c, k);
  CHECK(k[0] == 260 && k[1] == 89 && k[2] == 88 && k[3] == 7543 && fabs(kappa - 0.7345) < 2e-4,
        "kappa %.5f", kappa);
  free(l);
}

static Status step(Error *e) {
  Cohort c;
  Status s = cohort_open(&c, in_dir("lesions.tsv"), e);
  cohort_free(&c);
  if (s != ST_OK) return s;
  TsvWriter w = {0};
  for (int i = 0; i < 200; i++) tsv_cell(&w, "cell %d", i);
  return tsv_commit(&w, in_dir("w.tsv"), e);
}

/* Comma-separated tables: quotes, line ends, what is wrong and where. */
static void test_csv(void) {
  static const struct {
    const char *text;
    const char *message;
  } bad[] = {{"", "is empty; expected a table of the test"},
             {"a,b\n1,2,3\n", "row 2 has 3 columns; expected 2"},
             {"a,b\n\n1,\"2\n", "row 3: a quotation mark is not closed"}};
  Csv c;
  Error e = {ST_OK, ""};
  put_text(in_dir("t.csv"), "\xef\xbb\xbf"
                            "a,b\r\n1,\"x, \"\"y\"\"\"\r\n\r\n2,\n");
  CHECK(csv_read(in_dir("t.csv"), "a table", &c, &e) == ST_OK, "read: %s", e.msg);
  CHECK(c.ncol == 2 && c.nrow == 2 && csv_column(&c, "b") == 1 && csv_column(&c, "c") == -1,
        "%d columns, %d rows", c.ncol, c.nrow);
  CHECK(!strcmp(c.cell[1], "x, \"y\"") && !strcmp(c.cell[2], "2") && !*c.cell[3], "cells");
  csv_free(&c);
  for (int i = 0; i < COUNT_OF(bad); i++) {
    put_text(in_dir("t.csv"), bad[i].text);
    CHECK(csv_read(in_dir("t.csv"), "a table of the test", &c, &e) == ST_FORMAT && !c.text &&
              strstr(e.msg, bad[i].message),
          "broken table %d: %s", i, e.msg);
  }
  unlink(in_dir("t.csv"));
}

/* Numbers in cells: what is none is refused with its place, never read as 0. */
static void test_number(void) {
  static const char text[] = "name\tx\na\t1.5e-3\nb\tn/a\nc\t\nd\t0.5x\ne\tabc\nf\tinf\n";
  Tsv t;
  Error e;
  double v = 0;
  CHECK(tsv_parse((const uint8_t *)text, sizeof text - 1, "t.tsv", &t, &e) == ST_OK, "%s", e.msg);
  CHECK(tsv_number(&t, 0, 1, &v, &e) == ST_OK && fabs(v - 1.5e-3) < 1e-12, "%g", v);
  for (int i = 1; i < 3; i++) CHECK(tsv_number(&t, i, 1, &v, &e) == ST_OK && isnan(v), "row %d", i);
  for (int i = 3; i < 6; i++)
    CHECK(tsv_number(&t, i, 1, &v, &e) == ST_FORMAT && strstr(e.msg, "t.tsv: row ") &&
              strstr(e.msg, "column x"),
          "row %d: %s", i, e.msg);
  CHECK(tsv_number(&t, 0, -1, &v, &e) == ST_OK && isnan(v), "no column: %g", v);
  tsv_free(&t);
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_tsv_%ld", (long)getpid());
  Error e0;
  if (dir_make(dir, &e0) != ST_OK) {
    printf("FAIL %s\n", e0.msg);
    return 1;
  }
  test_read();
  test_mutations();
  test_write();
  test_csv();
  test_number();
  test_cohort();
  test_kappa();
  int k = 0, wrong = 0;
  put_text(in_dir("lesions.tsv"), "subject\tlesion\tchi\tflair\treader1\treader2\ns\t1\tvol."
                                  "nii\tvol.nii\t0\t0\ns\t2\tvol.nii\tn/a\t1\t0\n");
  for (; k < 100; k++) {
    Error e = {ST_OK, ""};
    size_t live = mem_live_count();
    mem_fail_after(k);
    Status s = step(&e);
    mem_fail_after(-1);
    wrong += mem_live_count() != live || (s != ST_OK && s != ST_NOMEM);
    if (s == ST_OK) break;
  }
  CHECK(k > 8 && k < 100 && wrong == 0, "memory failing at each of %d allocations (%d wrong)", k,
        wrong);
  static const char *const files[] = {"vol.nii", "other.nii", "lesions.tsv", "w.tsv"};
  for (int i = 0; i < COUNT_OF(files); i++) unlink(in_dir(files[i]));
  CHECK(rmdir(dir) == 0 && mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
