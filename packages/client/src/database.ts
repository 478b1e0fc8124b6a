import { commandError, databaseError, NotInTransactionError } from './errors.ts';
import { openClient, type OpenClient, type Values } from './libraries.ts';

type Rows = readonly unknown[] | { readonly rows: readonly unknown[] };

/** A client of node-postgres or PGlite, an EntityManager or a QueryRunner of TypeORM; no pool, and no DataSource. */
interface QueryClient {
  query(text: string, values: Values): Promise<Rows>;
  readonly totalCount?: never;
  readonly isInitialized?: never;
  /** A QueryRunner of TypeORM has it. */
  readonly isTransactionActive?: boolean;
}

/** The `sql` of postgres.js that `sql.begin` hands over. */
interface PostgresJsTransaction {
  unsafe(text: string, values: Values): PromiseLike<readonly unknown[]>;
  savepoint(...more: never[]): unknown;
}

/** The client that `prisma.$transaction(async (tx) => …)` hands over. */
interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...values: Values): PromiseLike<unknown>;
  readonly $connect?: never;
}

interface KnexTransaction {
  raw(text: string, values: Values): PromiseLike<unknown>;
  isCompleted(): boolean;
}

interface KyselyTransaction {
  executeQuery(query: {
    readonly sql: string;
    readonly parameters: readonly unknown[];
    readonly query: object;
    readonly queryId: object;
  }): Promise<Rows>;
  readonly isTransaction: true;
}

interface SequelizeTransaction {
  afterCommit(done: (transaction: never) => void): void;
  commit(): Promise<void>;
}

/** An open transaction of one of these libraries. One of Drizzle goes through `fromDrizzle`. */
export type Transaction =
  QueryClient | PostgresJsTransaction | PrismaTransaction | KnexTransaction | KyselyTransaction | SequelizeTransaction;

/** What runs a statement, inside a transaction or not: a pool, for example. */
export type Database =
  | Transaction
  | { query(text: string, values: Values): Promise<Rows> }
  | Pick<PostgresJsTransaction, 'unsafe'>
  | Pick<PrismaTransaction, '$queryRawUnsafe'>
  | Pick<KnexTransaction, 'raw'>
  | Pick<KyselyTransaction, 'executeQuery'>
  | { authenticate(...more: never[]): Promise<void> };

/**
 * For an event that belongs to no change: each call is a transaction of its own. What was published stays, whatever happens
 * next.
 */
export function autocommit(database: Database): Transaction {
  return adapted(true, (text, values) => runStatement(database, text, values));
}

export function adapted(isTransactionActive: boolean, query: QueryClient['query']): QueryClient {
  return { isTransactionActive, query };
}

/** Runs one statement in the transaction. Throws NotInTransactionError where there is none. */
export async function rowsOf<Row>(tx: Transaction, text: string, values: Values): Promise<readonly Row[]> {
  await requireTransaction(tx);
  return runStatement(tx, text, values);
}

/** The same for a statement that runs a function of the application. */
export async function commandRowsOf<Row>(tx: Transaction, text: string, values: Values): Promise<readonly Row[]> {
  await requireTransaction(tx);
  return runStatement(tx, text, values, commandError);
}

/** Runs one statement, inside a transaction or not. Each row has the columns that the statement names. */
export async function runStatement<Row>(
  database: Database,
  text: string,
  values: Values,
  errorOf = databaseError,
): Promise<readonly Row[]> {
  const client = openClient(database);
  try {
    const result = (await client.run(text, values)) as Rows;
    return ('rows' in result ? result.rows : result) as readonly Row[];
  } catch (error) {
    throw errorOf(error);
  }
}

/** Where the library does not know, Postgres does: outside of a transaction it refuses a savepoint with 25P01. */
async function requireTransaction(tx: Transaction): Promise<void> {
  const { isInTransaction }: OpenClient = openClient(tx);
  if (isInTransaction) return;
  if (isInTransaction === false) throw new NotInTransactionError();
  await runStatement(tx, 'SAVEPOINT walpost_publish', []);
  await runStatement(tx, 'RELEASE SAVEPOINT walpost_publish', []);
}

/**
 * The rest of the transaction works for this organization: row-level security shows and accepts rows of no other. It ends
 * with the transaction, so a pooled connection carries nothing over.
 */
export async function withOrganization(tx: Transaction, organizationId: string): Promise<void> {
  await rowsOf(tx, `SELECT set_config('app.current_org_id', $1::text, true) AS it`, [organizationId]);
}
