/* marks.c: see marks.h. */
#include "tools/cli/marks.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"

enum { MARKS = 8 };

typedef struct Mark {
  char path[PATH_LEN];
  char was[MARKS_LEN];  /* "": there was none */
  char text[MARKS_LEN]; /* with the line of this command */
} Mark;

static const char head[] = "Results of prlx: the commands that made them may replace them.\n";
static const char line[] = "made by: prlx ";

static Mark mark[MARKS];
static int nwritten; /* the first ones are on the disk, without a result */
static int nwanted;
static bool writing;

bool marks_writing(void) { return writing; }

/* "": there is none. */
static Status mark_read(const char *path, char text[MARKS_LEN], Error *e) {
  OsInfo info;
  uint8_t *data = NULL;
  size_t n = 0;
  text[0] = 0;
  if (os_info(path, &info) != 0)
    return errno == ENOENT || errno == ENOTDIR
               ? ST_OK
               : err_set(e, ST_IO, "%s: cannot be looked at: %s", path, strerror(errno));
  TRY(file_read(path, &data, &n, MARKS_LEN - 1, e));
  memcpy(text, data, n);
  text[n] = 0;
  mem_free(data);
  return ST_OK;
}

/* The next command that the text names, from *at on; NULL: none. */
static const char *next_maker(const char **at, size_t *n) {
  const char *l = strstr(*at, line);
  if (!l) return NULL;
  l += sizeof line - 1;
  *n = strcspn(l, "\r\n");
  *at = l + *n;
  return l;
}

static MarkKind kind_of(const char *text, const char *command) {
  const char *name;
  size_t n;
  MarkKind kind = MARK_OPEN;
  for (const char *at = text; (name = next_maker(&at, &n));) {
    if (n == strlen(command) && !memcmp(name, command, n)) return MARK_OURS;
    kind = MARK_OTHERS;
  }
  return kind;
}

Status marks_look(const char *dir, const char *command, MarkKind *kind, Error *e) {
  char path[PATH_LEN], text[MARKS_LEN];
  *kind = MARK_NONE;
  TRY(path_join(path, dir, MARKS_NAME, e));
  TRY(mark_read(path, text, e));
  if (*text) *kind = kind_of(text, command);
  return ST_OK;
}

const char *marks_makers(const char *dir, char buf[MARKS_LEN]) {
  char path[PATH_LEN], text[MARKS_LEN];
  const char *name;
  size_t n, used = 0;
  buf[0] = 0;
  if (path_join(path, dir, MARKS_NAME, NULL) != ST_OK) return buf;
  if (mark_read(path, text, NULL) != ST_OK) return buf;
  for (const char *at = text; (name = next_maker(&at, &n)) && used + n + 16 < MARKS_LEN;)
    used += (size_t)snprintf(buf + used, MARKS_LEN - used, "%sprlx %.*s", used ? " and " : "",
                             (int)n, name);
  return str_plain(buf);
}

bool marks_open_parent(const char *dir) {
  char above[PATH_LEN];
  MarkKind kind;
  for (int up = 1; up <= 2; up++)
    if (path_format(above, NULL, "%s%s", dir, up == 1 ? "/.." : "/../..") == ST_OK &&
        marks_look(above, "", &kind, NULL) == ST_OK && kind == MARK_OPEN)
      return true;
  return false;
}

/* What the folder's mark will say: a line more, or one that names nobody. */
static Status mark_text(Mark *m, const char *command, Error *e) {
  const size_t was = strlen(m->was);
  const bool open = !was || !command, cut = !open && m->was[was - 1] != '\n';
  const int n = snprintf(m->text, sizeof m->text, "%s%s%s%s%s", open ? head : m->was,
                         cut ? "\n" : "", command ? line : "", command ? command : "",
                         command ? "\n" : "");
  if (n < (int)sizeof m->text) return ST_OK;
  return err_set(e, ST_INVALID, "%s: is not as prlx writes it; remove it", m->path);
}

Status marks_want(const char *dir, const char *command, Error *e) {
  if (nwanted == MARKS) return ST_OK;
  Mark *m = &mark[nwanted];
  TRY(path_join(m->path, dir, MARKS_NAME, e));
  TRY(mark_read(m->path, m->was, e));
  TRY(mark_text(m, command, e));
  nwanted++;
  return ST_OK;
}

Status marks_write(Error *e) {
  Status s = ST_OK;
  writing = true;
  for (; nwritten < nwanted && s == ST_OK; nwritten += s == ST_OK)
    s = file_write_atomic(mark[nwritten].path, mark[nwritten].text, strlen(mark[nwritten].text), e);
  writing = false;
  return s;
}

void marks_keep(void) {
  memmove(mark, mark + nwritten, (size_t)(nwanted - nwritten) * sizeof *mark);
  nwanted -= nwritten;
  nwritten = 0;
}

void marks_take_back(void) {
  writing = true;
  while (nwritten > 0) {
    const Mark *m = &mark[--nwritten];
    if (m->was[0])
      (void)file_write_atomic(m->path, m->was, strlen(m->was), NULL);
    else
      (void)os_remove(m->path);
  }
  writing = false;
  nwanted = 0;
}
