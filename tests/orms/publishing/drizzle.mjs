import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';

export async function open(url, fromDrizzle) {
  const pool = new pg.Pool({ connectionString: url });
  const db = drizzle(pool);
  return {
    transaction: (work) => db.transaction((tx) => work(fromDrizzle(tx, sql))),
    outside: fromDrizzle(db, sql),
    close: () => pool.end(),
  };
}
