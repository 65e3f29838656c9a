/* phantom_lesion.c: the lesion itself: boundary, core, rim, mimics that readers discount, central
 * vein; rim and lesion masks; T2-FLAIR. Conspicuity s and the rim are tied by
 *     s = 1.7 + ln[(A/28) (f/.75)^.7 (w/1.5)^.5] / 1.4,    A crest above core (ppb), f covered part
 *       of the circumference, w FWHM (mm),
 * so that below s = 1 no rim can be seen and a reference rim at s = 1.7 rises 28 ppb. */
#include "models/phantom/phantom_impl.h"

/* ellipsoid with a rough edge, rotated in the plane; lobe > 0: confluent with a second one at (lx,
 * ly, lz) of that relative size */
typedef struct Shape3 {
  float cx;
  float cy;
  float cz;
  float dx;
  float dy;
  float dz;
  float cos;
  float sin;
  float lobe;
  float lx;
  float ly;
  float lz;
} Shape3;

static Shape3 draw_shape(Rng *r, double dia, const double centre[3]) {
  const double el = draw_u(r, 1, 2.3), dz = dia * draw_u(r, .8, 1.25),
               th = draw_n(r, 0, .3) + (draw_p(r, .15) ? M_PI / 2 : 0);
  double c[3];
  for (int a = 0; a < 3; a++) c[a] = centre[a] + draw_n(r, 0, .6);
  Shape3 s = {(float)c[0],
              (float)c[1],
              (float)c[2],
              (float)(dia * sqrt(el)),
              (float)(dia / sqrt(el)),
              (float)dz,
              (float)cos(th),
              (float)sin(th),
              0,
              0,
              0,
              0};
  const double lobe = draw_u(r, .45, .8), at = draw_u(r, -M_PI, M_PI), z = draw_u(r, -.3, .3);
  if (draw_p(r, .2)) {
    s.lobe = (float)lobe;
    s.lx = (float)(.42 * s.dx * cos(at));
    s.ly = (float)(.42 * s.dy * sin(at));
    s.lz = (float)(z * dz);
  }
  return s;
}

static inline void shape_coords(const Shape3 *s, float x, float y, float *xr, float *yr) {
  x -= s->cx;
  y -= s->cy;
  *xr = s->cos * x + s->sin * y;
  *yr = -s->sin * x + s->cos * y;
}

/* normalised radius - 1, times the size */
static inline float lesion_ellipsoid(const Shape3 *s, float x, float y, float z, float size) {
  const float k = 2 / size, u = k * x / s->dx, v = k * y / s->dy, q = k * z / s->dz;
  return (sqrtf(u * u + v * v + q * q + .02f) - 1) * size;
}

/* Roughness twice: of the whole outline, and fine, in mm, once distances are known. */
static void lesion_distance(PhantomWork *w, Rng *r, const Shape3 *s, double dia, float *d,
                            float *tmp, const float *fine) {
  const Box *b = &w->box;
  random_iso(w, r, .22 * dia + .3, d);
  const float rough = (float)draw_u(r, .06, .2), ragged = (float)draw_u(r, .05, .3);
  size_t i = 0;
  for (int k = 0; k < b->nz; k++)
    for (int j = 0; j < b->ny; j++)
      for (int x = 0; x < b->nx; x++, i++) {
        float xr, yr;
        shape_coords(s, box_x(b, x), box_y(b, j), &xr, &yr);
        const float z = box_z(b, k) - s->cz;
        float rho = lesion_ellipsoid(s, xr, yr, z, 1);
        if (s->lobe > 0)
          rho =
              smooth_min(rho, lesion_ellipsoid(s, xr - s->lx, yr - s->ly, z - s->lz, s->lobe), .3f);
        d[i] = rho + rough * d[i];
      }
  signed_distance(w, d, tmp);
  for (i = 0; i < b->n; i++) d[i] += ragged * fine[i];
}

/* Everything drawn once per lesion. */
typedef struct Look {
  float edge;
  float fwhm;
  float cover;
  float crest;
  float core;
  float texture;
  float halo;
  float dome;
  float arc_from;
  float dia;
  int mimic;
  float mim_ppb;
  float mim_cover;
  float mim_z;
} Look;
enum { MIMIC_NONE, MIMIC_HOLLOW, MIMIC_ARC, MIMIC_VESSEL, MIMIC_HYPO };

/* 0: solid bright core; 1: core and rim dissociated */
static double core_apart(double s) { return 1 / (1 + exp(-(s - 1.60) / .15)); }

static void draw_mimic(Rng *r, double s, Look *k, char name[16]) {
  static const double prob[] = {.60, .14, .13, .10, .03};
  static const char *const names[] = {"none", "hollow", "arc", "vessel", "hypo"};
  k->mimic = s < 1.45 ? draw_choice(r, prob, 5) : MIMIC_NONE;
  strcpy(name, names[k->mimic]);
  static const double ppb[][2] = {{0, 0}, {12, 32}, {18, 50}, {50, 120}, {15, 35}},
                      cover[][2] = {{0, 0}, {0, 0}, {.15, .3}, {.18, .4}, {0, 0}};
  k->mim_ppb = (float)draw_u(r, ppb[k->mimic][0], ppb[k->mimic][1]);
  k->mim_cover = (float)(M_PI * draw_u(r, cover[k->mimic][0], cover[k->mimic][1]));
  k->mim_z = (float)draw_n(r, 0, 2);
}

/* drawn: the conspicuity that decides which numbers are drawn, so that a lesion painted with
 * another one, s, goes on with the same stream. */
static void draw_look(Rng *r, double drawn, double s, double dia, Look *k, PhantomLesion *out) {
  const double up = core_apart(s);
  k->dia = (float)dia;
  k->edge = (float)draw_u(r, .2, .45);
  const double f = PRLX_MIN(1, PRLX_MAX(.35, draw_beta(r, 3.2, 1.1))),
               w = PRLX_MIN(2.1, PRLX_MAX(1.0, draw_n(r, 1.5, .22))) * PRLX_MIN(1, dia / 7);
  const double A = PRLX_MIN(150, 28 * exp(1.4 * (s - 1.7)) * pow(.75 / f, .7) * sqrt(1.5 / w));
  k->cover = (float)f;
  k->fwhm = (float)w;
  k->crest = (float)A;
  k->arc_from = (float)draw_u(r, -M_PI, M_PI);
  const double solid = draw_p(r, .15) ? draw_n(r, 5, 5) : draw_u(r, 20, 65),
               hollow = draw_u(r, 2, 36);
  k->core = (float)((1 - up) * solid + up * hollow);
  k->texture = 4 + .14f * fabsf(k->core);
  k->halo = (float)draw_u(r, 0, 14);
  k->dome = (float)((1 - up) * draw_u(r, 0, .5)) * k->core;
  draw_mimic(r, drawn, k, out->mimic);
  if (s != drawn) {
    k->mimic = MIMIC_NONE;
    strcpy(out->mimic, "none");
  }
  out->diameter_mm = dia;
  out->rim_coverage = f;
  out->rim_ppb = A;
  out->rim_fwhm_mm = w;
  out->core_ppb = k->core;
}

/* What the mimics add at distance d, angle dphi from their middle, lesion membership m, white
 * matter wl. */
static inline float mimic_value(const Look *k, float d, float dphi, float z, float m, float wl) {
  switch (k->mimic) {
    case MIMIC_HOLLOW: return -m * k->mim_ppb * clampf(-d / (.22f * k->dia), 0, 1);
    case MIMIC_ARC: return wl * k->mim_ppb * bell(d + .5f, .6f) * soft(dphi - k->mim_cover, .2f);
    case MIMIC_VESSEL:
      return k->mim_ppb * bell(d - .3f, .35f) * soft(dphi - k->mim_cover, .15f) *
             bell(z - k->mim_z, 2);
    case MIMIC_HYPO: return -m * k->mim_ppb * bell(d + .6f, .6f);
    default: return 0;
  }
}

static inline float lesion_turn(float phi) { /* |phi| modulo a full turn, in [0, pi] */
  const float t = phi * .159154943f, r = (t + 12582912.f) - 12582912.f;
  return fabsf(t - r) * 6.28318531f;
}

static void lesion_paint(PhantomWork *w, const Shape3 *s, const Look *k) {
  const Box *b = &w->box;
  float *d = w->dist, *chi = w->tissue.chi, *wm = w->tissue.wm;
  const float *fine = w->tmp[0], *mottle = w->tmp[1], *patchy = w->tmp[2];
  size_t i = 0;
  for (int z = 0; z < b->nz; z++)
    for (int j = 0; j < b->ny; j++)
      for (int x = 0; x < b->nx; x++, i++) {
        w->les[i] = w->rim[i] = 0;
        if (d[i] > 7) continue; /* nothing of the lesion reaches further */
        float xr, yr;
        shape_coords(s, box_x(b, x), box_y(b, j), &xr, &yr);
        const float phi = fast_atan2(yr * s->dx, xr * s->dy) - k->arc_from,
                    wl = clampf(1.15f * wm[i] + .1f, 0, 1), m = soft(d[i], k->edge) * wl;
        const float cov =
            k->cover < .97f ? soft(lesion_turn(phi) - 3.14159265f * k->cover, .22f) : 1;
        const float rim = bell(d[i] + .5f * k->fwhm, k->fwhm / 2.355f) * cov *
                          clampf(1 + .25f * patchy[i] + .2f * fine[i], .3f, 1.7f);
        const float inside = -30 + k->core + k->texture * fine[i] + 5 * mottle[i] +
                             k->dome * clampf(-d[i] / (.25f * k->dia), 0, 1);
        const float halo = d[i] > 0 ? k->halo * bell(d[i], 1.3f) * wm[i] : 0;
        chi[i] = chi[i] * (1 - m) + m * inside + halo + k->crest * rim * wl +
                 mimic_value(k, d[i], lesion_turn(phi + 2), box_z(b, z) - s->cz, m, wl);
        w->les[i] = d[i] < 0 && wm[i] > .3f;
        if (k->crest > 12) w->rim[i] = clampf(k->crest * rim * wl / 60, 0, 1);
      }
}

/* Half of the lesions have one, seen end-on or along the long axis. */
static void central_vein(PhantomWork *w, Rng *r, const Shape3 *s, double dia) {
  if (!draw_p(r, .5)) return;
  double q[3] = {0, 0, 0}, p0[3], p1[3], bend[3];
  if (draw_p(r, .6))
    q[2] = draw_n(r, 0, 3);
  else {
    q[0] = dia;
    q[1] = draw_n(r, 0, 1);
    q[2] = draw_n(r, 0, 2);
  }
  const double c[3] = {s->cx, s->cy, s->cz};
  for (int a = 0; a < 3; a++) {
    const double half = 1.3 * q[a] + (a == 2 ? 6 : 0);
    p0[a] = c[a] - half;
    p1[a] = c[a] + half;
    bend[a] = draw_n(r, 0, .6);
  }
  const double ppb = draw_u(r, 40, 130), radius = draw_u(r, .2, .4);
  paint_tube(&w->box, w->tissue.vein, p0, p1, bend, radius, ppb);
}

static void blend_vessels(PhantomWork *w) {
  float *chi = w->tissue.chi;
  for (size_t i = 0; i < w->box.n; i++) {
    const float v = w->tissue.vein[i], a = fabsf(v);
    chi[i] = a > 5 ? chi[i] * (1 - clampf(a / 60, 0, 1)) + v : chi[i];
  }
}

void phantom_no_lesion(PhantomWork *w) {
  for (size_t i = 0; i < w->box.n; i++) {
    w->les[i] = w->rim[i] = 0;
    w->dist[i] = 99;
  }
  blend_vessels(w);
}

void phantom_paint_lesion(PhantomWork *w, Rng *r, double s, double clear, const double centre[3],
                          PhantomLesion *out) {
  const double up = core_apart(s);
  const double dia = PRLX_MIN(15, PRLX_MAX(3.4, exp(draw_n(r, log(5.8 + 2.4 * up), .30))));
  const Shape3 shape = draw_shape(r, dia, centre);
  Look look;
  random_iso(w, r, 1.8, w->tmp[1]);
  lesion_distance(w, r, &shape, dia, w->dist, w->tmp[0], w->tmp[1]);
  draw_look(r, s, clear > 0 ? clear : s, dia, &look, out);
  random_iso(w, r, .8, w->tmp[0]);
  random_iso(w, r, 1.8, w->tmp[1]);
  random_iso(w, r, 1.8, w->tmp[2]);
  lesion_paint(w, &shape, &look);
  central_vein(w, r, &shape, dia);
  blend_vessels(w);
}

/* White matter 100, grey 128, CSF 22, lesion 165..215: uniform, without a rim, and a little larger
 * than on QSM, which it bounds. */
void phantom_flair_ideal(PhantomWork *w, Rng *r, float *out) {
  float *bias = w->tmp[0], *fine = w->tmp[1];
  const Tissue *t = &w->tissue;
  random_iso(w, r, 6, bias);
  random_iso(w, r, 1.5, fine);
  const float grow = (float)draw_u(r, .4, 1), bright = (float)draw_u(r, 165, 215);
  for (size_t i = 0; i < w->box.n; i++) {
    const float rest = 1 - clampf(t->wm[i] + t->gm[i] + t->csf[i], 0, 1);
    const float v =
        (100 * t->wm[i] + 128 * t->gm[i] + 22 * t->csf[i] + 100 * rest) * (1 + .03f * bias[i]);
    const float m = soft(w->dist[i] - grow, .45f) * (1 - t->csf[i]);
    out[i] = v * (1 - m) + m * bright * (1 + .03f * fine[i]);
  }
}
