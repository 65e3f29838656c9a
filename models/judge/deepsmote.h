/* deepsmote.h: DeepSMOTE (Dablain, Krawczyk, Chawla 2021, arXiv 2105.02340): an encoder and a
 * decoder trained on reconstruction plus a penalty, then SMOTE on the codes of the minority class,
 * then decoding.
 *
 *   loss = mean (D(E(x)) - x)^2 + weight * mean (D(permute(E(x_c))) - x_c)^2        x_c: a batch of
 *     one class, drawn anew each step (Algorithm 1)
 *
 * The paper's penalty compares the image decoded from ANOTHER sample's code with x_c, so that the
 * decoder meets the variance it will see when interpolating. The authors' published program
 * differs: images and codes are permuted alike and the encoder gets no gradient from it, so its
 * penalty is a second reconstruction error of the decoder; DEEPSMOTE_CODE does that,
 * DEEPSMOTE_PAPER (default) what the paper says. Take care with the paper's penalty: codes of other
 * samples cannot tell x_c, so the best decoder shrinks every image towards the mean m of its class,
 * to m + (x - m)/(1 + weight): half the contrast at weight 1 (minimise (1-a)^2 v + weight (1 + a^2)
 * v over a). The program's does not shrink. Differences to the published networks (28x28 and 32x32
 * images): one stage more, so that 64x64 ends at 4x4 (side: any multiple of 16); `width` channels
 * instead of 64 for two CPU cores (64 is published); the four convolutions double it each. Images
 * are clamped to [-1,1], the range of the last tanh. Batch norm of the class batch uses that
 * batch's statistics, the running ones follow the reconstruction batch; coding for SMOTE uses the
 * running ones. */
#ifndef PRLX_DEEPSMOTE_H
#define PRLX_DEEPSMOTE_H
#include "models/judge/classifier.h"
typedef struct DeepSmoteConfig {
  int channels;
  int side;   /* pixels each way, a multiple of 16 */
  int width;  /* feature maps of the first convolution */
  int latent; /* numbers of a code */
} DeepSmoteConfig;

/* "enc.conv<k>.weight", "enc.bn<k>.*" (k > 0), "enc.fc.*", "dec.fc.*", "dec.conv<k>.weight",
 * "dec.bn<k>.*" (k < 3), "dec.bias". */
typedef struct DeepSmote {
  DeepSmoteConfig cfg;
  Params params;
  Backend *backend; /* where it is trained and used; NULL: the CPU. Set after _new or _load */
} DeepSmote;

/* Width 16, 300 codes (published). */
DeepSmoteConfig deepsmote_defaults(int channels, int side);

/* Layout, zero content; ST_INVALID says which field. */
Status deepsmote_new(DeepSmote *d, const DeepSmoteConfig *cfg, Error *e);

/* Also of an empty one. */
void deepsmote_free(DeepSmote *d);

/* [N,C,s,s] -> [N,latent]; bn NULL: inference. */
Val g_deepsmote_encode(Graph *g, const DeepSmote *d, Val x, BnTaps *bn);

/* [N,latent] -> [N,C,s,s] in [-1,1]. */
Val g_deepsmote_decode(Graph *g, const DeepSmote *d, Val z, BnTaps *bn);

typedef enum { DEEPSMOTE_PAPER, DEEPSMOTE_CODE } DeepSmotePenalty;
typedef struct DeepSmoteTrain {
  int epochs;
  int batch;      /* images per step */
  double lr;      /* of Adam */
  double penalty; /* its weight in the loss */
  DeepSmotePenalty kind;
  uint64_t seed;
  /* after each epoch (1, 2, ...): both mean losses; false stops: ST_INTERRUPTED; may be NULL */
  bool (*tick)(void *ctx, int epoch, double reconstruction, double penalty);
  void *ctx;
} DeepSmoteTrain;

/* 50 epochs, batch 32, Adam 1e-3, weight 1; published: 200, 100, 2e-4, 1. */
DeepSmoteTrain deepsmote_train_defaults(void);

/* Starts from random values (He et al. 2015; biases 0). d->labels >= 0. Same seed, same bits, for
 * any number of threads. ST_INVALID: options, size or labels out of range; ST_NUMERIC: NaN in an
 * image or in the loss; ST_INTERRUPTED: tick said so. */
Status deepsmote_train(DeepSmote *m, const DeepSmoteTrain *o, const Slices *d, Error *e);

/* n images [n,C,s,s] in network units to codes z [n,latent], and codes to images. */
Status deepsmote_encode(const DeepSmote *m, const real *images, int64_t n, real *z, Error *e);
Status deepsmote_decode(const DeepSmote *m, const real *z, int64_t n, real *images, Error *e);
#endif
