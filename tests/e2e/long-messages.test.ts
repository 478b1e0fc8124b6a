/**
 * Messages and rows of many megabytes, written by whoever may: one is counted, the other is a dead letter, and the process
 * lives within its memory. WALPOST_LONG=1 makes them longer than a string may be.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';
import { RunningWalpost } from './running-walpost.ts';

vi.setConfig({ testTimeout: 300_000 });

const MB = 1_000_000;
const LONG = process.env['WALPOST_LONG'] === '1';
const MESSAGE = (LONG ? 540 : 40) * MB;
/** Of quotes: JSON text has twice as many bytes, and wal2json makes four of each. */
const QUOTES = (LONG ? 200 : 20) * MB;
/** Beyond that: the budget of the router, garbage that is not collected yet, code that runs for the first time. */
const SLACK = 150 * MB;

const missing = await debianPostgresMissing();
let debian: EmbeddedPostgres | undefined;
beforeAll(async () => {
  if (missing === undefined) debian = await startDebianPostgres();
});
afterAll(() => debian?.[Symbol.asyncDispose]());

describe.each(['pgoutput', 'wal2json'] as const)('%s', (plugin) => {
  test.skipIf(plugin === 'wal2json' && missing !== undefined)(
    'outlives a message and a row of many megabytes',
    async () => {
      await using database = await createTestDatabase(plugin === 'wal2json' ? { server: debian?.url() ?? '' } : {});
      await database.query('ALTER TABLE walpost.outbox DROP CONSTRAINT outbox_payload_1mib');
      await using log = await EventLog.start();
      await using anybody = await createRole(database);
      await using walpost = await RunningWalpost.start({
        database,
        sinks: log.sinks,
        config: { source: { plugin, messages: true }, memory: { budget: '8MiB' } },
      });
      const publish = async (payload: string): Promise<string> => {
        const sql = `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'a.b', ${payload}) RETURNING event_id::text AS id`;
        return (await database.query<{ id: string }>(sql, [randomUUID()]))[0]?.id ?? '';
      };
      await log.has([await publish("'{}'")]);
      const base = await walpost.peakMemory();
      const client = await anybody.client();
      await client.query(`SELECT FROM pg_logical_emit_message(true, 'walpost', repeat('x', $1))`, [MESSAGE]);
      await client.query(`SELECT FROM pg_logical_emit_message(true, repeat('p', $1), 'x')`, [MESSAGE]);
      const row = await publish(`to_jsonb(repeat('"', ${QUOTES}))`);
      await log.has([await publish("'{}'")], 240_000);
      const letters = () =>
        database.query<{ event_id: string; reason: string; detail: string }>(
          'SELECT event_id, reason, detail FROM walpost.dead_letters',
        );
      await poll('the row is a dead letter', async () => (await letters()).length > 0 || undefined, 60_000);
      const [letter] = await letters();
      expect(letter).toMatchObject({ event_id: row, reason: 'poison' });
      const bytes = Number(/^the row has (\d+) bytes, more than 16777216$/.exec(letter?.detail ?? '')?.[1]);
      expect(Math.floor(bytes / 1_000)).toBe((2 * QUOTES) / 1_000); // the same with both plugins
      expect(await walpost.metric('walpost_messages_refused_total', 'unsigned')).toBe(1);
      const largest = Math.max(MESSAGE, QUOTES * (plugin === 'wal2json' ? 4 : 2));
      if (LONG)
        console.log(
          plugin,
          Math.round(((await walpost.peakMemory()) - base) / MB),
          'MB more, the largest had',
          largest / MB,
        );
      expect((await walpost.peakMemory()) - base).toBeLessThan(2 * largest + SLACK);
      expect(await walpost.stop()).toMatchObject({ code: 0 });
    },
  );
});
