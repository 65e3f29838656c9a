/* bids_dataset.c: the files that make a folder of patches a BIDS derivative dataset, and what a
 * sidecar says. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/path.h"
#include "io/images/bids.h"

/* Converters of DICOM write one number for each slice of each echo into them. */
enum { LARGEST_SIDECAR = 1 << 26 };

void bids_json_text(const char *s, char *out, size_t n) {
  size_t k = 0;
  const bool utf8 = json_utf8(s);
  for (; *s && k + 2 < n; s++) {
    if (*s == '"' || *s == '\\') out[k++] = '\\';
    if ((unsigned char)*s >= 32) out[k++] = (unsigned char)*s < 128 || utf8 ? *s : '?';
  }
  out[k] = 0;
}

static Status bids_text(const char *dir, const char *file, bool keep, Error *e, const char *fmt,
                        ...) __attribute__((format(printf, 5, 6)));
static Status bids_text(const char *dir, const char *file, bool keep, Error *e, const char *fmt,
                        ...) {
  char path[PATH_LEN], text[6000];
  va_list ap;
  bool there = false;
  TRY(path_join(path, dir, file, e));
  if (keep) TRY(file_look(path, &there, e));
  if (there) return ST_OK;
  va_start(ap, fmt);
  const int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (n < 0 || n >= (int)sizeof text)
    return err_set(e, ST_INVALID, "%s: the text is too long for a description", path);
  return file_write_atomic(path, text, (size_t)n, e);
}

/* What all files of a kind share. */
static Status bids_sidecars(const char *dir, const BidsDataset *d, bool keep, Error *e) {
  const char *simulated = d->simulated ? ",\n  \"Simulated\": true" : "";
  const char *stripped = d->skull_stripped ? "true" : "false";
  if (d->kinds >> PATCH_CHI & 1)
    TRY(bids_text(dir, "Chimap.json", keep, e,
                  "{\n  \"Description\": \"susceptibility map\",\n  \"Units\": \"ppm\",\n"
                  "  \"SkullStripped\": %s%s%s\n}\n",
                  stripped, d->chi_more, simulated));
  if (d->kinds >> PATCH_FLAIR & 1)
    TRY(bids_text(dir, "FLAIR.json", keep, e,
                  "{\n  \"Description\": \"T2-FLAIR\",\n  \"Units\": \"arbitrary\",\n"
                  "  \"SkullStripped\": %s%s\n}\n",
                  stripped, simulated));
  if (d->kinds >> PATCH_RIM & 1)
    TRY(bids_text(dir, "label-rim_probseg.json", keep, e,
                  "{\n  \"Type\": \"Lesion\",\n  \"Description\": \"probability that the voxel "
                  "belongs to the paramagnetic rim\"%s\n}\n",
                  simulated));
  if (d->kinds >> PATCH_MASK & 1)
    TRY(bids_text(dir, "label-lesion_mask.json", keep, e,
                  "{\n  \"Type\": \"Lesion\",\n  \"Description\": \"1 inside the lesion, 0 "
                  "outside\"%s\n}\n",
                  simulated));
  return ST_OK;
}

Status bids_describe(const char *dir, const BidsDataset *d, bool keep, Error *e) {
  char name[300], how[700];
  bids_json_text(d->name, name, sizeof name);
  bids_json_text(d->how ? d->how : "lesion patches with lesions.tsv", how, sizeof how);
  TRY(bids_text(dir, "dataset_description.json", keep, e,
                "{\n  \"Name\": \"%s\",\n  \"BIDSVersion\": \"1.10.0\",\n"
                "  \"DatasetType\": \"derivative\",\n  \"GeneratedBy\": [{\"Name\": \"%s\", "
                "\"Version\": \"%s\", \"Description\": \"%s\"}]\n}\n",
                name, d->tool, d->version, how));
  TRY(bids_text(dir, "README", keep, e, "%s", d->readme));
  TRY(bids_text(dir, ".bidsignore", keep, e, "%s", d->ignore));
  return bids_sidecars(dir, d, keep, e);
}

/* ---- sidecars ---- */
/* 1, 0, or -1: the value of a boolean at the top of a JSON object. */
static int json_flag(const char *text, size_t n, const char *key) {
  Json j;
  int found = -1;
  json_init(&j, text, n);
  if (!json_take(&j, '{') || json_peek(&j) == '}') return -1;
  do {
    char *name = NULL;
    if (!json_string(&j, &name)) break;
    const bool hit = !strcmp(name, key);
    mem_free(name);
    if (!json_take(&j, ':')) break;
    const char first = json_peek(&j);
    if (hit && (first == 't' || first == 'f')) found = first == 't';
    if (!json_skip(&j)) return -1;
  } while (json_try(&j, ','));
  return found;
}

Status bids_sidecar_flag(const char *volume, const char *key, int *flag, Error *e) {
  char path[PATH_LEN];
  uint8_t *text;
  size_t n, cut = strlen(volume);
  if (path_has_ending(volume, ".nii.gz"))
    cut -= 7;
  else if (path_has_ending(volume, ".nii"))
    cut -= 4;
  *flag = -1;
  TRY(path_format(path, e, "%.*s.json", (int)cut, volume));
  if (!file_exists(path)) return ST_OK;
  TRY(file_read(path, &text, &n, LARGEST_SIDECAR, e));
  *flag = json_flag((const char *)text, n, key);
  mem_free(text);
  return ST_OK;
}
