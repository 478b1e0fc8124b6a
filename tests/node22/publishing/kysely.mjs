import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

export async function open(url) {
  const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
  return { transaction: (work) => db.transaction().execute(work), outside: db, close: () => db.destroy() };
}
