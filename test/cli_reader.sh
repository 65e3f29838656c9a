#!/bin/sh
# The reader study: page and key, the page in headless Chromium (skipped with a message where there
# is none), scoring.
# usage: sh test/cli_reader.sh build/prlx
. "$(dirname "$0")/cli.inc"
has() {
  grep -q -e "$2" "$1"
  ok $? "$3: no '$2' in: $(grep -v -e '^[.a-z#*@:].*{' -e '^"' "$1" | tail -c 900)"
}
fails() {
  code=$1
  text=$2
  shift 2
  "$P" reader "$@" >"$T/log" 2>&1
  [ $? -eq "$code" ] && grep -q -e "$text" "$T/log"
  ok $? "reader $*: expected exit $code and '$text', got: $(head -c 400 "$T/log")"
}
REAL=data/prlx_lesions.safetensors; NET=test/golden/generator_uncond.safetensors

# ---- the scripts that pages carry (tools/*/assets) ----
if command -v node >/dev/null 2>&1; then
  for f in tools/*/assets/*.js; do
    node --check "$f" 2>"$T/log"
    ok $? "$f: $(head -n 5 "$T/log")"
  done
else
  echo "SKIP: no node; scripts of pages were not parsed"
fi

# ---- make ----
"$P" generate --network $NET --seeds 0-11 --out "$T/g" --quiet >"$T/log" 2>&1
ok $? "generate: $(cat "$T/log")"
SYN="$T/g/dataset.safetensors"
fails 1 "size would give the answer away" make $REAL "$SYN" -o "$T/s.html" --n 4
"$P" generate --network $NET --seeds 100-111 --out "$T/h" --quiet >/dev/null 2>&1
OTHER="$T/h/dataset.safetensors"
"$P" reader make "$OTHER" "$SYN" -o "$T/s.html" --n 6 --seed 3 --title 'A <study>' >"$T/log" 2>&1
ok $? "make: $(cat "$T/log")"
has "$T/log" "6 real and 6 synthetic" "summary"
has "$T/s.html" "A &lt;study&gt;" "title is escaped"
[ "$(wc -l <"$T/s.key.tsv")" -eq 25 ]; ok $? "key: 12 slices in two experiments"
[ "$(cut -f3 "$T/s.key.tsv" | sort -u | wc -l)" -eq 25 ]; ok $? "no item code twice"
[ "$(awk -F'\t' '$4 == "real"' "$T/s.key.tsv" | wc -l)" -eq 12 ]
ok $? "half of each experiment is real"
order() { awk -F'\t' -v x="$1" '$2 == x {print $4 $6}' "$T/s.key.tsv"; }
[ "$(order source)" != "$(order rim)" ] && [ "$(order source | sort)" = "$(order rim | sort)" ]
ok $? "the same slices in another order in the second experiment"
! grep -q -e "$T" -e seed0 -e dataset.safetensors "$T/s.html"; ok $? "the page names no file"
! grep -E -q "https?://|<link|src=" "$T/s.html"; ok $? "the page loads nothing"
"$P" reader make "$OTHER" "$SYN" -o "$T/t.html" --n 6 --seed 3 --title 'A <study>' >/dev/null 2>&1
cmp -s "$T/s.html" "$T/t.html" && cmp -s "$T/s.key.tsv" "$T/t.key.tsv"
ok $? "same seed, same study"
"$P" reader make "$OTHER" "$SYN" -o "$T/u.html" --n 6 --seed 4 --experiment rim >/dev/null 2>&1
[ "$(cut -f2 "$T/u.key.tsv" | sort -u | tr '\n' ' ')" = "experiment rim " ]
ok $? "one experiment only"
fails 1 "use --n 12" make "$OTHER" "$SYN" -o "$T/v.html" --n 13
fails 1 "is the same as image" make "$SYN" "$SYN" -o "$T/v.html" --n 12
fails 1 "nope.safetensors" make "$T/nope.safetensors" "$SYN" -o "$T/v.html"
fails 2 "no output" make "$OTHER" "$SYN"
fails 2 "neither make nor score" play
[ ! -e "$T/v.html" ] && [ ! -e "$T/v.key.tsv" ]; ok $? "a refused study writes nothing"

# ---- score: a reader who knows the truth, one who is wrong on two slices, one who says one word
# ----
ID=$(awk -F'\t' 'NR == 2 {print $1}' "$T/s.key.tsv")
answers() {
  awk -F'\t' -v r="$1" -v wrong="$2" '
    BEGIN {print "study,experiment,item,answer,reader,seconds,lower,upper"}
    NR > 1 {
      a = $2 == "source" ? $4 : ($4 == "real" ? "rim" : "non-rim")
      if ($2 == "source" && wrong-- > 0) a = a == "real" ? "synthetic" : "real"
      print $1 "," $2 "," $3 "," a ",\"" r "\",1.5,0,255"
    }' "$T/s.key.tsv"
}
answers R1 0 >"$T/a1.csv"; answers "R2, the ""second""" 2 | sed 's/$/\r/' >"$T/a2.csv"
"$P" reader score "$T/s.key.tsv" "$T/a1.csv" "$T/a2.csv" -o "$T/scores.tsv" >"$T/log" 2>&1
ok $? "score: $(cat "$T/log")"
has "$T/log" "accuracy  *12 of 12 *1.00" "accuracy of the first"
has "$T/log" "accuracy  *10 of 12 *0.83 *\[0.55, 0.95\]" "of the second, with interval"
has "$T/log" "kappa 0.67" "kappa of ten agreements in twelve"
has "$T/log" "kappa 1.00 \[1.00, 1.00\]" "kappa of full agreement"
has "$T/log" "p = 0.00216" "Fisher of six against six"
has "$T/log" "published, called rim *0.31 *0.40" "Table 1 beside"
[ "$(awk -F'\t' 'NF != 9' "$T/scores.tsv" | wc -l)" -eq 0 ]
ok $? "scores.tsv has nine columns in every row"
head -n 5 "$T/a1.csv" | cut -d, -f3,4 >"$T/few.csv"
"$P" reader score "$T/s.key.tsv" "$T/few.csv" >"$T/log" 2>&1
ok $? "item and answer are enough"
has "$T/log" "4 of 12 slices answered; the open ones are left out" "says what is missing"
for sep in ';' '\t'; do
  sed "s/,/$sep/g" "$T/a1.csv" >"$T/sheet.csv"
  "$P" reader score "$T/s.key.tsv" "$T/sheet.csv" >"$T/log" 2>&1
  ok $? "saved again by a spreadsheet, separated by '$sep': $(cat "$T/log")"
  has "$T/log" "accuracy  *12 of 12 *1.00" "the same answers"
done
sed 's/,real,/,synthetic,/' "$T/a1.csv" >"$T/one.csv"
"$P" reader score "$T/s.key.tsv" "$T/one.csv" "$T/a2.csv" >"$T/log" 2>&1
has "$T/log" "kappa 0.00" "one answer only against two"
fails 1 "is of study" score "$T/u.key.tsv" "$T/a1.csv"
fails 1 "not in the key" score "$T/u.key.tsv" "$T/few.csv"
fails 1 "also in" score "$T/s.key.tsv" "$T/a1.csv" "$T/one.csv"
{ cat "$T/a1.csv"; tail -n 1 "$T/a1.csv"; } >"$T/bad.csv"
fails 1 "answered twice" score "$T/s.key.tsv" "$T/bad.csv"
sed '2s/,real,\|,synthetic,/,maybe,/' "$T/a1.csv" >"$T/bad.csv"
fails 1 "row 2: answer maybe" score "$T/s.key.tsv" "$T/bad.csv"
printf 'item,answer\nabc,"real\n' >"$T/bad.csv"
fails 1 "not closed" score "$T/s.key.tsv" "$T/bad.csv"
: >"$T/bad.csv"; fails 1 "empty" score "$T/s.key.tsv" "$T/bad.csv"
fails 1 "expected the columns item and answer" score "$T/s.key.tsv" "$T/s.key.tsv"
fails 1 "give the key" score "$T/scores.tsv" "$T/a1.csv"

# ---- the page in a browser: keys, undo, saved state over a reload, export, import, a browser that
# keeps nothing ----
C=
for c in chromium chromium-browser google-chrome; do
  [ -z "$C" ] && command -v $c >/dev/null 2>&1 && C=$c
done
# Up to three tries until the last line of the script is there: on a busy machine the browser
# sometimes ends before a reload has finished.
browse() {
  for try in 1 2 3; do
    rm -rf "$T/profile"
    timeout 120 "$C" --headless --no-sandbox --disable-gpu --user-data-dir="$T/profile" \
      --window-size=1366,768 --virtual-time-budget=30000 --dump-dom "file://$1" 2>/dev/null \
      >"$T/dom"
    grep -q "$2" "$T/dom" && return
  done
}
# page SCRIPT: the study with the driver and a script that uses it
page() {
  cat "$T/s.html"
  echo "<pre id='result' style='position:fixed;height:0;overflow:hidden'></pre><script>"
  cat test/page/driver.js "test/page/$1"
  echo "</script>"
}
if [ -z "$C" ]; then
  echo "SKIP: no Chromium (Debian: apt install chromium); the page was not driven"
  finish
  exit
fi
page study.js >"$T/p1.html"
browse "$T/p1.html" "^end"
for t in "needs code=true" "viewer=Is this slice real or synthetic?" "fits=.*true" \
    "held key ignored=true" "brighter=true" "zoom=[0-9]*x" "busy blocks=2" "progress=3/12" \
    "undo=2" "undo twice=1" "paused=2" "saved=true"; do
  has "$T/dom" "^$t\|>$t" "page"
done
! grep -q "^error=" "$T/dom"; ok $? "no script error: $(grep '^error=' "$T/dom")"
for t in "still there=R12" "no csv=This is no file of answers" \
    "other study=Nothing was imported: line 2 belongs to study 00000000" \
    "finished=Real or synthetic: all 12 slices answered" "reopened=11" "rows=13" \
    "imported=12 answers imported.*R \"9\"" \
    "again=0 answers imported.*12 were here already"; do
  has "$T/dom" "^$t\|>$t" "page"
done
sed -n '/^csv=/,/^end/p' "$T/dom" | grep "^study\|^$ID" | sed 's/&amp;/\&/g' >"$T/page.csv"
"$P" reader score "$T/s.key.tsv" "$T/page.csv" >"$T/log" 2>&1
ok $? "the page's file is scored: $(cat "$T/log")"
has "$T/log" 'reader R "9"' "reader's code survives"
has "$T/log" "12 of 12 slices answered" "all rows"
{
  echo "<script>Storage.prototype.setItem = function () { throw new Error('no'); };</script>"
  page no_storage.js
} >"$T/p2.html"
browse "$T/p2.html" "after reload=R"
has "$T/dom" "after reload=R11" "a browser without storage keeps the answers over a reload"
finish
