/* twofold.h: numbers of twice the digits of a double, as an unevaluated sum of two (Dekker 1971;
 * Knuth, TAOCP 2, 4.2.2). About 100 bits, from which a result is rounded once. */
#ifndef LAB_TWOFOLD_H
#define LAB_TWOFOLD_H
typedef struct Two {
  double hi;
  double lo; /* at most half a unit in the last place of hi */
} Two;

/* a + b exactly; the second where |a| >= |b|. */
static inline Two two_sum(double a, double b) {
  const double s = a + b, t = s - a;
  return (Two){s, (a - (s - t)) + (b - t)};
}
static inline Two two_quick(double a, double b) {
  const double s = a + b;
  return (Two){s, b - (s - a)};
}

/* a * b exactly (no overflow below 1e300). */
static inline Two two_product(double a, double b) {
  const double ca = 134217729 * a, cb = 134217729 * b, ah = ca - (ca - a), bh = cb - (cb - b),
               al = a - ah, bl = b - bh, p = a * b;
  return (Two){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

/* Sums, products and quotients to about 100 bits. */
static inline Two two_add(Two a, Two b) {
  Two s = two_sum(a.hi, b.hi), t = two_sum(a.lo, b.lo);
  s = two_quick(s.hi, s.lo + t.hi);
  return two_quick(s.hi, s.lo + t.lo);
}
static inline Two two_neg(Two a) { return (Two){-a.hi, -a.lo}; }
static inline Two two_mul(Two a, Two b) {
  Two p = two_product(a.hi, b.hi);
  return two_quick(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}
static inline Two two_times(Two a, double b) {
  Two p = two_product(a.hi, b);
  return two_quick(p.hi, p.lo + a.lo * b);
}
static inline Two two_div(Two a, Two b) {
  const double q = a.hi / b.hi;
  Two r = two_add(a, two_neg(two_times(b, q)));
  const double q2 = r.hi / b.hi;
  r = two_add(r, two_neg(two_times(b, q2)));
  Two s = two_quick(q, q2);
  return two_quick(s.hi, s.lo + r.hi / b.hi);
}
#endif
