/* chi_units.c: see chi_units.h */
#include "io/images/chi_units.h"
#include <math.h>
#include <stdio.h>

double chi_to_ppm(ChiUnits u, double field, double te) {
  const double hz = 42.577478518 * field; /* of 1 ppm */
  switch (u) {
    case UNITS_PPB: return 1e-3;
    case UNITS_HZ: return 1 / hz;
    case UNITS_RAD: return 1 / (6.283185307179586 * hz * te / 1000);
    case UNITS_RATIO: return 1e6;
    default: return 1;
  }
}

typedef struct Range {
  int64_t n;
  double mean;
  double lo;
  double hi;
} Range;

static Range chi_range(const float *v, int64_t n) {
  Range r = {0, 0, INFINITY, -INFINITY};
  for (int64_t i = 0; i < n; i++) {
    const double x = v[i];
    if (x == 0 || !isfinite(x)) continue;
    r.n++;
    r.mean += fabs(x);
    r.lo = fmin(r.lo, x);
    r.hi = fmax(r.hi, x);
  }
  if (r.n) r.mean /= (double)r.n;
  return r;
}

/* What a map of this range is likely to be in; mean |chi| of brains in ppm: 0.01 to 0.1. */
static const char *chi_looks_like(const Range *r) {
  static const double pi = 3.14159265358979;
  if (r->hi <= pi + 1e-3 && r->lo >= -pi - 1e-3 && r->hi > 3.1 && r->lo < -3.1)
    return "they end at -pi and pi, as wrapped phase in radians does: give a susceptibility map";
  if (r->mean < 1e-5) return "these look like pure numbers: cut them with prlx crop --units ratio";
  if (r->mean <= 0.6) return "these look like ppm: leave --units out";
  if (r->mean <= 2)
    return "these look like radians: cut them with prlx crop --units rad --field TESLA --te "
           "MILLISECONDS";
  if (r->mean <= 12)
    return "these look like ppb or Hz: say so with --units ppb, or cut them with prlx crop --units "
           "hz --field TESLA";
  if (r->mean <= 1000)
    return "these look like ppb: say so with --units ppb (or hz with --field, if they are Hz)";
  return "these look like raw numbers of the scanner: give a susceptibility map";
}

Status chi_check_units(const float *v, int64_t n, ChiUnits said, const char *where, Error *e) {
  static const char *const name[] = {"ppm, as BIDS asks for Chimap", "ppb (--units ppb)",
                                     "Hz (--units hz)", "radians (--units rad)",
                                     "pure numbers (--units ratio)"};
  /* the mean |value| that is beyond doubt wrong: below, above */
  static const double bounds[][2] = {{1e-5, 0.6}, {0.5, 2000}, {0.02, 500}, {1e-3, 3.5}, {0, 1e-4}};
  const Range r = chi_range(v, n);
  if (!r.n) return ST_OK;
  const bool both =
      r.lo < 0 && r.hi > 0; /* as every brain has; a test object may be one bright box */
  const double most = said == UNITS_PPM && !both ? 2 : bounds[said][1];
  const bool phase =
      said == UNITS_PPM && r.hi > 3.1 && r.lo < -3.1 && r.hi < 3.1425 && r.lo > -3.1425;
  if (!phase && r.mean >= bounds[said][0] && r.mean <= most) return ST_OK;
  return err_set(e, ST_INVALID, "%s: mean susceptibility %.3g, from %.3g to %.3g; expected %s; %s",
                 where, r.mean, r.lo, r.hi, name[said], chi_looks_like(&r));
}
