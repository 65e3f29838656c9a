/* undo.c: see undo.h. */
#include "tools/cli/undo.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"

enum { LONGEST_NOTE = 1 << 28 };

typedef struct NotedFile {
  bool last;
  OsInfo info;
  char name[PATH_LEN];
} NotedFile;

Status undo_note(const char *note, const char *name, const OsInfo *info, bool last, Error *e) {
  char line[PATH_LEN + 100];
  if (strchr(name, '\n')) return ST_OK;
  const int n = snprintf(line, sizeof line, "%s %" PRIu64 " %" PRId64 " %" PRId64 ".%09d %s\n",
                         last ? "last" : "made", info->number, info->bytes, info->changed,
                         info->changed_ns, name);
  if (n < 0 || (size_t)n >= sizeof line) return ST_OK;
  const int fd = os_open(note, OS_APPEND);
  if (fd < 0 && errno == ENOENT) return ST_OK; /* somebody took the note away */
  const bool noted = fd >= 0 && os_write(fd, line, (size_t)n) == n;
  const int why = errno;
  if (fd >= 0 && os_close(fd) == 0 && noted) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be written to: %s; check free space", note, strerror(why));
}

/* Nothing that leads out of the folder. */
static bool is_below(const char *name) {
  if (!*name || os_path_absolute(name) || strchr(name, '\\')) return false;
  for (const char *p = name; p; p = strchr(p, '/')) {
    p += *p == '/';
    if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/')) return false;
  }
  return true;
}

/* One line, without its end; false: no such line. */
static bool noted_read(const char *line, NotedFile *f) {
  char word[5];
  int used = 0;
  memset(f, 0, sizeof *f);
  if (sscanf(line, "%4s %" SCNu64 " %" SCNd64 " %" SCNd64 ".%9d%n", word, &f->info.number,
             &f->info.bytes, &f->info.changed, &f->info.changed_ns, &used) != 5 ||
      line[used] != ' ')
    return false;
  f->last = !strcmp(word, "last");
  return (f->last || !strcmp(word, "made")) && strlen(line + used + 1) < sizeof f->name &&
         is_below(strcpy(f->name, line + used + 1));
}

/* Is this very file there, as it was left? */
static bool noted_is_there(const NotedFile *f, const char *dir, char path[PATH_LEN]) {
  OsInfo now;
  /* the last one may have been written through a link */
  return path_join(path, dir, f->name, NULL) == ST_OK &&
         (f->last ? os_info(path, &now) : os_link_info(path, &now)) == 0 && now.kind == OS_FILE &&
         now.number == f->info.number && now.bytes == f->info.bytes &&
         now.changed == f->info.changed && now.changed_ns == f->info.changed_ns;
}

/* Folders above the file, up to `dir`, as long as nothing is in them. */
static void remove_above(char *path, const char *dir) {
  for (char *slash; (slash = strrchr(path, '/')) && (size_t)(slash - path) > strlen(dir);) {
    *slash = 0;
    if (os_remove_folder(path) != 0) return;
  }
}

/* One walk through the lines, *text in pieces afterwards. -1: the result is whole. */
static int undo_lines(char *text, const char *dir, bool remove) {
  NotedFile f;
  char path[PATH_LEN];
  int n = 0;
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    const bool there = noted_read(line, &f) && noted_is_there(&f, dir, path);
    *end = '\n';
    if (!there) continue;
    if (f.last) return -1;
    n++;
    if (!remove) continue;
    if (os_remove(path) == 0) remove_above(path, dir);
  }
  return n;
}

int undo_made(const char *dir, const char *note, bool remove) {
  uint8_t *text;
  size_t n;
  if (file_read(note, &text, &n, LONGEST_NOTE, NULL) != ST_OK) return 0;
  int made = undo_lines((char *)text, dir, false);
  if (remove && made > 0) made = undo_lines((char *)text, dir, true);
  mem_free(text);
  return PRLX_MAX(made, 0);
}

/* ---- what this run itself takes back ---- */

Status made_add(MadeFiles *m, const char *path, Error *e) {
  if (file_exists(path)) return ST_OK;
  if (m->n == m->room) {
    char **p = mem_grow(m->path, (size_t)m->room * sizeof *p, (size_t)(m->room + 256) * sizeof *p);
    if (!p) return err_set(e, ST_NOMEM, "out of memory");
    m->path = p;
    m->room += 256;
  }
  if (!(m->path[m->n] = mem_strdup(path))) return err_set(e, ST_NOMEM, "out of memory");
  m->n++;
  return ST_OK;
}

void made_end(MadeFiles *m, const char *dir, bool remove) {
  for (int i = 0; i < m->n; i++) {
    if (remove) {
      (void)os_remove(m->path[i]);
      remove_above(m->path[i], dir);
    }
    mem_free(m->path[i]);
  }
  mem_free(m->path);
  *m = (MadeFiles){0};
}
