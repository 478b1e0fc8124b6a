import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

export default async function write({ url, organization, id }) {
  const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
  const row = { event_id: id, organization_id: organization, event_type: 'kysely', payload: { n: 1 } };
  const result = await db.transaction().execute(async (trx) => {
    const outbox = trx.withSchema('walpost');
    const created = await outbox.insertInto('outbox').values(row).returningAll().executeTakeFirstOrThrow();
    const read = await outbox
      .selectFrom('outbox')
      .select('event_type')
      .where('event_id', '=', id)
      .executeTakeFirstOrThrow();
    const again = await outbox
      .insertInto('outbox')
      .values(row)
      .onConflict((conflict) => conflict.column('event_id').doNothing())
      .executeTakeFirst();
    return { created, read: read.event_type, again: Number(again.numInsertedOrUpdatedRows) };
  });
  await db.destroy();
  return result;
}
