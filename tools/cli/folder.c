/* folder.c: see folder.h. */
#include "tools/cli/folder.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"
#include "tools/cli/undo.h"

bool outputs_force;

typedef struct Held {
  char dir[PATH_LEN];
  char note[PATH_LEN];
  int lock; /* -1: this file system has no locks */
  OsInfo info;
  bool made;
  char last[200]; /* the file that makes what is noted whole; "": there, or nothing is noted */
  char last_real[OS_PATH]; /* the same as writers name it, who follow links */
} Held;

/* A command has one, `prlx demo` one and those of its parts. */
static Held held[8];
static int nheld;

typedef struct Holder {
  long long process;
  char host[256];
} Holder;

static void holder_self(Holder *h) {
  h->process = (long long)os_process_id();
  os_host(h->host);
  if (!h->host[0]) strcpy(h->host, "?");
}

/* Who the note says has the folder; false: nobody. */
static bool holder_read(const char *note, Holder *h) {
  uint8_t text[400];
  size_t n;
  if (file_head(note, text, sizeof text - 1, &n, NULL) != ST_OK) return false;
  text[n] = 0;
  return sscanf((char *)text, "process %lld on %255[^\n]", &h->process, h->host) == 2 &&
         h->process > 0;
}

/* Is the process that wrote the note still there, as far as can be known? */
static bool holder_lives(const Holder *h) {
  Holder self;
  holder_self(&self);
  if (strcmp(h->host, self.host)) return true;
  return h->process != self.process && !os_process_gone(h->process);
}

static Status folder_taken(const Held *f, Error *e) {
  Holder h;
  if (!holder_read(f->note, &h))
    return err_set(e, ST_INVALID,
                   "%s: another prlx writes into this folder; expected to have it alone; wait for "
                   "it, stop it, or choose another --out",
                   f->dir);
  return err_set(e, ST_INVALID,
                 "%s: prlx process %lld on %s writes into this folder; expected to have it alone; "
                 "wait for it, stop it, or choose another --out",
                 f->dir, h.process, h.host);
}

/* By its note alone, which a process on another machine that was killed leaves for good. */
static Status folder_noted(const Held *f, Error *e) {
  folder_taken(f, e);
  if (e) {
    const size_t n = strlen(e->msg);
    snprintf(e->msg + n, sizeof e->msg - n, "; where it is gone: remove %s", f->note);
  }
  return ST_INVALID;
}

/* What the last holder, who is gone, left of a result that is not whole. */
static Status folder_undo(const Held *f, Error *e) {
  Holder h, self;
  holder_self(&self);
  if (!holder_read(f->note, &h) || !undo_made(f->dir, f->note, false)) return ST_OK;
  if (strcmp(h.host, self.host) && !outputs_force)
    return err_set(e, ST_INVALID,
                   "%s: prlx process %lld on %s writes into this folder, or was killed there and "
                   "left a part of its results; expected to have it alone; wait for it; where it "
                   "is gone, --force removes that part",
                   f->dir, h.process, h.host);
  const int n = undo_made(f->dir, f->note, true);
  if (!tool_quiet)
    fprintf(stderr, "prlx: note: %s: %d file%s of a run that was killed (process %lld) removed\n",
            f->dir, n, n == 1 ? "" : "s", h.process);
  return ST_OK;
}

static Status folder_lock(Held *f, Error *e) {
  Holder h;
  f->lock = os_folder_lock(f->dir);
  if (f->lock >= 0) return ST_OK;
  if (errno == EWOULDBLOCK) return folder_taken(f, e);
  return holder_read(f->note, &h) && holder_lives(&h) ? folder_noted(f, e) : ST_OK;
}

/* Without it the lock holds all the same: a full disk is the business of the results. */
static void folder_sign(const Held *f) {
  Holder h;
  char text[300];
  holder_self(&h);
  const int n = snprintf(text, sizeof text, "process %lld on %s\n", h.process, h.host);
  const int fd = os_open(f->note, OS_TRUNCATE);
  if (fd < 0) return;
  (void)os_write(fd, text, (size_t)n);
  os_close(fd);
}

static bool folder_held(const Held *f) {
  for (int i = 0; i < nheld; i++)
    if (held[i].info.device == f->info.device && held[i].info.number == f->info.number) return true;
  return false;
}

Status tool_folder(const char *dir, Error *e) {
  if (nheld == COUNT_OF(held)) return err_set(e, ST_INTERNAL, "%s: too many folders", dir);
  Held *f = &held[nheld];
  f->made = !file_exists(dir);
  TRY(path_format(f->dir, e, "%s", dir));
  TRY(path_join(f->note, dir, FOLDER_NOTE, e));
  TRY(dir_make(dir, e));
  if (os_info(dir, &f->info))
    return err_set(e, ST_IO, "%s: the folder cannot be opened: %s; check its permissions", dir,
                   strerror(errno));
  if (folder_held(f)) return ST_OK;
  f->last[0] = 0;
  TRY(folder_lock(f, e));
  const Status s = folder_undo(f, e);
  if (s != ST_OK) {
    if (f->lock >= 0) os_close(f->lock);
    return s;
  }
  folder_sign(f);
  nheld++;
  return ST_OK;
}

static Held *folder_find(const char *dir) {
  for (Held *f = held; f < held + nheld; f++)
    if (!strcmp(f->dir, dir)) return f;
  return NULL;
}

void tool_folder_until(const char *dir, const char *last) {
  char path[PATH_LEN];
  Held *f = folder_find(dir);
  if (!f || path_join(path, dir, last, NULL) != ST_OK) return;
  snprintf(f->last, sizeof f->last, "%s", last);
  if (!os_real_path(path, f->last_real)) snprintf(f->last_real, sizeof f->last_real, "%s", path);
}

void tool_folder_whole(const char *dir) {
  Held *f = folder_find(dir);
  if (f) f->last[0] = 0;
}

/* The name within the folder; NULL: it is elsewhere. */
static const char *name_within(const Held *f, const char *path) {
  size_t n = strlen(f->dir);
  while (n > 1 && f->dir[n - 1] == '/') n--;
  return strncmp(path, f->dir, n) || path[n] != '/' ? NULL : path + n + strspn(path + n, "/");
}

Status tool_folder_naming(const char *path, const OsInfo *info, Error *e) {
  OsInfo old;
  for (const Held *f = held; f < held + nheld; f++) {
    const char *name = name_within(f, path);
    if (!f->last[0]) continue;
    if (!strcmp(path, f->last_real))
      TRY(undo_note(f->note, f->last, info, true, e));
    else if (name && os_link_info(path, &old) != 0)
      TRY(undo_note(f->note, name, info, false, e));
  }
  return ST_OK;
}

void tool_folders_drop(void) {
  for (int i = nheld - 1; i >= 0; i--) {
    if (held[i].last[0]) continue;
    (void)os_remove(held[i].note);
    if (held[i].made) (void)os_remove_folder(held[i].dir);
  }
}

void tool_folders_leave(void) {
  while (nheld > 0) {
    const Held *f = &held[--nheld];
    if (f->last[0]) (void)undo_made(f->dir, f->note, true);
    (void)os_remove(f->note);
    if (f->made) (void)os_remove_folder(f->dir); /* says no where something is in it */
    if (f->lock >= 0) os_close(f->lock);
  }
}
