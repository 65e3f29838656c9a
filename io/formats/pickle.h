/* pickle.h: a restricted reader of Python pickles, protocols 0 to 5. It builds a tree of plain
 * values and calls nothing: where a pickle asks for a call, the tree holds a PK_CALL that says what
 * was asked. Only names on an allow-list (torch tensors and storages, numpy scalars, dict types,
 * the StyleGAN2-ADA wrapper) may occur; any other (os.system, eval, ...) ends the reading with its
 * name in the error. Reference: the opcode descriptions in the Python documentation (pickletools).
 * Strings and bytes point into the input, so source text embedded in a checkpoint costs nothing and
 * is never looked at. */
#ifndef PRLX_PICKLE_H
#define PRLX_PICKLE_H
#include "core/base.h"
typedef enum {
  PK_NONE,
  PK_BOOL,
  PK_INT,
  PK_LONG /* beyond 64 bits: s, little endian */,
  PK_FLOAT,
  PK_STR /* UTF-8, or Python 2 bytes */,
  PK_BYTES,
  PK_TUPLE,
  PK_LIST,
  PK_SET,
  PK_DICT /* v: key, value, key, value, ... */,
  PK_GLOBAL /* module in s, name in t */,
  PK_CALL /* v[0] the PK_GLOBAL, v[1] the argument tuple */,
  PK_PERSID /* v[0] */
} PkKind;
typedef struct PkText {
  const char *start;
  size_t len;
} PkText;
typedef struct Pk Pk;
struct Pk {
  PkKind kind;
  /* for walkers: it is on the path now; meeting it again means a cycle */
  bool busy;
  union {
    int64_t integer;
    double number;
    PkText text;
  };
  PkText name;
  Pk **item;
  size_t nitem;
  size_t cap;
  Pk *state; /* what BUILD gave (attributes), or NULL */
};

/* used: bytes up to and with STOP; persid: every PK_PERSID in order of appearance; held: memory of
 * the tree. */
typedef struct Pickle {
  Pk *root;
  size_t used;
  Pk **persid;
  size_t npersid;
  size_t cap;
  void *arena;
  size_t held;
} Pickle;

/* of one tree; a StyleGAN2 checkpoint needs about 5 MB */
#define PICKLE_MAX_MEMORY ((size_t)256 << 20)
/* Reads one pickle from data[0..n); `data` must live as long as k. Memory is at most
 * PICKLE_MAX_MEMORY and about 100 times the input; nothing is recursive. `script`: also names of
 * the form __torch__.*, the types inside TorchScript archives. `name` is for errors. */
Status pickle_read(Pickle *k, const uint8_t *data, size_t n, bool script, const char *name,
                   Error *e);
void pickle_free(Pickle *k);

bool pk_text_is(PkText t, const char *s);
bool pk_is(const Pk *v, const char *s); /* a PK_STR with this text */

/* value of the last such key; NULL if absent or no dict */
Pk *pk_get(const Pk *dict, const char *key);
bool pk_calls(const Pk *v, const char *module, const char *name); /* a PK_CALL of module.name */

/* argument k of a PK_CALL; NULL if it has fewer */
Pk *pk_arg(const Pk *call, size_t k);

/* PK_INT, or a numpy integer scalar */
bool pk_int(const Pk *v, int64_t *out);

/* PK_INT, PK_BOOL, PK_FLOAT, or any numpy scalar */
bool pk_number(const Pk *v, double *out);
const char *pk_show(PkText t, char buf[80]); /* fit for one line of a message */
#endif
