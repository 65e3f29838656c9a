/* device.c: see device.h */
#include "tools/cli/device.h"
#include <stdio.h>
#include <string.h>
#include "core/bf16.h"
#include "tools/cli/opts.h"
#include "tools/cli/tool.h"
#ifdef PRLX_HAVE_CUDA
#include "cuda/device.h"
#endif

/* --precision bf16 on the CPU. tf32 and f16 are of a GPU only; without one, float does for them. */
static Status cpu_precision(Error *e) {
  const bool wanted = opts_precision() == 1 + PREC_BF16;
  const Status s = bf16_use(wanted, e);
  static bool told;
  /* measured: SPEED.md, "A quiet machine" */
  if (wanted && s == ST_OK && bf16_way() == BF16_VECTORS && !told && !tool_quiet)
    fprintf(stderr,
            "note: --precision bf16 without AMX: CPUs of Intel multiply bf16 vectors at half the "
            "rate of float; leave it out if time counts\n");
  told |= wanted;
  if (s == ST_OK) return ST_OK;
  char why[sizeof e->msg];
  memcpy(why, e->msg, sizeof why);
  return err_set(e, s, "--precision bf16: %.900s", why);
}

#ifdef PRLX_HAVE_CUDA
static Backend *backend;
static int chosen;

void tool_device_choose(int n) { chosen = n; }

Status tool_device_comm(Comm *c, Backend *b, Error *e) {
  int without = b == NULL;
  Error why = {0};
  if (!comm_many(c)) return ST_OK;
  Status s = comm_agree(c, ST_OK, &without, e);
  if (s != ST_OK || without) return s;
  s = cuda_comm_attach(c, b, &why);
  if (s != ST_OK) return err_set(e, s, "%s", why.msg);
  if (!c->sum_device && why.msg[0] && comm_lead(c))
    fprintf(stderr, "prlx: note: gradients are added through the host: %s\n", why.msg);
  return ST_OK;
}

static Precision precision_of(Precision usual) {
  static const Precision list[] = {PREC_STRICT, PREC_TF32, PREC_F16, PREC_BF16};
  int k = opts_precision();
  return k > 0 ? list[k - 1] : usual;
}

/* A card computes after a short self-test only (cuda/selftest.cu): refused kernels are named. */
static Status device_start(Precision want, int device, Error *e) {
  CudaTested t[CUDA_TESTED_MAX];
  int n = 0;
  TRY(cuda_backend_new(device, want, &backend, e));
  const Status s = cuda_selftest(backend, t, &n, e);
  for (int k = 0; k < n && s == ST_OK; k++)
    if (t[k].rung > 0)
      fprintf(stderr,
              "prlx: note: GPU, %s (%s): its kernel does not agree with its definition (%s); %s "
              "takes its place; see prlx check\n",
              t[k].kind, precision_name(want), t[k].text, tool_device_rung(t[k].rung));
  if (s != ST_OK) tool_backend_free();
  return s;
}

int tool_device_selftest(Precision p, DeviceTested out[DEVICE_TESTED_MAX], Error *e) {
  CudaTested t[CUDA_TESTED_MAX];
  Backend *b = NULL;
  int n = 0;
  const int count = cuda_device_count(NULL, 0);
  if (opts_device() == DEVICE_CPU || count == 0) return 0;
  if (cuda_backend_new(chosen % count, p, &b, e) != ST_OK) return -1;
  const Status s = cuda_selftest(b, t, &n, e);
  cuda_backend_free(b);
  for (int k = 0; k < n; k++) {
    out[k] = (DeviceTested){t[k].kind, t[k].cases, t[k].worst, t[k].rung, ""};
    memcpy(out[k].text, t[k].text, sizeof out[k].text);
  }
  return s == ST_OK ? n : -1;
}

Status tool_backend(Precision usual, Backend **out, Error *e) {
  char why[256];
  *out = NULL;
  if (opts_device() == DEVICE_CPU) return cpu_precision(e);
  int count = cuda_device_count(why, sizeof why);
  if (count == 0)
    return opts_device() == DEVICE_AUTO ? cpu_precision(e)
                                        : err_set(e, ST_INVALID,
                                                  "--device cuda: no CUDA device answers (%s); use "
                                                  "--device cpu, or install the driver of the GPU",
                                                  why);
  Precision want = precision_of(usual);
  /* another command of the same process: nothing of the last one is left */
  if (backend && backend->precision != want) tool_backend_free();
  Status s = backend ? ST_OK : device_start(want, chosen % count, e);
  /* e.g. a GPU older than the binaries */
  if (s != ST_OK && opts_device() == DEVICE_AUTO) {
    fprintf(stderr, "prlx: the GPU is not used: %s\n", e ? e->msg : "it does not start");
    return cpu_precision(e);
  }
  *out = backend;
  return s;
}

Status tool_backend_fit(const char *cmd, Backend **out, Error *e) {
  *out = NULL;
  if (opts_device() != DEVICE_CPU && precision_of(PREC_TF32) == PREC_F16)
    return err_set(e, ST_INVALID,
                   "--precision f16: %s has no scale of its loss, so that small gradients would "
                   "vanish; take tf32 or bf16",
                   cmd);
  return tool_backend(PREC_TF32, out, e);
}

void tool_backend_free(void) {
  cuda_backend_free(backend);
  backend = NULL;
}

bool tool_device_present(void) {
  return opts_device() != DEVICE_CPU && cuda_device_count(NULL, 0) > 0;
}

bool tool_device_text(char *buf, size_t n, int *missing) {
  char why[256];
  int count = cuda_device_count(why, sizeof why);
  *missing = cuda_missing(NULL, 0);
  if (count == 0) {
    snprintf(buf, n, "in this build, but no device answers (%s)", why);
    return false;
  }
  cuda_describe(0, buf, n);
  if (count > 1 && strlen(buf) + 1 < n)
    snprintf(buf + strlen(buf), n - strlen(buf), "; the first of %d devices is used", count);
  return true;
}
#else
Status tool_backend(Precision usual, Backend **out, Error *e) {
  *out = NULL;
  if (opts_device() != DEVICE_CUDA) return cpu_precision(e);
  return err_set(e, ST_INVALID,
                 "--device cuda: this build has no CUDA backend; build with nvcc, or use --device "
                 "cpu");
}

Status tool_backend_fit(const char *cmd, Backend **out, Error *e) {
  return tool_backend(PREC_TF32, out, e);
}

void tool_backend_free(void) {}
int tool_device_selftest(Precision p, DeviceTested t[DEVICE_TESTED_MAX], Error *e) { return 0; }
void tool_device_choose(int n) {}
bool tool_device_present(void) { return false; }
Status tool_device_comm(Comm *c, Backend *b, Error *e) { return ST_OK; }
bool tool_device_text(char *buf, size_t n, int *missing) {
  snprintf(buf, n, "not in this build (make found no nvcc, or was told CUDA=0)");
  *missing = 0;
  return false;
}
#endif

const char *tool_device_rung(int rung) {
  return rung == 1 ? "the float kernel" : rung == 4 ? "storage in planes" : "the plainest kernel";
}

const char *tool_device_name(const Backend *b, char buf[64]) {
  if (b)
    snprintf(buf, 64, "%s (%s)", b->name, precision_name(b->precision));
  else if (bf16_used())
    snprintf(buf, 64, "CPU (bf16, %s)", bf16_name(bf16_way()));
  else
    snprintf(buf, 64, "CPU");
  return buf;
}

const char *tool_device_built(void) {
#ifdef PRLX_HAVE_CUDA
  return "CPU and CUDA";
#else
  return "CPU";
#endif
}
