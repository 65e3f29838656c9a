/* fft.h: real 3-D Fourier transform for the phantom's boxes. Lengths are products of 2, 3 and 5;
 * single precision; Stockham passes of radix 4, 2, 3, 5 over tiles of columns (Cochran et al.,
 * "What is the fast Fourier transform?", IEEE Trans. Audio 15, 1967). One thread per call, no
 * instruction set beyond the compiler's base: the same bits on every machine of an architecture. */
#ifndef PRLX_FFT_H
#define PRLX_FFT_H
#include "core/base.h"
typedef struct Fft3 Fft3;

/* Volume [nz][ny][nx] (x fastest). The spectrum is kept as separate real and imaginary parts
 * [nz/2+1][ny][nx]: kz >= 0 only, ky and kx in the usual order 0, 1, ..., -1. ST_INVALID for
 * lengths that are not 2^a 3^b 5^c or above 4096. A plan is read-only: threads may share it. */
Status fft3_new(int nx, int ny, int nz, Fft3 **out, Error *e);

/* NULL allowed. */
void fft3_free(Fft3 *f);

/* Complex values of the spectrum. */
size_t fft3_count(const Fft3 *f);

/* Floats of scratch that a call needs; 64-byte aligned, one per thread. */
size_t fft3_scratch(const Fft3 *f);

/* X(k) = sum_r x(r) exp(-2 pi i k.r/N). */
void fft3_forward(const Fft3 *f, const float *x, float *re, float *im, float *scratch);

/* x(r) = (1/N) sum_k X(k) exp(+2 pi i k.r/N), the half spectrum completed by symmetry. re and im
 * are overwritten. */
void fft3_inverse(const Fft3 *f, float *re, float *im, float *x, float *scratch);
#endif
