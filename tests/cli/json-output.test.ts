/** What commands that change something print with --json, as docs/cli.md has it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConfigFile, LEAST } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { plantDeadLetters, plantParked } from '../support/planted-rows.ts';
import { type CliOptions, walpost } from '../support/walpost-cli.ts';

let database: TestDatabase;
let file: ConfigFile;
beforeAll(async () => {
  database = await createTestDatabase();
  const config = LEAST.replace('postgres://localhost/app', JSON.stringify(database.url));
  file = new ConfigFile(`${config}source: { slot: ${database.slotName} }\n`);
});
afterAll(async () => {
  file[Symbol.dispose]();
  await database[Symbol.asyncDispose]();
});

async function ask(argv: readonly string[], options: CliOptions & { code?: number } = {}): Promise<unknown> {
  const { code: expected = 0, ...rest } = options;
  const { code, stdout, stderr } = await walpost([...argv, '--json'], rest);
  expect({ code, stderr }).toEqual({ code: expected, stderr: '' });
  return JSON.parse(stdout);
}

const asked = (...argv: string[]): Promise<unknown> => ask([...argv, '--config', file.path]);
const organization = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';

test('parked retry, move and discard', async () => {
  await plantParked(database, { slot: database.slotName, sink: 'old', organization, count: 3 });
  const retry = { matched: 3, streamed: false };
  expect(await asked('parked', 'retry', '--dry-run')).toEqual({ dry_run: true, lanes: 0, ...retry });
  expect(await asked('parked', 'retry')).toEqual({ dry_run: false, lanes: 1, ...retry });
  const ends = ['--from', 'old', '--to', 'log'];
  const move = { from: 'old', to: 'log', matched: 3 };
  expect(await asked('parked', 'move', ...ends, '--dry-run')).toEqual({ dry_run: true, ...move, moved: 0 });
  expect(await asked('parked', 'move', ...ends, '--yes')).toEqual({ dry_run: false, ...move, moved: 3 });
  const discard = ['parked', 'discard', '--sink', 'log'];
  expect(await asked(...discard, '--dry-run')).toEqual({ dry_run: true, matched: 3, deleted: 0 });
  expect(await asked(...discard, '--yes')).toEqual({ dry_run: false, matched: 3, deleted: 3 });
});

test('without --yes nothing is asked on a pipe, and standard output stays empty', async () => {
  await plantParked(database, { slot: database.slotName, sink: 'log', organization, count: 1, place: 9 });
  const refused = await walpost(['parked', 'discard', '--json', '--config', file.path]);
  expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Add --yes') });
});

test('dead-letters discard', async () => {
  await plantDeadLetters(database, { slot: database.slotName, sink: 'log', organization, count: 2 });
  const discard = ['dead-letters', 'discard', '--sink', 'log'];
  expect(await asked(...discard, '--dry-run')).toEqual({ dry_run: true, matched: 2, deleted: 0 });
  expect(await asked(...discard, '--yes')).toEqual({ dry_run: false, matched: 2, deleted: 2 });
});

test('jobs cancel', async () => {
  const [job] = await database.query<{ id: string }>(
    `INSERT INTO walpost.jobs (slot, kind, state, requested_by) VALUES ($1, 'replay', 'queued', 'test') RETURNING id::text`,
    [database.slotName],
  );
  expect(await asked('jobs', 'cancel', job?.id ?? '')).toEqual({ job: job?.id, cancelled: true });
});

test('config check, of a file that is good and of one that is not', async () => {
  expect(await asked('config', 'check')).toEqual({
    valid: true,
    path: file.path,
    sinks: 1,
    routes: 1,
    warnings: [],
    problems: [],
  });
  using wrong = new ConfigFile(`${LEAST}batching: { window: 0ms }\n`);
  expect(await ask(['config', 'check', '--config', wrong.path], { code: 2 })).toEqual({
    valid: false,
    problems: [
      {
        source: wrong.path,
        line: 4,
        column: 21,
        path: 'batching.window',
        message: expect.stringContaining('must be at least'),
      },
    ],
    remedy: expect.stringContaining('walpost config schema'),
  });
});

test('init', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'walpost-json-'));
  try {
    expect(await ask(['init', '--yes'], { cwd })).toEqual({
      written: ['walpost.yaml', 'compose.yaml', '.env'],
      secrets: '.env',
      fill_in: [],
    });
    const refused = await walpost(['init', '--yes', '--json'], { cwd });
    expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('already there') });
  } finally {
    rmSync(cwd, { recursive: true });
  }
});

test('uninstall', async () => {
  const there = { dry_run: true, installed: true, removed: false };
  const planned = await asked('uninstall', '--dry-run');
  expect(planned).toMatchObject({ ...there, goes: { schemas: ['walpost', 'walpost_internal'], slots: [] } });
  expect(planned).toHaveProperty('stays.callers', []);
  expect(await asked('uninstall', '--yes')).toMatchObject({ dry_run: false, installed: true, removed: true });
  expect(await asked('uninstall', '--yes')).toEqual({ dry_run: false, installed: false, removed: false });
});
