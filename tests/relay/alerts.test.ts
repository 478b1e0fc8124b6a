/** Alerts pushed by a relay to a receiver that checks them as any receiver of Standard Webhooks does. */
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { type ReceivedRequest, WebhookReceiver } from '../support/webhook-receiver.ts';

const SECRET = 'whsec_d2FscG9zdHdhbHBvc3R3YWxwb3N0d2FscG9zdA==';
const LETTERS = 'dead_letters';
const ORGANIZATION = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';

interface Told {
  readonly type: string;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, string | null>>;
}

let database: TestDatabase;
let receiver: WebhookReceiver;
beforeEach(async () => {
  database = await createTestDatabase();
  receiver = await WebhookReceiver.start();
});
afterEach(async () => {
  await receiver[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const start = (alerts: object = {}): Promise<RelayInProcess> =>
  RelayInProcess.start({
    database,
    sinks: { crm: { type: 'discard' } },
    config: {
      alerts: { url: receiver.url('/alerts'), secret: SECRET, allow_private: true, every: '1s', ...alerts },
      prune: { enabled: false },
    },
  });

const verified = ({ headers, body }: ReceivedRequest): Told =>
  new Webhook(SECRET).verify(body.toString(), headers as Record<string, string>) as Told;
const idOf = (request: ReceivedRequest | undefined) => request?.headers['webhook-id'];

/** Other tests leave slots on this server, which may be alerts too: only these codes are looked at. */
const about = (...codes: string[]): ReceivedRequest[] =>
  receiver.requests.filter((request) => codes.includes(verified(request).data['code'] ?? ''));
const news = (...codes: string[]): string[] =>
  about(...codes).map((request) => `${verified(request).type} ${verified(request).data['code']}`);
const heard = (count: number, ...codes: string[]): Promise<true> =>
  poll(`${count} of ${codes.join()}`, async () => about(...codes).length >= count || undefined, 30_000);

/** Dead letters of the last hour are an alert when there are more than ten. */
const giveUp = (count: number) =>
  database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, commit_lsn, ordinal, event_id, organization_id, event_type, payload)
     SELECT 'x', '1', 1, 'crm', 'rejected', 'refused', 1, '0/1', n, gen_random_uuid()::text, $1, 'a', '{}' FROM generate_series(1, $2::integer) AS n`,
    [ORGANIZATION, count],
  );
const mend = () => database.query('DELETE FROM walpost.dead_letters');
/** Of a relay whose slot is gone. */
const cursorOf = (slot: string) =>
  database.query(
    'INSERT INTO walpost.cursor (slot, system_identifier, timeline) SELECT $1, system_identifier, timeline FROM walpost.cursor LIMIT 1',
    [slot],
  );
const rows = (...names: string[]) =>
  database.query<{ toldAt: Date | null }>(
    'SELECT told_at AS "toldAt" FROM walpost.told_alerts WHERE name = ANY ($1::text[])',
    [names],
  );
/** That many alerts are noted as told. */
const noted = (count: number, ...names: string[]): Promise<true> =>
  poll(
    `${count} noted`,
    async () => (await rows(...names)).filter(({ toldAt }) => toldAt !== null).length === count || undefined,
    30_000,
  );

test('an alert is told once when it fires, with what to do, and once when it is resolved', async () => {
  await using _relay = await start();
  await giveUp(11);
  await heard(1, LETTERS);
  const [first] = about(LETTERS);
  const fired = verified(first as ReceivedRequest);
  expect(fired).toEqual({
    type: 'walpost.alert.fired',
    timestamp: fired.data['since'],
    data: {
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      slot: database.slotName,
      code: LETTERS,
      severity: 'warning',
      subject: 'sink crm',
      message: '11 dead letters in the last hour',
      remedy: expect.stringContaining('walpost dead-letters list'),
      runbook: 'docs/runbook.md#walpostdeadletters',
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      ended: null,
    },
  });
  await noted(1, LETTERS);
  await mend();
  await heard(2, LETTERS);
  const second = about(LETTERS)[1];
  const resolved = verified(second as ReceivedRequest);
  expect(resolved).toMatchObject({ type: 'walpost.alert.resolved', timestamp: resolved.data['ended'] });
  expect(resolved.data).toEqual({ ...fired.data, ended: resolved.timestamp });
  const { id } = fired.data;
  expect([idOf(first), idOf(second)]).toEqual([`alert_${id}_fired`, `alert_${id}_resolved`]);
  await poll('nothing is kept', async () => (await rows(LETTERS)).length === 0 || undefined, 20_000);
  expect(about(LETTERS).length).toBe(2);
}, 90_000);

test('what is not accepted is sent again under the same webhook-id, and nothing else waits for it', async () => {
  receiver.script({ kind: 'answer', status: 503, body: `no ${SECRET}` }, { kind: 'reset' });
  await using relay = await start();
  await giveUp(11);
  await receiver.received(1);
  await database.query(`SELECT walpost.publish($1, 'a', '{}')`, [ORGANIZATION]);
  await poll('delivered', async () => (await relay.service.status()).counts?.delivered === 1 || undefined, 20_000);
  await receiver.received(3);
  await noted(1, LETTERS);
  const [first, second, third] = receiver.requests;
  expect([idOf(second), idOf(third)]).toEqual([idOf(first), idOf(first)]);
  expect(third?.body).toEqual(first?.body);
  const lines = relay.lines.filter((line) => line.includes('alerts can'));
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
    expect.objectContaining({ code: 'HTTP_503', reason: 'the destination answered 503 Service Unavailable' }),
    expect.objectContaining({ failures: 2, msg: 'alerts can be told again' }),
  ]);
  expect(relay.lines.join('')).not.toContain(SECRET);
}, 90_000);

test('the next leader tells nothing twice, and what ended while nobody led', async () => {
  const other = `${database.slotName}_other`;
  const both = [LETTERS, 'slot_missing'];
  {
    await using first = await start();
    await giveUp(11);
    await noted(1, ...both);
    await first.stop();
  }
  {
    await using second = await start();
    await cursorOf(other);
    await noted(2, ...both);
    await second.stop();
  }
  await database.query('DELETE FROM walpost.cursor WHERE slot = $1', [other]);
  await mend();
  await using _third = await start();
  await heard(4, ...both);
  const all = news(...both).map((line) => line.slice('walpost.alert.'.length));
  expect([all.slice(0, 2), all.slice(2).toSorted()]).toEqual([
    ['fired dead_letters', 'fired slot_missing'],
    ['resolved dead_letters', 'resolved slot_missing'],
  ]);
}, 120_000);

test('a private address is refused when it is not allowed, and the relay goes on', async () => {
  await using relay = await start({ allow_private: false });
  await giveUp(11);
  const isRefused = () => relay.lines.some((line) => line.includes('alerts cannot be told'));
  await poll('refused', async () => isRefused() || undefined, 20_000);
  expect(relay.service.readiness()).toMatchObject({ ready: true });
  expect(receiver.connections).toBe(0);
}, 60_000);

test('warnings are left out where only what is critical is asked for', async () => {
  await using _relay = await start({ min_severity: 'critical' });
  await giveUp(11);
  await cursorOf(`${database.slotName}_other`);
  await heard(1, 'slot_missing');
  expect(news(LETTERS)).toEqual([]);
}, 60_000);
