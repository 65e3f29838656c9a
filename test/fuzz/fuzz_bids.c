/* fuzz_bids.c: names of files, patients and scans. Lines of the input: a path, a subject, a scan, a
 * lesion. Names that are made of them can be read again and give the same labels. */
#include "io/images/bids.h"
#include "test/fuzz/fuzz.h"

static void judge_name(const BidsName *n) {
  const char *all[] = {n->sub,           n->scan[ENT_SES], n->scan[ENT_ACQ],
                       n->scan[ENT_REC], n->scan[ENT_RUN], n->label,
                       n->desc,          n->space,         n->suffix};
  for (int i = 0; i < COUNT_OF(all); i++) FUZZ_HOLDS(memchr(all[i], 0, BIDS_LABEL));
}

/* A patch of this patient, scan and lesion: the name is safe and says whose it is. */
static void patch_back(const char *subject, const char *scan, const char *lesion) {
  char name[PATCH_NAME], key[2][2 * BIDS_LABEL];
  BidsName n;
  Error e;
  for (PatchKind kind = 0; kind < PATCH_KINDS; kind++) {
    patch_name(subject, scan, lesion, kind, name);
    FUZZ_HOLDS(memchr(name, 0, PATCH_NAME) && name[0] != '/' && !strstr(name, ".."));
    for (const char *p = name; *p; p++) FUZZ_HOLDS((unsigned char)*p > ' ' && *p < 127);
    if (bids_parse(&n, name, &e) == ST_OK) judge_name(&n);
  }
  bids_patient_key(subject, key[0]);
  bids_patient_key(key[0], key[1]);
  FUZZ_HOLDS(memchr(key[0], 0, sizeof key[0]));
}

/* The scan of these labels, "" where there is none; it can be taken apart again. */
static void scan_back(const BidsName *n, char scan[BIDS_SCAN]) {
  char label[BIDS_LABEL];
  const char *labels[ENT_COUNT];
  Error e;
  for (int k = 0; k < ENT_COUNT; k++) labels[k] = n->scan[k];
  scan[0] = 0;
  if (bids_scan(labels, scan, &e) != ST_OK) {
    scan[0] = 0;
    return;
  }
  FUZZ_HOLDS(bids_scan_order(scan, scan) == 0);
  for (ScanEntity k = 0; k < ENT_COUNT; k++) {
    bids_scan_label(scan, k, label);
    FUZZ_HOLDS(memchr(label, 0, BIDS_LABEL));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  char *text = malloc(n + 1), *line[4], none[] = "", scan[BIDS_SCAN] = "", other[BIDS_SCAN];
  BidsName name;
  size_t length;
  Error e;
  memcpy(text, data, n);
  text[n] = 0;
  char *p = text;
  for (int k = 0; k < 4; k++) {
    line[k] = p ? p : none;
    p = p ? strchr(p, '\n') : NULL;
    if (p) *p++ = 0;
  }
  if (bids_parse(&name, line[0], &e) == ST_OK) {
    judge_name(&name);
    scan_back(&name, scan);
  }
  if (bids_split_subject(&name, line[1], &length, &e) == ST_OK) {
    FUZZ_HOLDS(length <= strlen(line[1]));
    judge_name(&name);
    scan_back(&name, other);
  }
  const int order = bids_scan_order(line[2], line[3]), back = bids_scan_order(line[3], line[2]);
  FUZZ_HOLDS((order > 0) == (back < 0) && (order < 0) == (back > 0));
  patch_back(line[1], scan, line[3]);
  char quoted[80];
  bids_json_text(line[0], quoted, sizeof quoted);
  FUZZ_HOLDS(memchr(quoted, 0, sizeof quoted));
  free(text);
  return 0;
}
