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
  PK_BOOL,   /* integer */
  PK_INT,    /* integer */
  PK_LONG,   /* beyond 64 bits: text, little endian */
  PK_FLOAT,  /* number */
  PK_STR,    /* text: UTF-8, or Python 2 bytes */
  PK_BYTES,  /* text */
  PK_TUPLE,  /* item */
  PK_LIST,   /* item */
  PK_SET,    /* item */
  PK_DICT,   /* item: key, value, key, value, ... */
  PK_GLOBAL, /* module in text, name in name */
  PK_CALL,   /* item[0] the PK_GLOBAL, item[1] the argument tuple */
  PK_PERSID  /* item[0] */
} PkKind;

/* len bytes, not ended by a zero. */
typedef struct PkText {
  const char *start;
  size_t len;
} PkText;
typedef struct Pk Pk;
struct Pk {
  PkKind kind;
  bool busy; /* for walkers: it is on the path now; meeting it again means a cycle */
  union {
    int64_t integer;
    double number;
    PkText text;
  };
  PkText name;
  Pk **item; /* [nitem], room for cap */
  size_t nitem;
  size_t cap;
  Pk *state; /* what BUILD gave (attributes), or NULL */
};

/* All values lie in the arena; texts point into the input. */
typedef struct Pickle {
  Pk *root;
  size_t used; /* bytes of the input up to and with STOP */
  Pk **persid; /* [npersid] every PK_PERSID in order of appearance; room for cap */
  size_t npersid;
  size_t cap;
  void *arena;
  size_t held; /* bytes of the arena */
} Pickle;

/* Bytes of one tree; a StyleGAN2 checkpoint needs about 5 MB. */
#define PICKLE_MAX_MEMORY ((size_t)256 << 20)

/* Reads one pickle from data[0..n); `data` must live as long as k. Memory is at most
 * PICKLE_MAX_MEMORY and about 100 times the input; nothing is recursive. `script`: also names of
 * the form __torch__.*, the types inside TorchScript archives. `name` is for errors. ST_FORMAT:
 * damaged, a name that is not on the list, more memory than allowed. Free with pickle_free; after
 * an error k is empty. */
Status pickle_read(Pickle *k, const uint8_t *data, size_t n, bool script, const char *name,
                   Error *e);

/* Also of an empty one. */
void pickle_free(Pickle *k);

/* ---- looking at values; v, dict, call may be NULL, which is like absent ---- */

/* Whether the text is s; whether v is a PK_STR with this text. */
bool pk_text_is(PkText t, const char *s);
bool pk_is(const Pk *v, const char *s);

/* Value of the last such key; NULL if absent or no dict. */
Pk *pk_get(const Pk *dict, const char *key);

/* Whether v is a PK_CALL of module.name. */
bool pk_calls(const Pk *v, const char *module, const char *name);

/* Argument k of a PK_CALL; NULL if it has fewer or v is none. */
Pk *pk_arg(const Pk *call, size_t k);

/* PK_INT, or a numpy integer scalar. */
bool pk_int(const Pk *v, int64_t *out);

/* PK_INT, PK_BOOL, PK_FLOAT, or any numpy scalar. */
bool pk_number(const Pk *v, double *out);

/* The text made fit for one line of a message, in buf: printable ASCII, whatever the checkpoint
 * holds (a terminal may take other bytes for commands). */
const char *pk_show(PkText t, char buf[80]);
#endif
