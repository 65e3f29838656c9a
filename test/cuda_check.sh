#!/bin/sh
# cuda_check.sh: compiles the .cu files given for sm_$ARCH and prints what each kernel takes. Fails
# when a file does not compile, on a warning, when a kernel spills registers to memory, and when the
# assembler puts products of wgmma one after another. Those exist for sm_90a only, which takes the
# place of sm_90 there.
# `make cuda-check` calls it.
[ -n "$NVCC" ] || { echo "cuda-check: no nvcc here; nothing was compiled"; exit 0; }
dir=${BUILD:-build}/cuda-check
mkdir -p "$dir" || exit 1
bad=0
for f in "$@"; do
  log=$dir/$(basename "$f" .cu).log
  start=$(date +%s)
  object=$dir/$(basename "$f" .cu).o
  arch=$ARCH
  case $f$ARCH in *wgmma.cu90) arch=90a ;; esac
  if ! $NVCC $FLAGS -gencode "arch=compute_$arch,code=sm_$arch" -Xptxas -v -c -o "$object" "$f" \
    >"$log" 2>&1; then
    echo "cuda-check: $f does not compile"; cat "$log"; bad=1; continue
  fi
  grep -iE 'warning|advisory|performance loss' "$log" && {
    echo "cuda-check: warnings in $f"
    bad=1
  }
  echo "$f: $(( $(date +%s) - start )) s, sm_$arch"
  c++filt <"$log" | awk -v file="$f" '
    /Compiling entry function/ { split($0, q, "\047"); name = q[2] }
    /bytes spill stores/ { stack = $1; spill = $5 + $9 }
    /Used [0-9]+ registers/ {
      regs = smem = 0
      for (i = 1; i <= NF; i++) {
        if ($i == "registers," || $i == "registers") regs = $(i - 1)
        if ($i == "smem," || $i == "smem") smem = $(i - 2)
      }
      printf "  %4d registers %6d B shared %5d B spilled  %s\n", regs, smem, spill, name
      if (spill > 0) {
        printf "cuda-check: %s spills %d bytes in %s\n", file, spill, name
        fail = 1
      }
      spill = 0
    }
    END { exit fail }' || bad=1
done
[ $bad = 0 ] && echo "cuda-check: all kernels compile for sm_$ARCH without spills"
exit $bad
