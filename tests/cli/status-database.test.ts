/** `walpost status` while no process answers: what the database knows, and nothing that it does not. */
import { expect, test } from 'vitest';
import { gatherStatus } from '../../src/cli/gather-status.ts';
import { statusText } from '../../src/cli/status-view.ts';
import { readWaitingLanes } from '../../src/parking/waiting-lanes.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { readDatabaseFacts } from '../../src/relay/status/database-facts.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createRole } from '../support/database-role.ts';
import { ConfigFile, LEAST } from '../support/config-file.ts';
import { createTestDatabase } from '../support/database.ts';
import { walpost } from '../support/walpost-cli.ts';

async function lines(url: string, slot: string): Promise<Record<string, string>> {
  const config = configSchema.parse({
    database: { url },
    source: { slot },
    http: { enabled: false },
    sinks: { hook: { type: 'discard' } },
    routes: [{ to: ['hook'] }],
  });
  const text = statusText(await gatherStatus(config), { color: false });
  return Object.fromEntries(
    text.split('\n').flatMap((line) => [/^(\S+(?: \S+)?) {2,}(.*)$/.exec(line)?.slice(1) ?? []]),
  );
}

test('a queued job is shown', async () => {
  await using database = await createTestDatabase();
  const [job] = await database.query<{ id: string }>(
    `INSERT INTO walpost.jobs (slot, kind) VALUES ($1, 'replay') RETURNING id::text`,
    [database.slotName],
  );
  expect(await lines(database.url, database.slotName)).toMatchObject({
    jobs: `replay ${job?.id} queued, 0 scanned, 0 sent, waits for a relay`,
    parked: '0',
    'dead letters': '0',
  });
});

test('a login that is refused leaves all of it unknown, with the reason', async () => {
  await using database = await createTestDatabase();
  const wrong = new URL(database.url);
  wrong.username = 'nobody_of_that_name';
  const shown = await lines(wrong.href, database.slotName);
  expect(shown).toEqual({
    role: 'unknown, no process answered',
    processes: 'unknown',
    slot: 'unknown',
    oldest: 'unknown',
    'held by': 'unknown',
    parked: 'unknown',
    'dead letters': 'unknown',
    jobs: 'unknown',
    alerts: 'unknown',
  });
});

test('which lane waits for what is the same with and without a process', async () => {
  await using database = await createTestDatabase();
  const slot = database.slotName;
  await database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, state, failing_since, attempts, reason, next_try_at, paused_by, paused_at)
     VALUES ($1, 'hook', 'a', 'failing', '2026-11-20Z', 3, 'HTTP 503', '2099-01-01Z', NULL, NULL),
            ($1, 'hook', 'b', 'failing', '2026-11-21Z', 1, NULL, NULL, 'ann', now()),
            ('other', 'hook', 'c', 'failing', '2026-11-21Z', 1, NULL, NULL, NULL, NULL)`,
    [slot],
  );
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, blocks, commit_lsn, ordinal,
                                       event_id, organization_id, event_type, event_version, topic, payload, headers)
     VALUES ($1, '1', 1, 'hook', 'rejected', '', 1, true, '0/1', 0, 'e', 'd', 't', 1, 'default', '{}', '{}')`,
    [slot],
  );
  const park = (organization: string, place: number) =>
    database.query(
      `INSERT INTO walpost.parked (slot, epoch, sink, history, order_lsn, order_job, place, commit_lsn, ordinal, size, received_at,
                                   event_id, organization_id, event_type, event_version, topic, payload, headers)
       VALUES ($1, 1, 'hook', 0, '0/1', false, $3::integer, '0/1', $3::integer, 1, now(), 'e', $2, 't', 1, 'default', '{}', '{}')`,
      [slot, organization, place],
    );
  for (const [place, organization] of ['a', 'a', 'e'].entries()) await park(organization, place);
  const pool = createPool(database.url, { applicationName: 'test', max: 2 });
  try {
    const { waiting } = await readDatabaseFacts(pool, slot);
    expect(waiting?.total).toBe(4);
    expect(waiting?.first.map(({ organizationId, parked, waitsFor }) => [organizationId, parked, waitsFor])).toEqual([
      ['a', 2, 'a relay: none streams from the slot'],
      ['b', 0, 'a person: ann has paused it'],
      ['d', 0, expect.stringMatching(/^a person: dead letter \d+ blocks it$/)],
      ['e', 1, 'a relay: none streams from the slot'],
    ]);
    expect(waiting?.first[0]).toMatchObject({
      attempts: 3,
      reason: 'HTTP 503',
      nextTryAt: '2099-01-01T00:00:00.000000Z',
    });
    const streamed = await readWaitingLanes(pool, slot, { isStreamed: true, job: 'replay-7' });
    expect(streamed.first.map(({ waitsFor }) => waitsFor)).toEqual([
      'its next try',
      expect.stringContaining('a person'),
      expect.stringContaining('a person'),
      'its turn, or for replay-7',
    ]);
    const shown = await lines(database.url, slot);
    expect(shown['waiting']).toContain('waits for a relay'); // the last of them
  } finally {
    await pool.end();
  }
});

test('without a process a lane of a sink with endpoints is an endpoint, and no setting mends it', async () => {
  await using database = await createTestDatabase();
  await database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, lane, state, failing_since, attempts, code, reason)
     VALUES ($1, 'customers', 'a', 'endpoint-1', 'failing', now(), 3, 'HTTP_401', 'HTTP 401')`,
    [database.slotName],
  );
  const config = {
    database: { url: database.url },
    source: { slot: database.slotName },
    http: { enabled: false },
    sinks: { customers: { type: 'webhook', endpoints: true } },
    routes: [{ to: ['customers'] }],
  };
  using file = new ConfigFile(JSON.stringify(config));
  const { stdout } = await walpost(['status', '--config', file.path]);
  expect(stdout).toMatch(/^waiting +customers, organization a, endpoint endpoint-1: 0 parked/m);
  expect(stdout).toMatch(/^remedy +sink customers: An endpoint that fails alone is for its customer to mend/m);
});

test('without the schema, what is stored is unknown', async () => {
  await using database = await createTestDatabase({ migrated: false });
  expect(await lines(database.url, database.slotName)).toMatchObject({
    slot: `${database.slotName}, missing, nobody streams from it`,
    processes: 'unknown',
    'held by': 'unknown',
    jobs: 'unknown',
    parked: 'unknown',
    'dead letters': 'unknown',
    alerts: 'unknown',
  });
  using file = new ConfigFile(LEAST.replace('postgres://localhost/app', JSON.stringify(database.url)));
  const told = await walpost(['status', '--config', file.path]);
  expect(told).toMatchObject({ code: 0, stderr: '' });
  expect(told.stdout).toContain('A start of `walpost run` would end with MIGRATION_MISSING: ');
  expect(told.stdout).toContain('Run `walpost migrate`.');
  const { code, stdout } = await walpost(['status', '--check', '--config', file.path]);
  expect({ code, stdout }).toEqual({
    code: 3,
    stdout: 'WARNING walpost.alerts could not be read, so nothing is known of alerts\n',
  });
});

test('what the role may not read is unknown, and the rest is told', async () => {
  await using database = await createTestDatabase();
  await using role = await createRole(database, { in: ['walpost_reader'] });
  await database.query('REVOKE SELECT ON walpost.jobs FROM walpost_reader');
  expect(await lines(role.url, database.slotName)).toMatchObject({ jobs: 'unknown', parked: '0', 'dead letters': '0' });
});
