/* folder.c: see folder.h. */
#include "io/formats/folder.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/path.h"

void folder_free(FolderList *l) {
  for (int i = 0; i < l->n; i++) mem_free(l->name[i]);
  mem_free(l->name);
  *l = (FolderList){0};
}

static int name_order(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool name_fits(const char *name, const char *pattern) {
  if (!pattern) return true;
  const char *star = strchr(pattern, '*');
  if (!star) return !strcmp(name, pattern);
  const size_t head = (size_t)(star - pattern), tail = strlen(star + 1), n = strlen(name);
  return n >= head + tail && !strncmp(name, pattern, head) && !strcmp(name + n - tail, star + 1);
}

static Status list_add(FolderList *l, const char *dir, const char *name, Error *e) {
  if (l->n % 64 == 0) {
    char **p = mem_grow(l->name, (size_t)l->n * sizeof *p, (size_t)(l->n + 64) * sizeof *p);
    if (!p) return err_set(e, ST_NOMEM, "%s: out of memory", dir);
    l->name = p;
  }
  if (!(l->name[l->n] = mem_strdup(name))) return err_set(e, ST_NOMEM, "%s: out of memory", dir);
  l->n++;
  return ST_OK;
}

static Status read_names(const char *dir, const char *pattern, bool hidden, FolderList *l,
                         Error *e) {
  *l = (FolderList){0};
  OsFolder *d = os_folder_open(dir);
  Status s = ST_OK;
  if (!d) return err_set(e, ST_IO, "%s: cannot be read: %s", dir, strerror(errno));
  for (const char *name; s == ST_OK && (name = os_folder_next(d));)
    if ((hidden || name[0] != '.') && name_fits(name, pattern)) s = list_add(l, dir, name, e);
  os_folder_close(d);
  if (s != ST_OK) folder_free(l);
  if (l->n) qsort(l->name, (size_t)l->n, sizeof *l->name, name_order);
  return s;
}

Status folder_read(const char *dir, const char *pattern, FolderList *l, Error *e) {
  return read_names(dir, pattern, false, l, e);
}

static Status cannot_remove(const char *path, Error *e) {
  if (errno == ENOENT) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be removed: %s", path, strerror(errno));
}

/* inside: PATH_LEN bytes to work in; not on the stack, since folders lie in folders. */
static Status remove_contents(const char *path, const FolderList *l, char *inside, Error *e) {
  for (int i = 0; i < l->n; i++) {
    TRY(path_join(inside, path, l->name[i], e));
    TRY(folder_remove(inside, e));
  }
  return ST_OK;
}

Status folder_remove(const char *path, Error *e) {
  OsInfo st;
  FolderList l;
  if (os_link_info(path, &st) != 0) return cannot_remove(path, e);
  if (st.kind != OS_FOLDER) return os_remove(path) == 0 ? ST_OK : cannot_remove(path, e);
  TRY(read_names(path, NULL, true, &l, e));
  char *inside = mem_alloc(PATH_LEN);
  const Status s = inside ? remove_contents(path, &l, inside, e)
                          : err_set(e, ST_NOMEM, "%s: out of memory", path);
  mem_free(inside);
  folder_free(&l);
  TRY(s);
  return os_remove_folder(path) == 0 ? ST_OK : cannot_remove(path, e);
}
