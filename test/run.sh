#!/bin/sh
# Runs every test program of $BUILD, then the golden files; sums their "N passed, N failed" lines.
# usage: BUILD=build sh test/run.sh fast|long   (long sets TEST_LONG=1 for the programs that have more to do)
B=${BUILD:-build}; mode=${1:-fast}; P=0; F=0; log=$(mktemp); trap 'rm -f "$log"' EXIT INT TERM
[ "$mode" = long ] && { TEST_LONG=1; export TEST_LONG; }
run() {
  name=$1; shift; start=$(date +%s)
  "$@" >"$log" 2>&1; rc=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  p=$(echo "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p'); f=$(echo "$line" | sed -n 's/.*, \([0-9]*\) failed.*/\1/p')
  p=${p:-0}; f=${f:-0}
  if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; echo "$name: exit code $rc"; fi
  if [ "$p" -eq 0 ] && [ "$f" -eq 0 ]; then f=1; echo "$name: reported no test"; fi
  [ "$f" -ne 0 ] && { grep -E 'FAIL|ERROR|runtime error|SUMMARY' "$log" | head -n 30; tail -n 5 "$log"; }
  P=$((P + p)); F=$((F + f)); echo "$name: $p passed, $f failed ($(( $(date +%s) - start )) s)"
}
for t in "$B"/test_* "$B"/f64_*; do case $t in *.o|*.d) ;; *) [ -x "$t" ] && run "$(basename "$t")" "$t" ;; esac; done
run "golden (direct convolution)" "$B/golden" test/golden
run "golden (as the programs choose)" env PRLX_CONV=auto "$B/golden" test/golden
run "golden (portable instructions)" env PRLX_ISA=portable "$B/golden" test/golden
for s in test/cli_*.sh; do [ -f "$s" ] && run "$(basename "$s")" sh "$s" "$B/prlx"; done
echo "$P passed, $F failed"
[ "$F" -eq 0 ]
