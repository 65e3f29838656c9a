#!/bin/sh
# Runs the fast tests of a build with --coverage and prints, per room and in all, how many lines of
# the sources were executed. Called by `make coverage`; the CUDA emulation is left out.
# usage: BUILD=build/coverage sh test/house/coverage.sh
B=${BUILD:-build/coverage}
find "$B" -name '*.gcda' -exec rm -f {} +
for t in "$B"/test_*; do
  case $t in *.o | *.d | *.gc*) continue ;; esac
  "$t" >"$B/log" 2>&1 || echo "coverage: $(basename "$t") failed"
done
PRLX_CONV=auto "$B/golden" -q test/golden >"$B/log" 2>&1 || echo "coverage: golden failed"
for s in test/cli_*.sh; do
  case $s in *cli_mpi.sh | *cli_lib.sh | *cli_one.sh) continue ;; esac
  sh "$s" "$B/prlx" >"$B/log" 2>&1 || echo "coverage: $s failed: $(grep -m 1 FAIL "$B/log")"
done

# gcov says "File 'X'", then "Lines executed:P% of N". A source that was compiled more than once
# (instruction sets) counts with its best run; headers and sources of others do not count.
find "$B" -name '*.gcno' | grep -v "^$B/test/" | while read -r f; do
  gcov -n -o "$(dirname "$f")" "$f" 2>/dev/null
done | awk '
  /^File / { split($0, q, "\047"); file = q[2]; next }
  /^Lines executed:/ && file ~ /\.c$/ && file !~ /^(\/|third_party|test)/ {
    split($0, p, /[:%]| of /)
    if (p[2] * p[4] / 100 >= hit[file]) { hit[file] = p[2] * p[4] / 100; all[file] = p[4] }
  }
  END {
    for (f in all) {
      room = f
      sub(/\/[^\/]*$/, "", room)
      h[room] += hit[f]; n[room] += all[f]; hits += hit[f]; lines += all[f]
    }
    for (room in n) printf "%-16s %6d lines  %5.1f %%\n", room, n[room], 100 * h[room] / n[room]
    if (lines) printf "~all             %6d lines  %5.1f %%\n", lines, 100 * hits / lines
  }' | sort | sed 's/^~all/all /'
