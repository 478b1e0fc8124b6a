/** Who is asked may say no, Ctrl-C or Ctrl-D: nothing is changed, and that is said. Only an answer is a success. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Terminal, terminalMissing } from '../situations/terminal.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { plantDeadLetters, plantParked } from '../support/planted-rows.ts';

vi.setConfig({ testTimeout: 60_000 });

const ORGANIZATION = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';
const CTRL_C = '\x03';
const CTRL_D = '\x04';

describe.skipIf(terminalMissing() !== undefined)('in a terminal', () => {
  let database: TestDatabase;
  let directory: string;
  let endpoint: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    const slot = database.slotName;
    directory = mkdtempSync(join(tmpdir(), 'walpost-prompts-'));
    const sinks = { crm: { type: 'discard' }, log: { type: 'stdout' }, hooks: { type: 'webhook', endpoints: true } };
    const config = { database: { url: database.url }, source: { slot }, sinks, routes: [{ to: ['crm'] }] };
    writeFileSync(join(directory, 'walpost.yaml'), JSON.stringify({ ...config, http: { port: 1 } }));
    await plantParked(database, { slot, sink: 'crm', organization: ORGANIZATION, count: 3 });
    await plantDeadLetters(database, { slot, sink: 'crm', organization: ORGANIZATION, count: 2 });
    endpoint = (await addEndpoint(database, ORGANIZATION)).id;
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true });
    await database[Symbol.asyncDispose]();
  });

  const stored = () =>
    database.query(
      `SELECT (SELECT count(*)::int FROM walpost.parked WHERE sink = 'crm') AS parked, (SELECT count(*)::int FROM walpost.dead_letters) AS letters,
              (SELECT count(*)::int FROM walpost.jobs) AS jobs, (SELECT state FROM walpost.endpoints) AS endpoint`,
    );

  test.each([
    'parked discard',
    'parked move --from crm --to log',
    'dead-letters discard',
    'dead-letters redrive',
    'endpoints disable ENDPOINT',
    'endpoints adopt',
    'uninstall',
  ])('walpost %s', async (line) => {
    const before = await stored();
    const words = line.split(' ').map((word) => (word === 'ENDPOINT' ? endpoint : word));
    for (const [answer, expected] of [
      ['n\r', 0],
      ['\r', 0],
      [CTRL_C, 1],
      [CTRL_D, 1],
    ] as const) {
      await using terminal = new Terminal(words, { cwd: directory });
      await terminal.shows(/\[y\/N\] $/);
      terminal.type(answer);
      const { code, text } = await terminal.end();
      expect.soft({ code, text }, JSON.stringify(answer)).toMatchObject({ code: expected });
      expect.soft(text, JSON.stringify(answer)).toMatch(/\[y\/N\].*\nNothing was changed\.\n$/);
    }
    expect(await stored()).toEqual(before);
  });

  test('walpost init asks again after an answer that cannot be meant', async () => {
    const cwd = mkdtempSync(join(directory, 'init-'));
    await using terminal = new Terminal(['init'], { cwd, columns: 60 });
    const answers = ['mysql://root:hunter2@h/app', 'postgres://h/app', 'kafkaesque', '', 'job.*', '70000', '9500'];
    for (const [n, answer] of answers.entries()) {
      await terminal.shows(new RegExp(`(\\]: [^\\]]*){${n + 1}}$`));
      terminal.type(`${answer}\r`);
    }
    const { code, text } = await terminal.end();
    expect({ code, text }).toMatchObject({ code: 0 });
    expect(text.replace(/\s+/g, ' ')).toContain('--sink takes webhook, realtime, stdout, not "kafkaesque".');
    expect(readFileSync(join(cwd, '.env'), 'utf8')).toContain("DATABASE_URL='postgres://h/app'");
    expect(readFileSync(join(cwd, 'walpost.yaml'), 'utf8')).toContain('port: 9500');
  });

  test.each([CTRL_C, CTRL_D])('walpost init writes nothing after %j', async (key) => {
    const cwd = mkdtempSync(join(directory, 'init-'));
    await using terminal = new Terminal(['init'], { cwd });
    await terminal.shows(/Connection string/);
    terminal.type('postgres://h/app\r');
    await terminal.shows(/Where to/);
    terminal.type(key);
    const { code, text } = await terminal.end();
    expect({ code, text }).toMatchObject({ code: 1 });
    expect(text).toMatch(/\nNothing was written\.\n$/);
    expect(existsSync(join(cwd, '.env'))).toBe(false);
  });
});
