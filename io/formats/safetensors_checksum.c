/* safetensors_checksum.c: a checksum of each tensor and of the header, kept in the metadata, so
 * that one changed byte of a snapshot or network is found and named. CRC-32 finds every single
 * damaged byte and every burst of up to 32 bits; it is no protection against intent.
 *
 * Metadata "checksums" = "crc32 HEADER T0 T1 ...", eight hexadecimal digits each: HEADER over every
 * other metadata key and value and every tensor's name, type and shape, in the order of the file;
 * Tk over the bytes of tensor k. Other programs read such a file like any other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/checksum.h"
#include "io/formats/safetensors.h"

static const char checksum_key[] = "checksums", checksum_kind[] = "crc32";
enum { CHECKSUM_DIGITS = 9 }; /* a blank and eight digits */

/* With the terminating zero, so that "ab","c" is not "a","bc". */
static uint32_t checksum_text(uint32_t crc, const char *s) {
  return crc32_ieee(crc, s, strlen(s) + 1);
}

static uint32_t checksum_tensor_head(uint32_t crc, const char *name, DType dtype, Shape shape) {
  char text[160];
  crc = checksum_text(crc, name);
  size_t at = (size_t)snprintf(text, sizeof text, "%s", dtype_name(dtype));
  for (int k = 0; k < shape.rank; k++)
    at += (size_t)snprintf(text + at, sizeof text - at, ",%lld", (long long)shape.dim[k]);
  return checksum_text(crc, text);
}

static uint32_t checksum_meta(uint32_t crc, const StMeta *meta, int n) {
  for (int i = 0; i < n; i++) {
    if (!strcmp(meta[i].key, checksum_key)) continue;
    crc = checksum_text(crc, meta[i].key);
    crc = checksum_text(crc, meta[i].value);
  }
  return crc;
}

/* Of the bytes as they lie in the file. */
static uint32_t checksum_data(const StTensor *t) {
  const size_t size = PRLX_MAX(dtype_size(t->dtype), 1);
  return crc32_numbers(0, t->data, t->bytes / size, size);
}

Status st_checksum_text(const StMeta *meta, int nmeta, const StTensor *tensor, int ntensor,
                        char **out, Error *e) {
  const size_t room = sizeof checksum_kind + (size_t)(ntensor + 1) * CHECKSUM_DIGITS;
  char *text = *out = mem_alloc(room);
  if (!text) return err_set(e, ST_NOMEM, "out of memory for the checksums of a file");
  uint32_t head = checksum_meta(0, meta, nmeta);
  for (int i = 0; i < ntensor; i++)
    head = checksum_tensor_head(head, tensor[i].name, tensor[i].dtype, tensor[i].shape);
  size_t at = (size_t)snprintf(text, room, "%s %08x", checksum_kind, head);
  for (int i = 0; i < ntensor; i++)
    at += (size_t)snprintf(text + at, room - at, " %08x", checksum_data(&tensor[i]));
  return ST_OK;
}

/* The first place where two checksum texts of one form differ: 0 the header, 1.. the tensors; -1:
 * equal. */
static int checksum_difference(const char *want, const char *got, int ntensor) {
  const size_t kind = sizeof checksum_kind - 1;
  for (int i = 0; i <= ntensor; i++)
    if (memcmp(want + kind + (size_t)i * CHECKSUM_DIGITS, got + kind + (size_t)i * CHECKSUM_DIGITS,
               CHECKSUM_DIGITS) != 0)
      return i;
  return -1;
}

/* The list of checksums, also where a damaged byte lies in its own key. */
static const char *checksum_find(const StFile *f) {
  const char *text = st_meta(f, checksum_key);
  const size_t kind = sizeof checksum_kind - 1,
               length = kind + (size_t)(f->ntensor + 1) * CHECKSUM_DIGITS;
  for (int i = 0; i < f->nmeta && !text; i++) {
    const char *v = f->meta[i].value;
    if (strlen(v) == length && !strncmp(v, checksum_kind, kind) &&
        strspn(v + kind, " 0123456789abcdef") == length - kind)
      text = v;
  }
  return text;
}

Status st_verify(const StFile *f, bool *found, Error *e) {
  const char *want = checksum_find(f);
  char *got = NULL;
  if (found) *found = want != NULL;
  if (!want) return ST_OK;
  TRY(st_checksum_text(f->meta, f->nmeta, f->tensor, f->ntensor, &got, e));
  Status s = ST_OK;
  if (strlen(want) != strlen(got) || strncmp(want, checksum_kind, sizeof checksum_kind - 1) != 0) {
    s = err_set(e, ST_FORMAT,
                "%s: the list of checksums does not fit the tensors of the file; it is damaged or "
                "was changed by another program: restore it",
                f->path);
    goto done;
  }
  const int at = checksum_difference(want, got, f->ntensor);
  if (at == 0)
    s = err_set(e, ST_FORMAT,
                "%s: damaged: the header (metadata, names or shapes) does not have the checksum it "
                "was written with; restore the file",
                f->path);
  else if (at > 0)
    s = err_set(e, ST_FORMAT,
                "%s: damaged: tensor %s does not have the checksum it was written with; restore "
                "the file",
                f->path, f->tensor[at - 1].name);
done:
  mem_free(got);
  return s;
}
