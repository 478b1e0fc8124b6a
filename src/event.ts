import type { Lsn } from './lsn.ts';
import type { WireText } from './wire-text.ts';

/**
 * Where events come from, and what settles with them: a transaction of the stream (TransactionTicket in ack/), or a page of
 * a job's scan (PageTicket in jobs/). An event settles at its origin, without a look-up: `expect` is called before anything
 * can wait, `settle` once for each that was expected.
 *
 * `visible` and `visibleAt` are written by the visibility gate, `receivedAt` and `carriesCanary` by the relay. The rest belongs
 * to the ticket.
 */
export interface Origin {
  /** Start of the transaction's commit record; null when a table scan found the event. */
  readonly commitLsn: Lsn | null;
  /** Top-level transaction id, 32 bits as the stream carries it; null when a table scan found the event. */
  readonly xid: number | null;
  /** Commit time in microseconds since 2000-01-01 UTC; null when a table scan found the event. */
  readonly committedAtMicros: bigint | null;
  /** A new snapshot is known to see the transaction. */
  visible: boolean;
  /** When a snapshot first saw it, in milliseconds on the clock's `now`; 0 or absent when none was asked. */
  visibleAt?: number;
  /** When it arrived, in milliseconds on the clock's `now`. */
  receivedAt: number;
  /** One of its events is a canary. Written when it arrives, since asking each event again cuts its whole row once more. */
  carriesCanary?: boolean;
  /** The job that sends it, by name: `replay-17`; null for live events. A batch holds events of one job. */
  readonly job: string | null;
  /** It has had something to deliver or to store; absent for a page of a job. */
  readonly carried?: boolean;
  /** The last of its events was handed on, and all of them are settled. */
  readonly isSettled: boolean;
  /** `count` more deliveries or inserts are in flight. */
  expect(count: number): void;
  /** One of them is delivered, or durably stored. */
  settle(): void;
}

/** Makes the origin of a transaction that begins; the arguments are the fields of Origin with these names. */
export type BeginTransaction = (commitLsn: Lsn, xid: number, committedAtMicros: bigint) => Origin;

/**
 * One outbox row, typed and immutable but for `otherHolders`, which the memory budget keeps. Text is decoded; `payload` and
 * `headers` stay as Postgres printed them.
 */
export interface Event {
  readonly kind: 'event';
  readonly eventId: string;
  readonly organizationId: string;
  readonly eventType: string;
  readonly eventVersion: number;
  readonly topic: string;
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly target: string | null;
  readonly idempotencyKey: string | null;
  /** One JSON value. */
  readonly payload: WireText;
  /** One JSON object. */
  readonly headers: WireText;
  /** RFC 3339, microseconds, UTC; null when the table has no such column. */
  readonly createdAt: string | null;
  /** When it is of no use any more, in the same form; null when it never expires. */
  readonly expiresAt: string | null;
  readonly origin: Origin;
  /**
   * Counts the events, poison rows and refused messages of the transaction as decoded, from 0; null when a table scan found
   * the event. With the commit LSN it is the event's position, which names it for good; an LSN alone names nothing.
   */
  readonly ordinal: number | null;
  /** Length of the row in bytes; a batch closes by the sum of these. */
  readonly size: number;
  /** The row that a job found it in: it names the event within the job, which its id need not do in a table of one's own. */
  readonly jobRow?: string;
  /** Its row in walpost.parked, when it was read from there; it is settled already, and the row goes once it is delivered. */
  readonly parkedId: string | null;
  /** Lanes that hold this object, beyond one; absent is 0. Its row is in memory once, whatever their number. */
  otherHolders?: number;
}

/** A row that cannot become an event. It is stored with its reason, never skipped. */
export interface Poison {
  readonly kind: 'poison';
  readonly reason: string;
  /** What could be read of it; null where even that failed. */
  readonly eventId: string | null;
  readonly organizationId: string | null;
  readonly eventType: string | null;
  /** The row as `{"column": "text or null"}`, cut to a bounded size. */
  readonly row: string;
  readonly origin: Origin;
  /** As that of an event. */
  readonly ordinal: number | null;
}
