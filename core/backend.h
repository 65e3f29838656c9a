/* backend.h: what a device must offer to run plans. core knows no device: a tool hands one over
 * (PlanOptions.backend); NULL = the CPU kernels of the table. The only implementation is cuda/ (and
 * the same sources compiled as host C++ for tests, test/cuda_emu.h).
 *
 * Storage: a value of a plan lives on the device as float, or as a 16-bit number where the
 * precision asks for it; arithmetic is always float (tensor cores: 16-bit or tf32 operands, float
 * sums). What is stored in 16 bits is the planner's decision (core/plan_device.c): feature maps
 * larger than 4x4, as in the reference; weights, gradients of weights, images and statistics stay
 * float. */
#ifndef PRLX_BACKEND_H
#define PRLX_BACKEND_H
#include "core/dense.h"
#include "core/dtype.h"
#include "core/graph.h"
#include "core/optim.h"
#include "core/pointwise.h"
#include "core/rng.h"

/* strict: float everywhere, no tensor cores; tf32: float storage, tf32 operands; f16, bf16: 16-bit
 * feature maps. */
typedef enum { PREC_STRICT, PREC_TF32, PREC_F16, PREC_BF16 } Precision;

/* values of Backend.batch_kind */
enum { BATCH_KINDS = 4 };

/* How a map lies: its planes one after another, [n][channel][y][x]; or, last, its channels
 * innermost, pixel after pixel, as a convolution wants its operand, so that it reads it in place:
 * then `side` pixels of zeros follow each row, `edge` rows of zeros each image, and as many rows
 * and then pixels come before the first. What lies between two rows is beside both, what lies
 * between two images is below one and above the other. Only 16-bit maps whose channels come in
 * whole MAP_CHUNKs of 16 bytes lie so; its maker writes the zeros, too. */
typedef struct MapLayout {
  uint8_t last;
  uint8_t edge;
  uint8_t side;
} MapLayout;
enum { MAP_CHUNK = 8, MAP_MARGIN_MAX = 255 };

/* Numbers in memory, of which shape_numel(s) are the map's own. */
int64_t map_numel(Shape s, MapLayout l);

/* Where pixel (y, 0) of channel 0 of image n lies, of a map with its channels last. */
int64_t map_row(Shape s, MapLayout l, int64_t n, int64_t y);

/* Answers of Backend.channels_last; LAST_MUST: whatever it costs (tests). */
enum { LAST_NO, LAST_MAY, LAST_MUST };

/* One step of a plan as the device sees it: a node, or a fused loop (prog). All pointers are device
 * memory. */
typedef struct DevStep {
  Node node; /* operation, attributes, output shape; a loop that ends in a sum: op is OP_sum */
  int nargs;
  Shape shape[PW_MAX_ARGS];     /* of the arguments */
  const void *arg[PW_MAX_ARGS]; /* NULL: absent operand */
  DType targ[PW_MAX_ARGS];
  MapLayout lies[PW_MAX_ARGS];
  void *out;
  DType tout;
  void *more[PW_MAX_MORE]; /* further results of prog (PwProgram.more) */
  DType tmore[PW_MAX_MORE];
  MapLayout more_lies[PW_MAX_MORE];
  MapLayout out_lies;
  /* as many bytes as the backend's scratch() said; shared by all steps of a plan (they run one
   * after another) */
  void *scratch;
  /* This step and so many less one after it neither read nor overwrite what another of them makes
   * or uses, scratch included: they may be launched together. 0: 1 */
  int together;
  /* fused pointwise loop, optionally with a reduction; arg[k] is argument k. NULL: an operation of
   * the table */
  const PwProgram *prog;
  /* Loop that runs in the store of a convolution (prog_store): its arguments follow at arg[4..];
   * argument `store_from` of it is the convolution's own result, which then exists in registers
   * only. NULL: plain store. */
  const PwProgram *prog_store;
  int store_from;
} DevStep;

/* One Adam step, as core/optim.c forms it: everything that needs double is formed on the host. c1 =
 * 1 - beta1, c2 = 1 - beta2, inv_v = 1/sqrt(1 - beta2^t), m_corr = 1/(1 - beta1^t) (m is not used
 * where it is NULL: beta1 == 0). ema, if not NULL, is a device range that follows the new p in the
 * same launch: ema <- p + ema_beta (ema - p). */
typedef struct AdamCoef {
  float lr;
  float b1;
  float b2;
  float c1;
  float c2;
  float inv_v;
  float eps;
  float m_corr;
  float *ema;
  float ema_beta;
} AdamCoef;

/* For step a->t (core/backend.c); adam_step would have incremented t before. */
AdamCoef adam_coef(const Adam *a);

/* Host range and its mirror; see backend_share. */
typedef struct Share {
  const char *host;
  char *dev;
  size_t bytes;
  int count; /* times it was shared */
} Share;

/* The steps of one plan, ready to run: a captured CUDA graph. */
typedef struct DevProgram DevProgram;
struct Backend {
  const char *name; /* "cuda", "cuda-emu" */
  Precision precision;
  /* Memory. alloc: zeroed, 256-byte aligned; ST_NOMEM says how much was asked for, how much is
   * free. */
  Status (*alloc)(Backend *b, size_t bytes, void **out, Error *e);
  void (*release)(Backend *b, void *p);
  size_t (*available)(Backend *b);
  /* All on one stream, in order. upload copies src before it returns (pinned staging ring);
   * download waits for the device. */
  Status (*upload)(Backend *b, void *dst, const void *src, size_t bytes, Error *e);
  Status (*download)(Backend *b, void *dst, const void *src, size_t bytes, Error *e);
  /* device to device */
  Status (*copy)(Backend *b, void *dst, const void *src, size_t bytes, Error *e);
  Status (*zero)(Backend *b, void *dst, size_t bytes, Error *e);
  Status (*sync)(Backend *b, Error *e);
  /* Programs. scratch: bytes a step needs. supports: may this operand (slot, or -1 = the output, -2
   * - k = one more result) of the node be stored as t? can_store: may this loop run in the store of
   * this convolution? program copies the steps. */
  size_t (*scratch)(Backend *b, const DevStep *s);
  bool (*supports)(Backend *b, const DevStep *s, int slot, DType t);
  bool (*can_store)(Backend *b, const DevStep *conv, const PwProgram *p, int store_from);
  /* May this operand (slot, or as for supports), a 16-bit map, lie with its channels last? LAST_NO,
   * LAST_MAY, LAST_MUST; *margin grows to the zeros that this step wants around it. NULL: never. */
  int (*channels_last)(Backend *b, const DevStep *s, int slot, MapLayout *margin);
  /* Weights laid out ahead of the convolution `conv`, once for all steps that read them so: fills
   * *prep (a conv_prep; operand 0: the weights, result: floats whose meaning only the backend
   * knows), whose result is then operand 2 of conv, and operand 1 absent. False: not for this one.
   * NULL: never. */
  bool (*prepare)(Backend *b, const DevStep *conv, Node *prep);
  /* May this loop with several results (prog->nmore) run as one step? size: the numbers it walks;
   * of one sample where bits may not depend on the batch. NULL: never. */
  bool (*several)(Backend *b, const DevStep *s, int64_t size);
  /* Kinds of steps of which several, if nothing else forbids it, are launched together: 1 to
   * BATCH_KINDS-1; 0: alone. NULL: all alone. */
  int (*batch_kind)(Backend *b, const DevStep *s);
  /* kernels that n steps launch, for tables of what a plan costs; addresses count as present
   * or absent only. NULL: not known */
  int (*launches)(Backend *b, int n, const DevStep *s);
  Status (*program)(Backend *b, int n, const DevStep *s, DevProgram **out, Error *e);
  /* asynchronous: captures at the second run, replays from then on */
  Status (*run)(Backend *b, DevProgram *p, Error *e);
  void (*program_free)(Backend *b, DevProgram *p);
  /* Per-step times in ns of one run, measured with events (plan_profile). */
  Status (*profile)(Backend *b, DevProgram *p, int n, int64_t *ns, Error *e);
  /* Training: flat ranges of floats. Same formulas, same rounding order as core/optim.c; adam
   * counts `t` on the host, fill_normal advances *r as rng_fill_normal does. */
  Status (*fill_normal)(Backend *b, Rng *r, float *dst, int64_t n, Error *e);
  Status (*adam)(Backend *b, float *p, const float *g, float *m, float *v, int64_t n,
                 const AdamCoef *coef, Error *e);
  Status (*accumulate)(Backend *b, float *acc, const float *g, int64_t n, Error *e);
  /* g <- factor g; NaN -> 0, infinity -> most with its sign; *bad, on the device, counts those */
  Status (*sanitize)(Backend *b, float *g, int64_t n, float factor, float most, int64_t *bad,
                     Error *e);
  Status (*ema)(Backend *b, float *ema, const float *p, int64_t n, float beta, Error *e);
  Status (*ema_size)(Backend *b, float *ema, const float *p, const FlatPlaces *s, float beta,
                     Error *e);
  const DenseOps *dense; /* NULL: none; the host computes what would use them */
  Share *share;          /* [nshare], room for cap_share: core/backend.c */
  int nshare;
  int cap_share;
};

/* Mirrored host ranges (core/backend.c): blocks of parameters, gradients, optimiser state that live
 * on the device and have a host copy of the same layout. Every plan of the backend that finds a
 * parameter or a bound input or output in such a range uses the mirror in place. backend_share:
 * adds the range (its content is pushed); the same range again only counts. ST_INVALID when it
 * overlaps another range in part. Ranges must be shared before the plans that read them run first,
 * and unshared after those plans are freed. */
Status backend_share(Backend *b, const void *host, size_t bytes, Error *e);
void backend_unshare(Backend *b, const void *host);

/* Address in the mirror of any address in a range; NULL: not shared. */
void *backend_device(const Backend *b, const void *host);

/* Host -> mirror, bytes from an address in a range. */
Status backend_push(Backend *b, const void *host, size_t bytes, Error *e);

/* Mirror -> host; waits for the device. */
Status backend_pull(Backend *b, void *host, size_t bytes, Error *e);

/* For the backend's own free function. */
void backend_free_shares(Backend *b);

/* Plans on b (NULL: the CPU) store maps in f16: their graphs want graph_half_range. */
bool backend_is_half(const Backend *b);

/* "strict", "tf32", "f16", "bf16": a constant text. */
const char *precision_name(Precision p);
#endif
