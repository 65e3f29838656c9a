/* classify.h: what other tools read of a run of `prlx classify`. */
#ifndef PRLX_CLASSIFY_H
#define PRLX_CLASSIFY_H

/* The threshold in the metrics.tsv of the folder `run`; NAN: there is none. */
double classify_threshold(const char *run);
#endif
