import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const Y = '01a1f9c1-5e61-768b-8ff0-dabec930edd2';
const SECRET = '{"note": "only with --payload"}';

let database: TestDatabase;
let log: EventLog;
let other: EventLog;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  [log, other] = [await EventLog.start(), await EventLog.start()];
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: sinks() })));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await log[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const sinks = () => ({ hook: log.receiver.sink(), other: other.receiver.sink() });
const show = (id: string, ...flags: string[]): Promise<CliResult> =>
  walpost(['events', 'show', id, '--config', file.path, ...flags]);

async function publish(organization = X): Promise<string> {
  const [row] = await database.query<{ id: string }>(`SELECT walpost.publish($1, 'a', $2)::text AS id`, [
    organization,
    SECRET,
  ]);
  return row?.id ?? '';
}
const rows = (table: string): Promise<true> =>
  poll(table, async () => (await database.query(`SELECT FROM walpost.${table}`)).length > 0 || undefined, 20_000);

test('an event that is delivered at one sink and parked at the other: its way, and no payload unasked', async () => {
  log.receiver.onBatch = () => 503;
  const delivery = { park_after: '100ms', quick_retries: 0, log: 'all', breaker: { minimum_organizations: 1000 } };
  await using _relay = await RelayInProcess.start({ database, sinks: sinks(), config: { delivery } });
  const id = await publish();
  await other.has([id]);
  await rows('parked');
  await poll(
    'the log',
    async () => (await database.query('SELECT FROM walpost.delivery_log')).length > 1 || undefined,
    20_000,
  );
  const [text, json, full] = await Promise.all([show(id), show(id, '--json'), show(id, '--payload')]);
  const story = JSON.parse(json.stdout) as { timeline: { step: string }[] };
  expect(story).toMatchObject({
    event_id: id,
    inTable: true,
    sinks: [
      { sink: 'hook', state: 'parked' },
      { sink: 'other', state: 'delivered' },
    ],
    fields: { event_type: 'a', organization_id: X },
  });
  expect(story.timeline.map(({ step }) => step)).toEqual(
    expect.arrayContaining(['created', 'committed', 'unavailable', 'parked', 'delivered']),
  );
  expect(text.stdout).toMatch(/^sink hook +parked since \d{4}-/m);
  expect(text.stdout).toMatch(/unavailable +hook +1 .*503/);
  expect(text.stdout + json.stdout).not.toContain('only with --payload');
  expect(full.stdout).toContain('only with --payload');
}, 60_000);

test('of ten endpoints the one that failed is shown, and of many attempts at one how many are left out', async () => {
  const id = await publish();
  const attempt = async (lane: string, number: number, outcome: string): Promise<void> => {
    await database.query(
      `INSERT INTO walpost.delivery_log (slot, sink, organization_id, lane, first_event_id, last_event_id, event_ids, events, attempt,
                                         outcome, reason, duration_ms, at)
       VALUES ($1, 'hook', $2, $3, $4, $4, ARRAY[$4::text], 1, $5, $6::text, nullif($6::text, 'delivered'), 1, clock_timestamp())`,
      [database.slotName, X, lane, id, number, outcome],
    );
  };
  for (let n = 0; n < 10; n += 1) await attempt(`endpoint-${n}`, 1, n === 5 ? 'unavailable' : 'delivered');
  const few = await show(id);
  expect(few.stdout).toMatch(/^at \(UTC\) +step +sink +lane +attempt/m);
  expect(few.stdout).toMatch(/unavailable +hook +endpoint-5 +1 +unavailable$/m);
  expect(few.stdout.match(/ delivered +hook +endpoint-/g)).toHaveLength(9);
  expect(few.stdout).not.toContain('left out');
  for (let n = 2; n <= 7; n += 1) await attempt('endpoint-5', n, 'unavailable');
  const [one, json] = await Promise.all([show(id), show(id, '--json')]);
  expect(one.stdout).toContain('1 attempt that ended like the one before is left out');
  const { timeline } = JSON.parse(json.stdout) as { timeline: { lane: string | null }[] };
  expect(timeline.filter(({ lane }) => lane === 'endpoint-5')).toHaveLength(7);
}, 60_000);

test('the endpoints that asked for it when it was created, each with its place', async () => {
  await database.query(`UPDATE walpost.settings SET value = 'true' WHERE name = 'endpoints_on_loopback'`);
  const add = async (organization: string, types: readonly string[]): Promise<string> => {
    const [row] = await database.query<{ id: string }>(
      `SELECT endpoint_id::text AS id FROM walpost.add_endpoint('hooks', $1, 'http://127.0.0.1:9/', $2)`,
      [organization, types],
    );
    return row?.id ?? '';
  };
  const [first, second, deaf] = [await add(X, ['*']), await add(X, ['a']), await add(X, ['b'])];
  await add(Y, ['*']);
  const id = await publish();
  const late = await add(X, ['*']);
  await database.query('SELECT walpost.disable_endpoint($1)', [second]);
  const config = configOf({ database, sinks: { hooks: { type: 'webhook', endpoints: true, allow_loopback: true } } });
  using hooks = new ConfigFile(JSON.stringify(config));
  const shown = (event: string, ...flags: string[]): Promise<CliResult> =>
    walpost(['events', 'show', event, '--config', hooks.path, ...flags]);
  const [text, json, other] = [await shown(id), await shown(id, '--json'), await shown(await publish(), '--json')];
  const lanesIn = ({ stdout }: CliResult): string[] => {
    const { sinks: found } = JSON.parse(stdout) as { sinks: { lanes: { lane: string }[] }[] };
    return found.flatMap(({ lanes }) => lanes.map(({ lane }) => lane)).toSorted();
  };
  expect(lanesIn(json)).toEqual([first, second].toSorted());
  expect(lanesIn(other)).toEqual([first, late].toSorted());
  expect(text.stdout).toContain(`sink hooks  endpoint ${first}: pending: not tried yet\n`);
  expect(text.stdout).not.toContain(deaf);
  const nobody = await database.query<{ id: string }>(`SELECT walpost.publish($1, 'a', '{}')::text AS id`, [
    '01a1f9c1-5e61-768b-8ff0-dabec930edd3',
  ]);
  expect((await shown(nobody[0]?.id ?? '')).stdout).toContain('for nobody: no endpoint of the organization asked');
}, 60_000);

test('nobody is said only where it is known; one that was removed or disabled since is shown', async () => {
  await database.query(`UPDATE walpost.settings SET value = 'true' WHERE name = 'endpoints_on_loopback'`);
  const config = configOf({ database, sinks: { hooks: { type: 'webhook', endpoints: true, allow_loopback: true } } });
  using hooks = new ConfigFile(JSON.stringify(config));
  /** An endpoint that was added two days before an event of an hour ago; what came behind it is of now. */
  const scene = async (types: string): Promise<{ endpoint: string; shown: () => Promise<string> }> => {
    const [row] = await database.query<{ endpoint: string; organization: string; id: string }>(
      `WITH org AS MATERIALIZED (SELECT gen_random_uuid() AS id)
       SELECT a.endpoint_id::text AS endpoint, org.id::text AS organization, walpost.publish(org.id, 'a', '{}')::text AS id
         FROM org, walpost.add_endpoint('hooks', org.id, 'http://127.0.0.1:9/', ARRAY[$1]) AS a`,
      [types],
    );
    const { endpoint = '', id = '' } = row ?? {};
    await database.query(`UPDATE walpost.outbox SET created_at = now() - interval '1 hour' WHERE event_id = $1`, [id]);
    await database.query(`UPDATE walpost.endpoints SET created_at = now() - interval '2 days' WHERE endpoint_id = $1`, [
      endpoint,
    ]);
    await database.query(
      `UPDATE walpost.endpoint_changes SET changed_at = now() - interval '2 days' WHERE endpoint_id = $1`,
      [endpoint],
    );
    return { endpoint, shown: async () => (await walpost(['events', 'show', id, '--config', hooks.path])).stdout };
  };
  const change = (call: string, endpoint: string) => database.query(`SELECT walpost.${call}`, [endpoint]);
  const [deaf, pruned, near, removed, disabled] = [
    await scene('b'),
    await scene('b'),
    await scene('b'),
    await scene('a'),
    await scene('a'),
  ];
  expect(await deaf.shown()).toContain('for nobody');
  await change(`update_endpoint($1, url => 'http://127.0.0.1:9/other')`, pruned.endpoint);
  expect(await pruned.shown()).toContain('for nobody');
  await database.query(`DELETE FROM walpost.endpoint_changes WHERE endpoint_id = $1 AND change = 'added'`, [
    pruned.endpoint,
  ]);
  expect(await pruned.shown()).toContain('sink hooks  pending');
  await change('pause_endpoint($1)', near.endpoint);
  await database.query(
    `UPDATE walpost.endpoint_changes SET changed_at = now() - interval '1 hour 20 seconds' WHERE endpoint_id = $1 AND change = 'paused'`,
    [near.endpoint],
  );
  expect(await near.shown()).toContain('sink hooks  pending');
  await change('remove_endpoint($1)', removed.endpoint);
  expect(await removed.shown()).toContain(`endpoint ${removed.endpoint}: pending`);

  await database.query(
    `INSERT INTO walpost.cursor (slot, system_identifier, timeline)
     SELECT $1, system_identifier::text, 1 FROM pg_control_system() ON CONFLICT DO NOTHING`,
    [database.slotName],
  );
  await database.query(
    `INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, lsn, snapshot, taken_at, settled_at)
     SELECT $1, system_identifier::text, 1, '0/1', pg_current_snapshot(), now(), now() FROM pg_control_system()`,
    [database.slotName],
  );
  expect(await disabled.shown()).toContain(`endpoint ${disabled.endpoint}: settled`);
  await change('disable_endpoint($1)', disabled.endpoint);
  expect(await disabled.shown()).toContain(`endpoint ${disabled.endpoint}: settled`);
  await database.query(
    `UPDATE walpost.endpoints SET missed_since = now() - interval '2 hours' WHERE endpoint_id = $1`,
    [disabled.endpoint],
  );
  expect(await disabled.shown()).toContain(`endpoint ${disabled.endpoint}: missed`);
}, 60_000);

test('a dead letter, an event whose row is gone, one before any relay, and one that nobody knows', async () => {
  const early = await publish();
  const before = JSON.parse((await show(early, '--json')).stdout) as object;
  expect(before).toMatchObject({ sinks: [{ state: 'pending' }, { state: 'pending' }] });
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = (batch, body) =>
    batch.events.some((event) => event.event_id === early) ? 400 : keep(batch, body);
  const delivery = { max_attempts: 1, park_after: '200ms', quick_retries: 0 };
  await using _relay = await RelayInProcess.start({ database, sinks: sinks(), config: { delivery } });
  const isDead = async (): Promise<true | undefined> => {
    await publish(Y); // the destination must accept others before a refusal is the event's own
    return (await database.query('SELECT FROM walpost.dead_letters')).length > 0 || undefined;
  };
  await poll('the dead letter', isDead, 20_000);
  const dead = await show(early);
  expect(dead.stdout).toMatch(/^sink hook +dead \(dead letter 1\) since/m);
  await database.query('DELETE FROM walpost.outbox');
  const pruned = await show(early);
  expect(pruned.stdout).toContain('No row of walpost.outbox has this id');
  expect(pruned.stdout).toMatch(/^organization_id +01a1f9c1/m);
  const [unknown, odd] = await Promise.all([show('01a1f9c1-5e61-768b-8ff0-dabec930edd9'), show("no'id")]);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toMatch(/^EVENT_UNKNOWN[\s\S]*walpost.outbox[\s\S]*walpost.delivery_log/);
  expect(odd.code).toBe(2);
}, 60_000);

test('an event whose row was pruned, for as long as the log', async () => {
  const delivery = { log: 'all' };
  const source = { checkpoint_interval: '1s' };
  await using _relay = await RelayInProcess.start({ database, sinks: sinks(), source, config: { delivery } });
  const id = await publish();
  await log.has([id]);
  const isPruned = async (): Promise<true | undefined> => {
    await publish(Y); // a checkpoint is taken while events flow
    await database.query(`SELECT walpost.prune('0')`);
    return (
      (await database.query('SELECT FROM walpost.pruned_events WHERE event_id = $1', [id])).length > 0 || undefined
    );
  };
  await poll('the pruned row', isPruned, 20_000);
  const [text, json] = await Promise.all([show(id), show(id, '--json')]);
  expect(text.stdout).toContain('No row of walpost.outbox has this id: it was pruned.\n');
  expect(text.stdout).toMatch(/^event_type +a$/m);
  expect(text.stdout).toMatch(/^sink hook +delivered since/m);
  const story = JSON.parse(json.stdout) as { timeline: { step: string }[] };
  expect(story).toMatchObject({
    inTable: false,
    pruned: true,
    settled: true,
    fields: { event_id: id, organization_id: X, event_type: 'a' },
  });
  expect(story.timeline.map(({ step }) => step)).toEqual(['created', 'delivered', 'delivered']);
}, 60_000);

test('an event of a table of the application, by the names of its columns', async () => {
  await database.query(`CREATE TABLE public.app_events (id bigint PRIMARY KEY, tenant text, kind text, body jsonb)`);
  await database.query(`INSERT INTO public.app_events VALUES (7, 'acme', 'paid', '{"secret": 1}')`);
  const columns = { event_id: 'id', organization_id: 'tenant', event_type: 'kind', payload: 'body' };
  const absent = [
    'event_version',
    'topic',
    'entity_type',
    'entity_id',
    'target',
    'idempotency_key',
    'headers',
    'created_at',
  ];
  const source = {
    table: 'public.app_events',
    columns: { ...columns, ...Object.fromEntries(absent.map((name) => [name, null])) },
  };
  using mapped = new ConfigFile(JSON.stringify(configOf({ database, sinks: sinks(), config: { source } })));
  const shown = await walpost(['events', 'show', '7', '--json', '--config', mapped.path]);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    inTable: true,
    settled: null,
    fields: { organization_id: 'acme', event_type: 'paid' },
    sinks: [{ state: 'unknown' }, { state: 'unknown' }],
  });
  for (const id of ['seven', '99999999999999999999']) {
    const missing = await walpost(['events', 'show', id, '--config', mapped.path]);
    expect(missing.stderr).toContain('EVENT_UNKNOWN');
  }
}, 60_000);
