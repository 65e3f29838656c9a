/* base.h: number type, errors and memory. Every other file includes it; it includes nothing of
 * ours. */
#ifndef PRLX_BASE_H
#define PRLX_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All tensors hold `real`. float is the product; the gradient tests build the same sources with
 * -DPRLX_F64 so that finite differences are exact to about 1e-9. Kernels must compile with both. */
#ifdef PRLX_F64
typedef double real;
#else
typedef float real;
#endif

/* What holds for every function of every header that does not say otherwise:
 *   errors     Any function that allocates may return ST_NOMEM; other codes are named where they
 *              can come. After an error outputs are empty (a struct may, but need not be freed).
 *   ownership  What a function hands out belongs to the caller, who frees it with the function of
 *              the struct (x_free, x_close), or with mem_free. Pointers into a struct, and texts a
 *              struct is asked for, end with it. Arguments are borrowed for the call.
 *   threads    One object in one thread at a time, different ones in any threads at once; reading a
 *              const object from many threads is fine. Of several threads that compute at once
 *              (par_for, plan_run and what calls them) one has the workers, the others go on
 *              alone, with the same bits: core/threads.h.
 *   arrays     Row-major; x [n,C,H,W] is the order in memory. */

/* ---- errors: a library function returns a Status; the text goes to the caller's Error ---- */
typedef enum {
  ST_OK = 0,
  ST_INVALID,     /* impossible argument or combination (caller's or user's mistake) */
  ST_IO,          /* open, read, write, rename failed */
  ST_FORMAT,      /* a file's content is not what it should be */
  ST_NOMEM,       /* allocation failed, or a plan is larger than allowed */
  ST_NUMERIC,     /* NaN or infinity where there must be none */
  ST_INTERRUPTED, /* Ctrl-C */
  ST_INTERNAL     /* a bug of ours */
} Status;
typedef struct Error {
  Status code;
  char msg[1024];
} Error;

/* Sets *e (e may be NULL) and returns `code`, so that `return err_set(e, ST_IO, "...")` reads well.
 * Message form: "FILE: what was found; what was expected; what to do". */
Status err_set(Error *e, Status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Ends the calling function with the status of a call that failed. For functions that own nothing
 * at that point; one that owns something says `s = call(); if (s != ST_OK) goto done;` and frees in
 * one place. */
#define TRY(call)                               \
  do {                                          \
    const Status try_status = (call);           \
    if (try_status != ST_OK) return try_status; \
  } while (0)

/* ---- memory: every host allocation of the library goes through these; from any thread ---- */

/* 64-byte aligned, zeroed; NULL when out of memory; bytes 0 gives a valid pointer. */
void *mem_alloc(size_t bytes);

/* Like realloc (p may be NULL), from old_bytes to bytes; the new part is zeroed; NULL leaves p
 * valid. */
void *mem_grow(void *p, size_t old_bytes, size_t bytes);

/* NULL allowed. */
void mem_free(void *p);

/* A copy, to be freed with mem_free; NULL when out of memory. */
char *mem_strdup(const char *s);

/* Test hook: the n-th allocation from now fails (0 = the next one, -1 = never). Not thread safe. */
void mem_fail_after(int64_t n);

/* Blocks allocated and not freed (leak tests). */
size_t mem_live_count(void);

/* a*b with overflow check: false when it does not fit in size_t, which has 32 bits on some machines
 * (do not cast a dimension down to it). */
bool mul_ok(size_t a, uint64_t b, size_t *out);

#define PRLX_MAX(a, b) ((a) > (b) ? (a) : (b))
#define PRLX_MIN(a, b) ((a) < (b) ? (a) : (b))
#define COUNT_OF(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- shapes: row-major, up to 6 axes, images NCHW. Rank 0 is a scalar (one element). ---- */
#define MAX_RANK 6
typedef struct Shape {
  int rank;
  int64_t dim[MAX_RANK];
} Shape;
#define SHAPE0() ((Shape){0, {0}})
#define SHAPE1(a) ((Shape){1, {a}})
#define SHAPE2(a, b) ((Shape){2, {a, b}})
#define SHAPE3(a, b, c) ((Shape){3, {a, b, c}})
#define SHAPE4(a, b, c, d) ((Shape){4, {a, b, c, d}})
#define SHAPE5(a, b, c, d, e) ((Shape){5, {a, b, c, d, e}})
#define SHAPE6(a, b, c, d, e, f) ((Shape){6, {a, b, c, d, e, f}})

/* Product of the sizes; 1 for rank 0. */
int64_t shape_numel(Shape s);

/* Same rank, same sizes. */
bool shape_eq(Shape a, Shape b);

/* "[4,1,64,64]", in buf. */
const char *shape_str(Shape s, char buf[96]);
#endif
