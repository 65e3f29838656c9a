/* params.c: named tensors in one block. */
#include "core/params.h"
#include <stdio.h>
#include <string.h>

Status params_add(Params *p, const char *name, Shape s, bool buffer, Error *e) {
  if (p->sealed) return err_set(e, ST_INTERNAL, "parameter %s added after sealing", name);
  if (strlen(name) >= sizeof p->entry->name)
    return err_set(e, ST_INVALID, "parameter name %s is longer than %zu characters", name,
                   sizeof p->entry->name - 1);
  if (p->n == p->cap) {
    int cap = p->cap ? 2 * p->cap : 64;
    ParamEntry *q = mem_grow(p->entry, (size_t)p->n * sizeof *q, (size_t)cap * sizeof *q);
    if (!q) return err_set(e, ST_NOMEM, "out of memory for the list of parameters");
    p->entry = q;
    p->cap = cap;
  }
  ParamEntry *x = &p->entry[p->n++];
  snprintf(x->name, sizeof x->name, "%s", name);
  x->shape = s;
  x->buffer = buffer;
  x->numel = shape_numel(s);
  return ST_OK;
}

static int64_t lay_out(Params *p, bool buffers, int64_t at) {
  for (int i = 0; i < p->n; i++)
    if (p->entry[i].buffer == buffers) {
      p->entry[i].offset = at;
      at += (p->entry[i].numel + 15) / 16 * 16;
    }
  return at;
}

Status params_seal(Params *p, Error *e) {
  p->nparam = lay_out(p, false, 0);
  p->ntotal = lay_out(p, true, p->nparam);
  p->data = mem_alloc((size_t)p->ntotal * sizeof(real));
  if (!p->data)
    return err_set(e, ST_NOMEM, "out of memory for %.1f MiB of parameters",
                   (double)p->ntotal * sizeof(real) / 1048576);
  for (int i = 0; i < p->n; i++) p->entry[i].data = p->data + p->entry[i].offset;
  p->sealed = true;
  return ST_OK;
}

void params_free(Params *p) {
  mem_free(p->entry);
  mem_free(p->data);
  *p = (Params){0};
}

ParamEntry *params_find(const Params *p, const char *name) {
  for (int i = 0; i < p->n; i++)
    if (strcmp(p->entry[i].name, name) == 0) return &p->entry[i];
  return NULL;
}

Val params_leaf(Graph *g, const Params *p, const char *name, bool frozen) {
  const ParamEntry *x = params_find(p, name);
  if (!x) return graph_fail(g, ST_INTERNAL, "the network has no parameter %s", name);
  return g_param(g, x->name, x->shape, x->data, frozen);
}

static Status params_copy(const Params *src, Params *dst, Error *e) {
  for (int i = 0; i < src->n; i++)
    TRY(params_add(dst, src->entry[i].name, src->entry[i].shape, src->entry[i].buffer, e));
  TRY(params_seal(dst, e));
  memcpy(dst->data, src->data, (size_t)src->ntotal * sizeof(real));
  return ST_OK;
}

Status params_clone(const Params *src, Params *dst, Error *e) {
  *dst = (Params){0};
  const Status s = params_copy(src, dst, e);
  if (s != ST_OK) params_free(dst);
  return s;
}

int64_t params_count(const Params *p) {
  int64_t n = 0;
  for (int i = 0; i < p->n; i++)
    if (!p->entry[i].buffer) n += p->entry[i].numel;
  return n;
}

static uint32_t formula_mix32(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ (h >> 16);
}

void formula_fill(real *dst, int64_t n, const char *name, double scale, double offset) {
  uint32_t crc = 0xffffffffu; /* the CRC-32 of zlib and PNG, bit by bit: names are short */
  for (const char *c = name; *c; c++) {
    crc ^= (uint8_t)*c;
    for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  crc = ~crc;
  for (int64_t i = 0; i < n; i++) {
    double u = (formula_mix32(formula_mix32((uint32_t)i) ^ crc) >> 8) / 16777216.0;
    /* rounded to float in every build: the golden numbers are */
    dst[i] = (real)(float)(offset + (2 * u - 1) * scale);
  }
}
