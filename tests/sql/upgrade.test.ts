import { createHash, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { migrate, type MigrateOptions } from '../../src/postgres/schema/migrate.ts';
import { readMigrations } from '../../src/postgres/schema/migration-files.ts';
import { readRepeatables, type Repeatable } from '../../src/postgres/schema/repeatable.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { newClient } from '../support/client.ts';
import { schemaListing } from '../support/schema-listing.ts';

/** Publishes in transactions of two, with keys and without, until it is told to stop; gives back what was committed. */
async function write(url: string, stop: AbortSignal): Promise<string[]> {
  const client = newClient({ connectionString: url });
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

/** The files of a program: every function, view and trigger is another text, so that all of them are applied. */
async function programOf(release: string): Promise<MigrateOptions & { repeatables: Repeatable[] }> {
  const repeatables = (await readRepeatables()).map(({ name, sql }) => {
    const text = `-- Release ${release}.\n${sql}`;
    return { name, sql: text, checksum: createHash('sha256').update(text).digest('hex') };
  });
  return { migrations: await readMigrations(), repeatables, release };
}

async function ownersOf(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ release: string }>('SELECT DISTINCT release FROM walpost.repeatables ORDER BY 1');
  return rows.map(({ release }) => release);
}

test(
  'functions, views and rights are applied again while applications publish, by an older, a newer and the older program',
  { timeout: 120_000 },
  async () => {
    await using database = await createTestDatabase({ migrated: false });
    const [older, newer] = [await programOf('0.1.0'), await programOf('0.2.0-rc.1')];
    const all = older.repeatables.length;
    await migrate(database.url, older);
    const slot = database.slotName;
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);

    const stop = new AbortController();
    const written = Promise.all(Array.from({ length: 4 }, () => write(database.url, stop.signal)));
    written.catch(() => stop.abort());
    const count = async () =>
      (await database.query<{ n: number }>('SELECT count(*)::int AS n FROM walpost.outbox'))[0]?.n ?? 0;
    const writersGoOn = async () => {
      const before = await count();
      for (let now = before; now <= before && !stop.signal.aborted;) now = await count();
    };

    for (const round of [1, 2, 3]) {
      expect(await migrate(database.url, { ...newer, release: `0.2.${round}` })).toHaveLength(round === 1 ? all : 0);
      await database.query(`UPDATE walpost.repeatables SET checksum = ''`); // as a numbered file leaves it
      expect(await migrate(database.url, { ...newer, release: `0.2.${round}` })).toHaveLength(all);
      await writersGoOn();

      const notices: string[] = [];
      expect(await migrate(database.url, { ...older, onNotice: (text) => notices.push(text) })).toEqual([]);
      expect(notices).toEqual([expect.stringContaining(`those of walpost 0.2.${round}`)]);
      expect(await ownersOf(database)).toEqual([`0.2.${round}`]);
    }
    await database.query('SELECT walpost.partition_outbox()');
    await database.query(`UPDATE walpost.repeatables SET checksum = ''`);
    await migrate(database.url, { ...newer, release: '0.3.0' });
    await writersGoOn();

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

test('functions with the arguments of before leave in the transaction that makes their successors', async () => {
  await using database = await createTestDatabase();
  const before = [
    'walpost.publish(uuid, text, jsonb, text, text, text, text, jsonb, text, integer, text)',
    'walpost.emit(uuid, text, jsonb, text, text, text, text, jsonb, integer)',
  ];
  for (const name of before) {
    await database.query(`CREATE FUNCTION ${name} RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'`);
  }
  await database.query(`UPDATE walpost.repeatables SET checksum = ''`);
  await migrate(database.url);
  for (const name of before) {
    expect(await database.query('SELECT to_regprocedure($1)::text AS there', [name])).toEqual([{ there: null }]);
  }
  const organization = randomUUID();
  expect(await database.query(`SELECT walpost.publish($1, 'a', '{}') IS NOT NULL AS made`, [organization])).toEqual([
    { made: true },
  ]);
});

test('a partitioned outbox that was made before a column came gets it, and its next days have it too', async () => {
  const all = await readMigrations();
  await using database = await createTestDatabase();
  await database.query('ALTER TABLE walpost.outbox DROP COLUMN expires_at CASCADE');
  await database.query('SELECT walpost.partition_outbox()');
  await database.query('ALTER TABLE walpost.parked DROP COLUMN expires_at');
  await database.query('ALTER TABLE walpost.dead_letters DROP COLUMN expires_at CASCADE');
  await database.query(`DELETE FROM walpost.migrations WHERE name LIKE '013%'`);
  await database.query(`INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'old', '{}')`, [
    randomUUID(),
  ]);
  expect(await migrate(database.url)).toHaveLength(1 + (await readRepeatables()).length);
  expect(all.some(({ name }) => name.startsWith('013'))).toBe(true);
  await database.query(`SELECT walpost.publish($1, 'new', '{}', expires_at => now())`, [randomUUID()]);
  const rows = await database.query('SELECT event_type, expires_at IS NULL AS lasts FROM walpost.outbox ORDER BY seq');
  expect(rows).toEqual([
    { event_type: 'old', lasts: true },
    { event_type: 'new', lasts: false },
  ]);
});

test('the schema is the one of schema.txt, and applying all files a second time changes nothing', async () => {
  await using database = await createTestDatabase();
  const client = await database.client();
  const listing = await schemaListing(client);
  await expect(listing).toMatchFileSnapshot('schema.txt');
  const whole = await schemaListing(client, { bodies: true });
  await database.query(`UPDATE walpost.repeatables SET checksum = ''`);
  const mended: string[] = [];
  expect(await migrate(database.url, { onMended: (line) => mended.push(line) })).toEqual(await readRepeatables());
  expect(await schemaListing(client, { bodies: true })).toBe(whole);
  expect(mended).toEqual([]);
});

test('after a numbered file everything is applied again, so that it may drop with CASCADE', async () => {
  await using database = await createTestDatabase();
  const client = await database.client();
  const whole = await schemaListing(client, { bodies: true });
  const drop = { number: 900, name: '900_drop.sql', checksum: 'x', breaking: false };
  const sql = 'DROP FUNCTION walpost_internal.pending_events(text, integer) CASCADE';
  const files = { migrations: [...(await readMigrations()), { ...drop, sql }], repeatables: await readRepeatables() };
  await migrate(database.url, files);
  expect(await schemaListing(client, { bodies: true })).toBe(whole);
});
