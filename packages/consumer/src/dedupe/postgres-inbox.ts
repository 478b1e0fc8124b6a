/**
 * The effect of each event exactly once: its id and what its handler writes commit together, or not at all.
 *
 * A second transaction with the same id waits at the key for the first one. When that commits, the event is a repeat; when it
 * rolls back, the second one runs the handler.
 */
import type { Envelope } from '../../../vocabulary/envelope.ts';
import type { DedupeOutcome, DedupeStore } from './dedupe-store.ts';

/** Rows, or an object that has them: what the libraries answer. */
export type QueriedRows = readonly unknown[] | { readonly rows: readonly unknown[] };

/** A connection of node-postgres. */
export interface InboxClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
  release(broken?: boolean): void;
  on(name: 'error', listener: () => void): unknown;
  off(name: 'error', listener: () => void): unknown;
}

/** A pool of node-postgres, or what looks like it. */
export interface InboxPool<Client extends InboxClient> {
  connect(): Promise<Client>;
}

/** Any other library: how it makes a transaction, and how it asks in one. */
export interface InboxDatabase<Transaction> {
  /** Commits when `work` resolves, rolls back and rejects when it rejects. */
  transaction(work: (transaction: Transaction) => Promise<void>): Promise<unknown>;
  /** Parameters are `$1`. */
  query(transaction: Transaction, text: string, values: string[]): Promise<QueriedRows>;
}

export interface PostgresInboxOptions {
  /** `name` or `schema.name` in lower case; `walpost_received` when absent. */
  readonly table?: string;
}

const TABLE = /^[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)?$/;

/** A handler that uses the transaction takes effect exactly once, for as long as the row of its event is kept. */
export function postgresInbox<Client extends InboxClient>(
  pool: InboxPool<Client>,
  options?: PostgresInboxOptions,
): DedupeStore<Client>;
export function postgresInbox<Transaction>(
  database: InboxDatabase<Transaction>,
  options?: PostgresInboxOptions,
): DedupeStore<Transaction>;
export function postgresInbox(
  given: InboxPool<InboxClient> | InboxDatabase<unknown>,
  { table = 'walpost_received' }: PostgresInboxOptions = {},
): DedupeStore<unknown> {
  if (!TABLE.test(table)) throw new TypeError('table: write name or schema.name, in lower case and without quotes');
  const database = 'connect' in given ? (ofPool(given) as InboxDatabase<unknown>) : given;
  const insert = `INSERT INTO ${table} (event_id) VALUES ($1) ON CONFLICT (event_id) DO NOTHING RETURNING event_id`;
  return { once: (event, work) => once(database, insert, event, work) };
}

async function once<Transaction>(
  database: InboxDatabase<Transaction>,
  insert: string,
  event: Envelope,
  work: (transaction: Transaction) => Promise<void>,
): Promise<DedupeOutcome> {
  let outcome: DedupeOutcome = 'repeated';
  await database.transaction(async (transaction) => {
    outcome = 'repeated'; // some libraries call again after a failed serialization
    const answer = await database.query(transaction, insert, [event.event_id]);
    if (('rows' in answer ? answer.rows : answer).length === 0) return;
    await work(transaction);
    // A handler may have passed over a failed statement. COMMIT would then roll back without an error; this fails.
    await database.query(transaction, 'SELECT 1', []);
    outcome = 'handled';
  });
  return outcome;
}

function ofPool<Client extends InboxClient>(pool: InboxPool<Client>): InboxDatabase<Client> {
  return {
    query: (client, text, values) => client.query(text, values),
    transaction: async (work) => {
      const client = await pool.connect();
      client.on('error', ignore); // the query is told as well; without a listener the process would end
      let broken = true;
      try {
        await client.query('BEGIN');
        await work(client);
        await client.query('COMMIT');
        broken = false;
      } catch (error) {
        broken = await client.query('ROLLBACK').then(
          () => false,
          () => true,
        );
        throw error;
      } finally {
        client.off('error', ignore);
        client.release(broken);
      }
    },
  };
}

const ignore = (): void => undefined;
