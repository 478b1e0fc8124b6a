import type { WalpostError } from '../errors.ts';
import type { Service } from '../service.ts';
import type { EventCounts, RelayProcesses, WalBudget, WalHolder } from './wal-status.ts';

/**
 * What `walpost status`, /status and the gauges of /metrics report; one object, so that they never disagree. null is unknown,
 * and is never shown as 0 or as none.
 */
export interface StatusReport {
  readonly version: string;
  /** When it was true, RFC 3339. */
  readonly at: string;
  readonly leader: LeaderStatus;
  readonly slot: SlotStatus | null;
  readonly lag: Lag;
  /** What keeps the slot, WAL or commits waiting, the most important first; empty when nothing does. */
  readonly heldBy: readonly WalHolder[] | null;
  readonly wal: WalBudget;
  readonly processes: RelayProcesses | null;
  readonly counts: EventCounts | null;
  /** Lanes by state, such as gathering, sending, backing_off. */
  readonly lanes: Readonly<Record<string, number>> | null;
  /** Lanes whose destination answers and refuses everything they send, at most 20. */
  readonly refusing: readonly RefusingLane[] | null;
  readonly breakers: readonly BreakerStatus[] | null;
  /** By sink; of more than 5,000 lanes that fail at once the first 5,000 are looked at. */
  readonly failing: readonly FailingCount[] | null;
  /** Endpoints of customers, as the leader knows them; null without a sink that has some. */
  readonly endpoints: EndpointsStatus | null;
  /** What all events in the process hold, and what they may hold. */
  readonly bufferedBytes: number | null;
  readonly budgetBytes: number | null;
  /** Transactions with an event that is not settled. */
  readonly openTransactions: number | null;
  readonly lastReceivedAgeSeconds: number | null;
  readonly parked: readonly ParkedCount[] | null;
  /** What operators have paused, the sinks first. */
  readonly paused: readonly PausedSince[] | null;
  /** As the database has it, so the same with and without a process. */
  readonly waiting: WaitingLanes | null;
  readonly deadLetters: readonly DeadLetterCount[] | null;
  /** Queued or running. */
  readonly jobs: readonly JobStatus[] | null;
  /** Writes that fail, so that the slot waits; empty when all is well. */
  readonly stalls: readonly Stall[] | null;
  /** Problems that a person has to act on, as far as the process knows; walpost.alerts has the whole list. */
  readonly alerts: readonly Alert[] | null;
}

export interface Alert {
  /** As in walpost.alerts. */
  readonly name: string;
  readonly severity: 'warning' | 'critical';
  /** The slot, the sink, the session: what it is about. */
  readonly subject: string;
  /** One line. */
  readonly message: string;
  readonly remedy: string;
}

/** The problem as walpost.alerts names it too. */
export function toAlert({ code, message, remedy }: WalpostError, subject: string): Alert {
  return { name: code.toLowerCase(), severity: 'critical', subject, message, remedy };
}

export interface Stall {
  readonly what: 'parking' | 'dead letters' | 'canaries' | 'endpoints' | 'removing delivered events';
  /** Writes that wait, in events. */
  readonly waiting: number;
  /** Why, one line. */
  readonly message: string;
}

export type Role = 'leader' | 'standby' | 'starting';

export interface LeaderStatus {
  /** Of the process that answered; `unknown` when none did. */
  readonly role: Role | 'unknown';
  readonly epoch: number | null;
  /** One short sentence. */
  readonly detail: string;
}

export interface SlotStatus {
  readonly name: string;
  /** reserved, extended, unreserved, lost, or missing when there is no such slot. */
  readonly walStatus: string;
  /** Some process streams from it. */
  readonly active: boolean;
  /** LSNs as text. */
  readonly restartLsn: string | null;
  readonly confirmedLsn: string | null;
}

/** Bytes of WAL, and time. */
export interface Lag {
  /** Written by the server and not received. */
  readonly unreadBytes: number | null;
  /** Written by the server and not confirmed. */
  readonly unconfirmedBytes: number | null;
  /** Kept on the server's disk for the slot. */
  readonly retainedBytes: number | null;
  /** May still be written before the slot is lost; null also when there is no limit, and when it is lost. */
  readonly safeBytes: number | null;
  /** The server keeps WAL for the slot without a limit (max_slot_wal_keep_size is -1). */
  readonly unlimited: boolean | null;
  /** Age of the oldest unsettled event; 0 when there is none. */
  readonly seconds: number | null;
  /** Age of the oldest event that is not delivered, parked ones too, since its commit where that is known; 0 when there is none. */
  readonly oldestSeconds: number | null;
}

/** Of the oldest of all. Without the process only what is parked is known, and that is older than what is not. */
export function oldestSeconds(unsettled: number | null, parked: StatusReport['parked']): number | null {
  const stored = parked?.flatMap(({ oldestAgeSeconds: age }) => (age === null ? [] : [age])) ?? [];
  if (stored.length > 0) return Math.max(unsettled ?? 0, ...stored);
  return parked === null ? null : unsettled;
}

export interface BreakerStatus {
  readonly sink: string;
  readonly state: 'closed' | 'half_open' | 'open';
}

export interface EndpointsStatus {
  readonly enabled: number;
  readonly paused: number;
  /** Nothing is sent to any of them: the database is a copy. */
  readonly silent: boolean;
  /** How many fail, and the first twenty. */
  readonly failing: number;
  readonly first: readonly FailingEndpoint[];
}

export interface FailingEndpoint {
  readonly sink: string;
  readonly organizationId: string;
  readonly endpoint: string;
  readonly host: string | null;
  /** RFC 3339. */
  readonly since: string;
  readonly reason: string;
}

export interface FailingCount {
  readonly sink: string;
  readonly organizations: number;
}

/** It waits for a person or for the destination; nothing of it is given up. */
export interface RefusingLane {
  readonly sink: string;
  readonly organizationId: string;
  /** Which lane of the organization; '' is its own. */
  readonly lane: string;
  /** RFC 3339. */
  readonly since: string;
  /** Events that were refused alone, the ids of the first ten, and how many event types they have. */
  readonly events: number;
  readonly eventIds: readonly string[];
  readonly eventTypes: number;
  /** The last answer for the first of them, one line. */
  readonly reason: string;
}

export interface ParkedCount {
  readonly sink: string;
  readonly count: number;
  readonly oldestAgeSeconds: number | null;
}

/** A pause of a sink, or of one organization there. */
export interface PausedSince {
  readonly sink: string;
  /** null: the whole sink. */
  readonly organizationId: string | null;
  readonly pausedBy: string | null;
  /** RFC 3339. */
  readonly pausedAt: string;
  /** In the words of who did it. */
  readonly reason: string | null;
}

export function partText({ sink, organizationId }: Pick<PausedSince, 'sink' | 'organizationId'>): string {
  return organizationId === null ? `sink ${sink}` : `organization ${organizationId} at sink ${sink}`;
}

/** `paused by ann since 2026-11-20 14:00:00 UTC (maintenance)` */
export function pauseText(pause: PausedSince): string {
  return `${pause.organizationId === null ? '' : `organization ${pause.organizationId} `}${pausedText(pause)}`;
}

/** Where the sentence has named what is paused. */
export function pausedText({ pausedBy, pausedAt, reason }: PausedSince): string {
  const why = reason === null ? '' : ` (${reason})`;
  return `paused by ${pausedBy ?? 'somebody'} since ${pausedAt.slice(0, 19).replace('T', ' ')} UTC${why}`;
}

export interface WaitingLanes {
  readonly total: number;
  /** The first twenty, by the time since when they wait. */
  readonly first: readonly WaitingLane[];
}

export interface WaitingLane {
  readonly sink: string;
  readonly organizationId: string;
  /** Which lane of the organization; '' is its own. */
  readonly lane: string;
  /** RFC 3339. */
  readonly since: string;
  /** Its events in walpost.parked; counting ends at 10,000. */
  readonly parked: number;
  /** `failing` or `refusing`, failures in a row, and why the last one; null when it does not fail. */
  readonly state: string | null;
  readonly attempts: number | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly nextTryAt: string | null;
  /** In words, such as `its next try` or `a person: dead letter 12 blocks it`. */
  readonly waitsFor: string;
}

export interface DeadLetterCount {
  /** null when the event never had a sink. */
  readonly sink: string | null;
  readonly reason: string;
  readonly count: number;
}

export interface JobStatus {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly scanned: number;
  /** Events that went to a sink. */
  readonly settled: number;
  /** Why it was made; null where a person asked for it. */
  readonly reason: string | null;
}

export interface Readiness {
  readonly ready: boolean;
  /** Something that it has to store cannot be stored, so that the slot waits; a restart would not help. */
  readonly degraded: boolean;
  readonly role: Role;
  readonly detail: string;
}

/** The relay as the process around it sees it. */
export interface RunningRelay extends Service {
  status(): Promise<StatusReport>;
  /** The same without `heldBy` and `waiting`, for the metrics. */
  numbers(): Promise<StatusReport>;
  readiness(): Readiness;
}
