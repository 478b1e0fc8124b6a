/** What an operator reads when a process is frozen, a slot is gone, a table is dropped, a secret is wrong; and that the remedy ends it. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { freePort } from '../support/free-port.ts';
import { requestBody } from '../support/request-body.ts';
import { poll } from '../support/slot-session.ts';
import { EventReceiver } from './event-receiver.ts';
import { ending, NO_ALERT, Operator } from './operator.ts';

vi.setConfig({ testTimeout: 120_000 });

const STREAMS = /"msg":"streaming from/;
const publish = (database: TestDatabase, organization: string = randomUUID()): Promise<unknown> =>
  database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [organization]);

test('a leader that is frozen, and nobody stands by: the status says that it does not answer and nobody streams', async () => {
  await using database = await createTestDatabase();
  await database.query(`ALTER DATABASE ${database.name} SET wal_sender_timeout = '2s'`);
  await using receiver = await EventReceiver.start();
  using operator = await Operator.of(database, { hook: receiver.sink() }, { leader: { takeover_after: '2s' } });
  await using leader = operator.run();
  await leader.prints(STREAMS);
  leader.child.kill('SIGSTOP');
  try {
    const told = await operator.status(/nobody streams from it/);
    expect(told).toMatch(/No process answered at http:\/\/127\.0\.0\.1:\d+\/status \([^)]*\btime/);
    expect(told).toContain('no leader; no standby');
    expect(told).toMatch(
      new RegExp(`slot_inactive, ${database.slotName}: nobody reads from the slot\\. Start \`walpost run\``),
    );
    await publish(database);
    await using other = operator.run('--set', `http.port=${await freePort()}`);
    await other.prints(STREAMS);
    await receiver.received(1);
    expect(await operator.status(/slot \S+, reserved, active/)).toMatch(NO_ALERT);
  } finally {
    leader.child.kill('SIGCONT');
  }
});

test('no standby: the status says of which slot, and how there is one', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  using operator = await Operator.of(database, { hook: receiver.sink() });
  await using leader = operator.run();
  await leader.prints(STREAMS);
  const told = await operator.status(/no standby/);
  expect(told).toMatch(
    /processes leader server process \d+ from 127\.0\.0\.1; no standby \(a second `walpost run` stands by\)/,
  );
  expect(told).toContain(`slot ${database.slotName}, reserved, active`);
  await using second = operator.run('--set', `http.port=${await freePort()}`);
  await second.prints(/standing by/);
  expect(await operator.status(/; standby server process \d+/)).not.toContain('no standby');
});

test('a slot that is gone, with on_slot_lost: stop: slot and command are named, and the command goes on', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  using operator = await Operator.of(database, { hook: receiver.sink() }, { source: { on_slot_lost: 'stop' } });
  {
    await using first = operator.run();
    await first.prints(STREAMS);
    await publish(database);
    await receiver.received(1);
    first.child.kill('SIGTERM');
    await first.result();
  }
  await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
  await publish(database);
  await using stopped = operator.run();
  const { err, remedy } = await ending(stopped);
  expect(err).toMatchObject({ code: 'SLOT_LOST', message: expect.stringContaining(`Slot "${database.slotName}"`) });
  const status = await operator.status(/missing/);
  expect(status).toContain(`${database.slotName}, missing`);
  expect(status).toMatch(/slot_missing, \S+: the slot does not keep what is not delivered\. Start walpost/);

  const [, page = '', heading = ''] = /See (\S+\.md): ([a-z ]+)\./.exec(remedy) ?? [];
  expect(readFileSync(page, 'utf8').toLowerCase()).toContain(`\n## ${heading}\n`);
  const [, option = ''] = /`walpost run --set (\S+)` once/.exec(remedy) ?? [];
  await using healed = operator.run('--set', option);
  await healed.prints(STREAMS);
  await receiver.received(2);
  expect(await operator.status(/reserved, active/)).toMatch(NO_ALERT);
});

test('the table is dropped while it streams: named by the log and the status, and the statements of the remedy begin anew', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  using operator = await Operator.of(
    database,
    { hook: receiver.sink() },
    { source: { checkpoint_interval: '1s', existing: 'skip' } },
  );
  await using relay = operator.run();
  await relay.prints(STREAMS);
  await database.query('DROP TABLE walpost.outbox CASCADE');
  const { err, remedy } = await ending(relay);
  expect(err).toMatchObject({ code: 'SOURCE_TABLE', message: expect.stringContaining('no table walpost.outbox') });
  expect(remedy).toBe('Run `walpost migrate`, which makes it or says why not.');
  // It holds rows that nothing can bring back, so it says why not, and what to do.
  const migrated = await operator.command('migrate');
  expect(migrated).toMatchObject({ code: 1, stderr: expect.stringMatching(/^SCHEMA_DAMAGED[^]*walpost\.outbox/) });
  const told = await operator.status(/SCHEMA_DAMAGED/);
  expect(told).toContain('Missing: walpost.outbox');
  expect(told).toContain('restore them from a backup');

  const [, anew = ''] =
    /To begin anew, without anything that is stored: (.+ CASCADE;) then `walpost migrate`/.exec(told) ?? [];
  await database.query(anew);
  expect(await operator.command('migrate')).toMatchObject({ code: 0 });
  await using again = operator.run();
  await again.prints(STREAMS);
  await publish(database);
  await receiver.received(1);
});

test('the secret of a receiver is another one: 401 with sink, organization and remedy, and it ends with the right secret', async () => {
  await using database = await createTestDatabase();
  const [right, wrong] = [1, 2].map((byte) => `whsec_${Buffer.alloc(32, byte).toString('base64')}`) as [string, string];
  const verifier = new Webhook(right);
  const accepted: string[] = [];
  const server = createServer((request, response) => {
    void requestBody(request).then((received) => {
      const body = received?.toString() ?? '';
      try {
        verifier.verify(body, request.headers as Record<string, string>);
        accepted.push(body);
        response.writeHead(204).end();
      } catch {
        response.writeHead(401).end();
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const crm = { type: 'webhook', url, allow_private: true };
  const quick = { delivery: { park_after: '100ms', quick_retries: 0, backoff: ['100ms'] } };
  const organization = randomUUID();
  {
    using operator = await Operator.of(database, { crm: { ...crm, secret: wrong } }, quick);
    await using relay = operator.run();
    await relay.prints(STREAMS);
    await publish(database, organization);
    await relay.prints(/deliveries to an organization fail/);
    const line = relay.stderr.split('\n').find((text) => text.includes('deliveries to an organization fail')) ?? '';
    expect(JSON.parse(line)).toMatchObject({ sink: 'crm', organizationId: organization, code: 'HTTP_401' });
    expect(line).toContain('sinks.crm');
    expect(await operator.status(/1 parked/)).toMatch(new RegExp(`crm.*${organization}.*401`));
    expect(line + (await operator.status(/./))).not.toContain(wrong);
    relay.child.kill('SIGTERM');
    await relay.result();
  }
  using operator = await Operator.of(database, { crm: { ...crm, secret: right } }, quick);
  await using relay = operator.run();
  await relay.prints(STREAMS);
  await poll('it is accepted', async () => (accepted.length > 0 ? true : undefined));
  expect(await operator.status(/parked 0/)).toMatch(NO_ALERT);
  server.close();
  server.closeAllConnections();
});
