#!/bin/sh
# What the operating system does is asked for in core/os.h: no source of the program but
# core/os_*.c includes a header that is not of ISO C (strings.h excepted, which every system has);
# and each core/os_*.c has every function that core/os.h declares (another system is built too
# seldom to tell).
# usage: sh test/house/system.sh
iso='assert|complex|ctype|errno|fenv|float|inttypes|limits|locale|math|setjmp|signal|stdalign'
iso="$iso|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|time"
found=$(grep -rnE '^ *# *include *<' core io models tools paper/engine --include='*.[ch]' |
  grep -v '^core/os_[a-z]*\.c:' | grep -vE "<($iso)\.h>" |
  grep -vE '^core/kernels/[a-z0-9_]*\.[ch]:.*<(immintrin|arm_neon)\.h>' |
  grep -vE '^tools/cli/comm_mpi\.c:.*<mpi\.h>|^core/os\.h:.*<pthread\.h>')
[ -z "$found" ] || echo "$found" | sed 's/^/FAIL: of one system only: /'
planted=$(printf 'core/x.c:1:#include <sys/mman.h>\n' | grep -cvE "<($iso)\.h>")
# functions FILE: names of those declared or begun at the start of a line
functions() { sed -n 's/^[A-Za-z][^=(]*[ *]\(os_[a-z_0-9]*\)(.*/\1/p' "$1" | sort -u; }
failed=$([ -z "$found" ] && [ "$planted" = 1 ] && echo 0 || echo 1)
passed=$((1 - failed))
for system in core/os_*.c; do
  lacks=$(functions core/os.h | while read -r name; do
    functions "$system" | grep -qx "$name" || echo "$name"
  done)
  if [ -z "$lacks" ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $system lacks $lacks, which core/os.h declares"
  fi
done
[ "$(functions core/os.h | wc -l)" -gt 40 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
