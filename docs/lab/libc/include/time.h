/* time.h for the page. */
#ifndef LAB_TIME_H
#define LAB_TIME_H
typedef long long time_t;

/* Seconds since 1970. */
time_t time(time_t *out);
#endif
