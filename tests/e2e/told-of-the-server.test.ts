/** Faults between walpost and the server, as `walpost run` and `walpost status` tell them; and that the remedy ends them. */
import { randomUUID } from 'node:crypto';
import { expect, inject, test, vi } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { pgbouncerMissing, startPgbouncer } from '../support/pgbouncer.ts';
import { startServer } from '../support/server.ts';
import { EventReceiver } from './event-receiver.ts';
import { ending, NO_ALERT, Operator } from './operator.ts';

vi.setConfig({ testTimeout: 120_000 });

const STREAMS = /"msg":"streaming from/;
const noPgbouncer = await pgbouncerMissing();
const publish = (database: TestDatabase): Promise<unknown> =>
  database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [randomUUID()]);

test('a login without the rights of walpost_relay: log and status name the login and the statement, which mends it', async () => {
  await using database = await createTestDatabase();
  await using login = await createRole(database, { attributes: 'REPLICATION' });
  await using receiver = await EventReceiver.start();
  using operator = await Operator.of(database, { hook: receiver.sink() }, {}, login.url);
  await using refused = operator.run();
  const { err, remedy } = await ending(refused);
  const told = `Role "${login.name}" is no member of walpost_relay: permission denied for schema walpost.`;
  expect(err).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringContaining(told) });
  expect(remedy).toBe(`GRANT "walpost_relay" TO "${login.name}";`);
  const said = (await operator.command('status')).stdout;
  expect(said).toContain(told);
  expect(said).toContain(remedy);
  await database.query(remedy);
  {
    await using relay = operator.run();
    await relay.prints(STREAMS);
    await publish(database);
    await receiver.received(1);
    expect(await operator.status(/role leader/)).toMatch(NO_ALERT);
    relay.child.kill('SIGTERM');
    await relay.result();
  }
});

test('commits wait for a standby that is not there: the status says which one, and it ends with the setting', async () => {
  await using server = await startServer();
  await using database = await createTestDatabase({ server: server.url() });
  await using receiver = await EventReceiver.start();
  using operator = await Operator.of(database, { hook: receiver.sink() });
  await using relay = operator.run();
  await relay.prints(STREAMS);
  await database.query(`ALTER SYSTEM SET synchronous_standby_names = 'nightly'`);
  await database.query('SELECT pg_reload_conf()');
  const waits = await database.client();
  const published = waits.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [randomUUID()]);
  const told = await operator.status(/synchronous_standby_names/);
  expect(told).toContain('commits wait for synchronous_standby_names (nightly): nobody is connected');
  expect(told).toContain('Start the standby that is named, or take it out of synchronous_standby_names and reload');
  await database.query('ALTER SYSTEM RESET synchronous_standby_names');
  await database.query('SELECT pg_reload_conf()');
  await published;
  await receiver.received(1);
  expect(await operator.status(/held by nothing/)).not.toContain('synchronous_standby_names');
  relay.child.kill('SIGTERM');
  await relay.result();
});

test('two slots that stream one table: the status of each says so, and it ends with the slot that is dropped', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  const [first, second] = [database.slotName, `${database.slotName}_b`];
  using one = await Operator.of(database, { hook: receiver.sink() });
  using two = await Operator.of(database, { hook: receiver.sink() }, { source: { slot: second } });
  await using relay = one.run();
  await relay.prints(STREAMS);
  await database.query(
    `INSERT INTO walpost.cursor (slot, lsn, system_identifier, timeline, source_table, publication, database_oid)
     SELECT $1, pg_current_wal_lsn(), system_identifier, timeline, source_table, publication, database_oid
       FROM walpost.cursor WHERE slot = $2`,
    [second, first],
  );
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [second]);
  await using other = two.run();
  await other.prints(STREAMS);
  for (const operator of [one, two]) {
    const told = await operator.status(/two_streams/);
    expect(told).toContain(`each from a slot of its own (${first}, ${second})`);
    expect(told).toMatch(/Stop all but one.*drop the slots.*delete their rows in walpost\.cursor/);
  }
  other.child.kill('SIGTERM');
  await other.result();
  await database.query('SELECT pg_drop_replication_slot($1)', [second]);
  await database.query('DELETE FROM walpost.cursor WHERE slot = $1', [second]);
  expect(await one.status(NO_ALERT)).not.toContain('two_streams');
  relay.child.kill('SIGTERM');
  await relay.result();
});

test.skipIf(noPgbouncer !== undefined)(
  'a pooler: run and status name it, and the direct port is the remedy',
  async () => {
    await using database = await createTestDatabase();
    await using pooler = await startPgbouncer(inject('postgresUrl'), { pool_mode: 'transaction' });
    await using receiver = await EventReceiver.start();
    const url = new URL(database.url);
    url.port = new URL(pooler.url).port;
    using operator = await Operator.of(database, { hook: receiver.sink() }, {}, url.href);
    await using refused = operator.run();
    const { err, remedy } = await ending(refused);
    expect(err.code).toBe('POOLER');
    expect(remedy).toContain('Use the direct host and port of the database in database.url.');
    const { stdout, stderr } = await operator.command('status');
    const told = (stdout + stderr).replace(/\s+/g, ' ');
    expect(told).toContain(`At 127.0.0.1:${url.port}: `);
    expect(told).toContain('Use the direct host and port of the database in database.url.');
    operator.correct({ database: { url: database.url } });
    await using relay = operator.run();
    await relay.prints(STREAMS);
    await publish(database);
    await receiver.received(1);
    expect(await operator.status(/role leader/)).toMatch(NO_ALERT);
    relay.child.kill('SIGTERM');
    await relay.result();
  },
);
