/* plan_prep.c: values of prepared weights, on the CPU (plan.c) and on a backend (plan_device.c). */
#include <string.h>
#include "core/plan_impl.h"

Val plan_prep_value(Plan *p, Val first, const Node *prep) {
  for (Val v = first; v < p->n; v++)
    if (p->value[v].node.in[0] == prep->in[0] && p->value[v].node.in[1] == prep->in[1] &&
        memcmp(&p->value[v].node.attr, &prep->attr, sizeof prep->attr) == 0 &&
        shape_eq(p->value[v].node.shape, prep->shape))
      return v;
  if (p->n == p->cap) {
    PVal *q = mem_grow(p->value, (size_t)p->cap * sizeof *q, (size_t)p->cap * 2 * sizeof *q);
    if (!q) return 0;
    p->value = q;
    p->cap *= 2;
  }
  p->value[p->n] = (PVal){.node = *prep};
  return p->n++;
}
