import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { StreamRecorder, createNotes, openSession, untilBlocked } from '../support/slot-session.ts';
import type { SlotSession } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const MIB = 1024 ** 2;

test('pausing and resuming under load loses and repeats nothing', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  let pauses = 0;
  class Hesitant extends StreamRecorder {
    session: SlotSession | undefined;

    override data(payload: Buffer): void {
      super.data(payload);
      if (this.messages % 500 !== 0) return;
      pauses++;
      this.session?.stream.pause();
      void turn().then(() => this.session?.stream.resume());
    }
  }
  const recorder = new Hesitant();
  await using session = await openSession(db, { handler: recorder });
  recorder.session = session;
  await db.query(
    `INSERT INTO note (note) SELECT n || ':' || repeat(md5(n::text), 1 + n % 40) FROM generate_series(1, 30000) AS n`,
  );
  await recorder.until('all arrived', () => recorder.transactions.length === 1, 20_000);
  expect(pauses).toBeGreaterThan(50);
  expect(recorder.allNotes.map((note) => Number(note.split(':')[0]))).toEqual(
    Array.from({ length: 30_000 }, (_, index) => index + 1),
  );
});

test('a paused stream lets the server wait instead of filling memory', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using proxy = await TcpProxy.before(db.url);
  await using session = await openSession(db, { url: proxy.url(db.url) });
  const { recorder, stream } = session;
  stream.pause();
  await db.query("INSERT INTO note (note) SELECT repeat('x', 10000) FROM generate_series(1, 10000)");
  const before = process.memoryUsage().arrayBuffers;
  await untilBlocked(db, () => proxy.delivered); // kernel buffers and the proxy have taken some megabytes
  expect(proxy.delivered).toBeLessThan(50 * MIB);
  expect(recorder.messages).toBe(0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * MIB);
  stream.resume();
  await recorder.until('all arrived', () => recorder.transactions.length === 1, 20_000);
  expect(recorder.bytes).toBeGreaterThan(95 * MIB);
});
