#!/bin/sh
# run.sh: builds the program for other machines and runs it here under qemu-user (i386: as it is):
# test programs, golden files, and files written there, compared with those of build/prlx.
# usage: BUILD=build MAKE=make sh test/cross/run.sh ARCH... (aarch64 armhf i386 riscv64 ppc64el
# s390x). Installs nothing; what is missing is named and skipped. The last lines are the rows of the
# table in test/README.md.
#   CROSS_CFLAGS (-O2)   CROSS_GOLDEN (files; "all")   CROSS_STEPS (20) steps of the projection
#   CROSS_SHORT=1        golden files only, as CI does
B=${BUILD:-build}
MAKE=${MAKE:-make}
HERE=$(dirname "$0")
PRLX_DATA=$PWD/data
LC_ALL=C
PRLX_THREADS=2
export PRLX_DATA LC_ALL PRLX_THREADS
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
small="ada augment_r1 augment_random_gray fid_kid formula mapping_2u mapping_2c nn ops"
small="$small projector_schedule generator_uncond projector"
programs_tested="core io gzip nifti png pickle"
passed=0
failed=0
rows=

machine() {
  package=
  case $1 in
    aarch64) triplet=aarch64-linux-gnu; qemu=qemu-aarch64; libc=arm64 ;;
    armhf) triplet=arm-linux-gnueabihf; qemu=qemu-arm; libc=armhf ;;
    i386) triplet=i686-linux-gnu; qemu=qemu-i386; libc=i386 ;;
    riscv64) triplet=riscv64-linux-gnu; qemu=qemu-riscv64; libc=riscv64 ;;
    ppc64el) triplet=powerpc64le-linux-gnu; qemu=qemu-ppc64le; libc=ppc64el ;;
    s390x) triplet=s390x-linux-gnu; qemu=qemu-s390x; libc=s390x ;;
    *) echo "test-cross: unknown machine '$1'; expected aarch64, armhf, i386, riscv64, ppc64el" \
         "or s390x"; exit 1 ;;
  esac
  command -v $triplet-gcc >/dev/null 2>&1 ||
    package="gcc-$(echo $triplet | tr _ -) libc6-dev-$libc-cross"
  command -v $qemu >/dev/null 2>&1 || package="$package qemu-user"
  case $1 in i386) case $(uname -m) in x86_64 | i686) qemu= ;; esac ;; esac
}

# count PASSED FAILED
count() { p=$((p + $1)); f=$((f + $2)); }
ok() { if [ "$1" -eq 0 ]; then count 1 0; else count 0 1; echo "FAIL: $arch: $2"; fi; }

# tests PROGRAM ARGUMENT...: adds what its last line counts
tests() {
  $qemu "$@" >"$T/log" 2>&1
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$T/log" | tail -n 1)
  if [ -z "$line" ]; then
    count 0 1
    echo "FAIL: $arch: $1: $(tail -n 1 "$T/log")"
    return
  fi
  one=${line#*, }
  count "${line%% *}" "${one%% *}"
  grep FAIL "$T/log" | head -n 10 | sed "s/^/$arch: /"
}

# write DIR COMMAND...: what the program makes of the same inputs. Whole numbers: import, convert,
# export. Real numbers: generate, project (CROSS_STEPS steps), train (one tick, 16 x 16).
write() {
  out=$1
  shift
  in=$T/here
  mkdir -p "$out"
  "$@" convert test/data/functional.nii "$out/scaled.nii.gz" &&
    "$@" import test/data/import/tiny_nv.pkl -o "$out/net.safetensors" --quiet &&
    "$@" export "$in/net.safetensors" -o "$out/export.safetensors" --quiet &&
    "$@" generate --network "$in/net.safetensors" --count 8 --png --quiet -o "$out/g" &&
    "$@" train "$in/g/dataset.safetensors" --channel-base 64 --channel-max 4 --z-dim 8 --w-dim 8 \
      --batch 4 --tick 0.008 --kimg 0.008 --snap 1 --seed 7 --quiet -o "$out/run" || return 1
  [ "${CROSS_STEPS:-20}" -eq 0 ] ||
    "$@" project "$in/g/dataset.safetensors" --range 0 --network "$in/net.safetensors" \
      --steps "${CROSS_STEPS:-20}" --w-samples 100 --quiet -o "$out/p"
}

files() {
  [ -d "$T/here" ] || write "$T/here" "$B/prlx" >"$T/log" 2>&1 || cat "$T/log"
  write "$T/there" $qemu "$X/prlx" >"$T/log" 2>&1
  ok $? "a command failed: $(tail -n 1 "$T/log")"
  for name in scaled.nii.gz net.safetensors export.safetensors; do
    cmp -s "$T/here/$name" "$T/there/$name"
    ok $? "$name differs from that of this machine"
  done
  near 1e-4 g/dataset.safetensors
  near 1e-3 run/network.safetensors G_ema.synthesis.b16.conv0.weight G_ema.mapping.fc0.weight
  [ "${CROSS_STEPS:-20}" -eq 0 ] || near 1e-2 p/denoised.safetensors
  # a run that was begun there goes on here
  "$B/prlx" train --resume --kimg 0.016 --quiet -o "$T/there/run" >"$T/log" 2>&1
  ok $? "resumed here: $(tail -n 1 "$T/log")"
  rm -rf "$T/there"
}
# On a machine of 32 bits: files of 3 GB (with holes, so that they need no disk), each refused in
# one line; a tensor of 600 MB, whose bits no 32 bits count, is read.
large() {
  case $arch in armhf | i386) ;; *) return ;; esac
  big=3221225472
  head='{"t":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}'
  for bytes in $big 600000000; do
    text=$(printf "$head" $bytes $bytes)
    # eight bytes of length, the header, holes
    printf "\\$(printf %o ${#text})\\0\\0\\0\\0\\0\\0\\0%s" "$text" >"$T/$bytes.safetensors"
    truncate -s $((8 + ${#text} + bytes)) "$T/$bytes.safetensors"
  done
  cp test/data/functional.nii "$T/$big.nii"
  gzip -c test/data/functional.nii >"$T/$big.nii.gz"
  "$B/prlx" generate --network "$T/here/net.safetensors" --count 1 --quiet -o "$T/one" \
    >/dev/null 2>&1
  cp "$T/one/sheet.png" "$T/$big.png"
  printf 'a\tb\n' >"$T/$big.tsv"
  for name in safetensors nii nii.gz png tsv pkl jsonl; do
    [ $name = safetensors ] || truncate -s $big "$T/$big.$name"
    command=info
    case $name in tsv) command="pack -o $T/no.safetensors" ;; esac
    case $name in pkl) command="import -o $T/no.safetensors" ;; esac
    $qemu "$X/prlx" $command "$T/$big.$name" >"$T/log" 2>"$T/err"
    rc=$?
    [ $rc -eq 1 ] && [ "$(wc -l <"$T/err")" -eq 1 ]
    ok $? "3 GB of $name: exit code $rc: $(tail -n 1 "$T/err")"
    [ -z "$CROSS_VERBOSE" ] || cat "$T/err"
    rm -f "$T/$big.$name"
  done
  $qemu "$X/prlx" info "$T/600000000.safetensors" >"$T/log" 2>&1
  ok $? "a tensor of 600 MB: $(tail -n 1 "$T/log")"
  rm -f "$T/600000000.safetensors"
}
near() {
  tolerance=$1
  name=$2
  shift 2
  "$B/cross/compare" "$tolerance" "$T/here/$name" "$T/there/$name" "$@"
  ok $? "$name is not near that of this machine"
}

for arch in "$@"; do
  machine "$arch"
  if [ -n "$package" ]; then
    echo "test-cross $arch: skipped; apt-get install $package"
    continue
  fi
  start=$(date +%s)
  X=$B/cross/$arch
  programs="$X/golden"
  [ -n "$CROSS_SHORT" ] ||
    programs="$programs $X/prlx $(for t in $programs_tested; do echo "$X/test_$t"; done)"
  $MAKE --no-print-directory CUDA=0 STATIC=1 CFLAGS="${CROSS_CFLAGS:--O2}" CC=$triplet-gcc \
    AR=$triplet-ar BUILD="$X" $programs >"$T/build" 2>&1 || {
    echo "FAIL: $arch: does not build: $(grep -m 1 -E 'error|undefined' "$T/build")"
    failed=$((failed + 1))
    continue
  }
  built=$(($(date +%s) - start))
  p=0
  f=0
  $triplet-gcc $($MAKE --no-print-directory -s CC=$triplet-gcc BUILD="$X" print-flags) -O2 -static \
    -o "$X/null_base" test/cross/null_base.c 2>"$T/log" && $qemu "$X/null_base" >>"$T/log"
  ok $? "the compiler leaves a call out: $(tail -n 1 "$T/log")"
  [ -n "$CROSS_SHORT" ] || for t in $programs_tested; do tests "$X/test_$t"; done
  golden=${CROSS_GOLDEN:-$small}
  [ "$golden" = all ] && golden=$(basename -a -s .safetensors test/golden/*.safetensors)
  tests "$X/golden" -q $(for g in $golden; do echo "test/golden/$g.safetensors"; done)
  if [ -z "$CROSS_SHORT" ]; then
    files
    large
  fi
  row="| $arch | $triplet-gcc $($triplet-gcc -dumpfullversion) | $p passed, $f failed |"
  row="$row build $built s, tests $(($(date +%s) - start - built)) s |"
  rows="$rows$row
"
  passed=$((passed + p))
  failed=$((failed + f))
done
printf '%s' "$rows"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
