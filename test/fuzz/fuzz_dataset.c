/* fuzz_dataset.c: data sets: the input up to its first zero byte is the header of a .safetensors
 * file, the rest its data (repeated as often as a byte says), so that no length has to be guessed.
 * What opens makes sense, can be chosen from, and is written and read again. */
#include <math.h>
#include "io/images/dataset.h"
#include "test/fuzz/fuzz.h"

enum { MOST = 1 << 16 };

static void judge(const Dataset *d) {
  const int64_t all = d->n * d->channels * d->h * d->w;
  FUZZ_HOLDS(d->n > 0 && d->channels > 0 && d->h > 0 && d->w > 0);
  for (int64_t i = 0; i < all; i++) FUZZ_HOLDS(isfinite(d->images[i]));
  for (int64_t i = 0; d->names && i < d->n; i++) FUZZ_HOLDS(d->names[i][63] == 0);
  const DatasetLesions *l = d->src;
  for (int64_t i = 0; l && i < d->n; i++) FUZZ_HOLDS(l->lesion[i] >= 0 && l->lesion[i] < l->n);
  for (int64_t i = 0; l && i < l->n; i++) {
    FUZZ_HOLDS(l->subject_of[i] >= 0 && l->subject_of[i] < l->nsubjects);
    FUZZ_HOLDS(l->name[i][63] == 0);
  }
}

static void write_and_read(const Dataset *d) {
  const char *path = fuzz_path(".dataset.safetensors");
  Dataset back;
  Error e;
  if (dataset_save(d, path, false, &e) != ST_OK) return;
  FUZZ_HOLDS(dataset_open(&back, path, &e) == ST_OK);
  FUZZ_HOLDS(back.n == d->n && back.channels == d->channels && back.h == d->h && back.w == d->w);
  const size_t numbers = (size_t)(d->n * d->channels * d->h * d->w);
  FUZZ_HOLDS(memcmp(back.images, d->images, numbers * sizeof *d->images) == 0);
  FUZZ_HOLDS(!back.labels == !d->labels && !back.names == !d->names && !back.src == !d->src);
  dataset_free(&back);
  unlink(path);
}

static size_t make_file(uint8_t *file, const uint8_t *data, size_t n) {
  const uint8_t *zero = memchr(data, 0, n);
  const size_t head = zero ? (size_t)(zero - data) : n;
  size_t at = 8 + head;
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)head >> 8 * i);
  memcpy(file + 8, data, head);
  if (!zero || n - head < 3) return at;
  const uint8_t *body = zero + 2;
  const size_t part = n - head - 2;
  for (int turn = 0; turn <= zero[1] && at + part <= MOST; turn++, at += part)
    memcpy(file + at, body, part);
  return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static uint8_t file[MOST];
  Dataset d;
  Error e = {ST_OK, ""};
  if (n > MOST / 2) return 0;
  const size_t bytes = make_file(file, data, n);
  if (dataset_open(&d, fuzz_file(file, bytes), &e) != ST_OK) {
    FUZZ_HOLDS(e.msg[0]);
    return 0;
  }
  judge(&d);
  if (n % 8 == 0) write_and_read(&d);
  const int64_t pick[2] = {d.n - 1, 0};
  if (dataset_select(&d, pick, 2, &e) == ST_OK) judge(&d);
  dataset_free(&d);
  return 0;
}
