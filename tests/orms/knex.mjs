import knexFactory from 'knex';

export default async function write({ url, organization, id }) {
  const knex = knexFactory({ client: 'pg', connection: url });
  const row = { event_id: id, organization_id: organization, event_type: 'knex', payload: { n: 1 } };
  const result = await knex.transaction(async (trx) => {
    const outbox = () => trx.withSchema('walpost').table('outbox');
    const [created] = await outbox().insert(row).returning('*');
    const read = await outbox().where('event_id', id).first();
    const again = await outbox().insert(row).onConflict('event_id').ignore();
    return { created, read: read.event_type, again: again.rowCount };
  });
  await knex.destroy();
  return result;
}
