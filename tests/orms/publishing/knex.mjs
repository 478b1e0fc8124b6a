import knexFactory from 'knex';

export async function open(url) {
  const knex = knexFactory({ client: 'pg', connection: url });
  return { transaction: (work) => knex.transaction(work), outside: knex, close: () => knex.destroy() };
}
