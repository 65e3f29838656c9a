/* plan_svg.c: drawings of a plan (plan_dump.h). Plain SVG 1.1 without script; what a box or a bar
 * stands for in full is its <title>, which browsers show under the pointer. */
#include <string.h>
#include "core/conv.h"
#include "core/plan_dump.h"
#include "core/plan_impl.h"

enum { TEXT_LEN = 400, LINE_H = 15, CHAR_W = 7, BOX_W = 190, GAP_X = 60, GAP_Y = 14, MARGIN = 40 };

static void svg_text(FILE *f, const char *s) {
  for (; *s; s++) {
    if (*s == '&')
      fputs("&amp;", f);
    else if (*s == '<')
      fputs("&lt;", f);
    else if (*s == '>')
      fputs("&gt;", f);
    else
      fputc(*s, f);
  }
}

static void svg_begin(FILE *f, int w, int h, const char *heading) {
  fprintf(f,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
          "font-family=\"sans-serif\" font-size=\"11\">\n"
          "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
          "<text x=\"%d\" y=\"22\" font-size=\"14\" font-weight=\"bold\">",
          w, h, MARGIN);
  svg_text(f, heading);
  fputs("</text>\n", f);
}

/* Colours of the Okabe-Ito palette, which the colour-blind can tell apart, lightened. */
typedef enum { KIND_CONV, KIND_LOOP, KIND_PRODUCT, KIND_PREP, KIND_OTHER, KINDS } StepKind;
static const char *const kind_fill[KINDS] = {"#f3c47a", "#a5d8f3", "#8fd3bb", "#d9d9d9", "#e8bcd3"};
static const char *const kind_label[KINDS] = {"convolution", "fused loop", "matrix product",
                                              "prepared once", "other"};

static StepKind kind_of(const Plan *p, int k) {
  const Step *s = &p->step[k];
  const int op = p->value[s->conv ? s->conv : s->value].node.op;
  if (k < p->nfold) return KIND_PREP;
  if (op == OP_conv2d || op == OP_conv2d_dx || op == OP_conv2d_dw) return KIND_CONV;
  return s->prog ? KIND_LOOP : op == OP_matmul ? KIND_PRODUCT : KIND_OTHER;
}

static void svg_legend(FILE *f, int x, int y) {
  for (int i = 0; i < KINDS; i++, x += 120)
    fprintf(f,
            "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\" stroke=\"#555\"/>"
            "<text x=\"%d\" y=\"%d\">%s</text>\n",
            x, y - 10, kind_fill[i], x + 17, y, kind_label[i]);
}

/* ---- steps as a list ---- */
static void svg_step_row(const Plan *p, int k, double most, int y, FILE *f) {
  const Step *s = &p->step[k];
  char text[TEXT_LEN];
  plan_describe(p, s, text, sizeof text);
  const int bar = most > 0 ? (int)(200 * s->flop / most) : 0;
  fprintf(f,
          "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\" stroke=\"#555\"/>"
          "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d</text>",
          MARGIN + 40, y - 10, kind_fill[kind_of(p, k)], MARGIN + 32, y, k);
  fprintf(f, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"12\" fill=\"#0072b2\"/>", MARGIN + 60,
          y - 10, bar);
  if (s->flop > 0)
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.3g</text>", MARGIN + 330, y,
            s->flop / 1e6);
  fprintf(f, "<text x=\"%d\" y=\"%d\">", MARGIN + 345, y);
  svg_text(f, text);
  fputs("</text>\n", f);
}

static void svg_steps(const Plan *p, FILE *f) {
  char heading[160];
  double most = 0, total = 0;
  for (int k = 0; k < p->nstep; k++) {
    most = PRLX_MAX(most, p->step[k].flop);
    total += k < p->nfold ? 0 : p->step[k].flop;
  }
  snprintf(heading, sizeof heading, "%d steps, the first %d once; %.4g GFLOP a run", p->nstep,
           p->nfold, total / 1e9);
  svg_begin(f, 1500, 90 + p->nstep * LINE_H, heading);
  svg_legend(f, MARGIN, 46);
  fprintf(f,
          "<g fill=\"#555\"><text x=\"%d\" y=\"68\">step</text>"
          "<text x=\"%d\" y=\"68\" text-anchor=\"end\">MFLOP</text>"
          "<text x=\"%d\" y=\"68\">what it computes</text></g>\n",
          MARGIN + 8, MARGIN + 330, MARGIN + 345);
  for (int k = 0; k < p->nstep; k++) svg_step_row(p, k, most, 88 + k * LINE_H, f);
  fputs("</svg>\n", f);
}

/* ---- the arena ---- */
typedef struct Axes {
  double x_step; /* pixels a step */
  double y_byte; /* pixels a byte */
  int left;
  int bottom;
} Axes;

static void svg_lifetime(const Plan *p, Val v, int maker, const Axes *a, FILE *f) {
  const PVal *x = &p->value[v];
  char text[TEXT_LEN];
  const double left = a->left + x->first * a->x_step, w = (x->last - x->first + 1) * a->x_step;
  const double h = (double)x->bytes * a->y_byte;
  const double top = a->bottom - ((double)x->offset + (double)x->bytes) * a->y_byte;
  plan_describe(p, &p->step[maker], text, sizeof text);
  fprintf(f,
          "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
          "stroke=\"#555\" stroke-width=\"0.5\"><title>value %d: %zu bytes at %zu, steps %d to "
          "%d: ",
          left, top, w, h, kind_fill[kind_of(p, maker)], (int)v, x->bytes, x->offset, x->first,
          x->last);
  svg_text(f, text);
  fputs("</title></rect>", f);
  if (h >= 12 && w >= 60) {
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\">", left + 3, top + h / 2 + 4);
    text[PRLX_MIN((size_t)(w / CHAR_W), strcspn(text, "["))] = 0;
    svg_text(f, text);
    fputs("</text>", f);
  }
  fputc('\n', f);
}

static void svg_axes(const Plan *p, const Axes *a, int width, FILE *f) {
  for (int i = 0; i <= 4; i++) {
    const double bytes = (double)p->arena_bytes * i / 4, y = a->bottom - bytes * a->y_byte;
    fprintf(f,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ccc\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f MiB</text>\n",
            a->left, a->left + width, y, y, a->left - 6, y + 4, bytes / 1048576);
  }
  const int every = PRLX_MAX(1, p->nstep / 20);
  for (int k = 0; k < p->nstep; k += every)
    fprintf(f, "<text x=\"%.1f\" y=\"%d\">%d</text>\n", a->left + k * a->x_step, a->bottom + 16, k);
  fprintf(f, "<text x=\"%d\" y=\"%d\" fill=\"#555\">step</text>\n", a->left, a->bottom + 32);
}

static Status svg_memory(const Plan *p, FILE *f, Error *e) {
  enum { HEIGHT = 620, WIDTH = 1300 };
  const double step = PRLX_MAX((double)WIDTH / PRLX_MAX(1, p->nstep), 4.0);
  const int width = (int)(step * p->nstep);
  const Axes a = {step, p->arena_bytes ? (double)HEIGHT / (double)p->arena_bytes : 0, MARGIN + 70,
                  70 + HEIGHT};
  char heading[160];
  int *maker = mem_alloc((size_t)p->n * sizeof *maker);
  if (!maker) return err_set(e, ST_NOMEM, "out of memory while drawing a plan");
  /* the step that first writes the memory */
  for (int k = p->nstep - 1; k >= 0; k--) maker[plan_root(p, p->step[k].value)] = k;
  snprintf(heading, sizeof heading,
           "arena %.2f MiB, prepared %.2f, inputs and outputs %.2f, scratch %.2f",
           (double)p->arena_bytes / 1048576, (double)p->folded_bytes / 1048576,
           (double)p->io_bytes / 1048576, (double)p->scratch_bytes / 1048576);
  svg_begin(f, a.left + width + MARGIN, a.bottom + 50, heading);
  svg_legend(f, MARGIN, 46);
  svg_axes(p, &a, width, f);
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].mem == MEM_ARENA && p->value[v].last >= 0) svg_lifetime(p, v, maker[v], &a, f);
  fputs("</svg>\n", f);
  mem_free(maker);
  return ST_OK;
}

/* ---- steps as boxes, joined by the values they pass on ---- */
typedef struct Box {
  int column;
  int y;
  int h;
} Box;

typedef struct Drawing {
  const Plan *p;
  Box *box;     /* [nstep] */
  int *made_by; /* [n]: the step of a value or of the value it is a view of; -1: a leaf */
  int *bottom;  /* [2 nstep + 2]: of each column */
  int columns;
} Drawing;

static int box_lines(const Plan *p, int k) {
  const Step *s = &p->step[k];
  return 2 + (s->conv != 0) + (s->prog ? s->prog->nop : 1);
}

/* The step that makes argument i of step k, -1: a leaf. */
static int box_from(const Drawing *d, int k, int i) {
  const Val v = d->p->step[k].arg[i];
  const int from = v ? d->made_by[v] : -1;
  return from < k ? from : -1;
}

/* A step stands to the right of what it reads; what is prepared once, close to its first reader. */
static void box_columns(Drawing *d) {
  const Plan *p = d->p;
  for (int k = 0; k < p->nstep; k++)
    for (int i = 0; i < p->step[k].nargs; i++) {
      const int from = box_from(d, k, i);
      if (from >= 0) d->box[k].column = PRLX_MAX(d->box[k].column, d->box[from].column + 1);
    }
  for (int k = 0; k < p->nfold; k++) d->box[k].column = -1;
  for (int k = p->nstep - 1; k >= 0; k--) {
    d->box[k].column = PRLX_MAX(d->box[k].column, 0);
    d->columns = PRLX_MAX(d->columns, d->box[k].column + 1);
    for (int i = 0; i < p->step[k].nargs; i++) {
      const int from = box_from(d, k, i), left = d->box[k].column - 1;
      if (from < 0 || from >= p->nfold) continue;
      Box *b = &d->box[from];
      b->column = b->column < 0 ? left : PRLX_MIN(b->column, left);
    }
  }
}

static void box_place(Drawing *d) {
  int least = 0;
  for (int k = 0; k < d->p->nstep; k++) least = PRLX_MIN(least, d->box[k].column);
  for (int c = 0; c <= d->columns - least; c++) d->bottom[c] = 70;
  d->columns -= least;
  for (int k = 0; k < d->p->nstep; k++) {
    Box *b = &d->box[k];
    b->column -= least;
    b->h = box_lines(d->p, k) * LINE_H + 6;
    b->y = d->bottom[b->column];
    d->bottom[b->column] += b->h + GAP_Y;
  }
}

static int column_x(int column) { return MARGIN + column * (BOX_W + GAP_X); }

static void box_line(FILE *f, const Box *b, int line, const char *text) {
  char cut[BOX_W / 6 + 1];
  const size_t n = PRLX_MIN(strlen(text), sizeof cut - 1);
  memcpy(cut, text, n);
  cut[n] = 0;
  fprintf(f, "<text x=\"%d\" y=\"%d\">", column_x(b->column) + 5, b->y + LINE_H * (line + 1) - 2);
  svg_text(f, cut);
  fputs("</text>", f);
}

static void box_draw(const Drawing *d, int k, FILE *f) {
  const Step *s = &d->p->step[k];
  const Box *b = &d->box[k];
  const Node *n = &d->p->value[s->value].node;
  char text[TEXT_LEN], shape[96];
  int line = 0;
  plan_describe(d->p, s, text, sizeof text);
  fprintf(f, "<g><title>step %d, value %d: ", k, (int)s->value);
  svg_text(f, text);
  fprintf(f,
          "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"%s\" "
          "stroke=\"%s\"/>",
          column_x(b->column), b->y, BOX_W, b->h, kind_fill[kind_of(d->p, k)],
          d->p->value[s->value].output ? "#d55e00\" stroke-width=\"2" : "#555");
  snprintf(text, sizeof text, "%d: value %d%s", k, (int)s->value,
           d->p->value[s->value].output ? ", output" : "");
  box_line(f, b, line++, text);
  if (s->conv) box_line(f, b, line++, node_row(&d->p->value[s->conv].node)->name);
  for (int i = 0; s->prog && i < s->prog->nop; i++)
    box_line(f, b, line++, op_table[s->prog->op[i].op]->name);
  if (!s->prog) {
    const char *algo = d->p->backend ? "" : conv_algo_name(n);
    snprintf(text, sizeof text, "%s %s", node_row(n)->name, algo);
    box_line(f, b, line++, text);
  }
  snprintf(text, sizeof text, "%s%s", s->prog && s->prog->reduce ? "sum to " : "",
           shape_str(n->shape, shape));
  box_line(f, b, line, text);
  fputs("</g>\n", f);
}

static void box_edges(const Drawing *d, int k, FILE *f) {
  const Box *to = &d->box[k];
  for (int i = 0; i < d->p->step[k].nargs; i++) {
    const int from = box_from(d, k, i);
    if (from < 0) continue;
    const Box *b = &d->box[from];
    const int x0 = column_x(b->column) + BOX_W, y0 = b->y + b->h / 2, x1 = column_x(to->column),
              y1 = to->y + to->h / 2, bend = (x1 - x0) / 2;
    fprintf(f,
            "<path d=\"M%d %dC%d %d %d %d %d %d\" fill=\"none\" stroke=\"#888\" "
            "stroke-opacity=\"0.6\"/>\n",
            x0, y0, x0 + bend, y0, x1 - bend, y1, x1, y1);
  }
}

static void draw_graph(Drawing *d, FILE *f) {
  const Plan *p = d->p;
  char heading[160];
  int height = 0;
  for (Val v = 0; v < p->n; v++) d->made_by[v] = -1;
  for (int k = 0; k < p->nstep; k++)
    for (int r = 0; r < plan_results(&p->step[k]); r++) d->made_by[plan_result(&p->step[k], r)] = k;
  for (Val v = 1; v < p->n; v++)
    if (d->made_by[v] < 0 && p->value[v].alive && node_row(&p->value[v].node)->flags & OPF_ALIAS)
      d->made_by[v] = d->made_by[p->value[v].node.in[0]];
  box_columns(d);
  box_place(d);
  for (int c = 0; c < d->columns; c++) height = PRLX_MAX(height, d->bottom[c]);
  snprintf(heading, sizeof heading, "%d steps, from the inputs (left) to the outputs (framed)",
           p->nstep);
  svg_begin(f, column_x(d->columns) + MARGIN, height + MARGIN, heading);
  svg_legend(f, MARGIN, 46);
  for (int k = 0; k < p->nstep; k++) box_edges(d, k, f);
  for (int k = 0; k < p->nstep; k++) box_draw(d, k, f);
  fputs("</svg>\n", f);
}

static Status svg_graph(const Plan *p, FILE *f, Error *e) {
  const size_t n = (size_t)p->n, steps = (size_t)p->nstep + 1;
  Drawing d = {.p = p,
               .box = mem_alloc(steps * sizeof *d.box),
               .made_by = mem_alloc(n * sizeof *d.made_by),
               .bottom = mem_alloc(2 * steps * sizeof *d.bottom)};
  const bool ok = d.box && d.made_by && d.bottom;
  if (ok) draw_graph(&d, f);
  mem_free(d.box);
  mem_free(d.made_by);
  mem_free(d.bottom);
  return ok ? ST_OK : err_set(e, ST_NOMEM, "out of memory while drawing a plan");
}

Status plan_dump_svg(const Plan *p, DumpKind kind, FILE *f, Error *e) {
  if (kind == DUMP_GRAPH) return svg_graph(p, f, e);
  if (kind == DUMP_MEMORY) return svg_memory(p, f, e);
  svg_steps(p, f);
  return ST_OK;
}
