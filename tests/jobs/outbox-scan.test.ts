import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Event, Poison } from '../../src/event.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { JobFilter } from '../../src/jobs/job-filter.ts';
import { countOutbox } from '../../src/jobs/outbox-count.ts';
import { OutboxScan, requireScanColumns } from '../../src/jobs/outbox-scan.ts';
import { PageTicket } from '../../src/jobs/page-ticket.ts';
import type { ScanLimits, ScanPlace } from '../../src/jobs/scan.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { inTransaction } from '../../src/postgres/transaction.ts';
import { outboxTable } from '../../src/relay/outbox-reader.ts';
import { wireToText } from '../../src/wire-text.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
const LIMITS: ScanLimits = { maxRows: 2_000, maxBytes: 2 * 1024 ** 2 };
const tableOf = (source: object = {}) =>
  outboxTable({ table: 'walpost.outbox', preset: 'walpost', columns: {}, ...source } as Parameters<
    typeof outboxTable
  >[0]);

let database: TestDatabase;
let pool: pg.Pool;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 2 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

interface ScanAsked {
  readonly source?: object | undefined;
  readonly after?: string | null;
  readonly before?: string | null;
  readonly filter?: JobFilter;
  readonly limits?: Partial<ScanLimits>;
}

/** All pages to the end. */
async function scan(asked: ScanAsked = {}): Promise<{ pages: (Event | Poison)[][]; scanned: number }> {
  const scan = new OutboxScan({
    source: tableOf(asked.source),
    afterSnapshot: asked.after ?? null,
    beforeXid: asked.before ?? null,
    filter: asked.filter ?? {},
    inTransaction: (work) => inTransaction(pool, work),
  });
  const pages: (Event | Poison)[][] = [];
  let [place, scanned] = [null as ScanPlace | null, 0];
  for (let last = false; !last;) {
    const page = await scan.read(place, new PageTicket('replay-1', 0), { ...LIMITS, ...asked.limits });
    pages.push(page.items.map(({ item }) => item));
    scanned += page.scanned;
    ({ place, last } = page);
    expect(pages.length).toBeLessThan(200);
  }
  return { pages, scanned };
}

const events = (pages: (Event | Poison)[][]): Event[] =>
  pages.flat().map((item) => (item.kind === 'event' ? item : expect.unreachable(item.reason)));

async function fill(count: number, more = ''): Promise<void> {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload ${more && ', '}${more.split('=')[0] ?? ''})
     SELECT $1, 'type.' || n % 3, to_jsonb(n) ${more && `, ${more.split('=')[1]}`} FROM generate_series(1, $2::int) AS n`,
    [ORGANIZATION, count],
  );
}

test('reads every row once, in order, page by page', async () => {
  await fill(4_000);
  await fill(3_500);
  const { pages, scanned } = await scan();
  expect(pages.map((page) => page.length)).toEqual([2_000, 2_000, 2_000, 1_500]);
  expect(scanned).toBe(7_500);
  expect(events(pages).map((event) => wireToText(event.payload))).toEqual(
    [...Array(4_000).keys(), ...Array(3_500).keys()].map((n) => String(n + 1)),
  );
});

test('a span that ends where the table ends is followed by an empty page', async () => {
  await fill(5_000);
  const { pages, scanned } = await scan({ limits: { maxRows: 5_000 } });
  expect([pages.map((page) => page.length), scanned]).toEqual([[5_000, 0], 5_000]);
  await database.query('TRUNCATE walpost.outbox');
  expect(await scan()).toEqual({ pages: [[]], scanned: 0 });
});

test('a page ends before it has too many bytes, but never before its first row', async () => {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload)
     SELECT $1, 'large', to_jsonb(repeat('x', 100000)) FROM generate_series(1, 12)`,
    [ORGANIZATION],
  );
  const { pages } = await scan({ limits: { maxBytes: 250_000 } });
  expect(pages.map((page) => page.length)).toEqual([3, 3, 3, 3]);
  expect((await scan({ limits: { maxBytes: 1 } })).pages.map((page) => page.length)).toEqual(Array(12).fill(1));
});

test('a filter that fits almost nothing looks at all rows, in spans', async () => {
  await fill(12_000);
  const [row] = await database.query<{ id: string }>('SELECT event_id AS id FROM walpost.outbox WHERE payload = $1', [
    '11999',
  ]);
  const { pages, scanned } = await scan({ filter: { eventIds: [row?.id ?? ''] } });
  expect(scanned).toBe(12_000);
  expect(events(pages).map(({ eventId }) => eventId)).toEqual([row?.id]);
  expect(pages.length).toBe(2);
  expect(events((await scan({ filter: { eventType: 'type_1' } })).pages)).toEqual([]); // _ is no wildcard here
});

test('leaves out what a snapshot sees, and what began later; counting agrees', async () => {
  const open = await database.client();
  await open.query('BEGIN');
  await open.query("SELECT walpost.publish($1, 'open', '1')", [ORGANIZATION]);
  await fill(10);
  const [snapshot] = await database.query<{ s: string }>('SELECT pg_current_snapshot()::text AS s');
  await fill(5);
  await open.query('COMMIT');
  const [now] = await database.query<{ x: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS x');
  await fill(7);
  const range = { after: snapshot?.s ?? '', before: now?.x ?? '' };
  const found = events((await scan(range)).pages);
  expect(found.length).toBe(6);
  expect(found[0]?.eventType).toBe('open');
  const routing = { routes: [{ match: {}, to: ['hook'] }], sinks: ['hook'] };
  const span = { afterSnapshot: range.after, beforeXid: range.before, filter: {}, routing };
  const count = await countOutbox(pool, tableOf(), span);
  expect(count.events).toBe(6);
  expect(count.organizations).toEqual([{ name: ORGANIZATION, events: 6 }]);
  expect(count.eventTypes[0]).toEqual({ name: 'type.1', events: 2 });
});

test('an event of the table is that of the stream, but for what the table does not know', async () => {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, event_version, topic, entity_type, entity_id, target, idempotency_key, payload, headers, created_at)
     VALUES ($1, 'größer', 3, 'Thema', 'e', '17', 'slack', 'k', '{"n": 12345678901234567890, "d": 1.500, "s": "é\u{1F600}"}', '{"traceparent": "00"}', '2026-11-20 14:00:00.123456+02')`,
    [ORGANIZATION],
  );
  const [event] = events((await scan()).pages);
  const envelope = wireToText(envelopeOf(event as Event));
  expect(envelope).toContain('"payload":{"d": 1.500, "n": 12345678901234567890, "s": "é\u{1F600}"}');
  expect(JSON.parse(envelope)).toMatchObject({
    event_type: 'größer',
    event_version: 3,
    topic: 'Thema',
    entity_type: 'e',
    entity_id: '17',
    target: 'slack',
    idempotency_key: 'k',
    headers: { traceparent: '00' },
    created_at: '2026-11-20T12:00:00.123456Z',
    committed_at: null,
    lsn: null,
    ordinal: null,
    source: 'table',
  });
});

test('expires_at comes along where the table has it, under its name or another, and may be missing', async () => {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, expires_at)
     SELECT $1, 'a', '{}', t FROM unnest('{2030-01-01 00:00:00.5+00,infinity,NULL}'::timestamptz[]) WITH ORDINALITY AS e (t, n) ORDER BY n`,
    [ORGANIZATION],
  );
  const times = async (source?: object) => events((await scan({ source })).pages).map(({ expiresAt }) => expiresAt);
  expect(await times()).toEqual(['2030-01-01T00:00:00.500000Z', null, null]);
  await database.query('CREATE TABLE public.own AS SELECT * FROM walpost.outbox ORDER BY seq');
  await database.query('ALTER TABLE public.own RENAME COLUMN expires_at TO valid_until');
  expect(await times({ table: 'public.own' })).toEqual([null, null, null]);
  const columns = { expires_at: 'valid_until' };
  expect(await times({ table: 'public.own', columns })).toEqual(['2030-01-01T00:00:00.500000Z', null, null]);
});

test('a row of a mapped table that is no event is a poison', async () => {
  await database.query(
    `CREATE TABLE public.mine (id bigint, tenant text, kind text, doc json, created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY)`,
  );
  await database.query(`INSERT INTO public.mine VALUES (1, 'a', 'good', '{}'), (2, NULL, 'bad', '{}')`);
  const columns = {
    event_id: 'id',
    organization_id: 'tenant',
    event_type: 'kind',
    payload: 'doc',
    event_version: null,
    topic: null,
    entity_type: null,
    entity_id: null,
    target: null,
    idempotency_key: null,
    headers: null,
    created_at: null,
  };
  const source = { table: 'public.mine', columns };
  await requireScanColumns(pool, 'public.mine');
  const { pages } = await scan({ source });
  expect(pages[0]).toMatchObject([
    { kind: 'event', eventId: '1', topic: 'default', ordinal: null },
    { kind: 'poison', eventId: '2', reason: 'organization_id (column "tenant") is null', ordinal: null },
  ]);
  expect(events((await scan({ source, filter: { topic: 'default', organization: 'a' } })).pages).length).toBe(1);
  await database.query('ALTER TABLE public.mine DROP COLUMN seq, DROP COLUMN created_xid');
  const refusal = requireScanColumns(pool, 'public.mine');
  await expect(refusal).rejects.toMatchObject({ code: 'SCAN_COLUMNS' });
  const remedy = await refusal.catch((error: { remedy: string }) => error.remedy);
  await database.query(String(remedy).split(';')[0] ?? '');
  await requireScanColumns(pool, 'public.mine');
});

test('row-level security that would hide rows is an error, not a shorter scan', async () => {
  await fill(3);
  const role = `r_${database.name}`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'scan'`);
  await database.query('ALTER TABLE walpost.outbox DISABLE ROW LEVEL SECURITY');
  try {
    await database.query(`GRANT USAGE ON SCHEMA walpost TO ${role}; GRANT SELECT ON walpost.outbox TO ${role}`);
    const url = new URL(database.url);
    [url.username, url.password] = [role, 'scan'];
    await pool.end();
    pool = createPool(url.href, { applicationName: 'test', max: 1 });
    expect((await scan()).scanned).toBe(3);
    const late = new OutboxScan({
      source: tableOf(),
      afterSnapshot: null,
      beforeXid: null,
      filter: {},
      // Security is switched on after the look at it.
      inTransaction: (work) =>
        inTransaction(pool, (client) => {
          const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
          const meddle = async (...given: unknown[]): Promise<unknown> => {
            const answer = await query(...given);
            if (String(given[0]).includes('row_security_active')) {
              await database.query('ALTER TABLE walpost.outbox ENABLE ROW LEVEL SECURITY');
            }
            return answer;
          };
          return work({ query: meddle } as unknown as pg.ClientBase);
        }),
    });
    const hidden = late.read(null, new PageTicket('replay-1', 0), LIMITS);
    await expect(hidden).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await database.query(`CREATE POLICY relay ON walpost.outbox FOR SELECT TO ${role} USING (true)`);
    expect((await scan()).scanned).toBe(3);
  } finally {
    await pool.end();
    pool = createPool(database.url, { applicationName: 'test', max: 2 });
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});
