import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { SlotStream } from '../../src/slot/slot-stream.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { createNotes, openSession, poll, untilFree } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const TIMEOUT = 1_000;

async function createDatabase(timeout = TIMEOUT): Promise<TestDatabase> {
  const db = await createTestDatabase({ migrated: false });
  await db.query(`ALTER DATABASE ${db.name} SET wal_sender_timeout = '${timeout}ms'`);
  await createNotes(db);
  return db;
}

const walsenderPid = (db: TestDatabase): Promise<number> =>
  poll('there is a walsender', async () => {
    const rows = await db.query<{ pid: number }>(
      'SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1 AND active',
      [db.slotName],
    );
    return rows[0]?.pid;
  });

/** Milliseconds until the stream ended, with its error. */
async function timeToEnd(ended: Promise<unknown>): Promise<{ error: unknown; took: number }> {
  const from = performance.now();
  const error = await ended;
  return { error, took: performance.now() - from };
}

test('a half-open connection is found within twice the timeout', async () => {
  await using db = await createDatabase();
  await using proxy = await TcpProxy.before(db.url);
  await using session = await openSession(db, { url: proxy.url(db.url), walSenderTimeout: TIMEOUT });
  await db.query("INSERT INTO note (note) VALUES ('one')");
  await session.recorder.until('it arrived', () => session.recorder.transactions.length === 1);
  proxy.hold();
  const { error, took } = await timeToEnd(session.ended);
  expect(error).toMatchObject({ code: 'CONNECTION_SILENT', policy: 'retry' });
  expect(took).toBeGreaterThan(TIMEOUT * 1.5);
  expect(took).toBeLessThan(TIMEOUT * 3);
});

test('a walsender that stands still is found within twice the timeout', async () => {
  await using db = await createDatabase();
  await using session = await openSession(db, { walSenderTimeout: TIMEOUT });
  const pid = await walsenderPid(db);
  expect(session.stream.backendPid).toBe(pid);
  process.kill(pid, 'SIGSTOP');
  try {
    const { error, took } = await timeToEnd(session.ended);
    expect(error).toMatchObject({ code: 'CONNECTION_SILENT' });
    expect(took).toBeLessThan(TIMEOUT * 3);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await untilFree(db);
});

test('a connection that is cut ends the stream at once', async () => {
  await using db = await createDatabase();
  await using proxy = await TcpProxy.before(db.url);
  await using session = await openSession(db, { url: proxy.url(db.url) });
  proxy.cut();
  const { error, took } = await timeToEnd(session.ended);
  expect(error).toMatchObject({ code: 'CONNECTION_LOST', policy: 'retry' });
  expect(took).toBeLessThan(2_000);
});

test('a healthy idle connection stays: the server answers each periodic status', async () => {
  await using db = await createDatabase();
  await using session = await openSession(db, { walSenderTimeout: TIMEOUT });
  const { recorder, stream } = session;
  const before = recorder.keepalives;
  // Three statuses a timeout, each of which asks: five timeouts without a word of ours in between.
  await recorder.until('fifteen answers', () => recorder.keepalives - before >= 15);
  expect(performance.now() - stream.lastReceivedAt).toBeLessThan(TIMEOUT);
  await db.query("INSERT INTO note (note) VALUES ('one')");
  await recorder.until('it arrived', () => recorder.allNotes.includes('one'));
});

test('a socket that is paused for three timeouts stays connected, and goes on where it stood', async () => {
  await using db = await createDatabase(2_000);
  await using session = await openSession(db, { walSenderTimeout: 2_000 });
  const { recorder, stream } = session;
  stream.pause();
  await db.query("INSERT INTO note (note) SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
  let over = false;
  void session.ended.then(() => (over = true));
  // Time itself is what is tested: nothing must happen in it.
  await delay(6_500);
  expect(over).toBe(false);
  expect(recorder.transactions).toHaveLength(0);
  stream.resume();
  await recorder.until('all arrived', () => recorder.transactions.length === 1);
  expect(recorder.allNotes).toHaveLength(20_000);
  const end = recorder.transactions[0]?.endLsn ?? 0n;
  stream.confirm(end);
  expect(await stream.finish()).toBe(true);
});

test('a slow line is not a silent one', async () => {
  await using db = await createDatabase();
  await using proxy = await TcpProxy.before(db.url);
  await using session = await openSession(db, { url: proxy.url(db.url), walSenderTimeout: TIMEOUT });
  const { recorder } = session;
  proxy.slow(2_000_000);
  // One message of 6 MB takes three timeouts on this line.
  await db.query("INSERT INTO note (note) SELECT string_agg(md5(n::text), '') FROM generate_series(1, 190000) AS n");
  await recorder.until('it arrived', () => recorder.transactions.length === 1);
  expect(recorder.bytes).toBeGreaterThan(6_000_000);
});

test('an abort while the connection is being made does not wait for it', async () => {
  await using db = await createDatabase();
  await using proxy = await TcpProxy.before(db.url);
  proxy.hold();
  const abort = new AbortController();
  const stream = new SlotStream({
    url: proxy.url(db.url),
    slot: db.slotName,
    plugin: 'pgoutput',
    pluginOptions: {},
    handler: { data() {}, keepalive() {} },
    clock: systemClock,
    walSenderTimeout: TIMEOUT,
  });
  const ended = stream.run(abort.signal);
  await poll('the proxy has it', async () => (proxy.connections > 0 ? true : undefined));
  const from = performance.now();
  abort.abort();
  await ended;
  expect(performance.now() - from).toBeLessThan(2_000);
  await expect(stream.started).rejects.toThrow('closed before it started');
});
