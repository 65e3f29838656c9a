/* api.h: what lies behind the opaque types of prlx.h, for the files of this room and for the
 * command line, which uses the same functions and then looks inside. */
#ifndef PRLX_API_IMPL_H
#define PRLX_API_IMPL_H
#include "core/backend.h"
#include "io/formats/nifti.h"
#include "io/images/dataset.h"
#include "models/gan/projector.h"
#include "models/judge/classifier.h"
#include "models/store/netfile.h"
#include "prlx.h"

struct prlx_network {
  Network net;
};
struct prlx_vgg {
  Vgg vgg;
};
struct prlx_classifier {
  Classifier *run; /* [runs] */
  int runs;
  char channels[64];
};
struct prlx_dataset {
  Dataset set;
};
struct prlx_volume {
  Nifti nifti;
};

/* The public device is the backend itself; NULL is the CPU on both sides. */
static inline Backend *api_backend(prlx_device *d) { return (Backend *)d; }

/* The other way, for the command line, which makes its own backend. */
static inline prlx_device *api_device(Backend *b) { return (prlx_device *)b; }

/* Ends a public function: status and message of the inside to the caller's error (NULL allowed). */
prlx_status api_return(Status s, const Error *in, prlx_error *e);

/* First in a public function: an argument that may not be NULL. */
#define API_NEED(argument, e)                                      \
  do {                                                             \
    if (!(argument)) return api_missing(__func__, #argument, (e)); \
  } while (0)

/* PRLX_INVALID: FUNCTION: ARGUMENT is NULL. */
prlx_status api_missing(const char *function, const char *argument, prlx_error *e);

/* And back, for the command line: TRY(api_status(prlx_...(..., &pe), &pe, e)). */
Status api_status(prlx_status s, const prlx_error *pe, Error *e);

/* The caller's options over the defaults: as many bytes as both sides know. ST_INVALID when `size`
 * was never set. */
Status api_options(void *dst, size_t have, const void *given, size_t size, const char *what,
                   Error *e);

/* [done] distances of a projection, in order. */
const double *api_lpips(const prlx_projection *r);

/* Is `label` right for a network of this many classes? `name` begins the message. */
Status api_label(const Network *net, int label, Error *e);
#endif
