/** examples/notification-outbox, started as its README says, and used as a person would. */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newClient } from '../support/client.ts';
import { ExampleRun } from '../support/example-run.ts';
import { poll } from '../support/slot-session.ts';

let run: ExampleRun;
/** Sees the rows of all organizations. */
let owner: pg.Client;
beforeAll(async () => {
  run = await ExampleRun.start('notification-outbox');
  owner = newClient({ connectionString: run.env['OWNER_URL'] });
  await owner.connect();
  await poll('notifications of all', async () => (await count(NOTIFIED)) === 100 || undefined, 60_000);
}, 120_000);
afterAll(async () => {
  await owner.end();
  await run[Symbol.asyncDispose]();
});

/** Organizations that have a notification. */
const NOTIFIED = '(SELECT DISTINCT organization_id FROM app.notifications) AS notified';

async function count(what: string): Promise<number> {
  const { rows } = await owner.query<{ count: number }>(`SELECT count(*)::integer AS count FROM ${what}`);
  return rows[0]?.count ?? Number.NaN;
}

async function untilMoreNotifications(more: number): Promise<void> {
  const wanted = (await count('app.notifications')) + more;
  await poll('notifications', async () => (await count('app.notifications')) >= wanted || undefined, 60_000);
}

test('walpost and the receiver are killed: each event is notified once, in order', { timeout: 120_000 }, async () => {
  await untilMoreNotifications(200);
  await run.kill('walpost');
  await run.kill('receiver');
  await untilMoreNotifications(200);
  await run.kill('receiver');
  await run.kill('walpost');
  await untilMoreNotifications(200);
  const { code, output } = await run.npmRun('audit');
  expect(output).toMatch(/^\d{3,} events: 0 lost, 0 twice, 0 out of order, 0 dead letters$/m);
  expect(code).toBe(0);
  const { rows } = await owner.query<{ event_type: string }>(
    'SELECT DISTINCT event_type FROM app.notifications ORDER BY event_type',
  );
  const types = ['catalog.day_closed', 'flag.created', 'job.created', 'job.updated'];
  expect(rows.map(({ event_type }) => event_type)).toEqual(types);
});

test('payloads hold identifiers and states, and no text that people wrote', async () => {
  const { rows } = await owner.query<{ names: string[]; bytes: number }>(
    `SELECT array_agg(DISTINCT name ORDER BY name) AS names, max(octet_length(payload::text))::integer AS bytes
       FROM walpost.outbox, jsonb_object_keys(payload) AS name`,
  );
  expect(rows[0]?.names).toEqual(['id', 'job_id', 'jobs', 'kind', 'status']);
  expect(rows[0]?.bytes).toBeLessThan(100);
});

test('an organization sees, writes and moves nothing of another one', async () => {
  const { output } = await run.npmRun('isolation');
  expect(output.trim().split('\n')).toEqual([
    'read jobs of organization 2: 0 rows',
    'write a job for organization 2: new row violates row-level security policy for table "cataloging_jobs"',
    expect.stringMatching(/^publish an event for organization 2: .*0001, not for the organization .*0002$/),
    expect.stringMatching(/^publish 2 KB for itself: .* 2012 bytes, .* 1024$/),
    'read the outbox: 0 rows',
    'read dead letters: permission denied for table dead_letters',
    'move a cursor: permission denied for table cursor',
  ]);
});

test('what the receiver refuses is a dead letter after three attempts, and an alert when there are more than ten', async () => {
  expect((await run.npmRun('views', '--once')).output).not.toContain(' dead_letters ');
  const { output: raised } = await run.npmRun('flag', '100', 'unreadable');
  expect(raised).toMatch(/^flag \d+: unreadable$/m);
  await owner.query(`
    INSERT INTO app.flags (organization_id, job_id, kind)
    SELECT organization_id, max(id), 'unreadable' FROM app.cataloging_jobs GROUP BY organization_id ORDER BY 1 LIMIT 10`);
  await poll('dead letters', async () => (await count('walpost.dead_letters')) === 11 || undefined, 60_000);
  const { rows } = await owner.query(
    'SELECT DISTINCT reason, attempts >= 3 AS thrice, event_type FROM walpost.dead_letters',
  );
  expect(rows).toEqual([{ reason: 'failed', thrice: true, event_type: 'flag.created' }]);
  const { output } = await run.npmRun('views', '--once');
  expect(output).toMatch(/warning +dead_letters +sink notifications +11 +10 /);
  expect(output).toMatch(/^ {2}Library \d+ +\d+ +0 +1 /m);
}, 120_000);

test('delivered events are pruned, and what has arrived stays', { timeout: 120_000 }, async () => {
  const before = await count('walpost.outbox');
  await poll('proven rows', async () => {
    await run.npmRun('walpost', 'prune', '--retention', '1s');
    return (await count('walpost.outbox')) < before / 2 || undefined;
  });
  expect(await run.npmRun('audit')).toMatchObject({ code: 0 });
});

test('the audit finds what is lost, there twice, or out of order', async () => {
  await owner.query(`
    INSERT INTO app.notifications (organization_id, event_id, event_type, lsn, ordinal)
    SELECT organization_id, event_id, event_type, '0/1', 0 FROM app.notifications ORDER BY seq DESC LIMIT 2`);
  await owner.query(`
    DELETE FROM app.notifications WHERE event_id = (SELECT event_id FROM walpost.outbox
      WHERE event_id IN (SELECT event_id FROM app.notifications) ORDER BY seq LIMIT 1)`);
  const { code, output } = await run.npmRun('audit', '2');
  expect(output).toMatch(/^\d+ events: 1 lost, 2 twice, [12] out of order, 11 dead letters$/m);
  expect(code).toBe(1);
});
