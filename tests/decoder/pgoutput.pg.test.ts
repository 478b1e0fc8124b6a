import { expect, test } from 'vitest';
import { createPgoutputDecoder } from '../../src/decoder/pgoutput.ts';
import { pgoutputOptions } from '../../src/decoder/start-options.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import { formatLsn } from '../../src/lsn.ts';
import { wireBytes, wireToText } from '../../src/wire-text.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createDecodedSlot } from '../support/decoded-slot.ts';
import { createOddOutbox, ODD_MAPPING, ODD_PAYLOADS, ODD_TABLE, writeOddRows } from '../support/odd-outbox.ts';
import { beginPlain } from '../support/plain-origin.ts';

const oddDecoder = (onIgnored?: (kind: string, table: string) => void) =>
  createPgoutputDecoder({
    mapping: ODD_MAPPING,
    table: ODD_TABLE,
    beginTransaction: beginPlain,
    ...(onIgnored && { onIgnored }),
  });

async function oddSlot(database: TestDatabase) {
  await createOddOutbox(database);
  return createDecodedSlot(database, { plugin: 'pgoutput', options: pgoutputOptions({ publication: 'odd' }) });
}

test('a real server: odd payloads, savepoints, several rows, and a table that changes under way', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const slot = await oddSlot(database);
  await writeOddRows(database);
  const steps = await slot.steps(oddDecoder());

  const said = steps.flatMap((step) => {
    if (step.kind === 'event') return [`${step.eventId} ${step.eventType} ${step.ordinal}`];
    return step.kind === 'poison' ? [`${step.eventId} ${step.reason} ${step.ordinal}`] : [];
  });
  expect(said).toEqual([
    ...ODD_PAYLOADS.map((_, index) => `${index + 1} odd 0`),
    '101 kept 0',
    '103 kept 1',
    '104 kept 2',
    '9223372036854775807 say "7" \\ é\n 0',
    '201 created_at is not a time that RFC 3339 can say 1',
    '202 organization_id (column "Tenant") is null 2',
    '203 headers is not a JSON object 3',
    'é-1 changed 0',
    '301 payload (column "body") has no column in the table any more 0',
  ]);
  const full = steps.find((step) => step.kind === 'event' && step.eventId === '9223372036854775807') as Event;
  expect(full).toMatchObject({
    eventVersion: 7,
    topic: 'größe',
    entityType: 'thing',
    entityId: '0.10',
    target: 't',
    idempotencyKey: String.raw`\xdeadbeef`,
    createdAt: '2026-11-20T14:00:00.500000Z',
    expiresAt: null,
  });
  expect(wireToText(full.headers)).toBe('{"b":  2}');
});

test('payload bytes are those of payload::text', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const slot = await oddSlot(database);
  await writeOddRows(database);
  const events = (await slot.steps(oddDecoder())).filter((step) => step.kind === 'event');
  const rows = await database.query<{ id: string; body: string }>(
    `SELECT id, content::text AS body FROM ${ODD_TABLE} WHERE kind <> 'gone' AND content IS NOT NULL`,
  );
  expect(events.length).toBe(ODD_PAYLOADS.length + 5);
  let compared = 0;
  for (const { id, body } of rows) {
    const event = events.find(({ eventId }) => eventId === id);
    if (!event) continue;
    compared++;
    expect(wireBytes(event.payload).equals(Buffer.from(body))).toBe(true);
    expect(wireBytes(envelopeOf(event)).includes(Buffer.from(`,"payload":${body},"headers":`))).toBe(true);
  }
  expect(compared).toBe(events.length - 1); // one row was deleted after its event
});

test('begin and commit say what the server knows of the transaction', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const slot = await oddSlot(database);
  await database.query('BEGIN');
  await database.query(`INSERT INTO ${ODD_TABLE} (id, "Tenant", kind, body) VALUES (1, gen_random_uuid(), 'x', '1')`);
  const [before] = await database.query<{ xid: string; lsn: string; time: Date }>(
    `SELECT pg_current_xact_id()::text AS xid, pg_current_wal_insert_lsn() AS lsn, clock_timestamp() AS time`,
  );
  await database.query('COMMIT');
  const [after] = await database.query<{ lsn: string; time: Date }>(
    `SELECT pg_current_wal_insert_lsn() AS lsn, clock_timestamp() AS time`,
  );
  const [begin, event, commit] = await slot.steps(oddDecoder());
  if (begin?.kind !== 'begin' || event?.kind !== 'event' || commit?.kind !== 'commit' || !before || !after) {
    throw new Error('The transaction did not become begin, event and commit.');
  }
  expect(begin.origin.xid).toBe(Number(before.xid));
  expect(commit.commitLsn).toBe(begin.origin.commitLsn);
  const [order] = await database.query<{ ok: boolean }>(
    'SELECT $1::pg_lsn <= $2 AND $2::pg_lsn < $3 AND $3::pg_lsn <= $4 AS ok',
    [before.lsn, formatLsn(commit.commitLsn), formatLsn(commit.endLsn), after.lsn],
  );
  expect(order?.ok).toBe(true);
  const envelope = JSON.parse(wireToText(envelopeOf(event))) as { committed_at: string };
  const committed = Date.parse(envelope.committed_at);
  expect(committed).toBeGreaterThanOrEqual(before.time.getTime());
  expect(committed).toBeLessThanOrEqual(after.time.getTime());
});

test('a publication that says more than inserts, of more than the outbox, is reported', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const slot = await oddSlot(database);
  await database.query(`
    ALTER TABLE elsewhere ADD PRIMARY KEY (id);
    ALTER PUBLICATION odd ADD TABLE elsewhere;
    ALTER PUBLICATION odd SET (publish = 'insert, update, delete, truncate');
    INSERT INTO elsewhere VALUES (1);
    UPDATE elsewhere SET id = 2;
    DELETE FROM elsewhere;
    INSERT INTO ${ODD_TABLE} (id, "Tenant", kind, body) VALUES (1, gen_random_uuid(), 'x', '1');
    UPDATE ${ODD_TABLE} SET kind = 'y';
    DELETE FROM ${ODD_TABLE};
    TRUNCATE ${ODD_TABLE}, elsewhere`);
  const ignored: string[] = [];
  const steps = await slot.steps(oddDecoder((kind, table) => ignored.push(`${kind} ${table}`)));
  expect(steps.filter((step) => step.kind === 'event')).toHaveLength(1);
  const odd = `My.Schema.out, 'box'`;
  expect(ignored.slice(0, 5)).toEqual([
    'insert public.elsewhere',
    'update public.elsewhere',
    'delete public.elsewhere',
    `update ${odd}`,
    `delete ${odd}`,
  ]);
  expect([`truncate ${odd}, public.elsewhere`, `truncate public.elsewhere, ${odd}`]).toContain(ignored[5]);
});

test('a domain over jsonb is jsonb, and no Type message is taken for a step', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await createOddOutbox(database);
  await database.query(`CREATE DOMAIN document AS jsonb; ALTER TABLE ${ODD_TABLE} ALTER COLUMN body TYPE document`);
  const options = pgoutputOptions({ publication: 'odd' });
  const slot = await createDecodedSlot(database, { plugin: 'pgoutput', options });
  await database.query(
    `INSERT INTO ${ODD_TABLE} (id, "Tenant", kind, body) VALUES (1, gen_random_uuid(), 'x', '{"a":1.0}')`,
  );
  const event = (await slot.steps(oddDecoder())).find((step) => step.kind === 'event');
  expect(event && wireToText(event.payload)).toBe('{"a": 1.0}');
});
