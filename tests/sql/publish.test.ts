import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';

const organization = randomUUID();

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const count = async (table: string): Promise<number> =>
  Number((await database.query<{ n: string }>(`SELECT count(*) AS n FROM walpost.${table}`))[0]?.n);

test('every argument arrives in its column, and the payload keeps its digits', async () => {
  const [published] = await database.query<{ id: string }>(
    `SELECT walpost.publish(
       organization_id => $1, event_type => 'job.completed', payload => '{"n": 12345678901234567890.10}',
       topic => 'cataloging', entity_type => 'job', entity_id => '42', target => 'slack',
       headers => '{"traceparent": "00-ab"}', idempotency_key => 'k-1', event_version => 3,
       expires_at => '2030-01-01 00:00:00+00') AS id`,
    [organization],
  );
  const rows =
    await database.query(`SELECT *, payload::text, created_xid::text, seq::int, created_at IS NOT NULL AS dated,
                                              expires_at::text AS expires
                                       FROM walpost.outbox`);
  expect(rows).toMatchObject([
    {
      event_id: published?.id,
      seq: 1,
      organization_id: organization,
      event_type: 'job.completed',
      event_version: 3,
      topic: 'cataloging',
      entity_type: 'job',
      entity_id: '42',
      target: 'slack',
      idempotency_key: 'k-1',
      payload: '{"n": 12345678901234567890.10}',
      headers: { traceparent: '00-ab' },
      dated: true,
      expires: '2030-01-01 00:00:00+00',
    },
  ]);
});

test.each(['infinity', '-infinity', '10000-01-01', '0044-03-15 BC'])('expires_at of %s is refused', async (time) => {
  for (const call of ['publish', 'emit']) {
    const sql = `SELECT walpost.${call}($1, 'a', '{}', expires_at => $2::timestamptz)`;
    await expect(database.query(sql, [organization, time])).rejects.toMatchObject({
      code: '22023',
      message: expect.stringContaining(`walpost.${call}: expires_at must be a time in the years 1 to 9999`) as string,
    });
  }
});

test('three arguments are enough, and null means the default', async () => {
  await database.query(`SELECT walpost.publish($1, 'a', '{}')`, [organization]);
  await database.query(`SELECT walpost.publish($1, 'a', '{}', NULL, headers => NULL, event_version => NULL)`, [
    organization,
  ]);
  const rows = await database.query('SELECT topic, event_version, headers, idempotency_key FROM walpost.outbox');
  const row = { topic: 'default', event_version: 1, headers: {}, idempotency_key: null };
  expect(rows).toEqual([row, row]);
});

test('the row carries the transaction that wrote it', async () => {
  const client = await database.client();
  await client.query('BEGIN');
  await client.query(`SELECT walpost.publish($1, 'a', '{}')`, [organization]);
  const { rows } = await client.query<{ same: boolean }>(
    'SELECT created_xid = pg_current_xact_id() AS same FROM walpost.outbox',
  );
  await client.query('COMMIT');
  expect(rows).toEqual([{ same: true }]);
});

describe('idempotency', () => {
  const publish = `SELECT walpost.publish($1, 'a', $3, idempotency_key => $2) AS id`;

  test('the same key gives the first id and writes nothing; another organization is another matter', async () => {
    const other = randomUUID();
    const ids: string[] = [];
    for (const [tenant, key] of [
      [organization, 'k'],
      [organization, 'k'],
      [other, 'k'],
      [organization, 'k2'],
    ]) {
      ids.push((await database.query<{ id: string }>(publish, [tenant, key, '{}']))[0]?.id ?? '');
    }
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(3);
    expect(await count('outbox')).toBe(3);
  });

  test('a hundred that publish at once write one event and all get its id', async () => {
    const pool = createPool(database.url, { applicationName: 'publishers', max: 100 });
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, n) => pool.query<{ id: string }>(publish, [organization, 'same', `{"n": ${n}}`])),
    );
    await pool.end();
    const ids = new Set(results.map(({ rows }) => rows[0]?.id));
    expect(ids.size).toBe(1);
    expect(await database.query('SELECT event_id FROM walpost.outbox')).toEqual([{ event_id: [...ids][0] }]);
    expect(await count('idempotency_keys')).toBe(1);
  });

  test('who waits for a transaction that rolls back becomes the first', async () => {
    const [first, second] = await Promise.all([database.client(), database.client()]);
    await first.query('BEGIN');
    const lost = await first.query<{ id: string }>(publish, [organization, 'k', '{}']);
    const waiting = second.query<{ id: string }>(publish, [organization, 'k', '{"second": true}']);
    const lock = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await poll('the second waits', async () => (await database.query(lock)).length > 0 || undefined);
    await first.query('ROLLBACK');
    const kept = await waiting;
    expect(kept.rows[0]?.id).not.toBe(lost.rows[0]?.id);
    expect(await database.query('SELECT event_id, payload FROM walpost.outbox')).toEqual([
      { event_id: kept.rows[0]?.id, payload: { second: true } },
    ]);
  });

  test('under serializable isolation the second one fails with a retryable error instead of writing twice', async () => {
    const [first, second] = await Promise.all([database.client(), database.client()]);
    for (const client of [first, second]) {
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
      await client.query('SELECT count(*) FROM walpost.outbox');
    }
    await first.query(publish, [organization, 'k', '{}']);
    await first.query('COMMIT');
    await expect(second.query(publish, [organization, 'k', '{}'])).rejects.toMatchObject({ code: '40001' });
    await second.query('ROLLBACK');
    expect(await count('outbox')).toBe(1);
  });

  test('the key outlives the event, and a key that was removed is free', async () => {
    const [first] = await database.query<{ id: string }>(publish, [organization, 'k', '{}']);
    await database.query('DELETE FROM walpost.outbox');
    expect(await database.query(publish, [organization, 'k', '{}'])).toEqual([first]);
    expect(await count('outbox')).toBe(0);
    await database.query('DELETE FROM walpost.idempotency_keys');
    expect(await database.query(publish, [organization, 'k', '{}'])).not.toEqual([first]);
    expect(await count('outbox')).toBe(1);
  });
});

test('a publish that is rolled back leaves nothing', async () => {
  const client = await database.client();
  await client.query('BEGIN');
  await client.query(`SELECT walpost.publish($1, 'a', '{}', idempotency_key => 'k')`, [organization]);
  await client.query('ROLLBACK');
  expect(await count('outbox')).toBe(0);
  expect(await count('idempotency_keys')).toBe(0);
});

describe('what is refused, each with a hint', () => {
  test.each([
    [`NULL, 'a', '{}'`, '22004', 'organization_id must not be null'],
    [`$1, NULL, '{}'`, '22004', 'event_type must not be null'],
    [`$1, 'a', NULL`, '22004', 'payload must not be null'],
    [`$1, '', '{}'`, '22023', 'event_type must have 1 to 255 characters, not 0'],
    [`$1, repeat('a', 256), '{}'`, '22023', 'not 256'],
    [`$1, 'a', '{}', topic => ''`, '22023', 'topic must have'],
    [`$1, 'a', '{}', headers => '[]'`, '22023', 'headers must be a JSON object, not array'],
    [`$1, 'a', '{}', headers => jsonb_build_object('h', repeat('x', 16384))`, '54000', 'the limit is 16384'],
    ...['-1', '0', '32768'].map((version): [string, string, string] => [
      `$1, 'a', '{}', event_version => ${version}`,
      '22023',
      `event_version must be a whole number from 1 to 32767, not ${version}`,
    ]),
    [
      `$1, 'a', '{}', entity_type => repeat('x', 256)`,
      '22023',
      'entity_type must have at most 255 characters, not 256',
    ],
    [`$1, 'a', '{}', target => repeat('x', 256)`, '22023', 'target must have at most 255 characters, not 256'],
    [`$1, 'a', '{}', idempotency_key => ''`, '22023', 'idempotency_key must have'],
    [`$1, 'a', '{}', idempotency_key => repeat('k', 513)`, '22023', 'not 513'],
    [
      `$1, 'a', to_jsonb(repeat('x', 65535))`,
      '54000',
      'the payload has 65537 bytes, the limit of topic "default" is 65536',
    ],
  ])('publish(%s)', async (call, code, message) => {
    const error: unknown = await database
      .query(`SELECT walpost.publish(${call.replace('$1', `'${organization}'`)})`)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(message),
      hint: expect.stringMatching(/\.$/),
    });
    expect(await count('outbox')).toBe(0);
    expect(await count('idempotency_keys')).toBe(0);
  });
});

test.each([
  ['99999999999', '42883'],
  ['1.5', '42883'],
  [`'99999999999'`, '22003'],
  [`'1.5'`, '22P02'],
])('event_version => %s is no integer, and Postgres says so', async (version, code) => {
  const call = `SELECT walpost.publish('${organization}', 'a', '{}', event_version => ${version})`;
  await expect(database.query(call)).rejects.toMatchObject({ code });
  await database.query(`SELECT walpost.publish('${organization}', 'a', '{}', event_version => '2')`);
});

test('the limit of the payload counts bytes, and can be set for a topic, up to 1 MiB', async () => {
  const publish = (topic: string, text: string) =>
    database.query('SELECT walpost.publish($1, $2, to_jsonb($3::text), topic => $4)', [organization, 'a', text, topic]);
  await publish('default', 'x'.repeat(65_534));
  await expect(publish('default', 'é'.repeat(32_768))).rejects.toMatchObject({ code: '54000' });
  await database.query(`INSERT INTO walpost.settings VALUES ('max_payload_bytes', 'big', '1048576')`);
  await publish('big', 'x'.repeat(1_048_574));
  await expect(publish('big', 'x'.repeat(1_048_575))).rejects.toMatchObject({ code: '54000' });
  await expect(publish('other', 'x'.repeat(65_535))).rejects.toMatchObject({ code: '54000' });
  for (const value of ['1048577', '0', '"64KiB"', 'null']) {
    await expect(
      database.query(`UPDATE walpost.settings SET value = $1 WHERE topic = 'big'`, [value]),
    ).rejects.toMatchObject({ code: '23514' });
  }
});

test("a caller's search_path changes nothing", async () => {
  const client = await database.client();
  await client.query('CREATE SCHEMA evil');
  await client.query(
    `CREATE FUNCTION evil.char_length(text) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''evil''; END'`,
  );
  await client.query('SET search_path = evil, pg_catalog');
  await client.query(`SELECT walpost.publish($1, 'a', '{}', idempotency_key => 'k')`, [organization]);
  expect(await count('outbox')).toBe(1);
});
