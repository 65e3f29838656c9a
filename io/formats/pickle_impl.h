/* pickle_impl.h: the state of the pickle machine, shared by pickle.c and pickle_tree.c. */
#ifndef PRLX_PICKLE_IMPL_H
#define PRLX_PICKLE_IMPL_H
#include "io/formats/pickle.h"
typedef struct PkMachine {
  Pickle *out;
  const uint8_t *data;
  size_t ndata;
  size_t at;
  bool script;
  Pk **stack;
  /* all arrays live in the arena */
  size_t top;
  size_t cap;
  size_t *mark;
  size_t nmark;
  size_t markcap;
  Pk **memo;
  /* memos: how many were stored, the next MEMOIZE index */
  size_t memon;
  size_t memocap;
  size_t memos;
  Status st;
  Error *err;
  const char *name;
} PkMachine;

/* zeroed; NULL after an error or when the limit is reached */
void *pk_alloc(PkMachine *m, size_t bytes);
bool pk_bad(PkMachine *m, const char *what); /* returns false; the first reason stays */

/* Protocol 0 text: 'quoted\n' of Python 2 (opcode S) and raw-unicode-escape (opcode V). *t becomes
 * the decoded text. */
bool pk_unescape(PkMachine *m, PkText *t);
bool pk_unescape_unicode(PkMachine *m, PkText *t);
#endif
