/* png_write.c: PNG writing with the vendored stb_image_write.h, the only place that includes it.
 * That library does not survive a failed allocation, so its allocator keeps a list of its blocks
 * and, on failure, frees them all and jumps back to png_encode8. */
#include <setjmp.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/png.h"

typedef struct Block {
  struct Block *prev;
  struct Block *next;
} __attribute__((aligned(64))) Block;
static _Thread_local struct {
  Block *all;
  jmp_buf back;
} enc;

static void *blk_alloc(void *old, size_t old_n, size_t n) {
  Block *o = old ? (Block *)old - 1 : NULL, *b = mem_alloc(n + sizeof *b);
  if (!b) longjmp(enc.back, 1);
  if (o) { /* takes the old block's place */
    memcpy(b + 1, old, PRLX_MIN(old_n, n));
    *b = *o;
    mem_free(o);
  } else {
    b->prev = NULL;
    b->next = enc.all;
  }
  if (b->prev)
    b->prev->next = b;
  else
    enc.all = b;
  if (b->next) b->next->prev = b;
  return b + 1;
}

static void blk_free(void *p) {
  if (!p) return;
  Block *b = (Block *)p - 1;
  if (b->prev)
    b->prev->next = b->next;
  else
    enc.all = b->next;
  if (b->next) b->next->prev = b->prev;
  mem_free(b);
}

/* For the rest of this file: stb declares static functions that this build leaves out, and gcc says
 * so at the very end. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBIW_ASSERT(x) ((void)0)
#define STBIW_MALLOC(n) blk_alloc(NULL, 0, (size_t)(n))
#define STBIW_REALLOC_SIZED(p, old, n) blk_alloc(p, (size_t)(old), (size_t)(n))
#define STBIW_FREE(p) blk_free(p)
#include "third_party/stb_image_write.h"

/* On its own, so that no variable of the function that calls setjmp changes between setjmp and
 * longjmp. */
static __attribute__((noinline)) void png_encode(int w, int h, int channels, const uint8_t *px,
                                                 uint8_t **out, size_t *n) {
  int len = 0;
  uint8_t *png = stbi_write_png_to_mem(px, w * channels, w, h, channels, &len);
  if (!png || !(*out = mem_alloc((size_t)len))) return;
  memcpy(*out, png, (size_t)len);
  *n = (size_t)len;
}

Status png_encode8(int w, int h, int channels, const uint8_t *px, uint8_t **out, size_t *n,
                   Error *e) {
  *out = NULL;
  *n = 0;
  if (w < 1 || h < 1 || channels < 1 || channels > 4 || (int64_t)w * channels > INT32_MAX / 4 ||
      ((int64_t)w * channels + 1) * h > INT32_MAX / 4)
    return err_set(e, ST_INVALID,
                   "PNG image of %d x %d pixels with %d channels; expected 1 to 4 channels and "
                   "less than 512 MB",
                   w, h, channels);
  enc.all = NULL;
  if (setjmp(enc.back) == 0) png_encode(w, h, channels, px, out, n);
  while (enc.all) blk_free(enc.all + 1);
  return *out ? ST_OK
              : err_set(e, ST_NOMEM, "out of memory while writing a PNG image of %d x %d pixels", w,
                        h);
}

Status png_write8(const char *path, int w, int h, int channels, const uint8_t *px, Error *e) {
  uint8_t *png;
  size_t n;
  TRY(png_encode8(w, h, channels, px, &png, &n, e));
  const Status s = file_write_atomic(path, png, n, e);
  mem_free(png);
  return s;
}
