/** What a process holds while it leads, and what it knows while it stands by. */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { ScanOutlet } from '../jobs/scan.ts';
import type { LeaderLock } from '../leader/leader-lock.ts';
import type { LockHolder } from '../leader/lock-holder.ts';
import type { Lsn } from '../lsn.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import type { ServerFacts } from '../slot/server-checks.ts';

/** One term of leadership. It begins with the lock and ends with the connection, which makes room for a standby. */
export interface LeaderTerm extends AsyncDisposable {
  /** For what is stored and read: parked events, dead letters, jobs. */
  readonly pool: pg.Pool;
  /** For the snapshot and the cursor, which every delivery waits for: a sick sink fills the other pool, never this one. */
  readonly controlPool: pg.Pool;
  /** Opens another pool that breaks with the term. The caller ends it. */
  readonly openPool: (applicationName: string, max: number) => pg.Pool;
  readonly server: ServerFacts;
  readonly slot: string;
  /** The OID of the source table. */
  readonly tableId: number;
  readonly cursor: CursorStore;
  /** Set when rows of the table have to be sent before the stream starts: a lost slot, a first start, a copy. */
  readonly healing: PendingHealing | undefined;
  readonly lock: LeaderLock;
  /** Aborted with the reason when the connection must end at once: the lock is lost, or the server shuts down. */
  readonly revoked: AbortSignal;
}

/** Is given a connection that sees what the beginning of the new slot sees, before anything is sent. */
export type SlotBeginning = (snapshot: pg.ClientBase) => Promise<void>;

/** A healing that is committed and has still to run: see healing/healing.ts. */
export interface PendingHealing {
  /** Where the events of jobs stand among what is parked. */
  readonly orderLsn: Lsn;
  /** Resolves when everything that the lost slot would have brought is settled. */
  run(outlet: ScanOutlet, clock: Clock, signal: AbortSignal, beginning?: SlotBeginning): Promise<void>;
}

/** A process that waits for the lock. */
export interface Standby {
  readonly pool: pg.Pool;
  readonly slot: string;
  /** Who holds the lock; undefined when it is not known. */
  readonly holder: LockHolder | undefined;
}
