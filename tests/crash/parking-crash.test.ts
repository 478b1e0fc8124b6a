import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RunningWalpost, type RunOptions } from '../e2e/running-walpost.ts';
import { disorder } from '../relay/arrivals.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';

const script = join(import.meta.dirname, 'relay-child.ts');
const ORGANIZATIONS = [randomUUID(), randomUUID(), randomUUID()];
const EACH = 40;

let database: TestDatabase;
let log: EventLog;
beforeEach(async () => {
  database = await createTestDatabase();
  log = await EventLog.start();
});
afterEach(async () => {
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const options = (env: Record<string, string> = {}): RunOptions => ({
  database,
  sinks: log.sinks,
  config: {
    batching: { window: '20ms', max_events: 7 },
    delivery: { park_after: '300ms', breaker: { reset_after: '300ms' } },
  },
  cli: { script, env },
});

/** Each organization's events in transactions of their own, in turn. */
async function publish(from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 1) {
    for (const organization of ORGANIZATIONS) {
      await database.query(
        `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'a.b', jsonb_build_object('n', $2::int))`,
        [organization, n],
      );
    }
  }
}

const parked = async (): Promise<number> => (await database.query('SELECT FROM walpost.parked')).length;

test.each([
  ['parking', 1],
  ['parking', 3],
  ['parked, not settled', 1],
  ['parked, not settled', 3],
  ['delivered, not removed', 1],
  ['delivered, not removed', 4],
])(
  'killed at the moment "%s", the %i. time: nothing is lost, and the order stays',
  async (name, time) => {
    {
      await using first = await RunningWalpost.start(options());
      expect((await first.stop()).code).toBe(0);
    }
    const keep = log.receiver.onBatch;
    let away = true;
    log.receiver.onBatch = (batch, body) => (away ? 503 : keep(batch, body));
    {
      const env = { TEST_FAILPOINT: name, TEST_FAILPOINT_AFTER: String(time) };
      await using relay = await RunningWalpost.start(options(env));
      await publish(0, EACH / 2);
      if (name === 'delivered, not removed') {
        await poll('parked', async () => ((await parked()) > 20 ? true : undefined));
        away = false;
      }
      void publish(EACH / 2, EACH);
      expect((await relay.cli.result()).code).toBe('SIGKILL');
    }
    away = false;
    await using relay = await RunningWalpost.start(options());
    const committed = new Map(ORGANIZATIONS.map((id) => [id, EACH]));
    await poll(
      'all has arrived',
      async () => (disorder(log.events, committed).length === 0 ? true : undefined),
      20_000,
    ).catch(() => undefined);
    expect(disorder(log.events, committed)).toEqual([]);
    await poll('nothing is parked', async () => ((await parked()) === 0 ? true : undefined));
    expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
    expect((await relay.stop()).code).toBe(0);
  },
  60_000,
);
