/* evidence_impl.h: what the tables of `prlx evidence` (evidence_table.c) and its words
 * (evidence_words.c) share: numbers of the summary, subsets of lesions, their spread. */
#ifndef PRLX_EVIDENCE_IMPL_H
#define PRLX_EVIDENCE_IMPL_H
#include "tools/judge/evidence.h"

/* Numbers of the summary: those of evidence.tsv, changes, then flags. LATER: the call is what both
 * readers said at a later visit. */
enum {
  CHANGES = 6,
  F_CALL0 = EV_COUNT + CHANGES,
  F_CALL1,
  F_RIGHT0,
  F_RIGHT1,
  F_CLOSE,
  F_COPY,
  F_LATER0,
  F_LATER1,
  NUMBERS
};

/* Index of the change from this number to the one after denoising; -1: there is none. */
int summary_change(int before);

typedef enum {
  SUB_ALL,
  SUB_NONRIM,
  SUB_RIM,
  SUB_AMBIGUOUS,
  SUB_TRUE_RIM,
  SUB_TRUE_NONRIM,
  SUB_LATER_RIM, /* ambiguous now, undisputed at a later visit */
  SUB_LATER_NONRIM,
  SUBSETS
} Subset;
extern const char *const subset_name[SUBSETS];

/* Whether the lesion is of the subset; how many are. */
bool subset_has(const EvLesion *r, Subset s);
int64_t subset_size(const Evidence *ev, Subset s);

/* Mean and median of number k over a subset, with bootstrap intervals by subject. */
Status subset_spread(const Evidence *ev, Subset s, int k, Spread *out, Error *e);

/* What the readers of a later visit settled: 1 rim, 0 no rim; -1 for a lesion that was not
 * disputed, has no later visit, or is disputed still. */
int evidence_later(const EvLesion *r);
#endif
