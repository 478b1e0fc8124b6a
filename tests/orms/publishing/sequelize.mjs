import { Sequelize } from 'sequelize';

/** Its transaction is an object of its own; outside of one there is nothing to give but a client of another kind. */
export async function open(url) {
  const sequelize = new Sequelize(url, { logging: false });
  return {
    transaction: (work) => sequelize.transaction(work),
    outside: sequelize,
    close: () => sequelize.close(),
  };
}
