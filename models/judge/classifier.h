/* classifier.h: the rim classifier of the paper (section 3.6): six units of 3x3 convolution, batch
 * norm, ReLU and pooling, global average pooling, one linear layer, softmax cross entropy. It looks
 * at single slices; a lesion's probability is the mean over its slices. What the paper leaves open
 * and we chose: widths 16 32 64 64 128 128, 2x2 max pooling after the first three units (so that
 * class activation maps of a 64x64 patch have 8x8 positions; a fourth pooling is an option), batch
 * 32. 282,354 parameters, 53 MFLOP per 64x64 image forward. */
#ifndef PRLX_CLASSIFIER_H
#define PRLX_CLASSIFIER_H
#include "models/judge/fit.h"
#define CLS_UNITS 6
typedef struct ClassifierConfig {
  int channels; /* of the slices */
  int classes;
  int pools;            /* the first units that end with a 2x2 max pooling */
  int width[CLS_UNITS]; /* feature maps of each unit */
} ClassifierConfig;

/* Tensors: "unit<k>.conv.weight" [Co,Ci,3,3] (no bias: batch norm has one), "unit<k>.bn.*",
 * "fc.weight" [classes,C], "fc.bias". No size of a patch is part of it: any height and width of at
 * least 2^pools pixels. */
typedef struct Classifier {
  ClassifierConfig cfg;
  Params params;
} Classifier;

/* The paper's classifier: 2 classes. */
ClassifierConfig classifier_defaults(int channels);

/* Layout, zero content; ST_INVALID says which field. */
Status classifier_new(Classifier *c, const ClassifierConfig *cfg, Error *e);

/* Also of an empty one. */
void classifier_free(Classifier *c);

typedef struct ClassifierTaps {
  Val features; /* output of the last unit [N,C,h,w] */
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
  uint64_t seed;
  /* after each epoch (1, 2, ...): mean loss and accuracy over it, in training mode. false stops:
   * ST_INTERRUPTED. May be NULL. */
  bool (*tick)(void *ctx, int epoch, double loss, double accuracy);
  void *ctx;
} ClassifierTrain;

/* Paper: 25 epochs, Adam 1e-3; ours: batch 32, betas 0.9, 0.999. */
ClassifierTrain classifier_train_defaults(void);

/* Starts from random values (He et al. 2015; biases 0) of the seed. The order is shuffled each
 * epoch; the last n mod batch slices of an epoch are left out (others each time). Same seed, same
 * bits, for any number of threads. ST_INVALID: fewer than 2 slices, a class without any, label out
 * of range; ST_NUMERIC: NaN in an image or in the loss. */
Status classifier_train(Classifier *c, const ClassifierTrain *o, const Slices *d, Error *e);

/* prob [n,classes]: softmax of the logits, in double. A slice's value does not depend on the
 * others. ST_INVALID: slices of other channels or too small; ST_NUMERIC: NaN. */
Status classifier_predict(const Classifier *c, const Slices *d, double *prob, Error *e);

/* Mean of prob[:,cls] over the slices of each lesion: lesion [n] in 0..lesions-1; out [lesions],
 * NaN for a lesion without slices. */
void classifier_by_lesion(int64_t n, const double *prob, int classes, int cls,
                          const int64_t *lesion, int64_t lesions, double *out);
#endif
