/**
 * Tries the events behind one that is refused: see probe-policy.ts for what is decided. The whole lane is in Postgres
 * meanwhile, and each event is read when its turn has come, so a lane that asks holds one event, in flight.
 */
import type { Clock } from '../../clock.ts';
import type { Event } from '../../event.ts';
import { ownCopy } from '../../own-copy.ts';
import type { ParkedPage, Verdict, Verdicts } from '../../pipeline.ts';
import type { Expiry } from './expiry.ts';
import type { Lane } from './lane.ts';
import type { LaneScheduler } from './lane-scheduler.ts';
import type { LaneParking } from './parking.ts';
import {
  afterNothingLeft,
  afterProbe,
  isThrough,
  passBy,
  PROBED_EVENTS,
  type ProbedEvent,
  type Probing,
  type ProbeOutcome,
  triesOf,
} from './probe-policy.ts';
import { waitForDestination, type RetryPolicy, startProbing, type FailureState } from './failure-policy.ts';

/** What the answers for probed events lead to. */
export interface ProbeOutcomes {
  setFailure(lane: Lane, failure: FailureState | null): void;
  settle(lane: Lane, events: readonly Event[]): void;
  /** It is not to be sent any more. */
  expire(lane: Lane, event: Event, attempts: number): void;
  deadLetter(lane: Lane, event: Event, given: { verdict: Verdict; attempts: number }): void;
}

export interface LaneProbingOptions {
  readonly policy: RetryPolicy;
  readonly expiry: Expiry;
  readonly parking: Pick<LaneParking, 'park' | 'readOne' | 'letGo'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly scheduler: LaneScheduler;
  readonly outcomes: ProbeOutcomes;
}

export class LaneProbing {
  private readonly options: LaneProbingOptions;

  constructor(options: LaneProbingOptions) {
    this.options = options;
  }

  /** The first event was refused: those behind it are next. False while the lane cannot be parked. */
  start(lane: Lane, failure: FailureState, verdict: { readonly kind: string; readonly reason: string }): boolean {
    const { first } = lane;
    if (!first || lane.isPassing) return false;
    this.options.parking.park(lane);
    if (lane.length > 0) return false; // not all of it is visible
    const { reason, kind } = verdict;
    const away = kind === 'unavailable';
    const start = {
      first: namedAlike(first),
      tries: failure.loneRefusals,
      reason,
      away,
      now: this.options.clock.now(),
    };
    this.options.outcomes.setFailure(lane, startProbing(failure, start));
    this.options.scheduler.proceed(lane);
    return true;
  }

  /** The next event to try, as a page that has at most one. */
  async read(lane: Lane): Promise<ParkedPage> {
    const probing = lane.failure?.probing;
    if (!probing || isThrough(probing)) return { events: [], last: null };
    const types = probing.step === 'types';
    return this.options.parking.readOne(lane, {
      after: types ? null : probing.place,
      most: types ? 1 + PROBED_EVENTS : 1,
      ...(types ? { otherTypes: [...probing.types] } : {}),
    });
  }

  /** What was read: the event to send, or undefined, and the lane goes on. */
  chosen(lane: Lane, { events, last }: ParkedPage): Event | undefined {
    const { failure } = lane;
    const [event] = events;
    if (!failure?.probing) return undefined;
    if (event) {
      const passed = passBy(failure.probing, event, last ?? '');
      if (!passed && !this.options.expiry.isExpired(event)) return event;
      if (passed) this.options.parking.letGo(events);
      else this.options.outcomes.expire(lane, event, triesOf(failure.probing, event));
      const { maxAttempts } = this.options.policy;
      const settled = { outcome: 'settled', place: last ?? '', maxAttempts } as const;
      this.next(lane, failure, passed ? { probing: passed, over: false } : afterProbe(failure.probing, event, settled));
    } else {
      const { clock, policy } = this.options;
      this.next(lane, failure, afterNothingLeft(failure.probing, { now: clock.now(), backoff: policy.backoff }));
    }
    return undefined;
  }

  /** The answer for it; `place` is where it stands. */
  probed(lane: Lane, given: { readonly event: Event; readonly place: string; readonly verdicts: Verdicts }): void {
    const { event, place, verdicts } = given;
    const verdict = (Array.isArray(verdicts) ? verdicts[0] : verdicts) as Verdict | undefined;
    const { failure } = lane;
    const { maxAttempts } = this.options.policy;
    if (!failure?.probing) throw new Error('a probe came back to a lane that asks nothing');
    lane.setSlow(verdict?.kind === 'unavailable' && verdict.slow === true);
    const outcome = outcomeOf(verdict);
    const { probing, over } = afterProbe(failure.probing, event, { outcome, place, maxAttempts });
    // An error of the destination's own says as little of the event as no answer does.
    const away = outcome === 'silent' || outcome === 'answered';
    const now = this.options.clock.now();
    const awaySince = away ? (failure.awaySince ?? now) : null;
    if (outcome === 'accepted') this.options.outcomes.settle(lane, [event]);
    else if (verdict?.kind === 'rejected') this.options.outcomes.deadLetter(lane, event, { verdict, attempts: 1 });
    else this.options.parking.letGo([event]);
    const next = {
      ...failure,
      awaySince,
      ...(outcome === 'accepted' ? { since: now, outages: 0, loneRefusals: 0 } : {}),
    };
    const retryAfter = verdict && 'retryAfter' in verdict ? verdict.retryAfter : undefined;
    this.next(lane, next, { probing, over }, retryAfter);
  }

  private next(lane: Lane, before: FailureState, to: { probing: Probing; over: boolean }, retryAfter?: number): void {
    const { policy, random, outcomes, scheduler } = this.options;
    const failure = { ...before, probing: to.probing };
    if (!to.over) {
      outcomes.setFailure(lane, failure);
      return scheduler.proceed(lane);
    }
    const outcome = waitForDestination(failure, { retryAfter }, { random: random() }, policy);
    outcomes.setFailure(lane, outcome.failure);
    scheduler.backOff(lane, outcome.decision.kind === 'wait' ? outcome.decision.delay : 0);
  }
}

function outcomeOf(verdict: Verdict | undefined): ProbeOutcome {
  switch (verdict?.kind) {
    case 'delivered':
      return 'accepted';
    case 'rejected':
      return 'settled';
    case 'failed':
      return 'refused';
    default:
      return verdict?.answered === true ? 'answered' : 'silent';
  }
}

/** The name of an event, without what it is a part of: a field keeps the whole row in memory. */
function namedAlike({ eventId, eventType, parkedId, ordinal, origin }: Event): ProbedEvent {
  const { commitLsn } = origin;
  return { eventId: ownCopy(eventId), eventType: ownCopy(eventType), parkedId, ordinal, origin: { commitLsn } };
}
