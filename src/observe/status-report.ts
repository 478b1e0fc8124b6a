import type { Service } from '../service.ts';

/** What `walpost status`, /status and the gauges of /metrics tell; one object, so that they never disagree. */
export interface StatusReport {
  readonly version: string;
  /** When it was true, RFC 3339. */
  readonly at: string;
  readonly leader: LeaderStatus;
  /** null when the database could not be asked. */
  readonly slot: SlotStatus | null;
  readonly lag: Lag;
  /** Lanes by state, such as gathering, sending, resting; null when no process told. */
  readonly lanes: Readonly<Record<string, number>> | null;
  readonly breakers: readonly BreakerStatus[];
  /** What all events in the process hold, and what they may hold. */
  readonly bufferedBytes: number | null;
  readonly budgetBytes: number | null;
  /** Transactions with an event that is not settled. */
  readonly openTransactions: number | null;
  readonly lastReceivedAgeSeconds: number | null;
  readonly parked: readonly ParkedCount[];
  readonly deadLetters: readonly DeadLetterCount[];
  readonly jobs: readonly JobStatus[];
  /** What cannot be stored, so that the slot waits; empty in good times. */
  readonly stalls: readonly Stall[];
}

export interface Stall {
  readonly what: 'parking' | 'dead letters' | 'removing delivered events';
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

/** Bytes of WAL, and time; null is unknown. */
export interface Lag {
  /** Written by the server and not received. */
  readonly unreadBytes: number | null;
  /** Written by the server and not confirmed. */
  readonly unconfirmedBytes: number | null;
  /** Kept on the server's disk for the slot. */
  readonly retainedBytes: number | null;
  /** May still be written before the slot is lost; null also when there is no limit. */
  readonly safeBytes: number | null;
  /** Age of the oldest unsettled event; 0 when there is none. */
  readonly seconds: number | null;
}

export interface BreakerStatus {
  readonly sink: string;
  readonly state: 'closed' | 'half_open' | 'open';
}

export interface ParkedCount {
  readonly sink: string;
  readonly count: number;
  readonly oldestAgeSeconds: number | null;
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
}

export interface Readiness {
  readonly ready: boolean;
  readonly role: Role;
  readonly detail: string;
}

/** The relay as the process around it sees it. */
export interface RunningRelay extends Service {
  status(): Promise<StatusReport>;
  readiness(): Readiness;
}
