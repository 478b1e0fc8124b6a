import { DataSource, EntitySchema } from 'typeorm';

const Outbox = new EntitySchema({
  name: 'Outbox',
  schema: 'walpost',
  tableName: 'outbox',
  columns: {
    eventId: { name: 'event_id', type: 'uuid', primary: true },
    seq: { type: 'bigint', insert: false, default: () => 'DEFAULT' },
    organizationId: { name: 'organization_id', type: 'uuid' },
    eventType: { name: 'event_type', type: 'text' },
    topic: { type: 'text', default: 'default' },
    payload: { type: 'jsonb' },
    createdAt: { name: 'created_at', type: 'timestamptz', insert: false, default: () => 'clock_timestamp()' },
  },
});

export default async function write({ url, organization, id }) {
  const source = await new DataSource({ type: 'postgres', url, entities: [Outbox] }).initialize();
  const row = () => ({ eventId: id, organizationId: organization, eventType: 'typeorm', payload: { n: 1 } });
  const result = await source.transaction(async (manager) => {
    const created = await manager.getRepository(Outbox).save(row());
    const read = await manager.getRepository(Outbox).findOneByOrFail({ eventId: id });
    await manager.createQueryBuilder().insert().into(Outbox).values(row()).orIgnore().execute();
    const again = (await manager.getRepository(Outbox).count()) - 1;
    return { created, read: read.eventType, again };
  });
  await source.destroy();
  return result;
}
