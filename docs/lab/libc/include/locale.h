/* locale.h for the page: the one locale there is. */
#ifndef LAB_LOCALE_H
#define LAB_LOCALE_H
struct lconv {
  char *decimal_point;
};
struct lconv *localeconv(void);
#endif
