# man.awk: the help of one command as a manual page (man(7)). usage:
#   prlx help COMMAND | awk -v name=prlx-COMMAND -v version=0.1 -f man.awk >prlx-COMMAND.1
# What the help looks like: "prlx COMMAND - summary", "usage: ...", groups "Name:", in them options
# "  --option ARG   text" (or "  command   summary") with further lines of the text indented by 26,
# and lines of two blanks that are shown as they are: examples.
function roff(s) {
  gsub(/\\/, "\\e", s)
  gsub(/-/, "\\-", s)
  if (s ~ /^[.']/) s = "\\\\&" s
  return s
}
function verbatim(on) {
  if (on && !shown) print ".PP\n.nf"
  if (!on && shown) print ".fi"
  shown = on
}
function heading(s) {
  verbatim(0)
  print ".SH " toupper(s)
}
BEGIN {
  printf ".\\\" Made from `prlx help` by tools/make/man.awk.\n"
  printf ".TH %s 1 \"\" \"prlx %s\" \"PRLx\\-GAN\"\n", toupper(name), version
}
NR == 1 {
  sub(/^[^-]* - /, "")
  print ".SH NAME\n" roff(name) " \\- " roff($0)
  next
}
/^usage: / && !used {
  used = 1
  heading("synopsis")
  print ".B " roff(substr($0, 8))
  next
}
/^[A-Z][^:]*:$/ || /^commands:$/ {
  heading(substr($0, 1, length($0) - 1))
  group = 1
  next
}
/^  --?[a-z]/ || (group && name == "prlx" && /^  [a-z]+ +[^ ]/) {
  verbatim(0)
  line = substr($0, 3)
  at = match(line, /   */)
  if (at && at < 30) {
    term = substr(line, 1, at - 1)
    text = substr(line, at)
    sub(/^ +/, "", text)
  } else {
    term = line
    text = ""
  }
  print ".TP\n.B " roff(term)
  if (text != "") print roff(text)
  next
}
/^                          / && !shown {
  sub(/^ +/, "")
  print roff($0)
  next
}
/^$/ {
  group = 0
  if (!shown) gap = 1
  else print ""
  next
}
/^  / {
  if (!shown && gap) print ".SH EXAMPLES"
  verbatim(1)
  print roff(substr($0, 3))
  next
}
{
  if (!prose && !group) heading(name == "prlx" && used ? "notes" : "description")
  prose = 1
  verbatim(0)
  print roff($0)
  if (name == "prlx") print ".br"
}
END {
  verbatim(0)
  print ".SH SEE ALSO"
  print name == "prlx" ? "`prlx help COMMAND`, \\fBprlx\\-COMMAND\\fR(1)" : "\\fBprlx\\fR(1)"
}
