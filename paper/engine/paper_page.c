/* paper_page.c: cells, tables and files on the page of a run. See paper_page.h. */
#include "paper/engine/paper_page.h"
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"

void page_put_cell(Report *p, bool head, const char *text) {
  report_put(p, head ? "<th>" : "<td>");
  report_put_escaped(p, text);
  report_put(p, head ? "</th>" : "</td>");
}

/* The value, its interval below it in small. */
void page_interval_cell(Report *p, double v, double lo, double hi, int digits) {
  if (isnan(v))
    report_put(p, "<td>n/a</td>");
  else if (isnan(lo))
    report_putf(p, "<td>%.*f</td>", digits, v);
  else
    report_putf(p,
                "<td>%.*f<br><small style=\"white-space:nowrap;color:var(--soft)\">%.*f to "
                "%.*f</small></td>",
                digits, v, digits, lo, digits, hi);
}

void page_head_row(Report *p, int n, const char *const *name) {
  report_put(p, "<table style=\"font-size:13px\">\n<tr>");
  for (int i = 0; i < n; i++) page_put_cell(p, true, name[i]);
  report_put(p, "</tr>\n");
}

/* The command that made a row. */
void page_link_cell(Report *p, const char *step) {
  report_putf(p, "<td><a href=\"#cmd-%s\">command</a></td>", step);
}

void page_missing_row(Report *p, const char *name, const char *why, int columns) {
  report_put(p, "<tr>");
  page_put_cell(p, false, name);
  report_putf(p, "<td colspan=\"%d\">", columns - 1);
  report_put_escaped(p, why);
  report_put(p, "</td></tr>\n");
}

void page_put_anchor(Report *p, const char *id, const char *title) {
  report_putf(p, "<a id=\"%s\"></a>", id);
  report_heading(p, title);
}

static bool page_unread(const PaperNumbers *q, const Error *e) {
  if (q->r->unread.code == ST_OK) q->r->unread = *e;
  return false;
}

bool page_text(const PaperNumbers *q, const char *path, char **text) {
  Error e = {0};
  uint8_t *data;
  size_t n;
  if (!file_exists(path)) return false;
  if (file_read(path, &data, &n, 1 << 20, &e) != ST_OK) return page_unread(q, &e);
  *text = (char *)data;
  return true;
}

bool page_table(const PaperNumbers *q, const char *path, Tsv *t) {
  Error e = {0};
  if (!file_exists(path)) return false;
  return tsv_read(path, t, &e) == ST_OK || page_unread(q, &e);
}

void page_put_file(Report *p, const PaperNumbers *q, const char *path, const char *drop,
                   bool as_paragraphs) {
  char *text;
  if (!page_text(q, path, &text)) return;
  if (!as_paragraphs) report_pre(p, text);
  for (char *save, *line = as_paragraphs ? strtok_r(text, "\n", &save) : NULL; line;
       line = strtok_r(NULL, "\n", &save))
    if (!drop || strncmp(line, drop, strlen(drop))) report_text(p, "%s", line);
  mem_free(text);
}

void page_put_picture(Report *p, const PaperNumbers *q, const char *name, int width,
                      const char *caption) {
  char path[PATH_LEN];
  paper_file(q->r, path, "%s", name);
  if (file_exists(path)) report_png(p, path, width, caption);
}

double page_evidence(const PaperNumbers *q, const char *file, const char *number,
                     const char *lesions, const char *column) {
  Tsv t;
  char path[PATH_LEN];
  double v = NAN;
  paper_file(q->r, path, "work/%s", file);
  if (!page_table(q, path, &t)) return NAN;
  const int cn = tsv_column(&t, "number"), cl = tsv_column(&t, "lesions"),
            cv = tsv_column(&t, column);
  for (int i = 0; i < t.nrow && cn >= 0 && cl >= 0 && cv >= 0; i++)
    if (!strcmp(tsv_get(&t, i, cn), number) && (!lesions || !strcmp(tsv_get(&t, i, cl), lesions)) &&
        isnan(v) && !tsv_missing(tsv_get(&t, i, cv)))
      v = atof(tsv_get(&t, i, cv));
  tsv_free(&t);
  return v;
}
