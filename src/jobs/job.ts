import type { Lsn } from '../lsn.ts';
import type { JobFilter } from './job-filter.ts';
import type { ScanPlace, SentCounts } from './scan.ts';

export type JobKind = 'heal' | 'replay' | 'redrive';
export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

/** What a job is to send, and how fast. */
export interface JobSpec extends JobFilter {
  /** Deliver only to these. */
  readonly sinks?: readonly string[];
  /** Of these sinks only to these lanes: endpoints by their ids. */
  readonly lanes?: readonly string[];
  /** Events a second. */
  readonly rate?: number;
  /** Dead letters by number; for a redrive. */
  readonly letters?: readonly string[];
  /** Reason of the dead letters; for a redrive. */
  readonly reason?: string;
  /** RFC 3339: only dead letters that were stored before; for a redrive. */
  readonly storedBefore?: string;
  /** The relay asks for it itself, for rows that the stream may lack: receivers may never have had them. For a replay. */
  readonly repairs?: boolean;
}

/** Which rows of the outbox, as a checkpoint knows them. */
export interface JobRange {
  /** The position that was asked for, or that was last settled. */
  readonly fromLsn: Lsn | null;
  /** Rows that this snapshot sees are left out; null leaves out none. */
  readonly afterSnapshot: string | null;
  /** Rows of this and later transactions are left out. */
  readonly beforeXid: string | null;
}

/** A row of walpost.jobs. */
export interface Job extends JobRange {
  readonly id: string;
  readonly slot: string;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly reason: string | null;
  readonly spec: JobSpec;
  readonly place: ScanPlace | null;
  readonly scanned: number;
  /** Events that went to a sink. */
  readonly settled: number;
  /** How many went to which. */
  readonly sent: SentCounts;
  /** Events that no route matched. */
  readonly unrouted: number;
  /** JSON; null until the job has ended. */
  readonly report: string | null;
  readonly error: string | null;
  readonly requestedBy: string;
  /** RFC 3339. */
  readonly createdAt: string;
}

/** What receivers and logs see: `replay-17`. Receivers know by it what an operator has asked for: see envelope.ts. */
export function jobName({ kind, id, spec }: Pick<Job, 'kind' | 'id' | 'spec'>): string {
  return `${kind === 'replay' && spec.repairs === true ? 'repair' : kind}-${id}`;
}
