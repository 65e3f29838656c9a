# rooms.awk: who needs whom, from the symbols of the objects and from the includes.
#
#   awk -f rooms.awk rooms.txt cycles.txt includes.txt symbols.txt
#
# includes.txt: "FILE INCLUDED" a line. symbols.txt: what `nm -A -P -g` says of the objects, paths
# from the root of the tree, without .o and without the instruction set. Prints what is not allowed,
# cycles between files, and "N passed, N failed".

function room_of(file) {
  sub(/\/[^\/]*$/, "", file)
  return file
}

function may_use(room, other, i, n, list) {
  if (room == other) return 1
  n = split(rooms[room], list, " ")
  for (i = 1; i <= n; i++) {
    if (list[i] == other) return 1
    if (list[i] ~ /\/\*$/ && index(other, substr(list[i], 1, length(list[i]) - 1)) == 1) return 1
  }
  return 0
}

function judge(ok, what) {
  if (ok) passed++
  else {
    failed++
    print "FAIL: " what
  }
}

# A use that is not allowed; every room without one is a test passed.
function refuse(room, what) {
  wrong[room] = 1
  judge(0, what)
}

# ---- the files given ----
FNR == 1 { input++ }
/^#/ || !NF { next }
input == 1 {
  split($0, part, ":")
  rooms[part[1]] = part[2]
  next
}
input == 2 {
  split($0, part, ":")
  accepted[++accepts] = " " part[1] " "
  next
}
input == 3 {
  if (room_of($1) in rooms && room_of($2) in rooms) {
    uses++
    if (!may_use(room_of($1), room_of($2))) refuse(room_of($1), $1 " includes " $2)
  }
  next
}
{
  file = substr($1, 1, length($1) - 1)
  if ($3 == "U" || $3 == "w") needs[++need] = file SUBSEP $2
  else home[$2] = file
  files[file] = 1
}

# ---- cycles: files that reach one another ----
function reach(from, at, i, n, list) {
  n = split(edges[at], list, " ")
  for (i = 1; i <= n; i++)
    if (!((from, list[i]) in reached)) {
      reached[from, list[i]] = 1
      reach(from, list[i])
    }
}

function cycle_of(file, other, names, count) {
  names = file
  count = 1
  for (other in files)
    if (other != file && (file, other) in reached && (other, file) in reached) {
      in_cycle[other] = 1
      names = names " " other
      count++
    }
  return count > 1 ? names : ""
}

function is_accepted(names, i, k, n, list, all) {
  n = split(names, list, " ")
  for (i = 1; i <= accepts; i++) {
    all = 1
    for (k = 1; k <= n; k++) if (!index(accepted[i], " " list[k] " ")) all = 0
    if (all) {
      seen[i] = 1
      return 1
    }
  }
  return 0
}

END {
  judge(uses > 300, "only " uses + 0 " includes between rooms were found")
  for (i = 1; i <= need; i++) {
    split(needs[i], part, SUBSEP)
    file = part[1]
    if (!(part[2] in home) || home[part[2]] == file) continue
    other = home[part[2]]
    links++
    if (!may_use(room_of(file), room_of(other)))
      refuse(room_of(file), file " needs " part[2] "() of " other ": " room_of(file) \
        " may not use " room_of(other))
    if (!((file, other) in edge)) edges[file] = edges[file] " " other
    edge[file, other] = 1
  }
  judge(links > 1000, "only " links + 0 " symbols between files were found")
  for (file in files) if (!(room_of(file) in rooms)) judge(0, file " lies in no room of rooms.txt")
  for (room in rooms) if (!(room in wrong)) passed++
  for (file in files) reach(file, file)
  for (file in files) {
    if (file in in_cycle) continue
    names = cycle_of(file)
    if (names == "") continue
    in_cycle[file] = 1
    judge(is_accepted(names), "a cycle of files that is not in cycles.txt: " names)
  }
  for (i = 1; i <= accepts; i++)
    if (!seen[i]) print "note: this cycle of cycles.txt is gone:" accepted[i]
  print links " symbols and " uses " includes between files"
  print passed + 0 " passed, " failed + 0 " failed"
  exit failed > 0
}
