/**
 * READ SECOND, after relay/relay.ts: the contracts between the stages.
 *
 *   slot -> decoder -> router -> sinks -> ack
 *
 * Three words are different. "Taken in": a stage has the event, which promises nothing, because it lives in memory and a
 * crash loses it; the router's methods named `accept…` take in. "Accepted": a destination has answered `delivered`.
 * "Settled": the event was delivered or durably stored, or nobody wants it; only that lets the cursor move. What was taken
 * in and not settled comes again from the slot after a restart.
 */
import type { EndpointChange } from './endpoint.ts';
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

/** What a message of the output plugin means to walpost. The plugin also sends messages named Type, Origin and Relation: no steps. */
export type Step = Begin | Event | Poison | EndpointChange | Commit;

export interface Decoder {
  /** Pure but for its hooks and what it remembers of the stream: relations, and the open transaction. Throws PROTOCOL, UNKNOWN_RELATION. */
  decode(payload: Buffer): Step | undefined;
}

// ── 3 router -> 4 sinks ──────────────────────────────────────────────────────────────────────────────────────────

/** What one window, or one full window, hands to a sink: events of one lane, in order. */
export interface Batch {
  readonly organizationId: string;
  /** The lane's name, as in LaneName; absent for OWN_LANE. */
  readonly lane?: string;
  readonly events: readonly Event[];
  /** 1 for the first try of these events, then counting up. */
  readonly attempt: number;
  /** Name of the job that sends the batch; absent for live events. The batch's id covers it, so the id differs from that of the first delivery. */
  readonly job?: string;
  /** Of the span of this attempt, for the header of requests; absent without traces. */
  readonly traceparent?: string;
}

/**
 * A sink's answer for one event. Durations in milliseconds.
 *
 * `reason` is a sentence of our own, with status and code, which the organization may read: nothing that the destination, a
 * library or an event says goes into it. `code` is its kind in one word, such as HTTP_503, ECONNREFUSED or TIMEOUT. `answer` is what the destination said in its own words, without the secrets of the
 * sink and without what was sent; it is for operators only.
 */
export type Verdict =
  | { readonly kind: 'delivered' }
  /** This event, for good: never send it again. `crash`: it was not sent, because it ended the process before. */
  | {
      readonly kind: 'rejected';
      readonly reason: string;
      readonly code?: string;
      readonly answer?: string;
      readonly crash?: boolean;
    }
  /** This event, this time. */
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly code?: string;
      readonly answer?: string;
      readonly retryAfter?: number;
    }
  /** The destination, whatever the event. `answered`: it did answer, with an error of its own (5xx), so the event may be the cause. `slow`: it took the whole timeout. `unsent`: it was not asked, as no time was left; nothing failed. */
  | {
      readonly kind: 'unavailable';
      readonly reason: string;
      readonly code?: string;
      readonly answer?: string;
      readonly retryAfter?: number;
      readonly answered?: boolean;
      readonly slow?: boolean;
      readonly unsent?: boolean;
    };

/** Code of a verdict that no destination gave: the sink is not asked, since it was unavailable before. */
export const BREAKER_OPEN = 'BREAKER_OPEN';

export const DELIVERED: Verdict = { kind: 'delivered' };

/** One verdict for the whole batch, or one for each event in the batch's order. */
export type Verdicts = Verdict | readonly Verdict[];

/** The time of one attempt, for sinks that make one request after the other. */
export interface AttemptTime {
  /**
   * Asked before each request. True: it has the whole timeout from now on. False: it could not have that any more, so it is
   * not made, and its event and those behind it are `unsent`.
   */
  beginRequest(): boolean;
}

export interface Sink {
  /**
   * Delivers one batch. Never keeps the events after it resolves, and stops its own work when the signal aborts. It may
   * throw: the guard around it makes that `unavailable`.
   */
  deliver(batch: Batch, signal: AbortSignal, time?: AttemptTime): Promise<Verdicts>;
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
  /** Batches wait for each other just now, so that more of them at once gain nothing. */
  readonly isSerial?: boolean;
  /** How it spreads the events of an organization; absent: the `order` of the configuration decides. */
  readonly laneRule?: LaneRule;
  /** Never rejects: whatever goes wrong is a verdict. */
  deliver(batch: Batch, signal: AbortSignal): Promise<Verdicts>;
}

// ── 5 ack ────────────────────────────────────────────────────────────────────────────────────────────────────────
//
// Nobody calls ack for an event: its Origin (event.ts) counts. Who takes the event in calls `expect` there (the router; for what
// reaches no lane router/lanes/dead-letters.ts), and who is done with it calls `settle` (router/lanes/sink-accounts.ts).

/** Something that is stored for a person. */
export interface DeadLetter {
  readonly item: Event | Poison;
  /** The sink that was meant; null when no route matched, or when the row never became an event. */
  readonly sink: string | null;
  /** Which lane of the organization, as in LaneName; absent for its own. */
  readonly lane?: string;
  readonly reason: DeadLetterReason;
  /** What went wrong last, or the fault of the row, in our own words; one line. */
  readonly detail: string;
  /** What the destination said last, in its own words; for operators only. */
  readonly answer?: string;
  readonly attempts: number;
  /** The lane waits until a person has dealt with it. */
  readonly blocks?: boolean;
}

export type DeadLetterReason = 'poison' | 'unrouted' | 'rejected' | 'failed' | 'unavailable' | 'crash' | 'expired';

/** Where dead letters are stored. */
export interface DeadLetterOffice {
  /** Calls back once the letter is durable; tries until it is. */
  store(letter: DeadLetter, stored: () => void): void;
}

/** Where events wait in Postgres, in the order of their lane. */
export interface ParkingLot {
  /** Calls back once the events are durable; tries until they are. Storing an event again has no effect. */
  park(lane: LaneName, events: readonly Event[], stored: () => void): void;
  /** The first events of the lane after the place `after` (the first of all when null), within the limits. Never rejects but by closing. */
  read(lane: LaneName, after: string | null, limits: PageLimits): Promise<ParkedPage>;
  /** The events were delivered, or are dead letters; calls back once their rows are gone. */
  remove(events: readonly Event[], removed: () => void): void;
  /** The lane ended there: what was parked for it before is for nobody. Calls back once it is gone; what is parked later stays. */
  discard(lane: LaneName, upTo: Lsn, discarded: () => void): void;
}

/** The lane that an organization has at every sink. Where the order is of something smaller, it has others beside it. */
export const OWN_LANE = '';

/**
 * Attempts beside `concurrency` that may be under way where each lane has a destination of its own: those that wait for an
 * answer for longer than most take, so that destinations that hang hold up no others.
 */
export const MOST_LENT_TURNS = 1_024;

/** The unit of order; its name is part of every stored key. */
export interface LaneName {
  readonly sink: string;
  readonly organizationId: string;
  /** OWN_LANE, or what the rule of the sink calls it. */
  readonly lane: string;
}

/** Which lanes of its organization an event goes to at one sink. */
export interface LaneRule {
  /** Names, each once; empty when nobody at the sink wants the event, which is settled there then. Called once an event. */
  lanesFor(event: Event): readonly string[];
  /** Where an event goes that was given up in the lane `before` and is sent again. */
  laneAgain(event: Event, before: string): string;
  /** Each lane has a destination of its own, so what one accepts says nothing of another, and none gives an event up because it is away. */
  readonly ownDestinations?: boolean;
  /** Nothing of this lane is sent now; what it gets is parked. */
  isPaused?(lane: string): boolean;
  /** Events a second that this lane may send; undefined is no limit. */
  rateOf?(lane: string): number | undefined;
}

/** A lane whose first event was not accepted; moments are on the clock that never jumps. */
export interface FailingLane extends LaneName {
  /** refusing: the destination answers, and refuses everything that the lane sends. */
  readonly state: 'failing' | 'refusing';
  readonly since: number;
  /** Failures in a row. */
  readonly attempts: number;
  readonly reason: string;
  /** The kind of the last failure in one word, such as HTTP_503; null when the sink did not say. */
  readonly code: string | null;
  /** What the destination said, for operators; null when it said nothing that is kept. */
  readonly answer: string | null;
  /** null while it is being tried, or waits for its turn. */
  readonly nextTryAt: number | null;
}

/** What is paused: one organization at a sink, or all of them (null). */
export interface PausedPart {
  readonly sink: string;
  readonly organizationId: string | null;
  /** Only this lane of the organization; all of its lanes when it is left out. */
  readonly lane?: string;
}

/** A lane that has rows. */
export interface ParkedLane extends LaneName {
  /** The server may send events again that belong before these rows, until it has passed this LSN; null when it will not. */
  readonly redeliveredUntil: Lsn | null;
}

export interface PageLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
  /** Of those events, only the ones that are of none of these types. */
  readonly otherTypes?: readonly string[];
}

export interface ParkedPage {
  readonly events: readonly Event[];
  /** Where the next page begins; opaque. */
  readonly last: string | null;
}
