#!/bin/sh
# windows.sh: the program for Windows, built by MinGW-w64, run by Wine: what it writes is what the
# program of this machine writes from the same inputs (whole numbers), backslashes, a second run in
# one folder, files that are replaced, resume. usage: BUILD=build MAKE=make sh windows.sh
B=${BUILD:-build}
MAKE=${MAKE:-make}
W=$B/windows
CC=x86_64-w64-mingw32-gcc
LC_ALL=C
WINEDEBUG=-all
export LC_ALL WINEDEBUG
command -v $CC >/dev/null 2>&1 || {
  echo "test-windows: skipped; apt-get install gcc-mingw-w64-x86-64 wine wine64"
  exit 0
}
$MAKE --no-print-directory CUDA=0 CFLAGS="${CROSS_CFLAGS:--O2}" CC=$CC AR=x86_64-w64-mingw32-ar \
  BUILD="$W" "$W/prlx" >/dev/null || exit 1
[ -x "$W/prlx.exe" ] || { echo "FAIL: no $W/prlx.exe"; exit 1; }
command -v wine >/dev/null 2>&1 || {
  echo "test-windows: built, not run: apt-get install wine wine64"
  exit 0
}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
WINEPREFIX=${WINEPREFIX:-$T/wine}
export WINEPREFIX
passed=0
failed=0
ok() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $2: $(tail -n 1 "$T/log")"
  fi
}
win() { wine "$W/prlx.exe" "$@" >"$T/log" 2>&1; }
back() { echo "Z:$1" | tr / '\\'; }
win check
ok $? "check"
"$B/prlx" import test/data/import/tiny_nv.pkl -o "$T/here.safetensors" --quiet >/dev/null
win import 'test\data\import\tiny_nv.pkl' -o "$(back "$T/net.safetensors")" --quiet
ok $? "import, with backslashes"
cmp -s "$T/here.safetensors" "$T/net.safetensors"
ok $? "the imported network has the bytes of this machine's"
win info --brief "$(back "$T/net.safetensors")"
ok $? "info"
"$B/prlx" convert test/data/functional.nii "$T/here.nii.gz" >/dev/null 2>&1
win convert 'test\data\functional.nii' "$(back "$T/there.nii.gz")"
cmp -s "$T/here.nii.gz" "$T/there.nii.gz"
ok $? "a NIfTI volume has the bytes of this machine's"
win generate --network "$T/net.safetensors" --count 8 --png --quiet -o "$(back "$T/g")"
ok $? "generate"
win generate --network "$T/net.safetensors" --count 8 --png --quiet -o "$(back "$T/g")"
ok $? "generate over what is there: files are replaced"
[ "$(find "$T/g" -name '*.tmp*' | wc -l)" -eq 0 ]
ok $? "no temporary file is left"
win train "$(back "$T/g/dataset.safetensors")" --channel-base 64 --channel-max 4 --z-dim 8 \
  --w-dim 8 --batch 4 --tick 0.008 --kimg 0.008 --snap 1 --quiet -o "$(back "$T/run")"
ok $? "train, one tick"
win train --resume --kimg 0.016 --quiet -o "$(back "$T/run")"
ok $? "resume"
cp -R "$T/run" "$T/other"
"$B/prlx" train "$T/g/dataset.safetensors" --resume --kimg 0.024 --quiet -o "$T/other" \
  >"$T/log" 2>&1
ok $? "resumed on this machine"
win project "$T/g/dataset.safetensors" --range 0 --network "$T/net.safetensors" \
  --steps "${CROSS_STEPS:-2}" --w-samples 50 --quiet -o "$(back "$T/p")"
ok $? "project"
mkdir -p "$T/é ö"
win info --brief "$(back "$T/é ö/none.safetensors")"
[ $? -eq 1 ]
ok $? "a missing file is an error"
cp "$T/net.safetensors" "$T/é ö/net.safetensors"
win info --brief "$(back "$T/é ö/net.safetensors")"
ok $? "blanks and letters beyond ASCII in a path"
wineserver -k >/dev/null 2>&1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
