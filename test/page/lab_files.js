// lab_files.js: files that the lab must refuse with one line each. usage: node lab_files.js FOLDER
'use strict';
const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const folder = process.argv[2];

function tensors(name, list, meta) {
  const head = { __metadata__: meta || {} };
  let at = 0;
  for (const [key, dtype, shape, data] of list) {
    head[key] = { dtype, shape, data_offsets: [at, at + data.length] };
    at += data.length;
  }
  let text = JSON.stringify(head);
  while (text.length % 8) text += ' ';
  const n = Buffer.alloc(8);
  n.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(path.join(folder, name),
    Buffer.concat([n, Buffer.from(text), ...list.map((t) => t[3])]));
}

const floats = (n, f) => Buffer.from(Float32Array.from({ length: n }, (x, i) => f(i)).buffer);
const set = { format: 'prlx-dataset-1', channels: 'chi', 'window.chi': '-100,150' };
tensors('nan.safetensors',
  [['images', 'F32', [1, 1, 64, 64], floats(4096, (i) => i === 70 ? NaN : 0)]], set);
const latents = { format: 'prlx-latents-1' };
tensors('other_w.safetensors', [['w', 'F32', [1, 512], floats(512, () => 0)]], latents);
tensors('nan_w.safetensors', [['w', 'F32', [1, 128], floats(128, (i) => i === 5 ? NaN : 0)]],
  latents);

// A grey PNG of 32 x 32.
function chunk(kind, data) {
  const b = Buffer.concat([Buffer.from(kind), data]), n = Buffer.alloc(4), c = Buffer.alloc(4);
  let crc = 0xffffffff;
  for (const x of b) {
    crc ^= x;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  }
  n.writeUInt32BE(data.length);
  c.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
  return Buffer.concat([n, b, c]);
}
const head = Buffer.alloc(13);
head.writeUInt32BE(32, 0);
head.writeUInt32BE(32, 4);
head[8] = 8;
fs.writeFileSync(path.join(folder, 'small.png'), Buffer.concat([
  Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', head),
  chunk('IDAT', zlib.deflateSync(Buffer.alloc(33 * 32))), chunk('IEND', Buffer.alloc(0))]));
