#!/bin/sh
# Draws strengths.svg from strengths.tsv: what each strength of the focus keeps and costs.
# usage, in paper/projection: sh strengths_chart.sh <strengths.tsv >strengths.svg
awk -F'\t' '
function line(set, col, scale, x0, colour, dash,   i, d) {
  d = ""
  for (i = 1; i <= n; i++)
    if (row[i, "set"] == set && row[i, col] != "n/a")
      d = d (d == "" ? "M" : "L") px(x0, row[i, "strength"]) "," py(row[i, col] / scale)
  printf "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", d, colour, dash
  for (i = 1; i <= n; i++)
    if (row[i, "set"] == set && row[i, col] != "n/a")
      printf "<circle cx=\"%s\" cy=\"%s\" r=\"3.5\" fill=\"%s\"/>\n", px(x0, row[i, "strength"]),
        py(row[i, col] / scale), colour
}
function px(x0, s) { return x0 + 300 * s }
function py(share) { return 250 - 200 * share }
function text(x, y, what, anchor, colour) {
  printf "<text x=\"%s\" y=\"%s\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y, anchor,
    colour, what
}
function frame(x0, title, top, unit,   k) {
  text(x0, 24, title, "start", "#222")
  for (k = 0; k <= 4; k++) {
    printf "<path d=\"M%s,%sH%s\" stroke=\"#ddd\"/>\n", x0, py(k / 4), x0 + 300
    text(x0 - 6, py(k / 4) + 4, top * k / 4 unit, "end", "#555")
    text(px(x0, k / 4), 268, k / 4, "middle", "#555")
  }
  text(x0 + 150, 286, "strength of the focus", "middle", "#555")
}
NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i; next }
{ n++; for (i = 1; i <= NF; i++) row[n, name[i]] = $i }
END {
  print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 360\"",
    "font-family=\"sans-serif\" font-size=\"12\">"
  print "<rect width=\"780\" height=\"360\" fill=\"#fff\"/>"
  for (i = 1; i <= n; i++) row[i, "kept"] = row[i, "crest_after"] / row[i, "crest_before"]
  frame(60, "Rim above core, share kept", 100, " %")
  line("unseen rims", "kept", 1, 60, "#b2182b", "")
  line("ambiguous, true rim", "kept", 1, 60, "#2166ac", " stroke-dasharray=\"6 3\"")
  frame(450, "LPIPS of unseen rims", 0.24, "")
  line("unseen rims", "inside", 0.24, 450, "#b2182b", "")
  line("unseen rims", "outside", 0.24, 450, "#666", " stroke-dasharray=\"6 3\"")
  text(60, 314, "unseen undisputed rims (60)", "start", "#b2182b")
  text(60, 332, "dashed: ambiguous lesions with a true rim", "start", "#2166ac")
  text(450, 314, "inside the lesion\047s mask", "start", "#b2182b")
  text(450, 332, "dashed: outside it", "start", "#666")
  print "</svg>"
}'
