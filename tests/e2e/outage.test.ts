import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { compiled } from '../support/compiled.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { EventReceiver } from './event-receiver.ts';
import { FirstArrivals, OutageLoad } from './outage-load.ts';
import { RunningWalpost, type RunOptions } from './running-walpost.ts';
import { SlotWatch } from './slot-watch.ts';

/** `walpost run` with a clock so many times as fast as the wall's; at 5, all keep up with 500 events/s of it. */
const { speed, events, organizations, slack } =
  process.env['WALPOST_LONG'] === '1'
    ? { speed: 5, events: 450_000, organizations: 100, slack: 10_000 }
    : { speed: 60, events: 15_000, organizations: 20, slack: 5_000 };
const script = compiled(join(import.meta.dirname, '../crash/relay-child.ts'));
const SEED = Number(process.env['WALPOST_SEED'] ?? 1);
const MEBIBYTE = 1024 ** 2;
const BUDGET = 16 * MEBIBYTE;
/** A process of Node, the budget, and what the garbage collector has not looked at yet. */
const MOST_MEMORY = 220 * MEBIBYTE;
const OUTAGE_MS = (15 * 60_000) / speed;
/** A window, park_after and one look at the lanes. */
const PARKED_AFTER_MS = (250 + 10_000 + 500) / speed;
/** Inserts and confirmations too: usually, and as a busy machine allows. */
const USUALLY_MS = PARKED_AFTER_MS + 2_000;
const SETTLED_AFTER_MS = PARKED_AFTER_MS + slack;
/** So long each process goes on at least once it has caught up. */
const STEADY_MS = 1_500;

/** One process after another on one database, and what was seen of them. */
class Outage {
  readonly watch: SlotWatch;
  /** Times at which a process was streaming, and had settled what it found. */
  readonly steady: { from: number; to: number }[] = [];
  readonly peaks: number[] = [];
  mostBuffered = 0;
  private readonly options: RunOptions;

  constructor(database: TestDatabase, sinks: RunOptions['sinks']) {
    this.watch = new SlotWatch(database, 100);
    this.options = {
      database,
      sinks,
      config: {
        memory: { budget: `${BUDGET / MEBIBYTE}MiB` },
        leader: { takeover_after: '10m' },
        delivery: { log: 'off', timeout: '2m' },
      },
      cli: { script, env: { TEST_SPEED: String(speed) } },
    };
  }

  start(): Promise<RunningWalpost> {
    return RunningWalpost.start(this.options);
  }

  /** A process runs until then, and until it has caught up with what came while none was there, and a while longer. */
  async runUntil(end: number, relay: RunningWalpost): Promise<void> {
    const started = performance.now();
    await poll('the slot has caught up', async () => this.isCaughtUp(started) || undefined, 90_000);
    const from = performance.now();
    const until = Math.max(end, from + STEADY_MS);
    while (performance.now() < until) {
      await delay(Math.max(0, Math.min(100, until - performance.now())));
      this.mostBuffered = Math.max(this.mostBuffered, await relay.metric('walpost_buffered_bytes'));
    }
    this.peaks.push(await relay.peakMemory());
    this.steady.push({ from, to: performance.now() });
  }

  private isCaughtUp(started: number): boolean {
    const last = this.watch.samples.at(-1);
    return last !== undefined && last.at > started && last.age < USUALLY_MS;
  }

  async runAndKill(end: number): Promise<void> {
    await using relay = await this.start();
    await this.runUntil(end, relay);
    relay.cli.child.kill('SIGKILL');
    await relay.cli.result();
  }

  /** What the slot was behind while a process was there to move it. */
  get behind(): { bytes: number; age: number; usually: number; samples: number } {
    const samples = this.watch.samples.filter(({ at }) => this.steady.some(({ from, to }) => at > from && at < to));
    const ages = samples.map(({ age }) => age).toSorted((a, b) => a - b);
    return {
      bytes: Math.max(...samples.map(({ bytes }) => bytes)),
      age: ages.at(-1) ?? NaN,
      usually: ages[Math.floor(ages.length / 2)] ?? NaN,
      samples: samples.length,
    };
  }
}

test('a sink that is down for 15 minutes, and two kills meanwhile: all delivered in order, no dead letter, the slot moves', async () => {
  await using database = await createTestDatabase();
  await database.query(`ALTER DATABASE ${database.name} SET wal_sender_timeout = '10min'`);
  const arrivals = new FirstArrivals();
  let refused = 0;
  await using receiver = await EventReceiver.start(() => {
    refused += 1;
    if (refused % 2 === 0) throw new Error('hangs up');
    return 503;
  });
  const outage = new Outage(database, { hook: receiver.sink() });
  const random = seededRandom(SEED);
  const kills = [0.2 + 0.2 * random(), 0.55 + 0.2 * random()];
  const ids = Array.from({ length: organizations }, () => randomUUID());
  const load = new OutageLoad({ organizations: ids, writers: 2, events, milliseconds: OUTAGE_MS, random });
  {
    await using first = await outage.start(); // makes the slot
    expect((await first.stop()).code).toBe(0);
  }

  const begun = performance.now();
  const writing = load.write(database);
  outage.watch.start();
  for (const kill of kills) await outage.runAndKill(begun + kill * OUTAGE_MS);
  await using relay = await outage.start();
  await outage.runUntil(begun + OUTAGE_MS, relay);
  const writingTook = await writing;
  await outage.watch.stop();
  const [parked] = await database.query<{ count: number }>('SELECT count(*)::int FROM walpost.parked');
  const back = performance.now();
  receiver.onBatch = arrivals.take;
  await poll('all has arrived', async () => arrivals.has(load.committed) || undefined, 240_000).catch(() => undefined); // told below
  const drained = performance.now() - back;
  expect(arrivals.missing(load.committed)).toEqual([]);
  await poll(
    'nothing is parked',
    async () => ((await database.query('SELECT FROM walpost.parked LIMIT 1')).length === 0 ? true : undefined),
    20_000,
  );
  outage.peaks.push(await relay.peakMemory());
  const { behind, peaks } = outage;
  const onClock = (milliseconds: number): string => ((milliseconds * speed) / 1000).toFixed(1);
  const mebibytes = (bytes: number): string => (bytes / MEBIBYTE).toFixed(1);
  console.log(
    [
      `${events} events of ${organizations} organizations, written in ${(writingTook / 1000).toFixed(1)} s, ${speed} times as fast as the clock`,
      `killed after ${kills.map((kill) => `${Math.round(kill * 900)} s`).join(' and ')} of 900 s, ${refused} refusals, ${arrivals.repeated} repeated`,
      `${parked?.count} parked at the end, all delivered ${(drained / 1000).toFixed(1)} s later: ${Math.round((1000 * (parked?.count ?? 0)) / drained)} events/s`,
      `unconfirmed at most ${mebibytes(behind.bytes)} MiB, ${onClock(behind.age)} s of the clock, usually ${onClock(behind.usually)} s, in ${behind.samples} samples`,
      `memory at most ${peaks.map(mebibytes).join(', ')} MiB; ${mebibytes(outage.mostBuffered)} MiB buffered of ${mebibytes(BUDGET)}`,
    ].join('\n'),
  );
  expect(arrivals.faults).toEqual([]);
  expect(writingTook).toBeLessThan(1.1 * OUTAGE_MS);
  expect(refused).toBeGreaterThan(20);
  expect(parked?.count).toBeGreaterThan(events * 0.8);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  expect(behind.samples).toBeGreaterThan(10);
  expect(behind.usually).toBeLessThan(USUALLY_MS);
  expect(behind.age).toBeLessThan(SETTLED_AFTER_MS);
  expect(Math.max(...peaks)).toBeLessThan(MOST_MEMORY);
  expect(outage.mostBuffered).toBeGreaterThan(0);
  expect(outage.mostBuffered).toBeLessThan(BUDGET + MEBIBYTE); // what a socket had read already is taken in
  expect((await relay.stop()).code).toBe(0);
}, 480_000);
