/* api_device.c: GPUs of prlx.h. Compiled twice: as it is for the programs here, which bring their
 * own device (tools/cli/device.h), and with PRLX_HAVE_CUDA for a libprlx that was built with nvcc;
 * that is the one place in models that knows cuda/. */
#include <stdio.h>
#include <string.h>
#include "models/api/api.h"
#ifdef PRLX_HAVE_CUDA
#include "cuda/device.h"
#endif

#ifdef PRLX_HAVE_CUDA
/* "cuda" is "cuda:0" */
static Status device_number(const char *name, int *device, Error *e) {
  char rest;
  *device = 0;
  if (!strcmp(name, "cuda") || sscanf(name, "cuda:%d%c", device, &rest) == 1) return ST_OK;
  return err_set(e, ST_INVALID, "device \"%s\"; expected cuda or cuda:NUMBER", name);
}

static Status device_precision(const char *name, Precision *out, Error *e) {
  for (int p = PREC_STRICT; p <= PREC_BF16; p++)
    if (!strcmp(precision_name((Precision)p), name)) {
      *out = (Precision)p;
      return ST_OK;
    }
  return err_set(e, ST_INVALID, "precision \"%s\"; expected strict, tf32, f16 or bf16", name);
}

static Status device_open(const char *name, const char *precision, Backend **out, Error *e) {
  char why[256];
  int device;
  Precision p = PREC_TF32;
  TRY(device_number(name, &device, e));
  if (precision) TRY(device_precision(precision, &p, e));
  if (cuda_device_count(why, sizeof why) == 0)
    return err_set(e, ST_INVALID, "%s: no CUDA device answers (%s); install the driver of the GPU",
                   name, why);
  return cuda_backend_new(device, p, out, e);
}
#else
static Status device_open(const char *name, const char *precision, Backend **out, Error *e) {
  return err_set(e, ST_INVALID,
                 "device \"%s\": this build has no CUDA; compute on the CPU (NULL), or build the "
                 "library with nvcc",
                 name);
}
#endif

prlx_status prlx_device_open(const char *name, const char *precision, prlx_device **out,
                             prlx_error *e) {
  API_NEED(name, e);
  API_NEED(out, e);
  Error in;
  Backend *b = NULL;
  const Status s = device_open(name, precision, &b, &in);
  *out = s == ST_OK ? api_device(b) : NULL;
  return api_return(s, &in, e);
}

void prlx_device_close(prlx_device *d) {
#ifdef PRLX_HAVE_CUDA
  if (d) cuda_backend_free(api_backend(d));
#endif
}
