import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { jsonb, pgSchema, smallint, text, uuid } from 'drizzle-orm/pg-core';
import pg from 'pg';

// It names every mapped column in an INSERT, so seq, created_at and created_xid are left out.
const outbox = pgSchema('walpost').table('outbox', {
  eventId: uuid('event_id').primaryKey().defaultRandom(),
  organizationId: uuid('organization_id').notNull(),
  eventType: text('event_type').notNull(),
  eventVersion: smallint('event_version').notNull().default(1),
  topic: text('topic').notNull().default('default'),
  payload: jsonb('payload').notNull(),
  headers: jsonb('headers').notNull().default({}),
});

export default async function write({ url, organization, id }) {
  const pool = new pg.Pool({ connectionString: url });
  const row = { eventId: id, organizationId: organization, eventType: 'drizzle', payload: { n: 1 } };
  const result = await drizzle(pool).transaction(async (tx) => {
    const [created] = await tx.insert(outbox).values(row).returning();
    const [read] = await tx.select({ type: outbox.eventType }).from(outbox).where(eq(outbox.eventId, id));
    const again = await tx.insert(outbox).values(row).onConflictDoNothing({ target: outbox.eventId });
    return { created, read: read.type, again: again.rowCount };
  });
  await pool.end();
  return result;
}
