/** From an LSN or a time to snapshots: the reading side of checkpoints. */
import type pg from 'pg';
import { formatLsn, type Lsn, parseLsn } from '../../lsn.ts';
import { databaseError } from '../database-error.ts';

export interface Checkpoint {
  readonly lsn: Lsn;
  /** As pg_snapshot prints. */
  readonly snapshot: string;
  /** RFC 3339 in UTC. */
  readonly takenAt: string;
}

export type ReplayPoint = { readonly lsn: Lsn } | { readonly time: Date };

/** Whose checkpoints: those of another cluster mean nothing. */
export interface CheckpointScope {
  readonly slot: string;
  readonly systemIdentifier: string;
}

const MINE = 'slot = $1 AND system_identifier = $2';
const SETTLED = `${MINE} AND settled_at IS NOT NULL`;
const COLUMNS = `lsn::text, snapshot::text, to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS taken_at`;
type Connection = Pick<pg.Pool, 'query'>;

/** The newest settled one: what it does not see is not proven. */
export function newestSettled(db: Connection, scope: CheckpointScope): Promise<Checkpoint | undefined> {
  return one(db, `${SETTLED} ORDER BY lsn DESC, id DESC`, [scope.slot, scope.systemIdentifier]);
}

/** The oldest settled one: the beginning of what can be replayed. */
export function oldestSettled(db: Connection, scope: CheckpointScope): Promise<Checkpoint | undefined> {
  return one(db, `${SETTLED} ORDER BY lsn, id`, [scope.slot, scope.systemIdentifier]);
}

/** The last settled one at or below: all that it sees was committed before. */
export function lastSettledBefore(
  db: Connection,
  scope: CheckpointScope,
  moment: ReplayPoint,
): Promise<Checkpoint | undefined> {
  const [column, type, value] = comparable(moment);
  const where = `${SETTLED} AND ${column} <= $3::${type} ORDER BY lsn DESC, id DESC`;
  return one(db, where, [scope.slot, scope.systemIdentifier, value]);
}

/**
 * A transaction of at least this id began after the moment, so it was committed after it. It is the xmax of the second
 * checkpoint from the moment on: its snapshot is younger than the first one's position and time. Undefined while there
 * are no two.
 */
export async function firstXidAfter(
  db: Connection,
  scope: CheckpointScope,
  moment: ReplayPoint,
): Promise<string | undefined> {
  const [column, type, value] = comparable(moment);
  const where = `${MINE} AND ${column} >= $3::${type} ORDER BY lsn, id OFFSET 1`;
  const found = await one(db, where, [scope.slot, scope.systemIdentifier, value]);
  return found && found.snapshot.split(':')[1];
}

/**
 * Whether some of them were loaded from a dump and know transactions that the server had not begun by then. A checkpoint is
 * written by a transaction that is younger than all its snapshot sees; the row of a loaded one has the xid of the load.
 * Such a snapshot would call rows settled which the server wrote afterwards, under the same numbers.
 */
export async function checkpointsAheadOfServer(
  db: Connection,
  { slot, systemIdentifier }: CheckpointScope,
): Promise<boolean> {
  const older = 'age(xmin) > age(pg_snapshot_xmax(snapshot)::xid)';
  return (await one(db, `${MINE} AND ${older}`, [slot, systemIdentifier])) !== undefined;
}

function comparable(moment: ReplayPoint): readonly [column: string, type: string, value: string] {
  return 'lsn' in moment
    ? ['lsn', 'pg_lsn', formatLsn(moment.lsn)]
    : ['taken_at', 'timestamptz', moment.time.toISOString()];
}

async function one(db: Connection, where: string, values: readonly string[]): Promise<Checkpoint | undefined> {
  try {
    const { rows } = await db.query<{ lsn: string; snapshot: string; taken_at: string }>(
      `SELECT ${COLUMNS} FROM walpost.checkpoints WHERE ${where} LIMIT 1`,
      [...values],
    );
    const row = rows[0];
    return row && { lsn: parseLsn(row.lsn) ?? 0n, snapshot: row.snapshot, takenAt: row.taken_at };
  } catch (error) {
    throw databaseError(error, 'reading checkpoints');
  }
}
