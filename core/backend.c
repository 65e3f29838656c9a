/* backend.c: host ranges that a device mirrors. A handful per process, so a list is searched. */
#include "core/backend.h"
#include <math.h>
#include <string.h>

const char *precision_name(Precision p) {
  return p == PREC_STRICT ? "strict" : p == PREC_TF32 ? "tf32" : p == PREC_F16 ? "f16" : "bf16";
}

int64_t map_numel(Shape s, MapLayout l) {
  if (!l.last) return shape_numel(s);
  return map_row(s, l, s.dim[0], 0);
}

int64_t map_row(Shape s, MapLayout l, int64_t n, int64_t y) {
  return ((n * (s.dim[2] + l.edge) + l.edge + y) * (s.dim[3] + l.side) + l.side) * s.dim[1];
}

AdamCoef adam_coef(const Adam *a) {
  return (AdamCoef){(float)a->lr,
                    (float)a->beta1,
                    (float)a->beta2,
                    (float)(1 - a->beta1),
                    (float)(1 - a->beta2),
                    (float)(1 / sqrt(1 - pow(a->beta2, (double)a->t))),
                    (float)a->eps,
                    a->beta1 != 0 ? (float)(1 / (1 - pow(a->beta1, (double)a->t))) : 1,
                    NULL,
                    0};
}

static Share *share_of(const Backend *b, const void *host) {
  const char *h = host;
  for (int i = 0; i < b->nshare; i++)
    if (h >= b->share[i].host && h < b->share[i].host + b->share[i].bytes) return &b->share[i];
  return NULL;
}

static Status new_share(Backend *b, const void *host, size_t bytes, Error *e) {
  const char *h = host;
  for (int i = 0; i < b->nshare; i++)
    if (h < b->share[i].host + b->share[i].bytes && b->share[i].host < h + bytes)
      return err_set(e, ST_INVALID,
                     "%s: a host range of %zu bytes overlaps one that is shared already", b->name,
                     bytes);
  if (b->nshare == b->cap_share) {
    int cap = b->cap_share ? 2 * b->cap_share : 16;
    Share *q = mem_grow(b->share, (size_t)b->nshare * sizeof *q, (size_t)cap * sizeof *q);
    if (!q) return err_set(e, ST_NOMEM, "%s: out of memory for the list of shared ranges", b->name);
    b->share = q;
    b->cap_share = cap;
  }
  void *dev;
  TRY(b->alloc(b, bytes, &dev, e));
  const Status st = b->upload(b, dev, host, bytes, e);
  if (st != ST_OK) {
    b->release(b, dev);
    return st;
  }
  b->share[b->nshare++] = (Share){h, dev, bytes, 1};
  return ST_OK;
}

Status backend_share(Backend *b, const void *host, size_t bytes, Error *e) {
  if (bytes == 0) return ST_OK;
  Share *s = share_of(b, host);
  if (!s || s->host != host || s->bytes != bytes) return new_share(b, host, bytes, e);
  s->count++;
  return ST_OK;
}

void backend_unshare(Backend *b, const void *host) {
  Share *s = host ? share_of(b, host) : NULL;
  if (!s || s->host != host || --s->count > 0) return;
  b->release(b, s->dev);
  *s = b->share[--b->nshare];
}

void *backend_device(const Backend *b, const void *host) {
  const Share *s = host ? share_of(b, host) : NULL;
  return s ? s->dev + ((const char *)host - s->host) : NULL;
}

/* The mirror of a whole range of bytes, or NULL with an error. */
static void *share_mirror(Backend *b, const void *host, size_t bytes, Error *e) {
  const Share *s = share_of(b, host);
  if (s && bytes <= (size_t)(s->host + s->bytes - (const char *)host))
    return backend_device(b, host);
  err_set(e, ST_INTERNAL, "%s: a range of %zu bytes is not shared with the device", b->name, bytes);
  return NULL;
}

Status backend_push(Backend *b, const void *host, size_t bytes, Error *e) {
  void *d = bytes ? share_mirror(b, host, bytes, e) : NULL;
  return bytes == 0 ? ST_OK : d ? b->upload(b, d, host, bytes, e) : ST_INTERNAL;
}

Status backend_pull(Backend *b, void *host, size_t bytes, Error *e) {
  const void *d = bytes ? share_mirror(b, host, bytes, e) : NULL;
  return bytes == 0 ? ST_OK : d ? b->download(b, host, d, bytes, e) : ST_INTERNAL;
}

void backend_free_shares(Backend *b) {
  for (int i = 0; i < b->nshare; i++) b->release(b, b->share[i].dev);
  mem_free(b->share);
  b->share = NULL;
  b->nshare = b->cap_share = 0;
}

bool backend_is_half(const Backend *b) { return b && b->precision == PREC_F16; }
