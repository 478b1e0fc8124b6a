import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { pruneAll } from '../../src/postgres/retention/prune.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { settleAll } from '../support/settled-checkpoint.ts';
import { walpost } from '../support/walpost-cli.ts';

const organization = randomUUID();

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const fill = (rows: number, age = '4 days') =>
  database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at)
     SELECT $1, 'a', '{}', clock_timestamp() - $3::interval FROM generate_series(1, $2)`,
    [organization, rows, age],
  );
const prune = async (args = ''): Promise<number> =>
  Number((await database.query<{ n: string }>(`SELECT walpost.prune(${args}) AS n`))[0]?.n);
const left = async (table = 'outbox'): Promise<number> =>
  Number((await database.query<{ n: string }>(`SELECT count(*) AS n FROM walpost.${table}`))[0]?.n);

test('nothing goes before it is proven for every slot', async () => {
  await fill(10);
  expect(await prune()).toBe(0);
  await database.query(`INSERT INTO walpost.cursor (slot, system_identifier, timeline) VALUES ('second', '1', 1)`);
  await settleAll(database);
  expect(await prune()).toBe(0);
  await database.query(`DELETE FROM walpost.cursor WHERE slot = 'second'`);
  await fill(5);
  expect(await prune()).toBe(10);
  expect(await left()).toBe(5);
});

test('a batch at a time, the oldest first, and only what is past the retention', async () => {
  await fill(12);
  await fill(3, '71 hours');
  await settleAll(database);
  expect([await prune(`'72 hours', 5`), await prune(`'72 hours', 5`)]).toEqual([5, 5]);
  expect(await database.query('SELECT min(seq)::int AS first FROM walpost.outbox')).toEqual([{ first: 11 }]);
  expect([await prune(`'72 hours', 5`), await prune(`'72 hours', 5`)]).toEqual([2, 0]);
  expect(await left()).toBe(3);
  expect(await prune(`'1 hour', 5`)).toBe(3);
});

test('rows of a transaction that was open at the checkpoint stay, and hold nobody else up', async () => {
  const open = await database.client();
  await open.query('BEGIN');
  await open.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at)
     SELECT $1, 'open', '{}', now() - interval '9 days' FROM generate_series(1, 3)`,
    [organization],
  );
  await fill(5);
  await settleAll(database);
  await open.query('COMMIT');
  expect(await prune()).toBe(5);
  expect(await database.query('SELECT DISTINCT event_type FROM walpost.outbox')).toEqual([{ event_type: 'open' }]);
  await settleAll(database);
  expect(await prune()).toBe(3);
});

test('what a heal or a replay has still to read stays until it is over; keys go meanwhile', async () => {
  await fill(5);
  await settleAll(database);
  await database.query(
    `INSERT INTO walpost.idempotency_keys (organization_id, idempotency_key, event_id, created_at)
     VALUES ($1, 'old', gen_random_uuid(), now() - interval '8 days')`,
    [organization],
  );
  await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ('test', 'replay')`);
  await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ('test', 'redrive')`);
  expect([await prune(), await left(), await left('idempotency_keys')]).toEqual([1, 5, 0]);
  await database.query(`UPDATE walpost.jobs SET state = 'running', kind = 'heal' WHERE kind = 'replay'`);
  expect(await prune()).toBe(0);
  await database.query(`UPDATE walpost.jobs SET state = 'done', ended_at = now() WHERE kind = 'heal'`);
  expect(await prune()).toBe(5);
});

test('a replay whose rows left between its plan and its start is refused', async () => {
  await database.query(`SELECT pg_current_xact_id()`);
  await settleAll(database);
  const [begin] = await database.query<{ snapshot: string }>(
    `SELECT snapshot::text FROM walpost.checkpoints ORDER BY id LIMIT 1`,
  );
  const replay = () =>
    database.query(`INSERT INTO walpost.jobs (slot, kind, after_snapshot) VALUES ('test', 'replay', $1)`, [
      begin?.snapshot,
    ]);
  await fill(5);
  await settleAll(database);
  await replay();
  await database.query(`DELETE FROM walpost.jobs`);
  expect(await prune()).toBe(5);
  await expect(replay()).rejects.toMatchObject({ code: '55000' });
});

test('keys, results and the log go with their own age, and a key that is gone is free', async () => {
  await database.query(
    `SELECT walpost.publish($1, 'a', '{}', idempotency_key => k) FROM unnest('{old,new}'::text[]) AS k`,
    [organization],
  );
  await database.query(
    `UPDATE walpost.idempotency_keys SET created_at = now() - interval '8 days' WHERE idempotency_key = 'old'`,
  );
  await database.query(
    `INSERT INTO walpost.command_results (organization_id, idempotency_key, command, arguments_hash, created_at)
     SELECT $1, n::text, 'f', '', now() - n * interval '2 days' FROM generate_series(0, 5) AS n`,
    [organization],
  );
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, duration_ms, at)
     SELECT 's', 's', 'o', '1', '1', '{1}', 1, 1, 'delivered', 1, now() - n * interval '2 days' FROM generate_series(0, 5) AS n`,
  );
  expect(await prune()).toBe(1 + 2 + 2);
  expect([await left('idempotency_keys'), await left('command_results'), await left('delivery_log')]).toEqual([
    1, 4, 4,
  ]);
  const before = await left();
  await database.query(`SELECT walpost.publish($1, 'a', '{}', idempotency_key => 'old')`, [organization]);
  expect(await left()).toBe(before + 1);
  await database.query(`UPDATE walpost.settings SET value = '24' WHERE name = 'idempotency_hours'`);
  expect(await prune()).toBe(3);
});

test('jobs that are over go after a month, or as the settings say; one that is not over stays', async () => {
  await database.query(
    `INSERT INTO walpost.jobs (slot, kind, state, created_at, ended_at)
     SELECT 's', 'redrive', state, now() - age, CASE WHEN state IN ('done', 'failed', 'cancelled') THEN now() - age END
       FROM unnest('{queued,running,done,failed,cancelled}'::text[]) AS state,
            unnest('{1 day,29 days,31 days}'::interval[]) AS age`,
  );
  expect([await prune(`'72 hours', 2`), await prune(`'72 hours', 2`), await prune()]).toEqual([2, 1, 0]);
  expect(await left('jobs')).toBe(12);
  await database.query(`UPDATE walpost.settings SET value = '48' WHERE name = 'job_hours'`);
  expect(await prune()).toBe(3);
  expect(
    await database.query(`SELECT state, count(*)::int AS n FROM walpost.jobs GROUP BY state ORDER BY state`),
  ).toEqual([
    { state: 'cancelled', n: 1 },
    { state: 'done', n: 1 },
    { state: 'failed', n: 1 },
    { state: 'queued', n: 3 },
    { state: 'running', n: 3 },
  ]);
});

test('while another session prunes, it waits, and then goes on', async () => {
  await fill(5);
  await settleAll(database);
  const other = await database.client();
  await other.query('BEGIN');
  await other.query(`SELECT walpost.prune('72 hours', 2)`);
  const waiting = prune();
  await poll('it waits', async () => {
    const { rowCount } = await other.query("SELECT FROM pg_locks WHERE locktype = 'relation' AND NOT granted");
    return (rowCount ?? 0) > 0 || undefined;
  });
  await other.query('COMMIT');
  expect(await waiting).toBe(3);
});

test.each([`NULL`, `'-1 hour'`, `'1 hour', 0`, `'1 hour', 100001`])('refused: prune(%s)', async (args) => {
  await expect(prune(args)).rejects.toMatchObject({ code: '22023', hint: expect.any(String) as string });
});

test('the pruner goes on to the end, and the command says what it removed', async () => {
  await fill(25);
  await settleAll(database);
  const pool = createPool(database.url, { applicationName: 'prune', max: 1 });
  const seen: number[] = [];
  expect(await pruneAll(pool, { retention: 3_600_000, batch: 10, onBatch: (n) => seen.push(n) })).toBe(25);
  await pool.end();
  expect(seen).toEqual([10, 20, 25]);
  await fill(3);
  await settleAll(database);
  using file = new ConfigFile(
    JSON.stringify({ database: { url: database.url }, sinks: { log: { type: 'stdout' } }, routes: [{ to: ['log'] }] }),
  );
  const run = (...more: string[]) => walpost(['prune', '--config', file.path, ...more]);
  expect(await run('--json')).toMatchObject({ code: 0, stdout: '{"removed":3}\n' });
  expect(await run()).toMatchObject({ code: 0, stdout: 'Nothing to remove.\n' });
  expect(await run('--retention', 'soon')).toMatchObject({ code: 2 });
});

test('no lock that a writer or a reader waits for is held for 100 ms', async () => {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at)
     SELECT gen_random_uuid(), 'a', jsonb_build_object('n', n), now() - interval '9 days' FROM generate_series(1, 30000) AS n`,
  );
  await settleAll(database);
  const [writer, pruner] = [await database.client(), await database.client()];
  let done = false;
  const pruning = (async () => {
    for (let n = 0; n < 6; n++) await pruner.query('SELECT walpost.prune()');
    done = true;
  })();
  // A second session that gives up after 100 ms of waiting for a lock.
  await writer.query(`SET lock_timeout = '100ms'`);
  let writes = 0;
  while (!done) {
    await writer.query(`SELECT walpost.publish($1, 'a', '{}', idempotency_key => gen_random_uuid()::text)`, [
      organization,
    ]);
    await writer.query('SELECT count(*) FROM (SELECT FROM walpost.outbox LIMIT 10) AS few');
    writes += 1;
  }
  await pruning;
  expect(writes).toBeGreaterThan(5);
  expect(await left()).toBe(writes);
});

describe('nobody without rights holds pruning up', () => {
  test('with the advisory lock that prune once took', async () => {
    await using stranger = await createRole(database);
    const [schema] = await database.query<{ key: number }>(`SELECT 'walpost'::regnamespace::oid::int AS key`);
    await (await stranger.client()).query('SELECT pg_advisory_lock($1, 1)', [schema?.key]);
    await fill(5);
    await settleAll(database);
    expect(await prune()).toBe(5);
    await database.query(`INSERT INTO walpost.jobs (slot, kind, after_snapshot)
                          SELECT 'test', 'replay', snapshot FROM walpost.checkpoints ORDER BY id DESC LIMIT 1`);
  });

  test('with a row of its own that a publisher locks', async () => {
    await using publisher = await createRole(database, { in: ['walpost_publisher'] });
    await database.query(
      `INSERT INTO walpost.command_results (organization_id, idempotency_key, command, arguments_hash, created_at)
       SELECT $1, n::text, 'f', '', now() - interval '8 days' FROM generate_series(1, 5) AS n`,
      [organization],
    );
    const session = await publisher.client();
    await session.query('BEGIN');
    await session.query(`SELECT set_config('app.current_org_id', $1, true)`, [organization]);
    await session.query(`SELECT FROM walpost.command_results WHERE idempotency_key = '1' FOR KEY SHARE`);
    await session.query(`SELECT FROM walpost.command_results WHERE idempotency_key = '2' FOR UPDATE`);
    await database.query(`SET statement_timeout = '5s'`);
    expect([await prune(), await prune()]).toEqual([3, 0]);
    await session.query('COMMIT');
    expect(await prune()).toBe(2);
  });

  test('with old secrets of an endpoint that its tenant is rotating', async () => {
    await using publisher = await createRole(database, { in: ['walpost_publisher'] });
    const [mine, other] = [await addEndpoint(database, organization), await addEndpoint(database, organization)];
    await database.query(
      `INSERT INTO walpost.endpoint_secrets (endpoint_id, secret, expires_at)
       SELECT id, 'old', now() - interval '2 days' FROM unnest($1::uuid[]) AS id, generate_series(1, 2)`,
      [[mine.id, other.id]],
    );
    const session = await publisher.client();
    await session.query('BEGIN');
    await session.query(`SELECT set_config('app.current_org_id', $1, true)`, [organization]);
    await session.query('SELECT walpost.rotate_endpoint_secret($1)', [mine.id]);
    await database.query(`SET statement_timeout = '5s'`);
    expect([await prune(), await prune()]).toEqual([2, 0]);
    await session.query('ROLLBACK');
    expect(await prune()).toBe(2);
    expect(await left('endpoint_secrets')).toBe(2);
  });

  test.each(['walpost_publisher', 'walpost_reader'])('a %s cannot lock what others wait for', async (group) => {
    await using role = await createRole(database, { in: [group] });
    const session = await role.client();
    const tables = await database.query<{ name: string }>(
      `SELECT c.oid::regclass::text AS name FROM pg_class c
        WHERE relnamespace = 'walpost'::regnamespace AND relkind IN ('r', 'p')`,
    );
    expect(tables.length).toBeGreaterThan(10);
    for (const { name } of tables) {
      const lock = session.query(`BEGIN; LOCK TABLE ${name} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT`);
      await expect(lock).rejects.toMatchObject({ code: '42501' });
      await session.query('ROLLBACK');
    }
  });
});

test('who prunes and does not commit is named with a remedy, and the remedy works', { timeout: 90_000 }, async () => {
  await fill(5);
  await settleAll(database);
  await using operator = await createRole(database, { in: ['walpost_operator'] });
  const session = await operator.client();
  await session.query('BEGIN');
  await session.query('SELECT walpost.prune()');
  using file = new ConfigFile(
    JSON.stringify({ database: { url: database.url }, sinks: { log: { type: 'stdout' } }, routes: [{ to: ['log'] }] }),
  );
  const busy = await walpost(['prune', '--config', file.path]);
  expect(busy.code).toBe(1);
  expect(busy.stderr).toContain('PRUNE_BUSY');
  expect(busy.stderr).toContain(`role ${operator.name}`);
  const remedy = /SELECT pg_terminate_backend\(\d+\);/.exec(busy.stderr)?.[0];
  await database.query(remedy ?? '');
  const done = await walpost(['prune', '--config', file.path]);
  expect(done).toMatchObject({ code: 0, stdout: 'Removed 5 rows.\n' });
});
