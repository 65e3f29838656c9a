# amalgamation.awk: many files of C as one. usage:
#   awk -v version=0.1 -f amalgamation.awk prlx.h FILE.c... >prlx.c
#
# The files, in this order, with what they include at its first use (prlx.h stays an #include), and:
#   - system headers once, at the top;
#   - a name that two files define for themselves (static, typedef, struct, enumerator) gets the
#     name of its file before it: grow() of io/images/dataset.c becomes dataset_grow();
#   - everything but prlx_* becomes static: nothing of it can clash with a name of the program;
#   - core/kernels/*.c, which the Makefile compiles once per instruction set, go to the end, where
#     the file includes itself once per instruction set with the attribute `target`.
# A tokeniser of C, no parser: it knows comments, strings, directives, braces and the first name of
# a declaration at the outermost level. What it does not know does not compile, and
# test/cli_one.sh compiles it.

function die(message) {
  print "amalgamation: " message | "cat >&2"
  exit 1
}

# ---- reading ----
function load(path, n, line) {
  if (path in lines) return
  n = 0
  while ((getline line < path) > 0) text[path, ++n] = line
  close(path)
  if (!n) die(path ": cannot be read")
  lines[path] = n
}

# What "#include "X"" of a line names, or "".
function included(line) {
  if (line !~ /^#include "/) return ""
  sub(/^#include "/, "", line)
  sub(/".*/, "", line)
  return line
}

function stem(path) {
  sub(/.*\//, "", path)
  sub(/\.[ch]$/, "", path)
  gsub(/[^A-Za-z0-9_]/, "_", path)
  return path
}

# ---- tokens: next_token(s) sets tok and kind (space, comment, string, name, number, mark) ----
function next_token(s) {
  if (in_comment) {
    kind = "comment"
    at = index(s, "*/")
    if (at) in_comment = 0
    return tok = at ? substr(s, 1, at + 1) : s
  }
  if (match(s, /^[ \t]+/)) kind = "space"
  else if (s ~ /^\/\*/) {
    kind = "comment"
    at = index(substr(s, 3), "*/")
    if (!at) in_comment = 1
    return tok = at ? substr(s, 1, at + 3) : s
  } else if (s ~ /^\/\//) {
    kind = "comment"
    return tok = s
  } else if (match(s, /^"([^"\\]|\\.)*"/) || match(s, /^'([^'\\]|\\.)*'/)) kind = "string"
  else if (match(s, /^[A-Za-z_][A-Za-z0-9_]*/)) kind = "name"
  else if (match(s, /^[0-9]([0-9A-Za-z_.]|[eEpP][-+])*/)) kind = "number"
  else if (match(s, /^->/)) kind = "mark"
  else {
    kind = "mark"
    RLENGTH = 1
  }
  return tok = substr(s, 1, RLENGTH)
}

# ---- first pass: which names a file defines at its outermost level ----
function note(path, name, what) {
  if ((path, name) in defined) return
  defined[path, name] = what
  names[path] = names[path] " " name
  if (path ~ /\.h$/ || what == "global") shared[name] = shared[name] " " what
  else owners[name]++
}

# The tokens of one file, outermost level only. Declarations are known by their first words.
function scan(path, n, i, s, directive) {
  load(path)
  reset_declaration()
  depth = 0
  directive = 0
  for (i = 1; i <= lines[path]; i++) {
    s = text[path, i]
    if (!in_comment && (directive || s ~ /^[ \t]*#/)) {
      if (!directive && s ~ /^[ \t]*#[ \t]*define/) {
        sub(/^[ \t]*#[ \t]*define[ \t]+/, "", s)
        match(s, /^[A-Za-z0-9_]+/)
        macros[path] = macros[path] " " substr(s, 1, RLENGTH)
        if (s ~ /^[A-Z_]+ +(static|extern)( |$)/) says_static[substr(s, 1, RLENGTH)] = 1
      }
      directive = text[path, i] ~ /\\$/
      continue
    }
    while (s != "") {
      next_token(s)
      s = substr(s, length(tok) + 1)
      if (kind == "space" || kind == "comment") continue
      if (path ~ /^core\/kernels\// && (mark == "." || mark == "->")) is_field[tok] = 1
      mark = tok
      scan_token(path)
    }
  }
}

function reset_declaration() {
  first = previous = ""
  is_static = is_typedef = is_enum = is_done = parens = 0
}

function scan_token(path) {
  if (tok == "{") {
    if (depth == 0 && (first == "enum" || (is_typedef && second == "enum"))) is_enum = 1
    if (depth == 0 && previous_kind == "name" && (first ~ /^(struct|union)$/ || is_tagged)) {
      note(path, previous, "type")
      if (path ~ /\.h$/) has_body[previous] = 1
    }
    depth++
    before_enumerator = 1
    return
  }
  if (tok == "}") {
    depth--
    if (depth == 0) {
      is_enum = 0
      if (!is_typedef && first != "struct" && first != "union" && first != "enum" && !is_object)
        reset_declaration()
      previous = ""
    }
    return
  }
  if (depth > 0) {
    if (is_enum && depth == 1) {
      if (before_enumerator && kind == "name") note(path, tok, "value")
      before_enumerator = tok == ","
    }
    return
  }
  if (tok == "(") parens++
  if (tok == ")") parens--
  if (tok == ";") {
    if (is_typedef && previous_kind == "name") note(path, previous, "type")
    else if (!is_done && previous_kind == "name" && is_static) note(path, previous, "own")
    reset_declaration()
    is_object = 0
    return
  }
  if (first == "") {
    first = tok
    second = ""
    is_typedef = tok == "typedef"
    is_object = is_tagged = 0
  } else if (second == "") {
    second = tok
    is_tagged = is_typedef && tok ~ /^(struct|union)$/
  }
  if (tok == "static" || tok in says_static) is_static = 1
  if (tok == "__attribute__" && is_typedef) note(path, previous, "type")
  if ((tok == "(" || tok == "=" || tok == "[") && !is_done && !is_typedef && parens <= 1 &&
      previous_kind == "name" && previous != "__attribute__" && previous != first) {
    is_done = 1
    if (tok == "=") is_object = 1
    note(path, previous, is_static ? "own" : "global")
  }
  if (tok == "=") is_object = 1
  previous = tok
  previous_kind = kind
}

# ---- second pass: writing ----
function new_name(path, name) {
  return stem(path) "_" name
}

# Which names of a file must be changed: those that are not its alone.
function choose(path, n, list, i, name) {
  n = split(names[path], list, " ")
  for (i = 1; i <= n && path ~ /\.c$/; i++) {
    name = list[i]
    if (defined[path, name] == "global" || owners[name] + (name in shared) < 2 &&
        !(path ~ /^core\/kernels\// && name in is_field)) continue
    # the body of a type that a header promised
    if (defined[path, name] == "type" && shared[name] ~ /type/ && !(name in has_body)) continue
    change[path, name] = new_name(path, name)
    if (change[path, name] in owners || change[path, name] in shared)
      die(path ": " name " would become " change[path, name] ", which there is already")
  }
}

function put(s) {
  held = held s
}

function flush() {
  printf "%s", held
  held = ""
}

# The name of the declaration that `held` begins with is known: static, unless it is public.
function settle(name) {
  if (settled) return
  settled = 1
  if (name !~ /^prlx_/ && start_word !~ plain && !(start_word in says_static) &&
      held !~ /(^| )static /)
    held = lead "static " substr(held, length(lead) + 1)
  flush()
}

function emit_name(path, out) {
  out = tok
  if ((path, tok) in change && last_mark != "." && last_mark != "->" &&
      (!in_struct || defined[path, tok] ~ /^(type|value)$/))
    out = change[path, tok]
  if (tok == "extern") out = "static"
  return out
}

function emit_token(path) {
  if (kind == "space" || kind == "comment") {
    put(tok)
    return
  }
  if (depth == 0 && start_word == "") { # a declaration begins
    lead = held
    start_word = tok
    is_function = 0
    words = 0
    settled = tok ~ /^(struct|union|enum)$/ ? 2 : 0 # a type, or the type of something
    if (tok ~ plain || kind != "name") settled = 1
  } else if (depth == 0) words++
  if (depth == 0 && settled == 2 && words == 2) settled = tok == "{" || tok == ";" ? 1 : 0
  if (depth == 0 && settled == 2 && words == 1 && tok == "{") settled = 1
  if (depth == 0 && !settled && (tok == "(" || tok == "=" || tok == "[" || tok == ";")) {
    if (words == 1 && tok == "(") { # a macro that is called
      settled = 1
      is_call = 1
    } else settle(last_name)
  }
  if (depth == 0 && tok == "(" && !is_call) is_function = 1
  if (is_call && tok == "(") parens++
  if (is_call && tok == ")" && --parens == 0) {
    is_call = 0
    start_word = ""
  }
  put(kind == "name" ? emit_name(path) : tok)
  if (settled) flush()
  if (kind == "name") last_name = tok
  if (kind == "name" && (tok == "struct" || tok == "union")) struct_next = 1
  else if (struct_next && tok == "{") {
    in_struct++
    struct_depth[in_struct] = depth
    struct_next = 0
  } else if (kind != "name") struct_next = 0
  if (tok == "{") depth++
  if (tok == "}") {
    depth--
    if (in_struct && struct_depth[in_struct] == depth) {
      in_struct--
      if (depth == 0) after_struct = 1
    } else if (depth == 0 && is_function && !after_equals) start_word = ""
  }
  if (depth == 0 && tok == "=") after_equals = 1
  if (depth == 0 && tok == ";") start_word = after_equals = after_struct = ""
  last_mark = tok
}

# Directives: names in them change, too; what a macro defines is static, too.
function emit_directive(path, s) {
  if (depth == 0) start_word = ""
  if (path in kernel) gsub(/[a-z]+_?##[A-Za-z_0-9]+/, "ISA_SYM(&)", s)
  if (s !~ /static|extern/) sub(/const [A-Za-z_]+ [a-z_]+##/, "static &", s)
  while (s != "") {
    next_token(s)
    s = substr(s, length(tok) + 1)
    put(kind == "name" ? emit_name(path) : tok)
    if (kind != "space") last_mark = tok
  }
}

function expand(path, i, s, directive, inner, state) {
  if (path in seen) return
  seen[path] = 1
  load(path)
  printf "\n/* ---- %s ---- */\n", path
  depth = in_struct = struct_next = parens = is_call = 0
  start_word = last_mark = after_equals = held = ""
  for (i = 1; i <= lines[path]; i++) {
    s = text[path, i]
    inner = in_comment ? "" : included(s)
    if (inner != "" && (inner == "prlx.h" || inner in own_pass)) continue
    if (inner != "") {
      expand(inner)
      depth = in_struct = 0
      start_word = last_mark = after_equals = held = ""
      continue
    }
    if (!in_comment && s ~ /^#include </ && s !~ of_one_machine) continue
    if (!in_comment && s ~ /^#define _GNU_SOURCE/) continue
    if (!in_comment && (directive || s ~ /^[ \t]*#/)) {
      emit_directive(path, s)
      directive = s ~ /\\$/
    } else
      while (s != "") {
        next_token(s)
        s = substr(s, length(tok) + 1)
        emit_token(path)
      }
    put("\n")
    if (start_word == "" || settled) flush()
  }
  flush()
}

# A macro that a .c file made ends with it.
function forget(path, n, list, i) {
  n = split(macros[path], list, " ")
  for (i = 1; i <= n; i++)
    if (list[i] != "_GNU_SOURCE" && !(list[i] in kept)) printf "#undef %s\n", list[i]
}

# ---- the kernels: names of their own per instruction set ----
function kernel_names(path, n, list, i) {
  n = split(names[path], list, " ")
  for (i = 1; i <= n; i++) {
    if (defined[path, list[i]] == "global") continue
    name = (path, list[i]) in change ? change[path, list[i]] : list[i]
    printf "#define %s ISA_SYM(%s)\n", name, name
    kernel_defined = kernel_defined " " name
  }
}

# One instruction set: GCC defines __AVX2__ and the like with its target, Clang does not.
function target(isa, flags, macros, n, list, i, clang) {
  clang = flags
  sub(/,prefer-vector-width=[0-9]+/, "", clang)
  print "#ifdef __clang__"
  printf "#pragma clang attribute push(__attribute__((target(\"%s\"))), apply_to = function)\n", \
    clang
  n = split(macros, list, " ")
  for (i = 1; i <= n; i++)
    printf "#ifndef %s\n#define %s 1\n#define PRLX_ONE%s\n#endif\n", list[i], list[i], list[i]
  print "#else\n#pragma GCC push_options"
  printf "#pragma GCC target(\"%s\")\n#endif\n", flags
  printf "#define ISA %s\n#include __FILE__\n#undef ISA\n", isa
  print "#ifdef __clang__\n#pragma clang attribute pop"
  for (i = 1; i <= n; i++)
    printf "#ifdef PRLX_ONE%s\n#undef %s\n#undef PRLX_ONE%s\n#endif\n", list[i], list[i], \
      list[i]
  print "#else\n#pragma GCC pop_options\n#endif"
}

function header(path, i, list, n) {
  if (path in visited) return
  visited[path] = 1
  load(path)
  for (i = 1; i <= lines[path]; i++) {
    if (text[path, i] ~ /^#include </ && text[path, i] !~ of_one_machine) {
      s = text[path, i]
      sub(/[ \t]*\/\*.*/, "", s)
      if (!(s in systems)) systems[s] = ++nsystems
    }
    s = included(text[path, i])
    if (s == "" || s == "prlx.h") continue
    users[s] = users[s] " " path
    header(s)
  }
  all[++nall] = path
}

function preamble(line) {
  printf "/* prlx.c: PRLx-GAN %s in one file, made by `make amalgamation` of the files\n", version
  print " * that are named in it; to change something, change those. The whole build:"
  print " *"
  print " *   cc -O3 prlx.c shell.c -lm -lpthread"
  print " *"
  print " * Its interface is prlx.h; every other name is static. stb_image_write, which is in it,"
  print " * has its licence at its end; of all other code this is the licence:"
  print " *"
  while ((getline line < "LICENSE") > 0) print line == "" ? " *" : " * " line
  close("LICENSE")
  print " */"
  print "#ifndef PRLX_ONE_PASS"
  print "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif"
  print "#ifdef __clang__"
  print "#pragma clang diagnostic ignored \"-Wunknown-pragmas\""
  print "#elif defined(__GNUC__)"
  print "#pragma GCC optimize(\"no-math-errno\", \"no-trapping-math\")"
  # a fault of GCC 12, as in the Makefile
  print "#ifndef __x86_64__"
  print "#pragma GCC optimize(\"no-delete-null-pointer-checks\")"
  print "#endif"
  print "#pragma GCC diagnostic ignored \"-Wunused-const-variable\""
  print "#endif"
  print "#ifdef __GNUC__"
  print "#pragma GCC diagnostic ignored \"-Wunused-function\""
  print "#pragma GCC diagnostic ignored \"-Wunused-parameter\""
  print "#pragma GCC diagnostic ignored \"-Wunused-variable\""
  print "#ifdef __x86_64__"
  print "#define PRLX_HAVE_X86_ISAS"
  print "#endif\n#endif"
}

BEGIN {
  # declarations that begin with these words stay as they are
  plain = "^(static|typedef|extern|PRLX_API|_Static_assert)$"
  of_one_machine = "<arm_neon[.]h>" # stays where its #if is
  for (i = 1; i < ARGC; i++) header(ARGV[i])
  for (i = 1; i <= nall; i++) scan(all[i])
  # what only kernels include is compiled with them, once per instruction set
  for (i = 1; i <= nall; i++) {
    if (all[i] !~ /^core\/kernels\//) continue
    n = split(users[all[i]], list, " ")
    only = 1
    for (k = 1; k <= n; k++) if (list[k] !~ /^core\/kernels\//) only = 0
    if (only) own_pass[all[i]] = 1
  }
  for (i = 1; i <= nall; i++) choose(all[i])

  preamble()
  n = 0
  for (s in systems) order[systems[s]] = s
  for (i = 1; i <= nsystems; i++) print order[i]
  print "#include \"prlx.h\""
  for (i = 1; i < ARGC; i++) {
    if (ARGV[i] !~ /\.c$/ || ARGV[i] in own_pass) continue
    expand(ARGV[i])
    forget(ARGV[i])
  }

  print "\n/* ==== core/kernels/, once per instruction set ==== */"
  print "#define PRLX_ONE_PASS"
  print "#ifdef PRLX_HAVE_X86_ISAS"
  target("avx512", "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512", \
    "__AVX512F__ __AVX2__")
  target("avx2", "avx2,fma", "__AVX2__")
  print "#endif"
  print "#define ISA portable\n#include __FILE__\n#else /* PRLX_ONE_PASS */"
  for (i = 1; i <= nall; i++) if (all[i] in own_pass) kernel_names(all[i])
  for (i = 1; i <= nall; i++) if (all[i] in own_pass) order_kernel[++nk] = all[i]
  for (i = 1; i <= nk; i++) {
    path = order_kernel[i]
    delete own_pass[path]
    kernel[path] = 1
    expand(path)
    if (path ~ /\.c$/) forget(path)
  }
  for (i = 1; i <= nk; i++) if (order_kernel[i] ~ /\.h$/) forget(order_kernel[i])
  n = split(kernel_defined, list, " ")
  for (i = 1; i <= n; i++) printf "#undef %s\n", list[i]
  print "#endif /* PRLX_ONE_PASS */"
}
