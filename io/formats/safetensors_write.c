/* safetensors_write.c: the writer. Data is laid out without holes and by falling element size, so
 * that every tensor is aligned to its own type (the header is padded to 64 bytes); the header keeps
 * the order in which tensors were added. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/file.h"
#include "io/formats/safetensors.h"

typedef struct Entry {
  char *name;
  DType dtype;
  Shape shape;
  const void *data;
  void *own;
  size_t bytes;
  size_t offset;
  StFill fill;
  void *ctx;
} Entry;
struct StWriter {
  Entry *t;
  int n;
  int cap;
  StMeta *meta;
  int nmeta;
  int mcap;
};

Status st_writer_new(StWriter **w, Error *e) {
  *w = mem_alloc(sizeof **w);
  return *w ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
}

void st_writer_free(StWriter *w) {
  if (!w) return;
  for (int i = 0; i < w->n; i++) {
    mem_free(w->t[i].name);
    mem_free(w->t[i].own);
  }
  for (int i = 0; i < w->nmeta; i++) {
    mem_free(w->meta[i].key);
    mem_free(w->meta[i].value);
  }
  mem_free(w->t);
  mem_free(w->meta);
  mem_free(w);
}

static void *list_room(void *list, int n, int *cap, size_t item) {
  if (n < *cap) return list;
  int next = *cap ? *cap * 2 : 32;
  void *p = mem_grow(list, (size_t)n * item, (size_t)next * item);
  if (p) *cap = next;
  return p;
}

Status st_add(StWriter *w, const char *name, DType dtype, Shape s, const void *data, Error *e) {
  size_t bytes = dtype_size(dtype);
  bool none = false;
  if (!bytes || s.rank < 0 || s.rank > MAX_RANK)
    return err_set(e, ST_INVALID, "tensor \"%s\": bad type or rank", name);
  if (strcmp(name, "__metadata__") == 0)
    return err_set(e, ST_INVALID, "a tensor may not be called __metadata__");
  for (int i = 0; i < s.rank; i++) {
    if (s.dim[i] < 0 || (s.dim[i] > 0 && !mul_ok(bytes, (uint64_t)s.dim[i], &bytes)))
      return err_set(e, ST_INVALID, "tensor \"%s\": impossible shape", name);
    none |= s.dim[i] == 0;
  }
  for (int i = 0; i < w->n; i++)
    if (strcmp(w->t[i].name, name) == 0)
      return err_set(e, ST_INVALID, "tensor \"%s\" was added twice", name);
  void *p = list_room(w->t, w->n, &w->cap, sizeof(Entry));
  if (!p) return err_set(e, ST_NOMEM, "tensor \"%s\": out of memory", name);
  w->t = p;
  char *copy = mem_strdup(name);
  if (!copy) return err_set(e, ST_NOMEM, "tensor \"%s\": out of memory", name);
  w->t[w->n++] = (Entry){copy, dtype, s, data, NULL, none ? 0 : bytes, 0, NULL, NULL};
  return ST_OK;
}

Status st_add_stream(StWriter *w, const char *name, DType dtype, Shape s, StFill fill, void *ctx,
                     Error *e) {
  TRY(st_add(w, name, dtype, s, NULL, e));
  w->t[w->n - 1].fill = fill;
  w->t[w->n - 1].ctx = ctx;
  return ST_OK;
}

Status st_add_f32_as_f16(StWriter *w, const char *name, Shape s, const float *data, Error *e) {
  TRY(st_add(w, name, DT_F16, s, NULL, e));
  Entry *t = &w->t[w->n - 1];
  uint16_t *h = mem_alloc(t->bytes);
  if (!h) {
    mem_free(t->name);
    w->n--;
    return err_set(e, ST_NOMEM, "tensor \"%s\": out of memory", name);
  }
  for (size_t i = 0; i < t->bytes / 2; i++) h[i] = float_to_half(data[i]);
  t->data = t->own = h;
  return ST_OK;
}

static Status add_meta(StWriter *w, const char *key, const char *value, Error *e) {
  for (int i = 0; i < w->nmeta; i++)
    if (strcmp(w->meta[i].key, key) == 0)
      return err_set(e, ST_INVALID, "metadata \"%s\" was added twice", key);
  void *p = list_room(w->meta, w->nmeta, &w->mcap, sizeof(StMeta));
  if (!p) return err_set(e, ST_NOMEM, "metadata \"%s\": out of memory", key);
  w->meta = p;
  StMeta m = {mem_strdup(key), mem_strdup(value)};
  if (!m.key || !m.value) {
    mem_free(m.key);
    mem_free(m.value);
    return err_set(e, ST_NOMEM, "metadata \"%s\": out of memory", key);
  }
  w->meta[w->nmeta++] = m;
  return ST_OK;
}

/* Checksums belong to one file: those that came with metadata copied from another are left out. */
Status st_add_meta(StWriter *w, const char *key, const char *value, Error *e) {
  return strcmp(key, "checksums") ? add_meta(w, key, value, e) : ST_OK;
}

Status st_add_metaf(StWriter *w, Error *e, const char *key, const char *fmt, ...) {
  char value[2048];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(value, sizeof value, fmt, ap);
  va_end(ap);
  if (n < 0 || n >= (int)sizeof value)
    return err_set(e, ST_INVALID, "metadata \"%s\": value longer than 2047 characters", key);
  return st_add_meta(w, key, value, e);
}

Status st_add_checksums(StWriter *w, Error *e) {
  StTensor *t = mem_alloc((size_t)w->n * sizeof *t);
  char *text = NULL;
  if (!t) return err_set(e, ST_NOMEM, "out of memory for the checksums of a file");
  Status s = ST_OK;
  for (int i = 0; i < w->n; i++) {
    const Entry *x = &w->t[i];
    if (x->fill) {
      s = err_set(e, ST_INTERNAL, "tensor \"%s\": no checksum of what is not there yet", x->name);
      goto done;
    }
    t[i] = (StTensor){
        .name = x->name, .dtype = x->dtype, .shape = x->shape, .data = x->data, .bytes = x->bytes};
  }
  s = st_checksum_text(w->meta, w->nmeta, t, w->n, &text, e);
  if (s != ST_OK) goto done;
  s = add_meta(w, "checksums", text, e);
done:
  mem_free(text);
  mem_free(t);
  return s;
}

/* ---- header text: measured first (o.p NULL), then written ---- */
typedef struct Text {
  char *p;
  size_t n;
} Text;
static void text_put(Text *o, const char *s, size_t n) {
  if (o->p) memcpy(o->p + o->n, s, n);
  o->n += n;
}

static void text_puts(Text *o, const char *s) { text_put(o, s, strlen(s)); }
static void text_quoted(Text *o, const char *s) {
  text_puts(o, "\"");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    char b[8];
    if (c == '"' || c == '\\') {
      b[0] = '\\';
      b[1] = (char)c;
      text_put(o, b, 2);
    } else if (c < 0x20) {
      snprintf(b, sizeof b, "\\u%04x", c);
      text_puts(o, b);
    } else
      text_put(o, s, 1);
  }
  text_puts(o, "\"");
}

static void header_text(const StWriter *w, Text *o) {
  char b[64];
  text_puts(o, "{");
  if (w->nmeta) {
    text_puts(o, "\"__metadata__\":{");
    for (int i = 0; i < w->nmeta; i++) {
      if (i) text_puts(o, ",");
      text_quoted(o, w->meta[i].key);
      text_puts(o, ":");
      text_quoted(o, w->meta[i].value);
    }
    text_puts(o, "}");
  }
  for (int i = 0; i < w->n; i++) {
    const Entry *t = &w->t[i];
    if (i || w->nmeta) text_puts(o, ",");
    text_quoted(o, t->name);
    text_puts(o, ":{\"dtype\":\"");
    text_puts(o, dtype_name(t->dtype));
    text_puts(o, "\",\"shape\":[");
    for (int k = 0; k < t->shape.rank; k++) {
      snprintf(b, sizeof b, "%s%lld", k ? "," : "", (long long)t->shape.dim[k]);
      text_puts(o, b);
    }
    snprintf(b, sizeof b, "],\"data_offsets\":[%zu,%zu]}", t->offset, t->offset + t->bytes);
    text_puts(o, b);
  }
  text_puts(o, "}");
}

/* Numbers of the machine, in the order of the format. */
static Status write_numbers(AtomicFile *f, const void *data, size_t bytes, size_t size, Error *e) {
  unsigned char piece[1 << 14];
  if (!HOST_BIG || size == 1) return bytes ? atomic_write(f, data, bytes, e) : ST_OK;
  for (size_t at = 0; at < bytes;) {
    const size_t k = PRLX_MIN(bytes - at, sizeof piece);
    bytes_little(piece, (const char *)data + at, k / size, size);
    TRY(atomic_write(f, piece, k, e));
    at += k;
  }
  return ST_OK;
}

static Status write_tensor(const Entry *t, AtomicFile *f, Error *e) {
  const size_t size = dtype_size(t->dtype);
  if (!t->fill) return write_numbers(f, t->data, t->bytes, size, e);
  for (size_t done = 0; done < t->bytes;) {
    const void *piece = NULL;
    size_t n = 0;
    TRY(t->fill(t->ctx, &piece, &n, e));
    if (!n || n % size || n > t->bytes - done)
      return err_set(e, ST_INTERNAL, "%s: tensor \"%s\": %zu bytes at %zu of %zu", f->path, t->name,
                     n, done, t->bytes);
    TRY(write_numbers(f, piece, n, size, e));
    done += n;
  }
  return ST_OK;
}

/* Gives every tensor its place, too. */
static Status write_header(StWriter *w, AtomicFile *f, Error *e) {
  size_t at = 0;
  for (size_t size = 8; size; size /= 2)
    for (int i = 0; i < w->n; i++)
      if (dtype_size(w->t[i].dtype) == size) {
        w->t[i].offset = at;
        at += w->t[i].bytes;
      }
  Text o = {NULL, 0};
  header_text(w, &o);
  size_t total = (o.n + 8 + 63) & ~(size_t)63;
  char *buf = mem_alloc(total);
  if (!buf) return err_set(e, ST_NOMEM, "%s: out of memory for the header", f->path);
  memset(buf, ' ', total);
  for (int i = 0; i < 8; i++) buf[i] = (char)((uint64_t)(total - 8) >> (8 * i));
  o = (Text){buf + 8, 0};
  header_text(w, &o);
  const Status s = atomic_write(f, buf, total, e);
  mem_free(buf);
  return s;
}

/* A disk that is too small is said before it is full. */
static Status writer_room(const StWriter *w, const char *path, Error *e) {
  uint64_t total = 0;
  for (int i = 0; i < w->n; i++) total += w->t[i].bytes;
  return file_room(path, total, e);
}

static Status write_file(StWriter *w, AtomicFile *f, Error *e) {
  if (f->tmp) TRY(writer_room(w, f->path, e));
  TRY(write_header(w, f, e));
  for (size_t size = 8; size; size /= 2)
    for (int i = 0; i < w->n; i++)
      if (dtype_size(w->t[i].dtype) == size) TRY(write_tensor(&w->t[i], f, e));
  return ST_OK;
}

Status st_commit(StWriter *w, const char *path, Error *e) {
  AtomicFile f;
  Status s = atomic_begin(&f, path, e);
  if (s != ST_OK) goto done;
  s = write_file(w, &f, e);
  if (s == ST_OK)
    s = atomic_commit(&f, e);
  else
    atomic_abort(&f);
done:
  st_writer_free(w);
  return s;
}
