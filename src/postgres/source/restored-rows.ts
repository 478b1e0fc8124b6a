/**
 * Rows that were loaded from another cluster, and whose created_xid lies in the future here: sql/functions/15_restored_rows.sql stamps
 * them anew, in their old order and before everything that is new. It has to be done before the slot is made, since its
 * snapshot decides what is read from the table; and it is called again after whatever ended it, until nothing is left.
 */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import type { CursorStore } from '../cursor/cursor-store.ts';
import { databaseError } from '../database-error.ts';
import { quoteQualified } from '../identifiers.ts';
import { OWN_TABLE } from '../own-table.ts';
import { isSqlState, SQLSTATE } from '../sqlstate.ts';
import { inTransaction } from '../transaction.ts';

export interface RestampOptions {
  readonly pool: pg.Pool;
  readonly cursor: Pick<CursorStore, 'lockEpoch'>;
  /** As schema.table. */
  readonly table: string;
  readonly log: {
    info(about: object, message: string): void;
    error(about: object, message: string): void;
  };
  readonly signal?: AbortSignal;
  readonly batch?: number;
}

const BATCH = 5_000;

/** Resolves when no row of walpost.outbox is left; of another table it only says so, since walpost may not write there. */
export async function restampRestored(options: RestampOptions): Promise<void> {
  if (options.table !== OWN_TABLE) return tellOfMapped(options);
  const stamp = await begin(options);
  if (stamp !== null) await stampAll(options, stamp);
}

/**
 * The same where something is proven: each row counts as written by the transaction that loaded it, so that it stands where
 * the stream would have brought it, and the checkpoint tells whether it was sent.
 */
export async function restampLoaded(options: RestampOptions): Promise<void> {
  if (options.table !== OWN_TABLE) return tellOfMapped(options);
  if ((await hasFuture(options)) && (await begin(options)) !== null) await stampAll(options, null);
}

/** While the relay streams, rows that are loaded come over the stream, so the table is looked at only when something has. */
export class LoadedRows {
  private readonly options: RestampOptions;
  private eventful = true;

  constructor(options: RestampOptions) {
    this.options = options;
  }

  /** Events have arrived. */
  received(): void {
    this.eventful = true;
  }

  async check(signal: AbortSignal): Promise<void> {
    const options = { ...this.options, signal };
    if (!this.eventful || options.table !== OWN_TABLE) return;
    this.eventful = false;
    try {
      await restampLoaded(options);
    } catch (error) {
      this.eventful = true;
      throw error;
    }
  }
}

async function begin({ pool, cursor }: RestampOptions): Promise<string | null> {
  return fenced(pool, cursor, async (client) => {
    const { rows } = await client.query<{ stamp: string | null }>(
      'SELECT walpost_internal.begin_restamp()::text AS stamp',
    );
    return rows[0]?.stamp ?? null;
  });
}

async function stampAll(options: RestampOptions, stamp: string | null): Promise<void> {
  const { pool, cursor, log, signal, batch = BATCH } = options;
  log.info({ stamp }, 'rows from another cluster are stamped anew, in their order');
  let [xid, seq, total, last] = ['0', '0', 0, batch];
  while (last === batch) {
    signal?.throwIfAborted();
    const done = await fenced(pool, cursor, async (client) => {
      const { rows } = await client.query<{ stamped: number; xid: string; seq: string }>(
        'SELECT stamped, last_xid::text AS xid, last_seq::text AS seq FROM walpost_internal.restamp($1::xid8, $2, $3::xid8, $4)',
        [stamp, batch, xid, seq],
      );
      return rows[0];
    });
    if (!done) break;
    last = done.stamped;
    total += last;
    if (last > 0) [xid, seq] = [done.xid, done.seq];
  }
  log.info({ rows: total }, 'stamped anew');
}

/** A leader that has lost its epoch changes nothing any more. A large table takes its time. */
async function fenced<T>(
  pool: pg.Pool,
  cursor: RestampOptions['cursor'],
  work: (client: pg.ClientBase) => Promise<T>,
): Promise<T> {
  try {
    return await inTransaction(pool, async (client) => {
      await client.query('SET LOCAL statement_timeout = 0');
      await cursor.lockEpoch(client);
      return await work(client);
    });
  } catch (error) {
    throw databaseError(error, 'stamping rows from another cluster anew');
  }
}

const FUTURE = 'created_xid >= pg_snapshot_xmax(pg_current_snapshot())';

/** One look at the end of the index (created_xid, seq). */
async function hasFuture({ pool, table }: RestampOptions): Promise<boolean> {
  try {
    const last = `SELECT created_xid FROM ${quoteQualified(table)} ORDER BY created_xid DESC LIMIT 1`;
    return (await pool.query(`SELECT FROM (${last}) AS last WHERE ${FUTURE}`)).rowCount === 1;
  } catch (error) {
    if (isSqlState(error, SQLSTATE.undefinedColumn, SQLSTATE.undefinedFunction)) return false; // it cannot be scanned
    if (isSqlState(error, SQLSTATE.insufficientPrivilege)) return false; // the check of the source table reports it
    throw databaseError(error, `reading ${table}`);
  }
}

async function tellOfMapped(options: RestampOptions): Promise<void> {
  if (!(await hasFuture(options))) return;
  const { table, log } = options;
  const name = quoteQualified(table);
  const { code, message, remedy } = new WalpostError('RESTORED_ROWS', {
    detail: `walpost may not change ${table}.`,
    remedy: `As its owner, while nobody writes: UPDATE ${name} SET created_xid = pg_current_xact_id() WHERE ${FUTURE};`,
  });
  log.error({ code, table, remedy }, message);
}
