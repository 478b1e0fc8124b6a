/**
 * What walpost sends, as JSON. Fields are only ever added, so a receiver passes over those that it does not know.
 *
 * These types belong to both packages and depend on nothing. A test of the repository compares them with what the service writes.
 */

/** One event. `Payload` is what the application published. */
export interface Envelope<Payload = unknown> {
  /** Names the event for good: deliver it twice and it has the same id. */
  readonly event_id: string;
  readonly event_type: string;
  readonly event_version: number;
  readonly organization_id: string;
  readonly topic: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly target: string | null;
  readonly idempotency_key: string | null;
  readonly payload: Payload;
  readonly headers: Readonly<Record<string, unknown>>;
  /** RFC 3339 with microseconds, UTC; null when the table has no such column. */
  readonly created_at: string | null;
  /** Null, like `lsn` and `ordinal`, when a job found the event in the table. */
  readonly committed_at: string | null;
  /** With `ordinal` the place of the event in the order of commits. */
  readonly lsn: string | null;
  readonly ordinal: number | null;
  readonly source: 'stream' | 'table';
  /** The replay that an operator asked for, such as `replay-17`; null otherwise. */
  readonly replay: string | null;
}

/** The body of one webhook request: events of one organization, in order. */
export interface EnvelopeBatch<Payload = unknown> {
  /** The same as the header `webhook-id`, and the same when the batch is sent again. */
  readonly batch_id: string;
  readonly organization_id: string;
  readonly sink: string;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly events: readonly Envelope<Payload>[];
}
