/** What others wrote is printed, and does nothing to the terminal. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
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
  for (const command of commands) {
    const [text, json] = await Promise.all([run(...command), run(...command, '--json')]);
    expect.soft(text.code, command.join(' ')).toBe(0);
    expect.soft(text.stdout, command.join(' ')).not.toMatch(ACTS);
    expect.soft(text.stdout, command.join(' ')).toContain(SHOWN.slice(0, 30));
    expect.soft(json.stdout, command.join(' ')).not.toMatch(ACTS);
    expect.soft(JSON.stringify(JSON.parse(json.stdout)), command.join(' ')).toContain(JSON.stringify(EVIL));
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
