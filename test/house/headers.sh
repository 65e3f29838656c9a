#!/bin/sh
# Every header compiles alone as C; prlx.h also as C++ (skipped with a message where there is no C++
# compiler). What CUDA sources include is compiled as C++ with them.
# usage: CC=gcc sh test/house/headers.sh
CC=${CC:-gcc}
CXX=${CXX:-g++}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
# alone HEADER LANGUAGE COMPILER FLAG...: all of it in a file that includes nothing else, twice
alone() {
  header=$1
  shift
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$T/alone.$1"
  shift
  if "$@" -I. -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only "$T"/alone.* >"$T/log" 2>&1
  then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAIL: $header does not compile alone: $(grep -m 1 error "$T/log")"
  fi
  rm -f "$T"/alone.*
}
for h in prlx.h cuda/device.h $(find core io models tools paper/engine -name '*.h' | sort); do
  alone "$h" c "$CC" -std=gnu11 -DISA=portable -Wno-unused-function
done
if command -v "$CXX" >/dev/null 2>&1; then
  alone prlx.h cpp "$CXX" -std=c++11
else
  echo "prlx.h as C++: skipped, no $CXX"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
