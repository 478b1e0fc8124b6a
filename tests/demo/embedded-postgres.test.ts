import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { newClient } from '../support/client.ts';

async function query(url: string, text: string): Promise<pg.QueryResultRow[]> {
  const client = newClient(url);
  await client.connect();
  try {
    return (await client.query<pg.QueryResultRow>(text)).rows;
  } finally {
    await client.end();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('is ready for logical decoding when it has started, and leaves nothing when it is disposed', async () => {
  const server = await startEmbeddedPostgres({ settings: { work_mem: '5MB', 'walpost.note': "it's a \\ sign" } });
  const rows = await query(
    server.url(),
    `SELECT current_setting('wal_level') AS wal_level, current_setting('work_mem') AS work_mem,
            current_setting('walpost.note') AS note, current_setting('listen_addresses') AS listens`,
  );
  expect(rows).toEqual([{ wal_level: 'logical', work_mem: '5MB', note: "it's a \\ sign", listens: '127.0.0.1' }]);
  const { pid, dataDirectory } = server;
  expect(isAlive(pid)).toBe(true);
  await server[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(dirname(dataDirectory))).toBe(false);
});

test('its files are below the directory that it is told, and nothing of them is left', async () => {
  const home = await mkdtemp(join(tmpdir(), 'walpost-below-'));
  await chmod(home, 0o755); // the server may run as another user
  const server = await startEmbeddedPostgres({ below: home });
  expect(server.dataDirectory.startsWith(home)).toBe(true);
  expect(await query(server.url(), 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  await server[Symbol.asyncDispose]();
  expect(existsSync(dirname(server.dataDirectory))).toBe(false);
  await rm(home, { recursive: true });
});

test('nobody gets in without the password', async () => {
  await using server = await startEmbeddedPostgres();
  const url = new URL(server.url());
  url.password = 'guess';
  await expect(query(url.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
});

test.each(['fast', 'immediate'] as const)('a %s restart keeps port and data, and takes new settings', async (mode) => {
  await using server = await startEmbeddedPostgres();
  const { port, pid } = server;
  await query(server.url(), 'CREATE TABLE kept AS SELECT 7 AS n');
  await query(server.url(), "ALTER SYSTEM SET wal_level = 'replica'");
  await server.restart(mode);
  expect(server.port).toBe(port);
  expect(server.pid).not.toBe(pid);
  expect(await query(server.url(), "SELECT n, current_setting('wal_level') AS wal_level FROM kept")).toEqual([
    { n: 7, wal_level: 'replica' },
  ]);
  await server.stop();
  expect(server.pid).toBe(0);
  await server.start();
  expect(await query(server.url(), 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
});

test('a smart stop waits for the clients, a fast one ends them', async () => {
  await using server = await startEmbeddedPostgres();
  const client = newClient(server.url());
  const ended = new Promise<{ code: string }>((resolve) => client.on('error', (error) => resolve(error as never)));
  await client.connect();
  let stopped = false;
  const smart = server.stop('smart').finally(() => (stopped = true));
  const refusal = async (): Promise<string> => {
    return query(server.url(), 'SELECT 1').then(
      () => 'accepted',
      (error: { code: string }) => error.code,
    );
  };
  while ((await refusal()) !== '57P03');
  expect(stopped).toBe(false);
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await server.stop('fast');
  await smart;
  expect(await ended).toMatchObject({ code: '57P01' });
});

test('says what the server complained of when it does not start', async () => {
  await using server = await startEmbeddedPostgres();
  await expect(startEmbeddedPostgres({ port: server.port })).rejects.toMatchObject({
    code: 'EMBEDDED_POSTGRES',
    message: expect.stringContaining('Address already in use'),
  });
  await expect(startEmbeddedPostgres({ settings: { 'a = b\n': '1' } })).rejects.toMatchObject({
    code: 'EMBEDDED_POSTGRES',
  });
});

test.each(['SIGKILL', 'SIGTERM'] as const)('a parent that dies by %s takes server and files along', async (signal) => {
  const starter = join(import.meta.dirname, '../../src/demo/postgres/embedded-postgres.ts');
  const script = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(starter)});
    const server = await startEmbeddedPostgres();
    console.log(JSON.stringify({ pid: server.pid, cluster: server.dataDirectory }));
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { pid, cluster } = JSON.parse(line) as { pid: number; cluster: string };
  expect(isAlive(pid)).toBe(true);
  child.kill(signal);
  await once(child, 'exit');
  // Sooner than a server notices by itself that its files are gone.
  const deadline = performance.now() + 9_000;
  while ((isAlive(pid) || existsSync(dirname(cluster))) && performance.now() < deadline) await delay(20);
  expect({ alive: isAlive(pid), files: existsSync(dirname(cluster)) }).toEqual({ alive: false, files: false });
});

test('files of a process that is gone are removed at the next start, those of others are left alone', async () => {
  await using first = await startEmbeddedPostgres();
  const clusters = dirname(dirname(first.dataDirectory));
  const gone = spawn(process.execPath, ['-e', '']);
  await once(gone, 'exit');
  const abandoned = join(clusters, `${hostname()}-${gone.pid}-abcdef`);
  const elsewhere = join(clusters, `another.host-${gone.pid}-abcdef`);
  for (const path of [abandoned, elsewhere]) {
    mkdirSync(path);
    await writeFile(join(path, 'server.log'), '');
  }
  await using second = await startEmbeddedPostgres();
  expect([abandoned, elsewhere, first.dataDirectory, second.dataDirectory].map((path) => existsSync(path))).toEqual([
    false,
    true,
    true,
    true,
  ]);
  await rm(elsewhere, { recursive: true });
});
