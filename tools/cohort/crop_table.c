/* crop_table.c: a small table that grows by rows and columns, for lesions.tsv. */
#include <string.h>
#include "tools/cohort/crop.h"

void table_free(Table *t) {
  for (int i = 0; i < t->nrow * MAX_COLUMNS; i++) mem_free(t->cell[i]);
  for (int i = 0; i < t->ncol; i++) mem_free(t->col[i]);
  mem_free(t->cell);
  mem_free(t->col);
  memset(t, 0, sizeof *t);
}

static int table_column(Table *t, const char *name, Error *e) {
  for (int i = 0; i < t->ncol; i++)
    if (!strcmp(t->col[i], name)) return i;
  if (!t->col && !(t->col = mem_alloc(MAX_COLUMNS * sizeof *t->col)))
    return err_set(e, ST_NOMEM, "out of memory"), -1;
  if (t->ncol == MAX_COLUMNS)
    return err_set(e, ST_INVALID, "more than %d columns in lesions.tsv; leave some out",
                   MAX_COLUMNS),
           -1;
  if (!(t->col[t->ncol] = mem_strdup(name))) return err_set(e, ST_NOMEM, "out of memory"), -1;
  return t->ncol++;
}

Status table_new_row(Table *t, Error *e) {
  const size_t row = MAX_COLUMNS * sizeof *t->cell;
  if (t->nrow % 64 == 0) {
    char **p = mem_grow(t->cell, (size_t)t->nrow * row, (size_t)(t->nrow + 64) * row);
    if (!p) return err_set(e, ST_NOMEM, "out of memory for %d rows", t->nrow);
    t->cell = p;
  }
  t->nrow++;
  return ST_OK;
}

Status table_set(Table *t, const char *col, const char *value, Error *e) {
  const int c = table_column(t, col, e);
  if (c < 0) return e->code;
  char **cell = &t->cell[(t->nrow - 1) * MAX_COLUMNS + c];
  mem_free(*cell);
  *cell = tsv_missing(value) ? NULL : mem_strdup(value);
  return *cell || tsv_missing(value) ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
}

const char *table_get(const Table *t, int row, const char *col) {
  for (int i = 0; i < t->ncol; i++)
    if (!strcmp(t->col[i], col))
      return t->cell[row * MAX_COLUMNS + i] ? t->cell[row * MAX_COLUMNS + i] : "";
  return "";
}

Status table_add_tsv(Table *t, const char *path, Error *e) {
  Tsv in;
  TRY(tsv_read(path, &in, e));
  Status s = ST_OK;
  if (tsv_column(&in, "subject") < 0 || tsv_column(&in, "lesion") < 0) {
    s = err_set(e, ST_FORMAT,
                "%s: no columns subject and lesion; expected a table of lesions to append to; "
                "choose another folder",
                path);
    goto done;
  }
  for (int c = 0; c < in.ncol; c++)
    if (table_column(t, in.col[c], e) < 0) {
      s = e->code;
      goto done;
    }
  for (int r = 0; r < in.nrow; r++) {
    s = table_new_row(t, e);
    if (s != ST_OK) goto done;
    for (int c = 0; c < in.ncol; c++) {
      s = table_set(t, in.col[c], tsv_get(&in, r, c), e);
      if (s != ST_OK) goto done;
    }
  }
done:
  tsv_free(&in);
  return s;
}

Status table_save(const Table *t, const char *path, Error *e) {
  TsvWriter w = {0};
  for (int c = 0; c < t->ncol; c++) tsv_cell(&w, "%s", t->col[c]);
  tsv_row_end(&w);
  for (int r = 0; r < t->nrow; r++) {
    for (int c = 0; c < t->ncol; c++)
      tsv_cell(&w, "%s", t->cell[r * MAX_COLUMNS + c] ? t->cell[r * MAX_COLUMNS + c] : "");
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}
