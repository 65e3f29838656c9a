#!/bin/sh
# Static analysis of the program's sources by gcc -fanalyzer, cppcheck and clang-tidy, each where it
# is installed. `make analyze` calls it, a file at a time, and again only for what changed:
#
#   analyze.sh gcc|tidy FILE      findings of one file, as lines "FILE:LINE: CHECK: message"
#   analyze.sh cppcheck FILE...   those of all files
#   analyze.sh judge FOLDER       fails on a finding below FOLDER that analyze.txt does not explain
#
# FLAGS: how the compiler is called. FOLDER/TOOL/*.txt: what the tools found.
here=$(dirname "$0")

run_gcc() {
  gcc $FLAGS -O1 -fanalyzer -c -o /dev/null "$1" 2>&1 |
    sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: warning: \(.*\) \[-W\([a-z-]*\)\]$/\1: \3: \2/p'
}

# Checks of the syntax tree; paths are followed by gcc -fanalyzer, and by clang's analyzer as well
# with ANALYZE_DEEP=1 (ten minutes of CPU time more). Checks of taste, and those that conventions of
# this project answer, are left out: parameters that could be swapped, sizes that are int by
# convention, memory functions of C11's Annex K, results of printf, macros with bare arguments,
# strcmp as a truth value, arrays of pointers.
run_tidy() {
  checks="-*,bugprone-*,cert-*,misc-redundant-expression,performance-*"
  [ "${ANALYZE_DEEP:-0}" = 0 ] || checks="$checks,clang-analyzer-*"
  for left_out in bugprone-easily-swappable-parameters bugprone-narrowing-conversions \
      bugprone-implicit-widening-of-multiplication-result bugprone-reserved-identifier \
      bugprone-macro-parentheses bugprone-suspicious-string-compare bugprone-sizeof-expression \
      cert-dcl37-c cert-dcl51-cpp cert-err33-c \
      clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling; do
    checks="$checks,-$left_out"
  done
  clang-tidy --quiet --checks="$checks" "$1" -- $FLAGS 2>/dev/null | sed -n "
    s|^$PWD/||
    s/^\([^:]*:[0-9]*\):[0-9]*: [a-z]*: \(.*\) \[\([a-zA-Z.,0-9-]*\)\]\$/\1: \3: \2/p" |
    grep -v ': clang-diagnostic-unknown'
}

run_cppcheck() {
  cppcheck -q -j "$(nproc 2>/dev/null || echo 2)" --enable=warning,portability,performance \
    --std=c11 --library=posix -I. --suppress='*:third_party/*' -DISA=portable -UPRLX_F64 \
    --template='{file}:{line}: {id}: {message}' "$@" 2>&1
}

# judge FOLDER TOOL: exceptions are "TOOL FILE CHECK reason" lines
judge() {
  find "$1/$2" -name '*.txt' -exec cat {} + 2>/dev/null | sort -u >"$1/$2.all"
  awk -v tool="$2" '
    FNR == NR {
      if ($1 == tool) known[$2 " " $3] = 1
      next
    }
    {
      split($0, part, ": ")
      file = part[1]
      sub(/:[0-9]*$/, "", file)
      sub(/^\.\//, "", file)
      if ((file " " part[2]) in known) seen++
      else {
        fresh++
        print
      }
    }
    END {
      printf "analyze: %s: %d findings, %d of them explained\n", tool, seen + fresh, seen
      exit fresh > 0
    }' "$here/analyze.txt" "$1/$2.all"
}

what=$1
shift
case $what in
  gcc) command -v gcc >/dev/null && run_gcc "$1" ;;
  tidy) command -v clang-tidy >/dev/null && run_tidy "$1" ;;
  cppcheck) command -v cppcheck >/dev/null && run_cppcheck "$@" ;;
  judge)
    bad=0
    for tool in gcc clang-tidy cppcheck; do
      if command -v $tool >/dev/null; then judge "$1" "${tool#clang-}" || bad=1; else
        echo "analyze: no $tool here: skipped"
      fi
    done
    exit $bad
    ;;
  *)
    echo "usage: analyze.sh gcc|tidy FILE, cppcheck FILE..., judge FOLDER" >&2
    exit 2
    ;;
esac
exit 0
