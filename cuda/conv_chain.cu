/* conv_chain.cu: a loop in the store of a convolution or a filter as a chain (conv.cuh): from the
 * program of a step to operations on one running value. */
#include <string.h>
#include "cuda/conv.cuh"

static bool chain_has(int op, bool *binary) {
  *binary = op == OP_add || op == OP_sub || op == OP_mul || op == OP_maximum ||
            op == OP_lrelu_mask || op == OP_clamp_mask;
  return *binary || op == OP_neg || op == OP_axpb || op == OP_square || op == OP_abs ||
         op == OP_clamp || op == OP_lrelu;
}

/* The argument that is read through a filter, as one of the chain; -1: too many. */
static int chain_up(Chain *chain, const PwProgram *p, const DevStep *s) {
  const int k = p->up.map - 1;
  if (chain->narg == CHAIN_MAX_ARGS) return -1;
  chain->up = (ChainUp){NULL,
                        (int)p->arg_shape[k].dim[2],
                        (int)p->arg_shape[k].dim[3],
                        p->up.pady,
                        p->up.padx,
                        p->up.flip,
                        p->up.gain};
  ChainArg *a = &chain->arg[chain->narg];
  *a = ChainArg{};
  a->up = true;
  if (s) {
    const DType t = s->targ[MAX_IN + k];
    const MapView x = map_view(s->arg[MAX_IN + k], t, p->arg_shape[k], s->lies[MAX_IN + k]);
    chain->up.taps = (const float *)s->arg[MAX_IN + p->up.taps];
    a->p = x.data;
    a->type = (int32_t)t;
    a->sn = x.sn;
    a->sc = x.sc;
    a->sy = x.sy;
    a->sx = x.sx;
  }
  return chain->narg++;
}

/* The argument that is made of an image, as one of the chain; -1: too many. */
static int chain_from(Chain *chain, const PwProgram *p, const DevStep *s) {
  const int k = p->from.image - 1;
  const Shape sh = p->arg_shape[k];
  if (chain->narg == CHAIN_MAX_ARGS) return -1;
  chain->from = ChainFrom{NULL, NULL, p->from.stored_as, p->from.act};
  ChainArg *a = &chain->arg[chain->narg];
  *a = ChainArg{};
  a->from = true;
  a->sn = sh.dim[2] * sh.dim[3];
  a->sy = (int32_t)sh.dim[3];
  a->sx = 1;
  if (s) {
    chain->from.weights = (const float *)s->arg[MAX_IN + p->from.weights];
    chain->from.bias = (const float *)s->arg[MAX_IN + p->from.bias];
    a->p = s->arg[MAX_IN + k];
    a->type = (int32_t)s->targ[MAX_IN + k];
  }
  return chain->narg++;
}

/* Index of program argument k in the chain; -1: too many, or it is no plain broadcast. s: its
 * address and type, or NULL. */
static int chain_arg(Chain *chain, const PwProgram *p, int k, const DevStep *s, bool dw,
                     int *index) {
  if (index[k] >= 0) return index[k];
  const Shape sh = p->arg_shape[k];
  if (p->up.map == k + 1) return index[k] = chain_up(chain, p, s);
  if (p->from.image == k + 1) return index[k] = chain_from(chain, p, s);
  if (chain->narg == CHAIN_MAX_ARGS || (sh.rank != 0 && sh.rank != 4)) return -1;
  int64_t st[4] = {0, 0, 0, 0}, step = 1;
  for (int i = sh.rank - 1; i >= 0; i--) {
    if (sh.dim[i] != 1 && sh.dim[i] != p->iter.dim[i]) return -1;
    st[i] = sh.dim[i] == 1 ? 0 : step;
    step *= sh.dim[i];
  }
  /* taps are one axis: an argument that is stretched along one of theirs alone has no stride */
  if (dw && p->iter.dim[2] * p->iter.dim[3] > 1 && (st[2] > 0) != (st[3] > 0)) return -1;
  ChainArg *a = &chain->arg[chain->narg];
  *a = (ChainArg){s ? s->arg[MAX_IN + k] : NULL,
                  s ? (int32_t)s->targ[MAX_IN + k] : 0,
                  s && s->lies[MAX_IN + k].last,
                  false,
                  0,
                  0,
                  0,
                  0};
  if (a->chunks) {
    const MapView x = map_view(a->p, s->targ[MAX_IN + k], sh, s->lies[MAX_IN + k]);
    a->p = x.data;
    a->sn = x.sn;
    a->sc = x.sc;
    a->sy = x.sy;
    a->sx = x.sx;
    return index[k] = chain->narg++;
  }
  a->sn = dw ? 0 : st[0];
  a->sc = dw ? st[0] : st[1];
  a->sy = (int32_t)(dw ? st[1] : st[2]);
  a->sx = (int32_t)st[3];
  return index[k] = chain->narg++;
}

/* Of so many maps the sums of their pixels, of each or of all. */
static bool is_pixel_sum(Shape sum, Shape map) {
  return sum.rank == 4 && map.rank == 4 && sum.dim[1] == map.dim[1] &&
         (sum.dim[0] == 1 || sum.dim[0] == map.dim[0]) && sum.dim[2] == 1 && sum.dim[3] == 1;
}

/* An image of one channel, of a map of several. */
static bool is_channel_sum(Shape sum, Shape map) {
  return sum.rank == 4 && map.rank == 4 && map.dim[1] > 1 && sum.dim[0] == map.dim[0] &&
         sum.dim[1] == 1 && sum.dim[2] == map.dim[2] && sum.dim[3] == map.dim[3];
}

/* How often a code is read: by operations, as the result, as further ones. */
static int chain_reads(const PwProgram *p, int code) {
  int n = p->result == code;
  for (int k = 0; k < p->nop; k++) {
    bool binary;
    chain_has(p->op[k].op, &binary);
    n += (p->op[k].lhs == code) + (binary && p->op[k].rhs == code);
  }
  for (int r = 0; r < p->nmore; r++) n += p->more[r].result == code;
  return n;
}

/* A dot with its place in the program: base, the code of what is multiplied; the operations that
 * are its alone, which are no part of the chain. */
typedef struct DotOps {
  int base;
  bool own[PW_MAX_OPS];
} DotOps;

/* The dot of further result r: one or two products with arguments, from the last on. */
static bool chain_dot_of(const PwProgram *p, int r, const DevStep *s, Chain *chain, int *index,
                         DotOps *ops) {
  ChainDot *dot = &chain->dot;
  int code = p->more[r].result;
  if (chain->ndot++) return false;
  *dot = (ChainDot){-1, r, {-1, -1}};
  for (int n = 0; n < 2; n++) {
    int k = p->nop - 1;
    while (k >= 0 && p->op[k].dst != code) k--;
    if (k < 0 || p->op[k].op != OP_mul || p->op[k].rhs >= 0 || chain_reads(p, code) != 1) break;
    dot->arg[n] = chain_arg(chain, p, -1 - p->op[k].rhs, s, false, index);
    if (dot->arg[n] < 0) return false;
    ops->own[k] = true;
    code = p->op[k].lhs;
  }
  ops->base = code;
  return dot->arg[0] >= 0;
}

/* Further results: what the chain's value is before operation `at`, where their code is `code`, or
 * the sum of it. */
static bool chain_taps(const PwProgram *p, int code, int at, const Node *conv, const DevStep *s,
                       const DotOps *dots, Chain *chain) {
  if (p->result == code) chain->result_at = at;
  if (chain->ndot && dots->base == code) chain->dot.at = at;
  for (int r = 0; r < p->nmore; r++) {
    if (p->more[r].result != code || (chain->ndot && chain->dot.more == r)) continue;
    if (!shape_eq(p->more[r].shape, conv->shape)) {
      if (chain->nsum == CHAIN_MAX_SUMS) return false;
      chain->sum[chain->nsum++] = (ChainSum){at, r, p->more[r].shape.dim[0] > 1};
      continue;
    }
    if (chain->ntap == CHAIN_MAX_TAPS) return false;
    ChainTap *t = &chain->tap[chain->ntap++];
    t->at = at;
    if (!s) continue;
    t->to = map_view(s->more[r], s->tmore[r], conv->shape, s->more_lies[r]);
    if (t->to.last) t->frame = map_frame(conv->shape, s->more_lies[r]);
  }
  return true;
}

/* Is this operation the last that writes to its register? Else what is read there in the end is
 * another. */
static bool chain_is_final(const PwProgram *p, int k) {
  for (int i = k + 1; i < p->nop; i++)
    if (p->op[i].dst == p->op[k].dst) return false;
  return true;
}

/* Whether further results can be taps or sums: maps that convolutions and filters make. */
static bool chain_tappable(const PwProgram *p, const Node *conv) {
  for (int r = 0; r < p->nmore; r++)
    if (!shape_eq(p->more[r].shape, conv->shape) && !is_pixel_sum(p->more[r].shape, conv->shape) &&
        !is_channel_sum(p->more[r].shape, conv->shape))
      return false;
  return !p->nmore || conv->op != OP_conv2d_dw;
}

/* The program as a chain on one running value that begins as argument `from`; false when it is
 * none, or too long. */
bool store_chain(const PwProgram *p, int from, const Node *conv, const DevStep *s, Chain *chain) {
  const Shape out = conv->shape;
  int index[PW_MAX_ARGS], running = -1 - from;
  DotOps dots = {};
  memset(chain, 0, sizeof *chain);
  for (int k = 0; k < PW_MAX_ARGS; k++) index[k] = -1;
  chain->stored_at = p->stored_at;
  chain->stored_as = p->stored_as;
  chain->result_at = -1;
  if (p->reduce || p->nop > CHAIN_MAX_OPS || p->iter.rank != 4 || !shape_eq(p->iter, out) ||
      !shape_eq(p->out_shape, out))
    return false;
  if (!chain_tappable(p, conv)) return false;
  for (int r = 0; r < p->nmore; r++)
    if (is_channel_sum(p->more[r].shape, out) && !chain_dot_of(p, r, s, chain, index, &dots))
      return false;
  if (!chain_taps(p, running, 0, conv, s, &dots, chain)) return false;
  for (int k = 0; k < p->nop; k++) {
    const PwOp *o = &p->op[k];
    bool binary;
    if (dots.own[k]) continue;
    if (!chain_has(o->op, &binary)) return false;
    int8_t operand[2];
    for (int i = 0; i < 2; i++) {
      int code = i && binary ? o->rhs : o->lhs;
      if (code == running) {
        operand[i] = CHAIN_VALUE;
        continue;
      }
      if (code >= 0 || code == -1 - from) return false; /* a value from before */
      operand[i] = (int8_t)chain_arg(chain, p, -1 - code, s, conv->op == OP_conv2d_dw, index);
      if (operand[i] < 0) return false;
    }
    if (operand[0] >= 0 && operand[1] >= 0) return false;
    chain->op[chain->nop++] = (ChainOp){(int8_t)o->op, operand[0], operand[1], o->param};
    running = o->dst;
    if (chain_is_final(p, k) && !chain_taps(p, running, chain->nop, conv, s, &dots, chain))
      return false;
  }
  if (chain->ndot && chain->dot.at < 0) return false;
  return (chain->nsum ? chain->result_at >= 0 : chain->result_at == chain->nop) &&
         chain->ntap + chain->nsum + chain->ndot == p->nmore;
}

bool conv_chain(const PwProgram *p, int from, const Node *maker, const DevStep *s, Chain *chain) {
  return store_chain(p, from, maker, s, chain) && !chain->nsum && !chain->ndot &&
         !chain->up.height && !p->from.image;
}
