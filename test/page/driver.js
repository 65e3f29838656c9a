// driver.js: what scripts that drive the page of a reader study use (test/cli_reader.sh adds one to
// the page). Each say() is a line of the result that the test looks for.
var out = document.getElementById('result');
var $ = function (id) { return document.getElementById(id); };
function say(what, x) { out.textContent += what + '=' + x + '\n'; }
function press(k, more) {
  var o = more || {};
  o.key = k;
  o.bubbles = true;
  o.cancelable = true;
  document.body.dispatchEvent(new KeyboardEvent('keydown', o));
}
function wait(ms) { return new Promise(function (r) { setTimeout(r, ms); }); }
function reader(x) {
  $('code').value = x;
  $('code').dispatchEvent(new Event('input'));
}
function grey() {
  var c = $('image');
  return c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0];
}
function turn() {
  return new Promise(function (r) {
    var m = new MessageChannel();
    m.port1.onmessage = r;
    m.port2.postMessage(0);
  });
}
// Reading takes real time, which the browser's virtual clock does not wait for.
async function file(text, name) {
  var d = new DataTransfer(), n = 0;
  d.items.add(new File([text], name));
  $('message').textContent = '';
  $('file').files = d.files;
  $('file').dispatchEvent(new Event('change'));
  while (!$('message').textContent && n++ < 200000) await turn();
}
window.onerror = function (m) { say('error', m); };
