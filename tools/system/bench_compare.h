/* bench_compare.h: `prlx bench --compare`. */
#ifndef PRLX_BENCH_COMPARE_H
#define PRLX_BENCH_COMPARE_H
#include "core/base.h"

/* Runs `OTHER bench argv...` and the same with this program in turn, `pairs` times, the order of a
 * pair turned each time, so that both meet the same state of the machine; prints per row of `prlx
 * bench` that both have the median times and the median, smallest and largest ratio of a pair
 * (above 1: this program is faster). argv: options of `prlx bench` without --compare, ends with
 * NULL. precision: --precision of this program only, or NULL, so that a program can be compared
 * with itself. ST_INTERRUPTED after Ctrl-C. ST_IO: a build cannot be started or fails; ST_FORMAT:
 * no row in common. */
Status bench_compare(const char *other, int pairs, const char *precision, char *const argv[],
                     Error *e);
#endif
