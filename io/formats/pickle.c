/* pickle.c: the pickle machine: a stack, marks and a memo. One opcode makes at most one value, so
 * memory follows the input. Every value and array comes from an arena with a limit; freeing is
 * freeing the arena, whatever cycles the tree has. Helpers to look into a tree: pickle_tree.c. */
#include "io/formats/pickle.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/number.h"
#include "io/formats/pickle_impl.h"

/* Old names of the same things. */
static PkText canonical_module(PkText m) {
  if (pk_text_is(m, "__builtin__")) return (PkText){"builtins", 8};
  if (pk_text_is(m, "copy_reg")) return (PkText){"copyreg", 7};
  return m;
}

/* ---- errors and memory ---- */
bool pk_bad(PkMachine *m, const char *what) {
  if (m->st == ST_OK)
    m->st = err_set(
        m->err, ST_FORMAT,
        "%s: pickle: %s (byte %zu); the file is damaged, cut short, or not a file of weights",
        m->name, what, m->at);
  return false;
}

typedef struct Chunk {
  struct Chunk *next;
  size_t used;
  size_t cap;
} Chunk;
enum { CHUNK_FIRST = 2048, CHUNK_MOST = 1 << 18, CHUNK_HEAD = 64 };

void *pk_alloc(PkMachine *m, size_t bytes) {
  if (m->st != ST_OK) return NULL;
  bytes = bytes > SIZE_MAX - 15 ? SIZE_MAX : (bytes + 15) & ~(size_t)15;
  Chunk *c = m->out->arena;
  if (!c || c->cap - c->used < bytes) {
    size_t cap = c ? PRLX_MIN(c->cap * 2, (size_t)CHUNK_MOST) : CHUNK_FIRST;
    cap = PRLX_MAX(cap, bytes);
    if (cap > PICKLE_MAX_MEMORY - PRLX_MIN(m->out->held, PICKLE_MAX_MEMORY)) {
      m->st = err_set(
          m->err, ST_FORMAT,
          "%s: pickle: its structure needs more than %zu MiB (byte %zu); not a file of weights",
          m->name, PICKLE_MAX_MEMORY >> 20, m->at);
      return NULL;
    }
    Chunk *next = mem_alloc(CHUNK_HEAD + cap);
    if (!next) {
      m->st = err_set(m->err, ST_NOMEM, "%s: pickle: out of memory", m->name);
      return NULL;
    }
    m->out->held += cap;
    *next = (Chunk){c, 0, cap};
    m->out->arena = c = next;
  }
  void *p = (char *)c + CHUNK_HEAD + c->used;
  c->used += bytes;
  return p;
}

static Pk *pk_make(PkMachine *m, PkKind kind) {
  Pk *v = pk_alloc(m, sizeof *v);
  if (v) v->kind = kind;
  return v;
}

/* A growing array of pointers in the arena: old copies stay there, which at most doubles it. */
static bool list_append(PkMachine *m, Pk ***v, size_t *n, size_t *cap, Pk *item) {
  if (*n == *cap) {
    size_t next = *cap ? *cap * 2 : 8;
    Pk **p = pk_alloc(m, next * sizeof *p);
    if (!p) return false;
    if (*n) memcpy(p, *v, *n * sizeof *p);
    *v = p;
    *cap = next;
  }
  (*v)[(*n)++] = item;
  return true;
}

static bool pk_give(PkMachine *m, Pk *to, Pk *item) {
  return list_append(m, &to->item, &to->nitem, &to->cap, item);
}

static bool copy_items(PkMachine *m, Pk *to, const Pk *from) {
  for (size_t i = 0; i < from->nitem; i++)
    if (!pk_give(m, to, from->item[i])) return false;
  return true;
}

/* ---- stack ---- */
static bool stack_push(PkMachine *m, Pk *v) {
  return v && list_append(m, &m->stack, &m->top, &m->cap, v);
}
/* Values above the last mark are the only ones an opcode may take one by one. */
static size_t floor_of(const PkMachine *m) { return m->nmark ? m->mark[m->nmark - 1] : 0; }
static Pk *stack_pop(PkMachine *m) {
  if (m->top <= floor_of(m)) {
    pk_bad(m, "takes a value that is not there");
    return NULL;
  }
  return m->stack[--m->top];
}

static Pk *stack_peek(PkMachine *m) {
  if (m->top <= floor_of(m)) {
    pk_bad(m, "uses a value that is not there");
    return NULL;
  }
  return m->stack[m->top - 1];
}

static bool push_mark(PkMachine *m) {
  if (m->nmark == m->markcap) {
    size_t next = m->markcap ? m->markcap * 2 : 16, *p = pk_alloc(m, next * sizeof *p);
    if (!p) return false;
    if (m->nmark) memcpy(p, m->mark, m->nmark * sizeof *p);
    m->mark = p;
    m->markcap = next;
  }
  m->mark[m->nmark++] = m->top;
  return true;
}

/* Everything above the mark: *v points into the stack, valid until the next push. */
static bool pop_mark(PkMachine *m, Pk ***v, size_t *n) {
  if (!m->nmark) return pk_bad(m, "an end without its mark");
  size_t at = m->mark[--m->nmark];
  *v = m->stack + at;
  *n = m->top - at;
  m->top = at;
  return true;
}

static bool push_sequence(PkMachine *m, PkKind kind, Pk **v, size_t n) {
  Pk *s = pk_make(m, kind);
  if (!s) return false;
  if (n && !(s->item = pk_alloc(m, n * sizeof *s->item))) return false;
  if (n) memcpy(s->item, v, n * sizeof *v);
  s->nitem = s->cap = n;
  return stack_push(m, s);
}

static bool push_from_mark(PkMachine *m, PkKind kind) {
  Pk **v = NULL;
  size_t n = 0;
  if (!pop_mark(m, &v, &n)) return false;
  if (kind == PK_DICT && n % 2) return pk_bad(m, "a key without a value");
  return push_sequence(m, kind, v, n);
}

static bool push_tuple(PkMachine *m, size_t n) {
  if (m->top - floor_of(m) < n) return pk_bad(m, "takes a value that is not there");
  m->top -= n;
  return push_sequence(m, PK_TUPLE, m->stack + m->top, n);
}

static bool push_int(PkMachine *m, PkKind kind, int64_t i) {
  Pk *v = pk_make(m, kind);
  if (v) v->integer = i;
  return stack_push(m, v);
}

static Pk *make_text(PkMachine *m, PkKind kind, const char *p, size_t n) {
  Pk *v = pk_make(m, kind);
  if (v) v->text = (PkText){p, n};
  return v;
}

static bool push_text(PkMachine *m, PkKind kind, const char *p, size_t n) {
  return stack_push(m, make_text(m, kind, p, n));
}

/* ---- memo ---- */
/* Picklers number their memo in order, so an index beyond the bytes read so far is not theirs: this
 * bounds the table by the input. */
static bool memo_put(PkMachine *m, uint64_t index) {
  Pk *v = stack_peek(m);
  if (!v) return false;
  if (index > m->at) return pk_bad(m, "memo index far beyond what was stored");
  if (index >= m->memocap) {
    size_t next = m->memocap ? m->memocap : 64;
    while (next <= index) next *= 2;
    Pk **p = pk_alloc(m, next * sizeof *p);
    if (!p) return false;
    memset(p, 0, next * sizeof *p);
    if (m->memocap) memcpy(p, m->memo, m->memocap * sizeof *p);
    m->memo = p;
    m->memocap = next;
  }
  m->memo[index] = v;
  m->memon = PRLX_MAX(m->memon, (size_t)index + 1);
  m->memos++;
  return true;
}

static bool memo_get(PkMachine *m, uint64_t index) {
  if (index >= m->memon || !m->memo[index])
    return pk_bad(m, "asks for a memo entry that was never stored");
  return stack_push(m, m->memo[index]);
}

/* ---- names, calls, objects ---- */
static Pk *make_global(PkMachine *m, PkText module, PkText name) {
  module = canonical_module(module);
  if (!pk_global_allowed(module, name, m->script)) {
    char a[80], b[80];
    if (m->st == ST_OK)
      m->st = err_set(m->err, ST_FORMAT,
                      "%s: the pickle asks for %s.%s (byte %zu); only tensors, numbers and dicts "
                      "are read, so nothing was run; if a file of weights "
                      "holds this, save its state_dict() alone",
                      m->name, pk_show(module, a), pk_show(name, b), m->at);
    return NULL;
  }
  Pk *g = pk_make(m, PK_GLOBAL);
  if (g) {
    g->text = module;
    g->name = name;
  }
  return g;
}

static bool pk_named(const Pk *g, const char *module, const char *name) {
  return g->kind == PK_GLOBAL && pk_text_is(g->text, module) && pk_text_is(g->name, name);
}

static bool dict_like(const Pk *g) {
  return pk_named(g, "collections", "OrderedDict") || pk_named(g, "collections", "defaultdict") ||
         pk_named(g, "builtins", "dict") || pk_named(g, "dnnlib.util", "EasyDict") ||
         pk_named(g, "dnnlib", "EasyDict");
}

/* Dict from nothing, from a dict, or from a sequence of pairs (OrderedDict in protocols 0-2).
 * defaultdict's argument is its factory. */
static Pk *make_dict(PkMachine *m, const Pk *from) {
  Pk *d = pk_make(m, PK_DICT);
  if (!d || !from || from->kind == PK_GLOBAL || from->kind == PK_NONE) return d;
  if (from->kind == PK_DICT) return copy_items(m, d, from) ? d : NULL;
  if (from->kind != PK_LIST && from->kind != PK_TUPLE) {
    pk_bad(m, "a dict made of something else");
    return NULL;
  }
  for (size_t i = 0; i < from->nitem; i++) {
    const Pk *pair = from->item[i];
    if ((pair->kind != PK_TUPLE && pair->kind != PK_LIST) || pair->nitem != 2) {
      pk_bad(m, "a dict made of something else than pairs");
      return NULL;
    }
    if (!pk_give(m, d, pair->item[0]) || !pk_give(m, d, pair->item[1])) return NULL;
  }
  return d;
}

/* _codecs.encode(text, "latin1"): how protocols 0-2 write bytes; none at all as bytes(). */
static Pk *make_latin1(PkMachine *m, const Pk *text) {
  Pk *b = pk_make(m, PK_BYTES);
  char *out = b ? pk_alloc(m, text->text.len ? text->text.len : 1) : NULL;
  if (!out) return NULL;
  size_t n = 0;
  for (size_t i = 0; i < text->text.len; i++) {
    uint8_t c = (uint8_t)text->text.start[i];
    if (c >= 0x80) {
      uint8_t d = i + 1 < text->text.len ? (uint8_t)text->text.start[i + 1] : 0;
      if ((c != 0xc2 && c != 0xc3) || (d & 0xc0) != 0x80) {
        pk_bad(m, "bytes written as text beyond Latin-1");
        return NULL;
      }
      c = (uint8_t)(c << 6 | (d & 63));
      i++;
    }
    out[n++] = (char)c;
  }
  b->text = (PkText){out, n};
  return b;
}

/* What callable(*args) stands for. Containers and bytes become themselves; everything else stays a
 * description. */
static Pk *make_call(PkMachine *m, Pk *f, Pk *args) {
  if (!f || !args) return NULL;
  if (f->kind != PK_GLOBAL) {
    pk_bad(m, "calls something that is not a name");
    return NULL;
  }
  if (args->kind != PK_TUPLE) {
    pk_bad(m, "calls with something that is not a tuple");
    return NULL;
  }
  Pk *a = args->nitem ? args->item[0] : NULL;
  if (dict_like(f)) return make_dict(m, a);
  if (pk_named(f, "copyreg", "_reconstructor") && a && dict_like(a))
    return make_dict(m, args->nitem > 2 ? args->item[2] : NULL);
  bool set = pk_named(f, "builtins", "set") || pk_named(f, "builtins", "frozenset"),
       list = pk_named(f, "builtins", "list"), tuple = pk_named(f, "builtins", "tuple");
  if (set || list || tuple) {
    Pk *s = pk_make(m, set ? PK_SET : list ? PK_LIST : PK_TUPLE);
    if (s && a && a->kind != PK_LIST && a->kind != PK_TUPLE && a->kind != PK_SET) {
      pk_bad(m, "a sequence made of something else");
      return NULL;
    }
    return s && a && !copy_items(m, s, a) ? NULL : s;
  }
  if (pk_named(f, "_codecs", "encode") && args->nitem == 2 && a->kind == PK_STR &&
      (pk_is(args->item[1], "latin1") || pk_is(args->item[1], "latin-1")))
    return make_latin1(m, a);
  if (pk_named(f, "builtins", "bytes") && !args->nitem) return make_text(m, PK_BYTES, "", 0);
  if (pk_named(f, "builtins", "bytearray") && a && a->kind == PK_BYTES) return a;
  Pk *c = pk_make(m, PK_CALL);
  if (!c || !(c->item = pk_alloc(m, 2 * sizeof *c->item))) return NULL;
  c->item[0] = f;
  c->item[1] = args;
  c->nitem = c->cap = 2;
  return c;
}

static bool op_call(PkMachine *m) {
  Pk *args = stack_pop(m), *f = args ? stack_pop(m) : NULL;
  return stack_push(m, make_call(m, f, args));
}

/* NEWOBJ_EX: cls, args, kwargs; none of the allowed types is written with keywords. */
static bool op_newobj_ex(PkMachine *m) {
  Pk *kw = stack_pop(m);
  if (!kw) return false;
  if (kw->kind != PK_DICT || kw->nitem) return pk_bad(m, "an object with keyword arguments");
  return op_call(m);
}

/* OBJ and INST (protocols 0, 1): the class is the first value above the mark, or named in the text.
 */
static bool op_obj(PkMachine *m, Pk *cls) {
  Pk **v = NULL;
  size_t n = 0;
  if (!pop_mark(m, &v, &n)) return false;
  if (!cls) {
    if (!n) return pk_bad(m, "an object without a class");
    cls = *v++;
    n--;
  }
  if (!push_sequence(m, PK_TUPLE, v, n)) return false;
  return stack_push(m, make_call(m, cls, stack_pop(m)));
}

static bool op_build(PkMachine *m) {
  Pk *state = stack_pop(m), *v = state ? stack_peek(m) : NULL;
  if (!v) return false;
  v->state = state;
  return true;
}

static bool op_append(PkMachine *m, PkKind kind) {
  Pk **v = NULL;
  size_t n = 0;
  if (!pop_mark(m, &v, &n)) return false;
  Pk *to = stack_peek(m);
  if (!to) return false;
  if (to->kind != kind)
    return pk_bad(m, kind == PK_DICT ? "sets items of something that is not a dict"
                                     : "appends to something that is not a list or set");
  if (kind == PK_DICT && n % 2) return pk_bad(m, "a key without a value");
  for (size_t i = 0; i < n; i++)
    if (!pk_give(m, to, v[i])) return false;
  return true;
}

static bool op_append_one(PkMachine *m) {
  Pk *item = stack_pop(m), *to = item ? stack_peek(m) : NULL;
  if (!to) return false;
  return to->kind == PK_LIST ? pk_give(m, to, item)
                             : pk_bad(m, "appends to something that is not a list");
}

static bool op_set_item(PkMachine *m) {
  Pk *val = stack_pop(m), *key = val ? stack_pop(m) : NULL, *to = key ? stack_peek(m) : NULL;
  if (!to) return false;
  return to->kind == PK_DICT ? pk_give(m, to, key) && pk_give(m, to, val)
                             : pk_bad(m, "sets items of something that is not a dict");
}

static bool op_stack_global(PkMachine *m) {
  Pk *name = stack_pop(m), *module = name ? stack_pop(m) : NULL;
  if (!module) return false;
  if (name->kind != PK_STR || module->kind != PK_STR) return pk_bad(m, "a name that is not text");
  return stack_push(m, make_global(m, module->text, name->text));
}

static bool op_persid(PkMachine *m, Pk *id) {
  Pk *v = id ? pk_make(m, PK_PERSID) : NULL;
  return v && pk_give(m, v, id) &&
         list_append(m, &m->out->persid, &m->out->npersid, &m->out->cap, v) && stack_push(m, v);
}

/* ---- arguments in the input ---- */
static bool input_need(PkMachine *m, size_t n) {
  return n <= m->ndata - m->at ? true : pk_bad(m, "ends too early");
}

static bool take_uint(PkMachine *m, int bytes, uint64_t *v) {
  if (!input_need(m, (size_t)bytes)) return false;
  *v = 0;
  for (int i = 0; i < bytes; i++) *v |= (uint64_t)m->data[m->at + (size_t)i] << (8 * i);
  m->at += (size_t)bytes;
  return true;
}

static bool take_line(PkMachine *m, PkText *t) {
  const char *p = (const char *)m->data + m->at, *nl = memchr(p, '\n', m->ndata - m->at);
  if (!nl) return pk_bad(m, "ends too early");
  *t = (PkText){p, (size_t)(nl - p)};
  m->at += t->len + 1;
  if (t->len && p[t->len - 1] == '\r') t->len--;
  return true;
}

/* Length of `bytes` bytes, then so much text or data. */
static bool op_counted(PkMachine *m, int bytes, PkKind kind) {
  uint64_t n = 0;
  if (!take_uint(m, bytes, &n)) return false;
  if (n > m->ndata - m->at) return pk_bad(m, "a length beyond the end of the file");
  const char *p = (const char *)m->data + m->at;
  m->at += (size_t)n;
  return push_text(m, kind, p, (size_t)n);
}

static bool op_long(PkMachine *m, int bytes) {
  uint64_t n = 0;
  if (!take_uint(m, bytes, &n)) return false;
  if (n > m->ndata - m->at) return pk_bad(m, "a length beyond the end of the file");
  const uint8_t *p = m->data + m->at;
  m->at += (size_t)n;
  if (n > 8) return push_text(m, PK_LONG, (const char *)p, (size_t)n);
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
  if (n && n < 8 && p[n - 1] & 0x80) v |= ~(uint64_t)0 << (8 * n);
  return push_int(m, PK_INT, (int64_t)v);
}

static bool number_text(PkMachine *m, char buf[64], size_t *n) {
  PkText t;
  if (!take_line(m, &t)) return false;
  if (!t.len || t.len > 63 || isspace((unsigned char)t.start[0]))
    return pk_bad(m, "a number that is none");
  memcpy(buf, t.start, t.len);
  buf[t.len] = 0;
  *n = t.len;
  return true;
}

/* Decimal digits beyond 64 bits, as the protocols 0 and 1 write torch's magic number: the same
 * bytes that LONG1 would have. */
static bool push_big(PkMachine *m, const char *digits, size_t n) {
  uint8_t *out = pk_alloc(m, 32); /* 63 digits need 27 bytes */
  size_t len = 0;
  for (size_t i = 0; out && i < n; i++) {
    if (!isdigit((unsigned char)digits[i]))
      return pk_bad(m, "a whole number that is none, or too large");
    unsigned carry = (unsigned)(digits[i] - '0');
    for (size_t k = 0; k < len || carry; k++) {
      carry += k < len ? out[k] * 10u : 0;
      out[k] = (uint8_t)carry;
      carry >>= 8;
      len = PRLX_MAX(len, k + 1);
    }
  }
  return out && push_text(m, PK_LONG, (const char *)out, len + (len && out[len - 1] & 0x80));
}

static bool op_text_int(PkMachine *m, bool is_long) {
  char b[64], *end;
  size_t n;
  if (!number_text(m, b, &n)) return false;
  if (!is_long && (!strcmp(b, "00") || !strcmp(b, "01"))) return push_int(m, PK_BOOL, b[1] == '1');
  if (is_long && b[n - 1] == 'L') b[--n] = 0;
  long long v = strtoll(b, &end, 10);
  if (!n || *end) return pk_bad(m, "a whole number that is none");
  if (v == INT64_MAX || v == INT64_MIN) return push_big(m, b, n);
  return push_int(m, PK_INT, v);
}

static bool op_text_float(PkMachine *m) {
  char b[64], *end;
  size_t n;
  if (!number_text(m, b, &n)) return false;
  Pk *v = pk_make(m, PK_FLOAT);
  if (!v) return false;
  v->number = number_read(b, &end);
  return *end ? pk_bad(m, "a number that is none") : stack_push(m, v);
}

static bool op_binary_float(PkMachine *m) {
  if (!input_need(m, 8)) return false;
  uint64_t u = 0;
  for (int i = 0; i < 8; i++) u = u << 8 | m->data[m->at + (size_t)i];
  m->at += 8;
  Pk *v = pk_make(m, PK_FLOAT);
  if (v) memcpy(&v->number, &u, 8);
  return stack_push(m, v);
}

static bool op_text_memo(PkMachine *m, bool put) {
  char b[64], *end;
  size_t n;
  if (!number_text(m, b, &n)) return false;
  unsigned long long v = isdigit((unsigned char)b[0]) ? strtoull(b, &end, 10) : 0;
  if (!isdigit((unsigned char)b[0]) || *end) return pk_bad(m, "a memo index that is none");
  return put ? memo_put(m, v) : memo_get(m, v);
}

static bool op_memo(PkMachine *m, int bytes, bool put) {
  uint64_t v = 0;
  return take_uint(m, bytes, &v) && (put ? memo_put(m, v) : memo_get(m, v));
}

static bool op_quoted(PkMachine *m, bool unicode) {
  PkText t;
  if (!take_line(m, &t) || !(unicode ? pk_unescape_unicode(m, &t) : pk_unescape(m, &t)))
    return false;
  return push_text(m, PK_STR, t.start, t.len);
}

static bool op_global(PkMachine *m, bool inst) {
  PkText module, name;
  if (!take_line(m, &module) || !take_line(m, &name)) return false;
  Pk *g = make_global(m, module, name);
  return g && (inst ? op_obj(m, g) : stack_push(m, g));
}

static bool op_frame(PkMachine *m) {
  uint64_t n = 0;
  return take_uint(m, 8, &n) &&
         (n <= m->ndata - m->at || pk_bad(m, "a frame beyond the end of the file"));
}

static bool op_protocol(PkMachine *m) {
  uint64_t v = 0;
  return take_uint(m, 1, &v) && (v <= 5 || pk_bad(m, "a protocol newer than 5"));
}

/* Containers, memo, names and calls. */
static bool step_structure(PkMachine *m, int op) {
  PkText t;
  switch (op) {
    case ')': return push_tuple(m, 0);
    case 0x85: return push_tuple(m, 1);
    case 0x86: return push_tuple(m, 2);
    case 0x87: return push_tuple(m, 3);
    case 't': return push_from_mark(m, PK_TUPLE);
    case ']': return stack_push(m, pk_make(m, PK_LIST));
    case 'l': return push_from_mark(m, PK_LIST);
    case '}': return stack_push(m, pk_make(m, PK_DICT));
    case 'd': return push_from_mark(m, PK_DICT);
    case 0x8f: return stack_push(m, pk_make(m, PK_SET));
    case 0x91: return push_from_mark(m, PK_SET);
    case 'a': return op_append_one(m);
    case 'e': return op_append(m, PK_LIST);
    case 0x90: return op_append(m, PK_SET);
    case 's': return op_set_item(m);
    case 'u': return op_append(m, PK_DICT);
    case 'p': return op_text_memo(m, true);
    case 'q': return op_memo(m, 1, true);
    case 'r': return op_memo(m, 4, true);
    case 0x94: return memo_put(m, m->memos);
    case 'g': return op_text_memo(m, false);
    case 'h': return op_memo(m, 1, false);
    case 'j': return op_memo(m, 4, false);
    case 'c': return op_global(m, false);
    case 'i': return op_global(m, true);
    case 0x93: return op_stack_global(m);
    case 'o': return op_obj(m, NULL);
    case 'R': return op_call(m);
    case 0x81: return op_call(m);
    case 0x92: return op_newobj_ex(m);
    case 'b': return op_build(m);
    case 'P':
      return take_line(m, &t) && push_text(m, PK_STR, t.start, t.len) && op_persid(m, stack_pop(m));
    case 'Q': return op_persid(m, stack_pop(m));
    case 0x82:
    case 0x83:
    case 0x84: return pk_bad(m, "uses Python's extension registry");
    default: return pk_bad(m, "unknown instruction");
  }
}

static bool machine_step(PkMachine *m, int op) {
  uint64_t u = 0;
  Pk **v;
  size_t n;
  switch (op) {
    case 0x80: return op_protocol(m);
    case 0x95: return op_frame(m);
    case '(': return push_mark(m);
    case '0':
      if (m->top == floor_of(m) && m->nmark) {
        m->nmark--;
        return true;
      }
      return stack_pop(m) != NULL;
    case '1': return pop_mark(m, &v, &n);
    case '2': return stack_push(m, stack_peek(m));
    case 'N': return stack_push(m, pk_make(m, PK_NONE));
    case 0x88: return push_int(m, PK_BOOL, 1);
    case 0x89: return push_int(m, PK_BOOL, 0);
    case 'I': return op_text_int(m, false);
    case 'L': return op_text_int(m, true);
    case 'J': return take_uint(m, 4, &u) && push_int(m, PK_INT, (int32_t)(uint32_t)u);
    case 'K': return take_uint(m, 1, &u) && push_int(m, PK_INT, (int64_t)u);
    case 'M': return take_uint(m, 2, &u) && push_int(m, PK_INT, (int64_t)u);
    case 0x8a: return op_long(m, 1);
    case 0x8b: return op_long(m, 4);
    case 'F': return op_text_float(m);
    case 'G': return op_binary_float(m);
    case 'S': return op_quoted(m, false);
    case 'V': return op_quoted(m, true);
    case 'T': return op_counted(m, 4, PK_STR);
    case 'U': return op_counted(m, 1, PK_STR);
    case 'X': return op_counted(m, 4, PK_STR);
    case 0x8c: return op_counted(m, 1, PK_STR);
    case 0x8d: return op_counted(m, 8, PK_STR);
    case 'B': return op_counted(m, 4, PK_BYTES);
    case 'C': return op_counted(m, 1, PK_BYTES);
    case 0x8e: return op_counted(m, 8, PK_BYTES);
    case 0x96: return op_counted(m, 8, PK_BYTES);
    case 0x97: return pk_bad(m, "its data is in other files");
    case 0x98: return true;
    default: return step_structure(m, op);
  }
}

Status pickle_read(Pickle *k, const uint8_t *data, size_t n, bool script, const char *name,
                   Error *e) {
  memset(k, 0, sizeof *k);
  PkMachine m = {.out = k, .data = data, .ndata = n, .script = script, .name = name, .err = e};
  /* never NULL below: pointers into an empty stack are formed */
  m.stack = pk_alloc(&m, 32 * sizeof *m.stack);
  m.cap = m.stack ? 32 : 0;
  while (m.st == ST_OK) {
    if (m.at >= n) {
      pk_bad(&m, "ends too early");
      break;
    }
    int op = data[m.at++];
    if (op == '.') {
      k->root = stack_pop(&m);
      break;
    }
    machine_step(&m, op);
  }
  k->used = m.at;
  if (m.st != ST_OK) pickle_free(k);
  return m.st;
}

void pickle_free(Pickle *k) {
  for (Chunk *c = k->arena; c;) {
    Chunk *next = c->next;
    mem_free(c);
    c = next;
  }
  memset(k, 0, sizeof *k);
}
