import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { createTestDatabase, databaseUrl, type TestDatabase } from '../support/database.ts';
import { newClient } from '../support/client.ts';

const organization = randomUUID();
const SLOT_OPTIONS = `'proto_version', '1', 'publication_names', 'walpost', 'messages', 'true'`;

let database: TestDatabase;
const roles: DatabaseRole[] = [];
beforeEach(async () => {
  database = await createTestDatabase();
  await database.query(
    `INSERT INTO walpost.cursor (slot, system_identifier, timeline, messages) VALUES ('test', '1', 1, true)`,
  );
});
afterEach(async () => {
  for (const role of roles.splice(0)) await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function login(options: Parameters<typeof createRole>[1]): Promise<pg.Client> {
  const role = await createRole(database, options);
  roles.push(role);
  return role.client();
}

const workFor = (client: pg.Client, id: string): Promise<unknown> =>
  client.query(`SELECT set_config('app.current_org_id', $1, false)`, [id]);
const emit = (client: Pick<pg.Client, 'query'>, id = organization): Promise<pg.QueryResult<{ id: string }>> =>
  client.query<{ id: string }>(`SELECT walpost.emit($1, 'a', '{}') AS id`, [id]);
const refusal = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

/** The contents of the messages that `work` leaves in the WAL. */
async function messagesOf(work: () => Promise<unknown>): Promise<Buffer[]> {
  const slot = database.slotName;
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await work();
  const rows = await database.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, ${SLOT_OPTIONS}) WHERE get_byte(data, 0) = ascii('M')`,
    [slot],
  );
  await database.query('SELECT pg_drop_replication_slot($1)', [slot]);
  return rows.map(({ data }) => data.subarray('M'.length + 9 + 'walpost\0'.length + 4));
}

test('a message is one line and the fields, under a signature that covers all of it', async () => {
  const [content] = await messagesOf(() =>
    database.query(
      `SELECT walpost.emit(
         organization_id => $1, event_type => 'größe', payload => '{"n": 12345678901234567890.10}', topic => 'cataloging',
         entity_type => 'job', target => 'slack', headers => '{"a": 1}', event_version => 3)`,
      [organization],
    ),
  );
  const [key] = await database.query<{ id: number; secret: Buffer }>('SELECT id, secret FROM walpost.emit_keys');
  const signature = content?.toString('latin1', 0, 64);
  expect(signature).toBe(
    createHmac('sha256', key?.secret ?? '')
      .update(content?.subarray(64) ?? '')
      .digest('hex'),
  );
  const [head, ...fields] = content?.toString('utf8', 64).split('\n') ?? [];
  expect(head).toMatch(new RegExp(`^ 1 ${key?.id} \\d+ 36 36 7 1 10 3 - 5 30 8 29$`));
  expect(fields.join('\n').slice(36)).toMatch(
    new RegExp(
      `^${organization}größe3catalogingjobslack\\{"n": 12345678901234567890.10\\}\\{"a": 1\\}20\\d\\d-\\d\\d-\\d\\d [\\d:.]{15}\\+00$`,
    ),
  );
});

test('it is gone with its transaction, or with its savepoint', async () => {
  const contents = await messagesOf(async () => {
    const client = await database.client();
    await client.query('BEGIN');
    await emit(client);
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await client.query('SAVEPOINT s');
    await emit(client);
    await client.query('ROLLBACK TO s');
    await client.query(`SELECT walpost.emit($1, 'kept', '{}')`, [organization]);
    await client.query('COMMIT');
  });
  expect(contents.map((content) => content.toString().includes('kept'))).toEqual([true]);
  expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
});

test('a database in another encoding writes UTF-8, as the stream does', async () => {
  const name = `${database.name}_win1252`;
  await database.query(`CREATE DATABASE ${name} ENCODING 'WIN1252' LOCALE 'C' TEMPLATE template0`);
  const url = databaseUrl(database.url, name);
  await migrate(url);
  const client = newClient({ connectionString: url });
  await client.connect();
  try {
    await client.query(`
      SELECT pg_create_logical_replication_slot('${name}', 'pgoutput');
      INSERT INTO walpost.cursor (slot, system_identifier, timeline, messages) VALUES ('a', '1', 1, true);
      SELECT walpost.emit('${organization}', 'größe', '"é"')`);
    const { rows } = await client.query<{ content: Buffer }>(
      `SELECT data AS content FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, ${SLOT_OPTIONS}) WHERE get_byte(data, 0) = ascii('M')`,
      [name],
    );
    expect(rows[0]?.content.toString()).toMatch(/ 36 36 7 1 7 - - - 4 2 29\n.*größe.*"é"/);
  } finally {
    await client.query('SELECT pg_drop_replication_slot($1)', [name]);
    await client.end();
    await database.query(`DROP DATABASE ${name}`);
  }
});

test('the HMAC is that of RFC 2104, for any message and secret', async () => {
  for (const [messageLength, secretLength] of [
    [0, 1],
    [1, 32],
    [55, 64],
    [100_000, 32],
  ] as const) {
    const [message, secret] = [randomBytes(messageLength), randomBytes(secretLength)];
    expect(await database.query('SELECT walpost_internal.hmac_sha256($1, $2) AS mac', [message, secret])).toEqual([
      { mac: createHmac('sha256', secret).update(message).digest() },
    ]);
  }
});

test('the trace of the session goes into the headers', async () => {
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const [content] = await messagesOf(async () => {
    const client = await database.client();
    await client.query(`SET walpost.traceparent = '${trace}'`);
    await emit(client);
  });
  expect(content?.toString()).toContain(trace);
});

describe('what is refused, each with a hint', () => {
  test.each([
    [`NULL, 'a', '{}'`, '22004', 'walpost.emit: organization_id must not be null'],
    [`$1, 'a', NULL`, '22004', 'walpost.emit: payload must not be null'],
    [`$1, '', '{}'`, '22023', 'walpost.emit: event_type must have 1 to 255 characters, not 0'],
    [`$1, 'a', '{}', entity_id => repeat('x', 1025)`, '22023', 'entity_id must have at most 1024 characters'],
    [`$1, 'a', '{}', headers => '[]'`, '22023', 'headers must be a JSON object, not array'],
    [`$1, 'a', to_jsonb(repeat('x', 65535))`, '54000', 'the limit of topic "default" is 65536'],
  ])('emit(%s)', async (call, code, message) => {
    const error = await refusal(database.query(`SELECT walpost.emit(${call.replace('$1', `'${organization}'`)})`));
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
      hint: expect.stringMatching(/\.$/) as string,
    });
  });

  test('an idempotency key, which nothing could keep unique', async () => {
    const call = database.query(`SELECT walpost.emit($1, 'a', '{}', idempotency_key => 'k')`, [organization]);
    expect(await refusal(call)).toMatchObject({ code: '42883' });
  });

  test('anything while no relay delivers messages', async () => {
    await database.query('UPDATE walpost.cursor SET messages = false');
    expect(await refusal(emit(await database.client()))).toMatchObject({
      code: '55000',
      hint: 'Start walpost with source.messages: true, or use walpost.publish.',
    });
  });

  test('anything in the transaction that makes the key, which the relay cannot see yet', async () => {
    const client = await database.client();
    await client.query('BEGIN');
    await client.query('SELECT walpost.rotate_emit_key()');
    expect(await refusal(emit(client))).toMatchObject({ code: '55000' });
    await client.query('ROLLBACK');
  });
});

test('the limit of a topic holds, up to 1 MiB', async () => {
  await database.query(`INSERT INTO walpost.settings VALUES ('max_payload_bytes', 'big', '1048576')`);
  const big = (length: number) =>
    database.query(`SELECT walpost.emit($1, 'a', to_jsonb(repeat('x', $2)), topic => 'big')`, [organization, length]);
  const [content] = await messagesOf(() => big(1_048_574));
  expect(content?.length).toBeGreaterThan(1_048_576);
  await expect(big(1_048_575)).rejects.toMatchObject({ code: '54000' });
});

describe('the rule of organizations is that of publish', () => {
  const other = randomUUID();

  test('a publisher emits for the organization of its session only', async () => {
    const client = await login({ in: ['walpost_publisher'] });
    expect(await refusal(emit(client))).toMatchObject({ code: '42501' });
    for (const spelling of [organization.toUpperCase(), `{${organization}}`, organization.replaceAll('-', '')]) {
      await workFor(client, spelling);
      expect((await emit(client)).rows).toHaveLength(1);
    }
    expect(await refusal(emit(client, other))).toMatchObject({ code: '42501' });
  });

  test('the role that counts is the one that was set', async () => {
    const role = await createRole(database, { in: ['walpost_publisher'] });
    roles.push(role);
    const client = await database.client(); // a superuser
    await emit(client);
    await client.query(`SET ROLE ${role.name}`);
    expect(await refusal(emit(client))).toMatchObject({ code: '42501' });
    await workFor(client, organization);
    await emit(client);
  });

  test('a role that security does not hold emits for all', async () => {
    // Not as a publisher: walpost warns of one with BYPASSRLS in every database of a server.
    const role = await createRole(database, { attributes: 'BYPASSRLS' });
    roles.push(role);
    await database.query(`
      GRANT USAGE ON SCHEMA walpost TO ${role.name};
      GRANT EXECUTE ON FUNCTION walpost.emit TO ${role.name}`);
    const client = await role.client();
    await workFor(client, other);
    expect((await emit(client)).rows).toHaveLength(1);
  });

  test('the owner of the schema emits for all, until its session names an organization', async () => {
    const owner = await createRole(database, { in: ['walpost_publisher'] });
    roles.push(owner);
    await database.query(`ALTER SCHEMA walpost OWNER TO ${owner.name}`);
    const client = await owner.client();
    await emit(client);
    await workFor(client, other);
    expect(await refusal(emit(client))).toMatchObject({ code: '42501' });
  });

  test("the claims of a Supabase token go first, and somebody's auth.jwt is not run with the rights of the owner", async () => {
    await database.query(`
      CREATE SCHEMA auth;
      CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called''; END'`);
    const client = await login({ in: ['walpost_publisher'] });
    await workFor(client, other);
    await client.query(`SELECT set_config('request.jwt.claims', $1, false)`, [
      JSON.stringify({ app_metadata: { organization_id: organization }, organization_id: other }),
    ]);
    expect((await emit(client)).rows).toHaveLength(1);
    expect(await refusal(emit(client, other))).toMatchObject({ code: '42501' });
  });
});

describe('the key', () => {
  test('is seen by the relay and the owner, and by nobody else', async () => {
    const read = 'SELECT octet_length(secret) AS bytes FROM walpost.emit_keys';
    const relay = await login({ in: ['walpost_relay'] });
    expect((await relay.query(read)).rows).toEqual([{ bytes: 32 }]);
    for (const group of ['walpost_publisher', 'walpost_operator', 'walpost_reader']) {
      const client = await login({ in: [group] });
      expect(await refusal(client.query(read)), `${group} reads`).toMatchObject({ code: '42501' });
    }
    const reader = await login({ in: ['pg_read_all_data'] });
    expect((await reader.query(read)).rows).toEqual([]);
    const publisher = await login({ in: ['walpost_publisher'] });
    for (const call of [
      'walpost.rotate_emit_key()',
      `walpost_internal.hmac_sha256('', '')`,
      'walpost_internal.may_emit(NULL)',
    ]) {
      expect(await refusal(publisher.query(`SELECT ${call}`)), `${call} is called`).toMatchObject({ code: '42501' });
    }
  });

  test('is another one in each database', async () => {
    await using another = await createTestDatabase({ migrated: true });
    const secret = 'SELECT secret FROM walpost.emit_keys';
    await another.query('SELECT walpost.rotate_emit_key()'); // both are copies of one template
    const secrets = [...(await database.query(secret)), ...(await another.query(secret))];
    expect(new Set(secrets.map((row) => (row['secret'] as Buffer).toString('hex'))).size).toBe(2);
  });

  test('changes when an operator says so, and the ones before it hold for the grace', async () => {
    const operator = await login({ in: ['walpost_operator'] });
    await operator.query(`SELECT walpost.rotate_emit_key()`);
    await operator.query(`SELECT walpost.rotate_emit_key('1 hour')`);
    const keys = await database.query(
      `SELECT id, round(extract(epoch FROM expires_at - clock_timestamp()) / 3600)::int AS hours FROM walpost.emit_keys ORDER BY id`,
    );
    expect(keys).toEqual([
      { id: 1, hours: 1 },
      { id: 2, hours: 1 },
      { id: 3, hours: null },
    ]);
    const [content] = await messagesOf(async () => emit(await database.client()));
    expect(content?.toString('latin1', 64, 69)).toBe(' 1 3 ');
    for (const grace of [`'-1 s'`, 'NULL', `'2 years'`]) {
      expect(await refusal(operator.query(`SELECT walpost.rotate_emit_key(${grace})`))).toMatchObject({
        code: '22023',
      });
    }
  });
});

test('an operator reads every table but those of secrets', async () => {
  const unread = await database.query(
    `SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'p')
       AND NOT has_table_privilege('walpost_operator', c.oid, 'SELECT') ORDER BY 1`,
  );
  expect(unread).toEqual([{ name: 'emit_keys' }, { name: 'endpoint_secrets' }]);
});
