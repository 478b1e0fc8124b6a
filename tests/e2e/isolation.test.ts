import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { EventReceiver } from './event-receiver.ts';
import { FirstArrivals, OutageLoad } from './outage-load.ts';
import { RunningWalpost } from './running-walpost.ts';
import { SlotWatch } from './slot-watch.ts';

const SECONDS = process.env['WALPOST_LONG'] === '1' ? 60 : 10;
const PER_SECOND = 1_000;
const PARK_AFTER_MS = 1_000;
const TIMEOUT_MS = 1_500;
/** A window, park_after, one attempt and one look at the lanes; then inserts and confirmations, as the machine allows. */
const SETTLED_AFTER_MS = 250 + PARK_AFTER_MS + TIMEOUT_MS + 250 + 3_000;

test('ten of 100 organizations hang: the other 90 get everything in order meanwhile, and the slot moves on', async () => {
  await using database = await createTestDatabase();
  const organizations = Array.from({ length: 100 }, () => randomUUID());
  const hanging = new Set<string>(organizations.slice(0, 10));
  const events = SECONDS * PER_SECOND;
  const random = seededRandom(1);
  const load = new OutageLoad({ organizations, writers: 2, events, milliseconds: SECONDS * 1_000, random });
  const wellArrivals = new FirstArrivals();
  const lateArrivals = new FirstArrivals();
  const unanswered: (() => void)[] = [];
  let open = true;
  await using receiver = await EventReceiver.start((batch) => {
    if (!hanging.has(batch.organization_id)) return wellArrivals.take(batch);
    if (!open) return lateArrivals.take(batch);
    return new Promise((resolve) => unanswered.push(() => resolve(503)));
  });
  await using relay = await RunningWalpost.start({
    database,
    sinks: { hook: receiver.sink() },
    config: { delivery: { park_after: `${PARK_AFTER_MS}ms`, timeout: `${TIMEOUT_MS}ms`, log: 'off' } },
  });

  const watch = new SlotWatch(database, 100);
  watch.start();
  await load.write(database);
  const of = (which: boolean): Map<string, number> =>
    new Map([...load.committed].filter(([id]) => hanging.has(id) === which));
  const well = of(false);
  await poll('all of the 90 has arrived', async () => wellArrivals.has(well) || undefined).catch(() => undefined); // told below
  await watch.stop();
  expect(wellArrivals.missing(well)).toEqual([]);
  expect(wellArrivals.faults).toEqual([]);
  expect(wellArrivals.repeated).toBe(0);
  expect(unanswered.length).toBeGreaterThan(hanging.size); // not one of them had an answer

  const age = Math.max(...watch.samples.map((sample) => sample.age));
  const bytes = Math.max(...watch.samples.map((sample) => sample.bytes));
  expect(watch.samples.length).toBeGreaterThan(SECONDS * 5);
  expect(age).toBeLessThan(SETTLED_AFTER_MS);

  open = false;
  for (const answer of unanswered) answer();
  const late = of(true);
  await poll('all of the ten has arrived', async () => lateArrivals.has(late) || undefined, 60_000).catch(
    () => undefined,
  );
  expect(lateArrivals.missing(late)).toEqual([]);
  expect(lateArrivals.faults).toEqual([]);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  console.log(
    `${events} events, ${wellArrivals.count} to the 90 while ${unanswered.length} requests of the ten had no answer; ` +
      `unconfirmed at most ${(bytes / 2 ** 20).toFixed(1)} MiB, ${age.toFixed(0)} ms of ${SETTLED_AFTER_MS}`,
  );
  expect((await relay.stop()).code).toBe(0);
}, 180_000);
