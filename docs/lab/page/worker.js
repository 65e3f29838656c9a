// worker.js: the program, in a thread of its own so that the page never freezes. The page sends
// {id, do, ...} and gets {id, ok, ...}; a projection sends {step} on its way. Built into lab.html.
'use strict';
let ex, memory, running = null;

const bytes = (p, n) => new Uint8Array(memory.buffer, p, n);
const numbers = () => new Float64Array(memory.buffer, ex.lab_numbers(), 64);
const floats = (p, n) => new Float32Array(memory.buffer, p, n).slice();

function text(p) {
  const all = bytes(p, 1024);
  return new TextDecoder().decode(all.slice(0, all.indexOf(0)));
}

function name(s) {
  const b = new TextEncoder().encode(s).slice(0, 250), to = bytes(ex.lab_text(), 256);
  to.fill(0);
  to.set(b);
}

// Base64 to bytes; a table is quicker than atob for tens of megabytes.
function decode(s) {
  const table = new Uint8Array(256), letters =
    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  for (let i = 0; i < 64; i++) table[letters.charCodeAt(i)] = i;
  s = s.trim();
  const pad = s.endsWith('==') ? 2 : s.endsWith('=') ? 1 : 0, n = s.length / 4 * 3 - pad;
  const out = new Uint8Array(n);
  for (let i = 0, k = 0; i < s.length; i += 4, k += 3) {
    const v = table[s.charCodeAt(i)] << 18 | table[s.charCodeAt(i + 1)] << 12 |
      table[s.charCodeAt(i + 2)] << 6 | table[s.charCodeAt(i + 3)];
    out[k] = v >> 16;
    out[k + 1] = v >> 8;
    out[k + 2] = v;
  }
  return out;
}

function put(file, data) {
  name(file);
  const p = ex.lab_file(data.length);
  if (!p) throw new Error(file + ': no room in the memory of this page');
  bytes(p, data.length).set(data);
}

function must(status) {
  if (status) throw new Error(text(ex.lab_error()));
}

// dims: [side, num_ws, w_dim, maps] of the network that is loaded.
let dims = [64, 0, 0, 0];
const picture = () => floats(ex.lab_image(), dims[0] * dims[0]);

function target() {
  const mask = ex.lab_mask(), n = dims[0] * dims[0];
  return { target: floats(ex.lab_target(), n), mask: mask ? floats(mask, n) : null };
}

const commands = {
  async start(m) {
    const made = await WebAssembly.instantiate(decode(m.wasm), { lab: {
      log: (p, n) => console.log(new TextDecoder().decode(bytes(p, n).slice())),
      clock: () => performance.now() / 1000,
      news: (p) => tell(p ? floats(p, dims[0] * dims[0]) : null)
    } });
    ex = made.instance.exports;
    memory = ex.memory;
  },
  file(m) { put(m.name, m.base64 !== undefined ? decode(m.base64) : m.data); },
  network(m) {
    name(m.name);
    must(ex.lab_network());
    dims = Array.from(numbers().slice(0, 4));
    return { dims, shares: Array.from(numbers().slice(4, 10)) };
  },
  vgg(m) {
    name(m.name);
    must(ex.lab_vgg());
  },
  generate(m) {
    numbers().fill(0);
    numbers().set(m.directions);
    must(ex.lab_generate(m.seed, m.psi, m.mix, m.first, m.last));
    return { image: picture() };
  },
  latents(m) {
    name(m.name);
    must(ex.lab_latents());
    return { image: picture(), ws: floats(ex.lab_ws(), dims[1] * dims[2]) };
  },
  between(m) {
    // the end of the way, which the sliders may have moved on from
    if (!m.ws || m.ws.length !== dims[1] * dims[2])
      throw new Error('a way needs two ends: project a lesion or load a w.safetensors of this ' +
        'network first');
    new Float32Array(memory.buffer, ex.lab_ws(), m.ws.length).set(m.ws);
    must(ex.lab_between(m.seed, m.t));
    return { image: picture() };
  },
  target(m) {
    name(m.name);
    must(ex.lab_load_target(m.index));
    return target();
  },
  own(m) {
    // the image that the page shows; here a projection may have written over it
    if (m.image.length !== dims[0] * dims[0])
      throw new Error('the lesion on the other tab is not of this network: move a slider first');
    new Float32Array(memory.buffer, ex.lab_image(), m.image.length).set(m.image);
    must(ex.lab_own_target());
    return target();
  },
  project(m) {
    numbers().fill(0);
    numbers().set(m.options);
    must(ex.lab_project());
    running = { frames: m.frames, steps: m.options[2], done: 0, paused: false, stopped: false,
      began: performance.now(), spent: 0 };
    if (m.options[0] === 1) {
      must(ex.lab_fast());
      return finished(numbers()[0], numbers()[1]);
    }
    return new Promise((well, badly) => {
      running.well = well;
      running.badly = badly;
      setTimeout(walk, 0);
    });
  },
  pause() {
    if (running) running.paused = true;
  },
  go() {
    if (running && running.paused) {
      running.paused = false;
      setTimeout(walk, 0);
    }
  },
  stop() {
    if (!running || running.stopped) return;
    running.stopped = true;
    if (running.paused) walk();
  },
  save(m) {
    // of a point that the page kept
    if (m.ws) new Float32Array(memory.buffer, ex.lab_ws(), m.ws.length).set(m.ws);
    if (m.image) new Float32Array(memory.buffer, ex.lab_image(), m.image.length).set(m.image);
    name(m.name);
    must(m.name.endsWith('.png') ? ex.lab_save_png() : ex.lab_save_latents());
    const p = ex.lab_bytes();
    return { data: bytes(p, numbers()[0]).slice() };
  }
};

function finished(lpips, steps) {
  return { image: picture(), ws: floats(ex.lab_ws(), dims[1] * dims[2]), lpips, steps,
    ms: running.spent / Math.max(running.done, 1) };
}

// An evaluation, of either solver.
function tell(image) {
  const now = performance.now();
  running.spent += now - running.began;
  running.began = now;
  running.done++;
  postMessage({ step: Array.from(numbers().slice(0, 15)), image,
    ms: running.spent / running.done });
}

// A few steps of the reference solver, then a look for messages.
function walk() {
  try {
    if (!running.stopped) {
      if (running.paused) return;
      running.began = performance.now();
      must(ex.lab_step());
      const kept = numbers().slice(), at = running.done + 1;
      const show = at % running.frames === 0 && at < running.steps;
      running.spent += performance.now() - running.began;
      running.began = performance.now();
      let image = null;
      if (show) {
        must(ex.lab_render());
        image = picture();
        numbers().set(kept);
      }
      running.began = performance.now();
      tell(image);
    }
    if (running.stopped ? running.done > 0 : running.done >= running.steps) {
      must(ex.lab_render());
      running.well(finished(numbers()[0], running.done));
    } else if (running.stopped) {
      running.badly(new Error('stopped before the first step'));
    } else {
      setTimeout(walk, 0);
    }
  } catch (e) {
    running.badly(e);
  }
}

onmessage = async (message) => {
  const m = message.data;
  try {
    const r = await commands[m.do](m) || {};
    postMessage(Object.assign({ id: m.id, ok: true }, r));
  } catch (e) {
    const why = e instanceof WebAssembly.RuntimeError
      ? 'the program stopped (' + e.message + '), most likely for want of memory; reload the page'
      : e.message;
    postMessage({ id: m.id, ok: false, error: why });
  }
};
