#!/bin/sh
# static.sh: make STATIC=1: one file without a library beside it. Runs on a machine of x86-64-v1
# (qemu -cpu qemu64: SSE2, no AVX) and one without AVX2 (SandyBridge), with the golden results, and
# in an empty root. usage: BUILD=build MAKE=make sh static.sh
# CROSS_SHORT=1: builds it and runs it as it is, as CI does
B=${BUILD:-build}
MAKE=${MAKE:-make}
S=$B/static
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
PRLX_DATA=$PWD/data
LC_ALL=C
export PRLX_DATA LC_ALL
passed=0
failed=0
ok() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $2: $(tail -n 1 "$T/log")"
  fi
}
command -v musl-gcc >/dev/null 2>&1 ||
  echo "test-static: no musl-gcc (apt-get install musl-tools): linked with the C library of cc"
$MAKE --no-print-directory STATIC=1 BUILD="$S" CFLAGS="${CROSS_CFLAGS:--O2}" "$S/prlx" \
  "$S/golden" >"$T/log" 2>&1
ok $? "does not build"
[ -x "$S/prlx" ] || exit 1
file=$(od -An -c -N 4 "$S/prlx" | tr -d ' \n')
[ "$file" = '177ELF' ] && ! ldd "$S/prlx" >/dev/null 2>&1
ok $? "is not a static program"
"$S/prlx" check >"$T/log" 2>&1
ok $? "check"
"$S/golden" -q test/golden/ops.safetensors test/golden/mapping_2u.safetensors >"$T/log" 2>&1
ok $? "golden files"
if [ -z "$CROSS_SHORT" ] && command -v qemu-x86_64 >/dev/null 2>&1; then
  for cpu in qemu64 SandyBridge Haswell; do
    best=portable
    [ $cpu = Haswell ] && best=avx2
    qemu-x86_64 -cpu $cpu "$S/prlx" --version >"$T/log" 2>&1
    grep -q "$best" "$T/log"
    ok $? "$cpu: $best is chosen"
    qemu-x86_64 -cpu $cpu "$S/golden" -q test/golden/ops.safetensors \
      test/golden/mapping_2u.safetensors test/golden/nn.safetensors >"$T/log" 2>&1
    ok $? "$cpu: golden files"
  done
else
  echo "test-static: older machines skipped; apt-get install qemu-user"
fi
if [ "$(id -u)" -eq 0 ] && mkdir "$T/root" && cp "$S/prlx" "$T/root"; then
  chroot "$T/root" /prlx --version >"$T/log" 2>&1
  ok $? "in an empty root"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
