/* unet.h: a small U-Net (Ronneberger, Fischer, Brox 2015, MICCAI, fig. 1) that finds the rim:
 * encoder and decoder with skip connections, here with batch norm and padding, so that the map is
 * as large as the slice. The paper generates rim masks without saying what they are good for; this
 * network is how we ask: trained on real masks, or on real and generated ones, which finds rims of
 * new patients better?
 *
 *   level k, width 2^k w:  x -> [conv 3x3, batch norm, ReLU] twice -> skip_k -> 2x2 max pooling ->
 *   level k+1
 *   back:                  transposed conv 2x2 -> concat with skip_k -> [conv 3x3, batch norm,
 *     ReLU] twice;   then conv 1x1 -> logit
 *
 * Defaults 16 32 64 128: 482 thousand parameters. */
#ifndef PRLX_UNET_H
#define PRLX_UNET_H
#include "models/judge/fit.h"
#define UNET_LEVELS 6 /* most */
typedef struct UnetConfig {
  int channels; /* of the slices */
  int levels;
  int width; /* feature maps of level 0; each level doubles them */
} UnetConfig;

/* Tensors: "down<k>.conv<0|1>.weight" [Co,Ci,3,3], "down<k>.bn<0|1>.*", "up<k>.weight" [Ci,Co,2,2],
 * "back<k>.conv<0|1>.weight", "back<k>.bn<0|1>.*", "out.weight" [1,w,1,1], "out.bias" [1]. Height
 * and width must be multiples of 2^(levels-1). */
typedef struct Unet {
  UnetConfig cfg;
  Params params;
  Backend *backend; /* where it is trained and used; NULL: the CPU. Set after _new or _load */
} Unet;

/* 4 levels, width 16. */
UnetConfig unet_defaults(int channels);

/* Layout, zero content; ST_INVALID says which field. */
Status unet_new(Unet *u, const UnetConfig *cfg, Error *e);

/* Also of an empty one. */
void unet_free(Unet *u);

/* Initial values: He et al. 2015; biases 0. */
void unet_reset(Unet *u, Rng *r);

/* x [N,channels,H,W] in network units -> logits [N,1,H,W]. bn as in g_batch_norm: NULL = inference,
 * weights frozen. */
Val g_unet(Graph *g, const Unet *u, Val x, BnTaps *bn);

/* Soft targets y in 0..1 (a rim probability), p = sigmoid(logit). Loss = mean cross entropy + 1 -
 * dice (both rank 0). Dice with squares, (2 sum p y + 1)/(sum p^2 + sum y^2 + 1) (Milletari et al.
 * 2016, V-Net): largest at p = y also for soft y, which the form without squares is not. Summed
 * over the whole batch, so that slices without a rim count by what is wrongly found on them. */
typedef struct SegmentationLoss {
  Val loss;
  Val dice;
} SegmentationLoss;

/* logits, y [N,1,H,W]. */
SegmentationLoss g_segmentation_loss(Graph *g, Val logits, Val y);

typedef struct UnetTrain {
  int epochs;
  int batch; /* slices per step */
  double lr; /* of Adam, with its betas */
  double beta1;
  double beta2;
  uint64_t seed;
  bool turn; /* each slice each time in one of its eight turned and mirrored forms */
  /* as in ClassifierTrain; dice: soft, of the batches while training */
  bool (*tick)(void *ctx, int epoch, double loss, double dice);
  void *ctx;
} UnetTrain;

/* 40 epochs, batch 8 (few slices need many steps), Adam 2e-3, betas 0.9, 0.999, turn. */
UnetTrain unet_train_defaults(void);

/* mask [n,h,w] in network units: -1 no rim .. 1 rim; what lies beyond (a generated mask) is
 * clipped. Starts from unet_reset with the seed; the last bias starts at the log odds of the masks'
 * mean. Same seed, same bits, for any number of threads. ST_INVALID: size, no mask with any rim;
 * ST_NUMERIC: NaN. */
Status unet_train(Unet *u, const UnetTrain *o, const Slices *d, const real *mask, Error *e);

/* prob [n,h,w]: sigmoid of the logits. A slice's map does not depend on the others. ST_INVALID:
 * slices of other channels or size; ST_NUMERIC: NaN. */
Status unet_predict(const Unet *u, const Slices *d, real *prob, Error *e);
#endif
