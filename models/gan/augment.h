/* augment.h: the ADA augmentation pipe. Karras et al. 2020, appendix B; SEMANTICS section 6.
 * The random draws are made on the host (AugDraws), turned into per-sample matrices (AugParams),
 * and given to the graph as inputs, so the graph is static and differentiable in the image to any
 * order (R1 goes through it). */
#ifndef PRLX_AUGMENT_H
#define PRLX_AUGMENT_H
#include "core/ops.h"
#include "core/plan.h"
#include "core/rng.h"

typedef enum {
  AUG_XFLIP,
  AUG_ROTATE90,
  AUG_XINT,
  AUG_SCALE,
  AUG_ROTATE,
  AUG_ANISO,
  AUG_XFRAC,
  AUG_BRIGHTNESS,
  AUG_CONTRAST,
  AUG_LUMAFLIP,
  AUG_HUE,
  AUG_SATURATION,
  AUG_IMGFILTER,
  AUG_NOISE,
  AUG_CUTOUT,
  AUG_COUNT
} AugKind;

/* "xflip", "rotate90", ... as in the golden files. */
extern const char *const aug_name[AUG_COUNT];
#define AUG_MAX_CHANNELS 16

/* What colour augmentation may do to a channel. RGB: the classic three-channel matrix (hue,
 * saturation) over channels 0..2. GREY: brightness, contrast, lumaflip, noise, each channel on its
 * own value but the same draw per sample. MASK: geometry, filter and cutout only (a probability or
 * label channel must never be brightness-shifted); cutout and outside-of-image fill with its
 * "absent" value -1 instead of mid grey. */
typedef enum { AUGC_GREY, AUGC_RGB, AUGC_MASK } AugChannel;
typedef struct AugConfig {
  double mult[AUG_COUNT]; /* times p: the probability of each kind; 0 or 1 in all presets */
  AugChannel channel[AUG_MAX_CHANNELS];
  int channels;
  int res; /* height and width of the images, pixels */
} AugConfig;

/* preset: "none", "blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf",
 * "bgcfn", "bgcfnc", "qsm" (bgc without lumaflip: the sign of susceptibility stays). Channel
 * policy: all GREY unless the caller changes it ("rgb" golden uses AUGC_RGB on 3). ST_INVALID lists
 * the presets. */
Status aug_preset(AugConfig *c, const char *preset, int channels, int res, Error *e);

/* One sample's draws: value (uniform [0,1) or normal as in SEMANTICS) and gate, in the order of
 * 6.5. */
typedef struct AugDraws {
  /* ROTATE: 0 pre, 1 post; XINT, XFRAC: x, y; IMGFILTER: bands 0..3; CUTOUT: centre x, y */
  double value[AUG_COUNT][4];
  double gate[AUG_COUNT][4];
} AugDraws;

/* Draws everything, used or not, so that one sample always takes the same number of words of r and
 * presets stay comparable. */
void aug_draw(const AugConfig *c, Rng *r, AugDraws *d);

/* What the graph needs for one sample. G and C are the names of Karras et al. */
typedef struct AugParams {
  double G[9];         /* output to input pixel coordinates (6.1), row-major 3x3 */
  double C[16];        /* colour matrix of RGB channels, row-major 4x4 */
  double grey[2];      /* slope and offset of GREY channels */
  double band_gain[4]; /* of the image filter */
  double sigma;        /* of the added noise */
  double cut_cx;       /* centre of the cutout, 0..1 of the width and height */
  double cut_cy;
  bool cut;
  int margin[4]; /* x0, x1, y0, y1 that this sample alone needs, pixels */
} AugParams;

/* The draws with augmentation probability p (SEMANTICS 6). */
void aug_params(const AugConfig *c, double p, const AugDraws *d, AugParams *out);

/* The parameters at quantile q of every distribution: SEMANTICS 6.6; 0 < q < 1. */
void aug_params_percentile(const AugConfig *c, double q, AugParams *out);

/* Margins of a batch of n samples: x0, x1, y0, y1 (golden mid.margin). */
void aug_margin(const AugConfig *c, const AugParams *s, int n, int margin[4]);

/* Graph part. Inputs it creates are held in AugNodes (0: not used); aug_fill writes them before a
 * run. Geometry is one g_warp, which takes the batch margin as data: the graph is static and the
 * numbers are the reference's, margin included. Groups whose multiplier is 0 add no nodes.
 *   geo [N,10] (see g_warp); color [N,C,1,2] slope, offset, or with RGB channels [N,C,1,5] r, g, b,
 *   own, offset; filter [N,43]; sigma [N,C,1,1]; noise [N,C,R,R]; cutout [N,1,R,R], 0 inside. */
typedef struct AugNodes {
  Val geo;
  Val color;
  Val filter;
  Val sigma;
  Val noise;
  Val cutout;
  int batch;
} AugNodes;

/* img [N,C,R,R] -> same shape. */
Val aug_build(Graph *g, const AugConfig *c, Val img, AugNodes *nodes);

/* Writes the inputs for s [n], n = nodes->batch, into the plan. noise_image: N*C*R*R normals, or
 * NULL (drawn from r when AUG_NOISE is on). */
void aug_fill(const AugConfig *c, const AugNodes *nodes, Plan *p, const AugParams *s, int n,
              const real *noise_image, Rng *r);

/* The sampling grid of a sample with that batch margin (golden mid.theta): row-major 2x3. */
void aug_theta(const AugConfig *c, const AugParams *s, const int margin[4], double theta[6]);

/* The sym6 wavelet filter, normalised to sum 1 (golden const.Hz_geom). */
extern const double aug_sym6[12];
enum { AUG_FILTER_TAPS = 43, AUG_FILTER_PAD = 21 };

/* The four band filters of AUG_IMGFILTER (golden const.Hz_fbank). */
void aug_filter_bank(double bank[4][AUG_FILTER_TAPS]);
#endif
