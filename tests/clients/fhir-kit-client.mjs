// fhir-kit-client 1.x against a running service: node fhir-kit-client.mjs BASE
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import Client from 'fhir-kit-client';
import { notified } from './hook.mjs';

const client = new Client({ baseUrl: process.argv[2] });
const device = (serial, model = 'kit') => ({
  resourceType: 'Device', model, identifier: [{ system: 'urn:kit', value: serial }],
});
const component = (id, source) => ({
  resourceType: 'DeviceComponent', id, identifier: { value: id }, type: { text: 'MDS' }, source: { reference: source },
});
const entry = (method, url, resource) => ({ request: { method, url }, ...(resource && { resource }) });
const ids = (bundle) => (bundle.entry ?? []).filter((e) => e.search?.mode === 'match').map((e) => e.resource.id);

assert.equal((await client.capabilityStatement()).fhirVersion, '3.0.2');

// Create, conditionally too.
const made = await client.create({ resourceType: 'Device', body: device('1') });
assert.ok(made.id && made.meta.versionId === '1');
const once = { resourceType: 'Device', body: device('1'), headers: { 'If-None-Exist': 'identifier=urn:kit|1' } };
assert.equal((await client.create(once)).id, made.id);

const upserted = { resourceType: 'Device', searchParams: { identifier: 'urn:kit|1' }, body: device('1') };
assert.equal((await client.update(upserted)).id, made.id);

// Patch, update and delete.
const JSONPatch = [{ op: 'replace', path: '/model', value: 'patched' }];
assert.equal((await client.patch({ resourceType: 'Device', id: made.id, JSONPatch })).model, 'patched');
const updated = await client.update({ resourceType: 'Device', id: made.id, body: { ...device('1', 'new'), id: made.id } });
assert.equal(updated.meta.versionId, '4');
assert.equal((await client.vread({ resourceType: 'Device', id: made.id, version: '3' })).model, 'patched');

// Batches and transactions, with a `total` as some clients write it.
const batch = [2, 3, 4, 5].map((at) => entry('PUT', `Device/kit-${at}`, { ...device(`${at}`), id: `kit-${at}` }));
const answers = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', total: 4, entry: batch } });
assert.deepEqual(answers.entry.map((e) => e.response.status), Array(4).fill('201 Created'));
const urn = 'urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0';
const both = [
  { fullUrl: urn, ...entry('POST', 'Device', device('6')) },
  entry('PUT', 'DeviceComponent/kit-mds', component('kit-mds', urn)),
];
await client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: both } });
const mds = await client.read({ resourceType: 'DeviceComponent', id: 'kit-mds' });
assert.match(mds.source.reference, /^Device\//);

// Searches in every way, pages back and forth.
const searchParams = { identifier: 'urn:kit|', _count: 2, _sort: '-identifier' };
const first = await client.resourceSearch({ resourceType: 'Device', searchParams });
const second = await client.nextPage({ bundle: first });
const again = await client.prevPage({ bundle: second });
assert.deepEqual(ids(again), ids(first));
assert.equal(new Set([...ids(first), ...ids(second)]).size, 4);
const posted = await client.resourceSearch({
  resourceType: 'Device', searchParams, options: { postSearch: true },
});
assert.deepEqual(ids(posted), ids(first));
const chained = await client.search({
  resourceType: 'DeviceComponent', searchParams: { 'source.identifier': 'urn:kit|6', _include: 'DeviceComponent:source' },
});
assert.deepEqual([ids(chained), chained.entry.length], [['kit-mds'], 2]);
const has = await client.search({ resourceType: 'Device', searchParams: { '_has:DeviceComponent:source:identifier': 'kit-mds' } });
assert.equal(ids(has).length, 1);
const system = await client.systemSearch({ searchParams: { _id: 'kit-2,kit-mds' } });
assert.deepEqual(ids(system), ['kit-2', 'kit-mds']);
const unknown = await client.search({ resourceType: 'Device', searchParams: { colour: 'red', _id: 'kit-2' } });
assert.equal(unknown.entry.at(-1).search.mode, 'outcome');

// Histories.
const own = await client.resourceHistory({ resourceType: 'Device', id: made.id });
assert.deepEqual(own.entry.map((e) => e.request.method), ['PUT', 'PUT', 'PUT', 'POST']);
await client.delete({ resourceType: 'Device', id: 'kit-5' });
const ofType = await client.typeHistory({ resourceType: 'Device' });
assert.equal(ofType.entry[0].request.method, 'DELETE');
assert.ok((await client.systemHistory()).entry.length > ofType.entry.length);

// Operations.
const outcome = await client.operation({ name: 'validate', resourceType: 'Device', input: device('9') });
assert.equal(outcome.issue[0].severity, 'information');
const wrong = await client.operation({ name: 'validate', resourceType: 'Device', input: { resourceType: 'Device', status: 'x' } });
assert.equal(wrong.issue[0].severity, 'error');

// Bodies that are compressed, which this client leaves to what it stands on.
const compressed = await fetch(`${process.argv[2]}/Device/kit-2`, {
  method: 'PUT',
  headers: { 'content-type': 'application/fhir+json', 'content-encoding': 'gzip', 'accept-encoding': 'gzip' },
  body: gzipSync(JSON.stringify({ ...device('2', 'zipped'), id: 'kit-2' })),
});
assert.deepEqual([compressed.status, (await compressed.json()).model], [200, 'zipped']);

// A subscription.
await notified(async (subscription) => {
  const { id } = await client.create({ resourceType: 'Subscription', body: subscription('Device?model=told') });
  await client.update({ resourceType: 'Device', id: 'kit-3', body: { ...device('3', 'told'), id: 'kit-3' } });
  return {
    status: async () => (await client.read({ resourceType: 'Subscription', id })).status,
    end: () => client.delete({ resourceType: 'Subscription', id }),
  };
});
