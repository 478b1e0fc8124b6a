/** check_event_types: whether publish, publish_many and emit ask for a registered type and version. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';

const organization = randomUUID();
let database: TestDatabase;
let session: pg.Client;
let warnings: string[];

beforeEach(async () => {
  database = await createTestDatabase();
  await database.query(
    `INSERT INTO walpost.event_types (event_type, event_version) VALUES ('job.done', 1), ('job.done', 2), ('job.lost', 1)`,
  );
  session = await database.client();
  warnings = [];
  session.on('notice', ({ message, hint }) => warnings.push(`${message} ${hint}`));
});
afterEach(() => database[Symbol.asyncDispose]());

const set = (mode: string, topic = '*') =>
  database.query(
    `INSERT INTO walpost.settings (name, topic, value) VALUES ('check_event_types', $2, to_jsonb($1::text))
       ON CONFLICT (name, topic) DO UPDATE SET value = excluded.value`,
    [mode, topic],
  );

const publish = (type: string, version = 1, topic = 'default') =>
  session.query(
    'SELECT walpost.publish(organization_id => $1, event_type => $2, event_version => $3, topic => $4, payload => $5)',
    [organization, type, version, topic, '{}'],
  );

test('strict refuses what is not registered, and says which versions are', async () => {
  await set('strict');
  await publish('job.done', 2);
  await expect(publish('job.done', 3)).rejects.toMatchObject({
    code: '42704',
    message: `walpost.publish: event_type 'job.done' with event_version 3 is not registered`,
    hint: expect.stringContaining('Registered versions: 1, 2.') as string,
  });
  await expect(publish('job.dnoe')).rejects.toMatchObject({
    hint: expect.stringContaining('No version of it is registered.') as string,
  });
  expect(await database.query('SELECT event_type FROM walpost.outbox')).toEqual([{ event_type: 'job.done' }]);
});

test('strict holds for publish_many and emit', async () => {
  await set('strict');
  const many = (types: string[]) => {
    const events = types.map((event_type) => ({ organization_id: organization, event_type, payload: {} }));
    return session.query('SELECT walpost.publish_many($1)', [JSON.stringify(events)]);
  };
  await many(['job.done', 'job.lost', 'job.done']);
  await expect(many(['job.done', 'a.b', 'a.b', 'c.d'])).rejects.toMatchObject({
    code: '42704',
    message: `walpost.publish_many: event 2: event_type 'a.b' with event_version 1 is not registered`,
  });
  await expect(session.query(`SELECT walpost.emit($1, 'a.b', '{}')`, [organization])).rejects.toMatchObject({
    code: '42704',
  });
});

test('warn publishes, and warns once a session for each type and version', async () => {
  await set('warn');
  for (const type of ['a.b', 'a.b', 'job.done', 'c.d']) await publish(type);
  expect(warnings).toEqual([
    expect.stringMatching(/^walpost.publish: event_type 'a.b' .* No version .* once a session\.$/),
    expect.stringContaining(`'c.d'`),
  ]);
  expect(await database.query('SELECT FROM walpost.outbox')).toHaveLength(4);
});

test('a topic of its own goes before the setting for all', async () => {
  await set('strict');
  await set('off', 'free');
  await publish('a.b', 1, 'free');
  await expect(publish('a.b')).rejects.toMatchObject({ code: '42704' });
});

test('a session that has seen it off looks again after ten seconds', async () => {
  await publish('a.b');
  const { rows } = await session.query<{ noted: string }>(
    `SELECT current_setting('walpost.event_types_off')::bigint * 10 AS noted`,
  );
  expect(Math.abs(Number(rows[0]?.noted) - Date.now() / 1000)).toBeLessThan(60);
  await set('strict');
  // As if that had been ten seconds ago.
  await session.query(
    `SELECT set_config('walpost.event_types_off', (current_setting('walpost.event_types_off')::bigint - 1)::text, false)`,
  );
  await expect(publish('a.b')).rejects.toMatchObject({ code: '42704' });
});

test('a publisher reads the types, and an operator writes them', async () => {
  await set('strict');
  await using publisher = await createRole(database, { in: ['walpost_publisher'] });
  await using operator = await createRole(database, { in: ['walpost_operator'] });
  const register = (client: pg.Client) =>
    client.query(`INSERT INTO walpost.event_types (event_type, event_version) VALUES ('a.b', 1)`);
  const [app, admin] = [await publisher.client(), await operator.client()];
  await app.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  const published = () => app.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [organization]);
  await expect(published()).rejects.toMatchObject({ code: '42704' });
  await expect(register(app)).rejects.toMatchObject({ code: '42501' });
  await register(admin);
  expect((await published()).rowCount).toBe(1);
});

test.each([
  ['settings', `INSERT INTO walpost.settings (name, value) VALUES ('check_event_types', '"always"')`],
  ['a reserved name', `INSERT INTO walpost.event_types (event_type) VALUES ('walpost.verify')`],
  ['a schema', `INSERT INTO walpost.event_types (event_type, schema) VALUES ('a', '"text"')`],
  ['a version', `INSERT INTO walpost.event_types (event_type, event_version) VALUES ('a', 0)`],
])('%s that is not valid is refused', async (_, insert) => {
  await expect(database.query(insert)).rejects.toMatchObject({ code: '23514' });
});
