/** A statement of `walpost migrate` may take long, and a server that answers nobody must not hold it up for ever. */
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { inCommandSession } from '../../src/postgres/command-session.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const LOCK = 5_201;
const SILENCE_MS = 600;
const failure = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);

test('a server that falls silent within a statement: the work ends, and says where it was', async () => {
  await using database = await createTestDatabase();
  await using proxy = await TcpProxy.before(database.url);
  const session = { url: proxy.url(database.url), applicationName: 'silent', silenceMs: SILENCE_MS };
  const given = await failure(
    inCommandSession(session, async (client) => {
      await client.query('SELECT 1');
      proxy.hold();
      await client.query('SELECT 2');
    }),
  );
  expect(given).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining(`127.0.0.1:${proxy.port}`) });
  proxy.forward();
});

test('a statement that takes much longer goes on while the server answers others', async () => {
  await using database = await createTestDatabase();
  await using proxy = await TcpProxy.before(database.url);
  const holder = await database.client();
  await holder.query('SELECT pg_advisory_lock($1)', [LOCK]);
  const session = { url: proxy.url(database.url), applicationName: 'slow', silenceMs: SILENCE_MS };
  const work = inCommandSession(session, (client) => client.query('SELECT pg_advisory_lock($1)', [LOCK]));
  const begun = performance.now();
  const looks = new Set<number>();
  await poll('the server was asked again and again, for longer than it may be silent', async () => {
    looks.add(proxy.delivered);
    return (looks.size > 10 && performance.now() - begun > 2 * SILENCE_MS) || undefined;
  });
  await holder.query('SELECT pg_advisory_unlock($1)', [LOCK]);
  expect((await work).rowCount).toBe(1);
});

test('migrate: a server that falls silent between two files', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await using proxy = await TcpProxy.before(database.url);
  const onStep = (): void => proxy.hold();
  const given = await failure(migrate(proxy.url(database.url), { onStep, silenceMs: SILENCE_MS }));
  expect(given).toMatchObject({ code: 'CONNECTION_LOST', remedy: expect.stringContaining('run the command again') });
  proxy.forward();
});

/** Answers every login, and no query: what a pooler does whose server is silent. */
async function silentPooler(): Promise<net.Server> {
  const message = (type: string, body: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    return Buffer.concat([Buffer.from(type), length, body]);
  };
  const greeting = [message('R', Buffer.alloc(4)), message('K', Buffer.alloc(8)), message('Z', Buffer.from('I'))];
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.write(Buffer.concat(greeting)));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

test('a pooler that answers logins for a server that is silent', async () => {
  const server = await silentPooler();
  const { port } = server.address() as AddressInfo;
  const url = `postgres://user@127.0.0.1:${port}/db?sslmode=disable`;
  const session = { url, applicationName: 'silent', silenceMs: SILENCE_MS };
  const given = await failure(inCommandSession(session, () => Promise.resolve()));
  expect(given).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('no answer for') });
  server.close();
});

test('migrate: behind a pool that has no third server, a file may take longer', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await using proxy = await TcpProxy.before(database.url);
  const server = await silentPooler();
  const sql = `SELECT pg_sleep(${(4 * SILENCE_MS) / 1000})`;
  const slow = { number: 1, name: '001_slow.sql', checksum: 'x', breaking: false, sql };
  // The two sessions of the command have a server; every other login gets one that answers nothing.
  const begun = migrate(proxy.url(database.url), { migrations: [slow], silenceMs: SILENCE_MS });
  await poll('the file is being applied', async () => {
    const found = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query ~ '^SELECT pg_sleep'`,
    );
    return found.length > 0 || undefined;
  });
  proxy.redirect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  expect(await begun).toEqual([slow]);
  server.close();
});
