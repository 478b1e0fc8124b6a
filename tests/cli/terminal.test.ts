/** What others wrote is printed, and does nothing to the terminal. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { newClient } from '../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';

/** Clears the screen, sets the title, in one and in two bytes; rings, deletes, turns text around, hides, breaks the line. */
const EVIL = 'a\x1b[2Jb\x9b2Jc\x1b]0;t\x07d\x7fe\u202ef\u2066g\u200bh\ni\rj\u2028k';
const SHOWN = 'a\\x1b[2Jb\\x9b2Jc\\x1b]0;t\\x07d\\x7fe\\u202ef\\u2066g\\u200bh\\ni\\rj\\u2028k';
const ACTS = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

let database: TestDatabase;
let log: EventLog;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  log = await EventLog.start();
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: log.sinks })));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

/** As the command prints it for people, and as JSON. */
async function shownBy(...command: string[]): Promise<void> {
  const [text, json] = await Promise.all([run(...command), run(...command, '--json')]);
  expect.soft(text.code, command.join(' ')).toBe(0);
  expect.soft(text.stdout, command.join(' ')).not.toMatch(ACTS);
  expect.soft(text.stdout, command.join(' ')).toContain(SHOWN.slice(0, 30));
  expect.soft(json.stdout, command.join(' ')).not.toMatch(ACTS);
  expect.soft(JSON.stringify(JSON.parse(json.stdout)), command.join(' ')).toContain(JSON.stringify(EVIL));
}

const run = (...argv: string[]): Promise<CliResult> => walpost([...argv, '--config', file.path]);

test('no command passes a control character of the database on', { timeout: 120_000 }, async () => {
  const slot = database.slotName;
  {
    await using relay = await RelayInProcess.start({ database, sinks: log.sinks });
    await database.query(`SELECT walpost.publish($1, $2, '{}')`, [randomUUID(), EVIL]);
    await log.receiver.received(1);
    await relay.stop();
  }
  const event = 'event_id, organization_id, event_type, event_version, topic, payload, headers';
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, commit_lsn, ordinal, ${event})
     VALUES ($1, '1', 1, $2, 'rejected', $2, 1, '0/1', 0, $2, $2, $2, 1, 'default', $2, '{}')`,
    [slot, EVIL],
  );
  await database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, history, order_lsn, order_job, place, commit_lsn, ordinal, size, received_at, ${event})
     VALUES ($1, 1, $2, 0, '0/1', false, 0, '0/1', 0, 1, now(), $2, $2, $2, 1, 'default', $2, '{}')`,
    [slot, EVIL],
  );
  await database.query(
    `INSERT INTO walpost.jobs (slot, kind, state, reason, error, requested_by, ended_at) VALUES ($1, 'replay', 'failed', $2, $2, $2, now())`,
    [slot, EVIL],
  );
  const [oldest] = await database.query<{ lsn: string }>('SELECT min(lsn)::text AS lsn FROM walpost.checkpoints');
  const commands: string[][] = [
    ['dead-letters', 'list'],
    ['dead-letters', 'show', '1'],
    ['parked', 'list'],
    ['jobs', 'list'],
    ['status'],
    ['replay', '--from-lsn', oldest?.lsn ?? '', '--dry-run'],
  ];
  for (const command of commands) await shownBy(...command);
});

test('what is stored of a sink, of an endpoint and of an event is shown as it is', { timeout: 120_000 }, async () => {
  const slot = database.slotName;
  const organization = randomUUID();
  const { id } = await addEndpoint(database, organization);
  await database.query(
    `UPDATE walpost.endpoints SET state = 'disabled', state_reason = $1, description = $1 WHERE endpoint_id = $2`,
    [EVIL, id],
  );
  await database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, state, paused_by, paused_at, pause_reason)
     VALUES ($1, $2, '', 'paused', $2, now(), $2)`,
    [slot, EVIL],
  );
  const [event] = await database.query<{ id: string }>(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, $2, '{}') RETURNING event_id::text AS id`,
    [organization, EVIL],
  );
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, answer, attempts, commit_lsn, ordinal,
                                       event_id, organization_id, event_type, event_version, topic, payload, headers)
     VALUES ($1, '1', 1, $2, 'rejected', 'no', $2, 1, '0/1', 0, $3, $4, 'a', 1, 'default', '{}', '{}')`,
    [slot, EVIL, event?.id, organization],
  );
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, reason, duration_ms, at)
     VALUES ($1, $2, $3, $4, $4, ARRAY[$4], 1, 1, 'failed', $2, 1, now())`,
    [slot, EVIL, organization, event?.id],
  );
  await shownBy('sinks', 'list');
  await shownBy('endpoints', 'list');
  await shownBy('endpoints', 'show', id);
  await shownBy('events', 'show', event?.id ?? '');
  const letter = await run('dead-letters', 'show', '1');
  expect(/^the destination's own words.*/m.exec(letter.stdout)?.[0]).toContain(SHOWN.slice(0, 30));
  await shownBy('dead-letters', 'show', '1');
});

test('the types that walpost types prints mean the same, and are only shown', async () => {
  await database.query(`INSERT INTO walpost.event_types VALUES ($1, 1, jsonb_build_object('const', $1::text), $1)`, [
    EVIL,
  ]);
  const { code, stdout } = await run('types');
  expect(code).toBe(0);
  expect(stdout).not.toMatch(ACTS);
  const [literal] = /"a\\u001b.*?"/.exec(stdout) ?? [];
  expect(JSON.parse(literal ?? '""')).toBe(EVIL);
});

test('a role with such a name is told of by migrate and verify', { timeout: 60_000 }, async () => {
  const name = `${EVIL}${randomUUID().slice(0, 8)}`;
  const role = `"${name}"`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role' IN ROLE walpost_operator`);
  try {
    await database.query(`GRANT DELETE ON walpost.outbox TO ${role}`);
    const migrated = await run('migrate');
    expect(migrated.code).toBe(0);
    const url = new URL(database.url);
    [url.username, url.password] = [encodeURIComponent(name), 'role'];
    const session = newClient(url.href);
    await session.connect();
    await session.query('BEGIN; SELECT walpost_internal.take_verify_turn()');
    const busy = await run('verify');
    await session.end();
    expect(busy.code).toBe(2);
    for (const { stdout, stderr } of [migrated, busy]) {
      const text = stdout + stderr;
      expect(text).not.toMatch(ACTS);
      expect(text.replace(/\s+/g, ' ')).toContain(SHOWN.slice(0, 30));
    }
  } finally {
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('an error line does not either, nor the log for people', async () => {
  const wrong = await run('dead-letters', 'list', '--reason', EVIL.replaceAll('\n', ''));
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('a\\x1b[2Jb\\x9b2Jc') as string });
  expect(wrong.stderr).not.toMatch(ACTS);
  const unknown = await walpost([
    'config',
    'check',
    '--set',
    `source.table=`,
    '--set',
    `source.slot=${EVIL}`,
    '-c',
    file.path,
  ]);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain('source.slot');
  expect(unknown.stderr).not.toMatch(ACTS);
});
