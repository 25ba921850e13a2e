'use strict';
const ask = (address, options) => fetch(address, { headers: { Accept: 'text/html' }, ...options });
const parse = (text) => new DOMParser().parseFromString(text, 'text/html');

// SHA-256 of a file, piece by piece: the browser's own digest wants the whole file in memory at once.
const K = [];
const START = [];
for (let n = 2; K.length < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
  if (!prime) continue;
  const part = (root) => ((root - Math.floor(root)) * 0x100000000) >>> 0;
  if (START.length < 8) START.push(part(Math.sqrt(n)));
  K.push(part(Math.cbrt(n)));
}
class Sha256 {
  constructor() { this.state = Uint32Array.from(START); this.rest = new Uint8Array(0); this.length = 0; this.words = new Uint32Array(64); }
  update(bytes) {
    this.length += bytes.length;
    if (this.rest.length) {
      const whole = new Uint8Array(this.rest.length + bytes.length);
      whole.set(this.rest);
      whole.set(bytes, this.rest.length);
      bytes = whole;
    }
    const end = bytes.length - bytes.length % 64;
    for (let at = 0; at < end; at += 64) this.block(bytes, at);
    this.rest = bytes.slice(end);
  }
  block(bytes, at) {
    const { state, words } = this;
    for (let i = 0; i < 16; i++, at += 4) words[i] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = words[i - 15], y = words[i - 2];
      const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3, s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10;
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7), s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
      const one = h + s1 + (e & f ^ ~e & g) + K[i] + words[i] | 0, two = s0 + (a & b ^ a & c ^ b & c) | 0;
      h = g; g = f; f = e; e = d + one | 0; d = c; c = b; b = a; a = one + two | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] += value; });
  }
  finish() {
    const bits = this.length * 8, tail = new Uint8Array((this.rest.length < 56 ? 64 : 128) - this.rest.length);
    tail[0] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(bits / 0x100000000));
    view.setUint32(tail.length - 4, bits >>> 0);
    this.update(tail);
    return Array.from(this.state, (word) => word.toString(16).padStart(8, '0')).join('');
  }
}
async function digestOf(file, told, cancelled) {
  const hash = new Sha256();
  for (let at = 0; at < file.size; at += 1 << 20) {
    if (cancelled()) return null;
    hash.update(new Uint8Array(await file.slice(at, at + (1 << 20)).arrayBuffer()));
    told(Math.min(at + (1 << 20), file.size));
  }
  return hash.finish();
}

const size = (bytes) => bytes < 1024 ? bytes + ' bytes' : bytes < 1048576 ? (bytes / 1024).toFixed(1) + ' KiB' : (bytes / 1048576).toFixed(1) + ' MiB';
const element = (name, text) => { const made = document.createElement(name); made.textContent = text; return made; };

function sending(form) {
  const answer = form.parentElement.querySelector('.answer'), before = form.querySelector('.before');
  const button = form.querySelector('button.primary'), file = form.elements.File, shown = form.querySelector('[data-digest]');
  let digest = null, work = 0, key = null, timer = 0;

  function say(kind, ...nodes) {
    answer.className = 'answer ' + kind;
    answer.hidden = false;
    answer.replaceChildren(...nodes);
  }
  function cancelButton(stop) {
    const cancel = element('button', 'Cancel');
    cancel.type = 'button';
    cancel.addEventListener('click', stop);
    return cancel;
  }

  // What would happen is said by the service, before anything is sent.
  form.querySelectorAll('[data-check]').forEach((check) => { check.hidden = true; });
  async function look() {
    const data = new FormData(form), query = new URLSearchParams();
    for (const name of ['DeviceId', 'Component', 'Version', 'Sequence']) if (data.get(name)) query.set(name, data.get(name));
    if (!query.get('DeviceId') || !query.get('Component')) return;
    const reply = await ask(form.dataset.send + '?' + query).catch(() => null);
    const fresh = reply && reply.ok && parse(await reply.text()).getElementById('before');
    if (fresh) { before.replaceChildren(...fresh.childNodes); before.hidden = false; }
  }
  function narrow() {
    for (const group of form.querySelectorAll('optgroup')) group.hidden = group.disabled = group.dataset.device !== form.elements.DeviceId.value;
    const chosen = form.elements.Component.selectedOptions && form.elements.Component.selectedOptions[0];
    if (chosen && chosen.parentElement.disabled) form.elements.Component.value = '';
  }
  narrow();
  // The same form sent again is the same update, until something in it is changed.
  form.addEventListener('input', (event) => {
    key = null;
    if (event.target.name === 'DeviceId') narrow();
    clearTimeout(timer);
    timer = setTimeout(look, 300);
  });

  async function measure() {
    const mine = ++work, chosen = file.files[0];
    digest = null;
    if (!chosen) { shown.textContent = ''; return null; }
    const found = await digestOf(chosen, (done) => { if (mine === work) shown.textContent = 'SHA-256: ' + Math.floor(100 * done / chosen.size) + ' % read'; }, () => mine !== work);
    if (found === null || mine !== work) return null;
    digest = found;
    shown.textContent = size(chosen.size) + ', SHA-256 ' + digest;
    return digest;
  }
  file.addEventListener('change', measure);
  const drop = form.querySelector('[data-drop]');
  for (const kind of ['dragenter', 'dragover']) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add('over'); });
  for (const kind of ['dragleave', 'drop']) drop.addEventListener(kind, () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length !== 1) { say('bad', element('h1', 'One file at a time.'), element('p', 'Drop the one file of the update.')); return; }
    file.files = event.dataTransfer.files;
    key = null;
    measure();
  });

  form.addEventListener('submit', async (event) => {
    if (event.submitter && event.submitter.hasAttribute('data-check')) return;
    event.preventDefault();
    button.disabled = true;
    let stopped = false;
    say('busy', element('p', 'Reading the file\u2026'), cancelButton(() => { stopped = true; work++; }));
    if (!digest) await measure();
    const given = form.elements.Sha256.value.trim().toLowerCase();
    if (stopped || !digest) {
      button.disabled = false;
      say('busy', element('p', 'Nothing was sent.'));
      return;
    }
    if (given && given !== digest) {
      button.disabled = false;
      say('bad', element('h1', 'The file is not the one whose SHA-256 was given.'), element('p', 'Nothing was sent. Compare the digest with what the manufacturer says, or get the file again.'),
        element('p', 'The file has ' + digest + '.'));
      return;
    }
    key = key || Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
    const data = new FormData(form);
    data.set('Sha256', digest);
    // The file is the last part.
    const chosen = data.get('File');
    data.delete('File');
    data.append('File', chosen);
    const request = new XMLHttpRequest(), begun = performance.now(), bar = document.createElement('progress'), words = element('p', 'Sending\u2026');
    bar.max = 1;
    bar.setAttribute('aria-label', 'Sent');
    request.open('POST', button.formAction);
    request.setRequestHeader('Idempotency-Key', key);
    request.setRequestHeader('Accept', 'text/html');
    request.upload.onprogress = (at) => {
      const seconds = (performance.now() - begun) / 1000, rate = at.loaded / Math.max(seconds, 0.001);
      bar.value = at.total ? at.loaded / at.total : 0;
      words.textContent = 'Sent ' + size(at.loaded) + ' of ' + size(at.total) + ', ' + size(rate) + ' a second, ' + Math.ceil((at.total - at.loaded) / Math.max(rate, 1)) + ' s left';
    };
    request.onabort = () => { stopped = true; };
    request.onloadend = async () => {
      button.disabled = false;
      if (stopped) { say('busy', element('p', 'Cancelled. The update was not sent to its end; sending the same form again goes on with the same update.')); return; }
      const fresh = request.status && parse(request.responseText).getElementById('answer');
      if (!fresh) { say('bad', element('h1', 'The service could not be reached.'), element('p', 'Look at your connection, and send it again: the same update is not taken twice.')); return; }
      answer.className = fresh.className;
      answer.replaceChildren(...fresh.childNodes);
      answer.scrollIntoView({ block: 'nearest' });
      if (request.status < 300) { look(); refresh('fleet'); }
    };
    say('busy', bar, words, cancelButton(() => request.abort()));
    request.send(data);
  });
}
document.querySelectorAll('form[data-send]').forEach(sending);

// What a rollout would do is said again when its release or its scope has changed.
for (const form of document.querySelectorAll('form[data-preview]')) {
  form.addEventListener('change', async (event) => {
    if (!['release', 'scope'].includes(event.target.name) || !form.elements.release.value) return;
    const query = new URLSearchParams({ release: form.elements.release.value, scope: form.elements.scope.value });
    const reply = await ask(form.dataset.preview + '?' + query).catch(() => null);
    const fresh = reply && parse(await reply.text()).querySelector('#preview, #answer');
    if (fresh) document.getElementById('preview').replaceChildren(...fresh.childNodes);
  });
}

// A question is shown as a dialog; without this script it is a page.
document.addEventListener('click', async (event) => {
  const link = event.target.closest('a[data-dialog]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const reply = await ask(link.href).catch(() => null);
  const question = reply && parse(await reply.text()).querySelector('#question, #answer');
  if (!question) { location.assign(link.href); return; }
  const dialog = document.createElement('dialog');
  const title = question.querySelector('h1');
  if (title && title.id) dialog.setAttribute('aria-labelledby', title.id);
  dialog.append(question);
  dialog.addEventListener('click', (inside) => { if (inside.target.closest('[data-close]')) { inside.preventDefault(); dialog.close(); } });
  dialog.addEventListener('close', () => { dialog.remove(); link.focus(); });
  document.body.append(dialog);
  dialog.showModal();
});

// Shows a part of the page as it is by now.
async function refresh(id) {
  const old = document.getElementById(id);
  const reply = old && await ask(location.href).catch(() => null);
  const fresh = reply && reply.ok && parse(await reply.text()).getElementById(id);
  if (fresh) old.replaceWith(document.adoptNode(fresh));
}

// What goes on is asked for as a small document, and shown again where that has changed.
const live = document.querySelector('[data-live]');
if (live) {
  const address = live.dataset.live;
  // Whatever changed since the page was made is shown with the first answer.
  let last = '';
  setInterval(async () => {
    if (document.hidden || document.querySelector('dialog')) return;
    const reply = await fetch(address, { headers: { Accept: 'application/json' } }).catch(() => null);
    if (!reply || !reply.ok) return;
    const text = await reply.text();
    if (text !== last) await refresh('live');
    last = text;
  }, 2000);
}
