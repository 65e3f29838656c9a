#!/bin/sh
# The style checker itself: each rule finds a planted fault, and finds nothing in a file in order.
# usage: BUILD=build CC=gcc sh test/house/style_self.sh
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
${CC:-gcc} -std=gnu11 -O0 -I. -o "$T/check_style" test/house/style.c test/house/style_c.c \
  test/house/source.c || exit 1
mkdir -p "$T/core" "$T/io"

# finds RULE FILE: the text on stdin, as FILE, breaks RULE; "nothing": it is in order
finds() {
  cat >"$T/$2"
  (cd "$T" && ./check_style -a "$2") >"$T/log"
  if [ "$1" = nothing ]; then
    ! grep -q "^$2:" "$T/log"
  else
    grep -q "^$2:[0-9]*: $1: " "$T/log"
  fi
  if [ $? -eq 0 ]; then echo pass; else echo "FAIL: $1 in $2: $(cat "$T/log")"; fi >>"$T/results"
}

finds nothing core/good.c <<'END'
/* good.c: in order. */
#include "core/good.h"
#include <stdio.h>
#include "core/base.h"
struct Pair {
  int left;
  int right;
};
static Status good_run(Error *e) {
  for (int i = 0; i < 3; i++) printf("a; b /* no comment */\n");
  switch (e != NULL) {
    case 0: good_stop(); break;
    default: return ST_OK;
  }
  TRY(good_go(e));
  return ST_OK;
}
END
finds nothing core/good.h <<'END'
/* A group of two. */
void good_go(int n);
int good_stop(void);

int good_rest(void); /* beside it */
END
printf 'int a; /* %0120d */\n' 0 | finds width core/a.c
printf '\tint a;\n' | finds tabs core/a.c
printf 'int a; \n' | finds blanks core/a.c
printf 'int a;\n\n\nint b;\n' | finds blanks core/a.c
printf 'int a;' | finds blanks core/a.c
echo "/* TO""DO: later */" | finds marks core/a.c
echo "const char *p = \"/ho""me/me/data\";" | finds paths core/a.c
echo "int f(void) { int a = 1; return a; }" | finds statements core/a.c
echo "struct P { int a, b; };" | finds struct-line core/a.c
printf 'struct P {\n  int left, right;\n};\n' | finds members core/a.c
printf 'struct P {\n  int q;\n};\n' | finds one-letter core/a.h
printf '#include "core/base.h"\n#include <stdio.h>\n' | finds includes core/a.c
printf '#include <stdio.h>\n#include "core/a.h"\n' | finds includes core/a.c
printf '#include "base.h"\n' | finds includes core/a.c
printf '#include "core/plan_internal.h"\n' | finds private core/a.c
printf '#include "core/plan_impl.h"\n' | finds private io/a.c
printf 'int f_at(Node *n) {\n  return n->a.i[13];\n}\n' | finds numbered core/a.c
printf 'int f_at(int s) {\n  if (s == ST_OK) s = g_at();\n  return s;\n}\n' | finds ladder core/a.c
printf 'int f_at(int s);\n' | finds comment core/a.h
printf '/* ---- a heading ---- */\nint f_at(int s);\n' | finds comment core/a.h
printf '/* one */\nint f_at(int s);\n\nint g_at(int s);\n' | finds comment core/a.h
printf 'static int run(int s) {\n  return s;\n}\n' | finds one-word core/a.c
{ echo 'int f_at(int s) {'; yes '  s++;' | head -n 70; printf '  return s;\n}\n'; } |
  finds function core/a.c
yes 'int f_at(void);' | head -n 801 | finds file core/a.c
printf 'all:\n\techo one\n' | finds nothing Makefile
printf 'a  =\tb\n' | finds tabs Makefile
grep FAIL "$T/results"
failed=$(grep -c FAIL "$T/results")
echo "$(grep -c '^pass$' "$T/results") passed, $failed failed"
[ "$failed" -eq 0 ]
