/** What database libraries do by themselves (RETURNING, a look at the row, ON CONFLICT) with the rights of a publisher. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { LibraryScripts } from '../support/library-run.ts';

let scripts: LibraryScripts;
beforeAll(async () => {
  scripts = await LibraryScripts.prepare('orms');
}, 600_000);
afterAll(() => scripts[Symbol.asyncDispose]());

const stored = (id: string) =>
  scripts.database.query('SELECT organization_id, event_type, payload FROM walpost.outbox WHERE event_id = $1', [id]);

test.each(['drizzle', 'knex', 'prisma', 'sequelize', 'typeorm'])('%s', { timeout: 120_000 }, async (library) => {
  if (library === 'prisma') await scripts.generatePrismaClient();
  const { id, organization, created, read, again } = await scripts.run(library);
  expect(created['eventId'] ?? created['event_id']).toBe(id);
  expect({ read, again }).toEqual({ read: library, again: 0 });
  expect(await stored(id)).toEqual([{ organization_id: organization, event_type: library, payload: { n: 1 } }]);
});

test('INSERT ... RETURNING of one column, of all, and with ON CONFLICT, as ActiveRecord and Django write it', async () => {
  await using role = await createRole(scripts.database, { in: ['walpost_publisher'] });
  const client = await role.client();
  const [organization, id] = [randomUUID(), randomUUID()];
  await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  const insert = (more: string) =>
    client.query(
      `INSERT INTO "walpost"."outbox" ("event_id", "organization_id", "event_type", "payload") VALUES ($1, $2, 'sql', '{}') ${more}`,
      [id, organization],
    );
  await client.query('BEGIN');
  expect((await insert('RETURNING "event_id"')).rows).toEqual([{ event_id: id }]);
  expect((await insert('ON CONFLICT (event_id) DO NOTHING RETURNING *')).rows).toEqual([]);
  await client.query('ROLLBACK');
  expect((await insert('RETURNING *')).rows).toMatchObject([
    { event_id: id, seq: expect.any(String) as string, topic: 'default', created_xid: expect.any(String) as string },
  ]);
  expect(await stored(id)).toHaveLength(1);
});

test('a publisher reads what its transaction wrote, and no other event: not of another, not its own of before', async () => {
  await using role = await createRole(scripts.database, { in: ['walpost_publisher'] });
  const [one, two] = [await role.client(), await role.client()];
  const organization = randomUUID();
  const types = async (client: typeof one): Promise<string[]> =>
    (await client.query<{ event_type: string }>('SELECT event_type FROM walpost.outbox')).rows.map(
      (row) => row.event_type,
    );
  for (const client of [one, two]) {
    await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
    await client.query('BEGIN');
  }
  await one.query(`SELECT walpost.publish($1, 'one', '{}')`, [organization]);
  await two.query('SAVEPOINT a');
  await two.query(`SELECT walpost.publish($1, 'two', '{}')`, [organization]);
  expect([await types(one), await types(two)]).toEqual([['one'], ['two']]);
  await one.query('COMMIT');
  expect([await types(one), await types(two)]).toEqual([[], ['two']]);
  await two.query('ROLLBACK');
  await expect(two.query('SELECT FROM walpost.outbox FOR UPDATE')).rejects.toMatchObject({ code: '42501' });

  await scripts.database.query(`GRANT walpost_reader TO ${role.name}`);
  expect(await types(one)).toEqual(['one']);
});

test('a partitioned outbox reads back too, and its parts are under the same policy', async () => {
  await scripts.database.query('SELECT walpost.partition_outbox()');
  expect(await scripts.database.query('SELECT what FROM walpost.deviations()')).toEqual([]);
  await using role = await createRole(scripts.database, { in: ['walpost_publisher'] });
  const client = await role.client();
  const organization = randomUUID();
  await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  const { rows } = await client.query<{ event_type: string }>(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'parted', '{}') RETURNING *`,
    [organization],
  );
  expect(rows.map((row) => row.event_type)).toEqual(['parted']);
  expect((await client.query('SELECT FROM walpost.outbox')).rowCount).toBe(0);
});
