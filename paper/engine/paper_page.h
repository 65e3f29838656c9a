/* paper_page.h: the page of a run: paper_report.c puts it together of the answer (paper_answer.c),
 * tables (paper_page_tables.c) and what is common to them (paper_page.c). */
#ifndef PRLX_PAPER_PAGE_H
#define PRLX_PAPER_PAGE_H
#include "paper/engine/paper_report.h"
#include "tools/view/report.h"

/* A cell of a table. */
void page_put_cell(Report *p, bool head, const char *text);

/* The value, its interval below it in small. */
void page_interval_cell(Report *p, double v, double lo, double hi, int digits);

/* Begins a table. */
void page_head_row(Report *p, int n, const char *const *name);

/* The command that made a row. */
void page_link_cell(Report *p, const char *step);
void page_missing_row(Report *p, const char *name, const char *why, int columns);
void page_put_anchor(Report *p, const char *id, const char *title);

/* A file of the run, whole (mem_free; the table: tsv_free). false: not there, or there and not to
 * be read, which q->r->unread keeps: no report is written then. */
bool page_text(const PaperNumbers *q, const char *path, char **text);
bool page_table(const PaperNumbers *q, const char *path, Tsv *t);

/* Text of a file, without lines that begin with `drop`. */
void page_put_file(Report *p, const PaperNumbers *q, const char *path, const char *drop,
                   bool as_paragraphs);
void page_put_picture(Report *p, const PaperNumbers *q, const char *name, int width,
                      const char *caption);

/* A number of `prlx evidence`: file "evidence_ld/summary.tsv" and such; lesions NULL: the first set
 * it is given for; column "mean", "mean_low", "mean_high", "n". NAN: not there. */
double page_evidence(const PaperNumbers *q, const char *file, const char *number,
                     const char *lesions, const char *column);

/* ---- paper_answer.c ---- */

/* "Not shown: ..." for the head of the page. */
void answer_title(const PaperNumbers *q, char *out, size_t n);

/* The first page: what was asked, what was found, how sure. */
void answer_page(Report *p, const PaperNumbers *q, Chart *c);

/* ---- paper_page_tables.c ---- */
/* Tables 3 and 4. */
void page_main_table(Report *p, const PaperNumbers *q);

/* All rows on the larger test. */
void page_controls(Report *p, const PaperNumbers *q);

/* Readers. */
void page_table_one(Report *p, const PaperNumbers *q);

/* Feature distances and texture. */
void page_table_two(Report *p, const PaperNumbers *q);

/* Crest by crest; nothing without a truth. */
void page_truth(Report *p, const PaperNumbers *q);

/* Solvers side by side. */
void page_projection(Report *p, const PaperNumbers *q);
#endif
