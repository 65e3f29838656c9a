#!/bin/sh
# amalgamation.sh: what prlx.h reaches, as one file. usage: amalgamation.sh BUILD VERSION DIR
# Reads which object needs which from the objects in BUILD, starting at models/api/; writes
# DIR/prlx.c (amalgamation.awk), DIR/prlx.h and DIR/shell.c.
build=$1; version=$2; dir=$3; here=$(dirname "$0")
mkdir -p "$dir" || exit 1
# core/kernels/*.c are there once per instruction set; the portable ones stand for all
find "$build/core" "$build/io" "$build/models" -name '*.o' | grep -v -e '\.lib\.o$' |
  grep -v -e '\.avx[0-9]*\.o$' | xargs nm -A -P -g | sed "s|^$build/||" |
  awk '
    {
      file = $1
      sub(/(\.portable)?\.o:$/, ".c", file)
      if ($3 == "U" || $3 == "w") needs[file] = needs[file] " " $2
      else home[$2] = file
    }
    END {
      for (file in needs) if (file ~ /^models\/api\//) list[++n] = file
      for (i = 1; i <= n; i++) {
        if (reached[list[i]]++) continue
        count = split(needs[list[i]], name, " ")
        for (k = 1; k <= count; k++) if (name[k] in home) list[++n] = home[name[k]]
      }
      for (file in reached) print file
    }' | sort >"$dir/files"
# the table of operations after the operations, kernels last
set -- $(grep '^core/[a-z_0-9]*\.c$' "$dir/files" | grep -v '^core/op_table\.c$') core/op_table.c \
  $(grep -v '^core/' "$dir/files") $(grep '^core/kernels/' "$dir/files")
rm -f "$dir/files"
awk -v version="$version" -f "$here/amalgamation.awk" "$@" >"$dir/prlx.c.new" || exit 1
mv "$dir/prlx.c.new" "$dir/prlx.c"
cp prlx.h docs/examples/shell.c "$dir"
