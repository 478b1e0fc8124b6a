/** The promises of the stream on the oldest, the newest, and wal2json's server. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { systemClock } from '../../src/clock.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { ensureSlot } from '../../src/slot/slot-setup.ts';
import { SlotStream } from '../../src/slot/slot-stream.ts';
import { createTestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { startServer } from '../support/server.ts';
import { createNotes, openSession, untilFree } from '../support/slot-session.ts';

const noDebian = await debianPostgresMissing();

describe.each(['15', '18'] as const)('Postgres %s', (version) => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startServer(version);
  }, 120_000);
  afterAll(() => server[Symbol.asyncDispose]());

  test('checks, makes a slot, streams, confirms exactly, and lets a fast shutdown end', async () => {
    await using db = await createTestDatabase({ migrated: false, server: server.url() });
    const facts = await checkServer({ url: db.url });
    expect(Math.floor(facts.version / 10_000)).toBe(Number(version));
    await createNotes(db);
    {
      await using first = await openSession(db);
      await db.query("INSERT INTO note (note) VALUES ('A')");
      await db.query("INSERT INTO note (note) VALUES ('B')");
      await first.recorder.until('both arrived', () => first.recorder.transactions.length === 2);
      first.stream.confirm(first.recorder.transactions[0]?.endLsn ?? 0n);
      expect(await first.stream.finish()).toBe(true);
      await untilFree(db);
    }
    await using second = await openSession(db);
    await second.recorder.until('the second came again', () => second.recorder.transactions.length === 1);
    expect(second.recorder.allNotes).toEqual(['B']);
    second.stream.confirm(second.recorder.transactions[0]?.endLsn ?? 0n);
    await db.query("INSERT INTO note (note) VALUES ('C')");
    await second.recorder.until('one more', () => second.recorder.transactions.length === 2);
    const from = performance.now();
    await server.stop('fast');
    const took = performance.now() - from;
    await server.start();
    expect(took).toBeLessThan(2_000);
    expect(await second.ended).toMatchObject({ code: 'SERVER_SHUTDOWN' });
  });
});

describe.skipIf(noDebian !== undefined)(`wal2json${noDebian ? `: ${noDebian}` : ''}`, () => {
  test('streams through the same connection code', async () => {
    await using server = await startDebianPostgres();
    await using db = await createTestDatabase({ migrated: false, server: server.url() });
    await db.query('CREATE TABLE note (id serial PRIMARY KEY, note text NOT NULL)');
    await ensureSlot({ url: db.url, db: await db.client(), slot: db.slotName, plugin: 'wal2json', failover: false });
    const lines: string[] = [];
    const abort = new AbortController();
    let arrived = (): void => {};
    const commit = new Promise<void>((resolve) => (arrived = resolve));
    const stream = new SlotStream({
      url: db.url,
      slot: db.slotName,
      plugin: 'wal2json',
      pluginOptions: { 'format-version': '2', 'add-tables': 'public.note', 'include-lsn': 'true' },
      handler: {
        data(payload) {
          lines.push(payload.toString());
          if (payload.includes('"action":"C"')) arrived();
        },
        keepalive() {},
      },
      clock: systemClock,
      walSenderTimeout: 60_000,
    });
    const ended = stream.run(abort.signal);
    await stream.started;
    await db.query("INSERT INTO note (note) VALUES ('it''s')");
    await commit;
    expect(lines).toHaveLength(3);
    expect(lines[1]).toContain(`"value":"it's"`);
    stream.confirm(stream.received);
    expect(await stream.finish()).toBe(true);
    await ended;
  });
});
