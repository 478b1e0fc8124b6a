/**
 * What a sink of your own gets and answers. These types are a public contract: fields are only ever added.
 *
 * They show the part of an event that a sink may read. The events inside walpost have more fields, which belong to the
 * stages that settle them.
 */
import type { Verdicts } from '../pipeline.ts';
import type { SinkContext } from '../sink-context.ts';
import type { WireText } from '../wire-text.ts';

/** One event. `payload` and `headers` are the JSON text that Postgres printed; `wireToText` and `wireBytes` read them. */
export interface SinkEvent {
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
  /** RFC 3339 with microseconds, in UTC; null when the table has no such column. */
  readonly createdAt: string | null;
  readonly origin: SinkEventOrigin;
  /** Counts the events of the transaction, with gaps; null when the event was read from a table. */
  readonly ordinal: number | null;
}

/** The transaction that wrote the event, whose position is null when the event was read from a table. */
export interface SinkEventOrigin {
  /** With `ordinal` this is the order of events. */
  readonly commitLsn: bigint | null;
  /** Microseconds since 2000-01-01 UTC. */
  readonly committedAtMicros: bigint | null;
  /** The job that sends the event, such as `replay-17`; null for live events. */
  readonly job: string | null;
}

/** Events of one organization, in order. */
export interface SinkBatch {
  readonly organizationId: string;
  /** Which lane of the organization, where the sink has several; absent for its own. */
  readonly lane?: string;
  readonly events: readonly SinkEvent[];
  /** 1 for the first attempt to deliver these events, then counting up. */
  readonly attempt: number;
  /** The replay or redrive job that sends the batch; absent for live events. */
  readonly job?: string;
}

/** A destination. walpost wraps it in a timeout and a circuit breaker. */
export interface CustomSink {
  /**
   * Delivers one batch and answers with one verdict for all of it, or with one for each event in the same order. At the
   * first event that is not delivered the rest must not be sent, or it would overtake.
   *
   * Stop all work when the signal aborts. Do not keep the events after the promise has settled. An error that is thrown
   * counts as `unavailable`.
   */
  deliver(batch: SinkBatch, signal: AbortSignal): Promise<Verdicts>;
  /** Releases connections. Called once, after the last `deliver` has settled. */
  close(): Promise<void>;
}

/** Creates a sink from its options. Throws when they do not go together. */
export type CreateSink<Options> = (options: Options, context: SinkContext) => CustomSink | Promise<CustomSink>;
