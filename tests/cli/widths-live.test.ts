/** What commands show of a relay in trouble fits the terminal, and says what it has to say, in a pipe too. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { EventReceiver, type ReceivedBatch } from '../e2e/event-receiver.ts';
import { Terminal, terminalMissing } from '../situations/terminal.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { freePort } from '../support/free-port.ts';
import { plantDeadLetters } from '../support/planted-rows.ts';
import { poll } from '../support/slot-session.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';
import { closedPort } from '../support/webhook-receiver.ts';
import { expectShown, WIDTHS } from './shown-at.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const noTerminal = terminalMissing();
const organization = (end: string): string => `6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f${end}`;
const [FAILS, REFUSED, BLOCKED, PAUSED, WELL, REPLAYED] = ['01', '02', '03', '04', '05', '06'].map(organization) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const PORTAL = 'notifications-of-the-customer-portal';
const DELIVERY = {
  park_after: '100ms',
  quick_retries: 0,
  backoff: ['500ms'],
  breaker: { minimum_organizations: 3, reset_after: '1h' },
};

let database: TestDatabase;
let receiver: EventReceiver;
let relay: Cli;
let replay: Cli | undefined;
let directory: string;

const answerTo = ({ organization_id: id, events }: ReceivedBatch): number | undefined => {
  if (id === FAILS) return 503;
  if (id === REFUSED) return 422;
  return id === BLOCKED && events.some(({ event_type: type }) => type === 'portal.issued') ? 422 : undefined;
};
const run = (...argv: string[]) => walpost(argv, { cwd: directory });
const publish = (id: string, type: string): Promise<unknown> =>
  database.query(`SELECT walpost.publish($1, $2, '{"n": 1}')`, [id, type]);
const stands = (what: string, rows: string): Promise<unknown> =>
  poll(what, async () => {
    await publish(WELL, 'portal.completed'); // the receiver accepts others, so an event is to blame
    return (await database.query(rows))[0];
  });

/** Lanes that fail, are refused, blocked, paused; a breaker that is open; endpoints; a job that runs. */
beforeAll(async () => {
  database = await createTestDatabase();
  receiver = await EventReceiver.start(answerTo);
  directory = mkdtempSync(join(tmpdir(), 'walpost-widths-'));
  const away = { type: 'webhook', url: `http://127.0.0.1:${await closedPort()}/`, allow_private: true };
  const sinks = {
    [PORTAL]: receiver.sink(),
    away,
    moved: receiver.sink(),
    picky: receiver.sink(),
    hooks: { type: 'webhook', endpoints: true },
  };
  const routes = [
    { match: { event_type: 'away.*' }, to: ['away'] },
    { match: { event_type: 'moved.*' }, to: ['moved'] },
    // Nothing else of this sink is accepted, so nobody can tell whose fault it is.
    { match: { event_type: 'picky.*' }, to: ['picky'] },
    { match: { event_type: 'portal.*' }, to: [PORTAL] },
  ];
  const config = { database: { url: database.url }, source: { slot: database.slotName }, delivery: DELIVERY };
  const http = { port: await freePort() };
  writeFileSync(join(directory, 'walpost.yaml'), JSON.stringify({ ...config, sinks, routes, http }));
  await addEndpoint(database, PAUSED);
  await block();
  relay = new Cli(['run'], { cwd: directory });
  await relay.prints(/"msg":"streaming from/);
  await run('sinks', 'pause', 'moved', '--reason', 'the receiver moves to another data center');
  for (let n = 0; n < 4; n += 1) {
    await publish(FAILS, 'portal.completed');
    await publish(REFUSED, 'picky.on');
  }
  await publish(PAUSED, 'moved.there');
  for (let n = 10; n < 15; n += 1) await publish(organization(String(n)), 'away.on');
  await stands('it fails', `SELECT FROM walpost.lanes WHERE organization_id = '${FAILS}' AND attempts > 0`);
  await stands('it is refused everything', `SELECT FROM walpost.lanes WHERE state = 'refusing'`);
  await stands('the breaker is open', `SELECT FROM walpost.lanes WHERE sink = 'away' AND code IS NOT NULL`);
  for (let n = 0; n < 150; n += 1) await publish(REPLAYED, 'portal.completed');
  replay = new Cli(['replay', '--all', '--rate', '1', '--organization', REPLAYED, '--yes'], { cwd: directory });
  await replay.prints(/running, \d+ of about/, 'stdout');
});

/** A lane that waits behind a dead letter does so over a restart too; the next relay goes on behind them. */
async function block(): Promise<void> {
  await using first = new Cli(['run', '--set', 'delivery.on_dead_letter=block'], { cwd: directory });
  await first.prints(/"msg":"streaming from/);
  await publish(BLOCKED, 'portal.issued');
  await stands('a dead letter blocks', 'SELECT FROM walpost.dead_letters WHERE blocks');
  await publish(BLOCKED, 'portal.completed');
  await stands('an event waits behind it', 'SELECT FROM walpost.parked');
  first.child.kill('SIGTERM');
  await first.result();
}

afterAll(async () => {
  rmSync(directory, { recursive: true });
  await replay?.[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const shows = (line: string, says: readonly RegExp[], code?: number): Promise<void> =>
  expectShown(line.split(' '), says, { directories: WIDTHS.map(() => directory), code });

describe.skipIf(noTerminal !== undefined)('a relay in trouble, at 60, 80 and 160 columns and in a pipe', () => {
  const lane = (id: string, says: string): RegExp => new RegExp(`waiting ${PORTAL}, organization ${id}: .*${says}`);
  test('walpost status', () =>
    shows('status', [
      /role leader, epoch \d+, streaming from/,
      /sink away breaker open, 5 parked/,
      lane(FAILS, 'the destination answered 503 Service Unavailable'),
      lane(BLOCKED, 'waits for a person: dead letter \\d+ blocks it'),
      new RegExp(`refusing picky, organization ${REFUSED}: \\d+ events of 1 type refused since`),
      /paused sink moved: paused by \w+ since .* \(the receiver moves to another data center\)/,
      /jobs replay 1 running/,
      /endpoints 1 enabled/,
      /remedy sink away: Start the receiver, or correct sinks\.away\.url/,
    ]));

  test.each<[line: string, says: readonly RegExp[], code?: number]>([
    ['sinks list', [/moved/, /the receiver moves to another data center/]],
    ['parked list', [new RegExp(FAILS), /answered 503/, /ECONNREFUSED/]],
    ['dead-letters list', [new RegExp(BLOCKED), /failed, blocks/, /422 Unprocessable Entity/]],
    ['jobs list', [/replay/, /running/]],
    ['endpoints list', [/hooks\.example\.com/, /enabled/]],
    ['doctor', [/checks made/], 3],
  ])('walpost %s', (line, says, code) => shows(line, says, code));

  test('walpost status --check is one line, however narrow', async () => {
    await using terminal = new Terminal(['status', '--check'], { cwd: directory, columns: 60 });
    const { text } = await terminal.end();
    expect(text).toMatch(/^(OK|WARNING|CRITICAL) [^\n]+\n$/);
  });
});

const CLEARED = '\r\x1b[K';

describe.skipIf(noTerminal !== undefined)('commands that change something', () => {
  beforeAll(async () => {
    await replay?.[Symbol.asyncDispose]();
    receiver.onBatch = () => undefined;
    await plantDeadLetters(database, {
      slot: database.slotName,
      sink: 'away',
      organization: FAILS,
      count: 3,
      place: 99,
    });
  });

  test.each<[line: string, columns: number, progress: RegExp | null, says: RegExp]>([
    ['jobs cancel 1', 60, null, /Job 1 is cancelled\./],
    ['dead-letters discard --sink away --yes', 60, null, /Deleted 3 dead letters\./],
    [
      'dead-letters redrive --yes',
      60,
      /^redrive-\d+: \w+, \d+ of about \d+ events/,
      /done, \d+ dead letters? sent again/,
    ],
    [
      `replay --all --organization ${REPLAYED} --rate 50 --yes`,
      80,
      /^replay-\d+: running, \d+ of about \d+ events, [\d.]+\/s, .+ left$/,
      /replay-\d+: done/,
    ],
    ['verify --count 20 --rate 100', 80, /^\d+ of 20 canaries$/, /20 of 20; no gaps; in order/],
    ['parked move --from away --to moved --yes', 160, null, /Moved 5 parked events of away to moved\./],
    ['parked discard --sink moved --yes', 60, null, /Deleted 6 parked events\./],
  ])('walpost %s at %i columns', async (line, columns, progress, says) => {
    await using terminal = new Terminal(line.split(' '), { cwd: directory, columns });
    const { code, text } = await terminal.end();
    expect({ code, text }).toMatchObject({ code: 0, text: expect.stringMatching(/\S/) });
    expect(text.split('\n').filter((each) => each.length > columns)).toEqual([]);
    expect(text.replace(/\s+/g, ' ')).toMatch(says);
    const passing = terminal.written.split(CLEARED).slice(1, -1);
    expect(passing.filter((each) => each.length >= columns)).toEqual([]);
    if (progress) expect(passing.some((each) => progress.test(each.trimEnd()))).toBe(true);
  });
});
