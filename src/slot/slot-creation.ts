import pg from 'pg';
import { WalpostError } from '../errors.ts';
import { LSN_ZERO, parseLsn } from '../lsn.ts';
import type { Lsn } from '../lsn.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { connectSession } from '../postgres/session.ts';
import { SQLSTATE, sqlStateOf } from '../postgres/sqlstate.ts';
import { ask } from '../postgres/queryable.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { replicationConfig } from './replication-client.ts';
import { replicationError, serverWords } from './replication-error.ts';

export interface CreateSlotOptions {
  readonly url: string;
  /** Asked who is in the way, when the creation has to wait. */
  readonly db: Queryable;
  readonly slot: string;
  readonly plugin: 'pgoutput' | 'wal2json';
  /** Keep the slot on standbys too; for a primary of PG 17 and later. */
  readonly failover: boolean;
  /** export: the snapshot of the slot's starting point can be read until the result is disposed. */
  readonly snapshot?: 'nothing' | 'export';
  readonly lockTimeout?: number;
}

export interface CreatedSlot extends AsyncDisposable {
  /** Where the slot's stream begins. */
  readonly consistentPoint: Lsn;
  /** For SET TRANSACTION SNAPSHOT; null unless it was asked for. */
  readonly snapshot: string | null;
}

const LOCK_TIMEOUT_MS = 10_000;

/** What loading a library that is not installed says. */
const UNDEFINED_FILE = '58P01';

/**
 * Makes the slot through the replication protocol, which alone can export the snapshot that belongs to its first
 * position: what the snapshot sees will not be streamed, what it does not see will be.
 *
 * A slot can begin only where no older transaction is open, so the server waits for each of them. The wait is bounded,
 * and the error names the transaction.
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export async function createSlot(options: CreateSlotOptions): Promise<CreatedSlot> {
  const { url, slot, plugin, failover, snapshot = 'nothing' } = options;
  const lockTimeout = options.lockTimeout ?? LOCK_TIMEOUT_MS;
  const settings = { lock_timeout: String(lockTimeout) };
  const { config } = replicationConfig({ url, settings });
  const client = new pg.Client({ ...config, query_timeout: lockTimeout * 10 });
  client.on('error', () => {}); // the query that is running rejects with it
  const clauses = [`SNAPSHOT '${snapshot}'`, ...(failover ? ['FAILOVER true'] : [])].join(', ');
  try {
    await connectSession(client, settings);
    const { rows } = await client.query<{ consistent_point: string; snapshot_name: string | null }>(
      `CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} LOGICAL ${quoteIdentifier(plugin)} (${clauses})`,
    );
    const made = rows[0];
    if (snapshot === 'nothing') await client.end();
    return {
      consistentPoint: parseLsn(made?.consistent_point ?? '') ?? LSN_ZERO,
      snapshot: made?.snapshot_name ?? null,
      [Symbol.asyncDispose]: () => client.end(),
    };
  } catch (error) {
    await client.end().catch(() => {});
    throw await explain(error, options);
  }
}

async function explain(error: unknown, { db, slot, plugin }: CreateSlotOptions): Promise<Error> {
  switch (sqlStateOf(error)) {
    case SQLSTATE.lockNotAvailable: {
      const oldest = await oldestTransaction(db);
      return new WalpostError('SLOT_CREATION_WAITS', {
        detail: `Slot "${slot}" waits for ${oldest.name}.`,
        remedy: oldest.remedy,
        cause: error,
      });
    }
    case UNDEFINED_FILE:
      return new WalpostError('OUTPUT_PLUGIN', { detail: `It is "${plugin}". ${serverWords(error)}`, cause: error });
    default:
      return replicationError(error);
  }
}

interface OldTransaction {
  pid: number | null;
  gid: string | null;
  role: string | null;
  application_name: string | null;
  since: string | null;
}

/** Old by transaction id, which is what the slot's starting point waits for; prepared transactions have no process. */
const OLDEST = `
  SELECT pid, NULL AS gid, usename AS role, application_name, to_char(xact_start, 'YYYY-MM-DD HH24:MI:SSTZH') AS since,
         age(backend_xid) AS age
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL
   UNION ALL
  SELECT NULL, gid, owner, NULL, to_char(prepared, 'YYYY-MM-DD HH24:MI:SSTZH'), age(transaction)
    FROM pg_prepared_xacts
   ORDER BY age DESC LIMIT 1`;

async function oldestTransaction(db: Queryable): Promise<{ name: string; remedy: string }> {
  const [oldest] = await ask<OldTransaction>(db, OLDEST);
  if (!oldest) return { name: 'a transaction that has ended meanwhile', remedy: 'None: walpost tries again.' };
  const role = oldest.role === null ? '' : ` of role "${oldest.role}"`;
  if (oldest.pid === null) {
    const name = `the prepared transaction "${oldest.gid}"${role}, open since ${oldest.since}`;
    return { name, remedy: 'COMMIT PREPARED or ROLLBACK PREPARED it.' };
  }
  const program = oldest.application_name ? ` "${oldest.application_name}"` : '';
  const since = oldest.since === null ? '' : `, open since ${oldest.since}`;
  return {
    name: `the transaction of process ${oldest.pid}${program}${role}${since}`,
    remedy: `End it, or: SELECT pg_terminate_backend(${oldest.pid});`,
  };
}
