/* bids.c: see bids.h. Names: BIDS specification 1.10, "Common principles: Filenames" (entities,
 * their order) and "Derivatives: Imaging" (label, desc, mask, probseg). */
#include "io/images/bids.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "io/formats/file.h"
#include "io/formats/path.h"

const char *const bids_entity[ENT_COUNT] = {"ses", "acq", "rec", "run"};

/* ---- names in ---- */
/* Where the label of this key goes; NULL: an entity that tells no scans apart. */
static char *bids_slot(BidsName *n, const char *key, size_t len) {
  const struct {
    const char *key;
    char *at;
  } slot[] = {{"sub", n->sub},           {"ses", n->scan[ENT_SES]}, {"acq", n->scan[ENT_ACQ]},
              {"rec", n->scan[ENT_REC]}, {"run", n->scan[ENT_RUN]}, {"label", n->label},
              {"desc", n->desc},         {"space", n->space}};
  for (int i = 0; i < COUNT_OF(slot); i++)
    if (strlen(slot[i].key) == len && !strncasecmp(slot[i].key, key, len)) return slot[i].at;
  return NULL;
}

/* One piece between underscores, "key-label". */
static Status bids_piece(BidsName *n, const char *path, const char *p, size_t len, Error *e) {
  char shown[80], text[80];
  const char *dash = memchr(p, '-', len);
  char *to = dash ? bids_slot(n, p, (size_t)(dash - p)) : NULL;
  const size_t k = dash ? len - (size_t)(dash - p) - 1 : 0;
  if (!to) return ST_OK;
  snprintf(text, sizeof text, "%.*s", (int)PRLX_MIN(len, (size_t)70), p);
  if (!k || k >= BIDS_LABEL)
    return err_set(e, ST_FORMAT,
                   "%s: the name has '%s'; expected a label of 1 to %d letters and digits after "
                   "the dash; rename the file",
                   path, str_shown(text, shown), BIDS_LABEL - 1);
  if (to[0])
    return err_set(e, ST_FORMAT,
                   "%s: '%s' comes on top of another %.*s in the name; expected it once; rename "
                   "the file",
                   path, str_shown(text, shown), (int)(dash - p), p);
  memcpy(to, dash + 1, k);
  to[k] = 0;
  return ST_OK;
}

/* The label of the last folder that is called ses-..., "" if none is. */
static Status bids_folder_session(const char *path, char out[BIDS_LABEL], Error *e) {
  out[0] = 0;
  for (const char *p = path, *slash; (slash = strchr(p, '/')); p = slash + 1) {
    const size_t len = (size_t)(slash - p);
    if (len < 4 || strncmp(p, "ses-", 4)) continue;
    if (len == 4 || len - 4 >= BIDS_LABEL)
      return err_set(e, ST_FORMAT,
                     "%s: a folder ses- without a label, or with a long one; expected ses-01 or "
                     "the like; rename it",
                     path);
    memcpy(out, p + 4, len - 4);
    out[len - 4] = 0;
  }
  return ST_OK;
}

Status bids_parse(BidsName *n, const char *path, Error *e) {
  const char *base = path_base(path);
  const size_t stem = strcspn(base, ".");
  char folder[BIDS_LABEL];
  memset(n, 0, sizeof *n);
  if (!strncmp(base, "ses-", 4))
    return err_set(e, ST_FORMAT,
                   "%s: a session without a subject; expected a name such as sub-01_%.*s; rename "
                   "the file, or give --subject and --session",
                   path, (int)PRLX_MIN(stem, (size_t)60), base);
  if (strncmp(base, "sub-", 4)) return ST_OK;
  for (size_t at = 0; at < stem;) {
    size_t len = strcspn(base + at, "_.");
    len = PRLX_MIN(len, stem - at);
    TRY(bids_piece(n, path, base + at, len, e));
    if (at + len == stem && !memchr(base + at, '-', len))
      snprintf(n->suffix, sizeof n->suffix, "%.*s", (int)PRLX_MIN(len, (size_t)63), base + at);
    at += len + 1;
  }
  TRY(bids_folder_session(path, folder, e));
  if (folder[0] && n->scan[ENT_SES][0] && strcmp(folder, n->scan[ENT_SES]))
    return err_set(e, ST_FORMAT,
                   "%s: the name says ses-%s, the folder ses-%s; expected one session; move or "
                   "rename the file",
                   path, n->scan[ENT_SES], folder);
  if (folder[0]) memcpy(n->scan[ENT_SES], folder, sizeof folder);
  return ST_OK;
}

/* Bytes of s before entities such as _ses-02. */
static size_t bids_subject_length(const char *s) {
  size_t n = strlen(s);
  for (int k = 0; k < ENT_COUNT; k++) {
    char mark[8];
    snprintf(mark, sizeof mark, "_%s-", bids_entity[k]);
    for (size_t i = 1; i < n; i++)
      if (!strncasecmp(s + i, mark, strlen(mark))) n = i;
  }
  return n;
}

Status bids_split_subject(BidsName *n, const char *subject, size_t *length, Error *e) {
  memset(n, 0, sizeof *n);
  *length = bids_subject_length(subject);
  if (!strncasecmp(subject, "ses-", 4))
    return err_set(e, ST_FORMAT,
                   "'%.60s' is a session without a subject; expected the patient, such as sub-01; "
                   "the session has its own column",
                   subject);
  for (const char *p = subject + *length; *p;) {
    const size_t len = strcspn(p + 1, "_");
    TRY(bids_piece(n, subject, p + 1, len, e));
    p += 1 + len;
  }
  return ST_OK;
}

/* ---- scans ---- */
/* Letters and digits of s, without the key in front. */
static size_t bids_clean(const char *s, const char *key, char *out, size_t room) {
  const size_t k = strlen(key);
  size_t n = 0;
  if (!strncmp(s, key, k) && s[k] == '-') s += k + 1;
  for (; *s && n + 1 < room; s++)
    if (isalnum((unsigned char)*s)) out[n++] = *s;
  out[n] = 0;
  return n;
}

Status bids_scan(const char *const label[ENT_COUNT], char out[BIDS_SCAN], Error *e) {
  size_t at = 0;
  out[0] = 0;
  for (int k = 0; k < ENT_COUNT; k++) {
    char text[2 * BIDS_LABEL];
    const char *s = label[k] ? label[k] : "";
    if (!*s || !strcmp(s, "n/a")) continue;
    if (!bids_clean(s, bids_entity[k], text, sizeof text))
      return err_set(e, ST_INVALID, "%s '%.40s' has neither letters nor digits; name it otherwise",
                     bids_entity[k], s);
    const int len =
        snprintf(out + at, BIDS_SCAN - at, "%s%s-%s", at ? "_" : "", bids_entity[k], text);
    at += (size_t)len;
    if (at >= BIDS_SCAN)
      return err_set(e, ST_INVALID,
                     "the labels of session, acquisition, reconstruction and run are longer than "
                     "%d characters together; shorten them",
                     BIDS_SCAN - 1);
  }
  return ST_OK;
}

void bids_scan_label(const char *scan, ScanEntity entity, char out[BIDS_LABEL]) {
  const size_t k = strlen(bids_entity[entity]);
  out[0] = 0;
  while (*scan) {
    const size_t len = strcspn(scan, "_");
    if (len > k && !strncmp(scan, bids_entity[entity], k) && scan[k] == '-') {
      snprintf(out, BIDS_LABEL, "%.*s", (int)PRLX_MIN(len - k - 1, (size_t)BIDS_LABEL - 1),
               scan + k + 1);
      return;
    }
    scan += len + (scan[len] == '_');
  }
}

/* Letter by letter, runs of digits by their value. */
static int label_order(const char *a, const char *b) {
  while (*a && *b) {
    if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
      a += strspn(a, "0");
      b += strspn(b, "0");
      const size_t n = strspn(a, "0123456789"), m = strspn(b, "0123456789");
      const int d = n != m ? (n > m) - (n < m) : strncmp(a, b, n);
      if (d) return d;
      a += n;
      b += m;
      continue;
    }
    const int x = tolower((unsigned char)*a++), y = tolower((unsigned char)*b++);
    if (x != y) return x - y;
  }
  return (*a != 0) - (*b != 0);
}

int bids_scan_order(const char *a, const char *b) {
  char x[BIDS_LABEL], y[BIDS_LABEL];
  for (int k = 0; k < ENT_COUNT; k++) {
    bids_scan_label(a, (ScanEntity)k, x);
    bids_scan_label(b, (ScanEntity)k, y);
    const int d = label_order(x, y);
    if (d) return d;
  }
  return 0;
}

/* ---- patients ---- */
/* Letters of Latin scripts (U+00C0 to U+017F): the plain letter, - where there is none, and
 * which of marks[] is on it. Unicode Character Database, canonical decompositions. */
static const char latin_base[] = "aaaaaa-ceeeeiiii-nooooo--uuuuy--aaaaaa-ceeeeiiii-nooooo--uuuuy-y"
                                 "aaaaaaccccccccdd--eeeeeeeeeegggggggghh--iiiiiiiii---jjkk-llllll-"
                                 "---nnnnnn---oooooo--rrrrrrsssssssstttt--uuuuuuuuuuuuwwyyyzzzzzz-";
static const char latin_mark[] = "abcdhi-labchabch-dabcdh--abchb--abcdhi-labchabch-dabcdh--abchb-h"
                                 "eeffmmbbccggkkkk--eeffggmmkkccffggllcc--ddeeffmmg---ccll-bbllkk-"
                                 "---bbllkk---eeffjj--bbllkkbbccllkkllkk--ddeeffiijjmmcccchbbggkk-";
static const uint8_t marks[] = {0, 1,  2,  3,  4,  6, 7,
                                8, 10, 11, 12, 39, 40}; /* U+0300 and so many */

/* The character at *s, which goes on; 0xfffd for bytes that are no UTF-8. */
static uint32_t utf8_take(const char **s, const char *end) {
  const unsigned char *p = (const unsigned char *)*s;
  const int n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  uint32_t c = n == 1 ? p[0] : n ? p[0] & (0xffu >> (n + 1)) : 0xfffd;
  bool good = n > 0 && end - *s >= n && p[0] < 0xf5;
  for (int i = 1; i < n && good; i++) {
    good = (p[i] & 0xc0) == 0x80;
    c = c << 6 | (p[i] & 0x3f);
  }
  *s += good ? n : 1;
  return good ? c : 0xfffd;
}

static size_t utf8_put(uint32_t c, char *out) {
  const int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (int i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)(lead[n] | c);
  return (size_t)n;
}

/* What nobody sees: marks of direction, spaces without width, soft hyphens. */
static bool is_invisible(uint32_t c) {
  return c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x2064) || c == 0xfeff;
}

/* Separators: punctuation and blanks, of ASCII and beyond. */
static bool is_separator(uint32_t c) {
  if (c < 128) return !isalnum((int)c);
  return c < 0xaa || c == 0xfffd || (c >= 0x2000 && c < 0x2070) || c == 0x2212 || c == 0x3000;
}

/* In small letters; a letter with a mark becomes the letter, and the mark in *mark, since some
 * systems store the two apart (ü as u and U+0308). Full-width forms become ASCII. */
static uint32_t letter_fold(uint32_t c, uint32_t *mark) {
  *mark = 0;
  if (c >= 0xff01 && c <= 0xff5e) c -= 0xfee0;
  if (c < 128) return (uint32_t)tolower((int)c);
  if (c >= 0xc0 && c < 0x180 && latin_base[c - 0xc0] != '-') {
    *mark = 0x300u + marks[latin_mark[c - 0xc0] - 'a'];
    return (uint32_t)latin_base[c - 0xc0];
  }
  if (c >= 0xc0 && c < 0xdf && c != 0xd7) return c + 32;
  if (c >= 0x110 && c < 0x180 && c != 0x138) return c >= 0x139 && c < 0x149 ? c + (c & 1) : c | 1;
  if ((c >= 0x391 && c < 0x3aa) || (c >= 0x410 && c < 0x430)) return c + 32;
  return c >= 0x400 && c < 0x410 ? c + 80 : c;
}

void bids_patient_key(const char *subject, char key[2 * BIDS_LABEL]) {
  const char *s = subject + strspn(subject, " \t");
  const char *end = s + bids_subject_length(s);
  size_t n = 0;
  if (!strncasecmp(s, "sub", 3) && s + 3 < end && !isalpha((unsigned char)s[3])) s += 3;
  for (bool digits = false, gap = false; s < end && n + 10 < 2 * BIDS_LABEL;) {
    uint32_t mark, c = letter_fold(utf8_take(&s, end), &mark);
    if (is_invisible(c)) continue;
    if (is_separator(c)) {
      gap = true;
      digits = false;
      continue;
    }
    /* a zero that begins a number, unless it is the whole number */
    if (c == '0' && !digits && s < end && isdigit((unsigned char)*s)) continue;
    if (gap && n) key[n++] = '-';
    gap = false;
    digits = c < 128 && isdigit((int)c);
    n += utf8_put(c, key + n);
    if (mark) n += utf8_put(mark, key + n);
  }
  key[n] = 0;
}

void bids_loose_key(const char *subject, char key[2 * BIDS_LABEL]) {
  char strict[2 * BIDS_LABEL];
  bids_patient_key(subject, strict);
  int n = 0;
  for (const char *s = strict; *s; s++) {
    const bool mark =
        (unsigned char)s[0] == 0xcc || ((unsigned char)s[0] == 0xcd && (unsigned char)s[1] < 0xb0);
    if (mark)
      s++;
    else if (*s != '-')
      key[n++] = *s;
  }
  key[n] = 0;
}

/* ---- patches out ---- */
void patch_name(const char *subject, const char *scan, const char *lesion, PatchKind kind,
                char out[PATCH_NAME]) {
  static const char *const label[PATCH_KINDS] = {"", "_label-rim", "", "_label-lesion"},
                           *const suffix[PATCH_KINDS] = {"Chimap", "probseg", "FLAIR", "mask"};
  char sub[80], id[96], ses[BIDS_LABEL], folder[BIDS_LABEL + 8] = "";
  if (!bids_clean(subject, "sub", sub, sizeof sub)) strcpy(sub, "0");
  if (!bids_clean(!strncmp(lesion, "lesion", 6) ? lesion + 6 : lesion, "lesion", id, sizeof id))
    strcpy(id, "0");
  bids_scan_label(scan, ENT_SES, ses);
  if (ses[0]) snprintf(folder, sizeof folder, "ses-%s/", ses);
  snprintf(out, PATCH_NAME, "sub-%s/%sanat/sub-%s%s%.63s%s_desc-lesion%s_%s", sub, folder, sub,
           scan[0] ? "_" : "", scan, label[kind], id, suffix[kind]);
}

typedef struct NamedPatch {
  char name[PATCH_NAME];
  int64_t at;
} NamedPatch;

static int named_order(const void *a, const void *b) {
  const NamedPatch *x = a, *y = b;
  const int d = strcasecmp(x->name, y->name);
  return d ? d : (x->at > y->at) - (x->at < y->at);
}

static Status name_clash(const PatchId *a, const PatchId *b, const char *name, Error *e) {
  const bool same =
      !strcmp(a->subject, b->subject) && !strcmp(a->scan, b->scan) && !strcmp(a->lesion, b->lesion);
  if (same)
    return err_set(e, ST_INVALID,
                   "lesion '%.60s' of '%.60s' is there twice, not in one piece; expected its "
                   "slices together, and every lesion once",
                   a->lesion, a->subject);
  return err_set(e, ST_INVALID,
                 "lesion '%.60s' of '%.60s' and lesion '%.60s' of '%.60s' would both be written "
                 "as %.150s: they differ only in what file names leave out; rename one",
                 a->lesion, a->subject, b->lesion, b->subject, name);
}

Status patch_names_check(const PatchId *id, int64_t n, Error *e) {
  NamedPatch *p = mem_alloc((size_t)n * sizeof *p);
  if (!p) return err_set(e, ST_NOMEM, "out of memory for the names of %lld files", (long long)n);
  Status s = ST_OK;
  for (int64_t i = 0; i < n; i++) {
    p[i].at = i;
    patch_name(id[i].subject, id[i].scan, id[i].lesion, PATCH_CHI, p[i].name);
  }
  qsort(p, (size_t)n, sizeof *p, named_order);
  for (int64_t i = 1; i < n && s == ST_OK; i++)
    if (!strcasecmp(p[i].name, p[i - 1].name))
      s = name_clash(&id[p[i - 1].at], &id[p[i].at], p[i].name, e);
  mem_free(p);
  return s;
}

Status patch_write(const char *dir, const char *name, PatchKind kind, const float *v, const Grid *g,
                   const char *descrip, const char *json, Error *e) {
  const int64_t dim[4] = {g->dim[0], g->dim[1], g->dim[2], 1};
  char path[PATH_LEN], file[PATCH_NAME + 8];
  TRY(path_join(path, dir, name, e));
  *strrchr(path, '/') = 0;
  TRY(dir_make(path, e));
  snprintf(file, sizeof file, "%.399s.nii.gz", name);
  TRY(path_join(path, dir, file, e));
  TRY(nifti_write_as(path, v, dim, g->affine, kind == PATCH_MASK ? NIFTI_UINT8 : NIFTI_FLOAT32,
                     descrip, e));
  if (!json) return ST_OK;
  snprintf(file, sizeof file, "%.399s.json", name);
  TRY(path_join(path, dir, file, e));
  return file_write_atomic(path, json, strlen(json), e);
}
