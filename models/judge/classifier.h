/* classifier.h: the rim classifier of the paper (section 3.3): six units of 3x3 convolution with
 * pooling, batch norm, ReLU in this order, global average pooling, one linear layer, softmax cross
 * entropy. It looks at single slices; a lesion's probability is the mean over its slices. What the
 * paper leaves open and we chose: widths 16 32 64 64 128 128, 2x2 max pooling, batch 32. Every unit
 * pools, as the paper's words have it, so that a patch of 64x64 pixels becomes one position; with
 * fewer poolings class activation maps have more of them (three: 8x8). 282,354 parameters; 28 MFLOP
 * per 64x64 image forward, with three poolings 53. */
#ifndef PRLX_CLASSIFIER_H
#define PRLX_CLASSIFIER_H
#include "models/judge/fit.h"
#define CLS_UNITS 6
typedef struct ClassifierConfig {
  int channels; /* of the slices */
  int classes;
  int pools;            /* the first units that end with a 2x2 max pooling, 0 to CLS_UNITS */
  int width[CLS_UNITS]; /* feature maps of each unit */
  bool norm_first;      /* batch norm and ReLU before the pooling: files of version 0.1 */
} ClassifierConfig;

/* Tensors: "unit<k>.conv.weight" [Co,Ci,3,3] (no bias: batch norm has one), "unit<k>.bn.*",
 * "fc.weight" [classes,C], "fc.bias". No size of a patch is part of it: any height and width of at
 * least 2^pools pixels. */
typedef struct Classifier {
  ClassifierConfig cfg;
  Params params;
  Backend *backend; /* where it is trained and used; NULL: the CPU. Set after _new or _load */
  /* of the slices it was trained on; 0: not known (files before 0.2). It runs on any, but scores of
   * another size mean nothing: see classifier_fits */
  int seen_h;
  int seen_w;
} Classifier;

/* Whether slices of h x w pixels are what it was trained on. ST_INVALID names both sizes and
 * `path`, the slices' file. */
Status classifier_fits(const Classifier *c, int h, int w, const char *path, Error *e);

/* The paper's classifier: 2 classes. */
ClassifierConfig classifier_defaults(int channels);

/* Layout, zero content; ST_INVALID says which field. */
Status classifier_new(Classifier *c, const ClassifierConfig *cfg, Error *e);

/* Also of an empty one. */
void classifier_free(Classifier *c);

enum { CLS_MAP_UNITS = 3 }; /* maps are read after at most so many poolings */
typedef struct ClassifierTaps {
  Val features; /* output of the last unit [N,C,h,w] */
  Val early;    /* that of the unit with the CLS_MAP_UNITS-th pooling; with fewer: features */
  Val pooled;   /* its mean [N,C] */
} ClassifierTaps;

/* x [N,channels,H,W] in network units -> logits [N,classes]. bn as in g_batch_norm: NULL =
 * inference, weights frozen. taps may be NULL. */
Val g_classifier(Graph *g, const Classifier *c, Val x, BnTaps *bn, ClassifierTaps *taps);

/* Slices (models/judge/fit.h): labels 0..classes-1, not used by prediction. */
typedef struct ClassifierTrain {
  int epochs;
  int batch; /* slices per step */
  double lr; /* of Adam, with its betas */
  double beta1;
  double beta2;
  /* cosine: the rate falls from lr to 0 along half a cosine over all steps (Loshchilov and Hutter
   * 2017), so that the last steps do not decide what is called rim */
  bool cosine;
  /* weights are the mean over the ends of the last so many epochs (Izmailov et al. 2018); 0: those
   * of the last step. The batch statistics of the mean are estimated anew on the training slices */
  int average;
  uint64_t seed;
  /* after each epoch (1, 2, ...): mean loss and accuracy over it, in training mode. false stops:
   * ST_INTERRUPTED. May be NULL. */
  bool (*tick)(void *ctx, int epoch, double loss, double accuracy);
  void *ctx;
} ClassifierTrain;

/* Paper: 25 epochs, Adam 1e-3, no schedule; ours: batch 32, betas 0.9, 0.999. */
ClassifierTrain classifier_train_defaults(void);

/* Starts from random values (He et al. 2015; biases 0) of the seed. The order is shuffled each
 * epoch; the last n mod batch slices of an epoch are left out (others each time). Same seed, same
 * bits, for any number of threads. ST_INVALID: fewer than 2 slices, a class without any, label out
 * of range; ST_NUMERIC: NaN in an image or in the loss. */
Status classifier_train(Classifier *c, const ClassifierTrain *o, const Slices *d, Error *e);

/* Running statistics of batch norm anew, from these slices alone: means over batches of `batch` in
 * an order of the seed, weights as they are. For a classifier that was trained on real and
 * synthetic slices together and is to judge real ones. Labels are not used. Errors as
 * classifier_train. */
Status classifier_refit_norm(Classifier *c, const Slices *d, int batch, uint64_t seed, Error *e);

/* prob [n,classes]: softmax of the logits, in double. A slice's value does not depend on the
 * others. ST_INVALID: slices of other channels or too small; ST_NUMERIC: NaN. */
Status classifier_predict(const Classifier *c, const Slices *d, double *prob, Error *e);

/* Mean of prob[:,cls] over the slices of each lesion: lesion [n] in 0..lesions-1; out [lesions],
 * NaN for a lesion without slices. */
void classifier_by_lesion(int64_t n, const double *prob, int classes, int cls,
                          const int64_t *lesion, int64_t lesions, double *out);
#endif
