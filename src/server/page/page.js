'use strict';
const form = document.getElementById('send');
const answer = document.getElementById('answer');
const groups = [...form.Component.querySelectorAll('optgroup')];

// Only the components of the chosen device can be chosen.
function narrow() {
  for (const group of groups) {
    const other = group.dataset.device !== form.DeviceId.value;
    group.hidden = other;
    group.disabled = other;
  }
  const chosen = form.Component.selectedOptions[0];
  if (chosen && chosen.parentElement.disabled) form.Component.value = '';
}
form.DeviceId.addEventListener('change', narrow);
narrow();

function say(kind, lines) {
  answer.className = kind;
  answer.hidden = false;
  answer.replaceChildren(...lines.map((line) => {
    const p = document.createElement('p');
    p.textContent = line;
    return p;
  }));
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : whole + '.';
}

function problems(what, status, outcome) {
  const issues = (outcome && outcome.issue) || [];
  const lines = issues.map((issue) => sentence(issue.diagnostics || issue.code));
  return [what + ' (' + status + ').', ...lines];
}

// Shows the devices as they are by now.
async function refresh() {
  const page = await fetch(location.href);
  const fresh = new DOMParser().parseFromString(await page.text(), 'text/html').getElementById('fleet');
  if (fresh) document.getElementById('fleet').replaceWith(fresh);
}

// The same form sent again is the same update, until something in it is changed.
let key = null;
form.addEventListener('input', () => { key = null; });

form.addEventListener('submit', (event) => {
  event.preventDefault();
  key = key || Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const button = form.querySelector('button');
  const request = new XMLHttpRequest();
  request.open('POST', form.action);
  request.setRequestHeader('Idempotency-Key', key);
  request.upload.onprogress = (at) => {
    if (at.lengthComputable) say('busy', ['Sending: ' + Math.floor(100 * at.loaded / at.total) + ' %']);
  };
  request.onloadend = async () => {
    button.disabled = false;
    let body = null;
    try { body = JSON.parse(request.responseText); } catch { /* no answer, or none of ours */ }
    if (request.status !== 200 && request.status !== 201) {
      say('bad', request.status ? problems('The update was not taken', request.status, body) : ['The service could not be reached.']);
      return;
    }
    const name = (body.type && body.type.text) || body.id;
    const version = request.getResponseHeader('ETag') || '';
    say('good', [
      request.status === 201 ? 'The update is now available for ' + name + '.' : 'This update had been taken before.',
      'DeviceComponent/' + body.id + ' is in version ' + version.replace(/[^0-9]/g, '') + '.',
    ]);
    await refresh();
  };
  button.disabled = true;
  say('busy', ['Sending…']);
  request.send(new FormData(form));
});

document.addEventListener('click', async (event) => {
  const { withdraw, restore } = event.target.dataset;
  if (!withdraw && !restore) return;
  const what = withdraw ? 'withdrawn' : 'made current again';
  const reason = prompt('Why is the update ' + what + '? The reason stays in the records, and names no patient.');
  if (reason === null) return;
  const query = reason.trim() ? '?reason=' + encodeURIComponent(reason.trim()) : '';
  try {
    const reply = withdraw
      ? await fetch(withdraw + query, { method: 'DELETE' })
      : await fetch(restore + '/make-current' + query, { method: 'POST' });
    const body = await reply.json();
    if (reply.ok) say('good', ['The update is ' + what + '.', 'Its records stay at ' + body.audit + '.']);
    else say('bad', problems('The update was not ' + what, reply.status, body));
    await refresh();
  } catch {
    say('bad', ['The service could not be reached.']);
  }
});
