import { Webhook } from 'standardwebhooks';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { DemoRecord } from '../../src/demo/demo-record.ts';
import { Receiver } from '../../src/demo/receiver.ts';

const SECRET = `whsec_${Buffer.from('a secret of the demo').toString('base64')}`;
const ORGANIZATION = 'organization';
const open: Receiver[] = [];

afterEach(async () => {
  for (const receiver of open.splice(0)) await receiver.close();
});

async function start() {
  const record = new DemoRecord([ORGANIZATION]);
  const receiver = new Receiver({ record, clock: systemClock, secret: SECRET });
  open.push(receiver);
  return { record, url: await receiver.listen() };
}

const body = JSON.stringify({
  events: [
    {
      event_id: 'e1',
      organization_id: ORGANIZATION,
      committed_at: new Date(Date.now() - 100).toISOString(),
      payload: { number: 1 },
    },
  ],
});

function signed(secret: string, sent = new Date()): Record<string, string> {
  return {
    'webhook-id': 'batch',
    'webhook-timestamp': String(Math.floor(sent.getTime() / 1000)),
    'webhook-signature': `v1,AAAA ${new Webhook(secret).sign('batch', sent, body)}`,
  };
}

test('records what the reference library signed, with its latency', async () => {
  const { record, url } = await start();
  const response = await fetch(url, { method: 'POST', headers: signed(SECRET), body });
  expect(response.status).toBe(204);
  expect(record.arrivals).toEqual([{ eventId: 'e1', organizationId: ORGANIZATION, number: 1 }]);
  expect(record.latencies.quantile(1)).toBeGreaterThanOrEqual(99);
  expect(record.refused).toBe(0);
});

test.each([
  ['no signature', {}],
  ['the signature of another secret', signed(`whsec_${Buffer.from('another').toString('base64')}`)],
  ['an old signature', signed(SECRET, new Date(Date.now() - 3_600_000))],
])('refuses %s', async (_name, headers) => {
  const { record, url } = await start();
  const response = await fetch(url, { method: 'POST', headers, body });
  expect(response.status).toBe(401);
  expect(record.arrivals).toEqual([]);
  expect(record.refused).toBe(1);
});
