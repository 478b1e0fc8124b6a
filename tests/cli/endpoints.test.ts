/** `walpost endpoints`, and the flag --endpoint of what is stored. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { settleAll } from '../support/settled-checkpoint.ts';
import { poll } from '../support/slot-session.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';

const organization = randomUUID();
let database: TestDatabase;
let file: ConfigFile;
let id: string;
beforeEach(async () => {
  database = await createTestDatabase();
  ({ id } = await addEndpoint(database, organization, 'https://hooks.example.com/s3cr3t'));
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: { hooks: { type: 'discard' } } })));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await database[Symbol.asyncDispose]();
});

const run = (...argv: string[]): Promise<CliResult> => walpost(['endpoints', ...argv, '--config', file.path]);
const json = async (...argv: string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await run(...argv, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as unknown;
};
const stateOf = async (): Promise<unknown> =>
  (await database.query('SELECT state, state_reason FROM walpost.endpoints WHERE endpoint_id = $1', [id]))[0];
const fail = () =>
  database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, lane, state, failing_since, attempts, code, reason)
     VALUES ($1, 'hooks', $2, $3, 'failing', now() - interval '2 hours', 7, '500', 'the destination answered 500')`,
    [database.slotName, organization, id],
  );

test('list says which endpoint is where, in which state, and why it fails; flags choose among them', async () => {
  const other = await addEndpoint(database, randomUUID());
  await settleAll(database, database.slotName);
  await fail();
  const { code, stdout, stderr } = await run('list');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain(id);
  expect(stdout).toContain(other.id);
  expect(stdout).toMatch(/hooks\.example\.com +enabled .* fails since .*, 7 times: the destination answered 500/);
  expect(stdout).not.toContain('s3cr3t');

  const chosen = async (...flags: string[]) =>
    ((await json('list', ...flags)) as { endpoint_id: string }[]).map(({ endpoint_id: each }) => each);
  expect(await chosen()).toEqual([id, other.id]);
  expect(await chosen('--organization', organization.toUpperCase())).toEqual([id]);
  expect(await chosen('--failing')).toEqual([id]);
  expect(await chosen('--state', 'paused')).toEqual([]);
  expect(await chosen('--sink', 'hooks', '--limit', '1')).toEqual([id]);
  expect((await run('list', '--limit', '1')).stdout).toContain('and 1 more; --limit says how many are shown.');
  expect((await run('list', '--state', 'paused')).stdout).toBe('There is no such endpoint.\n');
  for (const flags of [
    ['--state', 'gone'],
    ['--sink', 'gone'],
    ['--limit', '0'],
  ]) {
    expect(await run('list', ...flags), `list ${flags.join(' ')}`).toMatchObject({ code: 2, stdout: '' });
  }
});

test('show says everything but secrets and the values of headers', async () => {
  await database.query(
    `SELECT walpost.update_endpoint($1, headers => '{"authorization": "h3ad3r"}', max_per_second => 5, description => 'Billing')`,
    [id],
  );
  await settleAll(database, database.slotName);
  await fail();
  const { stdout } = await run('show', id.toUpperCase());
  for (const part of [
    'https://hooks.example.com/s3cr3t',
    'authorization',
    '5 events a second',
    'Billing',
    'answered 500',
  ])
    expect(stdout).toContain(part);
  expect(stdout).toMatch(/updated +enabled +hooks\.example\.com\n.*added/);
  const shown = await json('show', id);
  expect(shown).toMatchObject({
    endpoint_id: id,
    header_names: ['authorization'],
    dead_letters: 0,
    changes: [{ change: 'updated' }, { change: 'added' }],
  });
  expect(stdout + JSON.stringify(shown)).not.toMatch(/h3ad3r|whsec_/);
});

test('what is no endpoint is said so, whatever the command', { timeout: 120_000 }, async () => {
  const isRefused = async (command: string, unknown: string): Promise<void> =>
    expect(await run(command, unknown), `${command} ${unknown}`).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(`ENDPOINT_UNKNOWN\n  There is no such endpoint. It is "${unknown}".`) as string,
    });
  for (const command of ['show', 'test', 'pause', 'enable', 'recover']) {
    await Promise.all([randomUUID(), 'abc', `${id}'`].map((unknown) => isRefused(command, unknown)));
  }
});

test('pause, enable and disable change the state, say so once, and are told that no relay streams', async () => {
  expect(await run('pause', id, '--reason', 'moving house')).toMatchObject({
    code: 0,
    stdout: `Endpoint ${id} is paused: its events are parked, in order.\nNo relay streams from ${database.slotName} now: it takes effect when one does.\n`,
  });
  expect((await run('pause', id)).stdout).toBe(`Endpoint ${id} was paused already.\n`);
  expect(await stateOf()).toEqual({ state: 'paused', state_reason: 'moving house' });
  expect(await json('enable', id)).toMatchObject({ changed: true, state: 'enabled' });

  expect(await run('disable', id)).toMatchObject({ code: 2, stderr: expect.stringContaining('Add --yes') as string });
  expect((await run('disable', id, '--dry-run')).stdout).toBe('It is enabled; 0 parked events would be discarded.\n');
  expect(await json('disable', id, '--dry-run')).toEqual({
    dry_run: true,
    endpoint_id: id,
    state: 'enabled',
    parked: 0,
    parked_more: false,
  });
  expect(await stateOf()).toMatchObject({ state: 'enabled' });
  expect(await run('disable', id, '--reason', 'asked for by mail', '--yes')).toMatchObject({ code: 0, stderr: '' });
  expect(await stateOf()).toEqual({ state: 'disabled', state_reason: 'asked for by mail' });
  expect((await run('disable', id, '--dry-run')).stdout).toBe('It is disabled already: nothing would be done.\n');
  expect(await run('pause', id)).toMatchObject({
    code: 2,
    stderr: `ENDPOINT_REFUSED\n  That cannot be done with the endpoint. The endpoint ${id} is disabled.\n  It gets nothing now. Enable it first, to have its events kept while it is paused.\n`,
  });
  expect((await run('enable', id)).stdout).toMatch(
    /is enabled\.\n.*\nIt misses what was committed since .* UTC until now: see recover\.\n/,
  );
});

test('a test event names the endpoint', async () => {
  const sent = (await json('test', id)) as { event_id: string };
  expect(await database.query('SELECT event_id, event_type, entity_id FROM walpost.outbox')).toEqual([
    { event_id: sent.event_id, event_type: 'walpost.endpoint.test', entity_id: id },
  ]);
});

test('adopt lets the endpoints of a copy go on, and asks before', async () => {
  expect((await run('adopt', '--yes')).stdout).toBe('Nothing to do: the endpoints belong to this database.\n');
  await database.query(`UPDATE walpost.endpoint_installation SET system_identifier = '1'`);
  const asked = await run('adopt');
  expect(asked).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('\n  Add --yes.\n') as string });
  expect((await run('adopt', '--yes')).stdout).toBe('1 endpoint gets events from here now.\n');
  expect(await database.query('SELECT recorded_by FROM walpost.endpoint_installation')).toEqual([
    { recorded_by: 'adopt' },
  ]);
});

test('a login of the relay, and one of an operator, may do all of it', { timeout: 120_000 }, async () => {
  for (const group of ['walpost_relay', 'walpost_operator']) {
    await using role = await createRole(database, { in: [group] });
    using own = new ConfigFile(
      JSON.stringify(configOf({ database, url: role.url, sinks: { hooks: { type: 'discard' } } })),
    );
    for (const argv of [
      ['list'],
      ['show', id],
      ['pause', id],
      ['enable', id],
      ['test', id],
      ['disable', id, '--yes'],
      ['enable', id],
      ['adopt', '--yes'],
    ]) {
      const result = await walpost(['endpoints', ...argv, '--config', own.path]);
      expect(result, `${group}: ${argv.join(' ')}`).toMatchObject({ code: 0, stderr: '' });
    }
  }
});

test(
  'recover asks for a job of this endpoint alone, from when it misses events, or is refused with the oldest time',
  { timeout: 60_000 },
  async () => {
    await using log = await EventLog.start();
    const sinks = { hooks: log.receiver.sink() };
    using config = new ConfigFile(JSON.stringify(configOf({ database, sinks })));
    const recover = (...argv: string[]) => walpost(['endpoints', 'recover', id, ...argv, '--config', config.path]);
    await using relay = await RelayInProcess.start({ database, sinks });
    const publish = async (type: string, of = organization) =>
      (await database.query<{ event: string }>(`SELECT walpost.publish($1, $2, '{}') AS event`, [of, type]))[0]
        ?.event ?? '';
    await poll('a settled checkpoint', async () =>
      (await database.query('SELECT FROM walpost.checkpoints WHERE settled_at IS NOT NULL')).length > 0
        ? true
        : undefined,
    );
    expect(await recover('--dry-run')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('It has missed nothing that is known of.') as string,
    });

    await database.query(`SELECT walpost.update_endpoint($1, event_types => '{invoice.*}')`, [id]);
    await database.query('SELECT walpost.disable_endpoint($1)', [id]);
    const missed = [await publish('invoice.paid'), await publish('invoice.sent')];
    await publish('user.created');
    await publish('invoice.paid', randomUUID());

    const tooOld = await recover('--since', '2020-01-01T00:00:00Z', '--yes');
    // Rounded up: what is cut off would lie before the checkpoint, and be refused again.
    const [oldest] = await database.query<{ at: string }>(
      `SELECT to_char(date_trunc('milliseconds', min(taken_at) + interval '999 microseconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
         FROM walpost.checkpoints WHERE settled_at IS NOT NULL`,
    );
    expect(tooOld).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`Use --since ${oldest?.at}, or a later time`) as string,
    });
    expect(await stateOf()).toMatchObject({ state: 'disabled' });

    const dry = await recover('--dry-run', '--json');
    expect(JSON.parse(dry.stdout)).toMatchObject({ dry_run: true, events: missed.length });
    const done = await recover('--yes', '--rate', '100');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(await stateOf()).toEqual({ state: 'enabled', state_reason: null });
    expect(await database.query('SELECT missed_since FROM walpost.endpoints')).toEqual([{ missed_since: null }]);
    const [job] = await database.query(
      'SELECT kind, state, spec, after_snapshot IS NOT NULL AS bounded, reason FROM walpost.jobs',
    );
    expect(job).toEqual({
      kind: 'replay',
      state: 'done',
      spec: { organization, sinks: ['hooks'], lanes: [id], repairs: true, rate: 100 },
      bounded: true,
      reason: `recovers endpoint ${id}`,
    });
    await relay.stop();
  },
);

test('parked events and dead letters of one endpoint are chosen by --endpoint', async () => {
  const other = randomUUID();
  const stored = (table: string, more: string, values: string) => `
    INSERT INTO walpost.${table} (slot, epoch, sink, organization_id, lane, event_id, event_type, event_version, topic, payload, headers, commit_lsn, ordinal, ${more})
    SELECT '${database.slotName}', 1, 'hooks', '${organization}', l, gen_random_uuid()::text, 'a', 1, 't', '{}', '{}', '0/1', n, ${values}
      FROM (VALUES ('${id}', 1), ('${id}', 2), ('${other}', 3)) AS v (l, n)`;
  await database.query(
    stored('parked', 'history, order_lsn, order_job, place, size, received_at', `0, '0/1', false, n, 1, now()`),
  );
  await database.query(stored('dead_letters', 'system_identifier, reason, detail, attempts', `'1', 'failed', 'x', 1`));
  const cli = (...argv: string[]) => walpost([...argv, '--endpoint', id.toUpperCase(), '--config', file.path]);
  for (const table of ['parked', 'dead-letters']) {
    expect(JSON.parse((await cli(table, 'list', '--json')).stdout), `${table} is tried`).toHaveLength(2);
  }
  expect((await cli('parked', 'retry')).stdout).toContain('2 parked events in 1 lane are due now.');
  expect(await database.query('SELECT lane FROM walpost.retry_requests')).toEqual([{ lane: id }]);
  expect((await cli('dead-letters', 'redrive', '--dry-run')).stdout).toContain('2 dead letters would be sent again');
  expect((await cli('dead-letters', 'discard', '--yes')).stdout).toContain('Deleted 2 dead letters.');
  expect((await cli('parked', 'discard', '--yes')).stdout).toContain('Deleted 2 parked events.');
  expect(
    await database.query('SELECT lane FROM walpost.parked UNION ALL SELECT lane FROM walpost.dead_letters'),
  ).toEqual([{ lane: other }, { lane: other }]);
});
