#!/bin/sh
# Every operation of the table (OP_LIST in core/graph.h) has a kernel for the GPU, a case whose
# gradient is checked, and a row of documentation. Run by the build, which stops without them.
# usage: sh test/house/operations.sh      (in the root of the sources)
awk '
function fail(name, what) {
  printf "operation %s: %s; see docs/ADDING_AN_OPERATION.md\n", name, what
  bad = 1
}
FILENAME == "core/graph.h" {
  if (/#define OP_LIST/) inside = 1
  else if (inside) {
    line = $0
    while (match(line, /X\([a-z0-9_]+\)/)) {
      list[++n] = substr(line, RSTART + 2, RLENGTH - 3)
      line = substr(line, RSTART + RLENGTH)
    }
    if (!/\\$/) inside = 0
  }
}
FILENAME == "core/op_pointwise.c" && match($0, /^PW\([a-z0-9_]+/) {
  loop[substr($0, 4, RLENGTH - 3)] = 1
}
FILENAME == "cuda/cuda.h" {
  line = $0
  while (match(line, /X\([a-z0-9_]+\)/)) {
    twin[substr(line, RSTART + 2, RLENGTH - 3)] = 1
    line = substr(line, RSTART + RLENGTH)
  }
}
FILENAME == "cuda/pointwise.cu" && match($0, /case OP_[a-z0-9_]+:/) {
  micro[substr($0, RSTART + 8, RLENGTH - 9)] = 1
}
FILENAME == "test/op_cases.h" && match($0, /\{OP_[a-z0-9_]+,/) {
  check[substr($0, RSTART + 4, RLENGTH - 5)] = 1
}
FILENAME == "docs/OPERATIONS.md" && match($0, /^\| [a-z0-9_]+ \|/) {
  name = substr($0, 3, RLENGTH - 4)
  if (name != "operation") row[name] = 1
}
END {
  split("input param constant conv_prep", s, " ")
  for (i in s) leaf[s[i]] = 1 # nothing to compute on a device, nothing to differentiate
  twin["reshape"] = twin["sum"] = 1 # no copy; runs as a loop
  for (i = 1; i <= n; i++) {
    op = list[i]; known[op] = 1
    if (!row[op]) fail(op, "no row in docs/OPERATIONS.md")
    if (leaf[op]) continue
    if (loop[op] && !micro[op]) fail(op, "no kernel for the GPU: micro_of in cuda/pointwise.cu")
    if (!loop[op] && !twin[op]) fail(op, "no kernel for the GPU: CUDA_ROWS in cuda/cuda.h")
    if (!check[op]) fail(op, "no case in test/op_cases.h, so its gradient is not checked")
  }
  for (op in row)
    if (!known[op]) fail(op, "in docs/OPERATIONS.md, but not in OP_LIST of core/graph.h")
  if (n < 50) {
    print "test/house/operations.sh: OP_LIST of core/graph.h was not understood"
    bad = 1
  }
  exit bad
}' core/graph.h core/op_pointwise.c cuda/cuda.h cuda/pointwise.cu test/op_cases.h docs/OPERATIONS.md
