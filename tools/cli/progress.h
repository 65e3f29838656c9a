/* progress.h: how far a long job is, on stderr: a bar that redraws itself on a terminal, a plain
 * line every few seconds elsewhere. */
#ifndef PRLX_PROGRESS_H
#define PRLX_PROGRESS_H
#include "core/base.h"
typedef struct Progress {
  const char *label;
  const char *unit;
  double total;
  double done;
  double first;
  double t0;
  double last;
  bool tty;
  bool drawn;
} Progress;

/* total > 0 in `unit` ("step", "image", "kimg"); label is kept by reference. */
void progress_start(Progress *p, const char *label, const char *unit, double total);

/* A job that goes on from a snapshot: what was done before does not count for the rate. */
void progress_skip(Progress *p, double already_done);

/* `note` (may be NULL) is printed behind the numbers: "loss 0.123". Cheap: draws at most ten times
 * a second. */
void progress_update(Progress *p, double done, const char *note, ...)
    __attribute__((format(printf, 3, 4)));

/* wipes the bar so that another line can be printed; the next update draws it again */
void progress_clear(Progress *p);
void progress_end(Progress *p); /* last state stays on the screen */

double time_now(void); /* monotonic seconds */

/* "1.4 GiB", "3 h 05 min", into static buffers (four in turn). */
const char *human_bytes(double bytes);
const char *human_time(double seconds);
#endif
