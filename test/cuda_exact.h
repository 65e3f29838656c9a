/* cuda_exact.h: what the device tests need beyond core/backend.h: allocations of exactly n bytes,
 * filled with 0xFF (NaN), so that reading what was not written, and under the emulation any step
 * past the end, shows. */
#ifndef PRLX_TEST_CUDA_EXACT_H
#define PRLX_TEST_CUDA_EXACT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
/* NULL when the device is full; bytes 0 gives NULL too */
void *exact_new(size_t bytes);
void exact_poison(void *p, size_t bytes);
void exact_free(void *p);
bool exact_put(void *dst, const void *src, size_t bytes);
bool exact_get(void *dst, const void *src, size_t bytes);

/* Waits for the device; NULL when all is well, else what went wrong since the last call (which is
 * then forgotten). */
const char *exact_fault(void);
void exact_order(uint64_t seed); /* emulation: order of threads and blocks */
bool exact_emulated(void);
long exact_launches(void); /* emulation: kernels launched so far; else -1 */

/* emulation: allocations of device and pinned memory that exist */
size_t exact_live(void);

/* Conversions on the host, round to nearest even. */
uint16_t exact_to_16(float x, bool bf16);
float exact_from_16(uint16_t x, bool bf16);
#ifdef __cplusplus
}
#endif
#endif
