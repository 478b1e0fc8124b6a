/**
 * READ SECOND: the contracts between the stages.
 *
 *   slot -> decoder -> router -> sinks -> ack
 *
 * "Accepted" and "settled" are different words. A stage that takes an event in has accepted it, which promises nothing:
 * the event lives in memory and a crash loses it. An event is settled when it was delivered or durably stored; only that
 * lets the cursor move. Whatever is accepted and not settled comes again from the slot after a restart.
 */
import type { Event, Origin, Poison } from './event.ts';
import type { Lsn } from './lsn.ts';

// ── 1 slot -> decoder ────────────────────────────────────────────────────────────────────────────────────────────

/** What the slot hands on. The payload is a view that the driver overwrites: decode it before returning. */
export interface FrameHandler {
  /** One message of the output plugin, without the replication header. */
  data(payload: Buffer): void;
  /** The server has sent everything before this LSN. */
  keepalive(serverEnd: Lsn): void;
}

// ── 2 decoder -> router, ack ─────────────────────────────────────────────────────────────────────────────────────

export interface Begin {
  readonly kind: 'begin';
  readonly origin: Origin;
}

export interface Commit {
  readonly kind: 'commit';
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
}

/** What a message of the output plugin means; undefined when it means nothing to us (Type, Origin, a new Relation). */
export type Step = Begin | Event | Poison | Commit;

export interface Decoder {
  /** Pure but for what it remembers of the stream: relations, and the open transaction. Throws PROTOCOL, UNKNOWN_RELATION. */
  decode(payload: Buffer): Step | undefined;
}

// ── 3 router -> 4 sinks ──────────────────────────────────────────────────────────────────────────────────────────

/** What one window, or one full window, hands to a sink: events of one organization, in order. */
export interface Batch {
  readonly organizationId: string;
  readonly events: readonly Event[];
  /** 1 for the first try of these events, then counting up. */
  readonly attempt: number;
  /** The replay or redrive job that sends it, so that receivers do not take it for a repetition; absent for live events. */
  readonly job?: string;
}

/** A sink's answer for one event. Durations in milliseconds. */
export type Verdict =
  | { readonly kind: 'delivered' }
  /** This event, for good: never send it again. `crash`: it was not sent, because it ended the process before. */
  | { readonly kind: 'rejected'; readonly reason: string; readonly crash?: boolean }
  /** This event, this time. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfter?: number }
  /** The destination, whatever the event. `answered`: it did answer, with an error of its own (5xx), so the event may be the cause. `slow`: it took the whole timeout. */
  | {
      readonly kind: 'unavailable';
      readonly reason: string;
      readonly retryAfter?: number;
      readonly answered?: boolean;
      readonly slow?: boolean;
    };

export const DELIVERED: Verdict = { kind: 'delivered' };

/** One verdict for the whole batch, or one for each event in the batch's order. */
export type Verdicts = Verdict | readonly Verdict[];

export interface Sink {
  /**
   * Delivers one batch. Never keeps the events after it resolves, and stops its own work when the signal aborts. It may
   * throw: the guard around it makes that `unavailable`.
   */
  deliver(batch: Batch, signal: AbortSignal): Promise<Verdicts>;
  /** Releases connections; called once, after the last deliver has resolved. */
  close(): Promise<void>;
}

/** A sink behind its timeout and its breaker: what the router hands batches to. */
export interface Destination {
  readonly name: string;
  /** Batches that may be in flight at once. */
  readonly concurrency: number;
  /** Milliseconds for which it takes nothing (an open breaker); 0 when it does. */
  readonly closedFor: number;
  /** Never rejects: whatever goes wrong is a verdict. */
  deliver(batch: Batch, signal: AbortSignal): Promise<Verdicts>;
}

// ── 5 ack ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** How the other stages tell ack what became of an event. */
export interface Settlement {
  /** `count` more deliveries or inserts of this origin are out. Called before anything can wait. */
  hold(origin: Origin, count: number): void;
  /** One of them is delivered, or durably stored. */
  settle(origin: Origin): void;
}

/** Why something is stored for a person. */
export interface DeadLetter {
  readonly item: Event | Poison;
  /** The sink that was meant; null when no route matched, or when the row never became an event. */
  readonly sink: string | null;
  readonly reason: DeadLetterReason;
  /** The last answer or the fault of the row, one line. */
  readonly detail: string;
  readonly attempts: number;
  /** The lane waits until a person has dealt with it. */
  readonly blocks?: boolean;
}

export type DeadLetterReason = 'poison' | 'unrouted' | 'rejected' | 'failed' | 'unavailable' | 'crash';

/** Where dead letters are stored. */
export interface DeadLetterOffice {
  /** Calls back once the letter is durable; tries until it is. */
  store(letter: DeadLetter, stored: () => void): void;
}

/** Where events wait in Postgres, in the order of their lane. */
export interface ParkingLot {
  /** Calls back once the events are durable; tries until they are. Storing an event again has no effect. */
  park(sink: string, events: readonly Event[], stored: () => void): void;
  /** The first events of the lane behind `after` (the first of all when null), within the limits. Never rejects but by closing. */
  read(lane: LaneName, after: string | null, limits: PageLimits): Promise<ParkedPage>;
  /** The events were delivered, or are dead letters; calls back once their rows are gone. */
  remove(events: readonly Event[], removed: () => void): void;
}

export interface LaneName {
  readonly sink: string;
  readonly organizationId: string;
}

/** A lane that has rows. */
export interface ParkedLane extends LaneName {
  /** Until the server has sent what was committed at this LSN, it may send again what stands before the rows; null: it will not. */
  readonly resentUntil: Lsn | null;
}

export interface PageLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export interface ParkedPage {
  readonly events: readonly Event[];
  /** Where the next page begins; opaque. */
  readonly last: string | null;
}
