import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';

export async function open(url, fromDrizzle) {
  const client = postgres(url);
  const db = drizzle(client);
  return {
    transaction: (work) => db.transaction((tx) => work(fromDrizzle(tx, sql))),
    outside: fromDrizzle(db, sql),
    close: () => client.end(),
  };
}
