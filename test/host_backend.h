/* host_backend.h: a backend that computes with the CPU kernels but keeps its memory apart from the
 * host's, as a device does. For tests of core/plan_device.c, the trainer and the projector without
 * any GPU code. 16-bit storage (PREC_BF16, PREC_F16) is bfloat16 here. */
#ifndef PRLX_TEST_HOST_BACKEND_H
#define PRLX_TEST_HOST_BACKEND_H
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/backend.h"
#include "core/conv.h"

typedef struct HostBackend {
  Backend b;
  size_t limit;
  size_t used;
  int uploads;
  int downloads;
  int runs;
  int stores;
  int half;
  int preps;
  int several;
  bool no_store;
  bool no_download; /* every read-back fails, as on a card that was lost */
} HostBackend;
struct DevProgram {
  int n;
  DevStep *s;
};

static Status hb_alloc(Backend *b, size_t bytes, void **out, Error *e) {
  HostBackend *h = (HostBackend *)b;
  size_t *p =
      h->used + bytes <= h->limit ? aligned_alloc(256, (bytes + 511 + 256) & ~(size_t)255) : NULL;
  *out = NULL;
  if (!p)
    return err_set(e, ST_NOMEM,
                   "host: out of device memory: %zu bytes were asked for, %zu are free", bytes,
                   h->limit - h->used);
  memset(p, 0, bytes + 256);
  *p = bytes;
  h->used += bytes;
  *out = (char *)p + 256;
  return ST_OK;
}

static void hb_release(Backend *b, void *p) {
  if (!p) return;
  ((HostBackend *)b)->used -= *(size_t *)((char *)p - 256);
  free((char *)p - 256);
}

static size_t hb_available(Backend *b) {
  return ((HostBackend *)b)->limit - ((HostBackend *)b)->used;
}

static Status hb_upload(Backend *b, void *d, const void *s, size_t n, Error *e) {
  memcpy(d, s, n);
  ((HostBackend *)b)->uploads++;
  return ST_OK;
}

static Status hb_download(Backend *b, void *d, const void *s, size_t n, Error *e) {
  if (((HostBackend *)b)->no_download) return err_set(e, ST_IO, "host: the device is lost");
  memcpy(d, s, n);
  ((HostBackend *)b)->downloads++;
  return ST_OK;
}

static Status hb_copy(Backend *b, void *d, const void *s, size_t n, Error *e) {
  memmove(d, s, n);
  return ST_OK;
}

static Status hb_zero(Backend *b, void *d, size_t n, Error *e) {
  memset(d, 0, n);
  return ST_OK;
}

static Status hb_sync(Backend *b, Error *e) { return ST_OK; }
static size_t hb_scratch(Backend *b, const DevStep *s) { return 64; }
static bool hb_supports(Backend *b, const DevStep *s, int slot, DType t) { return true; }
static bool hb_can_store(Backend *b, const DevStep *c, const PwProgram *p, int from) {
  for (int r = 0; r < p->nmore; r++) /* sums of what is stored, no more */
    if (!shape_eq(p->more[r].shape, p->iter) && p->more[r].result != p->result) return false;
  return !((HostBackend *)b)->no_store && !p->up.map && !p->from.image && !p->unstored;
}

static bool hb_several(Backend *b, const DevStep *s, int64_t size) {
  ((HostBackend *)b)->several++;
  return true;
}

static bool hb_prepare(Backend *b, const DevStep *conv, Node *prep) {
  return conv_make_prep(&conv->node, conv->shape, prep);
}

static Status hb_program(Backend *b, int n, const DevStep *s, DevProgram **out, Error *e) {
  if ((*out = mem_alloc(sizeof **out))) (*out)->s = mem_alloc((size_t)(n + 1) * sizeof *s);
  if (!*out || !(*out)->s) {
    mem_free(*out);
    *out = NULL;
    return err_set(e, ST_NOMEM, "out of memory for a program");
  }
  memcpy((*out)->s, s, (size_t)n * sizeof *s);
  (*out)->n = n;
  for (int i = 0; i < n; i++) {
    ((HostBackend *)b)->stores += s[i].prog_store != NULL;
    ((HostBackend *)b)->half += s[i].tout != DT_F32;
    ((HostBackend *)b)->preps += !s[i].prog && s[i].node.op == OP_conv_prep;
  }
  return ST_OK;
}

static void hb_program_free(Backend *b, DevProgram *p) {
  if (p) {
    mem_free(p->s);
    mem_free(p);
  }
}

/* 16 bits to a new block of floats */
static float *hb_load(const void *src, DType t, int64_t n) {
  float *x = mem_alloc((size_t)n * 4);
  for (int64_t i = 0; i < n && t != DT_F32; i++) {
    uint32_t u = (uint32_t)((const uint16_t *)src)[i] << 16;
    memcpy(x + i, &u, 4);
  }
  return x;
}

static void hb_store(uint16_t *dst, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t u;
    memcpy(&u, x + i, 4);
    dst[i] = (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
}

/* Weights times a number, or one for each row, or with their first axes swapped, to be prepared
 * (ConvAttr.gain). */
static float *hb_gain(const DevStep *s) {
  const ConvAttr *a = &s->node.attr.conv;
  if (s->node.op != OP_conv_prep || s->prog || (a->gain == 0 && !a->swapped && s->nargs < 2))
    return NULL;
  const float *w = s->arg[0], *rows = s->nargs > 1 ? s->arg[1] : NULL,
              gain = a->gain != 0 ? a->gain : 1;
  const Shape d = s->shape[0];
  const int64_t n = shape_numel(d), taps = d.dim[2] * d.dim[3];
  float *x = mem_alloc((size_t)n * 4);
  for (int64_t i = 0; x && i < n; i++) {
    const int64_t row = i / taps, to = row % d.dim[1] * d.dim[0] + row / d.dim[1];
    x[a->swapped ? to * taps + i % taps : i] = w[i] * gain * (rows ? rows[row / d.dim[1]] : 1);
  }
  return x;
}

static void hb_step(const DevStep *s) {
  const real *arg[PW_MAX_ARGS];
  float *tmp[PW_MAX_ARGS] = {0};
  const PwProgram *q = s->prog ? s->prog : s->prog_store;
  Shape os = s->prog_store ? s->prog_store->out_shape : s->node.shape;
  float *out = s->tout == DT_F32 ? s->out : mem_alloc((size_t)shape_numel(os) * 4);
  for (int i = 0; i < s->nargs; i++) {
    bool half = s->arg[i] && s->targ[i] != DT_F32;
    if (half) tmp[i] = hb_load(s->arg[i], s->targ[i], shape_numel(s->shape[i]));
    arg[i] = half ? tmp[i] : s->arg[i];
  }
  float *const scaled = hb_gain(s);
  if (scaled) arg[0] = tmp[0] = scaled;
  void *scratch = q ? mem_alloc(pw_scratch(q)) : NULL;
  real *map = NULL;
  if (!s->prog) {
    const OpRow *row = node_row(&s->node);
    Exec x = {.node = &s->node,
              .ins = s->shape,
              .out = out,
              .scratch = mem_alloc(row->scratch ? row->scratch(&s->node, s->shape) : 0)};
    for (int i = 0; i < MAX_IN && i < s->nargs; i++) x.in[i] = arg[i];
    if (s->prog_store) x.out = map = mem_alloc((size_t)shape_numel(s->node.shape) * sizeof(real));
    row->cpu(&x);
    mem_free(x.scratch);
  }
  if (s->prog_store && !q->nop) /* a sum follows, no more */
    memcpy(out, map, (size_t)shape_numel(os) * sizeof *out);
  else if (s->prog_store) {
    arg[MAX_IN + s->store_from] = map;
    pw_run(q, arg + MAX_IN, out, scratch);
  } else if (q)
    pw_run(q, arg, out, scratch);
  if (s->tout != DT_F32) {
    hb_store(s->out, out, shape_numel(os));
    mem_free(out);
  }
  for (int i = 0; i < s->nargs; i++) mem_free(tmp[i]);
  mem_free(map);
  mem_free(scratch);
}

/* A loop with several results: one after another. */
static void hb_results(const DevStep *s) {
  const PwProgram *q = s->prog ? s->prog : s->prog_store;
  for (int r = 0; r <= (q ? q->nmore : 0); r++) {
    DevStep t = *s;
    PwProgram one;
    if (r && s->prog_store && shape_eq(q->more[r - 1].shape, q->iter)) { /* on its way */
      pw_single(q, r, &one);
      if (one.result < 0) { /* as it was made */
        one.op[0] = (PwOp){.op = OP_axpb, .lhs = one.result, .rhs = one.result};
        one.op[0].param.axpb.scale = 1;
        one.nop = 1;
        one.result = 0;
      }
      t.prog_store = &one;
    } else if (r && s->prog_store) { /* a sum of what was stored */
      one = (PwProgram){.narg = 1, .result = -1, .reduce = true, .iter = q->iter};
      one.arg_shape[0] = q->iter;
      one.out_shape = q->more[r - 1].shape;
      t = (DevStep){.node = {.op = OP_sum, .shape = one.out_shape}, .nargs = 1, .prog = &one};
      t.shape[0] = q->iter;
      t.arg[0] = s->out;
      t.targ[0] = s->tout;
    } else if (s->prog) {
      pw_single(s->prog, r, &one);
      t.prog = &one;
      t.node.shape = one.out_shape;
    }
    if (r) {
      t.out = s->more[r - 1];
      t.tout = s->tmore[r - 1];
    }
    hb_step(&t);
  }
}

static Status hb_run(Backend *b, DevProgram *p, Error *e) {
  ((HostBackend *)b)->runs++;
  for (int i = 0; i < p->n; i++) hb_results(&p->s[i]);
  return ST_OK;
}

static Status hb_profile(Backend *b, DevProgram *p, int n, int64_t *ns, Error *e) {
  for (int i = 0; i < n; i++) ns[i] = 1;
  return hb_run(b, p, e);
}

static Status hb_fill(Backend *b, Rng *r, float *dst, int64_t n, Error *e) {
  rng_fill_normal(r, (real *)dst, n);
  return ST_OK;
}

static Status hb_adam(Backend *b, float *p, const float *g, float *m, float *v, int64_t n,
                      const AdamCoef *c, Error *e) {
  for (int64_t i = 0; i < n; i++) {
    float gi = g[i], mi = gi;
    if (m) {
      mi = m[i] = c->b1 * m[i] + c->c1 * gi;
      mi *= c->m_corr;
    }
    v[i] = c->b2 * v[i] + c->c2 * gi * gi;
    p[i] -= c->lr * mi / (sqrtf(v[i]) * c->inv_v + c->eps);
    if (c->ema) c->ema[i] = p[i] + c->ema_beta * (c->ema[i] - p[i]);
  }
  return ST_OK;
}

static Status hb_accumulate(Backend *b, float *acc, const float *g, int64_t n, Error *e) {
  for (int64_t i = 0; i < n; i++) acc[i] += g[i];
  return ST_OK;
}

static Status hb_sanitize(Backend *b, float *g, int64_t n, float factor, float most, int64_t *bad,
                          Error *e) {
  for (int64_t i = 0; i < n; i++) {
    *bad += !isfinite(g[i]);
    g[i] = isfinite(g[i]) ? g[i] * factor : isnan(g[i]) ? 0 : copysignf(most, g[i]);
  }
  return ST_OK;
}

static Status hb_ema(Backend *b, float *x, const float *p, int64_t n, float beta, Error *e) {
  ema_update((real *)x, (const real *)p, n, beta);
  return ST_OK;
}
static Status hb_ema_size(Backend *b, float *x, const float *p, const FlatPlaces *s, float beta,
                          Error *e) {
  ema_size((real *)x, (const real *)p, s, beta);
  return ST_OK;
}

static inline HostBackend *host_backend_new(Precision pr) {
  HostBackend *h = mem_alloc(sizeof *h);
  h->limit = (size_t)2 << 30;
  h->b = (Backend){.name = "host",
                   .precision = pr,
                   .alloc = hb_alloc,
                   .release = hb_release,
                   .available = hb_available,
                   .upload = hb_upload,
                   .download = hb_download,
                   .copy = hb_copy,
                   .zero = hb_zero,
                   .sync = hb_sync,
                   .scratch = hb_scratch,
                   .supports = hb_supports,
                   .can_store = hb_can_store,
                   .prepare = hb_prepare,
                   .several = hb_several,
                   .program = hb_program,
                   .run = hb_run,
                   .program_free = hb_program_free,
                   .profile = hb_profile,
                   .fill_normal = hb_fill,
                   .adam = hb_adam,
                   .accumulate = hb_accumulate,
                   .sanitize = hb_sanitize,
                   .ema = hb_ema,
                   .ema_size = hb_ema_size};
  return h;
}

static inline void host_backend_free(HostBackend *h) {
  backend_free_shares(&h->b);
  mem_free(h);
}
#endif
