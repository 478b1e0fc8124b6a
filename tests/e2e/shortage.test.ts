/** A server that does not answer, has no room, or is a standby: told by its name, and tried again where that can help. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type pg from 'pg';
import { expect, test, vi } from 'vitest';
import { checkServer } from '../../src/slot/server-checks.ts';
import { newClient } from '../support/client.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, databaseUrl } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { onServer, startStandby } from '../support/standby.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';
import { EventReceiver } from './event-receiver.ts';
import { configOf, RunningWalpost } from './running-walpost.ts';

vi.setConfig({ testTimeout: 120_000 });

const COMMANDS = [
  ['migrate'],
  ['migrate', '--plan'],
  ['migrate', '--outbox', 'public.events'],
  ['status'],
  ['jobs', 'list'],
  ['dead-letters', 'list'],
  ['parked', 'list'],
  ['replay', '--since', '1h', '--dry-run'],
  ['prune'],
];

/** Accepts connections and says nothing. */
async function silentPort() {
  const sockets = new Set<Socket>();
  const stays: number[] = [];
  const server = createServer((socket) => {
    const begun = performance.now();
    sockets.add(socket.on('error', () => undefined).resume());
    socket.once('close', () => stays.push(performance.now() - begun));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    /** How long each connection lasted. */
    stays,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

const least = (url: string): string =>
  JSON.stringify({
    database: { url },
    sinks: { log: { type: 'stdout' } },
    routes: [{ to: ['log'] }],
    http: { port: 0 },
  });

test.each(['', '?sslmode=require'])('a port that accepts and never answers: every command gives up %s', async (tls) => {
  await using silent = await silentPort();
  using file = new ConfigFile(least(`postgres://app:x@127.0.0.1:${silent.port}/app${tls}`));
  const results = await Promise.all(COMMANDS.map((command) => walpost([...command, '--config', file.path])));
  // Seen from the port, so that the time processes take to start does not count. Some ask over two connections at a time.
  expect(silent.stays.length).toBeGreaterThanOrEqual(COMMANDS.length);
  expect(Math.max(...silent.stays)).toBeLessThan(20_000);
  for (const [index, { code, stdout, stderr }] of results.entries()) {
    expect({ command: COMMANDS[index], code }).toEqual({ command: COMMANDS[index], code: 1 });
    const said = COMMANDS[index]?.[0] === 'status' ? stdout + stderr : stderr;
    expect(said).toContain(`127.0.0.1:${silent.port}`);
    if (COMMANDS[index]?.[0] !== 'status') expect(stderr.split('\n')[0]).toBe('SERVER_UNREACHABLE');
  }
});

test('a port that accepts and never answers: `run` says so, and a signal ends it', async () => {
  await using silent = await silentPort();
  using file = new ConfigFile(least(`postgres://app:x@127.0.0.1:${silent.port}/app`));
  await using cli = new Cli(['run', '--config', file.path]);
  await cli.prints(/"code":"SERVER_UNREACHABLE"/);
  cli.child.kill('SIGTERM');
  expect(await cli.result()).toMatchObject({ code: 0 });
});

test('a server that accepts and never answers: which one, what to do, and it streams when it answers', async () => {
  await using database = await createTestDatabase();
  await using proxy = await TcpProxy.before(database.url);
  proxy.hold();
  const url = proxy.url(database.url);
  const config = configOf({ database, sinks: { log: { type: 'stdout' } }, url });
  using file = new ConfigFile(JSON.stringify(config));
  await using cli = new Cli(['run', '--config', file.path]);
  const { host } = new URL(url);
  await cli.prints(new RegExp(`"code":"SERVER_UNREACHABLE","remedy":"Check host and port.*At ${host}: no answer`));
  proxy.cut();
  proxy.forward();
  await cli.prints(/"msg":"streaming from/);
});

test('max_wal_senders are all in use: it waits, says why, and streams when there is room', async () => {
  await using server = await startServer('17', { settings: { max_wal_senders: '1' } });
  await using database = await createTestDatabase({ server: server.url() });
  await using receiver = await EventReceiver.start();
  const holder = newClient({ connectionString: database.url, replication: 'true' } as pg.ClientConfig);
  await holder.connect();
  await using run = new RunningWalpost({ database, sinks: { hook: receiver.sink() } });
  await run.cli.prints(
    /"code":"TOO_MANY_CONNECTIONS".*"remedy":"End some, or raise the limit.*exceeds \\"max_wal_senders/,
  );
  await holder.end();
  await run.cli.prints(/"msg":"streaming from/);
  expect(await run.stop()).toMatchObject({ code: 0 });
});

test('a role with no connection left: the same code', async () => {
  await using database = await createTestDatabase();
  const role = `${database.name}_few`;
  await database.query(`CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'few' CONNECTION LIMIT 1`);
  const url = new URL(database.url);
  [url.username, url.password] = [role, 'few'];
  const holder = newClient({ connectionString: url.href });
  await holder.connect();
  await expect(checkServer({ url: url.href })).rejects.toMatchObject({ code: 'TOO_MANY_CONNECTIONS', policy: 'retry' });
  using file = new ConfigFile(least(url.href));
  const { code, stderr } = await walpost(['jobs', 'list', '--config', file.path]);
  expect({ code, first: stderr.split('\n')[0] }).toEqual({ code: 1, first: 'TOO_MANY_CONNECTIONS' });
  await holder.end();
  await database.query(`DROP ROLE ${role}`);
});

test('a hot standby is named, by commands too, and streamed from once it is promoted', async () => {
  await using primary = await startServer();
  await using database = await createTestDatabase({ server: primary.url() });
  const name = database.name;
  await (await database.client()).end();
  await using standby = await startStandby(primary, primary.port);
  const url = databaseUrl(standby.url(), name);
  const sinks = { log: { type: 'stdout' } };
  using file = new ConfigFile(JSON.stringify(configOf({ database, sinks, url })));
  await using cli = new Cli(['run', '--config', file.path]);
  const place = new URL(url).host;
  await cli.prints(
    new RegExp(
      `"code":"HOT_STANDBY","remedy":"Name the primary in database.url, or promote.*At ${place}: pg_is_in_rec`,
    ),
  );
  for (const command of [['migrate'], ['prune']]) {
    const { code, stderr } = await walpost([...command, '--config', file.path]);
    expect({ command, code, first: stderr.split('\n')[0] }).toEqual({ command, code: 1, first: 'HOT_STANDBY' });
  }
  await onServer(standby, (client) => client.query('SELECT pg_promote()'));
  await cli.prints(/"msg":"streaming from|cannot go on/);
  expect(cli.stderr).toMatch(/"msg":"streaming from/);
  cli.child.kill('SIGTERM');
  expect(await cli.result()).toMatchObject({ code: 0 });
});
