import type pg from 'pg';
import { HOLDER, type LockHolder, strangerProblem } from '../../leader/lock-holder.ts';
import type { WalpostError } from '../../errors.ts';
import type { RelayProcesses, RelaySession } from '../../observe/wal-status.ts';
import { databaseError } from '../../postgres/database-error.ts';

export interface RelaySessions extends RelayProcesses {
  /** Somebody holds the lock who cannot lead. */
  readonly stranger: WalpostError | undefined;
}

/** Which sessions lead the slot, and stand by for it, as the server sees them. */
export async function readRelaySessions(pool: pg.Pool, slot: string): Promise<RelaySessions> {
  try {
    const { rows: holders } = await pool.query<LockHolder & object>(HOLDER, [slot]);
    const { rows: standbys } = await pool.query<RelaySession & object>(
      'SELECT pid, address FROM walpost.standbys($1) LIMIT 20',
      [slot],
    );
    const holder = holders[0];
    const stranger = strangerProblem(slot, holder);
    const leader = holder && !stranger ? { pid: holder.pid, address: holder.address } : null;
    return { leader, standbys, stranger };
  } catch (error) {
    throw databaseError(error, 'looking who leads');
  }
}
