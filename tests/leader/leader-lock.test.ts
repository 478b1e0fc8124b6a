import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { LeaderLock, type LeaderLockOptions, TURN_MS } from '../../src/leader/leader-lock.ts';
import { leaderLockKey } from '../../src/leader/lock-key.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

let database: TestDatabase;
let stop: AbortController;
const locks: LeaderLock[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await Promise.all(locks.splice(0).map((lock) => lock[Symbol.asyncDispose]()));
  await database[Symbol.asyncDispose]();
});

async function acquire(options: Partial<LeaderLockOptions> = {}): Promise<LeaderLock> {
  const { url, slotName: slot } = database;
  const lock = await LeaderLock.acquire(
    { url, slot, takeoverAfter: 2_000, clock: systemClock, ...options },
    stop.signal,
  );
  locks.push(lock);
  return lock;
}

const lost = (lock: LeaderLock): Promise<unknown> =>
  new Promise((resolve) => {
    if (lock.lost.aborted) return resolve(lock.lost.reason);
    lock.lost.addEventListener('abort', () => resolve(lock.lost.reason), { once: true });
  });

const LEADERSHIP_LOST = { code: 'LEADERSHIP_LOST', policy: 'retry' };

async function sessions(): Promise<{ pid: number; xmin: string | null; held: boolean }[]> {
  return database.query(
    `SELECT a.pid, a.backend_xmin::text AS xmin, l.pid IS NOT NULL AS held
       FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.granted
      WHERE a.datname = current_database() AND (a.application_name = 'walpost leader' OR a.application_name LIKE 'walpost standby %')`,
  );
}

async function holderPid(): Promise<number> {
  return poll('a session holds the lock', async () => (await sessions()).find(({ held }) => held)?.pid);
}

test('the key is that of the slot, and stays what it is', () => {
  expect(leaderLockKey('walpost_app')).toBe(leaderLockKey('walpost_app'));
  expect(leaderLockKey('walpost_app')).not.toBe(leaderLockKey('walpost_app2'));
  expect(leaderLockKey('walpost_app')).toBe(6_622_984_069_245_487_426n);
});

test('of many one holds the lock; when it goes another takes it within two turns, until all had it', async () => {
  const arrived: LeaderLock[] = [];
  const all = Array.from({ length: 5 }, async () => void arrived.push(await acquire()));
  await Promise.race(all);
  for (let count = 1; count < all.length; count++) {
    expect(arrived).toHaveLength(count);
    expect((await sessions()).filter(({ held }) => held)).toHaveLength(1);
    const begun = performance.now();
    await arrived[count - 1]?.[Symbol.asyncDispose]();
    await poll('the next one leads', async () => (arrived.length > count ? true : undefined));
    expect(performance.now() - begun).toBeLessThan(2 * TURN_MS);
  }
  await Promise.all(all);
});

test('another slot has another leader', async () => {
  await acquire();
  const other = await acquire({ slot: `${database.slotName}_2` });
  expect(other.isHeld()).toBe(true);
});

test('says who holds it', async () => {
  await acquire();
  const holder = await new Promise<unknown>((resolve) => {
    acquire({ onWaiting: resolve }).catch(() => undefined);
  });
  const { username } = new URL(database.url);
  expect(holder).toEqual({
    pid: await holderPid(),
    role: username,
    applicationName: 'walpost leader',
    address: '127.0.0.1',
    isStranger: false,
  });
});

test('pings keep the lock longer than its timeout', async () => {
  const lock = await acquire({ takeoverAfter: 1_000 });
  const pid = await holderPid();
  const pings = new Set<string>();
  const deadline = performance.now() + 2_500;
  await poll('2.5 s have passed', async () => {
    const [row] = await database.query('SELECT query_start::text AS at FROM pg_stat_activity WHERE pid = $1', [pid]);
    pings.add(row?.['at'] as string);
    return performance.now() > deadline || undefined;
  });
  expect(lock.isHeld()).toBe(true);
  expect(await holderPid()).toBe(pid);
  expect(pings.size).toBeGreaterThanOrEqual(6);
});

describe('the lock is lost', () => {
  test('when the server ends the session', async () => {
    const lock = await acquire();
    await database.query('SELECT pg_terminate_backend($1)', [await holderPid()]);
    expect(await lost(lock)).toMatchObject(LEADERSHIP_LOST);
    expect(lock.isHeld()).toBe(false);
  });

  test('by the server, when nobody pings: a stopped clock is a stopped process', async () => {
    const lock = await acquire({ takeoverAfter: 1_000, clock: new ManualClock() });
    const next = acquire();
    expect(await lost(lock)).toMatchObject({ ...LEADERSHIP_LOST, message: expect.stringContaining('57P05') });
    expect((await next).isHeld()).toBe(true);
  });

  test('after a standstill, before anything has been heard', async () => {
    const clock = new ManualClock();
    const lock = await acquire({ takeoverAfter: 10_000, clock });
    expect(lock.isHeld()).toBe(true);
    await clock.advance(3_000); // not yet a third: no ping
    expect(lock.isHeld()).toBe(true);
    clock.standStill(10_000);
    expect(lock.isHeld()).toBe(false);
    expect(lock.lost.reason).toMatchObject({ ...LEADERSHIP_LOST, message: expect.stringContaining('was suspended') });
    await poll('the session is gone', async () => ((await sessions()).length === 0 ? true : undefined));
  });

  test('when only the wall clock knows of the standstill, as after the sleep of a machine', async () => {
    const clock = new ManualClock();
    const sleeping = { now: () => 0, wallTime: () => clock.wallTime(), schedule: clock.schedule.bind(clock) };
    const lock = await acquire({ takeoverAfter: 10_000, clock: sleeping });
    clock.standStill(10_000);
    expect(lock.isHeld()).toBe(false);
  });

  test('when a ping is not answered, while the server knows nothing', async () => {
    await using proxy = await TcpProxy.before(database.url);
    const clock = new ManualClock();
    const lock = await acquire({ url: proxy.url(database.url), takeoverAfter: 60_000, clock });
    proxy.hold();
    await clock.advance(20_000); // the ping leaves
    await clock.advance(39_999);
    expect(lock.isHeld()).toBe(true);
    await clock.advance(1);
    expect(await lost(lock)).toMatchObject({ ...LEADERSHIP_LOST, message: expect.stringContaining('did not answer') });
    proxy.forward();
  });

  test('and an answer that arrives after a standstill does not bring it back', async () => {
    await using proxy = await TcpProxy.before(database.url);
    const clock = new ManualClock();
    const lock = await acquire({ url: proxy.url(database.url), takeoverAfter: 60_000, clock });
    proxy.hold();
    await clock.advance(20_000);
    clock.standStill(60_000);
    proxy.forward();
    expect(await lost(lock)).toMatchObject(LEADERSHIP_LOST);
  });
});

test('not when it is released', async () => {
  const lock = await acquire();
  await lock[Symbol.asyncDispose]();
  await turn();
  expect(lock.lost.aborted).toBe(false);
  expect(lock.isHeld()).toBe(false);
});

test('waiting ends with the session, with an error to try again after', async () => {
  await acquire();
  const leader = await holderPid();
  const waiting = acquire();
  waiting.catch(() => undefined); // it may hear of its end before the statement that ends it is answered
  const pid = await poll('a session waits', async () => (await sessions()).find((each) => each.pid !== leader)?.pid);
  await database.query('SELECT pg_terminate_backend($1)', [pid]);
  await expect(waiting).rejects.toMatchObject({ policy: 'retry' });
});

test('waiting ends with the signal, and leaves no session', async () => {
  await acquire();
  const waiting = acquire({ onWaiting: () => stop.abort(new Error('enough')) });
  await expect(waiting).rejects.toThrow('enough');
});

test('a server that cannot be reached is an error to try again after', async () => {
  await using proxy = await TcpProxy.before(database.url);
  const url = proxy.url(database.url);
  await proxy[Symbol.asyncDispose]();
  await expect(acquire({ url })).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE', policy: 'retry' });
});

describe('a standby that waits', () => {
  test('holds no snapshot, and CREATE INDEX CONCURRENTLY ends meanwhile', async () => {
    await database.query('CREATE TABLE other (n integer)');
    await database.query('INSERT INTO other SELECT generate_series(1, 1000)');
    await acquire();
    const leader = await holderPid();
    acquire().catch(() => undefined);
    const pid = await poll('a session waits', async () => (await sessions()).find((each) => each.pid !== leader)?.pid);

    const [turns, xmins] = [new Set<string>(), new Set<string | null>()];
    let held = 0;
    let samples = 0;
    await poll('ten turns', async () => {
      const [row] = await database.query<{ at: string; xmin: string | null }>(
        'SELECT query_start::text AS at, backend_xmin::text AS xmin FROM pg_stat_activity WHERE pid = $1',
        [pid],
      );
      samples += 1;
      turns.add(row?.at ?? '');
      if (row?.xmin != null) held += 1;
      xmins.add(row?.xmin ?? null);
      return turns.size >= 10 || undefined;
    });
    expect(xmins.has(null)).toBe(true);
    expect(held / samples).toBeLessThan(0.1);

    const begun = performance.now();
    await database.query('CREATE INDEX CONCURRENTLY other_n ON other (n)');
    expect(performance.now() - begun).toBeLessThan(2_000);
    expect((await sessions()).map((each) => each.pid)).toContain(pid);
  });
});
