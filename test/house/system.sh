#!/bin/sh
# What the operating system does is asked for in core/os.h: no source of the program but
# core/os_*.c includes a header that is not of ISO C (strings.h excepted, which every system has).
# usage: sh test/house/system.sh
iso='assert|complex|ctype|errno|fenv|float|inttypes|limits|locale|math|setjmp|signal|stdalign'
iso="$iso|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|time"
found=$(grep -rnE '^ *# *include *<' core io models tools paper/engine --include='*.[ch]' |
  grep -v '^core/os_[a-z]*\.c:' | grep -vE "<($iso)\.h>" |
  grep -vE '^core/kernels/[a-z0-9_]*\.[ch]:.*<(immintrin|arm_neon)\.h>' |
  grep -vE '^tools/cli/comm_mpi\.c:.*<mpi\.h>|^core/os\.h:.*<pthread\.h>')
[ -z "$found" ] || echo "$found" | sed 's/^/FAIL: of one system only: /'
planted=$(printf 'core/x.c:1:#include <sys/mman.h>\n' | grep -cvE "<($iso)\.h>")
failed=$([ -z "$found" ] && [ "$planted" = 1 ] && echo 0 || echo 1)
echo "$((1 - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
