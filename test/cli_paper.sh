#!/bin/sh
# The audit of the paper.
# usage: sh test/cli_paper.sh build/prlx
. "$(dirname "$0")/cli.inc"

# ---- prlx paper audit ----
"$P" paper audit >"$T/log" 2>&1; ok $? "audit runs: $(tail -n 2 "$T/log")"
n=$(grep -c '^[0-9][0-9]*  .*)$' "$T/log")
[ "$n" -eq "$(grep -c '^    -> ' "$T/log")" ] && [ "$n" -gt 20 ]
ok $? "one verdict for each of $n claims"
for v in consistent "does not fit" "cannot be decided"; do
  grep -q "^    -> $v\$" "$T/log"
  ok $? "some claim is judged '$v'"
done
has "$T/log" "kappa 0.7345" "kappa"
has "$T/log" "p = 0.012" "Fisher of Table 1"
has "$T/log" "99 of 120 found, 9 false alarms" "the one matrix of row Affine"
has "$T/log" "accuracy would be 0.928 to 0.928" "what row None would need"
has "$T/log" "None  *positives 0.917 to 1.000" "shares of positives"
has "$T/log" "Affine  *positives 0.656 to 0.752" "shares of positives"
has "$T/log" "without Affine 0.917 to 0.955" "what seven rows share"
has "$T/log" "0 of 8 rows can come from" "no row of 60 + 120"
[ "$(awk -F'\t' 'NR > 1 && NF != 5' paper/published.tsv | wc -l)" -eq 0 ] &&
  [ "$(wc -l <paper/published.tsv)" -gt 100 ]
ok $? "every printed number, with its source"
has "$T/log" "unconditional 2716[0-9]* " "bytes of the unconditional network"
"$P" paper audit >"$T/log2" 2>&1; cmp -s "$T/log" "$T/log2"; ok $? "the same twice"
for id in $(sed -n 's/^[0-9][0-9]*  .*(\(.*\))$/\1/p' "$T/log"); do
  grep -q "\[$id\]" paper/AUDIT.md
  ok $? "AUDIT.md speaks of claim $id"
done
for id in $(grep -o '\[[a-z0-9-]*\]' paper/AUDIT.md | tr -d '[]' | sort -u); do
  "$P" paper audit --claim "$id" >"$T/one" 2>&1
  ok $? "AUDIT.md names claim $id: $(cat "$T/one")"
done
# The verdicts of the document are those of the program.
section() {
  awk -v h="## $1" '$0 == h {on = 1; next} /^## / {on = 0} on' paper/AUDIT.md |
    sed -n 's/^|.*\[\([a-z0-9-]*\)\].*/\1/p' | sort
}
verdict() {
  awk -v v="    -> $1" '/^[0-9]+  .*\)$/ {id = $NF; gsub(/[()]/, "", id)} $0 == v {print id}' \
    "$T/log" |
    sort
}
[ "$(section 'What fits')" = "$(verdict consistent)" ]
ok $? "AUDIT.md, what fits: $(section 'What fits' | tr '\n' ' ')"
[ "$(section 'What does not fit')" = "$(verdict 'does not fit')" ]
ok $? "AUDIT.md, what does not fit: $(section 'What does not fit' | tr '\n' ' ')"
[ "$(section 'What cannot be decided')" = "$(verdict 'cannot be decided')" ]
ok $? "AUDIT.md, what cannot be decided: $(section 'What cannot be decided' | tr '\n' ' ')"

# ---- rows of one's own ----
{
  printf 'name\taccuracy\tprecision\tsensitivity\tpositives\tnegatives\n'
  printf 'good\t0.87\t0.85\t0.75\t60\t120\n'
  printf 'None\t0.79\t0.93\t0.85\t60\t120\n'
  printf 'none\t0.90\t0.97\t0.91\t183\t17\n'
} >"$T/rows.tsv"
"$P" paper audit --rows "$T/rows.tsv" >"$T/log" 2>&1; ok $? "rows: $(cat "$T/log")"
has "$T/log" "^good .*45 found and 8 false alarms" "a row that fits"
has "$T/log" "^None .*none fits" "a row that does not"
for bad in '1.2\t0.9\t0.8' 'x\t0.9\t0.8' '0.9\t0.9\t'; do
  printf "name\taccuracy\tprecision\tsensitivity\na\t$bad\n" >"$T/bad.tsv"
  "$P" paper audit --rows "$T/bad.tsv" >"$T/log" 2>&1
  [ $? -eq 1 ] && grep -q "row 2" "$T/log"
  ok $? "bad row $bad: $(cat "$T/log")"
  done
printf 'name\tacc\na\t1\n' >"$T/bad.tsv"
"$P" paper audit --rows "$T/bad.tsv" >"$T/log" 2>&1
[ $? -eq 1 ] && grep -q "no column accuracy" "$T/log"
ok $? "missing column: $(cat "$T/log")"
"$P" paper audit --claim nonsense >"$T/log" 2>&1; [ $? -eq 2 ]; ok $? "unknown claim is wrong usage"
"$P" paper dance >"$T/log" 2>&1
[ $? -eq 2 ] && grep -q "audit" "$T/log"
ok $? "unknown part is wrong usage"
"$P" help paper >"$T/log" 2>&1; has "$T/log" "--rows" "help"
finish
