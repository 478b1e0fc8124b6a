/** What the process writes while everything goes wrong: nothing of what it was given to keep to itself. */
import { expect, test, vi } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver, type Conduct } from '../support/webhook-receiver.ts';
import { RunningWalpost } from './running-walpost.ts';

vi.setConfig({ testTimeout: 60_000 });

/** In each secret and each payload. */
const MARK = 'hunter2-hunter2-hunter2';
const ECHO: Conduct = { kind: 'echo', status: 422 };

const INSERT = `
  INSERT INTO walpost.outbox (organization_id, event_type, topic, idempotency_key, headers, created_at, payload)
  VALUES (gen_random_uuid(), 'a.b', $1, '${MARK}', '{"authorization": "${MARK}"}', $2, '{"note": "${MARK}"}')`;

test('no secret and no payload is in any line, whatever fails, at any level', async () => {
  await using database = await createTestDatabase();
  await using role = await createRole(database, {
    in: ['walpost_relay'],
    attributes: 'REPLICATION',
  });
  await using receiver = await WebhookReceiver.start();
  await database.query(`ALTER ROLE ${role.name} PASSWORD '${MARK}'`);
  const url = new URL(role.url);
  url.password = MARK;
  const hook = {
    type: 'webhook',
    url: receiver.url(`/hook?token=${MARK}`),
    secret: MARK,
    headers: { authorization: `Bearer ${MARK}` },
    allow_private: true,
  };
  await using walpost = await RunningWalpost.start({
    database,
    sinks: { hook },
    url: url.href,
    config: {
      routes: [{ match: { topic: 'default' }, to: ['hook'] }],
      log: { format: 'json', level: 'debug' },
      http: { port: 0, token: MARK },
      batching: { window: '10ms' },
      delivery: { quick_retries: 0, park_after: '100ms', timeout: '500ms', max_attempts: 1, backoff: ['100ms'] },
    },
  });
  const publish = (topic = 'default', time = 'now'): Promise<unknown> => database.query(INSERT, [topic, time]);
  const letters = (count: number): Promise<unknown> =>
    poll(`${count} dead letters`, async () => {
      const rows = await database.query('SELECT FROM walpost.dead_letters');
      return rows.length >= count || undefined;
    });

  await publish();
  await receiver.received(1);
  receiver.otherwise = ECHO;
  await publish('nobody');
  await publish('default', 'infinity'); // a poison
  await letters(2);
  receiver.script(
    { kind: 'answer', status: 503, body: MARK },
    { kind: 'reset' },
    { kind: 'garbage' },
    { kind: 'hang' },
  );
  for (let n = 0; n < 4; n++) await publish();
  await receiver.received(5);
  // The server quotes the whole row when a check fails.
  await database.query('ALTER TABLE walpost.parked ADD CONSTRAINT none CHECK (false) NOT VALID');
  await database.query('ALTER TABLE walpost.dead_letters ADD CONSTRAINT none CHECK (false) NOT VALID');
  await publish();
  await publish('nobody');
  await walpost.cli.prints(/dead letters cannot be stored/);
  await walpost.cli.prints(/events cannot be parked/);
  await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role.name}'`);
  await walpost.cli.prints(/"code":"(SERVER_SHUTDOWN|LEADERSHIP_LOST|CONNECTION_LOST)"/);
  await database.query(`ALTER ROLE ${role.name} NOLOGIN`);
  await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role.name}'`);
  await walpost.cli.result(); // it cannot log in any more, which only a person can change

  const { stderr, stdout } = walpost.cli;
  expect(stderr.split('\n').length).toBeGreaterThan(10);
  expect(`${stderr}${stdout}`.split('\n').filter((line) => line.includes(MARK))).toEqual([]);
});
