import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { signingKeys, signingSecretProblem } from '../../src/signing-secret.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint, refusal } from '../support/endpoint-calls.ts';

const organization = randomUUID();
let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const changes = (columns = 'change') =>
  database.query(`SELECT ${columns} FROM walpost.endpoint_changes ORDER BY change_id`);
const changeNames = async () => (await changes()).map((row) => row['change'] as string);
const endpointOf = async (id: string) =>
  (await database.query('SELECT * FROM walpost.endpoints WHERE endpoint_id = $1', [id]))[0];
const secretsOf = (id: string) =>
  database.query<{ secret: string; expires: boolean }>(
    `SELECT secret, expires_at IS NOT NULL AS expires FROM walpost.endpoint_secrets WHERE endpoint_id = $1 ORDER BY secret_id`,
    [id],
  );
const call = async <T>(sql: string, ...values: unknown[]): Promise<T> =>
  (await database.query<{ result: T }>(`SELECT ${sql} AS result`, values))[0]?.result as T;

test('an endpoint is a row, a change for the stream, and a secret that is returned once', async () => {
  const [added] = await database.query<{ id: string; secret: string }>(
    `SELECT endpoint_id::text AS id, secret FROM walpost.add_endpoint(sink => 'hooks', organization_id => $1, url => 'https://example.com/a?b=c',
       event_types => '{invoice.*,user.created}', headers => '{"authorization": "Bearer x"}', max_per_second => 2.5, description => 'Billing')`,
    [organization],
  );
  const id = added?.id ?? '';
  expect(signingSecretProblem(added?.secret ?? '')).toBeUndefined();
  expect(signingKeys(added?.secret ?? '').map((key) => key.length)).toEqual([24]);
  expect(await secretsOf(id)).toEqual([{ secret: added?.secret, expires: false }]);
  expect(await endpointOf(id)).toMatchObject({
    sink: 'hooks',
    organization_id: organization,
    url: 'https://example.com/a?b=c',
    event_types: ['invoice.*', 'user.created'],
    headers: { authorization: 'Bearer x' },
    max_per_second: '2.5',
    description: 'Billing',
    state: 'enabled',
    state_reason: null,
    missed_since: null,
  });
  const [change] = await changes('*');
  expect(change).toMatchObject({
    endpoint_id: id,
    change: 'added',
    state: 'enabled',
    event_types: ['invoice.*', 'user.created'],
  });
  expect(JSON.stringify(change)).not.toContain('whsec_');
});

test('what is left out has its default, and no two secrets are alike', async () => {
  const added = [await addEndpoint(database, organization), await addEndpoint(database, organization)];
  expect(new Set(added.map(({ secret }) => secret)).size).toBe(2);
  expect(await endpointOf(added[0]?.id ?? '')).toMatchObject({
    event_types: ['*'],
    headers: {},
    max_per_second: null,
    description: null,
  });
});

test('an update changes what is given, and is no change when nothing differs', async () => {
  const { id } = await addEndpoint(database, organization);
  const update = (rest: string): Promise<boolean> => call(`walpost.update_endpoint($1, ${rest})`, id);
  expect(await update(`url => 'https://example.com/new'`)).toBe(true);
  expect(await update(`url => 'https://example.com/new'`)).toBe(false);
  expect(await update(`max_per_second => 5, description => 'x', headers => '{"a": "b"}', event_types => '{a,b}'`)).toBe(
    true,
  );
  expect(await endpointOf(id)).toMatchObject({
    url: 'https://example.com/new',
    max_per_second: '5',
    description: 'x',
    headers: { a: 'b' },
    event_types: ['a', 'b'],
  });
  expect(await update(`max_per_second => 0, description => ''`)).toBe(true);
  expect(await endpointOf(id)).toMatchObject({
    max_per_second: null,
    description: null,
    url: 'https://example.com/new',
  });
  expect(await changes('change, url, max_per_second')).toEqual([
    { change: 'added', url: 'https://hooks.example.com/in', max_per_second: null },
    { change: 'updated', url: 'https://example.com/new', max_per_second: null },
    { change: 'updated', url: 'https://example.com/new', max_per_second: '5' },
    { change: 'updated', url: 'https://example.com/new', max_per_second: null },
  ]);
});

test('pausing, disabling and enabling are changes of state, each written once', async () => {
  const { id } = await addEndpoint(database, organization);
  expect(await call('walpost.pause_endpoint($1, $2)', id, 'moving house')).toBe(true);
  expect(await call('walpost.pause_endpoint($1)', id)).toBe(false);
  expect(await endpointOf(id)).toMatchObject({ state: 'paused', state_reason: 'moving house' });
  expect(await call('walpost.enable_endpoint($1)', id)).toBe(true);
  expect(await call('walpost.enable_endpoint($1)', id)).toBe(false);
  expect(await endpointOf(id)).toMatchObject({ state: 'enabled', state_reason: null, missed_since: null });
  expect(await call('walpost.disable_endpoint($1, $2)', id, 'asked for by mail')).toBe(true);
  expect(await call('walpost.disable_endpoint($1)', id)).toBe(false);
  expect(await endpointOf(id)).toMatchObject({
    state: 'disabled',
    state_reason: 'asked for by mail',
    missed_since: expect.any(Date) as Date,
  });
  expect(await refusal(call('walpost.pause_endpoint($1)', id))).toMatchObject({
    code: '55000',
    hint: expect.stringContaining('Enable it first') as string,
  });
  expect(await call('walpost.enable_endpoint($1)', id)).toBe(true);
  expect(await endpointOf(id)).toMatchObject({ state: 'enabled', missed_since: expect.any(Date) as Date });
  expect(await changeNames()).toEqual(['added', 'paused', 'enabled', 'disabled', 'enabled']);
});

test('disabling publishes an event of walpost with the host, the reason and since when events are missed', async () => {
  const { id } = await addEndpoint(database, organization, 'https://Hooks.Example.com:8443/s3cr3t');
  await call('walpost.disable_endpoint($1, $2)', id, 'it is gone (410)');
  const rows = await database.query(
    `SELECT organization_id, event_type, topic, entity_type, entity_id, payload FROM walpost.outbox`,
  );
  expect(rows).toEqual([
    {
      organization_id: organization,
      event_type: 'walpost.endpoint.disabled',
      topic: 'walpost.endpoint',
      entity_type: 'walpost.endpoint',
      entity_id: id,
      payload: {
        endpoint_id: id,
        sink: 'hooks',
        host: 'hooks.example.com:8443',
        reason: 'it is gone (410)',
        since: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) as string,
      },
    },
  ]);
});

test('events are missed from the oldest that was parked on, and a later gap does not hide an earlier one', async () => {
  const { id } = await addEndpoint(database, organization);
  await database.query(`INSERT INTO walpost.cursor (slot, system_identifier, timeline) VALUES ('s', '1', 1)`);
  const park = (at: string, lsn: string) =>
    database.query(
      `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, lane, history, order_lsn, order_job, place, commit_lsn, ordinal, event_id,
         event_type, event_version, topic, payload, headers, committed_at, size, received_at)
       VALUES ('s', 1, 'hooks', $1, $2, 0, $3, false, 0, $3, 0, gen_random_uuid(), 'a', 1, 'default', '{}', '{}', $4, 1, now())`,
      [organization, id, lsn, at],
    );
  await park('2026-01-02T00:00:00Z', '0/2');
  await park('2026-01-01T00:00:00Z', '0/1');
  await call('walpost.disable_endpoint($1)', id);
  expect((await endpointOf(id))?.['missed_since']).toEqual(new Date('2026-01-01T00:00:00Z'));
  await call('walpost.enable_endpoint($1)', id);
  await database.query('DELETE FROM walpost.parked');
  await call('walpost.disable_endpoint($1)', id);
  expect((await endpointOf(id))?.['missed_since']).toEqual(new Date('2026-01-01T00:00:00Z'));
});

describe('since when a disabled endpoint misses events', () => {
  const CLUSTER = 'SELECT system_identifier::text FROM pg_control_system()';
  const follow = (slot: string, table: string | null = null) =>
    database.query(
      `INSERT INTO walpost.cursor (slot, system_identifier, timeline, source_table) VALUES ($1, (${CLUSTER}), 1, $2)`,
      [slot, table],
    );
  /** A checkpoint that sees every row of now. */
  const checkpoint = (slot: string, lsn: string, given: { takenAt: string; settled: boolean }) =>
    database.query(
      `INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, lsn, snapshot, taken_at, settled_at)
       VALUES ($1, (${CLUSTER}), 1, $2, pg_current_snapshot(), $3, CASE WHEN $4::boolean THEN now() END)`,
      [slot, lsn, given.takenAt, given.settled],
    );
  const missed = async (): Promise<unknown> => {
    const { id } = await addEndpoint(database, organization);
    const before = new Date(Date.now() - 60_000);
    await call('walpost.disable_endpoint($1)', id);
    const since = (await endpointOf(id))?.['missed_since'] as Date;
    return since > before ? 'now' : since.toISOString();
  };
  const publish = async (at: string): Promise<void> => {
    const id = await call<string>(`walpost.publish($1, 'job.done', '{}')`, organization);
    await database.query('UPDATE walpost.outbox SET created_at = $2 WHERE event_id = $1', [id, at]);
  };

  test('from the last settled checkpoint on while a checkpoint waits', async () => {
    await follow('s');
    await follow('t');
    await checkpoint('s', '0/1', { takenAt: '2026-01-01T00:00:00Z', settled: true });
    await checkpoint('s', '0/2', { takenAt: '2026-01-02T00:00:00Z', settled: true });
    await checkpoint('t', '0/9', { takenAt: '2025-01-01T00:00:00Z', settled: true });
    expect(await missed()).toBe('now');
    // The event about this end is in the outbox now, and t has settled it.
    await checkpoint('t', '0/A', { takenAt: '2025-01-01T00:00:00Z', settled: true });
    await checkpoint('s', '0/3', { takenAt: '2026-01-03T00:00:00Z', settled: false });
    expect(await missed()).toBe('2026-01-02T00:00:00.000Z');
    await checkpoint('t', '0/B', { takenAt: '2025-01-01T00:00:00Z', settled: true });
    await database.query(`DELETE FROM walpost.checkpoints WHERE slot = 's' AND settled_at IS NOT NULL`);
    expect(await missed()).toBe('2026-01-03T00:00:00.000Z');
  });

  test('from the last settled checkpoint on while a row waits and no relay takes checkpoints', async () => {
    await follow('s');
    await checkpoint('s', '0/1', { takenAt: '2026-01-01T00:00:00Z', settled: true });
    await publish('2026-01-02T00:00:00Z');
    expect(await missed()).toBe('2026-01-01T00:00:00.000Z');
    await database.query('DELETE FROM walpost.checkpoints');
    expect(await missed()).toBe('2026-01-02T00:00:00.000Z');
  });

  /** A job of the slot that replays from there on. */
  const replay = async (fromLsn: string | null, spec = {}): Promise<string> => {
    const [job] = await database.query<{ id: string }>(
      `INSERT INTO walpost.jobs (slot, kind, from_lsn, spec) VALUES ('s', 'replay', $1, $2) RETURNING id::text`,
      [fromLsn, spec],
    );
    return job?.id ?? '';
  };
  /** One row of a new endpoint; of a job it has no commit. */
  const park = (endpoint: string, lsn: string, given: { job?: string; at: string }) =>
    database.query(
      `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, lane, history, order_lsn, order_job, place, commit_lsn, ordinal, job, job_row,
         event_id, event_type, event_version, topic, payload, headers, created_at, committed_at, size, received_at)
       VALUES ('s', 1, 'hooks', $1, $2, 0, $3, $4::text IS NOT NULL, nextval('walpost.parked_place'), CASE WHEN $4::text IS NULL THEN $3::pg_lsn END,
               CASE WHEN $4::text IS NULL THEN 0 END, $4, gen_random_uuid(), gen_random_uuid(), 'a', 1, 'default', '{}', '{}', $5::text,
               CASE WHEN $4::text IS NULL THEN $5::text::timestamptz END, 1, now())`,
      [organization, endpoint, lsn, given.job ?? null, given.at],
    );
  const disabled = async (id: string): Promise<unknown> => {
    await call('walpost.disable_endpoint($1)', id);
    const since = (await endpointOf(id))?.['missed_since'] as Date;
    return since.toISOString();
  };

  test('from the oldest that a job parked on, also behind a live event', async () => {
    await follow('s');
    const { id } = await addEndpoint(database, organization);
    await park(id, '0/5', { at: '2026-01-02T10:00:01Z' });
    await park(id, '0/6', { job: 'replay-7', at: '2026-01-02T09:00:00Z' });
    await park(id, '0/6', { job: 'replay-7', at: '2026-01-02T08:30:00Z' });
    await park(id, '0/7', { job: 'replay-8', at: '2026-01-02T08:00:00Z' });
    expect(await disabled(id)).toBe('2026-01-02T08:00:00.000Z');
  });

  test('from the settled checkpoint of this cluster that a job was planned from; from the oldest where none is known', async () => {
    await follow('s');
    await checkpoint('s', '0/1', { takenAt: '2026-01-01T00:00:00Z', settled: true });
    await checkpoint('s', '0/2', { takenAt: '2026-01-02T00:00:00Z', settled: true });
    await checkpoint('s', '0/3', { takenAt: '2026-01-03T00:00:00Z', settled: false });
    await checkpoint('s', '0/4', { takenAt: '2026-01-04T00:00:00Z', settled: true });
    await database.query(`UPDATE walpost.checkpoints SET system_identifier = '1' WHERE lsn = '0/4'`);
    await checkpoint('s', '0/9', { takenAt: '2026-01-09T00:00:00Z', settled: true });
    const since = async (fromLsn: string | null): Promise<unknown> => {
      const { id } = await addEndpoint(database, organization);
      const job = await replay(fromLsn, { lanes: [id] });
      const result = await disabled(id);
      await database.query('DELETE FROM walpost.jobs WHERE id = $1', [job]);
      return result;
    };
    expect(await since('0/5')).toBe('2026-01-02T00:00:00.000Z');
    expect(await since('0/0')).toBe('2026-01-01T00:00:00.000Z');
    expect(await since(null)).toBe('2026-01-01T00:00:00.000Z');
  });

  test('from where a recovery began that was cancelled or failed, until one that began there is done', async () => {
    await follow('s');
    await checkpoint('s', '0/1', { takenAt: '2026-01-01T00:00:00Z', settled: true });
    await checkpoint('s', '0/3', { takenAt: '2026-01-03T00:00:00Z', settled: true });
    await checkpoint('s', '0/9', { takenAt: '2026-01-09T00:00:00Z', settled: true });
    const since = async (...jobs: [fromLsn: string, state: string][]): Promise<unknown> => {
      const { id } = await addEndpoint(database, organization);
      for (const [fromLsn, state] of jobs) {
        const job = await replay(fromLsn, { lanes: [id] });
        await database.query('UPDATE walpost.jobs SET state = $2, ended_at = now() WHERE id = $1', [job, state]);
      }
      return disabled(id);
    };
    expect(await since(['0/1', 'cancelled'])).toBe('2026-01-01T00:00:00.000Z');
    expect(await since(['0/1', 'failed'], ['0/3', 'done'])).toBe('2026-01-01T00:00:00.000Z');
    expect(await since(['0/3', 'failed'], ['0/1', 'done'])).toBe('2026-01-09T00:00:00.000Z');
  });

  test('from the oldest checkpoint on where the job that parked is gone', async () => {
    await follow('s');
    await checkpoint('s', '0/1', { takenAt: '2026-01-01T00:00:00Z', settled: true });
    await checkpoint('s', '0/9', { takenAt: '2026-01-09T00:00:00Z', settled: true });
    const { id } = await addEndpoint(database, organization);
    await park(id, '0/9', { job: 'replay-7', at: '2026-01-05T00:00:00Z' });
    expect(await disabled(id)).toBe('2026-01-01T00:00:00.000Z');
  });

  test('a table of the application is not looked at: its last settled checkpoint counts', async () => {
    await follow('s', 'public.my_outbox');
    await checkpoint('s', '0/1', { takenAt: '2026-01-01T00:00:00Z', settled: true });
    expect(await missed()).toBe('2026-01-01T00:00:00.000Z');
  });
});

test('a rotation keeps the secret before it valid for the overlap, and five at most', async () => {
  const { id, secret: first } = await addEndpoint(database, organization);
  const second = await call<string>('walpost.rotate_endpoint_secret($1)', id);
  expect(await secretsOf(id)).toEqual([
    { secret: first, expires: true },
    { secret: second, expires: false },
  ]);
  const [left] = await database.query(
    `SELECT round(extract(epoch FROM expires_at - clock_timestamp()) / 3600)::int AS hours FROM walpost.endpoint_secrets WHERE expires_at IS NOT NULL`,
  );
  expect(left).toEqual({ hours: 24 });
  for (let more = 0; more < 3; more++) await call('walpost.rotate_endpoint_secret($1)', id);
  expect(await refusal(call('walpost.rotate_endpoint_secret($1)', id))).toMatchObject({
    code: '54000',
    hint: expect.stringContaining(`overlap => '0'`) as string,
  });
  const last = await call<string>(`walpost.rotate_endpoint_secret($1, '0')`, id);
  const valid = await database.query(
    'SELECT secret FROM walpost.endpoint_secrets WHERE expires_at IS NULL OR expires_at > clock_timestamp()',
  );
  expect(valid).toEqual([{ secret: last }]);
  expect(await changeNames()).toEqual(['added', ...Array.from({ length: 5 }, () => 'secret')]);
  for (const overlap of [`'-1 s'`, 'NULL', `'31 days'`]) {
    expect(await refusal(call(`walpost.rotate_endpoint_secret($1, ${overlap})`, id))).toMatchObject({ code: '22023' });
  }
});

test('a removed endpoint is gone with its secrets; its change stays for the stream', async () => {
  const { id } = await addEndpoint(database, organization);
  await call('walpost.remove_endpoint($1)', id);
  expect(await endpointOf(id)).toBeUndefined();
  expect(await secretsOf(id)).toEqual([]);
  expect(await changes('change, state, url')).toEqual([
    { change: 'added', state: 'enabled', url: 'https://hooks.example.com/in' },
    { change: 'removed', state: 'enabled', url: 'https://hooks.example.com/in' },
  ]);
  for (const each of ['update', 'pause', 'enable', 'disable', 'remove']) {
    expect(await refusal(call(`walpost.${each}_endpoint($1)`, id)), `${each} is tried`).toMatchObject({
      code: 'P0002',
      message: `walpost.${each}_endpoint: there is no endpoint ${id}`,
    });
  }
  expect(await refusal(call('walpost.enable_endpoint(NULL)'))).toMatchObject({ code: 'P0002' });
});

test('a test event names its endpoint; a disabled one gets none', async () => {
  const { id } = await addEndpoint(database, organization);
  const event = await call<string>('walpost.send_test_event($1)', id);
  expect(
    await database.query(
      'SELECT event_id, event_type, entity_type, entity_id, organization_id, payload FROM walpost.outbox',
    ),
  ).toEqual([
    {
      event_id: event,
      event_type: 'walpost.endpoint.test',
      entity_type: 'walpost.endpoint',
      entity_id: id,
      organization_id: organization,
      payload: { endpoint_id: id },
    },
  ]);
  await call('walpost.disable_endpoint($1)', id);
  expect(await refusal(call('walpost.send_test_event($1)', id))).toMatchObject({ code: '55000' });
});

test('where relays read a table of the application, no event of walpost is written, and no test is promised', async () => {
  const { id } = await addEndpoint(database, organization);
  await database.query(
    `INSERT INTO walpost.cursor (slot, system_identifier, timeline, source_table, publication) VALUES ('s', '1', 1, 'app.events', 'walpost')`,
  );
  expect(await refusal(call('walpost.send_test_event($1)', id))).toMatchObject({ code: '55000' });
  await call('walpost.disable_endpoint($1)', id);
  expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
});

test('a change is refused where no relay would read it, with the statement that helps', async () => {
  await database.query(`
    CREATE PUBLICATION app FOR TABLE walpost.outbox WITH (publish = 'insert');
    INSERT INTO walpost.cursor (slot, system_identifier, timeline, source_table, publication) VALUES ('s', '1', 1, 'app.events', 'app')`);
  const error = await refusal(addEndpoint(database, organization));
  expect(error).toMatchObject({ code: '55000', hint: 'ALTER PUBLICATION app ADD TABLE walpost.endpoint_changes;' });
  await database.query((error as { hint: string }).hint);
  await addEndpoint(database, organization);
});

describe('the relay', () => {
  const disable = (id: string, known: string, reason = 'it answered 410') =>
    call<boolean>(
      'walpost_internal.disable_failing_endpoint($1, $2, $3, $4)',
      id,
      known,
      reason,
      '2026-01-01T00:00:00Z',
    );
  const newest = async () =>
    (await database.query<{ id: string }>('SELECT max(change_id)::text AS id FROM walpost.endpoint_changes'))[0]?.id ??
    '';

  test('disables an endpoint that it knows as it is', async () => {
    const { id } = await addEndpoint(database, organization);
    expect(await disable(id, await newest())).toBe(true);
    expect(await endpointOf(id)).toMatchObject({
      state: 'disabled',
      state_reason: 'it answered 410',
      missed_since: new Date('2026-01-01T00:00:00Z'),
    });
    expect(await disable(id, await newest())).toBe(false);
    expect(await disable(randomUUID(), await newest())).toBe(false);
  });

  test('disables none that was changed since it sent to it', async () => {
    const { id } = await addEndpoint(database, organization);
    const known = await newest();
    await call(`walpost.update_endpoint($1, url => 'https://example.com/other')`, id);
    expect(await disable(id, known)).toBe(false);
    expect(await endpointOf(id)).toMatchObject({ state: 'enabled' });
    expect(await disable(id, await newest(), 'x'.repeat(600))).toBe(true);
  });
});

const REFUSED: readonly (readonly [args: string, code: string, message: string])[] = [
  [`NULL, $1, 'https://example.com/'`, '22004', 'sink must not be null'],
  [`'hooks', NULL, 'https://example.com/'`, '22004', 'organization_id must not be null'],
  [`'hooks', $1, NULL`, '22004', 'url must not be null'],
  [`'Hooks!', $1, 'https://example.com/'`, '22023', 'sink is no name'],
  [`'hooks', $1, 'https://user:s3cr3t@example.com/'`, '22023', 'the URL has a user name or a password in it'],
  [`'hooks', $1, 'https://10.0.0.1/s3cr3t'`, '22023', 'the URL has a private or special address'],
  [`'hooks', $1, 'https://example.com/', event_types => '{}'`, '22023', 'a list of 1 to 100 patterns'],
  [`'hooks', $1, 'https://example.com/', event_types => '{{a},{b}}'`, '22023', 'a list of 1 to 100 patterns'],
  [
    `'hooks', $1, 'https://example.com/', event_types => array_fill('a'::text, '{101}')`,
    '22023',
    'a list of 1 to 100 patterns',
  ],
  [`'hooks', $1, 'https://example.com/', event_types => ARRAY['a', NULL]`, '22023', '1 to 255 characters'],
  [`'hooks', $1, 'https://example.com/', event_types => ARRAY['']`, '22023', '1 to 255 characters'],
  [`'hooks', $1, 'https://example.com/', event_types => ARRAY[E'a\\nb']`, '22023', 'control character'],
  [`'hooks', $1, 'https://example.com/', event_types => '{walpost.*}'`, '22023', 'may begin with "walpost."'],
  [`'hooks', $1, 'https://example.com/', headers => '[]'`, '22023', 'must be a JSON object, not array'],
  [`'hooks', $1, 'https://example.com/', headers => '{"a": 1}'`, '22023', 'the header a must be a text'],
  [`'hooks', $1, 'https://example.com/', headers => '{"a": null}'`, '22023', 'the header a must be a text'],
  [`'hooks', $1, 'https://example.com/', headers => '{"a": ""}'`, '22023', 'the header a must be a text'],
  [
    `'hooks', $1, 'https://example.com/', headers => '{"a": "s3cr3t\\r\\nx: y"}'`,
    '22023',
    'the header a must be a text',
  ],
  [`'hooks', $1, 'https://example.com/', headers => '{"a": "größe"}'`, '22023', 'the header a must be a text'],
  [`'hooks', $1, 'https://example.com/', headers => '{"a b": "x"}'`, '22023', 'a name in headers is none of HTTP'],
  [`'hooks', $1, 'https://example.com/', headers => '{"": "x"}'`, '22023', 'a name in headers is none of HTTP'],
  [`'hooks', $1, 'https://example.com/', headers => '{"X-A": "x", "x-a": "y"}'`, '22023', 'twice'],
  [
    `'hooks', $1, 'https://example.com/', headers => (SELECT jsonb_object_agg('h' || n, 'x') FROM generate_series(1, 21) n)`,
    '22023',
    'at most 20',
  ],
  [`'hooks', $1, 'https://example.com/', headers => jsonb_build_object('a', repeat('x', 8200))`, '22023', 'at most 20'],
  ...[
    'Webhook-Signature',
    'walpost-event-type',
    'HOST',
    'Content-Type',
    'content-length',
    'transfer-encoding',
    'Idempotency-Key',
    'traceparent',
    'Proxy-Authorization',
  ].map(
    (name) =>
      [
        `'hooks', $1, 'https://example.com/', headers => '{"${name}": "s3cr3t"}'`,
        '22023',
        `walpost sets the header ${name} itself`,
      ] as const,
  ),
  [`'hooks', $1, 'https://example.com/', max_per_second => -1`, '22023', 'max_per_second'],
  [`'hooks', $1, 'https://example.com/', max_per_second => 'NaN'`, '22023', 'max_per_second'],
  [`'hooks', $1, 'https://example.com/', max_per_second => 'Infinity'`, '22023', 'max_per_second'],
  [`'hooks', $1, 'https://example.com/', description => repeat('x', 1001)`, '22023', 'description'],
  [`'hooks', $1, 'https://example.com/', description => E'a\\x1b[2J'`, '22023', 'description'],
];

describe('what is refused, each with a hint', () => {
  test.each(REFUSED)('add_endpoint(%s)', async (args, code, message) => {
    const error = await refusal(
      database.query(`SELECT walpost.add_endpoint(${args.replace('$1', `'${organization}'`)})`),
    );
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(`walpost.add_endpoint: `) as string,
      hint: expect.stringMatching(/\.$/) as string,
    });
    expect((error as Error).message).toContain(message);
    expect(JSON.stringify(error, ['message', 'detail', 'hint', 'where'])).not.toContain('s3cr3t');
    expect(await database.query('SELECT FROM walpost.endpoint_changes')).toEqual([]);
  });

  test('an update with the same', async () => {
    const { id } = await addEndpoint(database, organization);
    for (const rest of [
      `url => 'http://example.com/'`,
      `event_types => '{}'`,
      `headers => '{"host": "x"}'`,
      'max_per_second => -1',
    ]) {
      expect(await refusal(call(`walpost.update_endpoint($1, ${rest})`, id))).toMatchObject({
        code: '22023',
        message: expect.stringContaining('walpost.update_endpoint: ') as string,
      });
    }
    expect(await refusal(call('walpost.disable_endpoint($1, $2)', id, 'x\ny'))).toMatchObject({ code: '22023' });
    expect(await changeNames()).toEqual(['added']);
  });

  test('more endpoints than the setting allows, in whatever sink', async () => {
    await database.query(`UPDATE walpost.settings SET value = '2' WHERE name = 'endpoints_per_organization'`);
    await addEndpoint(database, organization);
    await database.query(`SELECT walpost.add_endpoint('other', $1, 'https://example.com/')`, [organization]);
    expect(await refusal(addEndpoint(database, organization))).toMatchObject({
      code: '54000',
      message: expect.stringContaining('2 endpoints') as string,
    });
    await addEndpoint(database, randomUUID());
  });

  test.each([
    ['endpoints_per_organization', '-1'],
    ['endpoints_per_organization', '"50"'],
    ['endpoints_per_organization', '1.5'],
    ['endpoints_on_loopback', '1'],
  ])('the setting %s with the value %s', async (name, value) => {
    const update = database.query('UPDATE walpost.settings SET value = $2 WHERE name = $1', [name, value]);
    expect(await refusal(update)).toMatchObject({ code: '23514' });
  });

  test('a machine of the network, unless endpoints_on_loopback allows it', async () => {
    const local = 'http://127.0.0.1:4000/hook';
    expect(await refusal(addEndpoint(database, organization, local))).toMatchObject({ code: '22023' });
    await database.query(`UPDATE walpost.settings SET value = 'true' WHERE name = 'endpoints_on_loopback'`);
    await addEndpoint(database, organization, local);
    expect(await refusal(addEndpoint(database, organization, 'http://10.0.0.1/'))).toMatchObject({ code: '22023' });
  });
});
