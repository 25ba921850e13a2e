// An endpoint that is told of changes by a Subscription.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

// Waits until it is told of a change. `subscribe` creates the Subscription and makes the change, and says how its status is
// read and how it ends.
export const notified = async (subscribe) => {
  let tell;
  const told = new Promise((resolve) => { tell = resolve; });
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(204).end();
      tell([request.method, request.headers['x-secret']]);
    });
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const subscription = (criteria) => ({
    resourceType: 'Subscription', status: 'requested', reason: 'a test', criteria,
    channel: { type: 'rest-hook', endpoint: `http://127.0.0.1:${server.address().port}/told`, header: ['X-Secret: s3cret'] },
  });
  const { status, end } = await subscribe(subscription);
  const late = setTimeout(() => tell(['nothing within 30 seconds']), 30_000);
  assert.deepEqual(await told, ['POST', 's3cret']);
  clearTimeout(late);
  assert.equal(await status(), 'active');
  await end();
  server.closeAllConnections();
  server.close();
};
