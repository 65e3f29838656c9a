#!/bin/sh
# Static analysis of the program's sources by gcc -fanalyzer, cppcheck and clang-tidy, each where it
# is installed. Fails on a finding that analyze.txt does not explain. Called by `make analyze`.
# usage: BUILD=build FLAGS='-std=gnu11 ...' sh test/house/analyze.sh FILE...
# TOOLS="gcc cppcheck tidy" chooses; the whole takes about five minutes of CPU time.
out=${BUILD:-build}/analyze
tools=${TOOLS:-gcc cppcheck tidy}
jobs=$(nproc 2>/dev/null || echo 2)
mkdir -p "$out" || exit 1
printf '%s\n' "$@" >"$out/files"

# Each writes "FILE:LINE: CHECK: message" lines.
run_gcc() {
  xargs -P "$jobs" -n 4 sh -c '
    flags=$1; shift
    for f; do gcc $flags -O1 -fanalyzer -c -o /dev/null "$f" 2>&1; done' - "$FLAGS" |
    sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: warning: \(.*\) \[-W\([a-z-]*\)\]$/\1: \3: \2/p'
}
run_cppcheck() {
  cppcheck -q -j "$jobs" --enable=warning,portability,performance --std=c11 --library=posix -I. \
    --suppress='*:third_party/*' --suppress=invalidPointerCast -DISA=portable \
    --template='{file}:{line}: {id}: {message}' --file-list="$out/files" 2>&1
}
# Checks of taste, and those that the conventions of this project answer, are left out:
# parameters that could be swapped, sizes that are int by convention, memory functions of C11's
# Annex K, macros as arguments.
run_tidy() {
  checks="-*,clang-analyzer-*,bugprone-*,cert-*,misc-redundant-expression,performance-*"
  checks="$checks,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions"
  checks="$checks,-bugprone-implicit-widening-of-multiplication-result,-bugprone-reserved-identifier"
  checks="$checks,-bugprone-macro-parentheses,-cert-dcl37-c,-cert-dcl51-cpp,-cert-err33-c"
  checks="$checks,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"
  xargs -P "$jobs" -n 4 sh -c '
    flags=$1 checks=$2; shift 2
    clang-tidy --quiet --checks="$checks" "$@" -- $flags 2>/dev/null' - "$FLAGS" "$checks" |
    sed -n "s|^$PWD/||; s/^\([^:]*:[0-9]*\):[0-9]*: [a-z]*: \(.*\) \[\([a-zA-Z.,0-9-]*\)\]\$/\1: \3: \2/p" |
    grep -v ': clang-diagnostic-unknown'
}
bad=0
for tool in $tools; do
  case $tool in gcc) name=gcc ;; cppcheck) name=cppcheck ;; *) name=clang-tidy ;; esac
  if ! command -v $name >/dev/null 2>&1; then
    echo "analyze: no $name here: skipped"
    continue
  fi
  run_$tool <"$out/files" | sort -u >"$out/$tool.txt"
  awk -v tool=$tool '
    /^#/ || !NF { next }
    FNR == NR { if ($1 == tool) known[$2 " " $3] = 1; next }
    {
      split($0, part, ": ")
      file = part[1]
      sub(/:[0-9]*$/, "", file)
      sub(/^\.\//, "", file)
      if (!((file " " part[2]) in known)) { print; fresh++ } else seen++
    }
    END { printf "analyze: %s: %d findings, %d of them explained\n", tool, seen + fresh, seen
      exit fresh > 0 }' test/house/analyze.txt "$out/$tool.txt" || bad=1
done
exit $bad
