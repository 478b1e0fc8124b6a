import { once } from 'node:events';
import { createServer } from 'node:net';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import { databaseError } from '../../src/postgres/database-error.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { newClient } from '../support/client.ts';

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  );

async function connecting(url: string, options: pg.ClientConfig = {}): Promise<Error> {
  const client = newClient({ connectionString: url, ...options });
  const error = await failure(client.connect());
  await client.end().catch(() => undefined);
  return databaseError(error);
}

test('what the server refuses', async () => {
  await using database = await createTestDatabase();
  const wrongPassword = new URL(database.url);
  wrongPassword.password = 'hunter2';
  const refused = await connecting(wrongPassword.href);
  expect(refused).toMatchObject({ code: 'AUTHENTICATION', policy: 'operator' });
  expect(refused.message).toContain('. Password authentication failed for user');
  expect(refused.message).not.toContain('hunter2');

  const noDatabase = new URL(database.url);
  noDatabase.pathname = '/not_there';
  expect(await connecting(noDatabase.href)).toMatchObject({ code: 'DATABASE_MISSING' });

  await database.query('CREATE ROLE nobody_in_particular');
  const statement = 'SET LOCAL ROLE nobody_in_particular; SELECT * FROM walpost.outbox';
  const denied = databaseError(await failure(database.query(statement)), 'reading the outbox');
  expect(denied).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringContaining('reading the outbox') });
  await database.query('DROP ROLE nobody_in_particular');
});

test('a value of a statement does not get into the message', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const error = databaseError(await failure(database.query('SELECT $1::text::uuid', ['my secret'])));
  expect(error).toMatchObject({ code: 'DATABASE', message: expect.stringContaining('22P02') });
  expect(error.message).not.toContain('secret');
});

test('a session that is ended, and a server that shuts down', async () => {
  await using server = await startServer();
  const client = newClient({ connectionString: server.url() });
  await client.connect();
  const waiting = failure(client.query('SELECT pg_sleep(60)'));
  await server.stop('fast');
  expect(databaseError(await waiting)).toMatchObject({ code: 'SERVER_SHUTDOWN', policy: 'retry' });
  expect(databaseError(await failure(client.query('SELECT 1')))).toMatchObject({ code: 'CONNECTION_LOST' });
  expect(await connecting(server.url())).toMatchObject({ code: 'CONNECTION_LOST' });
});

test('a socket that dies, and one that stays silent', async () => {
  const server = createServer((socket) => socket.once('data', () => socket.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const url = `postgres://user:secret@127.0.0.1:${port}/database`;
  expect(await connecting(url)).toMatchObject({ code: 'CONNECTION_LOST' });
  server.removeAllListeners('connection').on('connection', (socket) => socket.on('error', () => undefined));
  expect(await connecting(url, { connectionTimeoutMillis: 50 })).toMatchObject({ code: 'CONNECTION_LOST' });
  server.close();
});

test('a defect stays what it is', () => {
  const defect = new TypeError('x is not a function');
  expect(databaseError(defect)).toBe(defect);
  const known = new WalpostError('SLOT_LOST');
  expect(databaseError(known)).toBe(known);
});
