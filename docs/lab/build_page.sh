#!/bin/sh
# Puts the lab into one file: pages, program and data (base64).
# usage: sh docs/lab/build_page.sh LAB.wasm PAGE
# environment: VGG=file of the feature network (default: the bundled one)
set -e
P=docs/lab/page
wasm=$1
page=$2
file() {
  printf '<script type="text/plain" id="file-%s">' "$1"
  base64 <"$2" | tr -d '\n'
  printf '</script>\n'
}
while IFS= read -r line; do
  case $line in
  '<!--files-->')
    file lab.wasm "$wasm"
    file network_small.safetensors data/network_small.safetensors
    file phantom_rims_network.safetensors paper/projection/phantom_rims.safetensors
    file ambiguous_lesion.png data/ambiguous_lesion.png
    file phantom_rims.safetensors docs/learn/phantom_rims.safetensors
    file vgg16.safetensors "${VGG:-data/vgg16_caffe.safetensors}"
    ;;
  '<!--'*'.js-->' | '<!--'*'.css-->')
    name=${line#<!--}
    cat "$P/${name%-->}"
    ;;
  *) printf '%s\n' "$line" ;;
  esac
done <"$P/lab.html" >"$page.tmp"
size=$(wc -c <"$page.tmp" | awk '{printf "%.1f MB", $1 / 1e6}')
sed "s/@SIZE@/$size/" "$page.tmp" >"$page.tmp2"
rm -f "$page.tmp"
mv "$page.tmp2" "$page"
echo "$page: $size, opens from disk"
