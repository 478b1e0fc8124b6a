/**
 * Database libraries, told apart by methods that only one of them has. Each runs a text with `$1`, `$2` … and says whether
 * its client is inside a transaction: true, false, or undefined where it does not know.
 *
 * Drizzle has no public method that takes a text and values; see from-drizzle.ts.
 */

/** Every parameter is a text, and its type is in the statement: libraries convert other values, each in its own way. */
export type Values = (string | null)[];
type Run = (text: string, values: Values) => PromiseLike<unknown>;

/** What the libraries know their clients by. None has all of it. */
export interface AnyClient {
  query?(text: string, values: object): PromiseLike<unknown>;
  readonly getTransactionStatus?: () => string | null;
  readonly totalCount?: unknown;
  readonly queryRunner?: { readonly isTransactionActive: boolean };
  readonly isTransactionActive?: boolean;
  readonly isInitialized?: unknown;
  readonly unsafe?: Run;
  readonly savepoint?: unknown;
  readonly begin?: unknown;
  readonly $queryRawUnsafe?: (text: string, ...values: Values) => PromiseLike<unknown>;
  readonly $connect?: unknown;
  readonly raw?: Run;
  readonly isTransaction?: boolean;
  executeQuery?(query: object): PromiseLike<unknown>;
  readonly sequelize?: Pick<AnyClient, 'query'>;
  readonly execute?: unknown;
  readonly authenticate?: unknown;
  /** All that the types of Sequelize say of its transaction. */
  readonly afterCommit?: unknown;
}

export interface OpenClient {
  readonly isInTransaction: boolean | undefined;
  readonly run: Run;
}

type Library = (client: AnyClient) => OpenClient | undefined;

const prisma: Library = (client) => {
  const ask = client.$queryRawUnsafe?.bind(client);
  return ask && { isInTransaction: !client.$connect, run: (text, values) => ask(text, ...values) };
};

/** A connection that was reserved has neither `savepoint` nor `begin`. */
const postgresJs: Library = (client) => {
  const run = client.unsafe?.bind(client);
  return run && { isInTransaction: client.savepoint ? true : client.begin ? false : undefined, run };
};

const kysely: Library = (client) => {
  const execute = client.executeQuery?.bind(client);
  if (!execute) return undefined;
  const run: Run = (sql, parameters) => {
    const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] };
    return execute({ sql, parameters, query, queryId: { queryId: crypto.randomUUID() } });
  };
  return { isInTransaction: client.isTransaction, run };
};

const knex: Library = (client) => {
  const raw = client.raw?.bind(client);
  if (!raw) return undefined;
  const run: Run = async (text, values) => {
    const { parts, inOrder } = splitAtParameters(text, values);
    const statement = parts.join('?');
    try {
      return await raw(statement, inOrder);
    } catch (error) {
      // Knex writes the parameters, and so the payload, in front of the message.
      const head = `${statement.slice(statement.lastIndexOf('?') + 1)} - `;
      if (error instanceof Error) {
        const from = error.message.lastIndexOf(head);
        if (from >= 0) error.message = error.message.slice(from + head.length);
      }
      throw error;
    }
  };
  return { isInTransaction: client.isTransaction ?? false, run };
};

/** Its transaction has no methods for statements: `sequelize.query` takes it as an option. */
const sequelize: Library = (client) => {
  const owner = client.sequelize ?? (client.authenticate ? client : undefined);
  const ask = owner?.query?.bind(owner);
  if (!ask) return undefined;
  const isInTransaction = client.sequelize !== undefined;
  const options = { type: 'SELECT', logging: false, ...(isInTransaction && { transaction: client }) };
  return { isInTransaction, run: (text, bind) => ask(text, { ...options, bind }) };
};

/** node-postgres, PGlite, TypeORM. */
const queryClient: Library = (client) => {
  const run = client.query?.bind(client);
  return run && { isInTransaction: isOpenQueryClient(client), run };
};

function isOpenQueryClient(client: AnyClient): boolean | undefined {
  if (client.totalCount !== undefined || client.isInitialized !== undefined) return false;
  const runner = client.queryRunner ?? client;
  if (runner.isTransactionActive !== undefined) return runner.isTransactionActive;
  // I may be a BEGIN that is still on its way: Postgres is asked.
  return client.getTransactionStatus?.() === 'T' ? true : undefined;
}

const LIBRARIES = [prisma, postgresJs, kysely, knex, sequelize, queryClient];

export function openClient(client: AnyClient): OpenClient {
  for (const library of LIBRARIES) {
    const open = library(client);
    if (open) return open;
  }
  if (client.execute)
    throw new TypeError('a transaction of Drizzle: give fromDrizzle(tx, sql), with the sql of drizzle-orm');
  throw new TypeError('this is no client of a database library that walpost knows; it needs query(text, values)');
}

/** For libraries that count parameters by their place. */
export function splitAtParameters(text: string, values: Values): { parts: readonly string[]; inOrder: Values } {
  const inOrder = [...text.matchAll(/\$(\d+)/g)].map(([, n]) => values[Number(n) - 1] ?? null);
  return { parts: text.split(/\$\d+/), inOrder };
}
