/* fuzz_snapshot.c: snapshots of a training. A tiny trainer writes one; the input changes it, then
 * it is opened, verified and restored as `prlx train --resume` does it. First byte 0: five bytes
 * each are a place (three) and what is written there (two); a change of a tensor's data must be
 * found by its checksum. Otherwise the rest is the header, the data stays. */
#include <math.h>
#include "test/fuzz/fuzz.h"
#include "tools/gan/train_run.h"

enum { RES = 4, ITEMS = 4, ROOM = 1 << 18 };

static TrainRun run;
static uint8_t whole[ROOM];
static size_t whole_bytes, header_bytes;

static DType file_type(TrainType t) { return t == TT_I64 ? DT_I64 : t == TT_F64 ? DT_F64 : DT_F32; }

static Status save_tensor(void *w, const TrainTensor *x, Error *e) {
  return st_add(w, x->name, file_type(x->type), x->shape, x->data, e);
}

static void snapshot_write(const char *path) {
  StWriter *w;
  Error e;
  char crc[16];
  snprintf(crc, sizeof crc, "%08x", run.data_crc);
  FUZZ_HOLDS(st_writer_new(&w, &e) == ST_OK);
  FUZZ_HOLDS(st_add_meta(w, "format", "prlx-train-state-1", &e) == ST_OK);
  FUZZ_HOLDS(st_add_meta(w, "data.crc", crc, &e) == ST_OK);
  FUZZ_HOLDS(trainer_enumerate(run.t, save_tensor, w, &e) == ST_OK);
  FUZZ_HOLDS(st_add(w, "tool.tick_sums", DT_F64, SHAPE1(sizeof run.sums / sizeof(double)),
                    &run.sums, &e) == ST_OK);
  FUZZ_HOLDS(st_add_checksums(w, &e) == ST_OK && st_commit(w, path, &e) == ST_OK);
}

/* The trainer, its data, and the bytes of its snapshot. */
static void prepare(void) {
  static float images[ITEMS * RES * RES];
  static const TrainData data = {images, NULL, ITEMS};
  static Dataset set = {.n = ITEMS, .channels = 1, .h = RES, .w = RES, .images = images};
  static char name[] = "fuzz";
  TrainConfig c;
  Error e;
  FUZZ_HOLDS(train_preset(&c, "small", RES, 1, 0, &e) == ST_OK);
  c.G.z_dim = c.G.w_dim = 1;
  c.G.mapping_layers = 1;
  c.G.channel_base = c.D.channel_base = 4;
  c.G.channel_max = c.D.channel_max = 1;
  c.batch = c.batch_gpu = 1;
  c.D.mbstd_group_size = 1;
  c.pl_batch_shrink = 1;
  set.path = name;
  FUZZ_HOLDS(trainer_new(&c, &data, &run.t, &e) == ST_OK);
  run.data = &set;
  run.data_crc = dataset_crc(&set);
  const char *path = fuzz_path(".state.safetensors");
  snapshot_write(path);
  FILE *f = fopen(path, "rb");
  FUZZ_HOLDS(f && (whole_bytes = fread(whole, 1, ROOM, f)) > 8 && whole_bytes < ROOM);
  fclose(f);
  unlink(path);
  for (int i = 0; i < 8; i++) header_bytes |= (size_t)whole[i] << 8 * i;
  header_bytes += 8;
}

/* Opened, verified, restored; *verified: with all checksums right. */
static Status restore(const uint8_t *file, size_t n, bool *verified, Error *e) {
  StFile f;
  bool found = false;
  TRY(st_open(&f, fuzz_file(file, n), e));
  Status s = st_verify(&f, &found, e);
  *verified = s == ST_OK && found;
  if (s == ST_OK) s = run_restore(&run, &f, e);
  st_close(&f);
  return s;
}

static void changed(const uint8_t *data, size_t n) {
  static uint8_t file[ROOM];
  Error e = {ST_OK, ""};
  bool other = false, header = false, verified = false;
  memcpy(file, whole, whole_bytes);
  for (; n >= 5; data += 5, n -= 5) {
    const size_t at = (data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16) % (whole_bytes - 1);
    header |= at < header_bytes;
    file[at] = data[3];
    file[at + 1] = data[4];
  }
  other = memcmp(file, whole, whole_bytes) != 0;
  const Status s = restore(file, whole_bytes, &verified, &e);
  FUZZ_HOLDS(s == ST_OK || e.msg[0]);
  if (!header) FUZZ_HOLDS(other ? s != ST_OK && !verified : s == ST_OK && verified);
}

static void other_header(const uint8_t *data, size_t n) {
  static uint8_t file[2 * ROOM];
  Error e = {ST_OK, ""};
  bool verified;
  if (n > ROOM / 2) return;
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)n >> 8 * i);
  memcpy(file + 8, data, n);
  memcpy(file + 8 + n, whole + header_bytes, whole_bytes - header_bytes);
  const Status s = restore(file, 8 + n + whole_bytes - header_bytes, &verified, &e);
  FUZZ_HOLDS(s == ST_OK || e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  if (!run.t) prepare();
  if (n < 1) return 0;
  if (data[0] == 0)
    changed(data + 1, n - 1);
  else
    other_header(data + 1, n - 1);
  return 0;
}
