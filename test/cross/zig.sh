#!/bin/sh
# zig.sh: zig cc (PyPI: ziglang) for three targets: compiled and linked; that of Linux with musl is
# run, that of Windows where Wine is, that of macOS nowhere. usage: BUILD=build MAKE=make sh zig.sh
# ZIG: "zig", or "python3 -m ziglang"
B=${BUILD:-build}
MAKE=${MAKE:-make}
ZIG=${ZIG:-zig}
TARGETS=${ZIG_TARGETS:-x86_64-linux-musl aarch64-macos x86_64-windows-gnu}
PRLX_DATA=$PWD/data
export PRLX_DATA
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
$ZIG version >/dev/null 2>&1 || {
  echo "test-zig: skipped; pip install ziglang into a virtual environment," \
    "then ZIG='PYTHON -m ziglang'"
  exit 0
}
passed=0
failed=0
ok() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $2: $(grep -m 1 -E 'error|FAIL' "$T/log" || tail -n 1 "$T/log")"
  fi
}
for target in $TARGETS; do
  Z=$B/zig/$target
  program=$Z/prlx
  $MAKE --no-print-directory CUDA=0 CC="$ZIG cc -target $target" AR="$ZIG ar" TRIPLE="$target" \
    CFLAGS="${CROSS_CFLAGS:--O2}" BUILD="$Z" "$program" >"$T/log" 2>&1
  ok $? "$target: does not build"
  case $target in
    x86_64-linux-musl) "$program" check >"$T/log" 2>&1 && ok $? "$target: check" ;;
    *) echo "$target: compiled and linked, not run" ;;
  esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
