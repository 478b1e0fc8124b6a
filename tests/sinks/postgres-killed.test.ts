/** The real process with the sink of Postgres, while it and the receiving server are killed in the middle of a load. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tellFigures } from '../e2e/kill-figures.ts';
import {
  KILL_CONFIG,
  KILL_LOAD,
  loadThroughKills,
  type NumberedEnvelope,
  orderFaults,
  readEnvelope,
} from '../e2e/through-kills.ts';
import { newClient } from '../support/client.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';

const INBOX = readFileSync(join(import.meta.dirname, '../../sql/inbox/walpost_inbox.sql'), 'utf8');
const { rate, patience } = KILL_LOAD;

test(
  'killed with the receiving Postgres, walpost writes each row exactly once, in order',
  { timeout: patience * 2 },
  async () => {
    await using database = await createTestDatabase();
    await using server = await startServer('17', { settings: { fsync: 'on', full_page_writes: 'on' } });
    const query = async <R extends object>(text: string): Promise<R[]> => {
      const client = newClient(server.url());
      await client.connect();
      try {
        return (await client.query<R>(text)).rows;
      } finally {
        await client.end();
      }
    };
    await query(INBOX);
    const count = async (): Promise<number> =>
      (await query<{ n: number }>('SELECT count(*)::int AS n FROM walpost_inbox'))[0]?.n ?? 0;
    const rows = async (): Promise<NumberedEnvelope[]> =>
      (await query<{ envelope: string }>('SELECT envelope::text FROM walpost_inbox ORDER BY seq')).map(({ envelope }) =>
        readEnvelope(envelope),
      );
    const run = await loadThroughKills(
      { database, sinks: { inbox: { type: 'postgres', url: server.url(), rate } }, config: KILL_CONFIG },
      { count, kill: () => server.stop('immediate'), restart: () => server.start() },
    );
    await using relay = run.relay;
    await poll('all rows are there', async () => (await count()) >= run.total || undefined, patience);
    expect(run.killedAt.every((killed) => killed > 0 && killed < run.total)).toBe(true);
    expect((await relay.stop()).code).toBe(0);
    const written = await rows();
    expect(tellFigures('postgres', run, written)).toMatchObject({ arrived: run.total, repeated: 0, lost: 0 });
    expect(orderFaults(written, run)).toEqual([]);
  },
);
