#!/bin/sh
# The reader study: page and key, the page in headless Chromium (skipped with a message where there is none), scoring. usage: sh test/cli_reader.sh build/prlx
P=$1; passed=0; failed=0; D=$(mktemp -d); trap 'rm -rf "$D"' EXIT INT TERM
ok() { if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL: $2"; fi; }
has() { grep -q -e "$2" "$1"; ok $? "$3: no '$2' in: $(grep -v -e '^[.a-z#*@:].*{' -e '^"' "$1" | tail -c 900)"; }
fails() { code=$1; text=$2; shift 2; "$P" reader "$@" >"$D/log" 2>&1; [ $? -eq "$code" ] && grep -q -e "$text" "$D/log"; ok $? "reader $*: expected exit $code and '$text', got: $(head -c 400 "$D/log")"; }
REAL=data/prlx_lesions.safetensors; NET=test/golden/generator_uncond.safetensors

# ---- make ----
"$P" generate --network $NET --seeds 0-11 --out "$D/g" --quiet >"$D/log" 2>&1; ok $? "generate: $(cat "$D/log")"
SYN="$D/g/dataset.safetensors"
fails 1 "size would give the answer away" make $REAL "$SYN" -o "$D/s.html" --n 4
"$P" generate --network $NET --seeds 100-111 --out "$D/h" --quiet >/dev/null 2>&1; OTHER="$D/h/dataset.safetensors"
"$P" reader make "$OTHER" "$SYN" -o "$D/s.html" --n 6 --seed 3 --title 'A <study>' >"$D/log" 2>&1; ok $? "make: $(cat "$D/log")"
has "$D/log" "6 real and 6 synthetic" "summary"; has "$D/s.html" "A &lt;study&gt;" "title is escaped"
[ "$(wc -l <"$D/s.key.tsv")" -eq 25 ]; ok $? "key: 12 slices in two experiments"
[ "$(cut -f3 "$D/s.key.tsv" | sort -u | wc -l)" -eq 25 ]; ok $? "no item code twice"
[ "$(awk -F'\t' '$4 == "real"' "$D/s.key.tsv" | wc -l)" -eq 12 ]; ok $? "half of each experiment is real"
order() { awk -F'\t' -v x="$1" '$2 == x {print $4 $6}' "$D/s.key.tsv"; }
[ "$(order source)" != "$(order rim)" ] && [ "$(order source | sort)" = "$(order rim | sort)" ]; ok $? "the same slices in another order in the second experiment"
! grep -q -e "$D" -e seed0 -e dataset.safetensors "$D/s.html"; ok $? "the page names no file"
! grep -E -q "https?://|<link|src=" "$D/s.html"; ok $? "the page loads nothing"
"$P" reader make "$OTHER" "$SYN" -o "$D/t.html" --n 6 --seed 3 --title 'A <study>' >/dev/null 2>&1; cmp -s "$D/s.html" "$D/t.html" && cmp -s "$D/s.key.tsv" "$D/t.key.tsv"; ok $? "same seed, same study"
"$P" reader make "$OTHER" "$SYN" -o "$D/u.html" --n 6 --seed 4 --experiment rim >/dev/null 2>&1; [ "$(cut -f2 "$D/u.key.tsv" | sort -u | tr '\n' ' ')" = "experiment rim " ]; ok $? "one experiment only"
fails 1 "use --n 12" make "$OTHER" "$SYN" -o "$D/v.html" --n 13
fails 1 "is the same as image" make "$SYN" "$SYN" -o "$D/v.html" --n 12
fails 1 "nope.safetensors" make "$D/nope.safetensors" "$SYN" -o "$D/v.html"
fails 2 "no output" make "$OTHER" "$SYN"
fails 2 "neither make nor score" play
[ ! -e "$D/v.html" ] && [ ! -e "$D/v.key.tsv" ]; ok $? "a refused study writes nothing"

# ---- score: a reader who knows the truth, one who is wrong on two slices, one who says one word ----
ID=$(awk -F'\t' 'NR == 2 {print $1}' "$D/s.key.tsv")
answers() { awk -F'\t' -v r="$1" -v wrong="$2" 'BEGIN {print "study,experiment,item,answer,reader,seconds,lower,upper"} NR > 1 {a = $2 == "source" ? $4 : ($4 == "real" ? "rim" : "non-rim");
  if ($2 == "source" && wrong-- > 0) a = a == "real" ? "synthetic" : "real"; print $1 "," $2 "," $3 "," a ",\"" r "\",1.5,0,255"}' "$D/s.key.tsv"; }
answers R1 0 >"$D/a1.csv"; answers "R2, the ""second""" 2 | sed 's/$/\r/' >"$D/a2.csv"
"$P" reader score "$D/s.key.tsv" "$D/a1.csv" "$D/a2.csv" -o "$D/scores.tsv" >"$D/log" 2>&1; ok $? "score: $(cat "$D/log")"
has "$D/log" "accuracy  *12 of 12 *1.00" "accuracy of the first"; has "$D/log" "accuracy  *10 of 12 *0.83 *\[0.55, 0.95\]" "of the second, with interval"
has "$D/log" "kappa 0.67" "kappa of ten agreements in twelve"; has "$D/log" "kappa 1.00 \[1.00, 1.00\]" "kappa of full agreement"
has "$D/log" "p = 0.00216" "Fisher of six against six"; has "$D/log" "published, called rim *0.31 *0.40" "Table 1 beside"
[ "$(awk -F'\t' 'NF != 9' "$D/scores.tsv" | wc -l)" -eq 0 ]; ok $? "scores.tsv has nine columns in every row"
head -n 5 "$D/a1.csv" | cut -d, -f3,4 >"$D/few.csv"
"$P" reader score "$D/s.key.tsv" "$D/few.csv" >"$D/log" 2>&1; ok $? "item and answer are enough"; has "$D/log" "4 of 12 slices answered; the open ones are left out" "says what is missing"
sed 's/,real,/,synthetic,/' "$D/a1.csv" >"$D/one.csv"; "$P" reader score "$D/s.key.tsv" "$D/one.csv" "$D/a2.csv" >"$D/log" 2>&1; has "$D/log" "kappa 0.00" "one answer only against two"
fails 1 "is of study" score "$D/u.key.tsv" "$D/a1.csv"
fails 1 "not in the key" score "$D/u.key.tsv" "$D/few.csv"
fails 1 "also in" score "$D/s.key.tsv" "$D/a1.csv" "$D/one.csv"
{ cat "$D/a1.csv"; tail -n 1 "$D/a1.csv"; } >"$D/bad.csv"; fails 1 "answered twice" score "$D/s.key.tsv" "$D/bad.csv"
sed '2s/,real,\|,synthetic,/,maybe,/' "$D/a1.csv" >"$D/bad.csv"; fails 1 "row 2: answer maybe" score "$D/s.key.tsv" "$D/bad.csv"
printf 'item,answer\nabc,"real\n' >"$D/bad.csv"; fails 1 "not closed" score "$D/s.key.tsv" "$D/bad.csv"
: >"$D/bad.csv"; fails 1 "empty" score "$D/s.key.tsv" "$D/bad.csv"
fails 1 "expected the columns item and answer" score "$D/s.key.tsv" "$D/s.key.tsv"
fails 1 "give the key" score "$D/scores.tsv" "$D/a1.csv"

# ---- the page in a browser: keys, undo, saved state over a reload, export, import, a browser that keeps nothing ----
C=; for c in chromium chromium-browser google-chrome; do [ -z "$C" ] && command -v $c >/dev/null 2>&1 && C=$c; done
# Up to three tries until the last line of the script is there: on a busy machine the browser sometimes ends before a reload has finished.
browse() { for try in 1 2 3; do rm -rf "$D/profile"; timeout 120 "$C" --headless --no-sandbox --disable-gpu --user-data-dir="$D/profile" --window-size=1366,768 --virtual-time-budget=30000 --dump-dom "file://$1" 2>/dev/null >"$D/dom"; grep -q "$2" "$D/dom" && return; done; }
page() { cat "$D/s.html"; echo "<pre id='result' style='position:fixed;height:0;overflow:hidden'></pre><script>"; cat <<'J'
var out = document.getElementById('result'), $ = function (id) { return document.getElementById(id); };
function say(what, x) { out.textContent += what + '=' + x + '\n'; }
function press(k, more) { var o = more || {}; o.key = k; o.bubbles = true; o.cancelable = true; document.body.dispatchEvent(new KeyboardEvent('keydown', o)); }
function wait(ms) { return new Promise(function (r) { setTimeout(r, ms); }); }
function reader(x) { $('code').value = x; $('code').dispatchEvent(new Event('input')); }
function grey() { var c = $('image'); return c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0]; }
function turn() { return new Promise(function (r) { var m = new MessageChannel(); m.port1.onmessage = r; m.port2.postMessage(0); }); }
async function file(text, name) {      /* reading takes real time, which the browser's virtual clock does not wait for */
  var d = new DataTransfer(), n = 0; d.items.add(new File([text], name)); $('message').textContent = ''; $('file').files = d.files; $('file').dispatchEvent(new Event('change'));
  while (!$('message').textContent && n++ < 200000) await turn();
}
window.onerror = function (m) { say('error', m); };
J
cat; echo "</script>"; }
if [ -z "$C" ]; then echo "SKIP: no Chromium (Debian: apt install chromium); the page was not driven"; else
page >"$D/p1.html" <<'J'
async function first() {
  $('go0').click(); say('needs code', $('view').hidden && /reader code/.test($('message').textContent));
  reader('R1'); $('go0').click(); await wait(200);
  say('viewer', !$('view').hidden && $('question').textContent);
  say('fits', window.innerHeight + ' ' + document.documentElement.scrollHeight + ' ' + $('image').clientHeight + ' ' + $('keys').getBoundingClientRect().bottom + ' ' + (document.documentElement.scrollHeight <= window.innerHeight && $('image').clientHeight > 250 && $('keys').getBoundingClientRect().bottom < window.innerHeight + 20));
  var first = $('view').dataset.item, g = grey();
  press('1', { repeat: true }); say('held key ignored', $('view').dataset.item === first);
  press('ArrowUp'); press('ArrowUp'); await wait(20); say('brighter', grey() >= g && /L 115/.test($('corner').textContent));
  press('0'); press('+'); say('zoom', $('zoomout').textContent);
  press('0'); press('1'); say('busy blocks', (press('1'), $('state').textContent.match(/slice (\d+)/)[1])); await wait(200);
  press('2'); await wait(200); press('1'); await wait(200); say('progress', $('bar').value + '/' + $('bar').max);
  press('Backspace'); await wait(200); say('undo', $('bar').value);
  press('z', { ctrlKey: true }); await wait(200); say('undo twice', $('bar').value);
  press('2'); await wait(200); press('Escape'); say('paused', $('experiments').textContent.match(/(\d+) of 12/)[1]);
  say('saved', /saved at once/.test($('saved').textContent));
  sessionStorage.out = out.textContent; location.reload();
}
async function second() {
  out.textContent = sessionStorage.out;
  say('still there', $('code').value + $('experiments').textContent.match(/(\d+) of 12/)[1]);
  await file('nonsense', 'x.csv'); say('no csv', $('message').textContent);
  await file('study,experiment,item,answer\n00000000,source,abc,real\n', 'x.csv'); say('other study', $('message').textContent);
  $('go0').click(); await wait(200);
  for (var i = 0; i < 10; i++) { press('1'); await wait(150); }
  say('finished', $('view').hidden && $('message').textContent);
  $('go0').click(); await wait(200); say('reopened', $('bar').value); press('2'); await wait(200);
  var csv = $('text').value; say('rows', csv.trim().split('\n').length);
  localStorage.clear(); await file(csv.replace(/,R1,/g, ',"R ""9""",'), 'a.csv'); say('imported', $('message').textContent + $('code').value);
  await file(csv.replace(/,R1,/g, ',"R ""9""",'), 'a.csv'); say('again', $('message').textContent);
  say('csv', '\n' + $('text').value + 'end');
}
if (sessionStorage.out) second(); else first();
J
browse "$D/p1.html" "^end"
for t in "needs code=true" "viewer=Is this slice real or synthetic?" "fits=.*true" "held key ignored=true" "brighter=true" "zoom=[0-9]*x" "busy blocks=2" "progress=3/12" "undo=2" "undo twice=1" "paused=2" "saved=true"; do has "$D/dom" "^$t\|>$t" "page"; done
! grep -q "^error=" "$D/dom"; ok $? "no script error: $(grep '^error=' "$D/dom")"
for t in "still there=R12" "no csv=This is no file of answers" "other study=Nothing was imported: line 2 belongs to study 00000000" "finished=Real or synthetic: all 12 slices answered" "reopened=11" "rows=13" \
  "imported=12 answers imported.*R \"9\"" "again=0 answers imported.*12 were here already"; do has "$D/dom" "^$t\|>$t" "page"; done
sed -n '/^csv=/,/^end/p' "$D/dom" | grep "^study\|^$ID" | sed 's/&amp;/\&/g' >"$D/page.csv"
"$P" reader score "$D/s.key.tsv" "$D/page.csv" >"$D/log" 2>&1; ok $? "the page's file is scored: $(cat "$D/log")"; has "$D/log" 'reader R "9"' "reader's code survives"; has "$D/log" "12 of 12 slices answered" "all rows"
{ echo "<script>Storage.prototype.setItem = function () { throw new Error('no'); };</script>"; page; } >"$D/p2.html" <<'J'
(async function () {
  if (!window.name) { say('fallback', /does not let a page from disk keep data/.test($('saved').textContent)); reader('R1'); $('go1').click(); await wait(200); press('2'); await wait(200); press('Escape'); window.onbeforeunload = null; location.reload(); return; }
  say('after reload', $('code').value + $('experiments').textContent.match(/rim lesion\? (\d+) of 12/)[1]);
})();
J
browse "$D/p2.html" "after reload=R"; has "$D/dom" "after reload=R11" "a browser without storage keeps the answers over a reload"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
