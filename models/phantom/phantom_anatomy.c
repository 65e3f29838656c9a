/* phantom_anatomy.c: what surrounds a lesion: white matter with fibre texture and dark bands,
 * cortical ribbons, sulcal and ventricular CSF, deep grey matter, vessels, specks. Values relative
 * to CSF = 0 (white matter -30, cortex +20 ppb), chosen so that the reconstructed slices have the
 * statistics of the 101 published network images (test_phantom.c measures them). */
#include "models/phantom/phantom_impl.h"

static void warp_coordinates(PhantomWork *w, Rng *r) {
  const Box *b = &w->box;
  const double a = draw_n(r, 0, .22) + (draw_p(r, .06) ? M_PI / 2 : 0);
  const float c = (float)cos(a), s = (float)sin(a);
  random_field(w, r, 3.5, 3.5, 6, w->tissue.wx);
  random_field(w, r, 3.5, 3.5, 6, w->tissue.wy);
  size_t i = 0;
  for (int k = 0; k < b->nz; k++)
    for (int j = 0; j < b->ny; j++)
      for (int x = 0; x < b->nx; x++, i++) {
        w->tissue.wx[i] = c * box_x(b, x) + s * box_y(b, j) + 1.3f * w->tissue.wx[i];
        w->tissue.wy[i] = -s * box_x(b, x) + c * box_y(b, j) + 1.1f * w->tissue.wy[i];
      }
}

/* -30 ppb with texture along x, striated in patches, and one to three compact diamagnetic fibre
 * bands of varying width. */
static void white_matter(PhantomWork *w, Rng *r, float side) {
  const size_t n = w->box.n;
  float *chi = w->tissue.chi, *g0 = w->tmp[0], *g1 = w->tmp[1], *g2 = w->tmp[2], *g3 = w->tmp[3],
        *g4 = w->tmp[4];
  random_field(w, r, 5.5, 3.2, 4, g0);
  random_field(w, r, 2.4, 1.3, 2, g1);
  random_field(w, r, .9, .6, 1, g2);
  random_field(w, r, 2.6, .75, 1.3, g3);
  random_field(w, r, 4.5, 3.5, 4, g4);
  for (size_t i = 0; i < n; i++) {
    const float striated = clampf(.25f + g4[i], 0, 2);
    chi[i] =
        -30 + 10 * g0[i] + 6 * g1[i] + (1.5f + 1.5f * striated) * g2[i] + 4.5f * striated * g3[i];
    w->tissue.wm[i] = 1;
    w->tissue.gm[i] = w->tissue.csf[i] = w->tissue.vein[i] = 0;
  }
  for (int64_t bands = 1 + rng_below(r, 3); bands > 0; bands--) {
    const float offset = (float)draw_u(r, -10, 10), slope = (float)draw_u(r, -.25, .25),
                period = (float)draw_u(r, 3, 6), phase = (float)draw_u(r, 0, 6);
    const float depth = (float)draw_u(r, 8, 38), width = (float)draw_u(r, .6, 1.9);
    random_iso(w, r, 3, g0);
    random_field(w, r, 5, 3, 4, g1);
    for (size_t i = 0; i < n; i++) {
      const float d = side * w->tissue.wy[i] - offset + slope * w->tissue.wx[i] +
                      .8f * fast_sin(w->tissue.wx[i] / period + phase);
      chi[i] -= depth * bell(d, width * clampf(1 + .35f * g0[i], .4f, 2)) *
                clampf(.75f + .45f * g1[i], 0, 1.6f);
    }
  }
}

/* u: signed distance from deep white matter outward: a half plane, gyral blades reaching into the
 * cortex (tapered capsules), islands. */
static void cortex_distance(PhantomWork *w, Rng *r, float q, float thickness, float *u) {
  const Box *b = &w->box;
  const float *wx = w->tissue.wx, *wy = w->tissue.wy, y0 = (float)draw_u(r, 6, 10.5);
  const size_t plane = (size_t)b->nx * (size_t)b->ny;
  random_iso(w, r, 3, u);
  for (size_t i = 0; i < b->n; i++) u[i] = q * wy[i] - y0 + .8f * u[i];
  for (double x0 = draw_u(r, -24, -17); x0 < 20;) {
    const float half = (float)draw_u(r, .7, 2.6), length = (float)draw_u(r, 1, 9),
                tilt = (float)draw_n(r, 0, .5), lean = (float)draw_n(r, 0, .12);
    for (size_t i = 0; i < b->n; i++) {
      const float h = q * wy[i] - y0, cx = (float)x0 + tilt * h + lean * box_z(b, (int)(i / plane)),
                  t = clampf(h, -3, length), dx = wx[i] - cx, dy = h - t;
      u[i] = smooth_min(u[i], sqrtf(dx * dx + dy * dy) - half * (1.2f - .3f * t / length), 1.8f);
    }
    x0 += 2 * half + 2 * thickness + (draw_p(r, .5) ? draw_u(r, .5, 1.5) : draw_u(r, 1.5, 6));
  }
  for (int islands = draw_poisson(r, 1.6); islands > 0; islands--) {
    const float cx = (float)draw_u(r, -12, 12), cy = y0 + (float)draw_u(r, 4.5, 9),
                radius = (float)draw_u(r, .7, 1.9);
    for (size_t i = 0; i < b->n; i++) {
      const float dx = wx[i] - cx, dy = 1.2f * (q * wy[i] - cy);
      u[i] = smooth_min(u[i], sqrtf(dx * dx + dy * dy) - radius, .5f);
    }
  }
}

/* Grey matter 0 < u < thickness with a bright line near white matter and a faint one at the pia;
 * CSF and pial veins beyond. */
static void anatomy_cortex(PhantomWork *w, Rng *r, float q) {
  const size_t n = w->box.n;
  const float th = (float)draw_u(r, 1.5, 2.1);
  float *u = w->tmp[0], *mg = w->tmp[1], *mc = w->tmp[2], *g0 = w->tmp[3], *g1 = w->tmp[4],
        *chi = w->tissue.chi;
  cortex_distance(w, r, q, th, u);
  random_iso(w, r, 1.6, g0);
  random_iso(w, r, 2, g1);
  const float base = (float)draw_u(r, 4, 24), line = (float)draw_u(r, 10, 48),
              at = (float)draw_u(r, 0, .7), pia = (float)draw_u(r, 0, 26);
  for (size_t i = 0; i < n; i++) {
    mg[i] = soft(-u[i], .3f) * soft(u[i] - th, .3f);
    mc[i] = soft(th - u[i], .3f);
    const float grey = base + 7 * g0[i] +
                       line * bell(u[i] - at, .42f) * clampf(.8f + .6f * g1[i], 0, 2) +
                       pia * bell(u[i] - th, .4f);
    chi[i] = chi[i] * (1 - mg[i] - mc[i]) + mg[i] * grey;
    w->tissue.wm[i] *= 1 - clampf(mg[i] + mc[i], 0, 1);
    w->tissue.gm[i] = w->tissue.gm[i] > mg[i] ? w->tissue.gm[i] : mg[i];
    w->tissue.csf[i] = w->tissue.csf[i] > mc[i] ? w->tissue.csf[i] : mc[i];
  }
  random_iso(w, r, 1.2, g0);
  random_field(w, r, .9, .9, 1.5, g1);
  const float csf = (float)-draw_u(r, 5, 30), pial = (float)draw_u(r, 40, 130);
  for (size_t i = 0; i < n; i++)
    chi[i] += mc[i] * (csf + 6 * g0[i] + clampf(g1[i] - 1.2f, 0, 1.2f) * pial);
}

/* Elliptic cylinder, closed slowly in z: ((wx-cx)/ax)^2 + ((side wy-cy)/ay)^2 + (z/az)^2 - 1 as a
 * signed distance. */
static void ellipse_distance(PhantomWork *w, float side, double cx, double ax, double cy, double ay,
                             double az, float *out, float *tmp) {
  const Box *b = &w->box;
  const size_t plane = (size_t)b->nx * (size_t)b->ny;
  for (size_t i = 0; i < b->n; i++) {
    const float x = (w->tissue.wx[i] - (float)cx) / (float)ax,
                y = (side * w->tissue.wy[i] - (float)cy) / (float)ay,
                z = box_z(b, (int)(i / plane)) / (float)az;
    out[i] = x * x + y * y + z * z - 1;
  }
  signed_distance(w, out, tmp);
}

/* CSF at 0, a dark periventricular band, wall veins, choroid plexus in a third. */
static void anatomy_ventricle(PhantomWork *w, Rng *r, float s) {
  const size_t n = w->box.n;
  float *v = w->tmp[0], *m = w->tmp[1], *g0 = w->tmp[2], *g1 = w->tmp[3], *chi = w->tissue.chi,
        *wm = w->tissue.wm;
  const double cx = draw_u(r, -8, 8), ax = draw_u(r, 7, 15), cy = draw_u(r, 9.5, 13),
               ay = draw_u(r, 3, 5.5);
  ellipse_distance(w, -s, cx, ax, cy, ay, 20, v, g0);
  const float band = (float)draw_u(r, 5, 45), at = (float)draw_u(r, .8, 2),
              width = (float)draw_u(r, .6, 1.1), wall = (float)draw_u(r, 20, 80);
  random_iso(w, r, 3, g0);
  random_iso(w, r, 1.5, g1);
  for (size_t i = 0; i < n; i++) {
    chi[i] -= band * bell(v[i] - at, width) * clampf(.8f + .4f * g0[i], 0, 2) * wm[i];
    m[i] = soft(v[i], .4f) * wm[i];
    chi[i] = chi[i] * (1 - m[i]) + m[i] * 3 * g1[i];
    w->tissue.csf[i] = w->tissue.csf[i] > m[i] ? w->tissue.csf[i] : m[i];
    wm[i] *= 1 - m[i];
  }
  random_field(w, r, 2.5, 1.5, 3, g0);
  for (size_t i = 0; i < n; i++) chi[i] += wall * bell(v[i] - .2f, .5f) * clampf(g0[i], 0, 2);
  if (!draw_p(r, .35)) return;
  random_field(w, r, .8, .8, 1.2, g0);
  random_iso(w, r, 3, g1);
  const float choroid = (float)((draw_p(r, .4) ? -1 : 1) * draw_u(r, 50, 150));
  for (size_t i = 0; i < n; i++)
    chi[i] += g1[i] > .3f ? m[i] * choroid * clampf(g0[i] - .8f, 0, 1.5f) : 0;
}

static void deep_nucleus(PhantomWork *w, Rng *r, float s) {
  float *d = w->tmp[0], *g = w->tmp[1];
  const double px = draw_u(r, -10, 10), ax = draw_u(r, 4, 9), cy = draw_u(r, 6, 12),
               ay = draw_u(r, 3, 5);
  ellipse_distance(w, -s, px, ax, cy, ay, 14, d, g);
  random_iso(w, r, 1.5, g);
  const float value = (float)draw_u(r, 25, 75);
  for (size_t i = 0; i < w->box.n; i++) {
    const float m = soft(d[i], .5f) * w->tissue.wm[i];
    w->tissue.chi[i] = w->tissue.chi[i] * (1 - m) + m * (value + 13 * g[i]);
    w->tissue.gm[i] = w->tissue.gm[i] > m ? w->tissue.gm[i] : m;
    w->tissue.wm[i] *= 1 - m;
  }
}

void paint_tube(const Box *b, float *vein, const double p0[3], const double p1[3],
                const double bend[3], double radius, double ppb) {
  enum { POINTS = 90 };
  const double reach = radius + .9; /* the soft edge, .12 mm wide, is gone there */
  for (int k = 0; k < POINTS; k++) {
    const double t = k / (POINTS - 1.);
    double c[3];
    for (int a = 0; a < 3; a++)
      c[a] = (1 - t) * (1 - t) * p0[a] + 2 * t * (1 - t) * ((p0[a] + p1[a]) / 2 + bend[a]) +
             t * t * p1[a];
    const double mid[3] = {.5 * (b->nx - 1), .5 * (b->ny - 1), .5 * (b->nz - 1)};
    const int i0 = PRLX_MAX(0, (int)ceil((c[0] - reach) / PHANTOM_HX + mid[0])),
              i1 = PRLX_MIN(b->nx - 1, (int)floor((c[0] + reach) / PHANTOM_HX + mid[0]));
    const int j0 = PRLX_MAX(0, (int)ceil((c[1] - reach) / PHANTOM_HY + mid[1])),
              j1 = PRLX_MIN(b->ny - 1, (int)floor((c[1] + reach) / PHANTOM_HY + mid[1]));
    const int k0 = PRLX_MAX(0, (int)ceil((c[2] - reach) / PHANTOM_HZ + mid[2])),
              k1 = PRLX_MIN(b->nz - 1, (int)floor((c[2] + reach) / PHANTOM_HZ + mid[2]));
    for (int z = k0; z <= k1; z++)
      for (int y = j0; y <= j1; y++)
        for (int x = i0; x <= i1; x++) {
          const float dx = box_x(b, x) - (float)c[0], dy = box_y(b, y) - (float)c[1],
                      dz = box_z(b, z) - (float)c[2];
          const float v =
              (float)ppb * soft(sqrtf(dx * dx + dy * dy + dz * dz) - (float)radius, .12f);
          float *to = vein + ((size_t)z * (size_t)b->ny + (size_t)y) * (size_t)b->nx + x;
          *to = *to > v ? *to : v;
        }
  }
}

static void anatomy_vessels(PhantomWork *w, Rng *r) {
  for (int veins = draw_poisson(r, 3); veins > 0; veins--) {
    double p0[3], p1[3], bend[3];
    static const double spread[3] = {4, 7, 4}, half[3] = {17, 17, 16};
    for (int a = 0; a < 3; a++) p0[a] = draw_u(r, -half[a], half[a]);
    for (int a = 0; a < 3; a++) p1[a] = p0[a] + draw_n(r, 0, spread[a]);
    for (int a = 0; a < 3; a++) bend[a] = draw_n(r, 0, 1.5);
    const double radius = draw_u(r, .25, .6), ppb = draw_u(r, 70, 270);
    paint_tube(&w->box, w->tissue.vein, p0, p1, bend, radius, ppb);
  }
}

/* Calcification (dark) or haemosiderin (bright): it dominates the patch's range of values. */
static void anatomy_speck(PhantomWork *w, Rng *r) {
  const Box *b = &w->box;
  float *g = w->tmp[0], *vein = w->tissue.vein;
  random_iso(w, r, .7, g);
  const float px = (float)draw_u(r, -9, 9), py = (float)draw_u(r, -9, 9),
              pz = (float)draw_u(r, -9, 9), radius = (float)draw_u(r, .8, 1.8);
  const float ppb = (float)((draw_p(r, .75) ? -1 : 1) * draw_u(r, 200, 420));
  size_t i = 0;
  for (int k = 0; k < b->nz; k++)
    for (int j = 0; j < b->ny; j++)
      for (int x = 0; x < b->nx; x++, i++) {
        const float dx = box_x(b, x) - px, dy = box_y(b, j) - py, dz = box_z(b, k) - pz;
        const float m = soft(sqrtf(dx * dx + dy * dy + dz * dz) + .8f * g[i] - radius, .2f);
        vein[i] = vein[i] * (1 - m) + m * ppb;
      }
}

void phantom_anatomy(PhantomWork *w, Rng *r, char kind[16]) {
  static const double prob[] = {.18, .42, .24, .16};
  static const char *const name[] = {"periventricular", "juxtacortical", "both", "deep"};
  enum { PERI, JUXTA, BOTH, DEEP };
  const int k = draw_choice(r, prob, 4);
  strncpy(kind, name[k], 15);
  kind[15] = 0;
  warp_coordinates(w, r);
  const float side = draw_p(r, .5) ? 1 : -1;
  white_matter(w, r, side);
  if (k == JUXTA || k == BOTH) anatomy_cortex(w, r, side);
  if (k == JUXTA && draw_p(r, .5)) anatomy_cortex(w, r, -side);
  if (k == PERI || k == BOTH) anatomy_ventricle(w, r, side);
  if (draw_p(r, .18)) deep_nucleus(w, r, side);
  anatomy_vessels(w, r);
  if (draw_p(r, .05)) anatomy_speck(w, r);
}
