/* plan_dump.c: see plan_dump.h. The tables; the drawings are plan_svg.c. */
#include "core/plan_dump.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/conv.h"
#include "core/os.h"
#include "core/plan_impl.h"

const char *const dump_kind_name[DUMP_KINDS] = {"graph", "plan", "memory"};

/* ---- attributes ---- */
static void attr_axes(const char *what, const int32_t *axis, int n, char *buf, size_t size) {
  size_t at = (size_t)snprintf(buf, size, "%s", what);
  for (int i = 0; i < n && at < size; i++)
    at += (size_t)snprintf(buf + at, size - at, "%s%d", i ? "," : " ", axis[i]);
}

static void attr_conv(const Node *n, char *buf, size_t size) {
  const ConvAttr *a = &n->attr.conv;
  int at = snprintf(buf, size, "stride %d, pad %d, kernel %dx%d, batch for the choice %d",
                    a->stride, a->pad, a->kh, a->kw, a->plan_n);
  if (n->op == OP_conv_prep && at > 0 && (size_t)at < size)
    snprintf(buf + at, size - (size_t)at, ", Winograd tile %d", a->tile);
}

static void attr_upfirdn(const UpfirdnAttr *a, char *buf, size_t size) {
  snprintf(buf, size, "up %d,%d, down %d,%d, pad %d,%d,%d,%d, gain %g%s%s", a->upx, a->upy,
           a->downx, a->downy, a->padx0, a->padx1, a->pady0, a->pady1, a->gain,
           a->flip ? ", correlation" : "", a->per_sample ? ", a filter per sample" : "");
}

/* "stride 1, pad 1, ..": the attributes of a node by name; "" where it has none. */
static void attr_text(const Node *n, char *buf, size_t size) {
  const Attr *a = &n->attr;
  buf[0] = 0;
  switch (n->op) {
    case OP_axpb: snprintf(buf, size, "scale %g, shift %g", a->axpb.scale, a->axpb.shift); break;
    case OP_lrelu:
    case OP_lrelu_mask:
      snprintf(buf, size, "slope %g, gain %g, limit %g", a->lrelu.slope, a->lrelu.gain,
               a->lrelu.limit);
      break;
    case OP_clamp:
    case OP_clamp_mask: snprintf(buf, size, "low %g, high %g", a->clamp.low, a->clamp.high); break;
    case OP_permute: attr_axes("axes", a->permute.axis, n->shape.rank, buf, size); break;
    case OP_slice:
      snprintf(buf, size, "axis %d, start %d, length %d, step %d", a->slice.axis, a->slice.start,
               a->slice.length, a->slice.step);
      break;
    case OP_pad:
      snprintf(buf, size, "axis %d, before %d, total %d, step %d", a->pad.axis, a->pad.before,
               a->pad.total, a->pad.step);
      break;
    case OP_concat: snprintf(buf, size, "axis %d", a->concat.axis); break;
    case OP_roll: snprintf(buf, size, "axis %d, shift %d", a->roll.axis, a->roll.shift); break;
    case OP_sum: snprintf(buf, size, "axes 0x%x", (unsigned)a->sum.mask); break;
    case OP_flip: snprintf(buf, size, "axes 0x%x", (unsigned)a->axes.mask); break;
    case OP_reflect_pad:
    case OP_reflect_pad_t:
      snprintf(buf, size, "left %d, right %d, top %d, bottom %d", a->reflect.left, a->reflect.right,
               a->reflect.top, a->reflect.bottom);
      break;
    case OP_matmul:
      snprintf(buf, size, "%dx%d times %dx%d%s%s", a->matmul.m, a->matmul.k, a->matmul.k,
               a->matmul.n, a->matmul.transpose_a ? ", first transposed" : "",
               a->matmul.transpose_b ? ", second transposed" : "");
      break;
    case OP_conv2d:
    case OP_conv2d_dx:
    case OP_conv2d_dw:
    case OP_conv_prep: attr_conv(n, buf, size); break;
    case OP_upfirdn2d: attr_upfirdn(&a->upfirdn, buf, size); break;
    case OP_maxpool:
    case OP_maxpool_t:
    case OP_maxpool_gather:
      snprintf(buf, size, "window %d, stride %d, pad %d", a->pool.window, a->pool.stride,
               a->pool.pad);
      break;
    default: break; /* none, or said by the shape of the result */
  }
}

/* ---- tables ---- */
static const char *fate_of(const Plan *p, Val v) {
  const PVal *x = &p->value[v];
  if (!x->alive) return "unused";
  if (node_row(&x->node)->flags & OPF_LEAF)
    return x->node.op == OP_input ? "input" : x->folded ? "frozen" : "leaf";
  if (x->step) return x->folded ? "step, once" : "step";
  if (x->group && x->group != v) return "in a loop";
  return node_row(&x->node)->flags & OPF_ALIAS ? "alias" : "read through";
}

static void dump_graph(const Plan *p, FILE *f) {
  char shape[96], attr[200];
  fprintf(f, "# value\toperation\toperands\tshape\tfate\tgroup\toutput\tattributes\tname\n");
  for (Val v = 1; v < p->n; v++) {
    const PVal *x = &p->value[v];
    attr_text(&x->node, attr, sizeof attr);
    fprintf(f, "%d\t%s\t", (int)v, node_row(&x->node)->name);
    for (int i = 0; i < x->node.nin; i++) fprintf(f, "%s%d", i ? "," : "", (int)x->node.in[i]);
    fprintf(f, "\t%s\t%s\t", shape_str(x->node.shape, shape), fate_of(p, v));
    if (x->alive && x->group) fprintf(f, "%d", (int)x->group);
    fprintf(f, "\t%s\t%s\t%s\n", x->output ? "yes" : "", attr, x->node.name ? x->node.name : "");
  }
}

static void dump_steps(const Plan *p, FILE *f) {
  char text[400];
  const PlanStats all = plan_stats(p);
  fprintf(f, "# %d steps, the first %d once; a run: %.6g GFLOP, %.6g MB of operands, %.6g MB of ",
          p->nstep, p->nfold, all.flop / 1e9, all.bytes / 1e6, all.scratch / 1e6);
  fprintf(f, "scratch, %lld launches\n", (long long)all.launches);
  fprintf(f, "# step\tvalue\twhen\twhat\talgorithm\targuments\tMFLOP\tscratch bytes\t");
  fprintf(f, "operand bytes\tlaunches\n");
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    const Val map = s->conv ? s->conv : s->value;
    plan_describe(p, s, text, sizeof text);
    fprintf(f, "%d\t%d\t%s\t%s\t%s\t", k, (int)s->value,
            k < p->nfold   ? "once"
            : k < p->nkept ? "new weights"
                           : "each run",
            text, p->backend ? "" : conv_algo_name(&p->value[map].node));
    for (int i = 0; i < s->nargs; i++) fprintf(f, "%s%d", i ? "," : "", (int)s->arg[i]);
    fprintf(f, "\t%.6g\t%zu\t%.0f\t%d\n", s->flop / 1e6, s->scratch, plan_step_bytes(p, k),
            p->backend ? plan_dev_launches(p, k, 1) : 0);
  }
}

static void dump_memory(const Plan *p, FILE *f) {
  static const char *const where[] = {"", "leaf", "arena", "prepared", "input or output"};
  size_t unshared = 0;
  char shape[96];
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].mem == MEM_ARENA && p->value[v].last >= 0) unshared += p->value[v].bytes;
  fprintf(f, "# arena %zu bytes (without sharing %zu), prepared %zu, inputs and outputs %zu, ",
          p->arena_bytes, unshared, p->folded_bytes, p->io_bytes);
  fprintf(f, "scratch %zu\n", p->scratch_bytes);
  fprintf(f,
          "# value\toperation\tshape\twhere\toffset\tbytes\tfirst step\tlast step\tin place of\n");
  for (Val v = 1; v < p->n; v++) {
    const PVal *x = &p->value[v];
    const Val root = plan_root(p, v);
    const bool shares = root != v && x->alive;
    if (!shares && x->mem == MEM_NONE) continue;
    const PVal *r = &p->value[root];
    fprintf(f, "%d\t%s\t%s\t%s", (int)v, node_row(&x->node)->name, shape_str(x->node.shape, shape),
            where[r->mem]);
    if (r->lies.last) fprintf(f, ", channels last, margin %d,%d", r->lies.edge, r->lies.side);
    fprintf(f, "\t");
    if (r->mem == MEM_ARENA || r->mem == MEM_FOLDED) fprintf(f, "%zu", r->offset);
    fprintf(f, "\t%zu\t", x->bytes);
    fprintf(f, x->last >= 0 ? "%d\t%d\t" : "\t\t", x->first, x->last);
    if (shares) fprintf(f, "%d", (int)root);
    fprintf(f, "\n");
  }
}

void plan_dump_text(const Plan *p, DumpKind kind, FILE *f) {
  static void (*const dump[DUMP_KINDS])(const Plan *, FILE *) = {dump_graph, dump_steps,
                                                                 dump_memory};
  dump[kind](p, f);
}

/* ---- environment ---- */
static Status dump_file(const Plan *p, const char *dir, int number, DumpKind kind, bool svg,
                        Error *e) {
  char path[4096];
  Status s = ST_OK;
  if (snprintf(path, sizeof path, "%s/plan-%04d.%s.%s", dir, number, dump_kind_name[kind],
               svg ? "svg" : "txt") >= (int)sizeof path)
    return err_set(e, ST_INVALID, "PRLX_DUMP: a path of more than 4095 bytes");
  FILE *f = os_fopen(path, "w");
  if (!f)
    return err_set(e, ST_IO, "PRLX_DUMP: %s: %s; make the folder first, or unset PRLX_DUMP", path,
                   strerror(errno));
  if (svg)
    s = plan_dump_svg(p, kind, f, e);
  else
    plan_dump_text(p, kind, f);
  const bool bad = ferror(f) != 0;
  if ((fclose(f) != 0 || bad) && s == ST_OK)
    s = err_set(e, ST_IO, "PRLX_DUMP: %s: could not be written; is the disk full?", path);
  return s;
}

Status plan_dump_env(const Plan *p, Error *e) {
  static int made; /* plans of this process so far */
  const char *dir = getenv("PRLX_DUMP");
  if (!dir || !*dir) return ST_OK;
  const int number = __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
  for (int kind = 0; kind < DUMP_KINDS; kind++) {
    TRY(dump_file(p, dir, number, (DumpKind)kind, false, e));
    TRY(dump_file(p, dir, number, (DumpKind)kind, true, e));
  }
  return ST_OK;
}
