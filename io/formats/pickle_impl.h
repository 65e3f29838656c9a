/* pickle_impl.h: the state of the pickle machine, shared by pickle.c and pickle_tree.c. */
#ifndef PRLX_PICKLE_IMPL_H
#define PRLX_PICKLE_IMPL_H
#include "io/formats/pickle.h"
/* All arrays live in the arena of `out`. */
typedef struct PkMachine {
  Pickle *out;
  const uint8_t *data; /* the input: ndata bytes, the next one at `at` */
  size_t ndata;
  size_t at;
  bool script; /* names of TorchScript are allowed, too */
  Pk **stack;  /* top values, room for cap */
  size_t top;
  size_t cap;
  size_t *mark; /* heights of the stack where MARK was met: nmark, room for markcap */
  size_t nmark;
  size_t markcap;
  Pk **memo; /* by index: memon, room for memocap */
  size_t memon;
  size_t memocap;
  size_t memos; /* how many were stored: the next MEMOIZE index */
  Status st;    /* ST_OK until the first error, whose message is in err */
  Error *err;
  const char *name; /* of the file, for messages */
} PkMachine;

/* Zeroed memory of the arena; NULL after an error or when the limit is reached. */
void *pk_alloc(PkMachine *m, size_t bytes);

/* Stops the machine with ST_FORMAT; the first reason stays. Returns false. */
bool pk_bad(PkMachine *m, const char *what);

/* Protocol 0 text: 'quoted\n' of Python 2 (opcode S) and raw-unicode-escape (opcode V). *t becomes
 * the decoded text, in the arena. False: an error, see m->st. */
bool pk_unescape(PkMachine *m, PkText *t);
bool pk_unescape_unicode(PkMachine *m, PkText *t);
/* Whether the tree may hold this name: those of tensors and their like, and of classes whose
 * objects are data beside them; names that mean an attack are not. script: of a TorchScript
 * archive. */
bool pk_global_allowed(PkText module, PkText name, bool script);
#endif
