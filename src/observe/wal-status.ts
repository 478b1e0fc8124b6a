/** What the status says of the server's WAL: what holds it, how much of it may still be written, and who could stream it. */

/** One thing that keeps the slot, WAL or commits waiting. */
export interface WalHolder {
  /**
   * relay: nobody streams; stall and lane: walpost itself; transaction, prepared_transaction and slot: others, in the whole
   * cluster; standby: a synchronous standby that is not there.
   */
  readonly kind: 'standby' | 'relay' | 'stall' | 'transaction' | 'prepared_transaction' | 'lane' | 'slot';
  readonly subject: string;
  /** RFC 3339; null where it is not known, or has no beginning. */
  readonly since: string | null;
  /** One sentence, without a period. */
  readonly message: string;
  readonly remedy: string;
}

/** How much more WAL may be written while the slot stands still. */
export interface WalBudget {
  /** What ends it: the server's limit, or where walpost warns. */
  readonly limit: 'max_slot_wal_keep_size' | 'source.wal_warn' | null;
  readonly limitBytes: number | null;
  readonly leftBytes: number | null;
  /** Measured between two looks; null before the second one. */
  readonly writtenBytesPerSecond: number | null;
  /** At that rate; null when it is not known, and while nothing is written. */
  readonly secondsLeft: number | null;
}

export const UNKNOWN_BUDGET: WalBudget = {
  limit: null,
  limitBytes: null,
  leftBytes: null,
  writtenBytesPerSecond: null,
  secondsLeft: null,
};

/** The session of a relay at the server. */
export interface RelaySession {
  /** null for a prepared transaction. */
  readonly pid: number | null;
  /** null for a local socket, or where the role may not see it. */
  readonly address: string | null;
}

export interface RelayProcesses {
  /** Who holds the leader's lock; null when nobody does. */
  readonly leader: RelaySession | null;
  /** At most 20. */
  readonly standbys: readonly RelaySession[];
}

/** Events since the process started. */
export interface EventCounts {
  readonly received: number;
  readonly delivered: number;
}
