#!/bin/sh
# The chapters of docs/learn/: every command in them is run and must print what the chapter says, to
# the letter. PRLX_ISA=portable, as docs/learn/README.md asks of a reader.
# usage: sh test/learn.sh build [CHAPTER.md...]    (default: all)
# With REWRITE=1 a chapter then gets what was printed where it said otherwise, for a change that is
# meant to move digits (a network, an algorithm). Read the difference, and the sentences around it:
# they quote digits, too. A command whose output has "..." is left for the hand.
B=$1
shift
[ $# -gt 0 ] || set -- docs/learn/[0-9]*.md docs/learn/BITS.md docs/learn/README.md
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
PATH=$(cd "$B" && pwd):$PATH
PRLX_ISA=portable
L=$T/out
export PATH PRLX_ISA L
mkdir -p "$L"
passed=0
failed=0
REWRITE=${REWRITE:-0}
# try WHERE COMMAND EXPECTED
try() {
  sh -c "$2" >"$T/got" 2>"$T/err"
  tries=$((tries + 1))
  cp "$T/got" "$T/said.$tries"
  printf '%s' "$3" >"$T/want"
  if grep -q -x '\.\.\.' "$T/want"; then
    # what stands before and after the dots
    n=$(grep -n -x -m 1 '\.\.\.' "$T/want" | cut -d: -f1)
    total=$(wc -l <"$T/want")
    head -n $((n - 1)) "$T/want" >"$T/want1"
    tail -n $((total - n)) "$T/want" >"$T/want2"
    cat "$T/want1" "$T/want2" >"$T/want"
    { head -n $((n - 1)) "$T/got"; tail -n $((total - n)) "$T/got"; } >"$T/got1"
    mv "$T/got1" "$T/got"
  fi
  if cmp -s "$T/want" "$T/got"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAIL $1: $2"
    diff "$T/want" "$T/got" | head -n 12
    head -n 3 "$T/err"
  fi
}
# rewrite CHAPTER: the lines behind its n-th command become those of said.n
rewrite() {
  awk -v said="$T/said." '
    function put(name, s) {
      while ((getline s <name) > 0) print (s == "" ? "    " : "    " s)
      close(name)
    }
    function end() {
      if (!inside) return
      if (dots) printf "%s", old
      else put(said n)
      inside = 0
    }
    /^    \$ / { end(); print; n++; inside = 1; dots = 0; old = ""; next }
    /^    / && inside { old = old $0 "\n"; dots = dots || $0 == "    ..."; next }
    { end(); print }
    END { end() }' "$1" >"$T/chapter" && cat "$T/chapter" >"$1"
}
for chapter; do
  awk -f docs/learn/chapters.awk "$chapter" >"$T/script"
  tries=0
  . "$T/script"
  [ "$REWRITE" = 0 ] || rewrite "$chapter"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
