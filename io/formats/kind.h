/* kind.h: what kind of file the first bytes belong to, for messages that say what was found where
 * something else was expected. */
#ifndef PRLX_KIND_H
#define PRLX_KIND_H
#include "core/base.h"

/* Bytes that file_kind wants to see: headers of NIfTI and DICOM are that long. */
enum { KIND_BYTES = 352 };

/* "a PNG image", "a zip archive (a torch file, numpy .npz?)", "text", ...; NULL: unknown. n bytes
 * at p, the first of the file; fewer than KIND_BYTES will do. A constant text. */
const char *file_kind(const uint8_t *p, size_t n);

/* What to do with such a file where a .safetensors file is expected: "; `prlx pack` makes a data
 * set of it" or "". A constant text. */
const char *file_kind_mend(const uint8_t *p, size_t n);

/* The same where a volume is expected: how a volume of another kind becomes NIfTI, or "". */
const char *file_kind_convert(const uint8_t *p, size_t n);
#endif
