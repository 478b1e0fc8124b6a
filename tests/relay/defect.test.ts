/** A fault of walpost itself, thrown where no caller can catch it, ends the relay like any other error that ends it. */
import { randomUUID } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { LaneParking } from '../../src/router/lanes/parking.ts';
import { LaneResults } from '../../src/router/lanes/results.ts';
import { RouterAccounts } from '../../src/router/lanes/sink-accounts.ts';
import { SinkLanes } from '../../src/router/lanes/sink-lanes.ts';
import { SinkScheduler } from '../../src/router/lanes/sink-scheduler.ts';
import { Router } from '../../src/router/router.ts';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';

const repairs: (() => void)[] = [];
afterEach(() => {
  for (const repair of repairs.splice(0)) repair();
});

const broken = (): never => {
  throw new TypeError('x is undefined');
};

/** From now on the method throws, or does what it is told. */
function breakMethod<T extends object>(owner: T, name: keyof T & string, instead: () => unknown = broken): void {
  const original = owner[name];
  repairs.push(() => Object.assign(owner, { [name]: original }));
  Object.assign(owner, { [name]: instead });
}

test.each([
  ['when an event is accepted', 204, () => breakMethod(Router.prototype, 'accept')],
  ['when a window closes', 204, () => breakMethod(SinkScheduler.prototype, 'windowClosed')],
  ['when a batch comes back', 204, () => breakMethod(LaneResults.prototype, 'returned')],
  ['when events are parked', 503, () => breakMethod(RouterAccounts.prototype, 'parked')],
  ['when a parked lane is read', 503, () => breakMethod(LaneParking.prototype, 'read', async () => broken())],
  ['when transactions become visible', 204, () => breakMethod(SinkLanes.prototype, 'seen')],
] as const)('a fault %s ends the relay with DEFECT, and nothing is lost', async (_, status, plant) => {
  await using database = await createTestDatabase();
  await using log = await EventLog.start();
  const keep = log.receiver.onBatch;
  let isWell = status === 204;
  log.receiver.onBatch = (batch, body) => (isWell ? keep(batch, body) : status);
  const config = { delivery: { park_after: '100ms', quick_retries: 0, backoff: ['100ms'] } };
  await using relay = await RelayInProcess.start({ database, sinks: log.sinks, config });
  plant();
  const [row] = await database.query<{ id: string }>(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'a.b', '{"n": 1}')
     RETURNING event_id::text AS id`,
    [randomUUID()],
  );
  expect(await relay.ended).toMatchObject({ code: 'DEFECT', policy: 'fatal', message: /x is undefined/ });
  // It was no end in good order: an event that causes the fault at each start is found by the crash guard.
  expect(await database.query('SELECT starts FROM walpost.cursor')).toEqual([{ starts: 1 }]);

  for (const repair of repairs.splice(0)) repair();
  isWell = true;
  log.clear();
  await using _next = await RelayInProcess.start({ database, sinks: log.sinks, config });
  await log.has([row?.id ?? '']);
});
