/* op_table.c: the table of operations: one row for each name of OP_LIST. A row is defined in the
 * file of its family (core/op_*.c); those of the leaves, which have nothing to compute, are
 * here. */
#include "core/graph.h"

#define OP_DECL(name) extern const OpRow op_##name;
OP_LIST(OP_DECL)
#define OP_ROW(name) [OP_##name] = &op_##name,
const OpRow *const op_table[OP_COUNT] = {OP_LIST(OP_ROW)};

static void leaf_shape(Graph *g, const Shape *in, Node *n) {
  (void)g;
  (void)in;
  (void)n;
}

#define LEAF(leaf)          \
  const OpRow op_##leaf = { \
      .name = #leaf, .flags = OPF_LEAF, .order = ORDER_ANY, .shape = leaf_shape}
LEAF(input);
LEAF(param);
LEAF(constant);

/* Attributes are compared and hashed as bytes (core/attr.h): no struct may have padding. */
#define NO_PADDING(type, doubles, ints) \
  _Static_assert(sizeof(type) == (doubles) * sizeof(double) + (ints) * sizeof(int32_t), #type)
NO_PADDING(AxpbAttr, 2, 0);
NO_PADDING(LreluAttr, 3, 0);
NO_PADDING(ClampAttr, 2, 0);
NO_PADDING(ShapeAttr, 0, 1 + MAX_RANK);
NO_PADDING(AxesAttr, 0, 1);
NO_PADDING(SumAttr, 0, 2);
NO_PADDING(PermuteAttr, 0, MAX_RANK);
NO_PADDING(SliceAttr, 0, 4);
NO_PADDING(PadAttr, 0, 4);
NO_PADDING(ConcatAttr, 0, 1);
NO_PADDING(RollAttr, 0, 2);
NO_PADDING(ReflectAttr, 0, 4);
NO_PADDING(MatmulAttr, 0, 7);
NO_PADDING(ConvAttr, 0, 17);
NO_PADDING(UpfirdnAttr, 1, 10);
NO_PADDING(SizeAttr, 0, 2);
NO_PADDING(PoolAttr, 0, 3);
_Static_assert(sizeof(Attr) == sizeof(((Attr *)0)->words), "the words cover the union");
