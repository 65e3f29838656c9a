/* torch_numpy.c: what stands in a state dict beside plain tensors: pickled numpy arrays, which are
 * read, and tensors of types that are not, of which name, type and shape are told. */
#include <stdio.h>
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/torch_impl.h"

/* Sizes written as a tuple, or as torch.Size(tuple). False: neither, or more than MAX_RANK. */
static bool read_size(const Pk *v, Shape *s) {
  if (pk_calls(v, "torch", "Size")) v = pk_arg(v, 0);
  if (!v || (v->kind != PK_TUPLE && v->kind != PK_LIST) || v->nitem > MAX_RANK) return false;
  *s = (Shape){.rank = (int)v->nitem};
  for (size_t k = 0; k < v->nitem; k++)
    if (!pk_int(v->item[k], &s->dim[k]) || s->dim[k] < 0) return false;
  return true;
}

/* Whether the numbers of this shape fit into 63 bits; counts them. */
static bool count_elements(const Shape *s, int64_t *n) {
  *n = 1;
  for (int k = 0; k < s->rank; k++)
    if (__builtin_mul_overflow(*n, s->dim[k], n)) return false;
  return true;
}

/* ---- types that are not read ---- */
typedef struct Foreign {
  const char *call;
  const char *type; /* NULL: the name of argument 6, the dtype */
  int size;         /* the argument that is its size; -1: none */
} Foreign;
static const Foreign foreign[] = {{"_rebuild_tensor_v3", NULL, 2},
                                  {"_rebuild_sparse_tensor", "sparse", -1},
                                  {"_rebuild_qtensor", "quantised", 2},
                                  {"_rebuild_nested_tensor", "nested", -1},
                                  {"_rebuild_meta_tensor_no_storage", "meta, without data", 1}};

static const Pk *tensor_unwrap(const Pk *v) {
  for (int depth = 0; depth < 4 && (pk_calls(v, "torch._utils", "_rebuild_parameter") ||
                                    pk_calls(v, "torch._utils", "_rebuild_parameter_with_state"));
       depth++)
    v = pk_arg(v, 0);
  return v;
}

static const Foreign *find_foreign(const Pk *v) {
  for (int k = 0; k < COUNT_OF(foreign); k++)
    if (pk_calls(v, "torch._utils", foreign[k].call)) return &foreign[k];
  return NULL;
}

/* A plain tensor whose storage has numbers of two doubles. */
static bool is_complex128(const Pk *v) {
  const Pk *s = pk_calls(v, "torch._utils", "_rebuild_tensor_v2") ||
                        pk_calls(v, "torch._utils", "_rebuild_tensor")
                    ? pk_arg(v, 0)
                    : NULL;
  const Pk *t = s && s->kind == PK_PERSID ? s->item[0] : NULL;
  return t && t->kind == PK_TUPLE && t->nitem > 1 && t->item[1]->kind == PK_GLOBAL &&
         pk_text_is(t->item[1]->name, "ComplexDoubleStorage");
}

bool torch_is_foreign(const Pk *v) {
  v = tensor_unwrap(v);
  return find_foreign(v) || is_complex128(v);
}

void torch_foreign(const Pk *v, TorchTensor *out) {
  v = tensor_unwrap(v);
  const Foreign *t = find_foreign(v);
  const Pk *dtype = t && !t->type ? pk_arg(v, 6) : NULL;
  char shown[80];
  *out = (TorchTensor){.dtype = DT_U8};
  /* never empty: that would be a type that is read (scripts may have names without letters) */
  if (dtype && dtype->kind == PK_GLOBAL && dtype->name.len)
    snprintf(out->type, sizeof out->type, "%.32s", pk_show(dtype->name, shown));
  else
    snprintf(out->type, sizeof out->type, "%s", !t ? "complex128" : t->type ? t->type : "unknown");
  int64_t n;
  const int size = t ? t->size : 2;
  if (size < 0 || !read_size(pk_arg(v, (size_t)size), &out->shape) ||
      !count_elements(&out->shape, &n))
    out->shape = SHAPE0();
}

void torch_gather(uint8_t *dst, const uint8_t *src, const Shape *s, const int64_t *stride,
                  size_t one) {
  int64_t index[MAX_RANK] = {0}, at = 0, n = shape_numel(*s);
  for (int64_t i = 0; i < n; i++) {
    memcpy(dst + (size_t)i * one, src + (size_t)at * one, one);
    for (int k = s->rank - 1; k >= 0; k--) {
      at += stride[k];
      if (++index[k] < s->dim[k]) break;
      at -= stride[k] * s->dim[k];
      index[k] = 0;
    }
  }
}

/* ---- numpy arrays ---- */
/* _reconstruct(ndarray, ...) with the state (version, shape, dtype, Fortran order, bytes), or, in
 * protocol 5, _frombuffer(bytes, dtype, shape, order[, axes]): order "K" (numpy >= 2.3) means
 * reshape(shape).transpose(axes). */
typedef struct Array {
  const Pk *shape;
  const Pk *dtype;
  const Pk *raw;
  const Pk *order; /* "C", "F", "K", or the flag for "F" */
  const Pk *axes;
} Array;
static bool find_array(const Pk *v, Array *a) {
  if (pk_calls(v, "numpy._core.numeric", "_frombuffer") ||
      pk_calls(v, "numpy.core.numeric", "_frombuffer")) {
    *a = (Array){pk_arg(v, 2), pk_arg(v, 1), pk_arg(v, 0), pk_arg(v, 3), pk_arg(v, 4)};
  } else if (pk_calls(v, "numpy._core.multiarray", "_reconstruct") ||
             pk_calls(v, "numpy.core.multiarray", "_reconstruct")) {
    const Pk *s = v->state;
    if (!s || s->kind != PK_TUPLE || s->nitem < 4 || s->nitem > 5) return false;
    Pk **last = s->item + s->nitem - 4;
    *a = (Array){last[0], last[1], last[3], last[2], NULL};
  } else
    return false;
  return a->shape && a->raw && pk_calls(a->dtype, "numpy", "dtype");
}

bool torch_is_numpy(const Pk *v) {
  Array a;
  return find_array(v, &a);
}

/* False: numbers of a type that is not read. *big: highest byte first. */
static bool numpy_type(const Pk *dtype, DType *t, bool *big) {
  static const struct {
    const char *code;
    DType t;
  } types[] = {{"f4", DT_F32}, {"f8", DT_F64}, {"f2", DT_F16}, {"i8", DT_I64}, {"i4", DT_I32},
               {"i2", DT_I16}, {"i1", DT_I8},  {"u1", DT_U8},  {"b1", DT_BOOL}};
  const Pk *code = pk_arg(dtype, 0), *s = dtype->state,
           *order = s && s->kind == PK_TUPLE && s->nitem > 1 ? s->item[1] : NULL;
  *big = pk_is(order, ">");
  for (int k = 0; k < COUNT_OF(types); k++)
    if (pk_is(code, types[k].code)) return *t = types[k].t, true;
  return false;
}

/* The array's shape, and place[j]: which of its axes is the j-th slowest in the data. */
static bool read_axes(const Array *a, Shape *s, int place[MAX_RANK]) {
  Shape stored;
  const Pk *o = a->order, *axes = a->axes;
  const bool flag = o && (o->kind == PK_BOOL || o->kind == PK_INT), moved = pk_is(o, "K"),
             fortran = (flag && o->integer) || pk_is(o, "F");
  if (!read_size(a->shape, &stored) || !(flag || moved || fortran || pk_is(o, "C"))) return false;
  *s = stored;
  for (int j = 0; j < s->rank; j++) place[j] = fortran ? s->rank - 1 - j : j;
  if (!moved) return true;
  if (!axes || (axes->kind != PK_TUPLE && axes->kind != PK_LIST) || axes->nitem != (size_t)s->rank)
    return false;
  bool seen[MAX_RANK] = {false};
  for (int k = 0; k < s->rank; k++) {
    int64_t j;
    if (!pk_int(axes->item[k], &j) || j < 0 || j >= s->rank || seen[j]) return false;
    seen[j] = true;
    place[j] = k;
    s->dim[k] = stored.dim[j];
  }
  return true;
}

/* A copy in row-major order with the lowest byte first; not of an empty array. */
static Status numpy_turn(TorchFile *f, const char *what, const int place[MAX_RANK], bool turn,
                         TorchTensor *out, Error *e) {
  const size_t one = dtype_size(out->dtype);
  int64_t stride[MAX_RANK] = {0}, run = 1;
  for (int j = out->shape.rank - 1; j >= 0; j--) {
    stride[place[j]] = run;
    run *= out->shape.dim[place[j]];
  }
  if (out->bytes > f->budget)
    return err_set(e, ST_FORMAT,
                   "%s: array %s: the file repeats its arrays to more than a file of this size "
                   "should hold",
                   f->name, what);
  out->own = mem_alloc(out->bytes);
  if (!out->own)
    return err_set(e, ST_NOMEM, "%s: out of memory for array %s (%zu bytes)", f->name, what,
                   out->bytes);
  f->budget -= out->bytes;
  torch_gather(out->own, out->data, &out->shape, stride, one);
  if (turn) bytes_turn(out->own, out->own, out->bytes / one, one);
  out->data = out->own;
  return ST_OK;
}

Status torch_numpy(TorchFile *f, const Pk *v, const char *what, TorchTensor *out, Error *e) {
  Array a;
  int64_t n;
  int place[MAX_RANK];
  bool big, row_major = true;
  char shown[80] = "?";
  *out = (TorchTensor){.dtype = DT_U8};
  if (!find_array(v, &a) || !read_axes(&a, &out->shape, place) || !count_elements(&out->shape, &n))
    return err_set(e, ST_FORMAT,
                   "%s: array %s: its shape or order is none, or it has more than %d axes; the "
                   "file is damaged",
                   f->name, what, MAX_RANK);
  if (!numpy_type(a.dtype, &out->dtype, &big)) {
    const Pk *code = pk_arg(a.dtype, 0);
    if (code && code->kind == PK_STR) pk_show(code->text, shown);
    snprintf(out->type, sizeof out->type, "numpy %.24s", shown);
    return ST_OK;
  }
  const size_t one = dtype_size(out->dtype);
  const bool text = a.raw->kind == PK_BYTES || a.raw->kind == PK_STR;
  if (!text || a.raw->text.len / one != (uint64_t)n || a.raw->text.len % one)
    return err_set(e, ST_FORMAT,
                   "%s: array %s has %zu bytes of data; its shape needs %lld x %zu; the file is "
                   "damaged",
                   f->name, what, text ? a.raw->text.len : (size_t)0, (long long)n, one);
  out->data = a.raw->text.start;
  out->bytes = a.raw->text.len;
  for (int j = 0; j < out->shape.rank; j++) row_major &= place[j] == j;
  const bool turn = big != HOST_BIG && one > 1;
  return n && (turn || !row_major) ? numpy_turn(f, what, place, turn, out, e) : ST_OK;
}
