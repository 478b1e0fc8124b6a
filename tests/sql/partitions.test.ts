import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const organization = randomUUID();

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const insert = (type: string, age: string) =>
  database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at) VALUES ($1, $2, '{}', now() - $3::interval)`,
    [organization, type, age],
  );
const places = async (): Promise<unknown> =>
  Object.fromEntries(
    (
      await database.query<{ type: string; part: string }>(
        'SELECT event_type AS type, tableoid::regclass::text AS part FROM walpost.outbox ORDER BY seq',
      )
    ).map(({ type, part }) => [type, part]),
  );
const partitions = async (): Promise<string[]> =>
  (
    await database.query<{ name: string }>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'walpost.outbox'::regclass ORDER BY 1`,
    )
  ).map(({ name }) => name);

test('what was there stays, days are made ahead, and views, order, security and publication are as before', async () => {
  await insert('old', '1 day');
  await database.query('CREATE VIEW public.mine AS SELECT event_type FROM walpost.outbox');
  await database.query('SELECT walpost.partition_outbox()');
  await insert('now', '0');
  await insert('soon', '-3 days');
  await insert('far', '-90 days');
  expect(await places()).toEqual({
    old: 'walpost.outbox_before',
    now: 'walpost.outbox_before',
    soon: expect.stringMatching(/^walpost\.outbox_\d{8}$/) as string,
    far: 'walpost.outbox_default',
  });
  expect(await database.query('SELECT count(*)::int AS n, max(seq)::int AS last FROM walpost.outbox')).toEqual([
    { n: 4, last: 4 },
  ]);
  expect(await database.query('SELECT FROM public.mine')).toHaveLength(4);
  expect(await database.query('SELECT FROM walpost.event_timeline')).toHaveLength(4);
  expect(
    await database.query(`SELECT tablename FROM pg_publication_tables WHERE pubname = 'walpost' ORDER BY 1`),
  ).toEqual([{ tablename: 'endpoint_changes' }, { tablename: 'outbox' }]);
  await expect(database.query('SELECT walpost.partition_outbox()')).rejects.toMatchObject({ code: '55000' });

  await using role = await createRole(database, { in: ['walpost_publisher', 'walpost_reader'] });
  const client = await role.client();
  await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  await client.query(`SELECT walpost.publish($1, 'own', '{}')`, [organization]);
  await expect(client.query(`SELECT walpost.publish($1, 'other', '{}')`, [randomUUID()])).rejects.toMatchObject({
    code: '42501',
  });
  expect((await client.query('SELECT FROM walpost.outbox')).rowCount).toBe(5);
  for (const part of await partitions()) {
    if (part === 'walpost.outbox_before') continue;
    await expect(client.query(`SELECT FROM ${part}`)).rejects.toMatchObject({ code: '42501' });
  }
});

test('prune drops a partition that is past the retention and proven, and no other', async () => {
  await database.query('SELECT walpost.partition_outbox()');
  await database.query(`ALTER TABLE walpost.outbox DETACH PARTITION walpost.outbox_before`);
  await database.query(`
    DO $$ BEGIN EXECUTE format('ALTER TABLE walpost.outbox ATTACH PARTITION walpost.outbox_before FOR VALUES FROM (MINVALUE) TO (%L)', now() - interval '5 days'); END $$`);
  await insert('old', '6 days');
  const prune = async (): Promise<number> =>
    Number((await database.query<{ n: string }>('SELECT walpost.prune() AS n'))[0]?.n);
  while ((await prune()) > 0); // the days from today on
  expect(await partitions()).toContain('walpost.outbox_before');
  await settleAll(database);
  await insert('late', '6 days');
  expect(await prune()).toBe(1); // its proven row, for the other one is not
  expect(await places()).toEqual({ late: 'walpost.outbox_before' });
  await settleAll(database);

  const reader = await database.client();
  await reader.query('BEGIN; SELECT FROM walpost.outbox');
  const begun = performance.now();
  await prune(); // somebody reads: the partition stays for now, and nobody waits
  expect(performance.now() - begun).toBeLessThan(10_000); // the reader never ends before
  await reader.query('ROLLBACK');
  while ((await prune()) > 0);
  expect(await partitions()).not.toContain('walpost.outbox_before');
  await insert('now', '0');
  expect(Object.keys((await places()) as object)).toEqual(['now']);
});
