/* inception.h: Inception-v3 as the FID feature network. Szegedy et al. 2015 (arXiv 1512.00567);
 * Heusel et al. 2017 for its use; SEMANTICS section 10. 94 convolutions, each with batch norm (eps
 * 1e-3, no convolution bias) and ReLU; features: 2048 numbers, the mean of the last map over its
 * positions. */
#ifndef PRLX_INCEPTION_H
#define PRLX_INCEPTION_H
#include "core/ops.h"
#include "core/params.h"
enum { INCEPTION_CONVS = 94, INCEPTION_DIM = 2048, INCEPTION_SIDE = 299 };

/* Pooling branch of the last block (7c). The FID network (TensorFlow, 2015) takes the maximum;
 * Inception-v3 as published and trained elsewhere the mean. Weights only make sense with the one
 * they were trained with. */
typedef enum { POOL7C_MAX, POOL7C_AVG } Pool7c;

/* Tensors: "<layer>.conv.weight", "<layer>.bn.weight", ".bn.bias", ".bn.running_mean",
 * ".bn.running_var" under pytorch-fid's names. */
typedef struct Inception {
  Params params;
  Pool7c pool7c;
  bool folded;    /* see inception_fold */
  char name[160]; /* which weights these are */
  char key[65];   /* SHA-256 of their file (cache of features) */
} Inception;

/* Layout, zero content. inception_load (models/store/inceptionfile.h) fills it from a file. */
Status inception_new(Inception *v, Error *e);

/* Also of an empty one. */
void inception_free(Inception *v);

/* Golden formula weights. */
void inception_formula(Inception *v, const char *prefix);

/* Batch norm into the convolutions, in place: weight * gamma / sqrt(var + eps), and the rest as a
 * bias in bn.bias. Once, after loading. ST_NUMERIC: a variance below 0. */
Status inception_fold(Inception *v, Error *e);

typedef struct InceptionTaps {
  Val pool1; /* after the two maximum poolings of the stem */
  Val pool2;
  Val mixed6e; /* after block 6e */
} InceptionTaps;

/* x [N,3,299,299] -> [N,2048]. All weights frozen; folded. taps may be NULL. */
Val g_inception(Graph *g, const Inception *v, Val x, InceptionTaps *taps);

/* ---- what happens before the network (inception_input.c) ---- */
/* The three conventions differ exactly where small images are: in how they reach 299 x 299, and in
 * how the numbers are scaled.
 * pytorch-fid  bilinear, half-pixel centres (source = (i + 1/2) s - 1/2, s = side/299), clamped at
 *              the border, no antialias; 0..1; then 2 x - 1.
 * tensorflow   the 2015 graph (StyleGAN2-ADA, torch-fidelity): bilinear with source = i s, no
 *              half-pixel centres, so the picture moves up and left by (1/s - 1)/2 pixels of the
 *              result; 0..255; then (x - 128)/128.
 * clean-fid    Parmar et al. 2022 (arXiv 2104.11222): bicubic a = -1/2 with support scaled when
 *              shrinking (antialiased; weights renormalised at the border, as PIL does), not
 *              rounded, clipped to 0..255; then (x - 128)/128. */
typedef enum { FIDCONV_PYTORCH, FIDCONV_TENSORFLOW, FIDCONV_CLEAN, FIDCONV_COUNT } FidConvention;

/* The first column above, and one phrase for outputs. */
extern const char *const fid_convention_name[FIDCONV_COUNT];
extern const char *const fid_convention_text[FIDCONV_COUNT];

/* Which channels the network sees. AUTO: 1 is repeated, 3 go in as they are, any other number:
 * channel 0 repeated; FIRST; MEAN. */
typedef enum { FID_CHANNELS_AUTO, FID_CHANNELS_FIRST, FID_CHANNELS_MEAN } FidChannels;
typedef struct FidInput {
  FidConvention convention;
  FidChannels channels;
  bool bits8; /* round to whole levels first */
} FidInput;

/* One image img [C,h,w] in network units -> dst [3,299,299]. First 127.5 x + 127.5, clipped to
 * 0..255; bits8: rounded to the nearest integer, as tools that go through PNG do. ST_INVALID: sides
 * of 0. */
Status fid_prepare(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img, real *dst,
                   Error *e);

/* The same for an image in 0..255 that is neither clipped nor rounded (golden test). */
Status fid_prepare_255(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img,
                       real *dst, Error *e);

/* The same in two parts, for a backend. First, on the host, levels and choice of channels of one
 * image: dst [planes,h,w], planes = fid_planes(), 1 or 3, in the network's units. */
int fid_planes(const FidInput *o, int64_t c);
void fid_planes_of(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img, real *dst);

/* Then, in a graph, x [N,1|3,h,w] of those -> [N,3,299,299]: float sums where fid_prepare has
 * double ones. */
Val g_fid_input(Graph *g, const FidInput *o, Val x);

/* Whether n images of these sizes fit such a graph; fid_prepare takes any. */
bool fid_graph_takes(const FidInput *o, int64_t n, int64_t c, int64_t h, int64_t w);

/* ---- features ---- */

/* A plan for `batch` images at a time. An image's features do not depend on its neighbours in the
 * batch. */
typedef struct InceptionRun {
  Graph *graph;
  struct Plan *plan;
  Val in;
  Val out;
  int batch;
  const Inception *net;
  struct Backend *on;
  /* on a backend: what the plan resizes there; planes 0: nothing, the host does */
  FidInput input;
  int planes;
  int64_t height;
  int64_t width;
} InceptionRun;
struct Backend;

/* v must be folded and outlive r; the second on a backend (NULL: CPU), where images are resized,
 * too, and each new size of images makes a new plan. After an error r is empty. */
Status inception_run_new(InceptionRun *r, const Inception *v, int batch, Error *e);
Status inception_run_new_on(struct Backend *b, InceptionRun *r, const Inception *v, int batch,
                            Error *e);

/* Also of an empty one. */
void inception_run_free(InceptionRun *r);

/* n <= batch images [n,C,h,w] in network units -> feat [n,2048]. ST_INVALID: n or sizes out of
 * range; ST_NUMERIC: a feature is not finite. */
Status inception_run(InceptionRun *r, const FidInput *o, int64_t n, int64_t c, int64_t h, int64_t w,
                     const float *img, float *feat, Error *e);
#endif
