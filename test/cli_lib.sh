#!/bin/sh
# The library as others use it: what it exports, make install and uninstall, prlx.pc, man pages, the
# examples of docs/examples/ against the installed library, C++. usage: cli_lib.sh PRLX
. "$(dirname "$0")/cli.inc"
B=$(dirname "$P")
CC=${CC:-cc}
# as the build was made: with or without CUDA, with the same sanitizers
cuda=
[ -f "$B/cuda.off" ] && cuda=CUDA=0
sanitize=$(grep -o -e '-fsanitize=[^ ]*' "$B/flags" | sort -u | tr '\n' ' ')
mk() { make -s --no-print-directory BUILD="$B" $cuda "$@" >"$T/log" 2>&1; }
unset PRLX_DATA

# ---- the names: those that prlx.h declares, no other ----
tr '\n' ' ' <prlx.h | grep -o 'PRLX_API [^;]*;' | grep -o 'prlx_[a-z0-9_]*(' | tr -d '(' |
  sort >"$T/declared"
[ "$(wc -l <"$T/declared")" -gt 50 ]; ok $? "prlx.h declares functions"
mk lib; ok $? "make lib: $(tail -n 3 "$T/log")"
exported() { nm "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[A-Z]/ {print $3}' | sort; }
exported -D --defined-only "$B/libprlx.so" >"$T/so"
exported -g --defined-only "$B/libprlx.a" >"$T/a"
same "$T/declared" "$T/so" "libprlx.so exports what prlx.h declares: $(diff "$T/declared" "$T/so")"
same "$T/declared" "$T/a" "libprlx.a has no other global name: $(diff "$T/declared" "$T/a")"

# ---- installation ----
X=$T/x
mk install PREFIX="$X"; ok $? "make install: $(tail -n 3 "$T/log")"
for f in bin/prlx lib/libprlx.a lib/libprlx.so lib/pkgconfig/prlx.pc include/prlx.h \
  share/prlx/data/network_small.safetensors share/prlx/paper/published.tsv \
  share/doc/prlx/LICENSE share/doc/prlx/examples/denoise.c share/man/man1/prlx.1 \
  share/man/man1/prlx-project.1; do
  [ -s "$X/$f" ]; ok $? "installed: $f"
done
(cd / && "$X/bin/prlx" check >"$T/out" 2>&1); ok $? "the installed program: $(tail -n 2 "$T/out")"
has "$T/out" "ok *network_small.safetensors" "it finds its data"
for command in $("$P" help | awk '/^  [a-z]+ +[^ ]/ {print $1}' | grep -v '^help$'); do
  grep -q '^.SH SYNOPSIS' "$X/share/man/man1/prlx-$command.1" 2>/dev/null
  ok $? "a manual page for prlx $command"
done
has "$X/share/man/man1/prlx-project.1" 'w\\-samples' "the page has the options of the help"

# ---- the examples, as their heads say ----
if command -v pkg-config >/dev/null 2>&1; then
  PKG_CONFIG_PATH=$X/lib/pkgconfig; export PKG_CONFIG_PATH
  use=$(pkg-config --cflags --libs prlx); ok $? "pkg-config knows prlx"
  [ "$(pkg-config --modversion prlx)" = "$("$P" --version | sed -n '1s/^prlx \([0-9.]*\).*/\1/p')" ]
  ok $? "and its version: $(pkg-config --modversion prlx)"
else
  use="-I$X/include -L$X/lib -lprlx"
fi
LD_LIBRARY_PATH=$X/lib; export LD_LIBRARY_PATH
examples=$X/share/doc/prlx/examples
for name in denoise train own_operation; do
  $CC -Wall -Wextra -Werror $sanitize "$examples/$name.c" $use -lm -o "$T/$name" 2>"$T/err"
  ok $? "example $name compiles: $(head -n 2 "$T/err")"
done
expect 0 'largest deviation' "$T/own_operation"
steps=6
lesion=$X/share/prlx/data/ambiguous_lesion.png
expect 0 "after $steps steps" "$T/denoise" "$lesion" "$T/denoised.png" $steps
"$P" project --network data/network_small.safetensors --steps $steps --no-nifti --quiet \
  --out "$T/p" "$lesion" >"$T/log" 2>&1
same "$T/denoised.png" "$T/p/ambiguous_lesion.png" "denoise.c and prlx project: the same picture"
expect 1 'none.png' "$T/denoise" none.png "$T/no.png" 1
expect 0 'four images' "$T/train" "$X/share/prlx/data/prlx_lesions.safetensors" \
  "$T/n.safetensors" 8 4
for k in 0 3; do [ -s "$T/n.safetensors.seed$k.png" ]; ok $? "train.c: image $k"; done
expect 0 'small\|64' "$P" info "$T/n.safetensors"

# ---- static, and C++ ----
$CC $sanitize "$examples/own_operation.c" -I"$X/include" "$X/lib/libprlx.a" -lm -lpthread \
  $(sed -n 's/^Libs.private: //p' "$X/lib/pkgconfig/prlx.pc") -o "$T/static" 2>"$T/err"
ok $? "links statically: $(head -n 2 "$T/err")"
(unset LD_LIBRARY_PATH; "$T/static" >"$T/out" 2>&1); ok $? "and runs: $(tail -n 1 "$T/out")"
cat >"$T/a.cpp" <<'END'
#include <prlx.h>
#include <cstdio>
#include <cstring>
// names of the inside are free for the program: none of them is global in the library
extern "C" int graph_new() { return 1; }
extern "C" int resample() { return 2; }
int main() {
  prlx_error e;
  prlx_network *net;
  if (prlx_network_load(nullptr, &net, &e)) return std::puts(e.msg), 1;
  std::printf("C++: %d x %d\n", prlx_network_resolution(net), prlx_network_resolution(net));
  prlx_network_free(net);
  return std::strcmp(prlx_version(), PRLX_VERSION) || graph_new() + resample() != 3;
}
END
if command -v "${CXX:-g++}" >/dev/null 2>&1; then
  ${CXX:-g++} -std=c++11 -Wall -Wextra -Werror $sanitize "$T/a.cpp" $use -o "$T/cpp" 2>"$T/err"
  ok $? "C++ compiles: $(head -n 2 "$T/err")"
  expect 0 'C++: 64 x 64' "$T/cpp"
  ${CXX:-g++} -std=c++11 $sanitize "$T/a.cpp" -I"$X/include" "$X/lib/libprlx.a" -lm -lpthread \
    $(sed -n 's/^Libs.private: //p' "$X/lib/pkgconfig/prlx.pc") -o "$T/cpp" 2>"$T/err"
  ok $? "C++ with names of the inside, statically: $(head -n 2 "$T/err")"
else
  echo "C++: skipped, no ${CXX:-g++}"
fi

# ---- away again ----
mk uninstall PREFIX="$X"; ok $? "make uninstall"
[ -z "$(find "$X" ! -type d)" ]; ok $? "nothing is left: $(find "$X" ! -type d | head -n 3)"
mk install PREFIX=/opt/prlx DESTDIR="$T/dest"; ok $? "DESTDIR: $(tail -n 3 "$T/log")"
has "$T/dest/opt/prlx/lib/pkgconfig/prlx.pc" '^prefix=/opt/prlx$' "PREFIX without DESTDIR"
(cd / && "$T/dest/opt/prlx/bin/prlx" check >"$T/out" 2>&1)
ok $? "a moved installation finds its data beside the program"
finish
