/* lpips.h: VGG16 features and the LPIPS distance. Simonyan & Zisserman 2014 (arXiv 1409.1556);
 * Zhang et al. 2018 (arXiv 1801.03924), Eq. 1; SEMANTICS section 9.5 and golden/README.md,
 * vgg16_lpips. */
#ifndef PRLX_LPIPS_H
#define PRLX_LPIPS_H
#include "core/ops.h"
#include "core/params.h"
#define VGG_CONVS 13
#define VGG_TAPS 5
/* Four 2x2 poolings leave one position of a 16x16 image. */
#define VGG_MIN_SIDE 16

/* Tensors: 13 convolutions "features.<n>.weight/bias" (torchvision's numbers), heads
 * "lin0".."lin4". */
typedef struct Vgg {
  Params params;
  double mean[3]; /* per input channel, in 0..255 units: x = (img - mean)/std */
  double std[3];
  char name[96]; /* which weights these are: goes into every printed number */
} Vgg;

/* 0, 2, 5, 7, 10, ...: the n of features.<n>. */
extern const int vgg_conv_index[VGG_CONVS];

/* Layout, zero content; mean and std of torchvision (x255). vgg_load (models/store/netfile.h) fills
 * it from a file. */
Status vgg_new(Vgg *v, Error *e);

/* Also of an empty one. */
void vgg_free(Vgg *v);

/* Golden formula weights, e.g. prefix "VGG."; heads untouched. */
void vgg_formula(Vgg *v, const char *prefix);

/* Activations x (the literature's letter) after relu1_2, relu2_2, relu3_3, relu4_3, relu5_3. */
typedef struct VggTaps {
  Val x[VGG_TAPS];
} VggTaps;

/* img [N,1|3,H,W] in 0..255 (one channel is repeated to three), H, W >= 16. All weights frozen. */
void g_vgg(Graph *g, const Vgg *v, Val img, VggTaps *taps);

/* n = x / (sqrt(sum_c x^2) + 1e-10), per tap, scaled by sqrt(lin_c)/sqrt(HW): then LPIPS(a,b) = sum
 * of squared differences over all taps. A zero feature vector has gradient 0 (SEMANTICS 9). feat[k]
 * [N,Ck,Hk,Wk]. */
void g_lpips_features(Graph *g, const Vgg *v, const VggTaps *taps, Val feat[VGG_TAPS]);

/* LPIPS of two sets of such features: [N]; layers[k] [N] the part of each tap (layers may be
 * NULL). */
Val g_lpips_layers(Graph *g, const Val fa[VGG_TAPS], const Val fb[VGG_TAPS], Val layers[VGG_TAPS]);

/* Which channels of a C-channel image VGG sees. AUTO: 1 channel is repeated, 3 go in as they are,
 * any other number: channel 0, repeated. FIRST: channel 0 (the susceptibility) repeated, whatever C
 * is. MEAN: the average over channels, repeated. */
typedef enum { VGG_CHANNELS_AUTO, VGG_CHANNELS_FIRST, VGG_CHANNELS_MEAN } VggChannels;

/* img [N,C,R,R] in network units (nominally [-1,1]) -> what g_vgg takes: (img+1)*127.5, not
 * clamped, channels chosen, box-averaged down to 256 where R is larger (SEMANTICS 9.4). */
Val g_vgg_input(Graph *g, Val img, VggChannels pick);

struct Backend;

/* Graph and plan for the features of `batch` images at a time. */
typedef struct LpipsRun {
  Graph *graph;
  struct Plan *plan;
  Val img;
  Val feat[VGG_TAPS];
  int64_t batch;
} LpipsRun;

/* For images of this shape, [batch,C,R,R], on a backend (NULL: CPU). v must outlive r. ST_INVALID:
 * another rank or size; after an error r is empty. */
Status lpips_run_new(LpipsRun *r, struct Backend *b, const Vgg *v, Shape images, VggChannels pick,
                     Error *e);

/* Also of an empty one. */
void lpips_run_free(LpipsRun *r);

/* Scaled LPIPS features of n images (network units): feat[k] receives [n,Ck,Hk,Wk]. */
Status lpips_run(LpipsRun *r, int64_t n, const real *img, real *const feat[VGG_TAPS], Error *e);

/* Both for n images [n,C,R,R], one at a time: nothing of it stays in memory. */
Status lpips_image_features_on(struct Backend *b, const Vgg *v, Shape images, const real *img,
                               VggChannels pick, real *const feat[VGG_TAPS], Error *e);

/* Shape of feat[tap] for n inputs of VGG of h x w pixels. */
Shape lpips_feature_shape(int64_t n, int64_t h, int64_t w, int tap);

/* LPIPS distance of n pairs of images a, b [n,C,R,R] (network units). dist [n]. */
Status lpips_distance(const Vgg *v, Shape images, const real *a, const real *b, VggChannels pick,
                      double *dist, Error *e);
#endif
