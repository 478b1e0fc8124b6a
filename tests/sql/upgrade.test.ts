import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import { migrate } from '../../src/postgres/migrate.ts';
import { readMigrations } from '../../src/postgres/migration-files.ts';
import { createTestDatabase } from '../support/database.ts';

/** Publishes in transactions of two, with keys and without, until it is told to stop; gives back what was committed. */
async function write(url: string, stop: AbortSignal): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const organization = randomUUID();
  const committed: string[] = [];
  try {
    while (!stop.aborted) {
      await client.query('BEGIN');
      const one = await client.query<{ id: string }>(`SELECT walpost.publish($1, 'a', '{}') AS id`, [organization]);
      const two = await client.query<{ id: string }>(
        `SELECT walpost.publish($1, 'b', '{}', idempotency_key => $2) AS id`,
        [organization, randomUUID()],
      );
      await client.query('COMMIT');
      committed.push(...[one, two].map(({ rows }) => rows[0]?.id ?? ''));
    }
  } finally {
    await client.end();
  }
  return committed;
}

test(
  'each migration can be applied while applications publish, and none of them sees an error',
  { timeout: 120_000 },
  async () => {
    await using database = await createTestDatabase({ migrated: false });
    const files = await readMigrations();
    const publishable = files.findIndex(({ name }) => name.includes('publish')) + 1;
    await migrate(database.url, { migrations: files.slice(0, publishable) });
    const slot = database.slotName;
    await migrate(database.url, { migrations: files.slice(0, publishable + 1) }); // the publication
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);

    const stop = new AbortController();
    const writers = Array.from({ length: 4 }, () => write(database.url, stop.signal));
    const written = Promise.all(writers);
    written.catch(() => stop.abort());
    for (let count = publishable + 2; count <= files.length; count++) {
      const before = (await database.query<{ n: number }>('SELECT count(*)::int AS n FROM walpost.outbox'))[0]?.n ?? 0;
      expect((await migrate(database.url, { migrations: files.slice(0, count) })).map(({ name }) => name)).toEqual([
        files[count - 1]?.name,
      ]);
      // The writers have gone on since.
      for (let now = before; now <= before && !stop.signal.aborted;) {
        now = (await database.query<{ n: number }>('SELECT count(*)::int AS n FROM walpost.outbox'))[0]?.n ?? 0;
      }
    }
    await database.query('SELECT walpost.partition_outbox()');
    stop.abort();
    const committed = (await written).flat();
    const kept = await database.query<{ id: string }>('SELECT event_id AS id FROM walpost.outbox');
    expect(kept.map(({ id }) => id).toSorted()).toEqual(committed.toSorted());
    const streamed = await database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walpost')
      WHERE get_byte(data, 0) = ascii('I')`,
      [slot],
    );
    expect(streamed).toEqual([{ n: committed.length }]);
  },
);
