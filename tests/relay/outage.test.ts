import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RunningWalpost, type RunOptions } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';
import { disorder } from './arrivals.ts';

const script = join(import.meta.dirname, '../crash/relay-child.ts');
const SPEED = 60;
const OUTAGE_MS = (15 * 60_000) / SPEED;
const ORGANIZATIONS = Array.from({ length: 20 }, () => randomUUID());
const MEBIBYTE = 1024 ** 2;

/** Numbers the events of each organization; 40 events in each of up to ten transactions a second. */
class Writer {
  readonly committed = new Map(ORGANIZATIONS.map((id) => [id, 0]));
  private writing = true;
  private readonly ended: Promise<void>;

  constructor(database: TestDatabase) {
    this.ended = this.write(database);
  }

  async stop(): Promise<number> {
    this.writing = false;
    await this.ended;
    return [...this.committed.values()].reduce((sum, count) => sum + count, 0);
  }

  private async write(database: TestDatabase): Promise<void> {
    const client = await database.client();
    while (this.writing) {
      const rows = ORGANIZATIONS.flatMap((id) => [0, 1].map((i) => [id, (this.committed.get(id) ?? 0) + i] as const));
      await client.query(
        `INSERT INTO walpost.outbox (organization_id, event_type, payload)
         SELECT o, 'a.b', jsonb_build_object('n', n) FROM unnest($1::uuid[], $2::int[]) AS e (o, n)`,
        [rows.map(([id]) => id), rows.map(([, n]) => n)],
      );
      for (const id of ORGANIZATIONS) this.committed.set(id, (this.committed.get(id) ?? 0) + 2);
      await delay(100);
    }
  }
}

test('a sink that is down for 15 minutes, and two kills meanwhile: all delivered in order, no dead letter, the slot moves', async () => {
  await using database = await createTestDatabase();
  await database.query(`ALTER DATABASE ${database.name} SET wal_sender_timeout = '10min'`);
  await using log = await EventLog.start();
  const options: RunOptions = {
    database,
    sinks: log.sinks,
    config: { memory: { budget: '16MiB' }, leader: { takeover_after: '10m' }, delivery: { log: 'off', timeout: '2m' } },
    cli: { script, env: { TEST_SPEED: String(SPEED) } },
  };
  const keep = log.receiver.onBatch;
  let refused = 0;
  const confirmations: bigint[] = [];
  const peaks: number[] = [];

  /** A third of the outage passes, seen by this relay. */
  const third = async (relay: RunningWalpost): Promise<void> => {
    const begun = performance.now();
    while (performance.now() - begun < OUTAGE_MS / 3) {
      await delay(1_500);
      confirmations.push(await relay.confirmed());
    }
  };
  const runAndKill = async (): Promise<void> => {
    await using relay = await RunningWalpost.start(options);
    await third(relay);
    peaks.push(await relay.peakMemory());
    relay.cli.child.kill('SIGKILL');
    await relay.cli.result();
  };

  {
    await using first = await RunningWalpost.start(options); // makes the slot
    expect((await first.stop()).code).toBe(0);
  }
  const writer = new Writer(database);
  log.receiver.onBatch = () => {
    refused += 1;
    if (refused % 2 === 0) throw new Error('hangs up');
    return 503;
  };
  await runAndKill();
  await runAndKill();
  await using relay = await RunningWalpost.start(options);
  await third(relay);
  const total = await writer.stop();
  const [parked] = await database.query<{ count: string }>('SELECT count(*) FROM walpost.parked');
  log.receiver.onBatch = keep;
  await poll(
    'all has arrived',
    async () => (disorder(log.events, writer.committed).length === 0 ? true : undefined),
    60_000,
  );
  await poll(
    'nothing is parked',
    async () => ((await database.query('SELECT FROM walpost.parked LIMIT 1')).length === 0 ? true : undefined),
    20_000,
  );
  peaks.push(await relay.peakMemory());
  console.log(
    `${total} events, ${parked?.count} parked at the end of the outage, ${refused} refusals, ${log.events.length - total} repeated, peaks ${peaks.map((peak) => Math.round(peak / MEBIBYTE)).join(', ')} MiB`,
  );
  expect(refused).toBeGreaterThan(20);
  expect(Number(parked?.count)).toBeGreaterThan(total * 0.8);
  expect(disorder(log.events, writer.committed)).toEqual([]);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  const still = confirmations.filter((lsn, i) => i > 0 && lsn <= (confirmations[i - 1] ?? 0n));
  expect(still).toEqual([]);
  expect(confirmations.length).toBeGreaterThan(5);
  expect(Math.max(...peaks)).toBeLessThan(280 * MEBIBYTE);
  expect((await relay.stop()).code).toBe(0);
}, 180_000);
