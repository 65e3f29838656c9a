/* params.h: a named list of tensors in one contiguous block: a network's parameters and buffers. */
#ifndef PRLX_PARAMS_H
#define PRLX_PARAMS_H
#include "core/graph.h"
typedef struct ParamEntry {
  char name[96]; /* as in a state dict */
  Shape shape;
  int64_t offset; /* of its first number in Params.data */
  int64_t numel;
  bool buffer; /* not trained */
  real *data;  /* in Params.data */
} ParamEntry;

/* Parameters come first in `data` (nparam reals), buffers (w_avg, noise_const) after them, so that
 * Adam and EMA run over one flat range. Every tensor starts at a multiple of 16 reals; the gaps are
 * zero. */
typedef struct Params {
  ParamEntry *entry;
  int n; /* tensors; room for cap */
  int cap;
  real *data;     /* [ntotal]; NULL before sealing */
  int64_t nparam; /* reals of the parameters, gaps included */
  int64_t ntotal; /* and of the buffers */
  bool sealed;
} Params;

/* One more tensor, before sealing. ST_INVALID: the name is there already, or too long. Start with a
 * zeroed Params. */
Status params_add(Params *p, const char *name, Shape s, bool buffer, Error *e);

/* Lays out and allocates (zero filled). */
Status params_seal(Params *p, Error *e);

/* Also of an empty one. */
void params_free(Params *p);

/* dst becomes a copy of src, sealed, with values and buffers; params_free(dst). ST_NOMEM: dst is
 * empty. */
Status params_clone(const Params *src, Params *dst, Error *e);

/* The tensor of this name, owned by p; NULL if absent. */
ParamEntry *params_find(const Params *p, const char *name);

/* g_param of it; sticky error if absent. */
Val params_leaf(Graph *g, const Params *p, const char *name, bool frozen);

/* How many trainable numbers there are, gaps excluded. */
int64_t params_count(const Params *p);

/* The formula weights of golden/README.md: value = offset + (2u-1)*scale with u from a hash of
 * index and CRC-32 of NAME. */
void formula_fill(real *dst, int64_t n, const char *name, double scale, double offset);
#endif
