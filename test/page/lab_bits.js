// lab_bits.js: the program in the page against the command line, bit for bit: the WebAssembly and
// the data are taken out of the page and run in node with the page's own worker.
// usage: node test/page/lab_bits.js PAGE FOLDER (with what test/wasm.sh made there)
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');
const [page, folder] = process.argv.slice(2);
let passed = 0, failed = 0;

function check(good, what) {
  if (good) passed++;
  else failed++;
  if (!good || process.env.TEST_VERBOSE) console.log((good ? 'PASS ' : 'FAIL ') + what);
}

function tensor(file, name) {
  const b = fs.readFileSync(path.join(folder, file)), n = Number(b.readBigUInt64LE());
  const head = JSON.parse(b.slice(8, 8 + n).toString()), [from, to] = head[name].data_offsets;
  return { shape: head[name].shape, data: b.slice(8 + n + from, 8 + n + to) };
}

const same = (floats, data, at) =>
  Buffer.compare(Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength),
    data.slice(at || 0, (at || 0) + floats.byteLength)) === 0;

// ---- the worker of the page ----
const html = fs.readFileSync(page, 'latin1');
const part = (id) => {
  const at = html.indexOf('id="' + id + '">') + id.length + 6;
  return html.slice(at, html.indexOf('</script>', at));
};
const asked = new Map();
let count = 0;
const context = { console, performance, WebAssembly, TextDecoder, TextEncoder, setTimeout,
  Uint8Array, Float32Array, Float64Array, Promise, Error, Object, Math, Array,
  postMessage: (m) => {
    if (m.step) return;
    const a = asked.get(m.id);
    asked.delete(m.id);
    if (m.ok) a.well(m);
    else a.badly(new Error(m.error));
  } };
vm.createContext(context);
vm.runInContext(part('worker-source').replace('WebAssembly.RuntimeError', 'Function'), context);

function ask(what, more) {
  const id = ++count;
  return new Promise((well, badly) => {
    asked.set(id, { well, badly });
    context.onmessage({ data: Object.assign({ id, do: what }, more) });
  });
}

const still = [0, 0, 0, 0, 0, 0];
const generate = (seed, psi, mix, first, last, directions) =>
  ask('generate', { seed, psi, mix, first, last, directions: directions || still });
const options = (more) => Object.assign([0, 0, 12, 0.1, 0.05, 1e5, 0.05, 0.25, 0.75, 0, 0, 0, 0.5,
  0.25, 3, 0, 0], more);

async function points() {
  let r = await generate(3, 1, -1, 0, 0);
  check(same(r.image, tensor('generate/dataset.safetensors', 'images').data), 'generate');
  r = await generate(5, 0.5, -1, 0, 0);
  check(same(r.image, tensor('truncate/dataset.safetensors', 'images').data), 'truncation');
  r = await generate(5, 1, 12, 0, 2);
  const mixed = tensor('mix/dataset.safetensors', 'images');
  check(same(r.image, mixed.data, (mixed.shape[0] - 1) * r.image.byteLength), 'style mixing');
  for (let k = 0; k < 6; k++) {
    const d = still.slice();
    d[k] = 2;
    r = await generate(5, 1, -1, 0, 0, d);
    check(same(r.image, tensor('directions/dataset.safetensors', 'images').data,
      (2 * k + 1) * r.image.byteLength), 'direction ' + (k + 1));
  }
}

async function projected(what, folder_name, more) {
  const r = await ask('project', { options: options(more), frames: 5 });
  const w = tensor(folder_name + '/w.safetensors', 'w');
  check(same(r.image, tensor(folder_name + '/denoised.safetensors', 'images').data),
    what + ': image');
  check(same(r.ws.slice(0, w.data.length / 4), w.data), what + ': w');
  return r;
}

async function main() {
  await ask('start', { wasm: part('file-lab.wasm') });
  for (const f of ['network_small.safetensors', 'phantom_rims_network.safetensors',
    'vgg16.safetensors', 'ambiguous_lesion.png', 'phantom_rims.safetensors'])
    await ask('file', { name: f, base64: part('file-' + f) });
  await ask('network', { name: 'network_small.safetensors' });
  await points();
  await ask('vgg', { name: 'vgg16.safetensors' });
  await ask('target', { name: 'ambiguous_lesion.png', index: 0 });
  const r = await projected('projection', 'lesion', {});
  await projected('W+, terms off', 'wplus', { 1: 2, 2: 6, 4: 0, 5: 0 });
  await projected('fast solver', 'fast', { 0: 1, 1: 1, 2: 10 });
  await ask('network', { name: 'phantom_rims_network.safetensors' });
  await ask('target', { name: 'phantom_rims.safetensors', index: 2 });
  await projected('phantom, focus', 'phantom', { 2: 6, 11: 1 });
  console.log('page: ' + r.ms.toFixed(0) + ' ms per step in node');
}

main().catch((e) => check(false, e.stack)).finally(() => {
  console.log(passed + ' passed, ' + failed + ' failed');
  process.exit(failed ? 1 : 0);
});
