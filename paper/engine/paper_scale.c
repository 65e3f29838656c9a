/* paper_scale.c: the settings of a scale, from paper/scales.tsv or a table of one's own: a row per
 * setting, a column per scale, n/a for an empty text. See paper_impl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "paper/engine/paper_impl.h"
#include "tools/view/assets.h"

void paper_scale_free(PaperScale *s) {
  tsv_free(&s->table);
  *s = (PaperScale){0};
}

const char *paper_setting(const PaperScale *s, const char *name) {
  for (int i = 0; i < s->table.nrow; i++) {
    if (strcmp(tsv_get(&s->table, i, s->name_column), name)) continue;
    const char *cell = tsv_get(&s->table, i, s->column);
    return tsv_missing(cell) ? "" : cell;
  }
  return NULL;
}

double paper_setting_number(const PaperScale *s, const char *name) {
  const char *text = paper_setting(s, name);
  return text ? atof(text) : 0;
}

/* "small, paper, tiny" */
static void scale_names(const Tsv *t, char *out, size_t n) {
  size_t at = 0;
  *out = 0;
  for (int c = 0; c < t->ncol; c++)
    if (strcmp(t->col[c], "setting") && strcmp(t->col[c], "what") && at + 80 < n)
      at += (size_t)snprintf(out + at, n - at, "%s%.60s", at ? ", " : "", t->col[c]);
}

static Status scale_columns(PaperScale *s, const char *name, Error *e) {
  char names[400];
  s->name_column = tsv_column(&s->table, "setting");
  if (s->name_column < 0)
    return err_set(
        e, ST_FORMAT,
        "%s: row 1: no column 'setting'; expected setting, a column for each scale, what",
        s->table.path);
  s->column = strcmp(name, "setting") && strcmp(name, "what") ? tsv_column(&s->table, name) : -1;
  scale_names(&s->table, names, sizeof names);
  if (s->column < 0)
    return err_set(e, ST_INVALID, "no scale '%.60s' in %s; there are %s", name, s->table.path,
                   names);
  s->name = s->table.col[s->column];
  return ST_OK;
}

/* A setting that the program itself reads; the message names its row. */
static Status need_setting(const PaperScale *s, const char *name, const char **out, Error *e) {
  *out = paper_setting(s, name);
  return *out ? ST_OK
              : err_set(e, ST_FORMAT, "%s: no setting '%s'; expected a row of this name; add it",
                        s->table.path, name);
}

static int setting_row(const PaperScale *s, const char *name) {
  int i = 0;
  while (i < s->table.nrow && strcmp(tsv_get(&s->table, i, s->name_column), name)) i++;
  return i + 2;
}

static Status need_count(const PaperScale *s, const char *name, int *out, Error *e) {
  const char *text;
  char *end;
  TRY(need_setting(s, name, &text, e));
  const long v = strtol(text, &end, 10);
  *out = (int)v;
  if (end != text && !*end && v >= 0 && v <= 1000000) return ST_OK;
  return err_set(e, ST_FORMAT,
                 "%s: row %d: %s is '%.40s'; expected a whole number from 0 to 1000000",
                 s->table.path, setting_row(s, name), name, text);
}

static Status need_pair(const PaperScale *s, const char *name, int out[2], Error *e) {
  const char *text;
  char more;
  TRY(need_setting(s, name, &text, e));
  if (sscanf(text, "%d,%d%c", &out[0], &out[1], &more) == 2 && out[0] > 0 && out[1] > 0)
    return ST_OK;
  return err_set(e, ST_FORMAT,
                 "%s: row %d: %s is '%.40s'; expected rim and non-rim lesions, such as 200,400",
                 s->table.path, setting_row(s, name), name, text);
}

static Status need_sweep(PaperScale *s, Error *e) {
  const char *text;
  int n = 0;
  TRY(need_setting(s, "sweep", &text, e));
  for (const char *p = text; *p; n++) {
    char *end;
    const long v = strtol(p, &end, 10);
    if (end == p || v < 1 || v > 1000000 || (*end && *end != ',') || n == PAPER_SWEEP)
      return err_set(e, ST_FORMAT,
                     "%s: row %d: sweep is '%.60s'; expected up to %d counts, such as 25,50",
                     s->table.path, setting_row(s, "sweep"), text, PAPER_SWEEP);
    s->sweep[n] = (int)v;
    p = *end ? end + 1 : end;
  }
  return ST_OK;
}

static Status scale_read(PaperScale *s, const char *name, Error *e) {
  static const char *const texts[] = {"gan",      "gan_kimg", "cgan_kimg", "multi_kimg",
                                      "transfer", "project",  "classify"};
  const char *ignored;
  TRY(scale_columns(s, name, e));
  TRY(need_setting(s, "about", &s->about, e));
  TRY(need_count(s, "subjects", &s->subjects, e));
  TRY(need_count(s, "rim", &s->rim, e));
  TRY(need_count(s, "ambiguous", &s->ambiguous, e));
  TRY(need_count(s, "nonrim", &s->nonrim, e));
  TRY(need_count(s, "add", &s->add, e));
  TRY(need_pair(s, "train_counts", s->train, e));
  TRY(need_pair(s, "test_counts", s->test, e));
  TRY(need_sweep(s, e));
  /* what the report speaks of */
  for (int i = 0; i < COUNT_OF(texts); i++) TRY(need_setting(s, texts[i], &ignored, e));
  return ST_OK;
}

Status paper_scale_load(PaperScale *s, const char *file, const char *name, Error *e) {
  *s = (PaperScale){0};
  if (file)
    TRY(tsv_read(file, &s->table, e));
  else
    TRY(tsv_parse((const uint8_t *)asset_scales_tsv, strlen(asset_scales_tsv), "paper/scales.tsv",
                  &s->table, e));
  const Status st = scale_read(s, name, e);
  if (st != ST_OK) paper_scale_free(s);
  return st;
}
