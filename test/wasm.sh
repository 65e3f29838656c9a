#!/bin/sh
# The lab (make wasm): its results against the command line's in PRLX_ISA=portable, bit for bit, and
# every control pressed in headless Chromium. Without node or Chromium that part is left out.
# usage: sh test/wasm.sh build/prlx PAGE [--quick]
P=$1
PAGE=$2
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
PRLX_ISA=portable
export PRLX_ISA
command -v node >/dev/null 2>&1 || { echo "SKIP: no node"; echo "0 passed, 0 failed"; exit 0; }
[ -f "$PAGE" ] || { echo "FAIL: no $PAGE; make wasm"; echo "0 passed, 1 failed"; exit 1; }

# ---- files that the page must refuse, and some that it must take ----
cp data/ambiguous_lesion.png "$T/lesion.png"
echo "no picture" >"$T/text.png"
: >"$T/empty.safetensors"
node test/page/lab_files.js "$T"

# ---- bits ----
N=data/network_small.safetensors
"$P" generate --network $N --seeds 3 -o "$T/generate" --quiet >/dev/null 2>&1
"$P" walk truncate --network $N --point seed:5 --psi 0.5 -o "$T/truncate" --quiet >/dev/null 2>&1
"$P" walk mix --network $N --rows seed:5 --columns seed:12 --layers coarse -o "$T/mix" --quiet \
  >/dev/null 2>&1
"$P" walk directions --network $N --point seed:5 --count 6 --reach 2 --steps 2 -o "$T/directions" \
  --quiet >/dev/null 2>&1
project() { "$P" project --threads 1 --network "$1" -o "$T/$2" --quiet "$3" $4 >/dev/null 2>&1; }
project $N lesion data/ambiguous_lesion.png "--steps 12"
project $N wplus data/ambiguous_lesion.png "--steps 6 --space w+ --noise-weight 0 --w-noise 0"
project $N fast data/ambiguous_lesion.png "--solver fast --start mean --steps 10"
project paper/projection/phantom_rims.safetensors phantom docs/learn/phantom_lesions.safetensors \
  "--range 2 --steps 6 --focus centre"
node test/page/lab_bits.js "$PAGE" "$T" >"$T/bits.txt"
cat "$T/bits.txt"
passed=$(sed -n 's/^\([0-9]*\) passed.*/\1/p' "$T/bits.txt")
failed=$(sed -n 's/.*passed, \([0-9]*\) failed/\1/p' "$T/bits.txt")

# ---- the page in a browser ----
for b in chromium chromium-browser google-chrome; do
  command -v "$b" >/dev/null 2>&1 && browser=$b && break
done
if [ -n "$browser" ]; then
  node test/page/lab_drive.js "$browser" "$PAGE" "$T" $3 >"$T/drive.txt"
  cat "$T/drive.txt"
  passed=$((passed + $(sed -n 's/^\([0-9]*\) passed.*/\1/p' "$T/drive.txt")))
  failed=$((failed + $(sed -n 's/.*passed, \([0-9]*\) failed/\1/p' "$T/drive.txt")))
  [ -n "$KEEP" ] && mkdir -p "$KEEP" && cp "$T"/*.png "$T"/page.json "$KEEP"
else
  echo "SKIP: no Chromium; the page was not driven"
fi
echo "${passed:-0} passed, ${failed:-1} failed"
[ "${failed:-1}" -eq 0 ]
