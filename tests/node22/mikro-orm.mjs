import { EntitySchema, MikroORM } from '@mikro-orm/postgresql';

const Outbox = new EntitySchema({
  name: 'Outbox',
  schema: 'walpost',
  tableName: 'outbox',
  properties: {
    eventId: { type: 'uuid', primary: true, fieldName: 'event_id' },
    organizationId: { type: 'uuid', fieldName: 'organization_id' },
    eventType: { type: 'text', fieldName: 'event_type' },
    topic: { type: 'text', defaultRaw: `'default'` },
    payload: { type: 'json' },
  },
});

export default async function write({ url, organization, id }) {
  const orm = await MikroORM.init({
    clientUrl: url,
    entities: [Outbox],
    discovery: { checkDuplicateTableNames: false },
  });
  const row = { eventId: id, organizationId: organization, eventType: 'mikro-orm', payload: { n: 1 } };
  const result = await orm.em.fork().transactional(async (em) => {
    const created = em.create(Outbox, row);
    await em.flush();
    em.clear();
    const read = await em.findOneOrFail(Outbox, { eventId: id });
    const inserted = await em.createQueryBuilder(Outbox).insert(row).onConflict('event_id').ignore().execute('run');
    return { created, read: read.eventType, again: inserted.affectedRows };
  });
  await orm.close();
  return result;
}
