/* paper.h: parts of `prlx paper`. Inside tools/paper*.c only. */
#ifndef PRLX_PAPER_H
#define PRLX_PAPER_H
#include "core/base.h"
/* NOT_CHECKED: an error, which the function that judges has printed. */
typedef enum { FITS, DOES_NOT_FIT, UNDECIDED, VERDICTS, NOT_CHECKED = VERDICTS } Verdict;

/* One claim of the paper: where, what is printed there, and a function that prints the computation
 * (lines indented by four) and judges. */
typedef struct Claim {
  const char *id;
  const char *where;
  const char *published;
  Verdict (*check)(void);
} Claim;
extern const Claim paper_claims[];
extern const int paper_claim_count;

/* Accuracy, precision and sensitivity as printed, each rounded by at most `half` (0.005 for two
 * decimals). */
typedef struct Triple {
  double accuracy;
  double precision;
  double sensitivity;
  double half;
} Triple;

/* Number of integer confusion matrices with these positives and negatives that round to all three;
 * example {tp, fp}. With only precision and sensitivity asked to fit, acc[2] gets the accuracies
 * that are possible (acc[0] > acc[1]: none). */
int confusion_fits(const Triple *t, int positives, int negatives, int example[2], double acc[2]);

/* Share of positives in a test set of any size that gives these three: A = 1 - pi (1 - S (2P - 1) /
 * P), over the rounding of each; limited to 0..1. */
void implied_prevalence(const Triple *t, double share[2]);

#endif
