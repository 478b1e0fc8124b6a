/** Recreates a slot, together with the snapshot of its beginning. */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import type { Lsn } from '../../lsn.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { createPool } from '../../postgres/pool.ts';
import { lookAtSource } from '../../postgres/source/completeness.ts';
import type { ServerFacts } from '../../slot/server-checks.ts';
import { createSlot } from '../../slot/slot-creation.ts';
import { dropSlot } from '../../slot/slot-setup.ts';
import { inspectSlot } from '../../slot/slot-state.ts';

export interface NewSlotOptions {
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly server: ServerFacts;
  readonly slot: string;
}

export interface NewSlot extends AsyncDisposable {
  /** What was committed before is seen by the snapshot; what comes later will be streamed. */
  readonly consistentPoint: Lsn;
  /** As pg_snapshot prints. */
  readonly snapshot: string;
  /** Publication and table as it sees them. */
  readonly source: string | null;
  /** A connection inside a transaction that sees exactly that snapshot. */
  readonly client: pg.ClientBase;
}

const SNAPSHOT_NAME = /^[0-9A-F]+(-[0-9A-F]+)*$/i;

/**
 * Drops what is left of the slot and recreates it. The snapshot is the one that the server exports with the slot: one
 * that is taken afterwards would miss transactions whose commit record lies before the slot's beginning, but which are not
 * visible yet. The transaction that holds it stays open until the result is disposed, and VACUUM waits for it.
 */
export async function recreateSlot({ config, pool, server, slot }: NewSlotOptions): Promise<NewSlot> {
  const { url } = config.database;
  const { plugin } = config.source;
  await dropSlot(pool, slot);
  const left = await inspectSlot(pool, slot, plugin);
  if (left.kind !== 'missing') throw new WalpostError('SLOT_IN_USE', { detail: `"${slot}" cannot be dropped.` });
  const failover = server.isPrimary && server.version >= 170_000;
  await using created = await createSlot({ url, db: pool, slot, plugin, failover, snapshot: 'export' });
  const own = createPool(url, { applicationName: 'walpost snapshot', max: 1 });
  try {
    const client = await own.connect();
    client.on('error', () => undefined); // the query that is running rejects with it
    try {
      const snapshot = await enter(client, created.snapshot ?? '');
      const { present: source } = await lookAtSource(client, { slot, epoch: 0n }, config.source);
      const { consistentPoint } = created;
      return { consistentPoint, snapshot, source, client, [Symbol.asyncDispose]: () => close(own, client) };
    } catch (error) {
      client.release(true); // pool.end() waits for clients that were not released
      throw error;
    }
  } catch (error) {
    await own.end();
    throw databaseError(error, 'taking over the snapshot of the slot');
  }
}

async function close(own: pg.Pool, client: pg.PoolClient): Promise<void> {
  await client.query('COMMIT').catch(() => undefined);
  client.release(true);
  await own.end();
}

async function enter(client: pg.ClientBase, name: string): Promise<string> {
  if (!SNAPSHOT_NAME.test(name)) throw new WalpostError('PROTOCOL', { detail: 'The slot came without a snapshot.' });
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query(`SET TRANSACTION SNAPSHOT '${name}'`);
  await client.query('SET LOCAL idle_in_transaction_session_timeout = 0');
  const { rows } = await client.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
  return rows[0]?.snapshot ?? '';
}
