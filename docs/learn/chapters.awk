# chapters.awk: the commands of a chapter as a shell script that compares what they print.
# In an indented block of code a line "    $ COMMAND" is a command, and the indented lines up to
# the next one, or to the end of the block, are what it must print, to the letter; a line "    ..."
# in it stands for any lines. Blocks without "$" are for reading.
function flush_one() {
  if (command == "") return
  print "try " quote(FILENAME ":" line) " " quote(command) " " quote(expect)
  command = ""
}
function quote(s) {
  gsub(/'/, "'\\''", s)
  return "'" s "'"
}
/^    \$ / {
  flush_one()
  command = substr($0, 7)
  line = FNR
  expect = ""
  next
}
/^    / && command != "" {
  expect = expect substr($0, 5) "\n"
  next
}
{ flush_one() }
END { flush_one() }
