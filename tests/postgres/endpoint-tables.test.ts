/** The tables of endpoints in the life of an installation: upgrade, publications, pruning, other slots, copies. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { moveSlotRows } from '../../src/postgres/cursor/slot-rows.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { SOURCE_IDENTITY } from '../../src/postgres/source/completeness.ts';
import { checkEndpointPublication } from '../../src/postgres/source/endpoint-changes.ts';
import { ensurePublication } from '../../src/postgres/source/publication.ts';
import { planPreparation } from '../../src/postgres/source/source-preparation.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint, refusal } from '../support/endpoint-calls.ts';
import { schemaListing } from '../support/schema-listing.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const published = async (publication: string) =>
  (
    await database.query<{ name: string }>(
      `SELECT format('%s.%s', schemaname, tablename) AS name FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1`,
      [publication],
    )
  ).map(({ name }) => name);

const BEFORE = `
  DROP TABLE walpost.endpoints, walpost.endpoint_secrets, walpost.endpoint_changes, walpost.endpoint_positions,
             walpost.endpoint_organizations, walpost.endpoint_installation CASCADE;
  ALTER TABLE walpost.settings DROP CONSTRAINT settings_endpoints;
  DELETE FROM walpost.settings WHERE name LIKE '%endpoint%';
  DELETE FROM walpost.migrations WHERE number = 21`;

test('a schema from before gets the tables while a slot is there; the slot lacks nothing, and brings the changes', async () => {
  const client = await database.client();
  const whole = await schemaListing(client, { bodies: true });
  await database.query(BEFORE);
  const identity = async () =>
    (
      await database.query(`SELECT ${SOURCE_IDENTITY} AS it, $1::text, $2::text`, [
        '',
        '',
        'walpost',
        'walpost',
        'outbox',
      ])
    )[0]?.['it'] as string;
  const slot = database.slotName;
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES (gen_random_uuid(), 'a', '{}')`,
  );
  const before = await identity();
  expect(before).toMatch(/^\d+\/\d+ \d+ \d+$/);
  await migrate(database.url);
  expect(await identity()).toBe(before);
  expect(await schemaListing(client, { bodies: true })).toBe(whole);
  await addEndpoint(database, randomUUID());
  await database.query(`SELECT walpost.publish(gen_random_uuid(), 'b', '{}')`);
  const inserts = await database.query(
    `SELECT get_byte(data, 0) = ascii('I') AS it FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walpost')
      WHERE get_byte(data, 0) = ascii('I')`,
    [slot],
  );
  expect(inserts).toHaveLength(3);
});

describe('the publication of a table of the application', () => {
  const source = { publication: 'app', table: 'app.events' };
  beforeEach(() => database.query('CREATE SCHEMA app; CREATE TABLE app.events (id int)'));

  test('holds the changes where a sink has endpoints, and only there', async () => {
    expect(await ensurePublication({ db: await database.client(), ...source, endpoints: true })).toBe(true);
    expect(await published('app')).toEqual(['app.events', 'walpost.endpoint_changes']);
    await database.query('DROP PUBLICATION app');
    await ensurePublication({ db: await database.client(), ...source, endpoints: false });
    expect(await published('app')).toEqual(['app.events']);
  });

  test('is refused without them, with the statement that helps', async () => {
    const client = await database.client();
    await ensurePublication({ db: client, ...source });
    const error = (await refusal(checkEndpointPublication(client, 'app'))) as { code: string; remedy: string };
    expect(error.code).toBe('PUBLICATION_TABLE');
    await client.query(error.remedy.replace('As the owner of both: ', ''));
    expect(await refusal(checkEndpointPublication(client, 'app'))).toBe('it was accepted');
    await client.query(`ALTER PUBLICATION app SET (publish = 'update')`);
    expect(await refusal(checkEndpointPublication(client, 'app'))).toMatchObject({ code: 'PUBLICATION_TABLE' });
  });

  test('gets them from walpost migrate --outbox, once', async () => {
    const client = await database.client();
    await ensurePublication({ db: client, ...source });
    const plan = async (endpoints: boolean) =>
      (await planPreparation({ db: client, ...source, endpoints })).map(({ sql }) => sql);
    const add = 'ALTER PUBLICATION "app" ADD TABLE walpost.endpoint_changes';
    expect(await plan(false)).not.toContain(add);
    expect(await plan(true)).toContain(add);
    await client.query(add);
    expect(await plan(true)).not.toContain(add);
  });
});

describe('pruning', () => {
  const left = async () =>
    (await database.query<{ it: string }>(`SELECT change AS it FROM walpost.endpoint_changes ORDER BY change_id`)).map(
      ({ it }) => it,
    );
  const age = () => database.query(`UPDATE walpost.endpoint_changes SET changed_at = changed_at - interval '8 days'`);
  const prune = () => database.query('SELECT walpost.prune()');
  const update = (id: string, text: string) =>
    database.query('SELECT walpost.update_endpoint($1, description => $2)', [id, text]);
  const note = () =>
    database.query(
      `INSERT INTO walpost.endpoint_positions SELECT 'test', change_id, '0/1' FROM walpost.endpoint_changes ON CONFLICT DO NOTHING`,
    );

  test('leaves the newest change of each endpoint, and what no relay has settled', async () => {
    const { id } = await addEndpoint(database, randomUUID());
    await update(id, 'one');
    await settleAll(database);
    await update(id, 'two');
    await note();
    await age();
    await prune();
    expect(await left()).toEqual(['updated', 'updated']);
    await settleAll(database);
    await prune();
    expect(await left()).toEqual(['updated']);
    expect(await database.query('SELECT count(*)::int AS n FROM walpost.endpoint_positions')).toEqual([{ n: 1 }]);
    await prune();
    expect(await left()).toEqual(['updated']);
  });

  test('takes all of an endpoint that was removed, its removal last', async () => {
    const { id } = await addEndpoint(database, randomUUID());
    await update(id, 'one');
    await database.query('SELECT walpost.remove_endpoint($1)', [id]);
    await note();
    await age();
    await prune();
    expect(await left()).toHaveLength(3); // no relay has settled it
    await settleAll(database);
    await database.query(`SELECT walpost.prune(batch_size => 1)`);
    expect(await left()).toEqual(['updated', 'removed']);
    await prune();
    expect(await left()).toEqual(['removed']);
    await prune();
    expect(await left()).toEqual([]);
    expect(await database.query('SELECT FROM walpost.endpoint_positions')).toEqual([]);
  });

  test('takes the secrets of an endpoint that was removed when a relay has settled the removal', async () => {
    const [{ id }, kept] = [await addEndpoint(database, randomUUID()), await addEndpoint(database, randomUUID())];
    const secrets = () => database.query('SELECT endpoint_id AS id FROM walpost.endpoint_secrets');
    await settleAll(database);
    await database.query('SELECT walpost.remove_endpoint($1)', [id]);
    await prune();
    expect(await secrets()).toHaveLength(2);
    await settleAll(database);
    await prune();
    expect(await secrets()).toEqual([{ id: kept.id }]);
  });

  test('leaves what is young, and takes secrets that have expired for a day', async () => {
    const { id } = await addEndpoint(database, randomUUID());
    await update(id, 'one');
    await database.query(`SELECT walpost.rotate_endpoint_secret($1, '0')`, [id]);
    await settleAll(database);
    await prune();
    expect(await left()).toEqual(['added', 'updated', 'secret']);
    const secrets = () => database.query('SELECT FROM walpost.endpoint_secrets');
    expect(await secrets()).toHaveLength(2);
    await database.query(`UPDATE walpost.endpoint_secrets SET expires_at = expires_at - interval '2 days'`);
    await prune();
    expect(await secrets()).toHaveLength(1);
  });
});

test('a slot that takes another name keeps its positions, also where some were left under that name', async () => {
  await addEndpoint(database, randomUUID());
  await database.query(
    `INSERT INTO walpost.endpoint_positions SELECT s, change_id, l::pg_lsn FROM walpost.endpoint_changes, (VALUES ('old', '0/2'), ('new', '0/1')) AS v (s, l)`,
  );
  await moveSlotRows(await database.client(), 'old', 'new');
  expect(await database.query('SELECT slot, commit_lsn FROM walpost.endpoint_positions')).toEqual([
    { slot: 'new', commit_lsn: '0/2' },
  ]);
});

test('changes that were loaded from another cluster count as old ones', async () => {
  await addEndpoint(database, randomUUID());
  await database.query(`UPDATE walpost.endpoint_changes SET changed_xid = '999999999999'`);
  await database.query('SELECT walpost_internal.begin_restamp()');
  expect(
    await database.query(
      'SELECT pg_visible_in_snapshot(changed_xid, pg_current_snapshot()) AS seen FROM walpost.endpoint_changes',
    ),
  ).toEqual([{ seen: true }]);
});

test('the first endpoint says where endpoints belong; in a copy they are not sent to until somebody adopts them', async () => {
  const copied = async () => (await database.query('SELECT walpost_internal.endpoints_are_copied() AS it'))[0]?.['it'];
  const adopt = async () => (await database.query('SELECT walpost_internal.adopt_endpoints() AS it'))[0]?.['it'];
  expect([await copied(), await adopt()]).toEqual([false, false]);
  await addEndpoint(database, randomUUID());
  expect([await copied(), await adopt()]).toEqual([false, false]);
  expect(await database.query('SELECT database_name, recorded_by FROM walpost.endpoint_installation')).toEqual([
    { database_name: database.name, recorded_by: 'add_endpoint' },
  ]);

  await database.query(`UPDATE walpost.endpoint_installation SET system_identifier = '1'`);
  const client = await database.client();
  const warnings: (string | undefined)[] = [];
  client.on('notice', ({ message, hint }) => warnings.push(message, hint ?? ''));
  await addEndpoint(client, randomUUID());
  expect(warnings).toEqual([
    'walpost: nothing is sent to endpoints here, because they came with a copy of another database',
    'Where they are meant to get events from this database: walpost endpoints adopt.',
  ]);
  expect([await copied(), await adopt(), await copied()]).toEqual([true, true, false]);
});
