/* api.c: version, errors, options, and models of prlx.h. */
#include "models/api/api.h"
#include <stdio.h>
#include <string.h>
#include "core/bf16.h"
#include "core/threads.h"

_Static_assert((int)PRLX_INVALID == (int)ST_INVALID && (int)PRLX_IO == (int)ST_IO &&
                   (int)PRLX_FORMAT == (int)ST_FORMAT && (int)PRLX_NOMEM == (int)ST_NOMEM &&
                   (int)PRLX_NUMERIC == (int)ST_NUMERIC &&
                   (int)PRLX_INTERRUPTED == (int)ST_INTERRUPTED &&
                   (int)PRLX_INTERNAL == (int)ST_INTERNAL,
               "prlx_status is Status");
_Static_assert(sizeof((prlx_error){0}.msg) == sizeof((Error){0}.msg), "messages are as long");

const char *prlx_version(void) { return PRLX_VERSION; }
void prlx_threads(int n) { threads_set(n); }

prlx_status prlx_bf16(bool on, prlx_error *e) {
  Error in;
  return api_return(bf16_use(on, &in), &in, e);
}

prlx_status api_missing(const char *function, const char *argument, prlx_error *e) {
  Error in;
  return api_return(
      err_set(&in, ST_INVALID, "%s: %s is NULL; expected something there", function, argument), &in,
      e);
}

prlx_status api_return(Status s, const Error *in, prlx_error *e) {
  if (!e) return (prlx_status)s;
  e->code = (prlx_status)s;
  memcpy(e->msg, s == ST_OK ? "" : in->msg, s == ST_OK ? 1 : sizeof e->msg);
  return e->code;
}

Status api_status(prlx_status s, const prlx_error *pe, Error *e) {
  return s == PRLX_OK ? ST_OK : err_set(e, (Status)s, "%s", pe->msg);
}

Status api_options(void *dst, size_t have, const void *given, size_t size, const char *what,
                   Error *e) {
  if (size < sizeof(size_t) || size > 65536)
    return err_set(e, ST_INVALID, "%s: size %zu; expected options made by its defaults function",
                   what, size);
  memcpy(dst, given, PRLX_MIN(size, have));
  return ST_OK;
}

Status api_label(const Network *net, int label, Error *e) {
  const int classes = net->G.cfg.c_dim;
  if (classes && label < 0)
    return err_set(e, ST_INVALID,
                   "%s: the network has %d classes; choose a label (--class) in 0..%d", net->path,
                   classes, classes - 1);
  if (label >= 0 && label >= classes)
    return err_set(e, ST_INVALID, "%s: label (--class) %d; the network has %s", net->path, label,
                   classes ? "fewer classes" : "no classes");
  return ST_OK;
}

/* ---- networks ---- */

static Status network_open(Network *net, const char *path, Error *e) {
  char bundled[4400];
  if (!path) TRY(data_find("network_small.safetensors", NULL, bundled, sizeof bundled, e));
  return network_load(net, path ? path : bundled, e);
}

prlx_status prlx_network_load(const char *path, prlx_network **out, prlx_error *e) {
  API_NEED(out, e);
  Error in;
  prlx_network *n = mem_alloc(sizeof *n);
  *out = NULL;
  Status s = n ? network_open(&n->net, path, &in)
               : err_set(&in, ST_NOMEM, "network: out of memory; free memory and try again");
  if (s == ST_OK)
    *out = n;
  else
    mem_free(n);
  return api_return(s, &in, e);
}

void prlx_network_free(prlx_network *n) {
  if (!n) return;
  network_free(&n->net);
  mem_free(n);
}

int prlx_network_channels(const prlx_network *n) { return n ? n->net.G.cfg.img_channels : 0; }
int prlx_network_resolution(const prlx_network *n) { return n ? n->net.G.cfg.img_resolution : 0; }
int prlx_network_classes(const prlx_network *n) { return n ? n->net.G.cfg.c_dim : 0; }
int prlx_network_z_dim(const prlx_network *n) { return n ? n->net.G.cfg.z_dim : 0; }
int prlx_network_w_dim(const prlx_network *n) { return n ? n->net.G.cfg.w_dim : 0; }
const char *prlx_network_meta(const prlx_network *n, const char *key) {
  return n && key ? network_meta(&n->net, key) : NULL;
}

/* ---- VGG16 ---- */

prlx_status prlx_vgg_load(const char *path, const char *data_dir, prlx_vgg **out, prlx_error *e) {
  API_NEED(out, e);
  Error in;
  prlx_vgg *v = mem_alloc(sizeof *v);
  *out = NULL;
  Status s = v ? vgg_load(&v->vgg, path, data_dir, &in)
               : err_set(&in, ST_NOMEM, "VGG16: out of memory; free memory and try again");
  if (s == ST_OK)
    *out = v;
  else
    mem_free(v);
  return api_return(s, &in, e);
}

void prlx_vgg_free(prlx_vgg *v) {
  if (!v) return;
  vgg_free(&v->vgg);
  mem_free(v);
}

const char *prlx_vgg_name(const prlx_vgg *v) { return v ? v->vgg.name : ""; }
