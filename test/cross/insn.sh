#!/bin/sh
# insn.sh: instructions of the NEON kernels beside those of the same kernels from portable vectors
# (aarch64 under qemu-user, counted by a plugin): the difference of 11 and of one time the work.
# usage: BUILD=build sh insn.sh
B=${BUILD:-build}/cross/insn
CC=aarch64-linux-gnu-gcc
mkdir -p "$B"
command -v $CC >/dev/null 2>&1 && command -v qemu-aarch64 >/dev/null 2>&1 || {
  echo "test-insn: skipped; apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
  exit 0
}
flags="-std=gnu11 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -DPRLX_HAVE_NEON -I."
${HOST_CC:-cc} -shared -fPIC -O1 -o "$B/insn.so" test/cross/insn.c || exit 1
objects=
for isa in portable neon; do
  define=
  [ $isa = neon ] && define=-DPRLX_NEON
  for k in gemm winograd upfirdn pointwise; do
    $CC $flags $define -DISA=$isa -c -o "$B/$k.$isa.o" core/kernels/$k.c || exit 1
    objects="$objects $B/$k.$isa.o"
  done
done
$CC $flags -static -o "$B/kernels" test/cross/kernels.c core/isa.c $objects -lm || exit 1
count() {
  qemu-aarch64 -plugin "$B/insn.so" "$B/kernels" "$1" "$2" "$3" 2>&1 >"$B/sum.$2" | tail -n 1
}
echo "| kernel | portable | neon | ratio |"
for k in gemm input output up down lrelu; do
  p=$((($(count $k portable 11) - $(count $k portable 1)) / 10))
  n=$((($(count $k neon 11) - $(count $k neon 1)) / 10))
  echo "| $k | $p | $n | $(awk "BEGIN { printf \"%.2f\", $p / $n }") |"
  cmp -s "$B/sum.portable" "$B/sum.neon" || echo "$k: other sums: $(cat "$B"/sum.*)"
done
