/** Each command of docs/runbook.md is typed as it stands there, at a database where there is something to do. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { plantDeadLetters, plantParked } from '../support/planted-rows.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';
import { EventReceiver } from './event-receiver.ts';
import { configOf } from './running-walpost.ts';

vi.setConfig({ testTimeout: 120_000 });

const page = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8');
const typed = (begins: string): string[] => [
  ...new Set([...page.matchAll(new RegExp(`\`(${begins}[^\`]*)\``, 'g'))].map(([, text]) => text ?? '')),
];
const ORGANIZATION = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';

interface Case {
  readonly says: RegExp;
  /** 0 by default. */
  readonly code?: number;
  /** A relay streams meanwhile. */
  readonly led?: true;
  /** It goes on until it is told to stop. */
  readonly stays?: true;
}

const STREAMS: Case = { says: /streaming from/, stays: true };
const CASES: Readonly<Record<string, Case>> = {
  'config check': { says: / is valid: 1 sink, 1 route\.$/m },
  'dead-letters discard --sink crm --dry-run': { says: /^1 dead letter would be deleted\.$/m },
  'dead-letters list': { says: /^17 +crm +failed +3 /m },
  'dead-letters redrive --sink crm --dry-run': { says: /^1 dead letter would be sent again \(crm 1\)\.$/m },
  'dead-letters redrive --sink crm --yes': { says: /done, 1 dead letter sent again/, led: true },
  'dead-letters show 17': { says: /the field amount is missing/ },
  doctor: { says: /checks made/, code: 3 },
  'endpoints adopt': { says: /^Nothing to do: the endpoints belong to this database\.$/m },
  'endpoints list --failing': { says: /^There is no such endpoint\./m },
  'jobs list': { says: /^There are no jobs\.$/m },
  migrate: { says: /^The walpost schema is up to date\.$/m },
  'migrate --plan': { says: /^The walpost schema is up to date\.$/m },
  'parked discard --sink old_name': { says: /^Deleted 2 parked events\.$/m },
  'parked list': { says: /crm +6f1c2a52/ },
  'parked list --limit 5': { says: /crm +6f1c2a52/ },
  [`parked list --organization ${ORGANIZATION}`]: { says: /crm +6f1c2a52/ },
  'parked list --sink crm': { says: /crm +6f1c2a52/ },
  'parked move --from old_name --to crm': { says: /^Moved 2 parked events of old_name to crm\.$/m },
  [`parked retry --organization ${ORGANIZATION}`]: { says: /^5 parked events in 2 lanes are due now\.$/m },
  'parked retry --sink crm': { says: /^3 parked events in 1 lane are due now\.$/m },
  prune: { says: /^Nothing to remove\.$/m },
  run: STREAMS,
  'run --set source.existing=deliver': STREAMS,
  'run --set source.existing=skip': STREAMS,
  'run --set source.on_slot_lost=heal': STREAMS,
  status: { says: /^parked +5$/m },
  'status --watch 5s': { says: /^parked +5$/m, stays: true },
  uninstall: { says: /^walpost is removed\.$/m },
  verify: { says: /^All canaries came through\.$/m, led: true },
};
/** In a terminal they ask; the person has seen what would go. */
const ASK = /^(parked (move|discard)|uninstall|endpoints adopt)/;

let database: TestDatabase;
let receiver: EventReceiver;
let file: ConfigFile;
const sinks = () => ({ crm: receiver.sink() });
const relay = (): Promise<RelayInProcess> => RelayInProcess.start({ database, sinks: sinks() });

beforeAll(async () => {
  receiver = await EventReceiver.start();
});
afterAll(() => receiver[Symbol.asyncDispose]());
beforeEach(async () => {
  database = await createTestDatabase();
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: sinks() })));
  await using first = await relay();
  await first.stop();
  await database.query('ALTER TABLE walpost.dead_letters ALTER COLUMN id RESTART WITH 17');
  await plantDeadLetters(database, { slot: database.slotName, sink: 'crm', organization: ORGANIZATION, count: 1 });
  return async () => {
    file[Symbol.dispose]();
    await database[Symbol.asyncDispose]();
  };
});

async function park(): Promise<void> {
  const row = { slot: database.slotName, organization: ORGANIZATION };
  await plantParked(database, { ...row, sink: 'crm', count: 3 });
  await plantParked(database, { ...row, sink: 'old_name', count: 2, place: 11 });
}

async function staying(argv: readonly string[], says: RegExp): Promise<void> {
  await using cli = new Cli(argv);
  await Promise.race([cli.prints(says, 'stdout'), cli.prints(says, 'stderr')]);
  cli.child.kill('SIGTERM');
  expect(await cli.result()).toMatchObject({ code: 0 });
}

describe('commands', () => {
  test('each one of the page has a case, and no other', () => {
    expect(typed('walpost ').toSorted()).toEqual(
      Object.keys(CASES)
        .map((line) => `walpost ${line}`)
        .toSorted(),
    );
  });

  test.each(Object.entries(CASES))('walpost %s', async (line, { says, code = 0, led, stays }) => {
    const argv = [...line.split(' '), '--config', file.path, ...(ASK.test(line) ? ['--yes'] : [])];
    if (line.startsWith('run')) return staying(argv, says);
    if (!led) await park();
    if (stays) return staying(argv, says);
    await using leader = led && (await relay());
    const result = await walpost(argv);
    expect(result).toMatchObject({ code, stdout: expect.stringMatching(says) as string });
    if (leader) await leader.stop();
  });
});

describe('statements', () => {
  test.each(typed('SELECT '))('%s is understood by the server', async (statement) => {
    const whole = statement.replace('(pid)', '(0)');
    expect(await database.query(`EXPLAIN ${whole}`)).not.toEqual([]);
  });

  test('those about the login are taken for a role of that name', async () => {
    const statements = [...typed('ALTER ROLE walpost '), ...typed('GRANT walpost_relay ')];
    expect(statements).toHaveLength(3);
    const client = await database.client();
    await client.query('BEGIN; DROP ROLE IF EXISTS walpost; CREATE ROLE walpost LOGIN');
    for (const statement of statements) await client.query(statement);
    await client.query('ROLLBACK');
  });
});
