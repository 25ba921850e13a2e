// fhirclient of npm (SMART on FHIR) against a running service: node fhirclient.mjs BASE
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { createRequire } from 'node:module';
import { notified } from './hook.mjs';

const FHIR = createRequire(import.meta.url)('fhirclient');
const base = process.argv[2];
const client = FHIR({}, {}).client(base);
const device = (id, model = 'smart') => ({
  resourceType: 'Device', id, model, identifier: [{ system: 'urn:smart', value: id }],
});

// Create, conditionally too, update and patch.
const { id: _, ...bare } = device('smart-0');
const made = await client.create(bare);
assert.equal(made.meta.versionId, '1');
const again = await client.create(bare, { headers: { 'If-None-Exist': 'identifier=urn:smart|smart-0' } });
assert.equal(again.id, made.id);
for (const id of ['smart-1', 'smart-2', 'smart-3']) await client.update(device(id));
const patched = await client.patch('Device/smart-1', [{ op: 'add', path: '/lotNumber', value: 'L1' }]);
assert.equal(patched.lotNumber, 'L1');

// Searches, over all their pages, and back.
const all = await client.request('Device?identifier=urn:smart|&_count=2', { pageLimit: 0, flat: true });
assert.equal(all.length, 4);
const first = await client.request('Device?identifier=urn:smart|&_count=2');
const link = (bundle, relation) => bundle.link.find((one) => one.relation === relation)?.url;
const second = await client.request(link(first, 'next'));
const back = await client.request(link(second, 'previous'));
assert.deepEqual(back.entry.map((e) => e.resource.id), first.entry.map((e) => e.resource.id));

// References are resolved by the client itself.
await client.update({
  resourceType: 'DeviceComponent', id: 'smart-mds', identifier: { value: 'smart-mds' }, type: { text: 'MDS' },
  source: { reference: 'Device/smart-1' },
});
const resolved = await client.request('DeviceComponent/smart-mds', { resolveReferences: ['source'] });
assert.equal(resolved.source.lotNumber, 'L1');
const chained = await client.request('DeviceComponent?source:Device.model=smart', { flat: true });
assert.deepEqual(chained.map((one) => one.id), ['smart-mds']);

// Batches, validation, histories.
const bundle = (type, entry) => ({ resourceType: 'Bundle', type, entry });
const batch = bundle('batch', [{ request: { method: 'GET', url: 'Device/smart-1' } }, { request: { method: 'DELETE', url: 'Device/smart-3' } }]);
const answer = await client.request({ url: '', method: 'POST', body: JSON.stringify(batch), headers: { 'content-type': 'application/fhir+json' } });
assert.deepEqual(answer.entry.map((e) => e.response.status), ['200 OK', '204 No Content']);
const both = bundle('transaction', [
  { resource: device('smart-4'), request: { method: 'PUT', url: 'Device/smart-4' } },
  { request: { method: 'GET', url: 'Device/smart-1' } },
]);
const done = await client.request({ url: '', method: 'POST', body: JSON.stringify(both), headers: { 'content-type': 'application/fhir+json' } });
assert.deepEqual(done.entry.map((e) => e.response.status), ['201 Created', '200 OK']);
const valid = await client.request({
  url: 'Device/$validate', method: 'POST', body: JSON.stringify(bare), headers: { 'content-type': 'application/fhir+json' },
});
assert.equal(valid.issue[0].severity, 'information');
const history = await client.request('Device/_history?_count=1');
assert.deepEqual([history.entry[0].request.method, history.entry[0].request.url], ['PUT', 'Device/smart-4/_history/1']);

// A body that is compressed, which clients leave to what they stand on.
const compressed = await fetch(`${base}/Device/smart-1`, {
  method: 'PUT',
  headers: { 'content-type': 'application/fhir+json', 'content-encoding': 'gzip', 'accept-encoding': 'gzip' },
  body: gzipSync(JSON.stringify(device('smart-1', 'zipped'))),
});
assert.deepEqual([compressed.status, (await compressed.json()).model], [200, 'zipped']);

// A subscription.
await notified(async (subscription) => {
  const { id } = await client.create(subscription('Device?model=told'));
  await client.update(device('smart-2', 'told'));
  return {
    status: async () => (await client.request(`Subscription/${id}`)).status,
    end: () => client.delete(`Subscription/${id}`),
  };
});
