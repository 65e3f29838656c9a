/* report.h: one self-contained HTML page that opens from disk: text, tables, curves as inline SVG,
 * pictures as data: URIs. No scripts, nothing loaded from outside. */
#ifndef PRLX_REPORT_H
#define PRLX_REPORT_H
#include "core/base.h"

/* Errors are sticky until report_write. */
typedef struct Report {
  char *s; /* the page so far: len bytes of cap */
  size_t len;
  size_t cap;
  Status status;
  const char *rest; /* of the page's frame, behind its body */
} Report;

/* A page with its title; a heading. */
void report_begin(Report *r, const char *title, const char *subtitle);
void report_heading(Report *r, const char *text);

/* A paragraph; the formatted text is escaped. */
void report_text(Report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set off: caveats. */
void report_note(Report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A text with its own lines, as it is (escaped). */
void report_pre(Report *r, const char *text);

/* cell [rows,cols]; the first row is the head. NULL cells are empty. */
void report_table(Report *r, int rows, int cols, const char *const *cell);

/* Figures between these two stand side by side and wrap. */
void report_figures_begin(Report *r);
void report_figures_end(Report *r);

/* A PNG from disk, shown `width` CSS pixels wide (0: its own size), pixels not smoothed. A missing
 * file leaves a note in its place. */
void report_png(Report *r, const char *path, int width, const char *caption);

/* n points; NaN in y: a gap. */
typedef struct Curve {
  const char *name;
  const double *x;
  const double *y;
  int n;
} Curve;

/* Up to six curves in one plot; log_y plots only positive values. */
void report_plot(Report *r, const char *title, const char *x_label, int n, const Curve *c,
                 bool log_y);

/* Pieces for those who draw into a page (tools/view/chart.c): text as it is, formatted (up to 1023
 * characters), with <, >, &, " escaped. */
void report_put(Report *r, const char *s);
void report_putf(Report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void report_put_escaped(Report *r, const char *s);
void report_put_base64(Report *r, const uint8_t *p, size_t n);

/* Lines without their ends and their indentation: a style in one line. */
void report_put_joined(Report *r, const char *text);

/* Pages are files with holes such as @TITLE@ (tools/view/assets.h): puts html up to the next one,
 * copies the hole's name, and returns what follows it; NULL: there was none, all of it is put. */
const char *report_put_until(Report *r, const char *html, char name[32]);

/* 1, 2 or 5 times a power of ten: about n intervals over the span. */
double nice_step(double span, int n);

/* Closes the page, writes it whole or not at all (ST_IO, ST_NOMEM) and frees the text. */
Status report_write(Report *r, const char *path, Error *e);

/* Without writing. */
void report_free(Report *r);

/* Curves and sample sheets (first, last and some between, at most `sheets`) of a training run, from
 * its folder. */
Status report_add_run(Report *r, const char *run_dir, int sheets, Error *e);

/* Page of a training run: reads metrics.jsonl, the sample sheets and `config` (text) and writes
 * run/report.html. */
Status report_training(const char *run_dir, const char *config, Error *e);
#endif
