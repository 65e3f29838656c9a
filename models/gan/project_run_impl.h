/* project_run_impl.h: what project_run.c (results, batches of the reference solver) and
 * project_fast.c share. */
#ifndef PRLX_PROJECT_RUN_IMPL_H
#define PRLX_PROJECT_RUN_IMPL_H
#include "models/gan/project_run.h"
#include "models/gan/projector_impl.h"

/* Tells the caller; false: stop. */
bool run_tell(const ProjectTask *t, const ProjectNews *news);

/* Stores place i of the projector as lesion k: image, w, distances; noise maps from the variables.
 * After a run of the plan without added noise that left the host's copies current. */
Status run_store(const ProjectTask *t, ProjectResults *r, Projector *p, int i, int64_t k,
                 const real *image, Error *e);

/* Lesion k is stored: tuning, where it is asked for, then the news. *stop: tell said stop. */
Status run_finish(const ProjectTask *t, ProjectResults *r, const Projector *p, int64_t k,
                  bool *stop, Error *e);
double run_seconds(void); /* of a clock that only goes forward */
Status run_fast(const ProjectTask *t, ProjectResults *r, Error *e);
#endif
