/* outputs.c: see outputs.h. */
#include "tools/cli/outputs.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "tools/cli/folder.h"
#include "tools/cli/marks.h"

/* A file by what it is, not by how it is spelled. */
typedef struct FileId {
  uint64_t device;
  uint64_t number;
} FileId;

typedef struct IdSet {
  FileId *id; /* [room], a power of two; number and device 0: free */
  size_t room;
  size_t n;
} IdSet;

typedef struct Named {
  FileId id;
  const char *text; /* as on the command line */
} Named;

typedef struct Output {
  const char *path;
  const char *kind;
} Output;

/* Files that readers opened, that writers made, that are renewed by design; folders that are ours.
 * Readers run in several threads. Where memory for them is short, a file is not remembered as
 * opened, and the named ones still are. */
static struct {
  OsMutex lock;
  IdSet opened;
  IdSet written;
  IdSet renewed;
  IdSet folders;
  Named *named;
  int nnamed;
  Output *out;
  int nout;
  const char *command; /* as the option table has it: "paper run" */
} watch = {.lock = OS_MUTEX_INIT, .command = "prlx"};

static _Thread_local bool looking; /* not as a reader of the command */

/* ---- sets ---- */

static FileId id_of(const OsInfo *i) { return (FileId){i->device, i->number}; }
static bool id_same(FileId a, FileId b) { return a.device == b.device && a.number == b.number; }
static bool id_free(FileId a) { return !a.device && !a.number; }

static size_t id_slot(const IdSet *s, FileId id) {
  size_t at = (size_t)((id.number ^ id.device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu >> 20);
  for (at &= s->room - 1; !id_free(s->id[at]) && !id_same(s->id[at], id);)
    at = (at + 1) & (s->room - 1);
  return at;
}

static bool id_has(const IdSet *s, FileId id) { return s->n && id_same(s->id[id_slot(s, id)], id); }

static void id_add(IdSet *s, FileId id) {
  if (2 * (s->n + 1) > s->room) {
    IdSet more = {.room = s->room ? 2 * s->room : 64};
    more.id = mem_alloc(more.room * sizeof *more.id);
    if (!more.id) return;
    for (size_t i = 0; i < s->room; i++)
      if (!id_free(s->id[i])) more.id[id_slot(&more, s->id[i])] = s->id[i], more.n++;
    mem_free(s->id);
    *s = more;
  }
  const size_t at = id_slot(s, id);
  s->n += id_free(s->id[at]);
  s->id[at] = id;
}

static void id_clear(IdSet *s) {
  mem_free(s->id);
  *s = (IdSet){0};
}

/* ---- whose file it is ---- */

/* The folder that a path lies in. */
static bool folder_of(const char *path, OsInfo *out) {
  char dir[PATH_LEN];
  const size_t n = (size_t)(path_base(path) - path);
  if (n >= sizeof dir) return false;
  snprintf(dir, sizeof dir, "%.*s", (int)n, path);
  return os_info(n ? dir : ".", out) == 0;
}

/* Folders within a folder of ours are ours: walks up the path as it is spelled without links. */
static bool in_own_folder(const char *path) {
  char dir[OS_PATH];
  OsInfo info;
  if (!watch.folders.n || !folder_of(path, &info)) return false;
  if (id_has(&watch.folders, id_of(&info))) return true;
  if (!os_real_path(path, dir)) return false;
  for (char *slash; (slash = strrchr(dir, '/')) && slash > dir;) {
    *slash = 0;
    if (os_info(dir, &info) == 0 && id_has(&watch.folders, id_of(&info))) return true;
  }
  return false;
}

static bool text_within(const uint8_t *p, size_t n, const char *text) {
  const size_t m = strlen(text);
  for (size_t i = 0; i + m <= n; i++)
    if (!memcmp(p + i, text, m)) return true;
  return false;
}

/* Looks into a file; that makes it no input. */
static size_t look_into(const char *path, uint8_t *head, size_t room) {
  size_t n = 0;
  looking = true;
  if (file_head(path, head, room, &n, NULL) != ST_OK) n = 0;
  looking = false;
  return n;
}

/* Such a command wrote it before: its beginning holds what files of this kind hold. */
static bool file_is_kind(const char *path, const char *kind) {
  enum { LOOK = 1 << 16 };
  uint8_t *head = kind ? mem_alloc(LOOK) : NULL;
  const bool yes = head && text_within(head, look_into(path, head, LOOK), kind);
  mem_free(head);
  return yes;
}

static bool is_named_input(FileId id) {
  for (int i = 0; i < watch.nnamed; i++)
    if (id_same(watch.named[i].id, id)) return true;
  return false;
}

/* A named output that is there, of the kind that will be written. */
static bool is_earlier_result(const char *path, FileId id) {
  for (int i = 0; i < watch.nout; i++) {
    OsInfo info;
    const bool same = !strcmp(watch.out[i].path, path) ||
                      (os_info(watch.out[i].path, &info) == 0 && id_same(id_of(&info), id));
    if (same) return file_is_kind(path, watch.out[i].kind);
  }
  return false;
}

static Status refuse_input(const char *path, Error *e) {
  return err_set(e, ST_INVALID,
                 "%s: is an input of this command and would be written over; expected another "
                 "name; choose another output",
                 path);
}

/* A symbolic link whose file is not there: it was to be somewhere else, on a disk that is not
 * mounted, say. The file would come in place of the link. */
static Status refuse_astray(const char *path, Error *e) {
  if (outputs_force) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: is a symbolic link to a file that is not there; correct the link or choose "
                 "another output; --force replaces the link",
                 path);
}

static bool is_astray(const char *path) {
  OsInfo info;
  return os_info(path, &info) != 0 && os_link_info(path, &info) == 0;
}

/* What is said of a file that stays: who made it, where its folder's mark says so. */
static Status refuse_stranger(const char *path, Error *e) {
  char dir[PATH_LEN], makers[MARKS_LEN];
  const size_t n = (size_t)(path_base(path) - path);
  snprintf(dir, sizeof dir, "%.*s", (int)PRLX_MIN(n, sizeof dir - 1), path);
  looking = true;
  marks_makers(n ? dir : ".", makers);
  looking = false;
  return err_set(e, ST_INVALID,
                 "%s: is there already and is not a result of this command%s%s%s; --force replaces "
                 "it, or choose another output",
                 path, *makers ? " (the folder holds those of " : "", makers, *makers ? ")" : "");
}

static Status may_replace(const OsInfo *info, const char *path, Error *e) {
  if (info->kind != OS_FILE) return refuse_astray(path, e);
  const FileId id = id_of(info);
  if (is_named_input(id)) return refuse_input(path, e);
  if (id_has(&watch.written, id) || id_has(&watch.renewed, id)) return ST_OK;
  const bool own = in_own_folder(path);
  if (id_has(&watch.opened, id) && !own) return refuse_input(path, e);
  if (own || outputs_force) return ST_OK;
  if (is_earlier_result(path, id)) return ST_OK;
  return refuse_stranger(path, e);
}

/* ---- the watch ---- */

static void on_open(const OsInfo *info) {
  if (looking) return;
  os_mutex_lock(&watch.lock);
  if (!id_has(&watch.written, id_of(info))) id_add(&watch.opened, id_of(info));
  os_mutex_unlock(&watch.lock);
}

/* Not under the lock: it opens files itself. Writers run in one thread. */
static Status on_replace(const OsInfo *info, const char *path, Error *e) {
  return marks_writing() ? ST_OK : may_replace(info, path, e);
}

static void on_written(const OsInfo *info) {
  os_mutex_lock(&watch.lock);
  id_add(&watch.written, id_of(info));
  os_mutex_unlock(&watch.lock);
  if (!marks_writing()) marks_keep();
}

static Status on_naming(const char *path, const OsInfo *info, Error *e) {
  if (info) TRY(tool_folder_naming(path, info, e));
  return marks_writing() ? ST_OK : marks_write(e);
}

void outputs_watch(void) {
  static const FileWatch hooks = {on_open, on_replace, on_naming, on_written};
  file_watch(&hooks);
}

/* ---- what the command says ---- */

static void add_named(const char *text) {
  OsInfo info;
  if (!text || os_info(text, &info) != 0 || info.kind != OS_FILE) return;
  Named *more = mem_grow(watch.named, (size_t)watch.nnamed * sizeof *more,
                         (size_t)(watch.nnamed + 1) * sizeof *more);
  if (!more) return;
  watch.named = more;
  watch.named[watch.nnamed++] = (Named){id_of(&info), text};
}

static void forget_command(void) {
  mem_free(watch.named);
  mem_free(watch.out);
  watch.named = NULL;
  watch.out = NULL;
  watch.nnamed = watch.nout = 0;
  id_clear(&watch.opened);
  id_clear(&watch.renewed);
}

void outputs_forget(void) {
  marks_take_back();
  forget_command();
  id_clear(&watch.written);
  id_clear(&watch.folders);
}

void outputs_arguments(const OptSpec *s) {
  forget_command();
  watch.command = s->cmd;
  for (int i = 0; i < s->nargs; i++) add_named(s->args[i]);
  for (int i = 0; i < s->n; i++)
    if (s->opt[i].kind == OPTK_STR) add_named(*(const char **)s->opt[i].dst);
}

static void own_folder(const char *dir) {
  OsInfo info;
  if (os_info(dir, &info) == 0) id_add(&watch.folders, id_of(&info));
}

/* Nothing in it but what a desktop or a killed process left. Whose a folder is that may be written
 * to and not looked into, nobody knows: it is not empty. */
static Status folder_is_empty(const char *dir, bool *empty, Error *e) {
  OsFolder *d = os_folder_open(dir);
  *empty = d != NULL;
  if (!d && errno != EACCES)
    return err_set(e, ST_IO, "%s: the folder cannot be read: %s", dir, strerror(errno));
  for (const char *name; *empty && (name = os_folder_next(d));)
    *empty = name[0] == '.' || file_is_stale(name);
  if (d) os_folder_close(d);
  return ST_OK;
}

/* A cohort of ours says so in the file that BIDS has for it. */
static bool folder_is_cohort(const char *dir) {
  char path[PATH_LEN];
  uint8_t head[4096];
  return path_join(path, dir, "dataset_description.json", NULL) == ST_OK && file_exists(path) &&
         text_within(head, look_into(path, head, sizeof head), "prlx");
}

Status outputs_foreign(const char *dir, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, dir, "dataset_description.json", e));
  if (outputs_force || !file_exists(path) || folder_is_cohort(dir)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: is another BIDS dataset (its dataset_description.json is not of prlx), among "
                 "whose files the results would lie; choose a folder of their own, such as "
                 "%s/derivatives/prlx",
                 dir, dir);
}

/* Who says - means standard output, and would look for a file of that name in vain. */
static Status refuse_dash(const char *path, Error *e) {
  if (strcmp(path, "-") != 0) return ST_OK;
  return err_set(e, ST_INVALID,
                 "-: is no name of an output here; expected a name (/dev/stdout is standard "
                 "output where one file is written; ./- is a file called -)");
}

/* within: the folder is part of what `prlx paper run` has made its own. */
static Status look_at_mark(const char *dir, MarkKind *mark, bool *within, Error *e) {
  looking = true;
  *within = marks_open_parent(dir);
  const Status s = marks_look(dir, watch.command, mark, e);
  looking = false;
  return s;
}

static Status claim_folder(const char *dir, Error *e) {
  MarkKind mark;
  bool empty, within;
  TRY(refuse_dash(dir, e));
  TRY(outputs_foreign(dir, e));
  TRY(tool_folder(dir, e));
  TRY(look_at_mark(dir, &mark, &within, e));
  TRY(folder_is_empty(dir, &empty, e));
  const bool ours = within || mark == MARK_OPEN || mark == MARK_OURS;
  if (ours || empty || folder_is_cohort(dir)) own_folder(dir);
  if (ours || (mark == MARK_NONE && !empty)) return ST_OK;
  return marks_want(dir, watch.command, e);
}

Status outputs_folder(const char *dir, const char *names, Error *e) {
  char name[80];
  TRY(claim_folder(dir, e));
  while (names && *names) {
    const size_t n = strcspn(names, " ");
    snprintf(name, sizeof name, "%.*s", (int)n, names);
    TRY(outputs_member(dir, name, e));
    names += n + strspn(names + n, " ");
  }
  return ST_OK;
}

Status outputs_adopt(const char *dir, Error *e) {
  char makers[MARKS_LEN];
  MarkKind mark;
  bool within;
  TRY(look_at_mark(dir, &mark, &within, e));
  looking = true;
  marks_makers(dir, makers);
  looking = false;
  if (*makers && !outputs_force)
    return err_set(e, ST_INVALID,
                   "%s: holds the results of %s; expected a folder of its own; choose another, or "
                   "--force writes among them",
                   dir, makers);
  TRY(outputs_own_folder(dir, e));
  if (mark == MARK_OPEN) return ST_OK;
  TRY(marks_want(dir, NULL, e));
  return marks_write(e);
}

Status outputs_cohort(const char *dir, Error *e) {
  bool empty;
  if (!file_exists(dir)) return ST_OK;
  if (!os_is_folder(dir)) return err_set(e, ST_IO, "%s: is a file; expected a folder", dir);
  TRY(outputs_foreign(dir, e));
  TRY(folder_is_empty(dir, &empty, e));
  if (empty || folder_is_cohort(dir)) own_folder(dir);
  return ST_OK;
}

Status outputs_own_folder(const char *dir, Error *e) {
  TRY(dir_make(dir, e));
  own_folder(dir);
  return ST_OK;
}

/* The same text is no input any more; a link or another option that leads to the file still is. */
static void drop_named(const char *text) {
  int n = 0;
  for (int i = 0; i < watch.nnamed; i++)
    if (watch.named[i].text != text) watch.named[n++] = watch.named[i];
  watch.nnamed = n;
}

static Status add_output(const char *path, const char *kind, Error *e) {
  for (int i = 0; i < watch.nout; i++)
    if (!strcmp(watch.out[i].path, path))
      return err_set(e, ST_INVALID, "%s: is named for two outputs; expected a name for each", path);
  Output *more = mem_grow(watch.out, (size_t)watch.nout * sizeof *more,
                          (size_t)(watch.nout + 1) * sizeof *more);
  if (!more) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  watch.out = more;
  watch.out[watch.nout++] = (Output){path, kind};
  return ST_OK;
}

/* A file gets its name at the end, after hours maybe, and is called something longer until then. */
static Status check_name(const char *path, Error *e) {
  static const char longest[] = ".tmp00000000-0000000000.0000";
  char tmp[PATH_LEN];
  OsInfo info;
  const char *base = path_base(path);
  const size_t n = strlen(path);
  if (!*base)
    return err_set(e, ST_INVALID, "%.200s: ends in a slash, as a folder does; expected a file name",
                   path);
  const bool fits = n + sizeof longest <= sizeof tmp;
  if (fits) snprintf(tmp, sizeof tmp, "%s%s", path, longest);
  if (fits && (os_info(tmp, &info) == 0 || errno != ENAMETOOLONG)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%.80s...: a path of %zu bytes, %zu of them the file's name, is too long for this "
                 "disk; expected at most about 220 for a name; choose a shorter one",
                 path, n, strlen(base));
}

static Status check_folder(const char *path, Error *e) {
  char dir[PATH_LEN];
  const size_t n = (size_t)(path_base(path) - path);
  TRY(check_name(path, e));
  snprintf(dir, sizeof dir, "%.*s", (int)n, path);
  if (os_can_write_folder(n ? dir : ".")) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be created: %s; choose a folder that exists and is writable",
                 path, strerror(errno));
}

Status outputs_file(const char *path, const char *kind, Error *e) {
  OsInfo info;
  if (!path) return ST_OK;
  TRY(refuse_dash(path, e));
  drop_named(path);
  TRY(add_output(path, kind, e));
  if (is_astray(path)) TRY(refuse_astray(path, e));
  if (os_info(path, &info) != 0) return check_folder(path, e);
  if (info.kind == OS_FOLDER)
    return err_set(e, ST_IO, "%s: is a folder; expected a file name", path);
  return info.kind == OS_FILE ? may_replace(&info, path, e) : ST_OK;
}

Status outputs_beside(const char *path, const char *main_output, Error *e) {
  OsInfo info, own;
  if (is_astray(path)) return refuse_astray(path, e);
  if (os_info(path, &info) != 0 || info.kind != OS_FILE) return ST_OK;
  if (os_info(main_output, &own) == 0 && own.kind == OS_FILE && !is_named_input(id_of(&info)))
    outputs_renew(path);
  return may_replace(&info, path, e);
}

Status outputs_member(const char *dir, const char *name, Error *e) {
  char path[PATH_LEN];
  OsInfo info;
  TRY(path_join(path, dir, name, e));
  if (is_astray(path)) return refuse_astray(path, e);
  return os_info(path, &info) == 0 && info.kind == OS_FILE ? may_replace(&info, path, e) : ST_OK;
}

void outputs_renew(const char *path) {
  OsInfo info;
  if (os_info(path, &info) != 0 || info.kind != OS_FILE) return;
  os_mutex_lock(&watch.lock);
  id_add(&watch.renewed, id_of(&info));
  os_mutex_unlock(&watch.lock);
}

/* ---- folders made beside ---- */

/* What a walk through a folder does with the files in it. */
typedef enum TreeAct {
  TREE_REMOVE, /* they go, and the folders */
  TREE_LOOK,   /* nothing, but fails where TREE_MOVE would */
  TREE_HIDE,   /* those of the other folder that are called `last` go */
  TREE_MOVE,   /* they take their places in the other folder, but those called `last` */
  TREE_LAST    /* all do but `last` in the folder itself */
} TreeAct;

typedef struct Tree {
  TreeAct act;
  const char *top;
  const char *last;
} Tree;

static Status tree_walk(const Tree *t, const char *from, const char *to, Error *e);

static Status tree_look(bool folder, const char *to, Error *e) {
  OsInfo info;
  if (os_info(to, &info) != 0) return ST_OK;
  if ((info.kind == OS_FOLDER) != folder)
    return err_set(e, ST_INVALID, "%s: is %s where %s is to be written; move it away", to,
                   folder ? "a file" : "a folder", folder ? "a folder" : "a file");
  if (!folder || os_can_write_folder(to)) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be written to: %s; check its permissions", to,
                 strerror(errno));
}

static Status tree_file(const Tree *t, const char *from, const char *to, const char *name,
                        Error *e) {
  const bool last = t->last && !strcmp(name, t->last);
  int failed = 0;
  if (t->act == TREE_LOOK) return tree_look(false, to, e);
  if (t->act == TREE_REMOVE)
    failed = os_remove(from);
  else if (t->act == TREE_HIDE)
    failed = last && os_remove(to) != 0 && errno != ENOENT;
  else if (!last || (t->act == TREE_LAST && path_base(from) != from + strlen(t->top) + 1))
    failed = os_replace(from, to);
  if (!failed) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be moved or removed: %s", t->act == TREE_HIDE ? to : from,
                 strerror(errno));
}

/* One entry of a folder. Links are not followed. */
static Status tree_entry(const Tree *t, const char *from, const char *to, const char *name,
                         Error *e) {
  char a[PATH_LEN], b[PATH_LEN];
  OsInfo info;
  TRY(path_join(a, from, name, e));
  TRY(path_join(b, to, name, e));
  if (os_link_info(a, &info) != 0 || info.kind != OS_FOLDER) return tree_file(t, a, b, name, e);
  if (t->act == TREE_LOOK) TRY(tree_look(true, b, e));
  if (t->act == TREE_MOVE) TRY(dir_make(b, e));
  return tree_walk(t, a, b, e);
}

static Status tree_walk(const Tree *t, const char *from, const char *to, Error *e) {
  Status s = ST_OK;
  OsFolder *d = os_folder_open(from);
  if (!d) return err_set(e, ST_IO, "%s: the folder cannot be read: %s", from, strerror(errno));
  for (const char *name; s == ST_OK && (name = os_folder_next(d));)
    s = tree_entry(t, from, to, name, e);
  os_folder_close(d);
  if (t->act != TREE_LOOK && t->act != TREE_HIDE)
    os_remove_folder(from); /* says no where something is in it */
  return s;
}

Status outputs_swap(const char *from, const char *to, const char *last, Error *e) {
  static const TreeAct acts[] = {TREE_LOOK, TREE_HIDE, TREE_MOVE, TREE_LAST};
  char a[PATH_LEN], b[PATH_LEN];
  TRY(path_join(a, from, last, e));
  TRY(path_join(b, to, last, e));
  for (int i = 0; i < COUNT_OF(acts); i++) {
    const Tree t = {acts[i], from, last};
    TRY(tree_walk(&t, from, to, e));
  }
  if (os_replace(a, b) != 0)
    return err_set(e, ST_IO, "%s: cannot be moved: %s", a, strerror(errno));
  os_remove_folder(from);
  return ST_OK;
}

void outputs_discard(const char *dir) {
  const Tree t = {.act = TREE_REMOVE};
  if (os_is_folder(dir)) (void)tree_walk(&t, dir, dir, NULL);
}
