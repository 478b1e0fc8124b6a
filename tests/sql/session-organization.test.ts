/** What a publisher is told when the session does not fit, and what it may ask about its own events. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const [mine, other] = [randomUUID(), randomUUID()];

let database: TestDatabase;
let role: DatabaseRole;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  role = await createRole(database, { in: ['walpost_publisher'] });
  client = await role.client();
});
afterAll(async () => {
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const workFor = (id: string) => client.query(`SELECT set_config('app.current_org_id', $1, false)`, [id]);
const claim = (claims: object) =>
  client.query(`SELECT set_config('request.jwt.claims', $1, false)`, [JSON.stringify(claims)]);
const publish = async (organization: string): Promise<string> =>
  (await client.query<{ id: string }>(`SELECT walpost.publish($1, 'a', '{}') AS id`, [organization])).rows[0]?.id ?? '';
const many = (organization: string) =>
  client.query(
    `SELECT walpost.publish_many(jsonb_build_array(jsonb_build_object('organization_id', $1::text, 'event_type', 'a', 'payload', 1)))`,
    [organization],
  );
const once = (organization: string) =>
  client.query(`SELECT walpost.once($1, 'k', 'pg_catalog.jsonb_strip_nulls(jsonb)')`, [organization]);
const insert = (organization: string) =>
  client.query(`INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'a', '{}')`, [
    organization,
  ]);

test.each([
  ['walpost.publish', publish],
  ['walpost.publish_many', many],
  ['walpost.once', once],
])('%s: 42501 says for whom the session works, and names app.current_org_id', async (name, call) => {
  for (const [works, said] of [
    ['', 'no organization'],
    [other, `the organization ${other}`],
  ] as const) {
    await workFor(works);
    await expect(call(mine)).rejects.toMatchObject({
      code: '42501',
      message: expect.stringMatching(
        new RegExp(`^${name}: .*the session works for ${said}, not for the organization ${mine}`),
      ) as string,
      hint: expect.stringContaining(`SET LOCAL app.current_org_id = '${mine}'`) as string,
    });
  }
});

test.each([
  ['publish', publish],
  ['publish_many', many],
  ['a plain INSERT', insert],
])('%s: 22P02 names app.current_org_id when that is no uuid', async (_, call) => {
  await workFor('acme');
  await expect(call(mine)).rejects.toMatchObject({
    code: '22P02',
    message: 'walpost: the session works for the organization "acme", which is no uuid',
    hint: expect.stringContaining('app.current_org_id') as string,
  });
});

test('a publisher that works for all organizations publishes for each, whatever its session says', async () => {
  await using support = await createRole(database, { in: ['walpost_publisher', 'walpost_operator'] });
  const session = await support.client();
  const key = randomUUID();
  for (const works of ['acme', '', other]) {
    await session.query(`SELECT set_config('app.current_org_id', $1, false)`, [works]);
    await session.query(`INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'a', '{}')`, [
      mine,
    ]);
    const events = JSON.stringify([{ organization_id: mine, event_type: 'a', payload: {}, idempotency_key: key }]);
    for (const [call, values] of [
      [`SELECT walpost.publish($1, 'a', '{}')`, [mine]],
      [`SELECT walpost.publish($1, 'a', '{}', idempotency_key => $2)`, [mine, key]],
      ['SELECT walpost.publish_many($1)', [events]],
      [`SELECT walpost.once($1, $2, 'pg_catalog.jsonb_strip_nulls(jsonb)')`, [mine, key]],
    ] as const) {
      expect((await session.query(call, [...values])).rows).toHaveLength(1);
    }
  }
});

test('every way to write a uuid is one organization', async () => {
  for (const id of [mine.toUpperCase(), `{${mine}}`, mine.replaceAll('-', '')]) {
    await workFor(id);
    await publish(mine);
    await many(mine);
    await insert(mine);
  }
});

test('a policy that somebody has added decides in the place of ours', async () => {
  await using guest = await createRole(database, { in: ['walpost_publisher'] });
  await database.query(
    `CREATE POLICY guest ON walpost.outbox FOR INSERT TO ${guest.name} WITH CHECK (organization_id = '${mine}')`,
  );
  const session = await guest.client();
  await session.query(`SELECT walpost.publish($1, 'a', '{}')`, [mine]);
  await expect(session.query(`SELECT walpost.publish($1, 'a', '{}')`, [other])).rejects.toMatchObject({
    code: '42501',
  });
  await database.query('DROP POLICY guest ON walpost.outbox');
});

test.each([
  [`NULL, 'a', '{}'`, 'organization_id => new.organization_id'],
  [`$1, NULL, '{}'`, 'event_type =>'],
  [`$1, 'a', '{}', entity_id => repeat('x', 1025)`, 'entity_id => new.id::text'],
  [`$1, 'a', '{}', entity_type => repeat('x', 256)`, 'entity_type is the kind'],
  [`$1, 'a', '{}', target => repeat('x', 256)`, 'target is a name'],
])('the hint of publish(%s) names what to write', async (call, hint) => {
  await workFor(mine);
  await expect(client.query(`SELECT walpost.publish(${call.replace('$1', `'${mine}'`)})`)).rejects.toMatchObject({
    hint: expect.stringContaining(hint) as string,
  });
});

test('a payload that was encoded twice is warned of once a session', async () => {
  await using guest = await createRole(database, { in: ['walpost_publisher'] });
  const session = await guest.client();
  const warnings: unknown[] = [];
  session.on('notice', ({ message, hint }) => warnings.push([message, hint]));
  await session.query(`SELECT set_config('app.current_org_id', $1, false)`, [mine]);
  const send = (payload: string) =>
    session.query(`SELECT walpost.publish($1, 'a', to_jsonb($2::text))`, [mine, payload]);
  for (const text of ['text', '{no json', '[1, 2', '']) await send(text);
  expect(warnings).toEqual([]);
  await send(JSON.stringify({ a: 1 }));
  await send(JSON.stringify([1]));
  await session.query(`SELECT walpost.publish_many($1)`, [
    JSON.stringify([{ organization_id: mine, event_type: 'a', payload: '{}' }]),
  ]);
  expect(warnings).toEqual([
    [
      'walpost.publish: the payload is a string that holds JSON, so receivers get a text and no object',
      expect.stringContaining('encoded twice'),
    ],
  ]);
});

test('event_status: a publisher asks for the events of its organization, of every transaction, and of no other', async () => {
  await workFor(mine);
  const id = await publish(mine);
  const status = async (event: string): Promise<unknown> =>
    (await client.query<{ s: unknown }>('SELECT walpost.event_status($1) AS s', [event])).rows[0]?.s;
  expect(await status(id)).toBe('pending');
  await settleAll(database);
  expect(await status(id)).toBe('delivered');
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, organization_id, event_type, event_id)
     VALUES ('test', '1', 1, 's', 'failed', 'no', 3, $1, 'a', $2)`,
    [mine, id],
  );
  expect(await status(id)).toBe('dead');
  for (const works of [other, '']) {
    await workFor(works);
    expect(await status(id)).toBeNull();
  }
});

test('event_status and readers: every way to write a uuid is one organization', async () => {
  await workFor(mine);
  const id = await publish(mine);
  const failed = randomUUID();
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, organization_id, event_type, event_id)
     VALUES ('test', '1', 1, 's', 'failed', 'no', 3, $1, 'a', $2)`,
    [mine, failed],
  );
  await using reader = await createRole(database, { in: ['walpost_reader'] });
  const session = await reader.client();
  for (const spelling of [mine.toUpperCase(), `{${mine}}`, mine.replaceAll('-', '')]) {
    await workFor(spelling);
    const asked = await client.query(`SELECT walpost.event_status($1) AS a, walpost.event_status($2) AS b`, [
      id,
      failed,
    ]);
    expect(asked.rows).toEqual([{ a: 'pending', b: 'dead' }]);
    await session.query(`SELECT set_config('app.current_org_id', $1, false)`, [spelling]);
    const seen = await session.query('SELECT organization_id FROM walpost.dead_letters WHERE event_id = $1', [failed]);
    expect(seen.rows).toEqual([{ organization_id: mine }]);
  }
});

test('event_status: a publisher with BYPASSRLS asks for the events of all organizations', async () => {
  // On a server of its own: walpost warns of such a role in every database of a server.
  await using server = await startServer();
  await using own = await createTestDatabase({ server: server.url() });
  const [id, event] = await Promise.all(
    [mine, other].map(async (organization) => {
      const rows = await own.query<{ id: string }>(`SELECT walpost.publish($1, 'a', '{}') AS id`, [organization]);
      return rows[0]?.id;
    }),
  );
  await using service = await createRole(own, { in: ['walpost_publisher'], attributes: 'BYPASSRLS' });
  const session = await service.client();
  for (const works of ['', mine]) {
    await session.query(`SELECT set_config('app.current_org_id', $1, false)`, [works]);
    const asked = await session.query(`SELECT walpost.event_status($1) AS a, walpost.event_status($2) AS b`, [
      id,
      event,
    ]);
    expect(asked.rows).toEqual([{ a: 'pending', b: 'pending' }]);
  }
});

describe('organization_claims', () => {
  test('other names of the claim, in their order; bad settings are refused', async () => {
    await database.query(`
      CREATE SCHEMA auth; CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE RETURN NULL::jsonb;
      GRANT USAGE ON SCHEMA auth TO PUBLIC`);
    const set = (value: string) =>
      database.query(`UPDATE walpost.settings SET value = $1 WHERE name = 'organization_claims'`, [value]);
    await workFor('');
    await claim({ app_metadata: { company_id: mine }, organization_id: other });
    await publish(other);
    await set('["company_id", "organization_id"]');
    await publish(mine);
    await expect(publish(other)).rejects.toMatchObject({ code: '42501' });
    await claim({ company_id: mine });
    await publish(mine);
    await client.query(`SELECT walpost.event_status($1)`, [mine]);
    await claim({ app_metadata: { company_id: '' }, organization_id: other });
    await publish(other);
    await claim({ user_metadata: { company_id: mine } });
    await expect(publish(mine)).rejects.toMatchObject({ code: '42501' });
    for (const bad of ['"company_id"', '[]', '[1]', '[""]', '{}', 'null']) {
      await expect(set(bad)).rejects.toMatchObject({ code: '23514' });
    }
  });
});
