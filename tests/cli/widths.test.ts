/** What commands show fits the terminal, however narrow; in a pipe each row of a list is one line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { plantDeadLetters, plantParked } from '../support/planted-rows.ts';
import { Terminal, terminalMissing } from '../situations/terminal.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { freePort } from '../support/free-port.ts';
import { settleAll } from '../support/settled-checkpoint.ts';
import { walpost } from '../support/walpost-cli.ts';
import { expectShown, WIDTHS } from './shown-at.ts';

vi.setConfig({ testTimeout: 60_000 });

const noTerminal = terminalMissing();
const ORGANIZATION = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';
/** Longer than it should be, as names of people are. */
const SINK = 'notifications-of-the-customer-portal';

let database: TestDatabase;
let directory: string;
let event: string;
let endpoint: string;
let config: Record<string, object>;
beforeAll(async () => {
  database = await createTestDatabase();
  const slot = database.slotName;
  directory = mkdtempSync(join(tmpdir(), 'walpost-widths-'));
  const sinks = { [SINK]: { type: 'discard' }, log: { type: 'stdout' }, hooks: { type: 'webhook', endpoints: true } };
  config = { database: { url: database.url }, source: { slot }, sinks, routes: [{ to: [SINK] }], http: { port: 1 } };
  writeFileSync(join(directory, 'walpost.yaml'), JSON.stringify(config));
  endpoint = (await addEndpoint(database, ORGANIZATION)).id;
  const [row] = await database.query<{ id: string }>(
    `SELECT walpost.publish($1, 'job.completed', '{"n": 1}')::text AS id`,
    [ORGANIZATION],
  );
  event = row?.id ?? '';
  await settleAll(database, slot);
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

/** EVENT and ENDPOINT stand for ids. The output of `config schema`, and SQL, is for programs. */
const COMMANDS: readonly [line: string, says: RegExp, code?: number][] = [
  ['status', /waiting .*503 Service Unavailable/],
  ['doctor', /checks made/, 3],
  ['events show EVENT --payload', /"n": 1/],
  ['parked list', /job\.completed.*503 Service Unavailable/],
  ['sinks list', /notifications-of-the-customer-portal/],
  [`sinks pause ${SINK} --reason maintenance-of-the-portal`, /paused/],
  ['sinks list', /maintenance-of-the-portal/],
  [`sinks resume ${SINK}`, /sink notifications-of-the-customer-portal (is resumed|was not paused)/],
  ['jobs list', /the receiver of the portal was restored from a backup of yesterday/],
  ['jobs cancel 999', /JOB_UNKNOWN/, 2],
  ['parked retry --dry-run', /3 parked events/],
  ['parked discard --dry-run', /3 parked events would be deleted/],
  [`parked move --from ${SINK} --to log --dry-run`, /3 parked events/],
  ['dead-letters list', /HTTP 422.*the field amount is missing/],
  ['dead-letters show 1', /the field amount is missing/],
  ['dead-letters redrive --dry-run', /2 dead letters would be sent again/],
  ['dead-letters discard --dry-run', /2 dead letters would be deleted/],
  ['replay --all --dry-run', /Begins with the oldest row of the outbox\. .*Events to send: \d+/],
  [`send job.completed --organization ${ORGANIZATION}`, /[0-9a-f]{8}-[0-9a-f]{4}-/],
  ['migrate --plan', /The walpost schema is up to date\./],
  ['migrate', /The walpost schema is up to date\./],
  ['uninstall --dry-run', /walpost/],
  ['prune', /Nothing to remove\./],
  ['config check', / is valid: 3 sinks, 1 route/],
  ['config check --set batching.window=0', /batching\.window: must be at least/, 2],
  ['init --yes --force', /walpost\.yaml/],
  ['parked list --sink nowhere', /nowhere/, 2],
  ['run --set database.pool_size=0', /database\.pool_size/, 2],
  ['endpoints list', /hooks\.example\.com/],
  ['endpoints show ENDPOINT', /https:\/\/hooks\.example\.com\/in/],
  ['endpoints test ENDPOINT', /Sent event [0-9a-f]{8}-/],
  ['endpoints pause ENDPOINT --reason the-customer-moves', /paused/],
  ['endpoints enable ENDPOINT', /enabled/],
  ['endpoints disable ENDPOINT --dry-run', /0 parked events would be discarded/],
  ['endpoints recover ENDPOINT --dry-run', /It has missed nothing that is known of/, 2],
  ['endpoints adopt --yes', /Nothing to do: the endpoints belong to this database/],
];
const word = (text: string): string => text.replace('EVENT', event).replace('ENDPOINT', endpoint);

describe.skipIf(noTerminal !== undefined)('at 60, 80 and 160 columns and in a pipe', () => {
  test.each(COMMANDS)('walpost %s', async (line, says, code) => {
    const apart = line.startsWith('init');
    const place = (): string => (apart ? mkdtempSync(join(directory, 'init-')) : directory);
    const directories = [...WIDTHS.map(place), place()];
    await expectShown(line.split(' ').map(word), [new RegExp(word(says.source))], { directories, code });
  });
});

describe.skipIf(noTerminal !== undefined)('what is not asked twice at once', () => {
  const shown = async (argv: readonly string[], columns: number, cwd = directory): Promise<string> => {
    await using terminal = new Terminal(argv, { cwd, columns });
    const { code, text } = await terminal.end();
    expect({ code, text, wide: text.split('\n').filter((line) => line.length > columns) }).toMatchObject({ wide: [] });
    return `${code}: ${text.replace(/\s+/g, ' ')}`;
  };

  test('walpost verify, which nobody answers', async () => {
    expect(await shown(['verify', '--count', '2', '--timeout', '1s'], 60)).toMatch(
      /^3: .*Nobody streams from .*0 of 2; missing 1, 2/,
    );
  });

  test('walpost listen, until Ctrl-C', async () => {
    await using terminal = new Terminal(['listen', '--port', String(await freePort())], {
      cwd: directory,
      columns: 60,
    });
    await terminal.shows(/http:\/\//);
    terminal.type('\x03');
    const { text } = await terminal.end();
    expect(text.split('\n').filter((line) => line.length > 60)).toEqual([]);
  });

  test('walpost demo --plain', async () => {
    const argv = ['demo', '--plain', '--duration', '1s', '--rate', '50'];
    expect(await shown(argv, 60)).toMatch(/^0: /);
  });

  test('walpost migrate at a database without the schema, and uninstall', async () => {
    await using empty = await createTestDatabase({ migrated: false });
    const cwd = mkdtempSync(join(directory, 'empty-'));
    writeFileSync(join(cwd, 'walpost.yaml'), JSON.stringify({ ...config, database: { url: empty.url } }));
    expect(await shown(['migrate', '--plan'], 80, cwd)).toMatch(/^\d: .*001/);
    expect(await shown(['migrate'], 60, cwd)).toMatch(/^0: .*001/);
    expect(await shown(['uninstall', '--yes'], 60, cwd)).toMatch(/^0: .*walpost is removed\./);
  });
});

test.each([
  ['parked list', 4],
  ['dead-letters list', 3],
  ['jobs list', 2],
  ['sinks list', 4],
])('walpost %s in a pipe: a head, and a line for each row', async (line, count) => {
  const { stdout } = await walpost(line.split(' '), { cwd: directory });
  expect(stdout.trimEnd().split('\n')).toHaveLength(count);
});

test.each([
  ['migrate --sql', /^CREATE TABLE/m],
  ['types', /^export /m],
  ['config print', new RegExp(SINK)],
  ['config schema', /"\$schema"/],
])('walpost %s is for programs: a pipe gets it whole', async (line, says) => {
  const { code, stdout } = await walpost(line.split(' '), { cwd: directory });
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(says) });
});
