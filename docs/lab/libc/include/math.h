/* math.h for the page: what core, io and models call. docs/lab/libc/math.c. */
#ifndef LAB_MATH_H
#define LAB_MATH_H
#define NAN __builtin_nanf("")
#define INFINITY __builtin_inff()
#define HUGE_VAL __builtin_inf()
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define M_2_SQRTPI 1.12837916709551257390
#define M_SQRT2 1.41421356237309504880
#define M_SQRT1_2 0.70710678118654752440
#define M_LN2 0.69314718055994530942
#define M_E 2.7182818284590452354
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

/* One instruction each. */
#define fabs(x) __builtin_fabs(x)
#define fabsf(x) __builtin_fabsf(x)
#define sqrt(x) __builtin_sqrt(x)
#define sqrtf(x) __builtin_sqrtf(x)
#define floor(x) __builtin_floor(x)
#define floorf(x) __builtin_floorf(x)
#define ceil(x) __builtin_ceil(x)
#define ceilf(x) __builtin_ceilf(x)
#define trunc(x) __builtin_trunc(x)
#define rint(x) __builtin_rint(x)
#define rintf(x) __builtin_rintf(x)
#define nearbyint(x) __builtin_nearbyint(x)
#define copysign(x, y) __builtin_copysign(x, y)

/* Larger and smaller of two; the other where one is NaN. */
double fmax(double a, double b);
double fmin(double a, double b);
float fmaxf(float a, float b);
float fminf(float a, float b);

/* Rounded to nearest: computed to about 100 bits first. Arguments of sin and cos below 1e9. */
double exp(double x);
double exp2(double x);
double log(double x);
double log2(double x);
double log10(double x);
double log1p(double x);
double expm1(double x);
double pow(double x, double y);
double sin(double x);
double cos(double x);
double tan(double x);
double tanh(double x);
double hypot(double x, double y);
double atan2(double y, double x);
double acos(double x);
double cbrt(double x);
double erf(double x);
double round(double x);
long lround(double x);
long lrint(double x);
double fmod(double x, double y);
double ldexp(double x, int n);
float ldexpf(float x, int n);
double frexp(double x, int *n);
float expf(float x);
float powf(float x, float y);
float cosf(float x);
float sinf(float x);
float roundf(float x);
#endif
