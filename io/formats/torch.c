/* torch.c: containers, storages and single tensors. Walking the saved object: torch_collect.c. */
#include "io/formats/torch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/torch_impl.h"

const char *torch_container_name(TorchContainer c) {
  static const char *const name[] = {"torch legacy stream", "torch zip archive",
                                     "TorchScript archive", "pickle"};
  return (unsigned)c < 4 ? name[c] : "?";
}

bool torch_is(const uint8_t *p, size_t n) {
  return zip_is(p, n) || (n >= 2 && p[0] == 0x80 && p[1] <= 5) ||
         (n >= 2 && strchr("(c]}lL", p[0]) && p[0]);
}

/* ---- storages ---- */
static bool storage_type(const Pk *g, DType *t) {
  static const struct {
    const char *name;
    DType t;
  } types[] = {{"FloatStorage", DT_F32},        {"DoubleStorage", DT_F64},
               {"HalfStorage", DT_F16},         {"BFloat16Storage", DT_BF16},
               {"LongStorage", DT_I64},         {"IntStorage", DT_I32},
               {"ShortStorage", DT_I16},        {"CharStorage", DT_I8},
               {"ByteStorage", DT_U8},          {"BoolStorage", DT_BOOL},
               {"ComplexFloatStorage", DT_C64}, {"ComplexDoubleStorage", DT_C64},
               {"QInt8Storage", DT_I8},         {"QUInt8Storage", DT_U8},
               {"QInt32Storage", DT_I32}};
  if (!g || g->kind != PK_GLOBAL) return false;
  if (pk_text_is(g->text, "torch.storage") && pk_text_is(g->name, "UntypedStorage"))
    return *t = DT_U8, true;
  if ((!pk_text_is(g->text, "torch") && !pk_text_is(g->text, "torch.cuda"))) return false;
  for (int i = 0; i < COUNT_OF(types); i++)
    if (pk_text_is(g->name, types[i].name)) return *t = types[i].t, true;
  return false;
}

/* ("storage", class, key, device, numel[, view]); view = None or (key, offset, numel) of a part, in
 * files of torch < 0.4. */
typedef struct Persid {
  PkText key;
  DType dtype;
  int64_t numel;
  int64_t from;
  int64_t part;
  bool wide;
} Persid;
static Status read_persid(const Pk *v, const char *name, Persid *p, Error *e) {
  const Pk *t = v->item[0];
  bool ok = t->kind == PK_TUPLE && (t->nitem == 5 || t->nitem == 6) &&
            pk_is(t->item[0], "storage") && storage_type(t->item[1], &p->dtype) &&
            t->item[2]->kind == PK_STR && t->item[4]->kind == PK_INT && t->item[4]->integer >= 0 &&
            t->item[4]->integer <= INT64_MAX / 16;
  if (!ok)
    return err_set(e, ST_FORMAT,
                   "%s: a storage is not described as torch does; expected (\"storage\", type, "
                   "key, device, count)",
                   name);
  p->key = t->item[2]->text;
  p->wide = pk_text_is(t->item[1]->name, "ComplexDoubleStorage");
  p->numel = p->part = t->item[4]->integer;
  p->from = 0;
  const Pk *view = t->nitem == 6 ? t->item[5] : NULL;
  if (!view || view->kind == PK_NONE) return ST_OK;
  if (view->kind != PK_TUPLE || view->nitem != 3 || view->item[1]->kind != PK_INT ||
      view->item[2]->kind != PK_INT || view->item[1]->integer < 0 || view->item[2]->integer < 0 ||
      view->item[1]->integer > p->numel ||
      view->item[2]->integer > p->numel - view->item[1]->integer)
    return err_set(e, ST_FORMAT, "%s: a storage view lies outside its storage; the file is damaged",
                   name);
  p->from = view->item[1]->integer;
  p->part = view->item[2]->integer;
  return ST_OK;
}

static int compare_text(PkText a, PkText b) {
  size_t n = PRLX_MIN(a.len, b.len);
  int c = n ? memcmp(a.start, b.start, n) : 0;
  return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int by_key(const void *a, const void *b) {
  return compare_text(((const TorchStorage *)a)->key, ((const TorchStorage *)b)->key);
}

static TorchStorage *find_storage(TorchStorage *s, int n, PkText key) {
  TorchStorage want = {.key = key};
  return n ? bsearch(&want, s, (size_t)n, sizeof *s, by_key) : NULL;
}

/* ---- legacy stream: magic, version, system, object, keys, then count and data per key ---- */
static const uint8_t magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
static bool is_magic(const Pk *v) {
  return v && v->kind == PK_LONG && v->text.len == sizeof magic &&
         !memcmp(v->text.start, magic, sizeof magic);
}

/* Next pickle of the stream; *at moves behind it. */
static Status next_pickle(Pickle *k, const uint8_t *data, size_t n, size_t *at, const char *name,
                          Error *e) {
  TRY(pickle_read(k, data + *at, n - *at, false, name, e));
  *at += k->used;
  return ST_OK;
}

/* The table of storages that the object speaks of, without data yet. */
static Status list_storages(const Pickle *k, const char *name, TorchStorage **out, int *count,
                            Error *e) {
  *count = 0;
  if (k->npersid > (1 << 20))
    return err_set(e, ST_FORMAT, "%s: %zu storages; not a file of weights", name, k->npersid);
  *out = mem_alloc(k->npersid * sizeof **out);
  if (!*out) return err_set(e, ST_NOMEM, "%s: out of memory for the table of storages", name);
  for (size_t i = 0; i < k->npersid; i++) {
    Persid p;
    TRY(read_persid(k->persid[i], name, &p, e));
    (*out)[i] = (TorchStorage){p.key, p.dtype, p.numel, NULL, p.wide};
  }
  if (k->npersid) qsort(*out, k->npersid, sizeof **out, by_key);
  for (size_t i = 0; i < k->npersid; i++) {
    TorchStorage *last = *count ? &(*out)[*count - 1] : NULL, *s = &(*out)[i];
    if (!last || compare_text(last->key, s->key) != 0)
      (*out)[(*count)++] = *s;
    else if (last->dtype != s->dtype || last->wide != s->wide || last->numel != s->numel)
      return err_set(e, ST_FORMAT, "%s: one storage with two types or sizes; the file is damaged",
                     name);
  }
  return ST_OK;
}

static Status place_storages(const Pk *keys, TorchStorage *t, int count, const uint8_t *data,
                             size_t n, size_t at, const char *name, Error *e) {
  char b[80];
  if (keys->kind != PK_LIST)
    return err_set(e, ST_FORMAT,
                   "%s: no list of storage keys after the object; the file is damaged", name);
  for (size_t i = 0; i < keys->nitem; i++) {
    TorchStorage *s =
        keys->item[i]->kind == PK_STR ? find_storage(t, count, keys->item[i]->text) : NULL;
    if (!s)
      return err_set(e, ST_FORMAT,
                     "%s: data of a storage that the object does not use; the file is damaged",
                     name);
    int64_t have;
    if (n - at < 8)
      return err_set(
          e, ST_FORMAT,
          "%s: ends before storage %s (byte %zu); the file is cut short; download it again", name,
          pk_show(s->key, b), at);
    have = (int64_t)load_le64(data + at);
    at += 8;
    if (have != s->numel)
      return err_set(e, ST_FORMAT,
                     "%s: storage %s has %lld elements; the object says %lld; the file is damaged",
                     name, pk_show(s->key, b), (long long)have, (long long)s->numel);
    size_t bytes = (size_t)have * dtype_size(s->dtype) * (s->wide ? 2 : 1);
    if (bytes > n - at)
      return err_set(
          e, ST_FORMAT,
          "%s: storage %s needs %zu bytes, %zu are left; the file is cut short; download it again",
          name, pk_show(s->key, b), bytes, n - at);
    s->data = data + at;
    at += bytes;
  }
  return ST_OK;
}

/* Reads a whole stream from data[at..n), at just behind the magic pickle. Fills tree and table; on
 * error the caller frees both. */
static Status read_legacy(const uint8_t *data, size_t n, size_t at, const char *name, Pickle *tree,
                          TorchStorage **table, int *count, size_t *work, Error *e) {
  Pickle k;
  TRY(next_pickle(&k, data, n, &at, name, e));
  bool ok = k.root && k.root->kind == PK_INT && k.root->integer == 1001;
  pickle_free(&k);
  if (!ok)
    return err_set(
        e, ST_FORMAT,
        "%s: torch stream of another version; expected 1001; save it again with a current torch",
        name);
  TRY(next_pickle(&k, data, n, &at, name, e));
  const Pk *little = pk_get(k.root, "little_endian");
  ok = little && little->kind == PK_BOOL && little->integer;
  pickle_free(&k);
  if (!ok)
    return err_set(e, ST_FORMAT,
                   "%s: torch stream of a big-endian machine; save it again on a little-endian one",
                   name);
  TRY(next_pickle(tree, data, n, &at, name, e));
  TRY(list_storages(tree, name, table, count, e));
  TRY(next_pickle(&k, data, n, &at, name, e));
  *work += at;
  const Status s = place_storages(k.root, *table, *count, data, n, at, name, e);
  pickle_free(&k);
  return s;
}

/* ---- opening ---- */
static Status find_folder(TorchFile *f, Error *e) {
  bool found = false;
  for (int i = 0; i < f->zip.count; i++) {
    const char *name = f->zip.entry[i].name, *slash = strchr(name, '/'),
               *base = slash ? slash + 1 : name;
    if (strcmp(base, "data.pkl") != 0) continue;
    if (found || (size_t)(base - name) >= sizeof f->folder)
      return err_set(e, ST_FORMAT,
                     "%s: zip archive with more than one data.pkl, or a very long folder name",
                     f->name);
    found = true;
    memcpy(f->folder, name, (size_t)(base - name));
  }
  if (found) return ST_OK;
  for (int i = 0; i < f->zip.count; i++)
    if (strstr(f->zip.entry[i].name, ".npy"))
      return err_set(e, ST_FORMAT,
                     "%s: a numpy archive (.npz); expected weights saved by torch or safetensors",
                     f->name);
  return err_set(e, ST_FORMAT,
                 "%s: a zip archive without data.pkl; expected one written by torch.save; if it "
                 "holds such a file, unzip it first",
                 f->name);
}

static const ZipEntry *in_folder(const TorchFile *f, const char *tail) {
  char path[300];
  if (snprintf(path, sizeof path, "%s%s", f->folder, tail) >= (int)sizeof path) return NULL;
  return zip_find(&f->zip, path);
}

/* Content of an entry, read once. */
static Status entry_data(TorchFile *f, const ZipEntry *t, const uint8_t **p, Error *e) {
  int i = (int)(t - f->zip.entry);
  if (!f->cache[i].data) {
    TRY(zip_read(&f->zip, t, t->deflated ? f->budget : SIZE_MAX, &f->cache[i].data,
                 &f->cache[i].own, e));
    if (f->cache[i].own) f->budget -= (size_t)t->size;
  }
  *p = f->cache[i].data;
  return ST_OK;
}

static Status open_zip(TorchFile *f, Error *e) {
  TRY(zip_open(&f->zip, f->data, f->bytes, f->name, e));
  TRY(find_folder(f, e));
  f->container = in_folder(f, "constants.pkl") ? TORCH_SCRIPT : TORCH_ZIP;
  f->cache = mem_alloc((size_t)f->zip.count * sizeof *f->cache);
  if (!f->cache) return err_set(e, ST_NOMEM, "%s: out of memory", f->name);
  const ZipEntry *order = in_folder(f, "byteorder"), *pkl = in_folder(f, "data.pkl");
  const uint8_t *p;
  if (order) {
    TRY(entry_data(f, order, &p, e));
    f->big = order->size == 3 && !memcmp(p, "big", 3);
    if (!f->big && (order->size != 6 || memcmp(p, "little", 6) != 0))
      return err_set(e, ST_FORMAT,
                     "%s: its record byteorder is neither little nor big; the file is damaged",
                     f->name);
  }
  TRY(entry_data(f, pkl, &p, e));
  return pickle_read(&f->tree, p, (size_t)pkl->size, f->container == TORCH_SCRIPT, f->name, e);
}

/* What it has read so far is in f, for torch_close. */
static Status open_container(TorchFile *f, Error *e) {
  if (zip_is(f->data, f->bytes)) return open_zip(f, e);
  f->container = TORCH_PICKLE;
  TRY(pickle_read(&f->tree, f->data, f->bytes, false, f->name, e));
  if (!is_magic(f->tree.root)) return ST_OK;
  const size_t at = f->tree.used;
  pickle_free(&f->tree);
  f->container = TORCH_LEGACY;
  return read_legacy(f->data, f->bytes, at, f->name, &f->tree, &f->storage, &f->nstorage, &f->work,
                     e);
}

Status torch_open(TorchFile *f, const uint8_t *data, size_t n, const char *name, Error *e) {
  memset(f, 0, sizeof *f);
  f->data = data;
  f->bytes = n;
  f->budget = ((size_t)256 << 20) + PRLX_MIN(n, SIZE_MAX / 16) * 8;
  f->name = mem_strdup(name);
  const Status s = f->name ? open_container(f, e) : err_set(e, ST_NOMEM, "%s: out of memory", name);
  if (s != ST_OK) torch_close(f);
  return s;
}

bool torch_unchecked(const TorchFile *f) {
  int without = 0;
  for (int i = 0; i < f->zip.count; i++) without += f->zip.entry[i].size && !f->zip.entry[i].crc;
  return without > 0;
}

void torch_close(TorchFile *f) {
  for (int i = 0; i < f->count; i++) {
    mem_free(f->tensor[i].name);
    mem_free(f->tensor[i].own);
  }
  mem_free(f->tensor);
  mem_free(f->longest);
  for (int i = 0; f->cache && i < f->zip.count; i++) mem_free(f->cache[i].own);
  mem_free(f->cache);
  zip_close(&f->zip);
  mem_free(f->storage);
  pickle_free(&f->tree);
  mem_free(f->name);
  memset(f, 0, sizeof *f);
}

/* ---- one storage ---- */
static Status part_of(const TorchStorage *s, const Persid *p, const char *name, TorchStorage *out,
                      Error *e) {
  char b[80];
  if (!s || !s->data)
    return err_set(e, ST_FORMAT,
                   "%s: the data of storage %s is not in the file; it is damaged or cut short",
                   name, pk_show(p->key, b));
  *out = (TorchStorage){p->key, p->dtype, p->part, s->data + (size_t)p->from * dtype_size(p->dtype),
                        false};
  return ST_OK;
}

/* torch.storage._load_from_bytes(blob): the blob is a whole legacy stream whose object is one
 * storage. */
static Status nested_storage(TorchFile *f, const Pk *blob, TorchStorage *out, Error *e) {
  const char *name = f->name;
  const uint8_t *d = (const uint8_t *)blob->text.start;
  Pickle first, tree = {0};
  TorchStorage *table = NULL;
  int count = 0;
  if (f->work > f->bytes * 4 + (1 << 20))
    return err_set(e, ST_FORMAT,
                   "%s: the same embedded storages over and over; not a file of weights", name);
  TRY(pickle_read(&first, d, blob->text.len, false, name, e));
  size_t at = first.used;
  bool ok = is_magic(first.root);
  pickle_free(&first);
  if (!ok)
    return err_set(e, ST_FORMAT, "%s: an embedded storage is no torch stream; the file is damaged",
                   name);
  Persid p;
  Status s = read_legacy(d, blob->text.len, at, name, &tree, &table, &count, &f->work, e);
  if (s != ST_OK) goto done;
  s = tree.root->kind == PK_PERSID
          ? read_persid(tree.root, name, &p, e)
          : err_set(e, ST_FORMAT, "%s: an embedded stream holds something else than a storage",
                    name);
  if (s != ST_OK) goto done;
  s = part_of(find_storage(table, count, p.key), &p, name, out, e);
done:
  mem_free(table);
  pickle_free(&tree);
  return s;
}

static Status zip_storage(TorchFile *f, const Persid *p, TorchStorage *out, Error *e) {
  char tail[160], b[80];
  const ZipEntry *t = NULL;
  if (p->key.len < 128 && !memchr(p->key.start, 0, p->key.len)) {
    snprintf(tail, sizeof tail, "data/%.*s", (int)p->key.len, p->key.start);
    t = in_folder(f, tail);
  }
  if (!t)
    return err_set(e, ST_FORMAT, "%s: the data of storage %s is not in the archive; it is damaged",
                   f->name, pk_show(p->key, b));
  if (t->size / dtype_size(p->dtype) < (uint64_t)p->numel)
    return err_set(
        e, ST_FORMAT,
        "%s: zip entry %s has %llu bytes; the object needs %lld x %zu; the file is damaged",
        f->name, tail, (unsigned long long)t->size, (long long)p->numel, dtype_size(p->dtype));
  TorchStorage whole = {p->key, p->dtype, p->numel, NULL, false};
  TRY(entry_data(f, t, &whole.data, e));
  return part_of(&whole, p, f->name, out, e);
}

static Status get_storage(TorchFile *f, const Pk *v, TorchStorage *out, Error *e) {
  const Pk *blob = pk_calls(v, "torch.storage", "_load_from_bytes") ? pk_arg(v, 0) : NULL;
  if (blob && (blob->kind == PK_BYTES || blob->kind == PK_STR))
    return nested_storage(f, blob, out, e);
  if (!v || v->kind != PK_PERSID)
    return err_set(e, ST_FORMAT, "%s: a tensor without a storage; the file is damaged", f->name);
  Persid p;
  TRY(read_persid(v, f->name, &p, e));
  if (f->container == TORCH_ZIP || f->container == TORCH_SCRIPT) return zip_storage(f, &p, out, e);
  return part_of(find_storage(f->storage, f->nstorage, p.key), &p, f->name, out, e);
}

/* ---- one tensor ---- */
/* Parameter and subclass wrappers taken off: the call of _rebuild_tensor or _v2, or NULL. args:
 * where its storage, offset, size, stride are. */
static const Pk *tensor_args(const Pk *v) {
  for (int depth = 0; v && depth < 4; depth++) {
    if (pk_calls(v, "torch._utils", "_rebuild_tensor_v2") ||
        pk_calls(v, "torch._utils", "_rebuild_tensor"))
      return v->item[1];
    const Pk *f = pk_calls(v, "torch._tensor", "_rebuild_from_type_v2") ? pk_arg(v, 0) : NULL,
             *a = f ? pk_arg(v, 2) : NULL;
    if (f && f->kind == PK_GLOBAL && pk_text_is(f->text, "torch._utils") &&
        (pk_text_is(f->name, "_rebuild_tensor_v2") || pk_text_is(f->name, "_rebuild_tensor")))
      return a && a->kind == PK_TUPLE ? a : NULL;
    bool wrapped = pk_calls(v, "torch._utils", "_rebuild_parameter") ||
                   pk_calls(v, "torch._utils", "_rebuild_parameter_with_state");
    v = wrapped ? pk_arg(v, 0) : NULL;
  }
  return NULL;
}

bool torch_is_tensor(const Pk *v) {
  return tensor_args(v) || torch_is_foreign(v) || torch_is_numpy(v);
}

typedef struct Layout {
  Shape shape;
  int64_t stride[MAX_RANK];
  int64_t offset;
  bool row_major;
} Layout;
/* Sizes and strides, and that every element lies inside the storage. */
static bool read_layout(const Pk *args, int64_t numel, Layout *l) {
  const Pk *off = args->nitem >= 4 ? args->item[1] : NULL, *size = off ? args->item[2] : NULL,
           *stride = off ? args->item[3] : NULL;
  if (!off || off->kind != PK_INT || off->integer < 0 || size->kind != PK_TUPLE ||
      stride->kind != PK_TUPLE || size->nitem != stride->nitem || size->nitem > MAX_RANK)
    return false;
  *l = (Layout){.shape.rank = (int)size->nitem, .offset = off->integer, .row_major = true};
  bool empty = false;
  for (size_t k = 0; k < size->nitem; k++) {
    if (size->item[k]->kind != PK_INT || stride->item[k]->kind != PK_INT ||
        size->item[k]->integer < 0 || stride->item[k]->integer < 0)
      return false;
    l->shape.dim[k] = size->item[k]->integer;
    l->stride[k] = stride->item[k]->integer;
    empty |= size->item[k]->integer == 0;
  }
  int64_t last = l->offset, run = 1;
  for (int k = l->shape.rank - 1; k >= 0 && !empty; k--) {
    int64_t d = l->shape.dim[k], step;
    if (d > 1 && l->stride[k] != run) l->row_major = false;
    if (__builtin_mul_overflow(run, d, &run) ||
        __builtin_mul_overflow(d - 1, l->stride[k], &step) ||
        __builtin_add_overflow(last, step, &last))
      return false;
  }
  return empty || last < numel;
}

Status torch_tensor(TorchFile *f, const Pk *v, const char *what, TorchTensor *out, Error *e) {
  const Pk *args = tensor_args(v);
  memset(out, 0, sizeof *out);
  if (torch_is_foreign(v)) return torch_foreign(v, out), ST_OK;
  if (torch_is_numpy(v)) return torch_numpy(f, v, what, out, e);
  if (!args || !args->nitem)
    return err_set(e, ST_FORMAT, "%s: %s is no tensor; expected a state dict", f->name, what);
  TorchStorage st = {0};
  Layout l;
  TRY(get_storage(f, args->item[0], &st, e));
  if (!read_layout(args, st.numel, &l))
    return err_set(e, ST_FORMAT,
                   "%s: tensor %s lies outside its storage of %lld elements, or has more than %d "
                   "axes; the file is damaged or hostile",
                   f->name, what, (long long)st.numel, MAX_RANK);
  size_t one = dtype_size(st.dtype), bytes = one;
  for (int k = 0; k < l.shape.rank; k++)
    if (l.shape.dim[k] && !mul_ok(bytes, (uint64_t)l.shape.dim[k], &bytes))
      return err_set(e, ST_FORMAT, "%s: tensor %s has an impossible shape", f->name, what);
  int64_t n = 1;
  for (int k = 0; k < l.shape.rank; k++)
    if (!l.shape.dim[k]) {
      n = 0;
      bytes = 0;
    }
  *out = (TorchTensor){.dtype = st.dtype,
                       .shape = l.shape,
                       .data = n ? st.data + (size_t)l.offset * one : st.data,
                       .bytes = bytes};
  const bool turn = f->big != HOST_BIG && one > 1;
  if ((l.row_major && !turn) || !n) return ST_OK;
  if (bytes > f->budget)
    return err_set(
        e, ST_FORMAT,
        "%s: tensor %s repeats its storage to %zu bytes; more than a file of this size should hold",
        f->name, what, bytes);
  out->own = mem_alloc(bytes);
  if (!out->own)
    return err_set(e, ST_NOMEM, "%s: out of memory for tensor %s (%zu bytes)", f->name, what,
                   bytes);
  f->budget -= bytes;
  torch_gather(out->own, out->data, &l.shape, l.stride, one);
  const size_t part = st.dtype == DT_C64 ? 4 : one;
  if (turn) bytes_turn(out->own, out->own, bytes / part, part);
  out->data = out->own;
  return ST_OK;
}
