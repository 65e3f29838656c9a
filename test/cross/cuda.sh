#!/bin/sh
# cuda.sh: every cuda/*.cu by another compiler of CUDA than the one on PATH: an nvcc (a toolkit of
# another version: the whole program is linked, and says what it is of), or clang, for host and
# device, to objects. usage: BUILD=build MAKE=make sh cuda.sh COMPILER...
#   nvcc: a path to it, .../bin/nvcc    clang++-19: with the toolkit of CUDA_PATH (that of nvcc)
#   CUDA_ARCHS (90)
B=${BUILD:-build}
MAKE=${MAKE:-make}
ARCH=${CUDA_ARCHS:-90}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
ok() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $compiler: $2: $(grep -m 1 -E 'error|undefined' "$T/log")"
  fi
}
toolkit=${CUDA_PATH:-$(dirname "$(dirname "$(command -v nvcc)")")}
for compiler in "$@"; do
  command -v "$compiler" >/dev/null 2>&1 || {
    echo "test-cuda-compilers: skipped, no $compiler"
    continue
  }
  $compiler --version | grep -E 'release|clang version'
  case $compiler in
    *nvcc*)
      $MAKE --no-print-directory BUILD="$B/cuda_other" NVCC="$compiler" CUDA_ARCHS="$ARCH" \
        "$B/cuda_other/prlx" >"$T/log" 2>&1
      ok $? "does not build"
      ! grep -q warning "$T/log"
      ok $? "warnings"
      "$B/cuda_other/prlx" --version | grep CUDA
      ok $? "is of no GPU backend"
      continue
      ;;
  esac
  for source in cuda/*.cu; do
    case $source in *nccl*) continue ;; esac # needs the headers of NCCL and MPI
    $compiler -x cuda --cuda-path="$toolkit" --cuda-gpu-arch="sm_$ARCH" -std=c++17 -O1 -I. \
      -Wno-unknown-cuda-version -fno-exceptions -fno-threadsafe-statics -c "$source" \
      -o "$T/object.o" >"$T/log" 2>&1
    ok $? "$source"
  done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
