#!/bin/sh
# compilers.sh: all of the library in one file (make amalgamation) by every gcc and clang here: it
# is taken as -std=c11 (GNU extensions included), built, and denoises and generates as build/prlx
# does: with portable vectors and with the best of this machine. usage:
#   BUILD=build MAKE=make sh compilers.sh [COMPILER...]    CROSS_CFLAGS (-O1)
B=${BUILD:-build}
MAKE=${MAKE:-make}
PRLX_DATA=$PWD/data
LC_ALL=C
export PRLX_DATA LC_ALL
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
passed=0
failed=0
rows=
if [ $# -eq 0 ]; then
  for k in 9 10 11 12 13 14 15 16; do set -- "$@" gcc-$k; done
  for k in 11 12 13 14 15 16 17 18 19 20 21 22 23; do set -- "$@" clang-$k; done
fi
ok() {
  if [ "$1" -eq 0 ]; then p=$((p + 1)); else
    f=$((f + 1))
    echo "FAIL: $cc: $2: $(grep -m 1 -E 'error|FAIL' "$T/log" || tail -n 1 "$T/log")"
  fi
}
# near A B: two texts "LPIPS x" apart by at most 1e-3
near() {
  awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a != "" && d <= 1e-3 && d >= -1e-3) }'
}
lesion=data/ambiguous_lesion.png
distance() { sed -n 's/.*LPIPS \([0-9.]*\).*/\1/p' "$T/log"; }
$MAKE -s --no-print-directory BUILD="$B" CUDA=0 amalgamation >"$T/log" 2>&1 || {
  cat "$T/log"
  exit 1
}
"$B/prlx" project --network data/network_small.safetensors --steps 2 --no-nifti --quiet \
  --out "$T/p" $lesion >/dev/null 2>&1
want=$(awk -F'\t' 'NR == 2 {print $2}' "$T/p/table.tsv")
for cc in "$@"; do
  command -v "$cc" >/dev/null 2>&1 || continue
  p=0
  f=0
  start=$(date +%s)
  (cd "$B/prlx-amalgamation" && $cc -std=c11 -fsyntax-only prlx.c shell.c) >"$T/log" 2>&1
  ok $? "-std=c11"
  ! grep -q warning "$T/log"
  ok $? "-std=c11, without a warning"
  (cd "$B/prlx-amalgamation" &&
    $cc ${CROSS_CFLAGS:--O1} prlx.c shell.c -lm -lpthread -o "$T/shell") >"$T/log" 2>&1
  ok $? "does not build"
  for isa in portable ""; do
    env ${isa:+PRLX_ISA=$isa} "$T/shell" denoise $lesion "$T/x.png" 2 >"$T/log" 2>&1 &&
      near "$(distance)" "$want"
    ok $? "denoise${isa:+, }$isa: $(distance) and not $want"
  done
  "$T/shell" generate 8 "$T/g.safetensors" >"$T/log" 2>&1 &&
    "$B/prlx" info "$T/g.safetensors" >"$T/log" 2>&1
  ok $? "generate"
  row="| $cc | $($cc --version | head -n 1) | $p passed, $f failed |"
  rows="$rows$row $(($(date +%s) - start)) s |
"
  passed=$((passed + p))
  failed=$((failed + f))
done
printf '%s' "$rows"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
