/** What holds the slot back: in one order, from the database and from the process. */
import type pg from 'pg';
import type { SlotStatus, Stall } from '../../observe/status-report.ts';
import type { WalHolder } from '../../observe/wal-status.ts';
import { stallRemedy } from '../../observe/stall-remedy.ts';
import { rfc3339Sql } from '../../pg-time.ts';
import { databaseError } from '../../postgres/database-error.ts';
import type { RelaySessions } from './relay-sessions.ts';

/** What holds everything stands first; a slot of others only keeps the disk full. */
const ORDER: readonly WalHolder['kind'][] = [
  'standby',
  'relay',
  'stall',
  'transaction',
  'prepared_transaction',
  'lane',
  'slot',
];

const READ = `
  SELECT kind, subject, ${rfc3339Sql('since')} AS since, message, remedy FROM walpost.wal_holders
   WHERE slot IS NULL OR slot = $1`;

export async function readHolders(pool: pg.Pool, slot: string): Promise<readonly WalHolder[]> {
  try {
    return inOrder((await pool.query<WalHolder & object>(READ, [slot])).rows);
  } catch (error) {
    throw databaseError(error, 'reading what holds WAL');
  }
}

export function inOrder(holders: readonly WalHolder[]): readonly WalHolder[] {
  return holders.toSorted((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
}

/** Nobody streams from a slot that is there; no start would help while a stranger keeps every process from leading. */
export function missingRelay(slot: SlotStatus, sessions: RelaySessions | null): readonly WalHolder[] {
  if (slot.active || slot.walStatus === 'missing' || slot.walStatus === 'lost') return [];
  const message = `nobody streams from slot ${slot.name}, so the server keeps its WAL`;
  const remedy = sessions?.stranger?.remedy ?? 'Start `walpost run`.';
  return [{ kind: 'relay', subject: slot.name, since: null, message, remedy }];
}

export function stallHolder({ what, waiting, message }: Stall): WalHolder {
  return {
    kind: 'stall',
    subject: what,
    since: null,
    message: `walpost itself: ${what} fails, and ${waiting} events wait for it: ${message.replace(/\.$/, '')}`,
    remedy: stallRemedy(message),
  };
}

/** What the process knows of itself is exact, and takes the place of what the database guesses. */
export function withOwn(stored: readonly WalHolder[], own: readonly WalHolder[]): readonly WalHolder[] {
  return inOrder([...stored.filter(({ kind }) => kind !== 'lane'), ...own]);
}
