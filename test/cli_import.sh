#!/bin/sh
# prlx import and export from outside: what is recognised, the way to Python names and back,
# refusals that write nothing.
#
# usage: sh test/cli_import.sh build/prlx. Needs sh, printf, cmp, grep, head, cp and the program.
# Ends with "N passed, N failed".
. "$(dirname "$0")/cli.inc"
PRLX=$P; D=test/data/import
nothing() {
  if [ -e "$T/no" ] || ls "$T" | grep -q 'no\.'; then
    failed=$((failed + 1))
    echo "FAIL something was written: $(ls "$T")"
  else
    pass
  fi
}
images() {
  "$PRLX" generate --network "$1" --seeds 0-5 --trunc 0.8 --out "$2" --quiet >/dev/null 2>&1
}

expect 0 'StyleGAN2-ADA checkpoint: G_ema G D' "$PRLX" import $D/tiny_nv.pkl -o "$T/n.safetensors"
expect 0 'conv_clamp 256' "$PRLX" import $D/tiny_nv_p3.pkl --nets G_ema -o "$T/n3.safetensors"
images $D/tiny_nv.safetensors "$T/a"
images "$T/n.safetensors" "$T/b"
images "$T/n3.safetensors" "$T/c"
same "$T/a/sheet.png" "$T/b/sheet.png" "imported network"
same "$T/a/sheet.png" "$T/c/sheet.png" "imported network, G_ema alone"
expect 0 'resample_filter' "$PRLX" export "$T/n.safetensors" --dry-run
expect 0 '56 tensors' "$PRLX" export "$T/n.safetensors" -o "$T/py.safetensors"
expect 0 '28 tensors' "$PRLX" export "$T/n.safetensors" --net D -o "$T/d.safetensors"
expect 0 ' synthesis.b16.conv0.resample_filter' "$PRLX" info "$T/py.safetensors"
images "$T/py.safetensors" "$T/d"
same "$T/a/sheet.png" "$T/d/sheet.png" "exported network"
expect 0 'state dict: G_ema' "$PRLX" import "$T/py.safetensors" -o "$T/n4.safetensors"
images "$T/n4.safetensors" "$T/e"
same "$T/a/sheet.png" "$T/e/sheet.png" "exported and imported again"
expect 0 '16-bit\|F16' "$PRLX" export "$T/n.safetensors" --f16 -o "$T/h.safetensors"
expect 0 'mapping.w_avg' "$PRLX" import $D/tiny_nv.pkl --dry-run
expect 0 'TorchScript archive' "$PRLX" import $D/script.pt --dry-run
expect 0 'from state_dict.a' "$PRLX" import $D/checkpoint.pth --dry-run
expect 0 'torch legacy stream' "$PRLX" import $D/legacy_p2.pth --any -o "$T/s.safetensors"
expect 0 'a file of ours' "$PRLX" import data/ambiguous.safetensors -o "$T/o.safetensors"
expect 0 'lin4' "$PRLX" import data/lpips_vgg_v0.1.safetensors --dry-run
expect 0 'lin0.model.1.weight' "$PRLX" export data/vgg16_caffe.safetensors --dry-run

printf '\200\002cos\nsystem\nX\016\000\000\000touch %s/run\205R.' "${T#/tmp/}" >"$T/evil.pkl"
expect 1 'asks for os.system' "$PRLX" import "$T/evil.pkl" -o "$T/no"
head -c 2700 $D/tiny_legacy.pth >"$T/cut.pth"
expect 1 'cut short' "$PRLX" import "$T/cut.pth" -o "$T/no"
head -c 2000 $D/zip.pth >"$T/cut.pth"
expect 1 'no end record' "$PRLX" import "$T/cut.pth" -o "$T/no"
cp $D/zip.pth "$T/net-01234567.pth"
expect 1 'NOT the 01234567 of its name' "$PRLX" import "$T/net-01234567.pth" -o "$T/no"
expect 1 'is a folder' "$PRLX" import "$T" -o "$T/no"
expect 1 'cannot be opened' "$PRLX" import "$T/none.pth" -o "$T/no"
expect 1 'VGG16 and LPIPS heads' "$PRLX" import $D/zip.pth $D/legacy_p2.pth -o "$T/no"
expect 1 'says conv_clamp 256' "$PRLX" import $D/tiny_nv.pkl --conv-clamp 128 -o "$T/no"
expect 1 'no tensors G' "$PRLX" import "$T/py.safetensors" --nets G -o "$T/no"
expect 1 'data set' "$PRLX" export data/ambiguous.safetensors -o "$T/no"
expect 1 'no tensors D' "$PRLX" export "$T/n3.safetensors" --net D -o "$T/no"
# what generate would refuse is an error here already
expect 1 '5 tensors, a to e.*--any' "$PRLX" import $D/legacy_p2.pth -o "$T/no"
expect 0 'no known network' "$PRLX" import $D/legacy_p2.pth --dry-run
sed 's/G_ema.synthesis.b4.const/G_ema.synthesis.b4.konst/' "$T/n.safetensors" \
  >"$T/lacks.safetensors"
expect 1 'b4.konst' "$PRLX" import "$T/lacks.safetensors" -o "$T/no"
expect 1 'b4.konst' "$PRLX" generate --network "$T/lacks.safetensors" -o "$T/no"
expect 0 'a file of ours' "$PRLX" import data/discriminator_small.safetensors \
  -o "$T/dis.safetensors"
nothing
expect 1 '/dev/full' "$PRLX" import $D/zip.pth --any -o /dev/full
expect 1 'cannot be' "$PRLX" import $D/tiny_nv.pkl -o "$T/none/x"
expect 0 'written' "$PRLX" import "$T/net-01234567.pth" --ignore-checksum --any \
  -o "$T/i.safetensors"
expect 2 'no --out' "$PRLX" import $D/zip.pth
expect 2 'missing argument' "$PRLX" import
expect 2 'no --out' "$PRLX" export "$T/n.safetensors"
if [ -e "$T/run" ]; then fail 'the pickle was run'; else pass; fi
finish
