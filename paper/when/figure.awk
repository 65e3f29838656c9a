# figure.awk: when.tsv as a drawing, one line per row: the difference in ROC AUC to no augmentation
# with its interval, grouped by sweep.
#   awk -f paper/when/figure.awk OUT/when.tsv >paper/when/when.svg
BEGIN {
  FS = "\t"
  left = 330
  right = 730
  step = 19
  name["ambiguous"] = "ambiguous, as they are"
  name["ld"] = "denoised (reference)"
  name["fast"] = "denoised (fast)"
  name["focus"] = "denoised (fast, focus)"
  name["place"] = "redrawn in place"
  name["clear"] = "drawn with a clear rim"
  name["gan"] = "synthetic rims"
}
NR > 1 && $5 != "n/a" {
  n++
  for (i = 1; i <= 8; i++) cell[n, i] = $i
  if (n == 1 || $6 < low) low = $6
  if (n == 1 || $7 > high) high = $7
}
function at(v) { return left + (v - low) / (high - low) * (right - left) }
function text(x, y, anchor, s) {
  printf "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, s
}
END {
  if (low > 0) low = 0
  if (high < 0) high = 0
  tick = high - low > 0.25 ? 0.1 : high - low > 0.1 ? 0.05 : 0.02
  low = int(low / tick - 1) * tick
  high = int(high / tick + 1) * tick
  for (k = 1; k <= n; k++) rows += 1 + (cell[k, 1] != cell[k - 1, 1] ? 1.5 : 0)
  height = 40 + rows * step
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 %.0f\" ", height
  print "font-family=\"sans-serif\" font-size=\"12\" fill=\"#1d2430\">"
  printf "<rect width=\"760\" height=\"%.0f\" fill=\"#fff\"/>\n", height
  for (v = low; v <= high + tick / 2; v += tick) {
    zero = v > -tick / 2 && v < tick / 2
    printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"22\" y2=\"%.0f\" stroke=\"%s\"/>\n", at(v), at(v), \
      height - 8, zero ? "#1d2430" : "#d9dee5"
    text(at(v), 16, "middle", sprintf("%+.2f", zero ? 0 : v))
  }
  y = 24
  for (k = 1; k <= n; k++) {
    if (cell[k, 1] != cell[k - 1, 1]) {
      y += 1.5 * step
      printf "<g font-weight=\"bold\">"
      text(8, y, "start", cell[k, 1])
      print "</g>"
    }
    y += step
    what = cell[k, 3] in name ? name[cell[k, 3]] : cell[k, 3]
    text(left - 12, y, "end", (cell[k, 2] == cell[k - 1, 2] && cell[k, 1] == cell[k - 1, 1] ? "" : \
      cell[k, 2] "  ") what)
    sure = cell[k, 6] > 0 || cell[k, 7] < 0
    colour = cell[k, 3] == "clear" ? "#2c7d4f" : cell[k, 3] == "ambiguous" ? "#5b6675" : \
      cell[k, 3] == "gan" ? "#8a4fa3" : "#1f5fa8"
    printf "<g stroke=\"%s\" stroke-width=\"2\">", colour
    printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>", at(cell[k, 6]), \
      at(cell[k, 7]), y - 4, y - 4
    printf "<circle cx=\"%.1f\" cy=\"%.0f\" r=\"4\" fill=\"%s\"/></g>\n", at(cell[k, 5]), y - 4, \
      sure ? colour : "#fff"
  }
  print "</svg>"
}
