/* augment_params.c: from random draws to the matrices of the augmentation pipe, on the host, in
 * double precision. Karras et al. 2020, appendix B (tables of transformations and their
 * distributions); SEMANTICS 6.1 - 6.6. */
#include <math.h>
#include <string.h>
#include "models/gan/augment.h"

const char *const aug_name[AUG_COUNT] = {
    "xflip",    "rotate90", "xint", "scale",      "rotate",    "aniso", "xfrac", "brightness",
    "contrast", "lumaflip", "hue",  "saturation", "imgfilter", "noise", "cutout"};

const double aug_sym6[12] = {0.010892350163280001, 0.0024683061859200003, -0.08343160770584002,
                             -0.03416156079324,    0.34722898647835004,   0.55694639196396,
                             0.23895218566605003,  -0.05136248493090002,  -0.014891875649220001,
                             0.031625281329940004, 0.0012499610463900003, -0.005515933754690001};

/* ---- presets ---- */
enum {
  BLIT = 1 << AUG_XFLIP | 1 << AUG_ROTATE90 | 1 << AUG_XINT,
  GEOM = 1 << AUG_SCALE | 1 << AUG_ROTATE | 1 << AUG_ANISO | 1 << AUG_XFRAC,
  COLOR = 1 << AUG_BRIGHTNESS | 1 << AUG_CONTRAST | 1 << AUG_LUMAFLIP | 1 << AUG_HUE |
          1 << AUG_SATURATION,
  FILTER = 1 << AUG_IMGFILTER,
  NOISE = 1 << AUG_NOISE,
  CUTOUT = 1 << AUG_CUTOUT
};
static const struct {
  const char *name;
  unsigned kinds;
} presets[] = {{"none", 0},
               {"blit", BLIT},
               {"geom", GEOM},
               {"color", COLOR},
               {"filter", FILTER},
               {"noise", NOISE},
               {"cutout", CUTOUT},
               {"bg", BLIT | GEOM},
               {"bgc", BLIT | GEOM | COLOR},
               {"bgcf", BLIT | GEOM | COLOR | FILTER},
               {"bgcfn", BLIT | GEOM | COLOR | FILTER | NOISE},
               {"bgcfnc", BLIT | GEOM | COLOR | FILTER | NOISE | CUTOUT},
               {"qsm", (BLIT | GEOM | COLOR) & ~(1u << AUG_LUMAFLIP)}};

Status aug_preset(AugConfig *c, const char *preset, int channels, int res, Error *e) {
  memset(c, 0, sizeof *c);
  if (channels < 1 || channels > AUG_MAX_CHANNELS || res < 4)
    return err_set(
        e, ST_INVALID,
        "augmentation: %d channels of %dx%d; expected 1 to %d channels and a side of at least 4",
        channels, res, res, AUG_MAX_CHANNELS);
  c->channels = channels;
  c->res = res;
  for (int i = 0; i < COUNT_OF(presets); i++)
    if (!strcmp(preset, presets[i].name)) {
      for (int k = 0; k < AUG_COUNT; k++) c->mult[k] = presets[i].kinds >> k & 1;
      return ST_OK;
    }
  return err_set(e, ST_INVALID,
                 "augmentation preset \"%s\" is unknown; choose none, blit, geom, color, filter, "
                 "noise, cutout, bg, bgc, bgcf, bgcfn, bgcfnc or qsm",
                 preset);
}

/* ---- draws (6.5) ---- */
static bool is_normal(int kind) {
  return kind == AUG_SCALE || kind == AUG_ANISO || kind == AUG_XFRAC || kind == AUG_BRIGHTNESS ||
         kind == AUG_CONTRAST || kind == AUG_SATURATION || kind == AUG_IMGFILTER ||
         kind == AUG_NOISE;
}

static void draw_all(Rng *r, AugDraws *d, int kind, int slot, int values) {
  for (int i = 0; i < values; i++)
    d->value[kind][slot + i] = is_normal(kind) ? rng_normal(r) : rng_uniform(r);
  d->gate[kind][slot] = rng_uniform(r);
}

void aug_draw(const AugConfig *c, Rng *r, AugDraws *d) {
  memset(d, 0, sizeof *d);
  draw_all(r, d, AUG_XFLIP, 0, 1);
  draw_all(r, d, AUG_ROTATE90, 0, 1);
  draw_all(r, d, AUG_XINT, 0, 2);
  draw_all(r, d, AUG_SCALE, 0, 1);
  draw_all(r, d, AUG_ROTATE, 0, 1);
  draw_all(r, d, AUG_ANISO, 0, 1);
  draw_all(r, d, AUG_ROTATE, 1, 1);
  draw_all(r, d, AUG_XFRAC, 0, 2);
  for (int k = AUG_BRIGHTNESS; k <= AUG_SATURATION; k++) draw_all(r, d, k, 0, 1);
  for (int b = 0; b < 4; b++) draw_all(r, d, AUG_IMGFILTER, b, 1);
  draw_all(r, d, AUG_NOISE, 0, 1);
  d->gate[AUG_CUTOUT][0] = rng_uniform(r);
  for (int i = 0; i < 2; i++) d->value[AUG_CUTOUT][i] = rng_uniform(r);
}

/* ---- geometry (6.1): 3x3 row-major, built by right-multiplication ---- */
static void matrix3_multiply(double a[9], const double b[9]) {
  double r[9];
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++)
      r[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  memcpy(a, r, sizeof r);
}

static void geometry_translate(double m[9], double x, double y) {
  matrix3_multiply(m, (double[9]){1, 0, x, 0, 1, y, 0, 0, 1});
}

static void geometry_scale(double m[9], double x, double y) {
  matrix3_multiply(m, (double[9]){x, 0, 0, 0, y, 0, 0, 0, 1});
}

static void geometry_rotate(double m[9], double t) {
  matrix3_multiply(m, (double[9]){cos(t), -sin(t), 0, sin(t), cos(t), 0, 0, 0, 1});
}

static bool draw_fires(const AugConfig *c, double p, const AugDraws *d, int kind, int slot) {
  return d->gate[kind][slot] < c->mult[kind] * p;
}

static void params_geometry(const AugConfig *c, double p, const AugDraws *d, double G[9]) {
  memcpy(G, (double[9]){1, 0, 0, 0, 1, 0, 0, 0, 1}, sizeof(double[9]));
  const double(*v)[4] = d->value;
  /* P(pre or post) = p needs each of the two with probability 1 - sqrt(1 - p). */
  double p_rot = 1 - sqrt(fmin(fmax(1 - c->mult[AUG_ROTATE] * p, 0), 1));
  if (draw_fires(c, p, d, AUG_XFLIP, 0))
    geometry_scale(G, 1 / (1 - 2 * floor(2 * v[AUG_XFLIP][0])), 1);
  if (draw_fires(c, p, d, AUG_ROTATE90, 0))
    geometry_rotate(G, M_PI / 2 * floor(4 * v[AUG_ROTATE90][0]));
  if (draw_fires(c, p, d, AUG_XINT, 0))
    geometry_translate(G, -rint((2 * v[AUG_XINT][0] - 1) * 0.125 * c->res),
                       -rint((2 * v[AUG_XINT][1] - 1) * 0.125 * c->res));
  if (draw_fires(c, p, d, AUG_SCALE, 0)) {
    double s = exp2(0.2 * v[AUG_SCALE][0]);
    geometry_scale(G, 1 / s, 1 / s);
  }
  if (d->gate[AUG_ROTATE][0] < p_rot) geometry_rotate(G, (2 * v[AUG_ROTATE][0] - 1) * M_PI);
  if (draw_fires(c, p, d, AUG_ANISO, 0)) {
    double s = exp2(0.2 * v[AUG_ANISO][0]);
    geometry_scale(G, 1 / s, s);
  }
  if (d->gate[AUG_ROTATE][1] < p_rot) geometry_rotate(G, (2 * v[AUG_ROTATE][1] - 1) * M_PI);
  if (draw_fires(c, p, d, AUG_XFRAC, 0))
    geometry_translate(G, -0.125 * v[AUG_XFRAC][0] * c->res, -0.125 * v[AUG_XFRAC][1] * c->res);
}

/* How far the transformed corners and the filters (6 pixels) reach over each side: x0, x1, y0, y1.
 */
static void margin_of(int res, const double G[9], int margin[4]) {
  double h = (res - 1) / 2.0, reach[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  for (int k = 0; k < 4; k++) {
    double cx = k & 1 ? h : -h, cy = k & 2 ? h : -h, x = G[0] * cx + G[1] * cy + G[2],
           y = G[3] * cx + G[4] * cy + G[5];
    reach[0] = fmax(reach[0], -x);
    reach[1] = fmax(reach[1], x);
    reach[2] = fmax(reach[2], -y);
    reach[3] = fmax(reach[3], y);
  }
  for (int k = 0; k < 4; k++) margin[k] = (int)ceil(fmin(fmax(reach[k] + (6 - h), 0), res - 1));
}

void aug_margin(const AugConfig *c, const AugParams *s, int n, int margin[4]) {
  memset(margin, 0, 4 * sizeof(int));
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 4; k++) margin[k] = PRLX_MAX(margin[k], s[i].margin[k]);
}

void aug_theta(const AugConfig *c, const AugParams *s, const int m[4], double theta[6]) {
  double G[9] = {1, 0, (m[0] - m[1]) / 2.0, 0, 1, (m[2] - m[3]) / 2.0, 0, 0, 1},
         up[9] = {2, 0, 0, 0, 2, 0, 0, 0, 1};
  double padded_w = 2.0 * (c->res + m[0] + m[1]), padded_h = 2.0 * (c->res + m[2] + m[3]),
         out = 2.0 * (c->res + 6);
  matrix3_multiply(G, s->G);
  matrix3_multiply(up, G);
  geometry_scale(up, 0.5, 0.5);
  double half[9] = {1, 0, -0.5, 0, 1, -0.5, 0, 0, 1};
  matrix3_multiply(half, up);
  geometry_translate(half, 0.5, 0.5);
  double norm[9] = {2 / padded_w, 0, 0, 0, 2 / padded_h, 0, 0, 0, 1};
  matrix3_multiply(norm, half);
  geometry_scale(norm, out / 2, out / 2);
  memcpy(theta, norm, 6 * sizeof(double));
}

/* ---- colour (6.2): 4x4 row-major, built by left-multiplication ---- */
static void matrix4_left(double C[16], const double m[16]) {
  double r[16];
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      r[4 * i + j] = 0;
      for (int k = 0; k < 4; k++) r[4 * i + j] += m[4 * i + k] * C[4 * k + j];
    }
  memcpy(C, r, sizeof r);
}

/* a I + b v v^T + s [v]x on the first three axes, v = (1,1,1)/sqrt 3: covers reflection, rotation
 * about v, and saturation. */
static void about_luma(double C[16], double a, double b, double s) {
  double x = s / sqrt(3.0), u = b / 3;
  matrix4_left(C, (double[16]){a + u, u - x, u + x, 0, u + x, a + u, u - x, 0, u - x, u + x, a + u,
                               0, 0, 0, 0, 1});
}

/* What this does to a quantitative map: brightness moves the zero of the scale (25 ppb is one
 * deviation in a window of 250 ppb) and contrast its unit (by a factor of 1.4), so a network
 * trained with them is shown lesions of other ppb, and only the share 1 - p is left to learn the
 * true ones from. Luma flip would turn paramagnetic into diamagnetic; "qsm" leaves it out. */
static void params_colour(const AugConfig *c, double p, const AugDraws *d, AugParams *o) {
  double *C = o->C;
  memset(C, 0, sizeof o->C);
  for (int i = 0; i < 4; i++) C[5 * i] = 1;
  if (draw_fires(c, p, d, AUG_BRIGHTNESS, 0))
    for (int i = 0; i < 3; i++) C[4 * i + 3] = 0.2 * d->value[AUG_BRIGHTNESS][0];
  if (draw_fires(c, p, d, AUG_CONTRAST, 0)) {
    double s = exp2(0.5 * d->value[AUG_CONTRAST][0]);
    for (int i = 0; i < 12; i++) C[i] *= s;
  }
  if (draw_fires(c, p, d, AUG_LUMAFLIP, 0))
    about_luma(C, 1, -2 * floor(2 * d->value[AUG_LUMAFLIP][0]), 0);
  /* mean of the three rows; hue and saturation, which come after, leave it alone */
  o->grey[0] = o->grey[1] = 0;
  for (int i = 0; i < 3; i++) {
    o->grey[0] += (C[4 * i] + C[4 * i + 1] + C[4 * i + 2]) / 3;
    o->grey[1] += C[4 * i + 3] / 3;
  }
  if (draw_fires(c, p, d, AUG_HUE, 0)) {
    double t = (2 * d->value[AUG_HUE][0] - 1) * M_PI;
    about_luma(C, cos(t), 1 - cos(t), sin(t));
  }
  if (draw_fires(c, p, d, AUG_SATURATION, 0)) {
    double s = exp2(d->value[AUG_SATURATION][0]);
    about_luma(C, s, 1 - s, 0);
  }
}

/* ---- image-space filter (6.3) ---- */
static void band_gains(const AugConfig *c, double p, const AugDraws *d, double gain[4]) {
  static const double expected_power[4] = {10.0 / 13, 1.0 / 13, 1.0 / 13, 1.0 / 13};
  for (int b = 0; b < 4; b++) gain[b] = 1;
  for (int b = 0; b < 4; b++) {
    double t = draw_fires(c, p, d, AUG_IMGFILTER, b) ? exp2(d->value[AUG_IMGFILTER][b]) : 1;
    double norm = sqrt(1 + expected_power[b] * (t * t - 1));
    for (int k = 0; k < 4; k++) gain[k] *= (k == b ? t : 1) / norm;
  }
}

/* Four octave bands from the sym2 wavelet pair: each round doubles all rows' length and adds the
 * next band. */
void aug_filter_bank(double bank[4][AUG_FILTER_TAPS]) {
  static const double lo[4] = {-0.12940952255092145, 0.22414386804185735, 0.836516303737469,
                               0.48296291314469025};
  double lo2[7] = {0}, hi2[7] = {0};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      lo2[i + j] += lo[i] * lo[3 - j] / 2;
      hi2[i + j] += (i % 2 ? -lo[i] : lo[i]) * ((3 - j) % 2 ? -lo[3 - j] : lo[3 - j]) / 2;
    }
  memset(bank, 0, 4 * sizeof bank[0]);
  bank[0][0] = 1;
  int n = 1;
  for (int round = 1; round <= 3; round++) {
    int m = 2 * n - 1 + 6;
    for (int r = 0; r < 4; r++) {
      double out[AUG_FILTER_TAPS] = {0};
      for (int k = 0; k < n; k++)
        for (int t = 0; t < 7; t++) out[2 * k + t] += bank[r][k] * lo2[t];
      memcpy(bank[r], out, sizeof out);
    }
    for (int t = 0; t < 7; t++) bank[round][(m - 7) / 2 + t] += hi2[t];
    n = m;
  }
}

void aug_params(const AugConfig *c, double p, const AugDraws *d, AugParams *o) {
  params_geometry(c, p, d, o->G);
  margin_of(c->res, o->G, o->margin);
  params_colour(c, p, d, o);
  band_gains(c, p, d, o->band_gain);
  o->sigma = draw_fires(c, p, d, AUG_NOISE, 0) ? 0.1 * fabs(d->value[AUG_NOISE][0]) : 0;
  o->cut = draw_fires(c, p, d, AUG_CUTOUT, 0);
  o->cut_cx = d->value[AUG_CUTOUT][0];
  o->cut_cy = d->value[AUG_CUTOUT][1];
}

/* Inverse error function: Winitzki's closed form, then Newton on erf. */
static double erf_inverse(double y) {
  double l = log1p(-y * y), a = 0.147, b = 2 / (M_PI * a) + l / 2,
         x = copysign(sqrt(sqrt(b * b - l / a) - b), y);
  for (int i = 0; i < 4; i++) x -= (erf(x) - y) / (M_2_SQRTPI * exp(-x * x));
  return x;
}

void aug_params_percentile(const AugConfig *c, double q, AugParams *out) {
  AugDraws d;
  memset(&d, 0, sizeof d); /* all gates 0: everything with a multiplier fires at p = 1 */
  for (int k = 0; k < AUG_COUNT; k++)
    for (int i = 0; i < 4; i++) d.value[k][i] = is_normal(k) ? erf_inverse(2 * q - 1) : q;
  d.value[AUG_ROTATE][1] = 0.5; /* post-rotation by 0 */
  d.value[AUG_NOISE][0] = erf_inverse(q);
  aug_params(c, 1, &d, out);
}
