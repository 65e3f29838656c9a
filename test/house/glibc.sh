#!/bin/sh
# glibc.sh: the program needs no symbol of the C library that is newer than README.md says it needs
# when it is built with Debian 12's (glibc 2.36, GCC 12): 2.35. A newer C library gives its own
# versions to some functions, which is no fault of ours: there the newest is only told.
# usage: BUILD=build sh glibc.sh
B=${BUILD:-build}
STATED=2.35
BUILT=2.36
command -v objdump >/dev/null 2>&1 && here=$(getconf GNU_LIBC_VERSION 2>/dev/null) || {
  echo "glibc: skipped, no objdump or another C library"
  echo "1 passed, 0 failed"
  exit 0
}
here=${here#glibc }
# later A B: A is a later version than B
later() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$1" ]; }
passed=0
failed=0
newest=$(objdump -T "$B/prlx" | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu |
  tail -n 1)
if [ -z "$newest" ]; then
  echo "glibc: $B/prlx is linked without it"
elif later "$newest" $STATED && ! later "$here" $BUILT; then
  failed=1
  echo "FAIL: $B/prlx needs glibc $newest; README.md says $STATED:"
  objdump -T "$B/prlx" | grep "GLIBC_$newest"
else
  echo "glibc: built with $here, needs $newest"
fi
grep -q "glibc $STATED or later" README.md || {
  failed=$((failed + 1))
  echo "FAIL: README.md does not say 'glibc $STATED or later'"
}
passed=$((2 - failed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
