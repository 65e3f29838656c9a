/* torch_collect.c: from the saved object to a list of named tensors: dicts, lists, StyleGAN2-ADA
 * modules, TorchScript objects. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/json.h"
#include "io/formats/torch.h"

enum { MAX_DEPTH = 32, MAX_VISITS = 1 << 20, MAX_PATH = TORCH_MAX_NAME + 2 };
/* One walk. A value met again on its own path is a cycle; values met again elsewhere are walked
 * again, so visits are counted. */
typedef struct Walk {
  TorchFile *f;
  char path[MAX_PATH];
  size_t len;
  int depth;
  int visits;
  Error *e;
} Walk;

static Status walk_value(Walk *w, Pk *v);

const Pk *torch_module(const Pk *v, PkText *class_name) {
  const Pk *meta =
      pk_calls(v, "torch_utils.persistence", "_reconstruct_persistent_obj") ? pk_arg(v, 0) : NULL;
  const Pk *state = pk_get(meta, "state"), *name = pk_get(meta, "class_name");
  if (!state || state->kind != PK_DICT) return NULL;
  if (class_name) *class_name = name && name->kind == PK_STR ? name->text : (PkText){"", 0};
  return state;
}

/* Counts an entry that is passed over, and keeps the first of their names to be shown. */
static Status too_long(Walk *w, PkText last) {
  char text[MAX_PATH + 96], b[80];
  w->visits++;
  if (w->f->toolong++) return ST_OK;
  snprintf(text, sizeof text, "%.*s%s%s", (int)w->len, w->path, w->len ? "." : "",
           pk_show(last, b));
  w->f->longest = mem_strdup(text);
  return w->f->longest ? ST_OK : err_set(w->e, ST_NOMEM, "%s: out of memory", w->f->name);
}

/* Adds ".key" to the path; the caller restores w->len. Names go into JSON headers, onto terminals
 * and into comparisons: UTF-8 as pickled text should be, no control characters. *skip: the name is
 * too long, the entry is counted and must be passed over. */
static Status path_enter(Walk *w, const Pk *key, size_t index, bool *skip) {
  char number[32];
  PkText t = {number, 0};
  if (key && key->kind == PK_STR)
    t = key->text;
  else
    t.len =
        (size_t)snprintf(number, sizeof number, "%lld",
                         key && key->kind == PK_INT ? (long long)key->integer : (long long)index);
  bool plain = true;
  /* no further than a name may reach: one long text can be the key of a million entries */
  for (size_t i = 0; i < PRLX_MIN(t.len, (size_t)MAX_PATH); i++)
    plain &= (unsigned char)t.start[i] >= 0x20 && t.start[i] != 0x7f;
  char b[80];
  if (!plain)
    return err_set(w->e, ST_FORMAT,
                   "%s: entry \"%s\" below \"%.*s\": a name with control characters; expected "
                   "printable ones",
                   w->f->name, pk_show(t, b), (int)PRLX_MIN(w->len, (size_t)80), w->path);
  *skip = t.len > TORCH_MAX_NAME || w->len + t.len + 2 > sizeof w->path;
  if (*skip) return too_long(w, t);
  if (w->len) w->path[w->len++] = '.';
  memcpy(w->path + w->len, t.start, t.len);
  w->path[w->len + t.len] = 0;
  if (!json_utf8(w->path + w->len))
    return err_set(w->e, ST_FORMAT, "%s: entry \"%s\": its name is not UTF-8; expected UTF-8",
                   w->f->name, pk_show(t, b));
  w->len += t.len;
  return ST_OK;
}

static void path_leave(Walk *w, size_t len) {
  w->len = len;
  w->path[len] = 0;
}

static Status add_tensor(Walk *w, const Pk *v) {
  TorchFile *f = w->f;
  if (f->count == TORCH_MAX_TENSORS)
    return err_set(w->e, ST_FORMAT, "%s: more than %d tensors; not a network", f->name,
                   TORCH_MAX_TENSORS);
  if (f->count == f->cap) {
    int next = f->cap ? f->cap * 2 : 64;
    void *p =
        mem_grow(f->tensor, (size_t)f->count * sizeof *f->tensor, (size_t)next * sizeof *f->tensor);
    if (!p) return err_set(w->e, ST_NOMEM, "%s: out of memory for the list of tensors", f->name);
    f->tensor = p;
    f->cap = next;
  }
  TorchTensor t;
  TRY(torch_tensor(f, v, w->path, &t, w->e));
  t.name = mem_strdup(w->len ? w->path : "tensor");
  f->tensor[f->count++] = t;
  return t.name ? ST_OK : err_set(w->e, ST_NOMEM, "%s: out of memory", f->name);
}

static bool in_set(const Pk *set, const Pk *name) {
  for (size_t i = 0; set && set->kind == PK_SET && name->kind == PK_STR && i < set->nitem; i++)
    if (set->item[i]->kind == PK_STR && set->item[i]->text.len == name->text.len &&
        (!name->text.len || !memcmp(set->item[i]->text.start, name->text.start, name->text.len)))
      return true;
  return false;
}

/* The entries of _parameters, _buffers, _modules in the order of state_dict(). An entry None is an
 * absent bias. */
static Status walk_module(Walk *w, const Pk *state) {
  static const char *const part[] = {"_parameters", "_buffers", "_modules"};
  const Pk *hidden = pk_get(state, "_non_persistent_buffers_set");
  if (hidden && hidden->nitem > 100)
    return err_set(w->e, ST_FORMAT, "%s: %zu hidden buffers in one module; not a network",
                   w->f->name, hidden->nitem);
  for (int k = 0; k < COUNT_OF(part); k++) {
    Pk *d = pk_get(state, part[k]);
    for (size_t i = 0; d && d->kind == PK_DICT && i + 1 < d->nitem; i += 2) {
      Pk *v = d->item[i + 1];
      size_t len = w->len;
      if (v->kind == PK_NONE || (k == 1 && in_set(hidden, d->item[i]))) continue;
      bool skip = false;
      TRY(path_enter(w, d->item[i], i / 2, &skip));
      if (skip) continue;
      if (k < 2 && !torch_is_tensor(v))
        return err_set(w->e, ST_FORMAT, "%s: parameter %s is no tensor; the file is damaged",
                       w->f->name, w->path);
      TRY(walk_value(w, v));
      path_leave(w, len);
    }
  }
  return ST_OK;
}

static bool has_branches(const Pk *v) {
  return v->kind == PK_CALL || v->kind == PK_DICT || v->kind == PK_LIST || v->kind == PK_TUPLE;
}

static Status walk_items(Walk *w, Pk *v) {
  size_t step = v->kind == PK_DICT ? 2 : 1;
  for (size_t i = 0; i + step <= v->nitem; i += step) {
    size_t len = w->len;
    if (!has_branches(v->item[i + step - 1]) ||
        (step == 2 && v->item[i]->kind != PK_STR && v->item[i]->kind != PK_INT)) {
      w->f->others++;
      w->visits++;
      continue;
    }
    bool skip = false;
    TRY(path_enter(w, step == 2 ? v->item[i] : NULL, i, &skip));
    if (skip) continue;
    TRY(walk_value(w, v->item[i + step - 1]));
    path_leave(w, len);
  }
  return ST_OK;
}

/* The attributes of an argparse.Namespace or a types.SimpleNamespace; NULL: v is none. Protocols 0
 * and 1 write copyreg._reconstructor(class, object, None). */
static Pk *namespace_items(const Pk *v) {
  const Pk *c = pk_calls(v, "copyreg", "_reconstructor") ? pk_arg(v, 0)
                : v->kind == PK_CALL                     ? v->item[0]
                                                         : NULL;
  const bool is = c && c->kind == PK_GLOBAL &&
                  ((pk_text_is(c->text, "argparse") && pk_text_is(c->name, "Namespace")) ||
                   (pk_text_is(c->text, "types") && pk_text_is(c->name, "SimpleNamespace")));
  return is && v->state && v->state->kind == PK_DICT ? v->state : NULL;
}

static Status walk_value(Walk *w, Pk *v) {
  if (++w->visits > MAX_VISITS)
    return err_set(w->e, ST_FORMAT, "%s: more than %d entries; not a network", w->f->name,
                   MAX_VISITS);
  if (torch_is_tensor(v)) return add_tensor(w, v);
  const Pk *module = torch_module(v, NULL);
  /* these dicts are searched */
  if (module) w->visits += (int)PRLX_MIN(module->nitem + pk_arg(v, 0)->nitem, (size_t)MAX_VISITS);
  bool script = v->kind == PK_CALL && v->item[0]->text.len >= 9 &&
                !memcmp(v->item[0]->text.start, "__torch__", 9) && v->state &&
                v->state->kind == PK_DICT;
  bool items = v->kind == PK_DICT || v->kind == PK_LIST || v->kind == PK_TUPLE;
  Pk *space = namespace_items(v);
  if (!module && !script && !items && !space) {
    w->f->others++;
    return ST_OK;
  }
  if (v->busy)
    return err_set(w->e, ST_FORMAT, "%s: \"%s\" contains itself; not a file of weights", w->f->name,
                   w->path);
  if (w->depth == MAX_DEPTH)
    return err_set(w->e, ST_FORMAT,
                   "%s: \"%.80s\": nested more than %d deep; not a file of weights", w->f->name,
                   w->path, MAX_DEPTH);
  v->busy = true;
  w->depth++;
  Status s = module ? walk_module(w, module) : walk_items(w, script || space ? v->state : v);
  w->depth--;
  v->busy = false;
  return s;
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(TorchTensor *const *)a)->name, (*(TorchTensor *const *)b)->name);
}

static Status check_names(TorchFile *f, Error *e) {
  TorchTensor **order = mem_alloc((size_t)f->count * sizeof *order);
  if (!order) return err_set(e, ST_NOMEM, "%s: out of memory", f->name);
  for (int i = 0; i < f->count; i++) order[i] = &f->tensor[i];
  qsort(order, (size_t)f->count, sizeof *order, by_name);
  Status s = ST_OK;
  for (int i = 1; i < f->count; i++) {
    if (strcmp(order[i]->name, order[i - 1]->name)) continue;
    s = err_set(e, ST_FORMAT, "%s: two tensors are called %s; the file is damaged", f->name,
                order[i]->name);
    break;
  }
  mem_free(order);
  return s;
}

Status torch_collect(TorchFile *f, Error *e) {
  Walk w = {.f = f, .e = e};
  TRY(walk_value(&w, f->tree.root));
  return check_names(f, e);
}

const TorchTensor *torch_find(const TorchFile *f, const char *name) {
  for (int i = 0; i < f->count; i++)
    if (!strcmp(f->tensor[i].name, name)) return &f->tensor[i];
  return NULL;
}
