import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { DemoRecord } from '../../src/demo/demo-record.ts';
import { mixForEverySink } from '../../src/demo/event-mix.ts';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { DEMO_SCHEMA, Writer } from '../../src/demo/writer.ts';
import { createTestDatabase } from '../support/database.ts';

const ORGANIZATIONS = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];

test('the record of a writer is what the outbox holds, in the order of its numbers', async () => {
  const database = await createTestDatabase();
  try {
    await database.query(DEMO_SCHEMA);
    const record = new DemoRecord(ORGANIZATIONS);
    const writer = new Writer({
      url: database.url,
      organizationIds: ORGANIZATIONS,
      rate: 100_000,
      mix: mixForEverySink(100),
      record,
      random: seededRandom(5),
      clock: systemClock,
    });
    const enough = new AbortController();
    const wrote = record.wrote.bind(record);
    record.wrote = (events) => {
      wrote(events);
      if (record.committed > 200 && record.rolledBack > 20) enough.abort();
    };
    await writer.connect();
    await writer.run(enough.signal);
    await writer.close();
    await writer.end();

    const stored = await database.query<{ eventId: string; eventType: string; organizationId: string; number: number }>(
      `SELECT event_id AS "eventId", event_type AS "eventType", organization_id AS "organizationId", (payload ->> 'number')::int AS number
         FROM walpost.outbox ORDER BY seq`,
    );
    const committed = record.written.filter((event) => event.committed);
    expect(committed).toEqual(stored.map((event) => ({ ...event, committed: true })));
    for (const organizationId of ORGANIZATIONS) {
      const numbers = stored.filter((row) => row.organizationId === organizationId).map((row) => row.number);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
    expect(record.rolledBack).toBeGreaterThan(20);
  } finally {
    await database[Symbol.asyncDispose]();
  }
});
