/* lpips.h: VGG16 features and the LPIPS distance. Simonyan & Zisserman 2014; Zhang et al. 2018 (arXiv 1801.03924). */
#ifndef PRLX_LPIPS_H
#define PRLX_LPIPS_H
#include "core/ops.h"
#include "core/params.h"
/* 13 convolutions "features.<n>.weight/bias" (torchvision numbers), heads "lin0".."lin4"; `mean`, `std` per input channel in 0..255 units:
 * x = (img - mean)/std. `name` says which weights these are and goes into every printed number. */
typedef struct Vgg { Params p; double mean[3], std[3]; char name[96]; } Vgg;
Status vgg_new(Vgg *v, Error *e);                 /* layout, zero content; mean/std of torchvision (x255) */
void   vgg_free(Vgg *v);
void   vgg_formula(Vgg *v, const char *prefix);   /* golden formula weights; heads untouched */
typedef struct VggTaps { Val x[5]; } VggTaps;      /* relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 */
/* img [N,1|3,H,W] in 0..255 (one channel is repeated to three). All weights frozen. */
void g_vgg(Graph *g, const Vgg *v, Val img, VggTaps *taps);
/* n = x / (sqrt(sum_c x^2) + eps), per tap, scaled by sqrt(lin_c)/sqrt(HW): then LPIPS(a,b) = sum of squared differences over all taps. */
void g_lpips_features(Graph *g, const Vgg *v, const VggTaps *taps, Val feat[5]); /* feat[k] [N,Ck,Hk,Wk] */
Val  g_lpips_layers(Graph *g, const Val fa[5], const Val fb[5], Val layers[5]);  /* -> [N]; layers[k] [N] (layers may be NULL) */
#endif
