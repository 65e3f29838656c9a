/* test.h: the whole test framework. A test program calls CHECK..., ends with `return test_end();`.
 */
#ifndef PRLX_TEST_H
#define PRLX_TEST_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* a program of several files: one of them defines the counters */
#ifdef TEST_SHARED
extern int test_passed, test_failed;
#else
static int test_passed, test_failed;
#endif
/* CHECK(condition, "what is tested %d", ...): counts, and prints failures only (all with
 * TEST_VERBOSE=1). */
#define CHECK(cond, ...)                                               \
  do {                                                                 \
    int ok_ = !!(cond);                                                \
    if (ok_)                                                           \
      test_passed++;                                                   \
    else                                                               \
      test_failed++;                                                   \
    if (!ok_ || getenv("TEST_VERBOSE")) {                              \
      printf("%s %s:%d: ", ok_ ? "PASS" : "FAIL", __FILE__, __LINE__); \
      printf(__VA_ARGS__);                                             \
      printf("%s\n", ok_ ? "" : "  [" #cond "]");                      \
      fflush(stdout);                                                  \
    }                                                                  \
  } while (0)
static inline int test_end(void) {
  printf("%d passed, %d failed\n", test_passed, test_failed);
  return test_failed != 0;
}
#endif
