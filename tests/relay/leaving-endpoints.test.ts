/** An endpoint that has ended is reached for what is still to be sent to it, and is forgotten then. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import type { EndpointChange } from '../../src/endpoint.ts';
import type { KnownEndpoint } from '../../src/endpoints/directory.ts';
import { createLog } from '../../src/observe/log.ts';
import { createPool } from '../../src/postgres/pool.ts';
import type { EndpointLanes } from '../../src/endpoints/feed.ts';
import { endpointLanes } from '../../src/relay/endpoint-lanes.ts';
import { EndpointService } from '../../src/relay/endpoint-service.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { sampleEvent } from '../support/sample-event.ts';

let database: TestDatabase;
let pool: pg.Pool;
let service: EndpointService;
let underWay: Set<string>;
let lanes: EndpointLanes;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 1 });
  service = new EndpointService({
    config: configSchema.parse({
      database: { url: database.url },
      sinks: { hooks: { type: 'webhook', endpoints: true } },
      routes: [{ to: ['hooks'] }],
    }),
    clock: new ManualClock(),
    log: createLog({ level: 'error', format: 'json', destination: { write: () => undefined } }),
  });
  service.lead({ controlPool: pool });
  underWay = new Set();
  lanes = endpointLanes(service, { pauseChanged: () => undefined, endLane: () => undefined });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

/** The stream brings the end of the endpoint; what commits before `at` is still to be sent to it. */
function end(id: string, at: bigint): KnownEndpoint {
  const known = service.directory.find(id);
  if (!known) throw new Error(`there is no endpoint ${id}`);
  const change = changeOf({ ...known, state: 'disabled' }, at);
  service.directory.apply(change);
  lanes.ended(known, change, () => undefined);
  return known;
}

function changeOf(endpoint: KnownEndpoint, at: bigint): EndpointChange {
  const origin = { ...sampleEvent().origin, commitLsn: at };
  return { kind: 'endpoint_change', changeId: endpoint.changeId, renewsSecrets: false, endpoint, origin };
}

/** The round of every ten seconds. */
const round = (settled: bigint): void => service.forgetEnded(settled, { hasLane: ({ lane }) => underWay.has(lane) });
const isReached = async (id: string): Promise<boolean> => (await service.targetOf(id)) !== undefined;

async function addEndpoints(count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push((await addEndpoint(database, randomUUID())).id);
  await service.readNow(pool);
  return ids;
}

test('until all before its end is settled, and no longer, though no other ends', async () => {
  const ids = await addEndpoints(3);
  const reached = () => Promise.all(ids.map(isReached));
  ids.slice(0, 2).forEach((id, n) => end(id, 200n + BigInt(n) * 100n)); // at 200 and 300
  round(200n);
  expect(await reached()).toEqual([true, true, true]);
  round(250n);
  expect(await reached()).toEqual([false, true, true]);
  round(300n); // the end of the transaction before the last end, where that one begins
  expect(await reached()).toEqual([false, true, true]);
  round(301n);
  expect(await reached()).toEqual([false, false, true]);
});

test('as long as the router has its lane, however much is settled, and the others go', async () => {
  const [busy = '', idle = ''] = await addEndpoints(2);
  end(busy, 200n);
  end(idle, 300n);
  underWay.add(busy);
  round(1_000n);
  expect([await isReached(busy), await isReached(idle)]).toEqual([true, false]);
  underWay.delete(busy);
  round(1_000n);
  expect(await isReached(busy)).toBe(false);
});

test('one that ended, was enabled and ended again is kept for its last end', async () => {
  const [id = '', other = ''] = await addEndpoints(2);
  const known = end(id, 200n);
  end(other, 300n);
  service.directory.apply(changeOf({ ...known, state: 'enabled' }, 350n));
  end(id, 400n);
  round(350n);
  expect(await service.targetOf(id)).toMatchObject({ url: 'https://hooks.example.com/in' });
  expect(await isReached(other)).toBe(false);
});
