/* dtype.h: number types of files and of device memory; names as in .safetensors. What is computed
 * and stored on devices is DT_F32 to DT_BOOL; the others occur in files of other programs only. */
#ifndef PRLX_DTYPE_H
#define PRLX_DTYPE_H
#include <stdbool.h>
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
  /* read and widened */
  DT_U64,
  DT_U32,
  DT_U16,
  DT_F8_E4M3,
  DT_F8_E5M2,
  DT_F8_E8M0,
  DT_F8_E4M3FNUZ,
  DT_F8_E5M2FNUZ,
  /* known by name and size only */
  DT_C64,
  DT_F6_E2M3,
  DT_F6_E3M2,
  DT_F4,
  DT_COUNT
} DType;

/* Bytes of one; 0 for a number that is none of them, and for F6 and F4. */
size_t dtype_size(DType t);

/* Bits of one: 4, 6, 8, ...; 0 for a number that is none of them. */
size_t dtype_bits(DType t);

/* Whether st_to_f32 can widen it: all but C64, F6 and F4. */
bool dtype_readable(DType t);

/* "F32", ...; "?" for a number that is none of them: a constant text. */
const char *dtype_name(DType t);
#endif
