/* csv.c: see csv.h. */
#include "io/formats/csv.h"
#include <string.h>
#include "io/formats/file.h"

enum { CSV_COLUMNS = 64, CSV_BYTES = 16 << 20 };

void csv_free(Csv *c) {
  mem_free(c->path);
  mem_free(c->text);
  mem_free(c->col);
  mem_free(c->cell);
  mem_free(c->line);
  *c = (Csv){0};
}

int csv_column(const Csv *c, const char *name) {
  for (int i = 0; i < c->ncol; i++)
    if (!strcmp(c->col[i], name)) return i;
  return -1;
}

/* Spreadsheets of countries with a decimal comma separate by semicolons, some programs by tabs:
 * what the header uses, where it has no comma outside quotes. */
static char csv_separator(const char *text) {
  bool quoted = false;
  char other = ',';
  for (; *text && (quoted || *text != '\n'); text++) {
    if (*text == '"') quoted = !quoted;
    if (quoted) continue;
    if (*text == ',') return ',';
    if (other == ',' && (*text == ';' || *text == '\t')) other = *text;
  }
  return other;
}

/* Cuts one cell out of the text in place. *p moves behind it; returns what ended it: the separator,
 * '\n' or 0 (end of the file), '?' for a broken quote. */
static int csv_next_cell(char **p, char **cell, char separator) {
  char *in = *p, *out = *cell = *p;
  bool quoted = *in == '"';
  if (quoted) in++, out = *cell = in;
  for (; *in; in++) {
    if (quoted) {
      if (*in != '"')
        *out++ = *in;
      else if (in[1] == '"')
        *out++ = *in++;
      else
        quoted = false;
    } else if (*in == separator || *in == '\n')
      break;
    else if (*in != '\r')
      *out++ = *in;
  }
  const int stop = *in;
  if (quoted) return '?';
  *p = stop ? in + 1 : in;
  *out = 0;
  return stop;
}

/* The cells of the next line, which is number `line`; n: how many. */
static Status csv_line(const Csv *c, char **p, int line, char *row[CSV_COLUMNS], int *n, Error *e) {
  int stop;
  *n = 0;
  do {
    if (*n == CSV_COLUMNS)
      return err_set(e, ST_FORMAT, "%s: row %d has more than %d columns; expected %s", c->path,
                     line, CSV_COLUMNS, c->wanted);
    stop = csv_next_cell(p, &row[*n], c->separator);
    if (stop == '?')
      return err_set(e, ST_FORMAT, "%s: row %d: a quotation mark is not closed", c->path, line);
    ++*n;
  } while (stop == c->separator);
  return ST_OK;
}

static Status csv_header(Csv *c, char *const *row, int n, Error *e) {
  c->ncol = n;
  c->col = mem_alloc((size_t)n * sizeof *c->col);
  if (!c->col) return err_set(e, ST_NOMEM, "%s: out of memory", c->path);
  memcpy(c->col, row, (size_t)n * sizeof *row);
  return ST_OK;
}

static Status csv_row(Csv *c, int *cap, int line, char *const *row, int n, Error *e) {
  const size_t bytes = (size_t)n * sizeof *row;
  if (c->nrow == *cap) {
    const int next = *cap ? 2 * *cap : 64;
    char **grown = mem_grow(c->cell, (size_t)*cap * bytes, (size_t)next * bytes);
    if (!grown) return err_set(e, ST_NOMEM, "%s: out of memory", c->path);
    c->cell = grown;
    int *lines = mem_grow(c->line, (size_t)*cap * sizeof *lines, (size_t)next * sizeof *lines);
    if (!lines) return err_set(e, ST_NOMEM, "%s: out of memory", c->path);
    c->line = lines;
    *cap = next;
  }
  c->line[c->nrow] = line;
  memcpy(c->cell + (size_t)c->nrow++ * (size_t)n, row, bytes);
  return ST_OK;
}

/* An empty line, or what a spreadsheet makes of one. */
static bool cells_empty(char *const *row, int n) {
  for (int i = 0; i < n; i++)
    if (row[i][strspn(row[i], " ")]) return false;
  return true;
}

static Status csv_parse(Csv *c, Error *e) {
  char *p = c->text, *row[CSV_COLUMNS];
  int n, cap = 0;
  if (!strncmp(p, "\xef\xbb\xbf", 3)) p += 3;
  c->separator = csv_separator(p);
  for (int line = 1; *p; line++) {
    TRY(csv_line(c, &p, line, row, &n, e));
    if (cells_empty(row, n)) continue;
    if (c->ncol == 0) {
      TRY(csv_header(c, row, n, e));
      continue;
    }
    if (n != c->ncol)
      return err_set(e, ST_FORMAT, "%s: row %d has %d columns; expected %d as in the header",
                     c->path, line, n, c->ncol);
    TRY(csv_row(c, &cap, line, row, n, e));
  }
  return c->ncol ? ST_OK
                 : err_set(e, ST_FORMAT, "%s: the file is empty; expected %s", c->path, c->wanted);
}

Status csv_read(const char *path, const char *wanted, Csv *c, Error *e) {
  uint8_t *data = NULL;
  size_t n = 0;
  *c = (Csv){.wanted = wanted};
  TRY(file_read(path, &data, &n, CSV_BYTES, e));
  Status s = ST_OK;
  if (memchr(data, 0, n)) {
    s = err_set(e, ST_FORMAT, "%s: holds zero bytes; expected comma-separated text", path);
    goto done;
  }
  c->text = mem_alloc(n + 1);
  c->path = mem_strdup(path);
  if (!c->text || !c->path) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  memcpy(c->text, data, n);
  s = csv_parse(c, e);
done:
  mem_free(data);
  if (s != ST_OK) csv_free(c);
  return s;
}
