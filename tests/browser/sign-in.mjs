// Sign-in by OpenID Connect at the provider `oidc-provider`: people in a browser, programs by access tokens.
//
//     node sign-in.mjs COMMAND BROWSER PICTURES      where COMMAND is the example `update_service`
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';
import { audited, start, tell } from './harness.mjs';

const [, , command, executablePath, pictures] = process.argv;
const people = {
  ada: { name: 'Ada Lovelace', roles: ['device-engineer'], tenants: ['demo'] },
  eve: { name: 'Eve', roles: [], tenants: [] },
};

// The provider listens first, since the service is told its address; it knows the service's address once that listens.
let handle = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const folder = mkdtempSync(join(tmpdir(), 'fhir-devices-sign-in-'));
const settings = join(folder, 'oidc');
writeFileSync(settings, `issuer = ${issuer}
client-id = device-updates
client-secret = a-secret-of-this-test
audience = https://updates.example
scope = openid profile rights
role device-engineer = read, upload, operate
`);
const service = spawn(command, ['--listen', '127.0.0.1:0', '--log', 'warn', '--oidc', settings], { stdio: ['ignore', 'pipe', 'inherit'] });
const lines = createInterface({ input: service.stdout });
const first = await new Promise((done) => lines.once('line', done));
const base = first.replace('listening on ', '');
assert.match(base, /^http:/);

const clients = [
  { client_id: 'device-updates', client_secret: 'a-secret-of-this-test', redirect_uris: [`${base}/sign-in/callback`], grant_types: ['authorization_code'], response_types: ['code'] },
  { client_id: 'gateway', client_secret: 'another-secret-of-this-test', redirect_uris: [], grant_types: ['client_credentials'], response_types: [] },
];
const provider = new Provider(issuer, {
  clients,
  claims: { openid: ['sub'], profile: ['name'], rights: ['roles', 'tenants'] },
  cookies: { keys: ['a key of this test'] },
  pkce: { required: () => true },
  extraTokenClaims: () => ({ tenants: ['demo'] }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, audience) => ({ audience, scope: 'system/Device.read system/*.read', accessTokenFormat: 'jwt', accessTokenTTL: 300 }),
    },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
});
provider.on('server_error', (ctx, error) => console.error(error));
handle = provider.callback();

const { open, check, end } = await start(executablePath, base, pictures);

async function signInAs(page, login) {
  await page.waitForURL(`${issuer}/interaction/**`);
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForSelector('text=Continue');
  await page.click('button[type=submit]');
}

async function person(size) {
  const { page, context, close } = await open(size, audited);
  await page.goto(`${base}/demo/pages/devices?q=Pulse`);
  await signInAs(page, 'ada');
  await page.waitForURL(`${base}/demo/pages/devices?q=Pulse`);
  await page.waitForSelector('text=Signed in as Ada Lovelace');
  await check(page, `signed-in-${size}`);
  const session = (await context.cookies(base)).find((cookie) => cookie.name === 'session');
  assert.deepEqual([session.httpOnly, session.sameSite], [true, 'Lax']);
  // A form of the page is taken: its author is in the audit record.
  await page.goto(`${base}/demo/pages/send?device=infusion-pump-7`);
  await page.check('input[value=pump-lvp]');
  await page.fill('#version', size === 'desk' ? '7.1' : '7.2');
  await page.setInputFiles('#file', { name: 'pump.bin', mimeType: 'application/octet-stream', buffer: Buffer.from(size) });
  await page.click('button.primary');
  await page.waitForSelector('.answer.good');
  const records = await (await page.request.get(`${base}/demo/audit?_count=100`)).text();
  assert.match(records, /"ada"/);
  // Another tenant is not hers.
  await page.goto(`${base}/?tenant=other`);
  assert.match(await page.textContent('main'), /other/);
  assert.equal((await page.request.get(`${base}/other/fhir/Device`)).status(), 403);
  await page.goto(`${base}/demo/pages/devices`);
  await page.click('text=Sign out');
  await page.waitForSelector('h1:has-text("Signed out")');
  await check(page, `signed-out-${size}`);
  assert.equal((await page.request.get(`${base}/demo/fhir/Device`)).status(), 401);
  await close();
}

async function without_rights() {
  const { page, close } = await open('desk', audited);
  await page.goto(`${base}/`);
  await signInAs(page, 'eve');
  await page.waitForURL(`${base}/`);
  assert.match(await page.textContent('main'), /You have no access to this tenant/);
  assert.equal(await page.locator('article.device').count(), 0);
  await check(page, 'without-rights');
  await close();
}

async function cancelled() {
  const { page, close } = await open('desk', audited);
  await page.goto(`${base}/`);
  await page.waitForURL(`${issuer}/interaction/**`);
  await page.click('text=Cancel');
  await page.waitForSelector('h1:has-text("Not signed in")');
  await check(page, 'not-signed-in');
  await close();
}

async function program() {
  const form = { grant_type: 'client_credentials', scope: 'system/Device.read', resource: 'https://updates.example' };
  const authorization = 'Basic ' + Buffer.from('gateway:another-secret-of-this-test').toString('base64');
  const answer = await fetch(`${issuer}/token`, { method: 'POST', headers: { authorization }, body: new URLSearchParams(form) });
  const { access_token: token } = await answer.json();
  const ask = async (path, given = token) => (await fetch(base + path, { headers: { authorization: `Bearer ${given}` } })).status;
  assert.equal(await ask('/demo/fhir/Device'), 200);
  assert.equal(await ask('/demo/fhir/DeviceComponent'), 403);
  assert.equal(await ask('/demo/updates'), 403);
  assert.equal(await ask('/other/fhir/Device'), 403);
  const [head, claims, signature] = token.split('.');
  const more = JSON.parse(Buffer.from(claims, 'base64url'));
  const forged = [head, Buffer.from(JSON.stringify({ ...more, scope: 'system/*.*' })).toString('base64url'), signature].join('.');
  assert.equal(await ask('/demo/fhir/Device', forged), 401);
}

try {
  for (const size of ['desk', 'phone']) {
    await person(size);
    tell(`signing in and out, ${size}`);
  }
  await without_rights();
  tell('somebody without rights');
  await cancelled();
  tell('a sign-in that is cancelled');
  await program();
  tell('a program with scopes');
} finally {
  await end();
  service.kill();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
