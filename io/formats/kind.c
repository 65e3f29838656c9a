/* kind.c: see kind.h. Signatures from the formats' own specifications. */
#include "io/formats/kind.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

typedef struct Signature {
  size_t at;
  size_t n;
  const char *bytes;
  const char *kind;
  const char *mend;
} Signature;

static const char pack_it[] = "; `prlx pack` makes a data set of it",
                  import_it[] = "; `prlx import` reads weights from it",
                  mri_convert[] = "; convert it to NIfTI first (mri_convert IN OUT.nii.gz)";
static const Signature signatures[] = {
    {0, 8, "\211PNG\r\n\032\n", "a PNG image", pack_it},
    {0, 3, "\377\330\377", "a JPEG image", "; save it as PNG"},
    {0, 4, "PK\003\004", "a zip archive (a torch file or numpy .npz?)", import_it},
    {0, 4, "PK\005\006", "an empty zip archive", ""},
    {0, 2, "\037\213", "a gzip file (.nii.gz?)", pack_it},
    {0, 6, "\223NUMPY", "a numpy array", import_it},
    {0, 8, "\211HDF\r\n\032\n", "an HDF5 file", ""},
    {0, 4, "%PDF", "a PDF document", ""},
    {0, 4, "GIF8", "a GIF image", "; save it as PNG"},
    {0, 4, "II*\0", "a TIFF image", "; save it as PNG"},
    {0, 4, "MM\0*", "a TIFF image", "; save it as PNG"},
    {0, 4, "GGUF", "a GGUF file", ""},
    {0, 3, "BZh", "a bzip2 file", "; unpack it first"},
    {0, 6,
     "\375"
     "7zXZ\0",
     "an xz file", "; unpack it first"},
    {0, 4, "\050\265\057\375", "a zstd file", "; unpack it first"},
    {344, 4, "n+1\0", "a NIfTI volume", pack_it},
    {344, 4, "ni1\0", "a NIfTI header", pack_it},
    {4, 4, "n+2\0", "a NIfTI-2 volume", pack_it},
    {128, 4, "DICM", "a DICOM file", "; convert it to NIfTI first"},
    {0, 6, "\0\0\0\001\0\0", "a FreeSurfer volume (MGH, MGZ)", mri_convert},
    {0, 4, "NRRD", "an NRRD volume", "; convert it to NIfTI first"},
    {0, 10, "ObjectType", "a MetaImage header (.mha, .mhd)", "; convert it to NIfTI first"},
    {0, 12, "mrtrix image", "an MRtrix image (.mif)",
     "; convert it to NIfTI first (mrconvert IN OUT.nii.gz)"},
};

static const Signature *signature_of(const uint8_t *p, size_t n) {
  for (int i = 0; i < COUNT_OF(signatures); i++) {
    const Signature *s = &signatures[i];
    if (n >= s->at + s->n && !memcmp(p + s->at, s->bytes, s->n)) return s;
  }
  return NULL;
}

/* A pickle of protocol 2 to 5 begins with its number. */
static bool is_pickle(const uint8_t *p, size_t n) {
  return n > 3 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5;
}

static bool is_safetensors(const uint8_t *p, size_t n) {
  return n > 9 && p[8] == '{' && !p[4] && !p[5] && !p[6] && !p[7];
}

static bool is_text(const uint8_t *p, size_t n) {
  size_t odd = 0;
  for (size_t i = 0; i < n; i++)
    odd += (p[i] < 32 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t' && p[i] != '\f') ||
           p[i] == 0x7f || p[i] >= 0xf5; /* no character of UTF-8 has such bytes */
  return n > 0 && !odd;
}

static bool is_html(const uint8_t *p, size_t n) {
  static const char *const begins[] = {"<!doctype html", "<html"};
  while (n && isspace(*p)) p++, n--;
  for (int i = 0; i < COUNT_OF(begins); i++)
    if (n >= strlen(begins[i]) && !strncasecmp((const char *)p, begins[i], strlen(begins[i])))
      return true;
  return false;
}

const char *file_kind(const uint8_t *p, size_t n) {
  n = PRLX_MIN(n, (size_t)KIND_BYTES);
  const Signature *s = signature_of(p, n);
  if (!n) return "an empty file";
  if (s) return s->kind;
  if (is_pickle(p, n)) return "a Python pickle (a torch file?)";
  if (is_safetensors(p, n)) return "a .safetensors file";
  if (!is_text(p, n)) return NULL;
  return is_html(p, n) ? "an HTML page (a download that failed?)" : "text";
}

const char *file_kind_mend(const uint8_t *p, size_t n) {
  n = PRLX_MIN(n, (size_t)KIND_BYTES);
  const Signature *s = signature_of(p, n);
  return s ? s->mend : is_pickle(p, n) ? import_it : "";
}

const char *file_kind_convert(const uint8_t *p, size_t n) {
  const Signature *s = signature_of(p, PRLX_MIN(n, (size_t)KIND_BYTES));
  return s && !strncmp(s->mend, "; convert", 9) ? s->mend : "";
}
