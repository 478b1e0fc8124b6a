/** `walpost status --watch` in a terminal: it fits, it follows the size, and Ctrl-C ends it at once. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { lowered } from '../../src/cli/text-table.ts';
import { Terminal, terminalMissing } from '../situations/terminal.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Cli } from '../support/walpost-cli.ts';

vi.setConfig({ testTimeout: 60_000 });

let database: TestDatabase;
let directory: string;
beforeAll(async () => {
  database = await createTestDatabase();
  directory = mkdtempSync(join(tmpdir(), 'walpost-watch-'));
  configure(database.url);
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await database[Symbol.asyncDispose]();
});

function configure(url: string, http: object = { port: 1 }): void {
  const source = { slot: database.slotName };
  const config = { database: { url }, source, sinks: { log: { type: 'stdout' } }, routes: [{ to: ['log'] }], http };
  writeFileSync(join(directory, 'walpost.yaml'), JSON.stringify(config));
}

describe.skipIf(terminalMissing() !== undefined)('in a terminal', () => {
  test('each page fits, follows a new size at once, and Ctrl-C leaves the last one', async () => {
    await using terminal = new Terminal(['status', '--watch', '1h'], { cwd: directory, columns: 100, rows: 8 });
    await terminal.shows(/more lines in a taller terminal/);
    terminal.resize(60, 200);
    // The columns change first, then the rows: a page may come between.
    await terminal.shows(/more lines.* at \d{4}-\d\d-\d\d [\d:]+ UTC((?!more lines).)*alerts((?!more lines).)*$/);
    terminal.type('\x03');
    const { code } = await terminal.end();
    expect(code).toBe(0);
    const pages = terminal.written.split('\x1b[H\x1b[J').map((page) => page.split('\r\n').slice(0, -1));
    const [small = [], large = []] = [pages[1], pages.at(-1)];
    expect(small).toHaveLength(7);
    expect([...large].filter((line) => line.length > 60)).toEqual([]);
    expect(large.length).toBeGreaterThan(8);
  });

  test('with --json a new size shows nothing: a line is one look', async () => {
    await using terminal = new Terminal(['status', '--watch', '300ms', '--json'], { cwd: directory });
    await terminal.shows(/\{"version".*"notes"/);
    terminal.resize(60, 20);
    await terminal.shows(/("changes":.*){3}/);
    terminal.type('\x03');
    expect(await terminal.end()).toMatchObject({ code: 0 });
    const lines = terminal.text.split('\n').filter((line) => line.startsWith('{'));
    expect(new Set(lines).size).toBe(lines.length);
  });

  let onAsked: () => unknown = () => undefined;
  test('Ctrl-C ends it while a server does not answer', async () => {
    let asked = 0;
    const askedTwice = new Promise<void>((resolve) => {
      onAsked = () => (asked += 1) === 2 && resolve();
    });
    await using silent = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      onAsked();
    });
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo;
    configure(database.url, { port });
    await using terminal = new Terminal(['status', '--watch', '200ms'], { cwd: directory });
    await askedTwice;
    const begun = performance.now();
    terminal.type('\x03');
    expect(await terminal.end()).toMatchObject({ code: 0 });
    expect(performance.now() - begun).toBeLessThan(3_000);
    configure(database.url);
  });
});

test('in a pipe a blank line is between two looks, and each says when it was', async () => {
  await using cli = new Cli(['status', '--watch', '200ms'], { cwd: directory });
  await cli.prints(/^at .*[^]*\n\nat .* UTC$/m, 'stdout');
  cli.child.kill('SIGINT');
  expect(await cli.result()).toMatchObject({ code: 0 });
});

test('of a page that is too long the first lines and the last ones stay', () => {
  const text = `${Array.from({ length: 20 }, (_, n) => `line ${n}`).join('\n')}\n`;
  expect(lowered(text, undefined)).toBe(text);
  expect(lowered(text, 21)).toBe(text);
  expect(lowered(text, 8).split('\n')).toEqual([
    'line 0',
    'line 1',
    'line 2',
    '… 14 more lines in a taller terminal',
    'line 17',
    'line 18',
    'line 19',
    '',
  ]);
  expect(lowered(text, 1).split('\n')).toHaveLength(4);
});
