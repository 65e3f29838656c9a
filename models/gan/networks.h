/* networks.h: StyleGAN2-ADA generator (mapping + synthesis) and discriminator as graph-building
 * functions. Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020);
 * SEMANTICS sections 2 and 3. */
#ifndef PRLX_NETWORKS_H
#define PRLX_NETWORKS_H
#include "core/ops.h"
#include "core/params.h"
#include "core/rng.h"

typedef struct GenConfig {
  int z_dim;          /* numbers of a latent */
  int c_dim;          /* classes; 0: unconditional */
  int w_dim;          /* numbers of a style */
  int img_resolution; /* pixels each way, a power of two from 4 */
  int img_channels;
  int mapping_layers;
  int channel_base; /* feature maps at resolution r: min(channel_base / r, channel_max) */
  int channel_max;
  double conv_clamp; /* of activations; -1: none */
} GenConfig;
typedef struct DisConfig {
  int c_dim;
  int img_resolution;
  int img_channels;
  int channel_base;
  int channel_max;
  int mbstd_group_size;   /* images per group of the minibatch standard deviation */
  int mbstd_num_channels; /* 0: no such layer */
  int mapping_layers;
  double conv_clamp;
} DisConfig;
#define MAX_NOISE 24
#define MAX_WS 24
typedef struct Generator {
  GenConfig cfg;
  Params params;
  int num_ws;    /* styles, one a layer */
  int num_noise; /* noise maps */
  char noise_name[MAX_NOISE][64];
  int noise_res[MAX_NOISE]; /* each map is [res,res] */
} Generator;
typedef struct Discriminator {
  DisConfig cfg;
  Params params;
} Discriminator;

/* The paper's: 64x64, 1 channel, base 16384, max 512, z = w = 512, 2 mapping layers, clamp 256. */
GenConfig gen_config_paper(void);

/* For two CPU cores: base 1024, max 128, z = w = 128: 0.76 million parameters, 3 MB as float32. */
GenConfig gen_config_small(void);

/* Same resolution, channels, base, max, clamp; mbstd 4/1; mapping_layers 8 if c_dim else 0. */
DisConfig dis_config_for(const GenConfig *g);

/* Feature maps at a resolution: min(base/res, max). */
int net_channels(int res, int base, int max);

/* Lays out all tensors under the state-dict names without a "G."/"D." prefix
 * ("synthesis.b8.conv0.weight", "mapping.w_avg", "b64.fromrgb.weight", ...); noise_const and w_avg
 * are buffers; resample_filter tensors are NOT stored (constants). ST_INVALID for impossible
 * configurations (resolution not a power of two >= 4, ...). Content is zero until *_reset or
 * loaded. */
Status generator_new(Generator *G, const GenConfig *cfg, Error *e);
Status discriminator_new(Discriminator *D, const DisConfig *cfg, Error *e);

/* Also of an empty one. */
void generator_free(Generator *G);
void discriminator_free(Discriminator *D);

/* Initial values, SEMANTICS 2.5. */
void generator_reset(Generator *G, Rng *r);
void discriminator_reset(Discriminator *D, Rng *r);

/* Formula weights (golden/README.md table); prefix is "G." or "D.". */
void generator_formula(Generator *G, const char *prefix);
void discriminator_formula(Discriminator *D, const char *prefix);

/* z [N,z_dim], c [N,c_dim] or 0 -> w [N,w_dim] (before broadcast and truncation). */
Val g_mapping(Graph *g, const Generator *G, Val z, Val c, bool frozen);

/* w [N,w] -> ws [N,num_ws,w]; psi != 1 truncates towards w_avg the first `cutoff` layers (cutoff <
 * 0: all). */
Val g_broadcast_ws(Graph *g, const Generator *G, Val w, double psi, int cutoff);

/* Style mixing with a cutoff known at run time: mask [num_ws] input holds 0 for layers < cutoff, 1
 * from cutoff on; ws = ws1*(1-mask) + ws2*mask. */
Val g_style_mix(Graph *g, Val ws1, Val ws2, Val mask);

typedef enum { NOISE_CONST, NOISE_NONE, NOISE_GIVEN } NoiseMode;
typedef struct SynthOptions {
  NoiseMode noise;
  /* NOISE_GIVEN: num_noise values, each [res,res], [1,1,res,res] or [N,1,res,res], order of
   * G->noise_name */
  const Val *noise_maps;
  /* weights fixed for the life of the plan (inference, projection): lets the planner fold */
  bool frozen;
} SynthOptions;

/* Features x and the image so far of the n blocks b4, b8, ... */
typedef struct SynthTaps {
  Val x[16];
  Val img[16];
  int n;
} SynthTaps;

/* ws [N,num_ws,w] -> img [N,img_channels,R,R]. Unfused modulated convolution: x*s, shared conv, *d
 * (where maps will be f16, of styles and weights of unit size: graph_half_range). taps may be NULL.
 */
Val g_synthesis(Graph *g, const Generator *G, Val ws, const SynthOptions *o, SynthTaps *taps);

/* Features x of the n blocks from the image down, and the mapped label. */
typedef struct DisTaps {
  Val x[16];
  int n;
  Val cmap;
} DisTaps;

/* img [N,C,R,R], c [N,c_dim] or 0 -> logits [N,1]. taps may be NULL. */
Val g_discriminator(Graph *g, const Discriminator *D, Val img, Val c, bool frozen, DisTaps *taps);

/* Minibatch standard deviation layer on its own (golden ops). */
Val g_minibatch_stddev(Graph *g, Val x, int group_size, int num_channels);

/* Dense layer y = act(x (lr/sqrt(fan_in) W)^T + lr*b); lrelu -> gain sqrt 2. act: "linear" or
 * "lrelu". */
Val g_dense(Graph *g, Val x, Val weight, Val bias, double lr_mul, bool lrelu);

/* Parts of the label and latent mapping that both networks share: norm(embed(c)); `layers` dense
 * layers "mapping.fc<i>" with lr 0.01. */
Val net_embed(Graph *g, const Params *p, Val c, bool frozen);
Val net_mapping_layers(Graph *g, const Params *p, Val x, int layers, bool frozen);

/* How a convolution changes the size of a map. */
typedef struct ResampledConv {
  int up; /* factors, 1: none */
  int down;
  int padding;
  bool flip_weight; /* true: correlation, as networks have it; false: true convolution */
} ResampledConv;

/* x [N,Ci,H,W], w [Co,Ci,k,k] -> [N,Co,H*up/down,W*up/down] for padding (k-1)/2, with the separable
 * filter [1,3,3,1]/8 in between (golden ops, cases conv*). */
Val g_conv2d_resample(Graph *g, Val x, Val w, const ResampledConv *c);

typedef struct ModulatedConv {
  ResampledConv conv; /* down is not used */
  bool demodulate;    /* weights of unit length after the modulation */
} ModulatedConv;

/* The modulated convolution: styles s [N,Ci] scale the channels of x; noise ([H,W], [N,1,H,W], or
 * 0) is added (golden ops, cases modconv*). */
Val g_modulated_conv(Graph *g, Val x, Val w, Val s, Val noise, const ModulatedConv *c);

/* x [N,C] / sqrt(mean_c x^2 + 1e-8). */
Val g_normalize_2nd_moment(Graph *g, Val x);

/* Default paddings of SEMANTICS 1.2 for taps T; extra q0,q1 per side. */
Val g_upsample2d(Graph *g, Val x, Val f, int taps, int factor);
Val g_downsample2d(Graph *g, Val x, Val f, int taps, int factor);
Val g_filter2d(Graph *g, Val x, Val f, int taps);
#endif
