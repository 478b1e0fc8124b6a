import { adapted, type Database, type Transaction } from './database.ts';
import { splitAtParameters } from './libraries.ts';

interface DrizzleDatabase {
  execute(query: never): PromiseLike<unknown>;
}

/** A transaction can be rolled back; a database of Drizzle has no such method. */
interface DrizzleTransaction extends DrizzleDatabase {
  rollback(): never;
}

type Sql = (strings: TemplateStringsArray, ...values: (string | null)[]) => unknown;

/** A transaction of Drizzle, over whichever driver for Postgres. `sql` is that of drizzle-orm. */
export function fromDrizzle(tx: DrizzleTransaction, sql: Sql): Transaction;
/** For `autocommit` and `status`. */
export function fromDrizzle(database: DrizzleDatabase, sql: Sql): Database;
export function fromDrizzle(tx: DrizzleDatabase | DrizzleTransaction, sql: Sql): Transaction {
  return adapted('rollback' in tx, async (text, values) => {
    const { parts, inOrder } = splitAtParameters(text, values);
    const query = sql(Object.assign([...parts], { raw: parts }), ...inOrder);
    return (await tx.execute(query as never)) as readonly unknown[];
  });
}
