/* dtype.c: names and sizes of number types. */
#include "core/dtype.h"
#include <stdint.h>

static const struct {
  const char *name;
  uint8_t bits;
} dtypes[DT_COUNT] = {
    [DT_F32] = {"F32", 32},
    [DT_F16] = {"F16", 16},
    [DT_BF16] = {"BF16", 16},
    [DT_F64] = {"F64", 64},
    [DT_I64] = {"I64", 64},
    [DT_I32] = {"I32", 32},
    [DT_I16] = {"I16", 16},
    [DT_I8] = {"I8", 8},
    [DT_U8] = {"U8", 8},
    [DT_BOOL] = {"BOOL", 8},
    [DT_U64] = {"U64", 64},
    [DT_U32] = {"U32", 32},
    [DT_U16] = {"U16", 16},
    [DT_F8_E4M3] = {"F8_E4M3", 8},
    [DT_F8_E5M2] = {"F8_E5M2", 8},
    [DT_F8_E8M0] = {"F8_E8M0", 8},
    [DT_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [DT_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [DT_C64] = {"C64", 64},
    [DT_F6_E2M3] = {"F6_E2M3", 6},
    [DT_F6_E3M2] = {"F6_E3M2", 6},
    [DT_F4] = {"F4", 4},
};
size_t dtype_bits(DType t) { return (unsigned)t < DT_COUNT ? dtypes[t].bits : 0; }
size_t dtype_size(DType t) { return dtype_bits(t) % 8 ? 0 : dtype_bits(t) / 8; }
bool dtype_readable(DType t) { return (unsigned)t < DT_C64; }
const char *dtype_name(DType t) { return (unsigned)t < DT_COUNT ? dtypes[t].name : "?"; }
