/* info_nifti.c: a NIfTI header as a neuroimager reads it, and as JSON for programs. */
#include "tools/cohort/info_nifti.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "io/formats/file.h"
#include "io/formats/gzip.h"
#include "io/formats/json.h"
#include "io/formats/nifti.h"

#define LOOK ((size_t)1 << 16)
typedef struct Values {
  bool known;
  double min;
  double max;
  double mean;
  int64_t bad;
} Values;

bool info_is_nifti(const char *path) {
  static const char *const ends[] = {".nii",    ".nii.gz", ".hdr", ".img", ".hdr.gz",
                                     ".img.gz", ".mgz",    ".mgh"}; /* said to be no NIfTI */
  size_t n = strlen(path), got = 0;
  for (int i = 0; i < COUNT_OF(ends); i++)
    if (n >= strlen(ends[i]) && !strcasecmp(path + n - strlen(ends[i]), ends[i])) return true;
  uint8_t *head = mem_alloc(LOOK);
  const bool yes = head && file_head(path, head, LOOK, &got, NULL) == ST_OK && nifti_is(head, got);
  mem_free(head);
  return yes;
}

static const char *space_unit(int code) {
  static const char *const names[] = {"unknown", "m", "mm", "um"};
  return (code & 7) < COUNT_OF(names) ? names[code & 7] : "unknown";
}

static const char *time_unit(int code) {
  static const char *const names[] = {"unknown", "s", "ms", "us", "Hz", "ppm", "rad/s"};
  int k = code >> 3 & 7;
  return k < COUNT_OF(names) ? names[k] : "unknown";
}

static Values values_of(const Nifti *v) {
  Values r = {true, INFINITY, -INFINITY, 0, 0};
  double sum = 0;
  for (int64_t i = 0; i < v->nvox; i++) {
    double x = v->data[i];
    if (!isfinite(x)) {
      r.bad++;
      continue;
    }
    sum += x;
    r.min = x < r.min ? x : r.min;
    r.max = x > r.max ? x : r.max;
  }
  r.mean = r.bad < v->nvox ? sum / (double)(v->nvox - r.bad) : NAN;
  if (r.bad == v->nvox) r.min = r.max = NAN;
  return r;
}

static bool is_scaled(const NiftiHeader *h) {
  return isfinite(h->scl_slope) && h->scl_slope != 0 &&
         (h->scl_slope != 1 || (isfinite(h->scl_inter) && h->scl_inter != 0));
}

static const char *form_of(const NiftiHeader *h) {
  return h->form == NIFTI_SFORM ? "sform" : h->form == NIFTI_QFORM ? "qform" : "pixdim";
}

static bool big_endian(const NiftiHeader *h) {
  return h->swapped != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

/* ---- text ---- */
static void print_clean(const char *s) {
  for (; *s; s++) putchar((unsigned char)*s < 32 || *s == 127 ? '?' : *s);
}

static void print_field(const char *name, const char *text) {
  if (!text[0]) return;
  printf("  %-13s ", name);
  print_clean(text);
  printf("\n");
}

static void print_text(const char *path, const NiftiHeader *h, const Values *v) {
  static const char *const towards[] = {"left",  "posterior", "inferior",
                                        "right", "anterior",  "superior"};
  char o[4];
  nifti_orientation(h, o);
  printf("%s: NIfTI-%d%s, %s-endian%s\n  %-13s ", path, h->version,
         h->pair ? " pair (.hdr/.img)" : "", big_endian(h) ? "big" : "little",
         h->gzipped ? ", gzip" : "", "dims");
  for (int i = 1; i <= h->ndim; i++) printf("%s%lld", i > 1 ? " x " : "", (long long)h->dim[i]);
  printf("  (%lld voxels)\n  %-13s ", (long long)h->nvox, "voxel size");
  for (int i = 1; i <= PRLX_MIN(h->ndim, 3); i++)
    printf("%s%.6g", i > 1 ? " x " : "", h->pixdim[i]);
  printf(" mm%s%s", h->xyzt_units & 7 ? "" : " (unit not said; mm assumed)",
         h->unit_mm == 1000    ? " (stored in m)"
         : h->unit_mm == 0.001 ? " (stored in um)"
                               : "");
  if (h->ndim > 3 && h->dim[4] > 1)
    printf(", step of the 4th dimension %.6g %s", h->pixdim[4],
           h->xyzt_units & 0x38 ? time_unit(h->xyzt_units) : "(unit not said)");
  printf("\n  %-13s ", "orientation");
  if (h->form == NIFTI_NO_FORM)
    printf("unknown (no sform, no qform); as stored i, j, k\n");
  else {
    printf("%s (i to %s, j to %s, k to %s)\n", o, towards[strchr("LPIRAS", o[0]) - "LPIRAS"],
           towards[strchr("LPIRAS", o[1]) - "LPIRAS"], towards[strchr("LPIRAS", o[2]) - "LPIRAS"]);
  }
  for (int i = 0; i < 3; i++)
    printf("  %-13s %11.6g %11.6g %11.6g %12.6g\n", i ? "" : "affine", h->affine[4 * i],
           h->affine[4 * i + 1], h->affine[4 * i + 2], h->affine[4 * i + 3]);
  printf("  %-13s %s; sform code %d %s, qform code %d %s\n", "affine from", form_of(h),
         h->sform_code, nifti_form_name(h->sform_code), h->qform_code,
         nifti_form_name(h->qform_code));
  printf("  %-13s %s", "data type", nifti_datatype_name(h->datatype));
  if (is_scaled(h))
    printf(", value = %.9g x stored %c %.9g\n", h->scl_slope, h->scl_inter < 0 ? '-' : '+',
           isfinite(h->scl_inter) ? fabs(h->scl_inter) : 0.0);
  else
    printf(", unscaled\n");
  print_field("description", h->descrip);
  if (h->intent_code || h->intent_name[0]) {
    printf("  %-13s code %d ", "intent", h->intent_code);
    print_clean(h->intent_name);
    printf("\n");
  }
  if (h->extensions)
    printf("  %-13s %d, %lld bytes (skipped)\n", "extensions", h->extensions,
           (long long)h->extension_bytes);
  if (v->known)
    printf("  %-13s min %.9g, max %.9g, mean %.9g\n", "values", v->min, v->max, v->mean);
  if (v->bad) printf("  %-13s %lld voxels are NaN or infinite\n", "", (long long)v->bad);
  print_field("warning", h->warning);
}

/* ---- JSON ---- */
/* keep_utf8: a path. Text from a header has no known encoding: other bytes than ASCII become
 * Latin-1, so that the line is valid in any case; those of a path that is no UTF-8, too. */
static void json_text(const char *s, bool keep_utf8) {
  keep_utf8 = keep_utf8 && json_utf8(s);
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 32 || (c >= 127 && !keep_utf8))
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void json_num(double v) {
  if (isfinite(v))
    printf("%.17g", v);
  else
    printf("null");
}

static void json_nums(const char *key, const double *v, int n) {
  printf(",\"%s\":[", key);
  for (int i = 0; i < n; i++) {
    if (i) putchar(',');
    json_num(v[i]);
  }
  putchar(']');
}

static void print_json(const char *path, const NiftiHeader *h, const Values *v) {
  char o[4];
  nifti_orientation(h, o);
  printf("{\"file\":");
  json_text(path, true);
  printf(",\"format\":\"NIfTI-%d\",\"pair\":%s,\"gzip\":%s,\"byte_order\":\"%s\",\"dims\":[",
         h->version, h->pair ? "true" : "false", h->gzipped ? "true" : "false",
         big_endian(h) ? "big" : "little");
  for (int i = 1; i <= h->ndim; i++) printf("%s%lld", i > 1 ? "," : "", (long long)h->dim[i]);
  printf("]");
  json_nums("voxel_size", h->pixdim + 1, PRLX_MIN(h->ndim, 3));
  printf(",\"space_unit\":\"mm\",\"stored_space_unit\":\"%s\"", space_unit(h->xyzt_units));
  if (h->ndim > 3) json_nums("step", h->pixdim + 4, 1);
  printf(",\"time_unit\":\"%s\",\"orientation\":", time_unit(h->xyzt_units));
  if (h->form == NIFTI_NO_FORM)
    printf("null,\"affine\":[");
  else
    printf("\"%s\",\"affine\":[", o);
  for (int i = 0; i < 16; i++) {
    printf("%s", i == 0 ? "[" : i % 4 ? "," : "],[");
    json_num(h->affine[i]);
  }
  printf("]],\"affine_source\":\"%s\",\"sform_qform_apart_mm\":%.6g,\"sform_code\":%d,\"qform_"
         "code\":%d,\"datatype\":\"%s\","
         "\"scl_slope\":",
         form_of(h), h->forms_apart, h->sform_code, h->qform_code,
         nifti_datatype_name(h->datatype));
  json_num(h->scl_slope);
  printf(",\"scl_inter\":");
  json_num(h->scl_inter);
  printf(",\"scaled\":%s,\"vox_offset\":%lld,\"extensions\":%d,\"intent_code\":%d,\"intent_name\":",
         is_scaled(h) ? "true" : "false", (long long)h->vox_offset, h->extensions, h->intent_code);
  json_text(h->intent_name, false);
  printf(",\"description\":");
  json_text(h->descrip, false);
  if (v->known) {
    printf(",\"min\":");
    json_num(v->min);
    printf(",\"max\":");
    json_num(v->max);
    printf(",\"mean\":");
    json_num(v->mean);
    printf(",\"not_finite\":%lld", (long long)v->bad);
  }
  printf(",\"warning\":");
  json_text(h->warning, false);
  printf("}\n");
}

Status info_nifti(const char *path, bool json, bool brief, Error *e) {
  Nifti v = {0};
  Values values = {0};
  TRY(nifti_read_header(path, &v.head, e));
  NiftiHeader h = v.head;
  Status s = ST_OK;
  if (!brief) {
    s = nifti_read(path, &v, e);
    if (s == ST_OK) {
      values = values_of(&v);
      h = v.head;
    }
    nifti_free(&v);
  }
  /* a complex volume, which cannot be read, still has a header worth showing */
  if (!json) print_text(path, &h, &values);
  if (json && s == ST_OK) print_json(path, &h, &values);
  fflush(stdout);
  return s;
}
