import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EventReceiver, type ReceivedEvent } from '../e2e/event-receiver.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { transactionWriter, writeSteps } from '../support/emitting.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { EMITTED, type SignedContent, signedContent } from '../support/signed-content.ts';
import { poll } from '../support/slot-session.ts';
import { disorder } from './arrivals.ts';

const organization = randomUUID();
const LONG = process.env['WALPOST_LONG'] === '1';
const FLOOD = LONG ? 20_000 : 1_000;
const CUTS = LONG ? 30 : 4;

let received: ReceivedEvent[];
let answer: (events: readonly ReceivedEvent[]) => number;
let receiver: EventReceiver;
let database: TestDatabase;
let client: pg.Client;
beforeEach(async () => {
  [received, answer] = [[], () => 204];
  database = await createTestDatabase();
  client = await database.client();
  receiver = await EventReceiver.start(({ events }) => {
    const status = answer(events);
    if (status < 300) received.push(...events);
    return status;
  });
});
afterEach(async () => {
  await receiver[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const start = (source: object = {}, config: Record<string, object> = {}) =>
  RelayInProcess.start({ database, sinks: { hook: receiver.sink() }, config, source: { messages: true, ...source } });
const transaction: ReturnType<typeof transactionWriter> = (steps, options) =>
  transactionWriter(client, organization)(steps, options);
const numberOf = ({ payload }: ReceivedEvent): number => (payload as { n: number }).n;
const numbers = (): number[] => received.map(numberOf);

/** Messages that the relay has refused, for all reasons or for one. */
async function refusals(relay: RelayInProcess, reason = ''): Promise<number> {
  const lines = (await relay.metrics.render()).split('\n');
  const samples = lines.filter((line) => line.startsWith(`walpost_messages_refused_total{reason="${reason}`));
  return samples.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const forge = (by: Pick<pg.Client, 'query'>, content: string | Buffer): Promise<unknown> =>
  by.query(`SELECT pg_logical_emit_message(true, 'walpost', $1::bytea)`, [Buffer.from(content as string)]);

/** Somebody who knows a secret signs in a transaction of his own. */
async function sign(by: pg.Client, content: SignedContent): Promise<void> {
  await by.query('BEGIN');
  const { rows } = await by.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
  await forge(by, signedContent({ xid: BigInt(rows[0]?.xid ?? ''), ...content }));
  await by.query('COMMIT');
}

const event = (type: string) => [randomUUID(), organization, type, ...EMITTED.slice(3)];

async function secretOf(key: number): Promise<Buffer> {
  const sql = 'SELECT secret FROM walpost.emit_keys WHERE id = $1';
  return (await database.query<{ secret: Buffer }>(sql, [key]))[0]?.secret ?? Buffer.alloc(0);
}

/** The content of the last message, as everybody who reads the WAL sees it. */
async function overheard(work: () => Promise<unknown>): Promise<Buffer> {
  const slot = `${database.slotName}_peek`;
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await work();
  const rows = await database.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walpost',
                                                         'messages', 'true') WHERE get_byte(data, 0) = ascii('M')`,
    [slot],
  );
  await database.query('SELECT pg_drop_replication_slot($1)', [slot]);
  return rows[0]?.data.subarray(1 + 9 + 'walpost\0'.length + 4) ?? Buffer.alloc(0);
}

describe('messages that are not ours', () => {
  test('are counted with their reason, said once in the log, and never delivered', { timeout: 60_000 }, async () => {
    await using relay = await start();
    await using role = await createRole(database);
    const stranger = await role.client();
    const secret = await secretOf(1);
    const copy = await overheard(() => transaction('e'));
    expect(copy.toString('latin1', 64, 69)).toBe(' 1 1 ');
    for (let count = 0; count < 3; count++) {
      await forge(stranger, '{"event_id": "1"}');
      await forge(stranger, copy);
      await sign(stranger, { secret: Buffer.alloc(32, 9), fields: event('forged') });
      await sign(stranger, { key: 77, fields: event('forged') });
    }
    await stranger.query(
      `SELECT pg_logical_emit_message(false, 'walpost', 'x'), pg_logical_emit_message(true, 'other', 'x')`,
    );
    await sign(stranger, { secret, fields: event('believed') }); // who has the secret is believed
    await transaction('pe', { from: 1 });
    await receiver.received(4);
    expect(received.map(({ event_type }) => event_type)).toEqual(['a.b', 'believed', 'a.b', 'a.b']);
    for (const reason of ['unsigned', 'wrong_transaction', 'wrong_signature', 'unknown_key']) {
      expect(await refusals(relay, reason), `for ${reason}`).toBe(3);
    }
    expect(await refusals(relay)).toBe(4 * 3 + 1);
    const log = relay.lines.join('');
    expect(log.match(/"code":"MESSAGE_REFUSED","reason":"\w+"/g)?.toSorted()).toEqual(
      ['not_transactional', 'unknown_key', 'unsigned', 'wrong_signature', 'wrong_transaction'].map(
        (reason) => `"code":"MESSAGE_REFUSED","reason":"${reason}"`,
      ),
    );
    expect(log).not.toContain(secret.toString('hex'));
    expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  });

  test('a flood of keys that do not exist makes few queries and holds nothing up', { timeout: 120_000 }, async () => {
    await using relay = await start();
    await using role = await createRole(database);
    const stranger = await role.client();
    const contents = Array.from({ length: FLOOD / 10 }, (_, n) => signedContent({ key: n + 2 }));
    const begun = performance.now();
    for (let round = 0; round < 10; round++) {
      for (const content of contents) await forge(stranger, content);
      await transaction('pe', { from: 2 * round });
    }
    await receiver.received(20, 10_000);
    const seconds = (performance.now() - begun) / 1000;
    expect(numbers()).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(await refusals(relay, 'unknown_key')).toBe(FLOOD);
    await relay.stop(); // its sessions report what they have read when they end
    const [stats] = await database.query<{ reads: string }>(
      `SELECT seq_scan AS reads FROM pg_stat_user_tables WHERE relname = 'emit_keys'`,
    );
    process.stdout.write(
      `${FLOOD} unknown keys in ${seconds.toFixed(1)} s: the table was read ${stats?.reads} times\n`,
    );
    expect(Number(stats?.reads)).toBeLessThan(10 * seconds + 20);
  });

  test('a new key is used at once, and an old one is worth nothing after its grace', { timeout: 60_000 }, async () => {
    await using relay = await start();
    const stolen = { secret: await secretOf(1), key: 1 };
    await transaction('e');
    for (let n = 1; n < 6; n++) {
      await client.query(`SELECT walpost.rotate_emit_key('1 hour')`);
      await transaction('epe', { from: 3 * n - 2 });
    }
    await sign(client, { ...stolen, fields: event('in.time') });
    await client.query(`SELECT walpost.rotate_emit_key('0')`);
    await transaction('pe', { from: 16 }); // its key is new, so the relay reads them and knows that the others are old
    await sign(client, { ...stolen, fields: event('too.late') });
    await transaction('p', { from: 18 });
    await receiver.received(20);
    const types = received.map(({ event_type }) => event_type);
    expect(types.filter((type) => type !== 'a.b')).toEqual(['in.time']);
    expect(types.indexOf('in.time')).toBe(16);
    expect(numbers().toSpliced(16, 1)).toEqual(Array.from({ length: 19 }, (_, n) => n));
    expect(await refusals(relay, 'expired_key')).toBe(1);
    expect(await refusals(relay)).toBe(1);
  });
});

const statusOf = async (id: string | undefined): Promise<unknown> =>
  (await database.query('SELECT walpost.event_status($1) AS status', [id]))[0]?.['status'];
const DELIVERY = { park_after: '200ms', quick_retries: 0, max_attempts: 1, backoff: ['50ms'] };

test('parked through a restart, an event without a row is whole', { timeout: 60_000 }, async () => {
  const config = { delivery: { ...DELIVERY, breaker: { reset_after: '100ms' } } };
  // Attempts are logged twice a second: whether they are in the timeline already is not what this is about.
  const parked = () =>
    database.query<{ id: string; steps: string[] }>(
      `SELECT event_id AS id, (SELECT array_agg(t.step) FROM walpost.event_timeline AS t
                                WHERE t.event_id = p.event_id::uuid AND t.step <> 'unavailable') AS steps
         FROM walpost.parked AS p ORDER BY id`,
    );
  answer = () => 503;
  {
    await using relay = await start({}, config);
    await transaction('epe');
    const rows = await poll('parked', async () => {
      const found = await parked();
      return found.length === 3 ? found : undefined;
    });
    expect(rows.map(({ steps }) => steps.toSorted())).toEqual([['parked'], ['created', 'parked'], ['parked']]);
    expect(await statusOf(rows[0]?.id)).toBe('parked');
    await relay.stop();
  }
  answer = () => 204;
  await using _relay = await start({}, config);
  await receiver.received(3);
  expect(numbers()).toEqual([0, 1, 2]);
  await poll('none left', async () => ((await parked()).length === 0 ? true : undefined));
  expect(await statusOf(received[0]?.event_id)).toBeNull();
});

test('redriven from the dead letters, an event without a row is whole', { timeout: 60_000 }, async () => {
  await using _relay = await start({}, { delivery: DELIVERY });
  answer = (events) => (events.some((it) => numberOf(it) === 1) ? 422 : 204);
  await transaction('pep');
  const letter = await poll('a dead letter', async () => {
    const rows = await database.query<{ id: string }>('SELECT event_id AS id FROM walpost.dead_letters');
    return rows[0]?.id;
  });
  expect(await statusOf(letter)).toBe('dead');
  answer = () => 204;
  await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ($1, 'redrive')`, [database.slotName]);
  await receiver.received(3);
  expect(numbers()).toEqual([0, 2, 1]);
  expect(received[2]).toMatchObject({ event_id: letter, event_type: 'a.b', organization_id: organization });
});

test('cut off again and again, a relay loses no event and keeps the order', { timeout: 90_000 }, async () => {
  let [cuts, committed, ended] = [0, 0, false];
  const cutting = (async () => {
    for (; ; cuts++) {
      await using relay = await start();
      const before = receiver.requests;
      await poll('it delivers', async () => (ended || receiver.requests > before + 3 ? true : undefined), 30_000);
      if (ended) return await relay.stop();
    }
  })();
  const emits = async (): Promise<true | undefined> =>
    (await database.query('SELECT FROM walpost.cursor WHERE messages')).length === 1 ? true : undefined;
  await poll('a relay that delivers messages', emits);
  const arrived = (): number => new Set(numbers()).size;
  for (let n = 0; cuts < CUTS; n++) {
    await transaction(n % 2 === 0 ? 'epe' : 'pee', { from: committed });
    committed += 3;
    await poll('it keeps up', async () => (arrived() > committed - 200 ? true : undefined), 30_000);
  }
  await poll('all has arrived', async () => (arrived() === committed ? true : undefined), 30_000);
  ended = true;
  await cutting;
  process.stdout.write(`${committed} events, ${received.length} deliveries, ${cuts} cuts\n`);
  expect(disorder(received, new Map([[organization, committed]]))).toEqual([]);
});

test('with messages off nothing is delivered, and emitting is an error', { timeout: 60_000 }, async () => {
  const emitting = () => writeSteps(client, organization, 'e').catch(({ code }: { code: string }) => code);
  expect(await emitting()).toBe('55000'); // no relay was ever started
  {
    await using relay = await start();
    await transaction('e');
    await receiver.received(1);
    await relay.stop();
  }
  await transaction('e', { from: 1 }); // while none runs: the one that starts next decides
  await using relay = await start({ messages: false });
  expect(await emitting()).toBe('55000');
  await transaction('p', { from: 2 });
  await receiver.received(2);
  expect(numbers()).toEqual([0, 2]);
  expect(await refusals(relay)).toBe(0);
});

test(
  'a lost slot is healed from the table: messages that it missed are lost, and the log says so',
  { timeout: 60_000 },
  async () => {
    {
      await using relay = await start();
      await transaction('pe');
      await receiver.received(2);
      await relay.stop();
    }
    await transaction('pe', { from: 2 });
    await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
    await using relay = await start();
    await transaction('pe', { from: 4 });
    await poll('all that is left', async () => (numbers().includes(5) ? true : undefined));
    expect([...new Set(numbers())]).toEqual([0, 1, 2, 4, 5]);
    expect(relay.lines.join('')).toContain('events of walpost.emit that no slot has sent are lost');
  },
);
