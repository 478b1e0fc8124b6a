/** Changes at the same time: their order is that of commits, and the limit holds. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint, refusal } from '../support/endpoint-calls.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';

describe.each<PostgresMajor>(['15', '17'])('on Postgres %s', (version) => {
  let server: Awaited<ReturnType<typeof startServer>>;
  let database: TestDatabase;
  beforeAll(async () => {
    server = await startServer(version, { settings: { wal_level: 'logical' } });
    database = await createTestDatabase({ server: server.url() });
  }, 120_000);
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const waits = (client: pg.Client) =>
    poll('a session that waits for a lock', async () => {
      const rows = await database.query(`SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'`, [
        (client as pg.Client & { processID: number }).processID,
      ]);
      return rows.length > 0 ? true : undefined;
    });

  /** What the slot brings of the table, in the order of commits: the numbers of the changes of each endpoint. */
  async function streamed(slot: string): Promise<Map<string, number[]>> {
    const rows = await database.query<{ data: Buffer }>(
      `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walpost')
        WHERE get_byte(data, 0) = ascii('I')`,
      [slot],
    );
    const found = new Map<string, number[]>();
    for (const { data } of rows) {
      const [, id = '', endpoint = ''] = /t....(\d+)t....([0-9a-f-]{36})t/s.exec(data.toString('latin1')) ?? [];
      found.set(endpoint, [...(found.get(endpoint) ?? []), Number(id)]);
    }
    return found;
  }

  test('the second of two updates waits for the first, and its change has the higher number', async () => {
    const { id } = await addEndpoint(database, randomUUID());
    const [first, second] = [await database.client(), await database.client()];
    await first.query('BEGIN');
    await first.query(`SELECT walpost.update_endpoint($1, description => 'one')`, [id]);
    const later = second.query(`SELECT walpost.update_endpoint($1, max_per_second => 2)`, [id]);
    await waits(second);
    await first.query('COMMIT');
    await later;
    expect(
      await database.query(
        'SELECT change, max_per_second FROM walpost.endpoint_changes WHERE endpoint_id = $1 ORDER BY change_id',
        [id],
      ),
    ).toEqual([
      { change: 'added', max_per_second: null },
      { change: 'updated', max_per_second: null },
      { change: 'updated', max_per_second: '2' },
    ]);
    expect(
      await database.query('SELECT description, max_per_second FROM walpost.endpoints WHERE endpoint_id = $1', [id]),
    ).toEqual([{ description: 'one', max_per_second: '2' }]);
  });

  test('an endpoint that is removed meanwhile is not there for the one that waited', async () => {
    const { id } = await addEndpoint(database, randomUUID());
    const [first, second] = [await database.client(), await database.client()];
    await first.query('BEGIN');
    await first.query('SELECT walpost.remove_endpoint($1)', [id]);
    const later = refusal(second.query('SELECT walpost.disable_endpoint($1)', [id]));
    await waits(second);
    await first.query('COMMIT');
    expect(await later).toMatchObject({ code: 'P0002' });
  });

  test(
    'many sessions at once: the stream brings the changes of each endpoint in the order of their numbers',
    { timeout: 60_000 },
    async () => {
      const ids: string[] = [];
      for (let each = 0; each < 3; each++) ids.push((await addEndpoint(database, randomUUID())).id);
      const slot = database.slotName;
      await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
      const sessions = await Promise.all(Array.from({ length: 8 }, () => database.client()));
      const calls = [
        `walpost.update_endpoint($1, description => gen_random_uuid()::text)`,
        'walpost.pause_endpoint($1)',
        'walpost.enable_endpoint($1)',
        `walpost.rotate_endpoint_secret($1, '0')`,
      ];
      await Promise.all(
        sessions.map(async (session, number) => {
          for (let turn = 0; turn < 40; turn++) {
            await session.query('BEGIN');
            await session.query(`SELECT ${calls[(number + turn) % calls.length]}`, [ids[turn % ids.length]]);
            await session.query(`SELECT walpost.publish(gen_random_uuid(), 'between', '{}')`);
            await session.query(turn % 5 === 0 ? 'ROLLBACK' : 'COMMIT');
          }
        }),
      );
      const found = await streamed(slot);
      const stored = await database.query<{ endpoint_id: string; numbers: number[] }>(
        `SELECT endpoint_id, array_agg(change_id::int ORDER BY change_id) AS numbers FROM walpost.endpoint_changes
        WHERE endpoint_id = ANY ($1) AND change <> 'added' GROUP BY endpoint_id`,
        [ids],
      );
      for (const { endpoint_id: id, numbers } of stored) expect(found.get(id), `endpoint ${id}`).toEqual(numbers);
      expect(stored.reduce((sum, { numbers }) => sum + numbers.length, 0)).toBeGreaterThan(100);
      await database.query('SELECT pg_drop_replication_slot($1)', [slot]);
    },
  );

  test('calls at the same time keep to the limit, and those of other organizations do not wait', async () => {
    await database.query(`UPDATE walpost.settings SET value = '3' WHERE name = 'endpoints_per_organization'`);
    const organization = randomUUID();
    const holder = await database.client();
    await holder.query('BEGIN');
    await addEndpoint(holder, organization);
    await addEndpoint(database, randomUUID());
    const sessions = await Promise.all(Array.from({ length: 6 }, () => database.client()));
    const calls = sessions.map((session) => addEndpoint(session, organization).catch((error: unknown) => error));
    for (const session of sessions) await waits(session);
    await holder.query('COMMIT');
    const codes = (await Promise.all(calls)).map((result) =>
      result instanceof Error ? (result as Error & { code: string }).code : 'added',
    );
    expect(codes.toSorted()).toEqual(['54000', '54000', '54000', '54000', 'added', 'added']);
    expect(
      await database.query('SELECT count(*)::int AS n FROM walpost.endpoints WHERE organization_id = $1', [
        organization,
      ]),
    ).toEqual([{ n: 3 }]);
  });

  test('in a transaction that sees one state for ever the later one fails, and can be tried again', async () => {
    const organization = randomUUID();
    const [first, second] = [await database.client(), await database.client()];
    await second.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await second.query('SELECT FROM walpost.endpoints');
    await addEndpoint(first, organization);
    expect(await refusal(addEndpoint(second, organization))).toMatchObject({ code: '40001' });
    await second.query('ROLLBACK');
    await addEndpoint(second, organization);
  });

  test('the relay does not wait for a person who has not committed, and is told so', async () => {
    const { id } = await addEndpoint(database, randomUUID());
    const holder = await database.client();
    await holder.query('BEGIN');
    await holder.query('SELECT walpost.pause_endpoint($1)', [id]);
    const disabled = (which: string) =>
      database.query(`SELECT walpost_internal.disable_failing_endpoint($1, 1000000, 'x') AS disabled`, [which]);
    expect(await disabled(id)).toEqual([{ disabled: null }]);
    expect(await disabled(randomUUID())).toEqual([{ disabled: false }]); // there is none
    await holder.query('ROLLBACK');
    expect(await disabled(id)).toEqual([{ disabled: true }]);
  });
});
