/* metrics_impl.h: FIDs of many resamples of one Gram: one after another here, several at a time on
 * a device. For metrics_fid.c and metrics_sample.c. */
#ifndef PRLX_METRICS_IMPL_H
#define PRLX_METRICS_IMPL_H
#include "models/judge/metrics.h"

/* An FID but for its singular values: those of cross [rows,columns], over the root of da db. */
typedef struct FidPart {
  Fid fid;
  double da;
  double db;
  double *cross;
  int64_t rows;
  int64_t columns;
} FidPart;

/* Resamples that wait to be computed together; on a device they are prepared together, too, on all
 * cores. */
typedef struct FidQueue {
  const Gram *gram;
  int cov;
  int cap; /* 1 on the CPU */
  int waiting;
  FidPart *part;
  double *weights; /* on a device, [cap,na+nb] */
  Status *status;  /* [cap] */
  Fid *out;        /* of the last fid_queue_run */
  int done;
} FidQueue;

/* ST_NOMEM. */
Status fid_queue_new(FidQueue *q, const Gram *g, int cov, Error *e);

/* Also of an empty one. */
void fid_queue_free(FidQueue *q);

/* One more, as fid_gram; after ST_INVALID nothing was added. There must be room. */
Status fid_queue_add(FidQueue *q, const double *wa, const double *wb, Error *e);
bool fid_queue_full(const FidQueue *q);

/* All that wait, into out[0] to out[done - 1], in their order. */
Status fid_queue_run(FidQueue *q, Error *e);
#endif
