'use strict';
(function () {
  var S = JSON.parse(document.getElementById('study').textContent);
  var $ = function (id) { return document.getElementById(id); };
  var home = 'prlx-reader-' + S.study, kept = 'page', store = { reader: '', readers: {}, view: null, exported: 0, changes: 0 };
  var now = null, shown = 0, busy = false, drag = null, message = '';

  /* ---- saved state: localStorage; where the browser refuses it, the name of the tab, which survives a reload ---- */
  function load() {
    var text = null;
    try { localStorage.setItem(home + '-try', '1'); localStorage.removeItem(home + '-try'); kept = 'browser'; text = localStorage.getItem(home); } catch (err) { kept = 'tab'; }
    if (kept === 'tab' && window.name.indexOf(home + '=') === 0) text = window.name.slice(home.length + 1);
    try { if (text) store = JSON.parse(text); } catch (err) { message = 'The saved state could not be read; starting empty.'; }
  }
  function save() {
    var text = JSON.stringify(store);
    if (kept === 'browser') try { localStorage.setItem(home, text); return; } catch (err) { kept = 'tab'; }
    window.name = home + '=' + text;
  }
  function sheet(reader, experiment) {
    var r = store.readers[reader] || (store.readers[reader] = {});
    return r[experiment] || (r[experiment] = {});
  }
  function count(reader, x) {
    var a = store.readers[reader] && store.readers[reader][x.id], n = 0;
    if (a) x.items.forEach(function (it) { if (a[it[0]]) n++; });
    return n;
  }
  function total(reader) { return S.experiments.reduce(function (n, x) { return n + count(reader, x); }, 0); }

  /* ---- images: 16-bit values, little-endian, in base64; decoded when shown ---- */
  var raw = document.createElement('canvas'), ctx = raw.getContext('2d'), pixels = null;
  raw.width = S.w; raw.height = S.h;
  function decode(text) {
    var b = atob(text), v = new Uint16Array(b.length / 2);
    for (var i = 0; i < v.length; i++) v[i] = b.charCodeAt(2 * i) | b.charCodeAt(2 * i + 1) << 8;
    return v;
  }
  function fit() {
    var box = $('stage');
    return Math.max(1, Math.min(16, Math.floor(Math.min((box.clientWidth - 8) / S.w, (box.clientHeight - 8) / S.h))));
  }
  function draw() {
    var c = $('image'), v = store.view, z = v.zoom || fit(), dpr = window.devicePixelRatio || 1;
    var lo = v.level - v.width / 2, hi = v.level + v.width / 2, span = S.range[1] - S.range[0];
    c.width = Math.round(S.w * z * dpr); c.height = Math.round(S.h * z * dpr);
    c.style.width = S.w * z + 'px'; c.style.height = S.h * z + 'px';
    var g = c.getContext('2d');
    g.fillStyle = '#000'; g.fillRect(0, 0, c.width, c.height);
    if (pixels && !busy) {
      var d = ctx.createImageData(S.w, S.h);
      for (var i = 0; i < pixels.length; i++) {
        var x = (S.range[0] + pixels[i] / 65535 * span - lo) / (hi - lo) * 255;
        d.data[4 * i] = d.data[4 * i + 1] = d.data[4 * i + 2] = x < 0 ? 0 : x > 255 ? 255 : Math.round(x);
        d.data[4 * i + 3] = 255;
      }
      ctx.putImageData(d, 0, 0);
      g.imageSmoothingEnabled = v.smooth; g.imageSmoothingQuality = 'high';
      g.drawImage(raw, 0, 0, c.width, c.height);
    }
    $('level').value = v.level; $('width').value = v.width; $('zoom').value = v.zoom; $('smooth').checked = v.smooth;
    $('levelout').textContent = show(v.level); $('widthout').textContent = show(v.width); $('zoomout').textContent = v.zoom ? z + 'x' : 'fit ' + z + 'x';
    $('corner').textContent = 'L ' + show(v.level) + '  W ' + show(v.width) + ' ' + S.unit + '\n' + z + 'x';
  }
  function show(x) { return S.step < 1 ? x.toFixed(2) : String(Math.round(x)); }
  function view0() { return { level: (S.window[0] + S.window[1]) / 2, width: S.window[1] - S.window[0], zoom: 0, smooth: false }; }
  function look(level, width, zoom) {
    var v = store.view, lo = $('level'), w = $('width');
    v.level = Math.max(+lo.min, Math.min(+lo.max, level));
    v.width = Math.max(+w.min, Math.min(+w.max, width));
    v.zoom = Math.max(0, Math.min(16, zoom));
    draw();
  }
  function zoomBy(n) { look(store.view.level, store.view.width, Math.max(1, (store.view.zoom || fit()) + n)); }

  /* ---- one experiment ---- */
  function next() {
    var a = sheet(store.reader, now.id);
    for (var i = 0; i < now.items.length; i++) if (!a[now.items[i][0]]) return i;
    return -1;
  }
  function begin(x) {
    now = x;
    $('start').hidden = true; $('view').hidden = false; $('bar').hidden = false; $('pause').hidden = false;
    $('question').textContent = x.question;
    $('answers').textContent = '';
    x.answers.forEach(function (a, i) {
      var b = document.createElement('button'), k = document.createElement('kbd');
      b.className = 'answer'; b.id = 'answer' + (i + 1); k.textContent = i + 1;
      b.appendChild(k); b.appendChild(document.createTextNode(a[1]));
      b.onclick = function () { answer(i); };
      $('answers').appendChild(b);
    });
    item();
  }
  function item() {
    var i = next(), n = now.items.length, done = count(store.reader, now);
    if (i < 0) { home_(now.name + ': all ' + n + ' slices answered. Thank you. ' + rest()); return; }
    pixels = decode(S.images[now.items[i][1]]);
    busy = true; draw();                      /* a short black frame, so that the change of slice is seen, and a key held down answers once */
    setTimeout(function () { busy = false; shown = Date.now(); draw(); }, 120);
    $('bar').max = n; $('bar').value = done;
    $('state').textContent = now.name + '  |  slice ' + (i + 1) + ' of ' + n + '  |  reader ' + store.reader;
    $('undo').disabled = done === 0;
    $('image').setAttribute('aria-label', 'Lesion slice ' + (i + 1) + ' of ' + n);
    $('view').dataset.item = now.items[i][0];
  }
  function rest() {
    var open = S.experiments.filter(function (x) { return count(store.reader, x) < x.items.length; });
    return open.length ? 'There is one more part: ' + open[0].name + '.' : 'Export the answers and send the file back.';
  }
  function answer(k) {
    var i = next(), v = store.view;
    if (busy || i < 0 || !now.answers[k]) return;
    sheet(store.reader, now.id)[now.items[i][0]] = [now.answers[k][0], Math.round((Date.now() - shown) / 100) / 10, +(v.level - v.width / 2).toFixed(3), +(v.level + v.width / 2).toFixed(3)];
    store.changes++;
    save();
    $('live').textContent = now.answers[k][1] + '. ' + count(store.reader, now) + ' of ' + now.items.length + ' answered.';
    item();
  }
  function drop() {                             /* forgets the last answer; its position, or -1 */
    var a = sheet(store.reader, now.id), last = -1;
    now.items.forEach(function (it, i) { if (a[it[0]]) last = i; });
    if (last >= 0) { delete a[now.items[last][0]]; store.changes++; save(); }
    return last;
  }
  function undo() {
    var last = busy ? -1 : drop();
    if (last < 0) return;
    $('live').textContent = 'Undone. Slice ' + (last + 1) + ' again.';
    item();
  }

  /* ---- start page ---- */
  function home_(text) {
    now = null; pixels = null;
    $('start').hidden = false; $('view').hidden = true; $('bar').hidden = true; $('pause').hidden = true;
    $('state').textContent = 'Study ' + S.study;
    $('code').value = store.reader;
    $('codes').textContent = '';
    Object.keys(store.readers).forEach(function (r) { var o = document.createElement('option'); o.value = r; $('codes').appendChild(o); });
    $('about').textContent = S.experiments.map(function (x) { return x.name + ': ' + x.items.length + ' slices'; }).join('. ') + '. Window and zoom are remembered.';
    $('saved').textContent = kept === 'browser' ? 'Every answer is saved at once in this browser, on this computer only. Export the file when you are done.'
      : 'This browser does not let a page from disk keep data. The answers stay as long as this tab is open, also over a reload: export them before you close it.';
    $('message').textContent = text || '';
    cards();
    $('start').scrollTop = 0;
  }
  function cards() {
    var r = store.reader = $('code').value.trim();
    $('experiments').textContent = '';
    S.experiments.forEach(function (x, i) {
      var n = r ? count(r, x) : 0, card = document.createElement('section'), top = document.createElement('div'), words = document.createElement('div');
      var h = document.createElement('h2'), p = document.createElement('p'), b = document.createElement('button');
      card.className = 'card'; top.className = 'top'; p.className = 'soft'; p.style.margin = 0;
      h.textContent = x.name; p.textContent = x.question + ' ' + n + ' of ' + x.items.length + ' answered.';
      b.textContent = n === 0 ? 'Start' : n < x.items.length ? 'Continue' : 'Undo last answer'; b.id = 'go' + i;
      b.setAttribute('aria-label', b.textContent + ': ' + x.name);
      b.onclick = function () {
        if (!store.reader) { $('message').textContent = 'Please enter your reader code first.'; $('code').focus(); return; }
        if (n === x.items.length) { now = x; drop(); }
        save(); begin(x); $('stage').focus();
      };
      words.appendChild(h); words.appendChild(p); top.appendChild(words); top.appendChild(b); card.appendChild(top); $('experiments').appendChild(card);
    });
    $('export').disabled = !r || total(r) === 0;
    $('plain').hidden = $('export').disabled;
    if (!$('plain').hidden) $('text').value = csv();
  }

  /* ---- CSV, RFC 4180 ---- */
  var columns = ['study', 'experiment', 'item', 'answer', 'reader', 'seconds', 'lower', 'upper'];
  function quote(x) { x = String(x); return /[",\n\r]/.test(x) ? '"' + x.replace(/"/g, '""') + '"' : x; }
  function csv() {
    var lines = [columns.join(',')], r = store.reader;
    S.experiments.forEach(function (x) {
      var a = sheet(r, x.id);
      x.items.forEach(function (it) { var y = a[it[0]]; if (y) lines.push([S.study, x.id, it[0], y[0], r, y[1], y[2], y[3]].map(quote).join(',')); });
    });
    return lines.join('\n') + '\n';
  }
  function parse(text) {
    var rows = [[]], cell = '', quoted = false, i = text.charCodeAt(0) === 0xFEFF ? 1 : 0, c;
    for (; i < text.length; i++) {
      c = text[i];
      if (quoted) { if (c !== '"') cell += c; else if (text[i + 1] === '"') { cell += '"'; i++; } else quoted = false; }
      else if (c === '"') quoted = true;
      else if (c === ',') { rows[rows.length - 1].push(cell); cell = ''; }
      else if (c === '\n') { rows[rows.length - 1].push(cell); cell = ''; rows.push([]); }
      else if (c !== '\r') cell += c;
    }
    rows[rows.length - 1].push(cell);
    return rows.filter(function (r) { return r.length > 1 || r[0]; });
  }
  function take(text) {
    var rows = parse(text), head = rows.shift() || [], col = {}, added = 0, same = 0, differ = 0, who = '', bad = '';
    columns.forEach(function (c) { col[c] = head.indexOf(c); });
    if (col.item < 0 || col.answer < 0 || col.study < 0 || col.experiment < 0) return 'This is no file of answers: its first line must name the columns study, experiment, item, answer.';
    rows.forEach(function (r, n) {
      var x = S.experiments.filter(function (y) { return y.id === r[col.experiment]; })[0];
      if (bad) return;
      if (r[col.study] !== S.study) bad = 'line ' + (n + 2) + ' belongs to study ' + r[col.study] + ', this page is study ' + S.study;
      else if (!x || !x.items.some(function (it) { return it[0] === r[col.item]; })) bad = 'line ' + (n + 2) + ': item ' + r[col.item] + ' is not in this study';
      else if (!x.answers.some(function (y) { return y[0] === r[col.answer]; })) bad = 'line ' + (n + 2) + ': answer ' + r[col.answer] + ' is not one of this experiment';
    });
    if (bad) return 'Nothing was imported: ' + bad + '.';
    rows.forEach(function (r) {
      var reader = (col.reader >= 0 && r[col.reader]) || store.reader || 'imported', a = sheet(reader, r[col.experiment]), old = a[r[col.item]];
      who = reader;
      if (old) { if (old[0] === r[col.answer]) same++; else differ++; return; }
      a[r[col.item]] = [r[col.answer], +r[col.seconds] || 0, +r[col.lower] || 0, +r[col.upper] || 0];
      added++;
    });
    if (who) { store.reader = who; $('code').value = who; }
    save();
    return added + ' answers imported for reader ' + who + '; ' + same + ' were here already' + (differ ? '; ' + differ + ' differ from the ones here, which were kept' : '') + '.';
  }

  /* ---- events ---- */
  function wire() {
    var span = S.window[1] - S.window[0], lo = $('level'), w = $('width');
    lo.min = S.window[0] - span / 2; lo.max = S.window[1] + span / 2; lo.step = S.step;
    w.min = span / 50; w.max = span * 3; w.step = S.step;
    $('unit').textContent = S.unit ? '(' + S.unit + ')' : '';
    lo.oninput = function () { look(+this.value, store.view.width, store.view.zoom); };
    w.oninput = function () { look(store.view.level, +this.value, store.view.zoom); };
    $('zoom').oninput = function () { look(store.view.level, store.view.width, +this.value); };
    $('smooth').onchange = function () { store.view.smooth = this.checked; draw(); };
    $('reset').onclick = function () { store.view = view0(); draw(); };
    $('undo').onclick = undo;
    $('pause').onclick = function () { save(); home_(''); };
    $('code').oninput = function () { $('message').textContent = ''; cards(); };
    $('pick').onclick = function () { $('file').click(); };
    $('file').onchange = function () {
      var f = this.files[0], r = new FileReader();
      if (!f) return;
      r.onload = function () { var t = take(String(r.result)); home_(t); };
      r.onerror = function () { $('message').textContent = f.name + ' could not be read.'; };
      r.readAsText(f);
      this.value = '';
    };
    $('export').onclick = function () {
      var a = document.createElement('a');
      a.href = URL.createObjectURL(new Blob([csv()], { type: 'text/csv' }));
      a.download = 'answers_' + S.study + '_' + store.reader.replace(/[^A-Za-z0-9_-]/g, '_') + '.csv';
      a.click();
      store.exported = store.changes;
      save();
      $('message').textContent = 'Exported ' + total(store.reader) + ' answers as ' + a.download + '.';
    };
    window.addEventListener('beforeunload', function (ev) { save(); if (kept === 'tab' && store.changes > store.exported) { ev.preventDefault(); ev.returnValue = ''; } });
    window.addEventListener('storage', function (ev) {   /* the same study in a second tab: go on from what was answered there */
      if (ev.key !== home || !ev.newValue) return;
      try { store = JSON.parse(ev.newValue); } catch (err) { return; }
      if (now) item(); else home_('');
    });
    window.addEventListener('resize', function () { if (now) draw(); });
    mouse($('image'));
    document.addEventListener('keydown', key);
  }
  function mouse(c) {
    c.addEventListener('pointerdown', function (ev) { drag = [ev.clientX, ev.clientY, store.view.level, store.view.width]; c.setPointerCapture(ev.pointerId); });
    c.addEventListener('pointermove', function (ev) {
      if (!drag) return;
      var unit = (S.window[1] - S.window[0]) / 300;
      look(drag[2] + (ev.clientY - drag[1]) * unit, drag[3] + (ev.clientX - drag[0]) * unit, store.view.zoom);
    });
    c.addEventListener('pointerup', function () { drag = null; });
    c.addEventListener('dblclick', function () { store.view = view0(); draw(); });
    $('stage').addEventListener('wheel', function (ev) { if (ev.ctrlKey) return; ev.preventDefault(); zoomBy(ev.deltaY < 0 ? 1 : -1); }, { passive: false });
  }
  function key(ev) {
    if (!now || ev.altKey || ev.metaKey) return;
    var v = store.view, s = (S.window[1] - S.window[0]) / 40, k = ev.key, slider = ev.target.type === 'range';
    if (ev.ctrlKey) { if (k.toLowerCase() === 'z') { ev.preventDefault(); if (!ev.repeat) undo(); } return; }
    if (k === 'Escape') { save(); home_(''); return; }
    if (!$('keys').checked) return;
    if (k === '1' || k === '2') { if (!ev.repeat) answer(+k - 1); }
    else if (k === 'Backspace' || k === 'z' || k === 'Z') { if (!ev.repeat) undo(); }
    else if (k === '0') $('reset').onclick();
    else if (k === 's' || k === 'S') { v.smooth = !v.smooth; draw(); }
    else if (k === '+' || k === '=') zoomBy(1);
    else if (k === '-') zoomBy(-1);
    else if (slider) return;
    else if (k === 'ArrowUp') look(v.level - s, v.width, v.zoom);
    else if (k === 'ArrowDown') look(v.level + s, v.width, v.zoom);
    else if (k === 'ArrowLeft') look(v.level, v.width - s, v.zoom);
    else if (k === 'ArrowRight') look(v.level, v.width + s, v.zoom);
    else return;
    ev.preventDefault();
  }

  load();
  if (!store.view) store.view = view0();
  wire();
  home_(message);
})();
