import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { createNotes, openSession, untilFree } from '../support/slot-session.ts';

let server: EmbeddedPostgres;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());

async function stopTakes(): Promise<number> {
  const from = performance.now();
  await server.stop('fast');
  return performance.now() - from;
}

test('a fast shutdown ends within two seconds while something is unconfirmed', async () => {
  await using db = await createTestDatabase({ migrated: false, server: server.url() });
  await createNotes(db);
  await using session = await openSession(db);
  const { recorder, stream } = session;
  await db.query("INSERT INTO note (note) VALUES ('settled')");
  await recorder.until('it arrived', () => recorder.transactions.length === 1);
  stream.confirm(recorder.transactions[0]?.endLsn ?? 0n);
  await db.query("INSERT INTO note (note) VALUES ('one')");
  await recorder.until('it arrived', () => recorder.transactions.length === 2);
  try {
    expect(await stopTakes()).toBeLessThan(2_000);
    expect(await session.ended).toMatchObject({ code: 'SERVER_SHUTDOWN', policy: 'retry' });
  } finally {
    await server.start();
  }
  await using again = await openSession(db);
  await again.recorder.until('it came again', () => again.recorder.transactions.length === 1);
  expect(again.recorder.allNotes).toEqual(['one']);
});

test('a fast shutdown ends at once when all is confirmed', async () => {
  await using db = await createTestDatabase({ migrated: false, server: server.url() });
  await createNotes(db);
  await using session = await openSession(db);
  await db.query("INSERT INTO note (note) VALUES ('one')");
  await session.recorder.until('it arrived', () => session.recorder.transactions.length === 1);
  session.stream.confirm(session.stream.received);
  try {
    expect(await stopTakes()).toBeLessThan(2_000);
    expect(await session.ended).toMatchObject({ code: 'SERVER_SHUTDOWN' });
  } finally {
    await server.start();
  }
});

test('a walsender that is told to end closes the stream at once', async () => {
  await using db = await createTestDatabase({ migrated: false, server: server.url() });
  await createNotes(db);
  await using session = await openSession(db);
  await db.query('SELECT pg_terminate_backend($1)', [session.stream.backendPid]);
  expect(await session.ended).toMatchObject({ code: 'SERVER_SHUTDOWN' });
  await untilFree(db);
});

test('a crash of the server ends the stream, and the recovering server asks to come again', async () => {
  await using db = await createTestDatabase({ migrated: false, server: server.url() });
  await createNotes(db);
  await using session = await openSession(db);
  await server.stop('immediate');
  try {
    expect(await session.ended).toMatchObject({ policy: 'retry' });
    await expect(openSession(db)).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE', policy: 'retry' });
  } finally {
    await server.start();
  }
});
