/* plan_dump.h: what the planner did, for people: every value of the graph and what became of it,
 * the steps with their fused loops and the algorithm of each convolution, and where values live and
 * for how long. As text (tab-separated, lines of comment begin with #) and as SVG.
 *
 * Environment PRLX_DUMP=DIR: every plan that any command makes is written to DIR, which must exist,
 * as plan-0001.graph.txt, .graph.svg, .plan.txt, .plan.svg, .memory.txt, .memory.svg and so on, in
 * the order in which plans are made. */
#ifndef PRLX_PLAN_DUMP_H
#define PRLX_PLAN_DUMP_H
#include <stdio.h>
#include "core/plan.h"

/* DUMP_GRAPH: values; DUMP_PLAN: steps; DUMP_MEMORY: lifetimes and offsets. */
typedef enum { DUMP_GRAPH, DUMP_PLAN, DUMP_MEMORY, DUMP_KINDS } DumpKind;
extern const char *const dump_kind_name[DUMP_KINDS]; /* "graph", "plan", "memory" */

/* One table of the plan to f; whether it was written whole is f's state (ferror). */
void plan_dump_text(const Plan *p, DumpKind kind, FILE *f);

/* The same as a drawing, in core/plan_svg.c: the graph from leaves (left) to outputs; the steps as
 * a list with bars of work and memory; the arena, offset upwards over the steps. ST_NOMEM. */
Status plan_dump_svg(const Plan *p, DumpKind kind, FILE *f, Error *e);

/* What PRLX_DUMP asks for; called by plan_new. A file that cannot be written is an error. */
Status plan_dump_env(const Plan *p, Error *e);
#endif
