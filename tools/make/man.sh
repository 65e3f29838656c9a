#!/bin/sh
# man.sh: manual pages from the help texts. usage: man.sh PROGRAM VERSION DIR
# Writes DIR/prlx.1 and one DIR/prlx-COMMAND.1 per command.
program=$1; version=$2; dir=$3; awk=$(dirname "$0")/man.awk
mkdir -p "$dir" && rm -f "$dir"/*.1 || exit 1
page() { awk -v name="$1" -v version="$version" -f "$awk" >"$dir/$1.1"; }
for command in $("$program" help | awk '/^  [a-z]+ +[^ ]/ {print $1}'); do
  [ "$command" = help ] && continue
  "$program" help "$command" | page "prlx-$command" || exit 1
done
"$program" help | page prlx
