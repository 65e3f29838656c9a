#!/bin/sh
# Runs test programs that were built with the thread sanitizer, with three threads; stops at the
# first report. Called by `make tsan`.
# usage: BUILD=build/tsan sh test/house/tsan.sh TEST...
B=${BUILD:-build/tsan}
for t in "$@"; do
  if ! PRLX_THREADS=3 TSAN_OPTIONS=halt_on_error=1 "$B/$t" >"$B/$t.log" 2>&1; then
    echo "make tsan: $t:"
    grep -A 12 -E 'WARNING|FAIL' "$B/$t.log" | head -n 40
    exit 1
  fi
  echo "$t: $(tail -n 1 "$B/$t.log"), no report of the thread sanitizer"
done
