/* chi_units.c: see chi_units.h */
#include "io/images/chi_units.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/path.h"

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

/* As --units has them. */
static const char *const unit_said[] = {"ppm, as BIDS asks for Chimap", "ppb (--units ppb)",
                                        "Hz (--units hz)", "radians (--units rad)",
                                        "pure numbers (--units ratio)"};

Status chi_check_units(const float *v, int64_t n, ChiUnits said, const char *where, Error *e) {
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
                 where, r.mean, r.lo, r.hi, unit_said[said], chi_looks_like(&r));
}

/* ---- what the sidecar says ---- */

/* In capitals or not. */
static bool same_letters(const char *a, const char *b) {
  for (; *a && *b; a++, b++)
    if ((*a >= 'A' && *a <= 'Z' ? *a + 32 : *a) != *b) return false;
  return !*a && !*b;
}

/* The unit that a text names; -1: none that is known. */
static int unit_named(const char *text) {
  static const struct {
    const char *text;
    ChiUnits unit;
  } names[] = {{"ppm", UNITS_PPM},   {"parts per million", UNITS_PPM},
               {"ppb", UNITS_PPB},   {"parts per billion", UNITS_PPB},
               {"hz", UNITS_HZ},     {"hertz", UNITS_HZ},
               {"rad", UNITS_RAD},   {"radians", UNITS_RAD},
               {"1", UNITS_RATIO},   {"dimensionless", UNITS_RATIO}};
  for (int k = 0; k < COUNT_OF(names); k++)
    if (same_letters(text, names[k].text)) return (int)names[k].unit;
  return -1;
}

/* The sidecar's path: `up` folders above the map, or (0) beside it. False: there is none. What is
 * no Chimap by its name inherits from none. */
static bool sidecar_path(const char *map, int up, char path[PATH_LEN]) {
  static const char *const above[] = {"", "../", "../../", "../../../"};
  const size_t n = strlen(map), dir = (size_t)(path_base(map) - map);
  const size_t tail = str_ends_with(map, ".nii.gz") ? 7 : str_ends_with(map, ".nii") ? 4 : 0;
  if (!tail || (up && !strstr(path_base(map), "_Chimap."))) return false;
  const Status s =
      up ? path_format(path, NULL, "%.*s%sChimap.json", (int)dir, map, above[up])
                  : path_format(path, NULL, "%.*s.json", (int)(n - tail), map);
  return s == ST_OK && file_exists(path);
}

static Status sidecar_unit(const char *path, int *unit, char shown[80], Error *e) {
  uint8_t *data;
  size_t n;
  char *text;
  TRY(file_read(path, &data, &n, 1 << 24, e));
  const Status s = json_object_text((const char *)data, n, "Units", &text, e);
  *unit = text ? unit_named(text) : -1;
  if (text) str_shown(text, shown);
  mem_free(text);
  mem_free(data);
  return s;
}

Status chi_check_sidecar(const char *map, ChiUnits said, Error *e) {
  static const char *const mend[] = {
      "leave --units out", "say so with --units ppb", "cut it with prlx crop --units hz",
      "cut it with prlx crop --units rad", "cut it with prlx crop --units ratio"};
  char path[PATH_LEN], shown[80] = "";
  int unit = -1;
  for (int up = 0; up <= 3 && unit < 0; up++)
    if (sidecar_path(map, up, path)) TRY(sidecar_unit(path, &unit, shown, e));
  if (unit < 0 || unit == (int)said) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: \"Units\" of the map %s are \"%s\", and it is read as %s; %s, or correct "
                 "that file",
                 path, path_base(map), shown, unit_said[said], mend[unit]);
}
