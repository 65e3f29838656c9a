/* evidence_later.c: what a cohort with several visits knows about a lesion that was disputed at the
 * one that was denoised: its readers at later visits. See evidence.h */
#include <string.h>
#include "tools/judge/evidence.h"

void evidence_later_visits(Evidence *ev, const Cohort *c, const Lesion *own, EvLesion *r) {
  const Lesion *settled = NULL;
  r->visits = 0;
  r->later = -1;
  r->later_scan[0] = 0;
  for (int i = 0; i < c->n; i++) {
    const Lesion *l = &c->lesion[i];
    if (strcmp(l->patient, own->patient) || strcmp(l->lesion, own->lesion) ||
        bids_scan_order(l->scan, own->scan) <= 0 ||
        cohort_made(c, l->row)) /* what a network made is nobody's visit */
      continue;
    r->visits++;
    if (l->cls != CLASS_RIM && l->cls != CLASS_NONRIM) continue;
    if (!settled || bids_scan_order(l->scan, settled->scan) < 0) settled = l;
  }
  ev->has_visits |= r->visits > 0;
  if (!settled) return;
  r->later = settled->cls == CLASS_RIM;
  memcpy(r->later_scan, settled->scan, sizeof r->later_scan);
}
