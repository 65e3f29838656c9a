/* tsv.c: tab-separated tables, read and written. Cells point into one copy of the text. */
#include "io/formats/tsv.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/kind.h"
#include "io/formats/number.h"

#define TSV_BYTES ((size_t)64 << 20)

void tsv_free(Tsv *t) {
  mem_free(t->path);
  mem_free(t->col);
  mem_free(t->cell);
  mem_free(t->line);
  mem_free(t->text);
  memset(t, 0, sizeof *t);
}

/* Ends the line at p with a zero (CR dropped) and returns the beginning of the next one. */
static char *cut_line(char *p, char *end) {
  char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
  if (stop > p && stop[-1] == '\r') stop[-1] = 0;
  *stop = 0;
  return nl ? nl + 1 : end;
}

static int count_tabs(const char *p) {
  int n = 0;
  for (; (p = strchr(p, '\t')); p++) n++;
  return n;
}

/* A cell in double quotes, as R and spreadsheets write them, without these; "" inside is one. */
static void cell_unquote(char *cell) {
  const size_t n = strlen(cell);
  if (n < 2 || cell[0] != '"' || cell[n - 1] != '"') return;
  size_t k = 0;
  for (size_t i = 1; i + 1 < n; i++) {
    cell[k++] = cell[i];
    if (cell[i] == '"' && cell[i + 1] == '"' && i + 2 < n) i++;
  }
  cell[k] = 0;
}

/* Bytes of the blank at the beginning of p: a space, one that does not break, one without width, as
 * web pages and text processors leave them; 0: none. */
static size_t blank_bytes(const char *p) {
  static const char *const blank[] = {" ",
                                      "\xc2\xa0",
                                      "\xe2\x80\x8b",
                                      "\xe2\x80\x8c",
                                      "\xe2\x80\x8d",
                                      "\xe2\x80\xaf",
                                      "\xe2\x81\xa0",
                                      "\xef\xbb\xbf"};
  for (int k = 0; k < COUNT_OF(blank); k++)
    if (!strncmp(p, blank[k], strlen(blank[k]))) return strlen(blank[k]);
  return 0;
}

/* The cell without the blanks around it; its end is in the text of the line. */
static char *cell_trim(char *cell) {
  for (size_t n; (n = blank_bytes(cell));) cell += n;
  char *stop = cell;
  for (char *p = cell; *p;) {
    const size_t n = blank_bytes(p);
    p += n ? n : 1;
    if (!n) stop = p;
  }
  *stop = 0;
  return cell;
}

/* Cells without the spaces around them: "sub-01 " and "sub-01" are one subject. */
static void line_split(char *line, char **cell, int n) {
  for (int i = 0; i < n; i++) {
    char *tab = strchr(line, '\t'), *stop = tab ? tab : line + strlen(line);
    *stop = 0;
    cell[i] = cell_trim(line);
    line = tab ? tab + 1 : stop;
    cell_unquote(cell[i]);
  }
}

static Status check_utf8(const Tsv *t, const char *line, size_t row, Error *e) {
  if (json_utf8(line)) return ST_OK;
  return err_set(e, ST_FORMAT, "%s: row %zu is not UTF-8 (Latin-1?); expected UTF-8; save it so",
                 t->path, row);
}

/* Nothing in any cell: an empty line, or what a spreadsheet makes of one. */
static bool line_empty(const char *p) { return !p[strspn(p, " \t")]; }

static Status tsv_rows(Tsv *t, char *next, char *end, size_t lines, int head, Error *e) {
  for (size_t r = 0; r + 1 < lines; r++) {
    const size_t row = (size_t)head + r + 1;
    char *p = next;
    next = cut_line(p, end);
    if (line_empty(p)) continue;
    TRY(check_utf8(t, p, row, e));
    const int have = count_tabs(p) + 1;
    if (have != t->ncol)
      return err_set(e, ST_FORMAT,
                     "%s: row %zu has %d columns; expected %d as in row %d; write n/a for what is "
                     "missing, and no tab inside a cell",
                     t->path, row, have, t->ncol, head);
    line_split(p, t->cell + (size_t)t->nrow * (size_t)t->ncol, t->ncol);
    t->line[t->nrow++] = (int)row;
  }
  return ST_OK;
}

static Status check_columns(const Tsv *t, Error *e) {
  for (int i = 0; i < t->ncol; i++) {
    if (!t->col[i][0])
      return err_set(
          e, ST_FORMAT,
          "%s: column %d has no name; expected one in row 1; name it or remove the column", t->path,
          i + 1);
    for (int k = 0; k < i; k++)
      if (!strcmp(t->col[i], t->col[k]))
        return err_set(e, ST_FORMAT, "%s: columns %d and %d are both called '%.60s'; rename one",
                       t->path, k + 1, i + 1, t->col[i]);
  }
  return ST_OK;
}

/* A line of names in one column: separated by something else, or no names at all. */
static Status check_separator(const Tsv *t, const char *line, int head, Error *e) {
  static const struct {
    char c;
    int least;
    const char *name;
  } other[] = {{',', 2, "commas"}, {';', 2, "semicolons"}, {'|', 2, "bars"}, {' ', 3, "blanks"}};
  if (line[strspn(line, " ")] == '#')
    return err_set(e, ST_FORMAT,
                   "%s: row %d begins with #; expected the names of the columns there; remove "
                   "comments",
                   t->path, head);
  for (int k = 0; k < COUNT_OF(other) && t->ncol == 1; k++) {
    int n = 0;
    for (const char *p = line; (p = strchr(p, other[k].c)); p++) n++;
    if (n >= other[k].least)
      return err_set(e, ST_FORMAT,
                     "%s: row %d has no tab, but %d %s; expected columns separated by tabs; save "
                     "it as tab-separated text",
                     t->path, head, n, other[k].name);
  }
  return ST_OK;
}

/* Line ends of old Macs, carriage returns alone, become those of everybody else. */
static void mend_line_ends(char *p, size_t n) {
  if (memchr(p, '\n', n)) return;
  for (size_t i = 0; i < n; i++)
    if (p[i] == '\r') p[i] = '\n';
}

/* t->text is ours: n bytes and a zero behind them. */
static Status tsv_fill(Tsv *t, size_t n, Error *e) {
  char *p = t->text, *end = p + n;
  const char *kind = file_kind((const uint8_t *)p, n);
  const bool other = kind && strcmp(kind, "text") && n;
  if (other || memchr(p, 0, n))
    return err_set(e, ST_FORMAT,
                   "%s: %s; expected text, UTF-8, columns separated by tabs; save it as .tsv",
                   t->path, other ? kind : "contains zero bytes");
  mend_line_ends(p, n);
  if (n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3;
  while (end > p && (end[-1] == '\n' || end[-1] == '\r')) *--end = 0;
  int head = 1; /* row of the column names */
  for (; p < end && (*p == '\n' || *p == '\r'); p++) head += *p == '\n';
  if (p == end)
    return err_set(e, ST_FORMAT, "%s: is empty; expected a row of column names", t->path);
  size_t lines = 1;
  for (char *q = p; (q = memchr(q, '\n', (size_t)(end - q))); q++) lines++;
  char *next = cut_line(p, end);
  TRY(check_utf8(t, p, 1, e));
  t->ncol = count_tabs(p) + 1;
  TRY(check_separator(t, p, head, e));
  if (t->ncol > 4096)
    return err_set(e, ST_FORMAT, "%s: %d columns; expected at most 4096; is this a table?", t->path,
                   t->ncol);
  /* Every row with this number of columns takes at least as many bytes: more cells than bytes are
   * impossible, so check before allocating. */
  if ((lines - 1) > n / (size_t)t->ncol + 1)
    return err_set(e, ST_FORMAT,
                   "%s: %zu rows, %d columns in row 1: not every row can have as many; check row 2",
                   t->path, lines, t->ncol);
  t->col = mem_alloc((size_t)t->ncol * sizeof *t->col);
  t->cell = mem_alloc((lines - 1) * (size_t)t->ncol * sizeof *t->cell);
  t->line = mem_alloc(lines * sizeof *t->line);
  if (!t->col || !t->cell || !t->line) return err_set(e, ST_NOMEM, "%s: out of memory", t->path);
  line_split(p, t->col, t->ncol);
  TRY(check_columns(t, e));
  return tsv_rows(t, next, end, lines, head, e);
}

Status tsv_parse(const uint8_t *text, size_t n, const char *name, Tsv *t, Error *e) {
  memset(t, 0, sizeof *t);
  if (n > TSV_BYTES)
    return err_set(e, ST_FORMAT, "%s: %zu bytes; expected at most %zu", name, n, TSV_BYTES);
  t->path = mem_strdup(name);
  t->text = mem_alloc(n + 1);
  Status s = t->path && t->text ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", name);
  if (s != ST_OK) goto done;
  if (n) memcpy(t->text, text, n);
  s = tsv_fill(t, n, e);
done:
  if (s != ST_OK) tsv_free(t);
  return s;
}

Status tsv_read(const char *path, Tsv *t, Error *e) {
  uint8_t *text;
  size_t n;
  memset(t, 0, sizeof *t);
  TRY(file_read(path, &text, &n, TSV_BYTES, e));
  const Status s = tsv_parse(text, n, path, t, e);
  mem_free(text);
  return s;
}

int tsv_column(const Tsv *t, const char *name) {
  for (int i = 0; i < t->ncol; i++)
    if (!strcmp(t->col[i], name)) return i;
  return -1;
}

/* Equal but for case, blanks, - and _? */
static bool cells_alike(const char *a, const char *b) {
  for (;; a++, b++) {
    a += strspn(a, " -_");
    b += strspn(b, " -_");
    if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    if (!*a) return true;
  }
}

int tsv_column_like(const Tsv *t, const char *name) {
  for (int i = 0; i < t->ncol; i++)
    if (cells_alike(t->col[i], name)) return i;
  return -1;
}

const char *tsv_get(const Tsv *t, int row, int col) {
  return row < 0 || row >= t->nrow || col < 0 || col >= t->ncol
             ? ""
             : t->cell[(size_t)row * (size_t)t->ncol + (size_t)col];
}

int tsv_line(const Tsv *t, int row) { return row < 0 || row >= t->nrow ? 0 : t->line[row]; }

Status tsv_number(const Tsv *t, int row, int col, double *out, Error *e) {
  const char *cell = tsv_get(t, row, col);
  char *end;
  *out = NAN;
  if (tsv_missing(cell)) return ST_OK;
  const double v = number_read(cell, &end);
  if (*end || end == cell || !isfinite(v))
    return err_set(e, ST_FORMAT, "%s: row %d, column %s: '%.40s'; expected a number or n/a",
                   t->path, tsv_line(t, row), t->col[col], cell);
  *out = v;
  return ST_OK;
}

int tsv_flag(const char *c) {
  if (c[0] != '0' && c[0] != '1') return -1;
  if (c[1] && (c[1] != '.' || c[2 + strspn(c + 2, "0")])) return -1;
  return c[0] - '0';
}

bool tsv_missing(const char *c) {
  return !*c || !strcasecmp(c, "n/a") || !strcasecmp(c, "na") || !strcasecmp(c, "nan") ||
         !strcasecmp(c, "none") || !strcasecmp(c, "null");
}

/* ---- writing ---- */
static bool text_reserve(TsvWriter *w, size_t more) {
  if (w->failed) return false;
  if (w->len + more <= w->cap) return true;
  size_t cap = PRLX_MAX((w->len + more) * 2, (size_t)1024);
  char *p = mem_grow(w->buf, w->len, cap);
  if (!p) {
    w->failed = true;
    return false;
  }
  w->buf = p;
  w->cap = cap;
  return true;
}

void tsv_cell(TsvWriter *w, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0) {
    w->failed = true;
    return;
  }
  if (!text_reserve(w, (size_t)n + 8)) return;
  if (w->row_open) w->buf[w->len++] = '\t';
  w->row_open = true;
  char *cell = w->buf + w->len;
  if (n == 0)
    n = snprintf(cell, 4, "n/a");
  else {
    va_start(ap, fmt);
    vsnprintf(cell, (size_t)n + 1, fmt, ap);
    va_end(ap);
  }
  for (int i = 0; i < n; i++)
    if (cell[i] == '\t' || cell[i] == '\n' || cell[i] == '\r') cell[i] = ' ';
  w->len += (size_t)n;
}

void tsv_row_end(TsvWriter *w) {
  if (text_reserve(w, 1)) w->buf[w->len++] = '\n';
  w->row_open = false;
}

Status tsv_commit(TsvWriter *w, const char *path, Error *e) {
  if (w->row_open) tsv_row_end(w);
  Status s = w->failed ? err_set(e, ST_NOMEM, "%s: out of memory for the table", path)
                       : file_write_atomic(path, w->buf ? w->buf : "", w->len, e);
  mem_free(w->buf);
  memset(w, 0, sizeof *w);
  return s;
}
