/** What a leader brings: the live channel is open only while there is one. */
import type { Event } from '../../event.ts';
import type { Lsn } from '../../lsn.ts';

export interface LiveTerm {
  /** Grows with each leader. */
  readonly epoch: bigint;
  /** Everything that was committed before it is settled. */
  position(): Lsn;
  /**
   * The events of the organization that came at the position or later, page by page in the order of the table, and maybe some
   * that came earlier. Throws PastGoneError when rows may be missing, or are too many.
   */
  past(organizationId: string, from: Lsn, signal: AbortSignal): AsyncIterable<readonly Event[]>;
}

/** Who listens has to read its state anew: not everything that it has missed can be sent. */
export class PastGoneError extends Error {}
