import { DataTypes, Sequelize } from 'sequelize';

export default async function write({ url, organization, id }) {
  const sequelize = new Sequelize(url, { logging: false });
  const Outbox = sequelize.define(
    'Outbox',
    {
      eventId: { type: DataTypes.UUID, primaryKey: true, defaultValue: DataTypes.UUIDV4, field: 'event_id' },
      organizationId: { type: DataTypes.UUID, allowNull: false, field: 'organization_id' },
      eventType: { type: DataTypes.STRING, allowNull: false, field: 'event_type' },
      payload: { type: DataTypes.JSONB, allowNull: false },
    },
    { schema: 'walpost', tableName: 'outbox', timestamps: false },
  );
  const row = { eventId: id, organizationId: organization, eventType: 'sequelize', payload: { n: 1 } };
  const result = await sequelize.transaction(async (transaction) => {
    const created = await Outbox.create(row, { transaction });
    const read = await Outbox.findByPk(id, { transaction });
    await Outbox.bulkCreate([row], { transaction, ignoreDuplicates: true });
    const again = (await Outbox.count({ transaction })) - 1;
    return { created: created.toJSON(), read: read.eventType, again };
  });
  await sequelize.close();
  return result;
}
