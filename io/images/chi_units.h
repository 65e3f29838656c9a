/* chi_units.h: the unit of a susceptibility map, judged by its range: QSM is kept in ppm (BIDS),
 * but toolboxes write ppb, pure numbers, Hz or radians, and a wrong factor changes every result. */
#ifndef PRLX_CHI_UNITS_H
#define PRLX_CHI_UNITS_H
#include "core/base.h"

/* ppm; ppb = 1000 per ppm; ratio = 10^-6 per ppm (SI); Hz and radians of the scanner's frequency */
typedef enum { UNITS_PPM, UNITS_PPB, UNITS_HZ, UNITS_RAD, UNITS_RATIO } ChiUnits;

/* What a stored value is times to become ppm. field: tesla, te: echo spacing in ms (rad only), both
 * greater than 0 where needed: 1 ppm = 42.577 Hz per tesla (proton gyromagnetic ratio over 2 pi,
 * CODATA 2018), 2 pi Hz te/1000 radians. */
double chi_to_ppm(ChiUnits u, double field, double te);

/* ST_INVALID when the n values v (NaN, infinity and 0 left out) can't be in the unit said: names
 * the file by where, what the range looks like and the option to give. A brain has a mean |chi| of
 * about 0.03 ppm; one that is nearly all 0 or that holds a few bright voxels still has less than
 * 0.6 (2 where no value is negative: test objects). */
Status chi_check_units(const float *v, int64_t n, ChiUnits said, const char *where, Error *e);

/* ST_INVALID when the sidecar of a map (X.json beside X.nii or X.nii.gz; else, where X ends in
 * _Chimap, Chimap.json up to three folders above, as BIDS inherits it) has "Units" that contradict
 * the unit said. A range alone cannot tell ppb of a small lesion from ppm of a test object. Other
 * texts, no such field and files that are no JSON say nothing, nor do sidecars above with entities
 * in their names. ST_IO, ST_NOMEM. */
Status chi_check_sidecar(const char *map, ChiUnits said, Error *e);
#endif
