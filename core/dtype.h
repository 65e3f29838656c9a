/* dtype.h: number types of files and of device memory; names as in .safetensors. */
#ifndef PRLX_DTYPE_H
#define PRLX_DTYPE_H
#include <stddef.h>
typedef enum {
  DT_F32,
  DT_F16,
  DT_BF16,
  DT_F64,
  DT_I64,
  DT_I32,
  DT_I16,
  DT_I8,
  DT_U8,
  DT_BOOL,
  DT_COUNT
} DType;

/* Bytes of one; 0 for a number that is none of them. */
size_t dtype_size(DType t);

/* "F32", ...; "?" for a number that is none of them: a constant text. */
const char *dtype_name(DType t);
#endif
