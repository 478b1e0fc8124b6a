/** An endpoint that has ended is reached for what was committed before, and is forgotten once that is settled. */
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
let settled = 0n;
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
  const router = { pauseChanged: () => undefined, endLane: () => undefined };
  lanes = endpointLanes(service, router, () => settled);
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

test('until all before its end is settled, and no longer', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 4; n++) ids.push((await addEndpoint(database, randomUUID())).id);
  await service.readNow(pool);
  const reached = () => Promise.all(ids.map(async (id) => (await service.targetOf(id)) !== undefined));
  settled = 100n;
  ids.slice(0, 2).forEach((id, n) => end(id, 200n + BigInt(n) * 100n)); // at 200 and 300
  expect(await reached()).toEqual([true, true, true, true]);
  settled = 250n;
  end(ids[2] ?? '', 400n);
  expect(await reached()).toEqual([false, true, true, true]);
  settled = 400n; // the end of the transaction before the last end, where that one begins
  end(ids[3] ?? '', 500n);
  expect(await reached()).toEqual([false, false, true, true]);
});

test('one that ended, was enabled and ended again is kept for its last end', async () => {
  const { id } = await addEndpoint(database, randomUUID());
  const { id: other } = await addEndpoint(database, randomUUID());
  const { id: last } = await addEndpoint(database, randomUUID());
  await service.readNow(pool);
  settled = 100n;
  const known = end(id, 200n);
  end(other, 300n);
  service.directory.apply(changeOf({ ...known, state: 'enabled' }, 350n));
  end(id, 400n);
  settled = 350n;
  end(last, 500n);
  expect(await service.targetOf(id)).toMatchObject({ url: 'https://hooks.example.com/in' });
  expect(await service.targetOf(other)).toBeUndefined();
});
