/** What commands show fits the terminal, however narrow; in a pipe each row of a list is one line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { plantDeadLetters, plantParked } from '../support/planted-rows.ts';
import { Terminal, terminalMissing } from '../situations/terminal.ts';
import { walpost } from '../support/walpost-cli.ts';

vi.setConfig({ testTimeout: 60_000 });

const noTerminal = terminalMissing();
const ORGANIZATION = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';
/** Longer than it should be, as names of people are. */
const SINK = 'notifications-of-the-customer-portal';

let database: TestDatabase;
let directory: string;
let event: string;
beforeAll(async () => {
  database = await createTestDatabase();
  const slot = database.slotName;
  directory = mkdtempSync(join(tmpdir(), 'walpost-widths-'));
  const sinks = { [SINK]: { type: 'discard' }, log: { type: 'stdout' } };
  const config = { database: { url: database.url }, source: { slot }, sinks, routes: [{ to: [SINK] }] };
  writeFileSync(join(directory, 'walpost.yaml'), JSON.stringify({ ...config, http: { port: 1 } }));
  const [row] = await database.query<{ id: string }>(
    `SELECT walpost.publish($1, 'job.completed', '{"n": 1}')::text AS id`,
    [ORGANIZATION],
  );
  event = row?.id ?? '';
  await plantParked(database, { slot, sink: SINK, organization: ORGANIZATION, count: 3 });
  await plantDeadLetters(database, { slot, sink: SINK, organization: ORGANIZATION, count: 2 });
  await database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, state, failing_since, attempts, code, reason, answer)
     VALUES ($1, $2, $3, 'failing', now() - interval '10 minutes', 7, 'HTTP_503', 'the destination answered with status 503 Service Unavailable', 'no room')`,
    [slot, SINK, ORGANIZATION],
  );
  await database.query(
    `INSERT INTO walpost.jobs (slot, kind, state, requested_by, reason) VALUES ($1, 'replay', 'queued', 'test', 'the receiver of the portal was restored from a backup of yesterday')`,
    [slot],
  );
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, reason, duration_ms, at)
     VALUES ($1, $2, $3, $4, $4, ARRAY[$4], 1, 1, 'failed', 'the destination answered with status 503 Service Unavailable', 12, clock_timestamp())`,
    [slot, SINK, ORGANIZATION, event],
  );
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await database[Symbol.asyncDispose]();
});

/** EVENT stands for the id of an event. The output of `config print` and `config schema`, and SQL, is for programs. */
const COMMANDS = [
  'status',
  'doctor',
  'verify --count 2 --timeout 1s',
  'events show EVENT --payload',
  'sinks list',
  `sinks pause ${SINK} --reason maintenance-of-the-portal`,
  'sinks list',
  `sinks resume ${SINK}`,
  'jobs list',
  'parked list',
  'parked retry --dry-run',
  'parked discard --dry-run',
  `parked move --from ${SINK} --to log --dry-run`,
  'dead-letters list',
  'dead-letters show 1',
  'dead-letters redrive --dry-run',
  'dead-letters discard --dry-run',
  'replay --all --dry-run',
  `send job.completed --organization ${ORGANIZATION}`,
  'migrate --plan',
  'uninstall --dry-run',
  'prune',
  'config check',
  'init --yes --force',
  'parked list --sink nowhere',
  'run --set database.pool_size=0',
];
const words = (line: string): string[] => line.split(' ').map((word) => (word === 'EVENT' ? event : word));

describe.skipIf(noTerminal !== undefined).each([60, 80, 160])('in a terminal of %i columns', (columns) => {
  test.each(COMMANDS)('walpost %s', async (line) => {
    const cwd = line.startsWith('init') ? mkdtempSync(join(directory, 'init-')) : directory;
    await using terminal = new Terminal(words(line), { cwd, columns });
    const { text } = await terminal.end();
    expect(text).not.toBe('');
    expect(text.split('\n').filter((shown) => shown.length > columns)).toEqual([]);
  });
});

test.each([
  ['parked list', 4],
  ['dead-letters list', 3],
  ['jobs list', 2],
  ['sinks list', 3],
])('walpost %s in a pipe: a head, and a line for each row', async (line, count) => {
  const { stdout } = await walpost(line.split(' '), { cwd: directory });
  expect(stdout.trimEnd().split('\n')).toHaveLength(count);
});
