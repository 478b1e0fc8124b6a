import { expect, test } from 'vitest';
import { checkNotSynchronous, refuseSynchronousNames, standbyNames } from '../../src/slot/synchronous-standby.ts';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { createNotes, openSession } from '../support/slot-session.ts';

test.each<[string, string[]]>([
  ['', []],
  ['a', ['a']],
  ['a, b', ['a', 'b']],
  ['2 (a, b)', ['a', 'b']],
  ['FIRST 1 (a, "b, c", *)', ['a', 'b, c', '*']],
  ['any 1(a,"say ""x""")', ['a', 'say "x"']],
])('the names in %j', (setting, names) => {
  expect(standbyNames(setting)).toEqual(names);
});

test('only * and our own name are refused', () => {
  for (const fine of ['', 'replica_1', 'walpost_2, other', 'ANY 1 (replica)']) refuseSynchronousNames(fine);
  for (const not of ['*', 'WALPOST', 'FIRST 2 (replica, "walpost")']) {
    expect(() => refuseSynchronousNames(not)).toThrow(expect.objectContaining({ code: 'SYNCHRONOUS_STANDBY' }));
  }
});

test('while streaming: a server that begins to wait for us is noticed', async () => {
  await using server = await startServer('17', { settings: { synchronous_commit: 'local' } });
  await using db = await createTestDatabase({ migrated: false, server: server.url() });
  await createNotes(db);
  await using session = await openSession(db);
  const pid = session.stream.backendPid ?? 0;
  const client = await db.client();
  await checkNotSynchronous(client, pid);
  // The server counts only standbys that have confirmed something.
  await client.query("INSERT INTO note (note) VALUES ('one')");
  await session.recorder.until('it arrived', () => session.recorder.transactions.length === 1);
  session.stream.confirm(session.stream.received);
  await client.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await client.query('SELECT pg_reload_conf()');
  const seen = (): Promise<string> =>
    checkNotSynchronous(client, pid).then(
      () => 'fine',
      (error: Error) => error.message,
    );
  await expect.poll(seen).toMatch(/sync_state is "(sync|potential)"/);
  await client.query('ALTER SYSTEM RESET synchronous_standby_names');
  await client.query('SELECT pg_reload_conf()');
});

test('a relay that streams ends when the server begins to wait for it', { timeout: 60_000 }, async () => {
  await using server = await startServer('17', { settings: { synchronous_commit: 'local' } });
  await using database = await createTestDatabase({ server: server.url() });
  await using log = await EventLog.start();
  await using relay = await RelayInProcess.start({ database, sinks: log.sinks });
  await database.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await database.query('SELECT pg_reload_conf()');
  expect(await relay.ended).toMatchObject({ code: 'SYNCHRONOUS_STANDBY', policy: 'operator' });
  await expect(RelayInProcess.start({ database, sinks: log.sinks })).rejects.toMatchObject({
    code: 'SYNCHRONOUS_STANDBY',
  });
  await database.query('ALTER SYSTEM RESET synchronous_standby_names');
  await database.query('SELECT pg_reload_conf()');
  await using _again = await RelayInProcess.start({ database, sinks: log.sinks });
});
