/* Leaks between data sets: whatever a patient is called and however an image was changed, a test
 * and a training set that share them do not pass. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/rng.h"
#include "io/images/bids.h"
#include "io/images/leak.h"
#include "test/test.h"

enum { SIDE = 32, PER = SIDE * SIDE };
static char dir[64];

/* A blob with texture, another one for every seed. */
static void picture(uint64_t seed, float *out) {
  Rng r = {.seed = 11, .subsequence = seed};
  double c[4][4];
  for (int k = 0; k < 4; k++)
    for (int q = 0; q < 4; q++) c[k][q] = rng_uniform(&r);
  for (int i = 0; i < PER; i++) {
    const double x = i % SIDE, y = i / SIDE;
    double v = 0.02 * rng_normal(&r);
    for (int k = 0; k < 4; k++) {
      const double dx = x - SIDE * c[k][0], dy = y - SIDE * c[k][1], w = 3 + 6 * c[k][2];
      v += (c[k][3] - 0.4) * exp(-(dx * dx + dy * dy) / (w * w));
    }
    out[i] = (float)v;
  }
}

/* How the images of the second file come from those of the first. */
typedef enum {
  AS_IS,
  BRIGHTER,
  NEGATIVE,
  MIRRORED_X,
  MIRRORED_Y,
  TURNED,
  TRANSPOSED,
  EIGHT_BITS,
  ALL_AT_ONCE,
  OTHER
} Change;

static void change_picture(Change c, float *p) {
  float q[PER];
  memcpy(q, p, sizeof q);
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      float *o = &p[y * SIDE + x];
      const int mx = SIDE - 1 - x, my = SIDE - 1 - y;
      switch (c) {
        case BRIGHTER: *o = 0.5f * q[y * SIDE + x] + 0.3f; break;
        case NEGATIVE: *o = -q[y * SIDE + x]; break;
        case MIRRORED_X: *o = q[y * SIDE + mx]; break;
        case MIRRORED_Y: *o = q[my * SIDE + x]; break;
        case TURNED: *o = q[mx * SIDE + y]; break;
        case TRANSPOSED: *o = q[x * SIDE + y]; break;
        case EIGHT_BITS: *o = rintf(q[y * SIDE + x] * 127.5f) / 127.5f; break;
        case ALL_AT_ONCE: *o = rintf((0.1f - 0.8f * q[mx * SIDE + y]) * 127.5f) / 127.5f; break;
        default: break;
      }
    }
}

/* A file of 3 images of one lesion of one subject. */
static Status save(const char *name, const char *subject, const char *scan, const char *lesion,
                   const char *split, uint64_t seed, Change c) {
  Error e = {0};
  char path[200];
  Dataset d = {.n = 3, .channels = 1, .h = SIDE, .w = SIDE, .path = mem_strdup("test")};
  snprintf(path, sizeof path, "%s/%s", dir, name);
  d.src = lesions_new(1, 1, 3, 1);
  d.names = mem_alloc(3 * 64);
  d.images = mem_alloc(3 * PER * sizeof *d.images);
  snprintf(d.src->name[0], 64, "%s", lesion);
  snprintf(d.src->scan[0], 64, "%s", scan);
  snprintf(d.src->subject[0], 64, "%s", subject);
  for (int k = 0; k < 3; k++) d.src->dim[k] = SIDE;
  for (int k = 0; k < 4; k++) d.src->affine[5 * k] = 1;
  for (int i = 0; i < 3; i++) {
    d.src->slice[i] = i;
    d.src->window[2 * i + 1] = 1;
    snprintf(d.names[i], 64, "%s_lesion-%s_z%02d", subject, lesion, i);
    picture(c == OTHER ? 1000 + seed + (uint64_t)i : seed + (uint64_t)i, d.images + i * PER);
    change_picture(c, d.images + i * PER);
  }
  if (split) CHECK(dataset_set_meta(&d, "split", split, &e) == ST_OK, "meta");
  const Status s = dataset_save(&d, path, false, &e);
  CHECK(s == ST_OK, "%s: %s", name, e.msg);
  dataset_free(&d);
  return s;
}

static Status check(Error *e) {
  char a[200], b[200], *path[2] = {a, b};
  snprintf(a, sizeof a, "%s/a.safetensors", dir);
  snprintf(b, sizeof b, "%s/b.safetensors", dir);
  *e = (Error){0};
  return leak_check_files(2, path, e);
}

/* ---- one patient under two names ---- */
static void test_names(void) {
  static const char *const same[][2] = {
      {"sub-001", "sub-001"}, {"sub-001", "SUB-001"},        {"sub-001", "001"},
      {"sub-001", "sub-1"},   {"sub-001", " sub-001 "},      {"sub-001", "sub-001_ses-02"},
      {"sub-P7", "p7"},       {"sub-P-01", "P_1"},           {"sub-a1_ses-01", "sub-a1_ses-02"},
      {"sub-01", "Sub 01"},   {"sub-x01_run-1", "X1_run-2"},
  };
  static const char *const apart[][2] = {{"sub-001", "sub-010"}, {"sub-1", "sub-11"},
                                         {"sub-a", "sub-b"},     {"sub-1-11", "sub-11-1"},
                                         {"sub-100", "sub-1"},   {"subject1", "1"}};
  Error e;
  for (int i = 0; i < COUNT_OF(same); i++) {
    save("a.safetensors", same[i][0], "ses-01", "01", "train", 10, AS_IS);
    save("b.safetensors", same[i][1], "ses-02", "02", "test", 20, OTHER);
    CHECK(check(&e) == ST_INVALID && strstr(e.msg, "LEAK: subject"), "%s and %s: %s", same[i][0],
          same[i][1], e.msg);
  }
  for (int i = 0; i < COUNT_OF(apart); i++) {
    save("a.safetensors", apart[i][0], "", "01", "train", 10, AS_IS);
    save("b.safetensors", apart[i][1], "", "01", "test", 20, OTHER);
    CHECK(check(&e) == ST_OK, "%s and %s: %s", apart[i][0], apart[i][1], e.msg);
  }
}

/* ---- which kinds of files may share what ---- */
static void test_kinds(void) {
  static const struct {
    const char *a;
    const char *b;
    bool leak;
  } kind[] = {{"train", "test", true},      {"ambiguous", "test", true},
              {"train", NULL, true},        {"train", "train", true},
              {"test", "test", true},       {"train", "ambiguous", false},
              {"train", "validation", true}};
  Error e;
  for (int i = 0; i < COUNT_OF(kind); i++) {
    save("a.safetensors", "sub-1", "", "01", kind[i].a, 10, AS_IS);
    save("b.safetensors", "sub-1", "", "02", kind[i].b, 20, OTHER);
    CHECK((check(&e) != ST_OK) == kind[i].leak, "%s and %s: %s", kind[i].a,
          kind[i].b ? kind[i].b : "unknown", e.msg);
  }
  save("a.safetensors", "sub-1", "ses-01", "01", "train", 10, AS_IS);
  save("b.safetensors", "sub-1", "ses-01", "01", "ambiguous", 20, OTHER);
  CHECK(check(&e) == ST_INVALID && strstr(e.msg, "LEAK: lesion"), "a lesion in both: %s", e.msg);
  save("b.safetensors", "sub-1", "ses-02", "01", "ambiguous", 20, OTHER);
  CHECK(check(&e) == ST_OK, "another visit of it: %s", e.msg);
}

/* ---- one image under two names ---- */
static void test_images(void) {
  Error e;
  for (int c = AS_IS; c < OTHER; c++) {
    save("a.safetensors", "sub-1", "", "01", "train", 10, AS_IS);
    save("b.safetensors", "sub-2", "", "07", "test", 12, (Change)c);
    CHECK(check(&e) == ST_INVALID && strstr(e.msg, "LEAK: sub-"), "change %d: %s", c, e.msg);
  }
  save("b.safetensors", "sub-2", "", "07", "test", 10, OTHER);
  CHECK(check(&e) == ST_OK, "other images: %s", e.msg);
}

static void test_pairs(void) {
  enum { N = 40 };
  ImageMark m[N];
  int owner[N];
  int64_t pair[2];
  Error e = {0};
  float p[PER];
  for (int i = 0; i < N; i++) {
    picture((uint64_t)i, p);
    image_mark(p, SIDE, SIDE, &m[i]);
    owner[i] = i / 4;
  }
  CHECK(marks_find_pair(m, owner, N, pair, &e) == ST_OK && pair[0] < 0, "no pair");
  picture(5, p);
  change_picture(BRIGHTER, p);
  image_mark(p, SIDE, SIDE, &m[30]);
  CHECK(marks_find_pair(m, owner, N, pair, &e) == ST_OK && pair[0] == 5 && pair[1] == 30,
        "the pair: %lld %lld", (long long)pair[0], (long long)pair[1]);
  owner[30] = owner[5];
  CHECK(marks_find_pair(m, owner, N, pair, &e) == ST_OK && pair[0] < 0, "of one patient");
  /* a drawing of two values proves nothing, at the same place it does */
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < PER; i++) p[i] = i % 7 == 0;
    image_mark(p, SIDE, SIDE, &m[k ? 9 : 2]);
  }
  CHECK(marks_find_pair(m, owner, N, pair, &e) == ST_OK && pair[0] < 0, "drawings");
  m[2].place = m[9].place = 77;
  CHECK(marks_find_pair(m, owner, N, pair, &e) == ST_OK && pair[0] == 2 && pair[1] == 9,
        "drawings at one place");
}

static int by_value(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* A window that cuts off the brightest twentieth, 8 bits, and a mirror: found, unless the blocks
 * are those of what was cut; others: not. */
static void test_cuts(void) {
  float p[PER], q[PER];
  ImageThumb tp, tq;
  int found = 0, wrong = 0, plain = 0;
  for (uint64_t seed = 0; seed < 20; seed++) {
    picture(seed, p);
    memcpy(q, p, sizeof q);
    qsort(q, PER, sizeof *q, by_value);
    const float low = q[0], cut = q[PER - PER / 20];
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++)
        q[y * SIDE + SIDE - 1 - x] = rintf(fminf(p[y * SIDE + x], cut) * 255 / (cut - low)) / 255;
    image_thumb(p, SIDE, SIDE, &tp);
    image_thumb(q, SIDE, SIDE, &tq);
    found += thumbs_near(&tp, &tq, true) && image_same_cut(p, q, SIDE, SIDE);
    plain += image_same(p, q, SIDE, SIDE);
    picture(seed + 100, q);
    wrong += image_same_cut(p, q, SIDE, SIDE);
  }
  CHECK(found >= 19 && !wrong, "%d of 20 found (%d by all pixels), %d wrong", found, plain, wrong);
}

/* ---- names of BIDS ---- */
static void test_bids(void) {
  BidsName n;
  Error e = {0};
  char scan[BIDS_SCAN], label[BIDS_LABEL];
  CHECK(bids_parse(&n, "x/sub-01/ses-02/anat/sub-01_ses-02_acq-epi_run-1_desc-a_Chimap.nii.gz",
                   &e) == ST_OK,
        "%s", e.msg);
  CHECK(!strcmp(n.sub, "01") && !strcmp(n.scan[ENT_SES], "02") && !strcmp(n.scan[ENT_RUN], "1") &&
            !strcmp(n.desc, "a") && !strcmp(n.suffix, "Chimap"),
        "entities");
  CHECK(bids_parse(&n, "ses-9/sub-7_FLAIR.nii", &e) == ST_OK && !strcmp(n.scan[ENT_SES], "9"),
        "session of the folder");
  CHECK(bids_parse(&n, "qsm.nii.gz", &e) == ST_OK && !n.sub[0], "no BIDS name");
  static const char *const bad[] = {"ses-01_Chimap.nii", "sub-_Chimap.nii", "sub-1_ses-_T1w.nii",
                                    "sub-1_ses-2_ses-2_T1w.nii", "ses-3/sub-1_ses-2_T1w.nii"};
  for (int i = 0; i < COUNT_OF(bad); i++)
    CHECK(bids_parse(&n, bad[i], &e) == ST_FORMAT && strstr(e.msg, bad[i]), "%s: %s", bad[i],
          e.msg);
  const char *const part[ENT_COUNT] = {"ses-b 2", "n/a", "", "1"};
  CHECK(bids_scan(part, scan, &e) == ST_OK && !strcmp(scan, "ses-b2_run-1"), "%s", scan);
  bids_scan_label(scan, ENT_RUN, label);
  CHECK(!strcmp(label, "1"), "%s", label);
  CHECK(bids_scan_order("ses-M6", "ses-M12") < 0 && bids_scan_order("ses-2", "ses-10") < 0 &&
            bids_scan_order("ses-01", "ses-1") == 0 && bids_scan_order("", "ses-1") < 0 &&
            bids_scan_order("ses-1_run-2", "ses-1_run-1") > 0,
        "order of scans");
}

/* Spellings of one patient, and those of two. */
static void test_patient_keys(void) {
  static const struct {
    const char *a;
    const char *b;
    bool one;   /* bids_patient_key */
    bool maybe; /* bids_loose_key */
  } k[] = {
      {"sub-01", "SUB-1 ", true, true},
      {"P-01", "p_1", true, true},
      {"P-01", "P01", false, true},
      {"1-11", "11-1", false, true},
      {"P10", "P1", false, false},
      {"M\xc3\xbcller", "Mu\xcc\x88ller", true, true}, /* u with dots, in one piece and in two */
      {"M\xc3\x9cLLER", "m\xc3\xbcller", true, true},  /* capital */
      {"M\xc3\xbcller", "Muller", false, true},        /* without */
      {"\xc5\x81uk", "\xc5\x82uk", true, true},        /* l with stroke */
      {"\xd0\x90nna", "\xd0\xb0nna", true, true},      /* Cyrillic */
      {"P\xc2\xa0"
       "7",
       "P 7", true, true}, /* a space that does not break */
      {"P\xe2\x80\x8b"
       "7",
       "P7", true, true}, /* one without width */
      {"P\xe2\x80\x93"
       "7",
       "P-7", true, true},                            /* another dash */
      {"\xef\xbc\xb0\xef\xbc\x91", "p1", true, true}, /* full width */
      {"\xe6\x9d\x8e", "\xe5\xbc\xa0", false, false}, /* two Chinese names */
      {"a\xffz", "a-z", true, true},                  /* no UTF-8 */
  };
  char a[2 * BIDS_LABEL], b[2 * BIDS_LABEL], again[2 * BIDS_LABEL], longest[400] = "";
  for (int i = 0; i < COUNT_OF(k); i++) {
    bids_patient_key(k[i].a, a);
    bids_patient_key(k[i].b, b);
    CHECK(!strcmp(a, b) == k[i].one, "%s and %s: %s, %s", k[i].a, k[i].b, a, b);
    bids_patient_key(a, again);
    CHECK(!strcmp(a, again), "the key of a key: %s, %s", a, again);
    bids_loose_key(k[i].a, a);
    bids_loose_key(k[i].b, b);
    CHECK(!strcmp(a, b) == k[i].maybe, "%s and %s: %s, %s", k[i].a, k[i].b, a, b);
  }
  for (int i = 0; i < 150; i++) strcat(longest, "\xc3\xbc");
  bids_patient_key(longest, a);
  CHECK(memchr(a, 0, sizeof a) && strlen(a) > 100, "a long name: %zu bytes", strlen(a));
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_leak_XXXXXX");
  if (!mkdtemp(dir)) return 1;
  test_bids();
  test_patient_keys();
  test_names();
  test_kinds();
  test_images();
  test_pairs();
  test_cuts();
  char cmd[100];
  snprintf(cmd, sizeof cmd, "rm -r %s", dir);
  if (system(cmd)) return 1;
  return test_end();
}
