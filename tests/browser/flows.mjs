// The flows of the pages for people, in a browser: `node flows.mjs ADDRESS BROWSER PICTURES`.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { audited, start, tell } from './harness.mjs';

const [, , base, executablePath, pictures] = process.argv;
const { open, check, end } = await start(executablePath, base, pictures);

const file = (name, bytes) => ({ name, mimeType: 'application/octet-stream', buffer: bytes });

async function fleet(size) {
  const { page, close } = await open(size, audited);
  await page.goto(`${base}/?tenant=demo`);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  await check(page, `fleet-${size}`);
  await page.fill('#q', 'Pulse');
  await page.click('text=Search >> nth=-1');
  assert.equal(await page.locator('article.device').count(), 1);
  assert.match(page.url(), /\/demo\/pages\/devices\?q=Pulse/);
  await page.goto(`${base}/demo/pages/devices?manufacturer=acme&status=active&sort=-updated`);
  assert.equal(await page.locator('article.device').count(), 1);
  await check(page, `filters-${size}`);
  await page.click('article.device h2 a');
  await page.waitForSelector('#versions');
  await check(page, `device-${size}`);
  await page.goto(`${base}/demo/pages/devices/nobody`);
  assert.match(await page.textContent('#answer'), /There is nothing here/);
  await check(page, `missing-${size}`);
  await close();
}

async function send(size, number) {
  const { page, close } = await open(size, audited);
  await page.goto(`${base}/demo/pages/devices`);
  await page.click('article.device:has-text("infusion-pump-7") >> text=Send an update');
  await page.waitForSelector('form[data-send]');
  assert.equal(await page.locator('input[name=Component]:checked').count(), 0);
  await check(page, `send-${size}`);
  await page.click('button.primary');
  assert.equal(await page.evaluate(() => document.querySelector('input[name=Component]').validity.valueMissing), true);
  await page.check('input[value=pump-lvp]');
  await page.fill('#version', '1.0');
  await page.waitForSelector('#before >> text=is lower than');
  await page.fill('#version', `5.${number}.0`);
  await page.waitForSelector('#before >> text=is higher than');
  const bytes = randomBytes(3_000_001);
  const digest = createHash('sha256').update(bytes).digest('hex');
  await page.fill('#sha256', '0'.repeat(64));
  await page.setInputFiles('#file', file('pump.bin', bytes));
  await page.waitForSelector(`[data-digest] >> text=${digest}`);
  await page.click('button.primary');
  await page.waitForSelector('.answer.bad >> text=Nothing was sent');
  await page.fill('#sha256', digest.toUpperCase());
  await page.click('button.primary');
  await page.waitForSelector('.answer.good');
  assert.match(await page.textContent('.answer'), new RegExp(digest));
  await page.waitForSelector('#before >> text=takes the place of');
  await check(page, `sent-${size}`);
  // The same version with another file is refused, in words and with what to do.
  await page.fill('#sha256', '');
  await page.setInputFiles('#file', file('other.bin', randomBytes(70)));
  await page.click('button.primary');
  await page.waitForSelector('.answer.bad');
  assert.match(await page.textContent('.answer'), /Another file of this version was sent before.*tick/s);
  await check(page, `refused-${size}`);
  // Dropped instead of chosen.
  const dropped = await page.evaluateHandle(() => { const data = new DataTransfer(); data.items.add(new File(['dropped bytes'], 'dropped.bin')); return data; });
  await page.dispatchEvent('[data-drop]', 'drop', { dataTransfer: dropped });
  await page.waitForSelector(`[data-digest] >> text=${createHash('sha256').update('dropped bytes').digest('hex')}`);
  await close();
}

async function cancel() {
  const { page, context, close } = await open('desk');
  await page.goto(`${base}/demo/pages/send?device=infusion-pump-7`);
  await page.check('input[value=pump-syringe]');
  await page.fill('#version', '7.0');
  await page.setInputFiles('#file', file('large.bin', randomBytes(24 << 20)));
  await page.waitForSelector('[data-digest] >> text=SHA-256 ');
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 2 << 20 });
  await page.click('button.primary');
  await page.waitForSelector('.answer.busy >> text=/Sent .* of .*, .* a second/');
  await page.click('.answer >> text=Cancel');
  await page.waitForSelector('.answer >> text=Cancelled');
  await close();
}

async function without_script() {
  const { page, close } = await open('phone', { javaScriptEnabled: false });
  await page.goto(`${base}/demo/pages/send?device=pulse-oximeter-3`);
  await page.check('input[value=oximeter-vmd]');
  await page.fill('#version', '2.0.0');
  await page.click('text=Say what will happen');
  await page.waitForSelector('#before >> text=is higher than');
  await page.setInputFiles('#file', file('oximeter.bin', randomBytes(5_000)));
  await page.click('button.primary');
  await page.waitForSelector('#answer.good >> text=is now available for');
  await page.click('text=Look at the update');
  await page.click('text=Withdraw');
  await page.fill('#why', 'sent by mistake');
  await page.click('button.primary');
  await page.waitForSelector('.badge >> text=withdrawn');
  await close();
}

async function updates(size) {
  const { page, close } = await open(size, audited);
  await page.goto(`${base}/demo/pages/updates?state=available&device=infusion-pump-7`);
  await check(page, `updates-${size}`);
  await page.click('li.card h2 a');
  await page.waitForSelector('.timeline');
  await check(page, `update-${size}`);
  await page.click('a[data-dialog]:has-text("Withdraw")');
  await page.waitForSelector('dialog[open] >> text=This cannot be undone');
  await check(page, `dialog-${size}`);
  await page.click('dialog button.primary');
  assert.equal(await page.evaluate(() => document.querySelector('dialog #why').validity.valueMissing), true);
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
  assert.match(await page.evaluate(() => document.activeElement.textContent), /Withdraw/);
  await page.click('a[data-dialog]:has-text("Withdraw")');
  await page.fill('dialog #why', 'it loses alarms');
  await page.click('dialog button.primary');
  await page.waitForSelector('.badge >> text=withdrawn');
  assert.match(await page.textContent('.timeline'), /it loses alarms/);
  await page.goto(`${base}/demo/pages/updates?state=superseded`);
  if (await page.locator('li.card').count()) {
    await page.click('li.card h2 a');
    await page.click('a[data-dialog]:has-text("Make current")');
    await page.fill('dialog #why', 'the later one is withdrawn');
    await page.click('dialog button.primary');
    await page.waitForSelector('.badge >> text=available');
  }
  await close();
}

async function rollouts(size, number) {
  const { page, close } = await open(size, audited);
  await page.goto(`${base}/demo/pages/releases`);
  await check(page, `releases-${size}`);
  await page.fill('#name', `pump-os-${size}`);
  await page.fill('#version', `9.${number}.0`);
  await page.fill('#sequence', String(900 + number));
  await page.selectOption('#level', 'mds');
  await page.setInputFiles('#file', file('os.bin', randomBytes(20_000)));
  await page.click('text=Make the release');
  await page.waitForSelector('.badge >> text=released');
  await check(page, `release-${size}`);
  await page.click('text=Roll it out');
  await page.waitForSelector('#preview >> text=It is for');
  await check(page, `plan-${size}`);
  await page.fill('#first', '100');
  await page.click('text=Make the rollout');
  await page.waitForSelector('.badge >> text=running');
  await check(page, `rollout-${size}`);
  // A device proves the version, and the page shows it without being loaded again.
  const device = 'pulse-oximeter-3';
  let offer;
  while (!offer) {
    offer = (await (await page.request.get(`${base}/demo/devices/${device}/offers`)).json()).offers[0];
    if (!offer) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal((await page.request.get(offer.files[0].link)).status(), 200);
  const data = { kind: 'versions', restarted: true, items: [{ component: 'oximeter-mds', version: `9.${number}.0` }] };
  assert.equal((await page.request.post(`${base}/demo/devices/${device}/reports`, { data })).status(), 200);
  await page.waitForSelector('text=Components that have it: 1');
  await check(page, `live-${size}`);
  await page.click('text=Were given the file');
  await page.waitForSelector('.badge >> text=succeeded');
  await check(page, `already-out-${size}`);
  await page.goBack();
  for (const [action, then] of [['Pause', 'paused'], ['Resume', 'running'], ['Cancel', 'cancelled']]) {
    await page.click(`a[data-dialog]:has-text("${action}")`);
    await page.fill('dialog #why', 'a test');
    await page.click('dialog button.primary');
    await page.waitForSelector(`.badge:text-is("${then}")`);
  }
  await page.goto(`${base}/demo/pages/rollouts?ended=true`);
  await check(page, `rollouts-${size}`);
  await close();
}

async function dark() {
  const { page, close } = await open('phone', { ...audited, colorScheme: 'dark' });
  for (const [name, path] of [['fleet', '/'], ['device', '/demo/pages/devices/infusion-pump-7'], ['send', '/demo/pages/send?device=infusion-pump-7'], ['updates', '/demo/pages/updates'], ['plan', '/demo/pages/rollouts/new'], ['rollouts', '/demo/pages/rollouts?ended=true']]) {
    await page.goto(base + path);
    await check(page, `${name}-dark`);
  }
  const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(back, 'rgb(16, 23, 28)');
  await close();
}

try {
  let number = 0;
  for (const size of ['desk', 'phone']) {
    number += 1;
    await fleet(size);
    tell(`the fleet, ${size}`);
    await send(size, number);
    tell(`sending, ${size}`);
    await updates(size);
    tell(`updates, ${size}`);
    await rollouts(size, number);
    tell(`rollouts, ${size}`);
  }
  await cancel();
  tell('cancelling');
  await without_script();
  tell('all of it without JavaScript');
  await dark();
  tell('dark mode');
} finally {
  await end();
}
