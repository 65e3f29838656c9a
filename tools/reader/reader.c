/* reader.c: `prlx reader`: a blinded reader study as one HTML page, and its scoring. Section 3.2
 * and Table 1 of the paper. */
#include "tools/reader/reader.h"
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "tools/cli/tool.h"

/* ---- CSV ---- */
void csv_free(Csv *c) {
  mem_free(c->path);
  mem_free(c->text);
  mem_free(c->col);
  mem_free(c->cell);
  *c = (Csv){0};
}

int csv_column(const Csv *c, const char *name) {
  for (int i = 0; i < c->ncol; i++)
    if (!strcmp(c->col[i], name)) return i;
  return -1;
}

/* Cuts one cell out of the text in place. *p moves behind it; returns what ended it: ',' '\n' or 0
 * (end of the file), '?' for a broken quote. */
static int next_cell(char **p, char **cell) {
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
    } else if (*in == ',' || *in == '\n')
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

static Status parse(Csv *c, Error *e) {
  char *p = c->text, *cell, *row[64];
  int line = 0, stop = '\n';
  if (!strncmp(p, "\xef\xbb\xbf", 3)) p += 3;
  while (*p) {
    int n = 0;
    line++;
    do {
      if (n == 64)
        return err_set(e, ST_FORMAT,
                       "%s: row %d has more than 64 columns; expected a file exported by the page "
                       "of the study",
                       c->path, line);
      stop = next_cell(&p, &cell);
      if (stop == '?')
        return err_set(e, ST_FORMAT, "%s: row %d: a quotation mark is not closed", c->path, line);
      row[n++] = cell;
    } while (stop == ',');
    if (n == 1 && !*row[0]) continue;
    if (c->ncol == 0) {
      c->ncol = n;
      if (!(c->col = mem_alloc((size_t)n * sizeof *c->col)))
        return err_set(e, ST_NOMEM, "%s: out of memory", c->path);
      memcpy(c->col, row, (size_t)n * sizeof *row);
      continue;
    }
    if (n != c->ncol)
      return err_set(e, ST_FORMAT, "%s: row %d has %d columns; expected %d as in the header",
                     c->path, line, n, c->ncol);
    const size_t have = (size_t)c->nrow * (size_t)n * sizeof *row, add = (size_t)n * sizeof *row;
    char **grown = mem_grow(c->cell, have, have + add);
    if (!grown) return err_set(e, ST_NOMEM, "%s: out of memory", c->path);
    c->cell = grown;
    memcpy(c->cell + (size_t)c->nrow++ * (size_t)n, row, add);
  }
  return c->ncol
             ? ST_OK
             : err_set(e, ST_FORMAT,
                       "%s: the file is empty; expected a file exported by the page of the study",
                       c->path);
}

Status csv_read(const char *path, Csv *c, Error *e) {
  uint8_t *data = NULL;
  size_t n = 0;
  *c = (Csv){0};
  Status s = file_read(path, &data, &n, 16u << 20, e);
  if (s != ST_OK) return s;
  if (memchr(data, 0, n))
    s = err_set(e, ST_FORMAT, "%s: holds zero bytes; expected comma-separated text", path);
  if (s == ST_OK && (!(c->text = mem_alloc(n + 1)) || !(c->path = mem_strdup(path))))
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
  if (s == ST_OK) {
    memcpy(c->text, data, n);
    s = parse(c, e);
  }
  mem_free(data);
  if (s != ST_OK) csv_free(c);
  return s;
}

/* ---- the command ---- */
int tool_reader(int argc, char **argv) {
  char help[] = "--help", make[] = "make", score[] = "score";
  char *make_help[] = {make, help, NULL}, *score_help[] = {score, help, NULL};
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "make")) return reader_make(argc - 1, argv + 1);
  if (!strcmp(what, "score")) return reader_score(argc - 1, argv + 1);
  if (!strcmp(what, "--help") || !strcmp(what, "-h")) {
    reader_make(2, make_help);
    printf("\n");
    return reader_score(2, score_help);
  }
  return *what ? tool_usage("reader", "'%s' is neither make nor score", what)
               : tool_usage("reader", "make or score is missing");
}
