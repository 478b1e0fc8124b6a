/**
 * Defence in depth for workers. walpost sends an event after its commit is visible, so the state that a job assumes is there.
 * A guard looks all the same: a job may be older than a restored database, a replica may lag, somebody may have deleted a row.
 *
 *   look ─ there ──────────────────────────────────> present
 *     └ not there ─ wait, look again … ─ there ────> late
 *                     └ still not ─ repair, look ──> repaired
 *                                     └ still not ─> refused (the queue tries again), or dropped
 */
import { type Clock, systemClock } from '../clock.ts';
import { type GuardCounter, type GuardCounters, NO_JOBS } from './guard-counters.ts';

/** A job of BullMQ fits, and anything else: the guard hands it on. */
export interface GuardCheck<Job, State> {
  /** The state that the job needs; null or undefined when it is not there. */
  readonly find: (job: Job) => Promise<State | null | undefined>;
  /** Makes the state. Two workers may do it at once, so it must be harmless when it is there: `INSERT … ON CONFLICT DO NOTHING`. */
  readonly repair?: (job: Job) => Promise<unknown>;
  /** The waits before further looks, in milliseconds, such as `[100, 400]` for a replica that lags. None when absent. */
  readonly waits?: readonly number[];
  /** What is done with a job whose state stays away; `refuse` when absent. */
  readonly otherwise?: 'refuse' | 'drop';
}

/** The state that a job needs is not there. The queue tries the job again, as after any error. */
export class MissingStateError extends Error {
  override readonly name = 'MissingStateError';
}

export interface Guard {
  /** Resolves with the state; rejects with MissingStateError, or with what the check threw. */
  <Job, State>(job: Job, check: GuardCheck<Job, State> & { readonly otherwise?: 'refuse' }): Promise<State>;
  /** Resolves with undefined when the job is to be dropped. */
  <Job, State>(job: Job, check: GuardCheck<Job, State>): Promise<State | undefined>;
  readonly counters: GuardCounters;
}

export interface GuardOptions {
  /** Told of each job whose state was not there at the first look, with how it ended. */
  readonly onMissing?: (job: unknown, outcome: GuardOutcome) => void;
  /** For tests. */
  readonly clock?: Clock;
}

export type GuardOutcome = Exclude<GuardCounter, 'checked' | 'missing'>;

/** Make one for each queue, or each kind of state: its counters tell them apart. */
export function createGuard({ onMissing, clock = systemClock }: GuardOptions = {}): Guard {
  const counters = { ...NO_JOBS };
  const count = (counter: GuardCounter): void => void (counters[counter] += 1);

  const guard = async <Job, State>(job: Job, check: GuardCheck<Job, State>): Promise<State | undefined> => {
    count('checked');
    let isMissing = false;
    let outcome: GuardOutcome = 'failed';
    const firstMiss = (): void => {
      isMissing = true;
      count('missing');
    };
    try {
      const [found, how] = await lookFor(job, check, { clock, firstMiss });
      outcome = how ?? (check.otherwise === 'drop' ? 'dropped' : 'refused');
      if (outcome === 'refused') throw new MissingStateError('the state of the job is not there');
      return found;
    } finally {
      count(outcome);
      if (isMissing) onMissing?.(job, outcome);
    }
  };
  return Object.defineProperty(guard, 'counters', { get: () => ({ ...counters }) }) as unknown as Guard;
}

type Found<State> = readonly [state: State, how: 'present' | 'late' | 'repaired'] | readonly [undefined, undefined];

interface Looking {
  readonly clock: Clock;
  readonly firstMiss: () => void;
}

async function lookFor<Job, State>(
  job: Job,
  { find, repair, waits = [] }: GuardCheck<Job, State>,
  { clock, firstMiss }: Looking,
): Promise<Found<State>> {
  const first = await find(job);
  if (first != null) return [first, 'present'];
  firstMiss();
  for (const wait of waits) {
    await new Promise<void>((resolve) => clock.schedule(wait, resolve));
    const later = await find(job);
    if (later != null) return [later, 'late'];
  }
  if (repair === undefined) return [undefined, undefined];
  await repair(job);
  const repaired = await find(job);
  return repaired == null ? [undefined, undefined] : [repaired, 'repaired'];
}
