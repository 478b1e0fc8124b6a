/** What becomes of a batch that came back: settled, stored as dead letters, put back to wait, or parked. */
import type { Clock } from '../../clock.ts';
import type { Event } from '../../event.ts';
import { BREAKER_OPEN, type LaneRule, type Verdict, type Verdicts } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import { nameOfLane } from './lane-name.ts';
import type { EventsApart } from './apart.ts';
import type { Expiry } from './expiry.ts';
import type { EarlierFailures } from './earlier-failures.ts';
import type { LaneScheduler } from './lane-scheduler.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import type { SinkAccounts } from './sink-accounts.ts';
import type { LaneWatcher } from './sink-lanes-options.ts';
import type { LaneParking } from './parking.ts';
import { REDRIVEN_INTO_PAUSE } from './pausing.ts';
import { LaneProbing, type ProbeOutcomes } from './probing.ts';
import { type Probing, triesBefore } from './probe-policy.ts';
import { sortVerdicts, type BatchFailure } from './sort-verdicts.ts';
import {
  afterAccepted,
  decideAfterFailure,
  afterDeadLetter,
  afterUnavailable,
  afterLeft,
  newFailureState,
  ofOneEvent,
  type Outcome,
  waitForDestination,
  waitForOthers,
  type RetryPolicy,
  type FailureState,
} from './failure-policy.ts';

export interface LaneResultsOptions {
  readonly sink: string;
  readonly policy: RetryPolicy;
  /** A dead letter blocks its lane. */
  readonly blocks: boolean;
  readonly rule: Pick<LaneRule, 'ownDestinations'>;
  readonly expiry: Expiry;
  readonly parking: Pick<LaneParking, 'park' | 'remove' | 'readOne' | 'letGo'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly accounts: SinkAccounts;
  readonly scheduler: LaneScheduler;
  readonly earlier: EarlierFailures;
  readonly watcher: LaneWatcher;
  /** With `order: none`. */
  readonly apart: EventsApart | undefined;
}

export class LaneResults implements ProbeOutcomes {
  readonly probing: LaneProbing;
  private readonly options: LaneResultsOptions;
  /** Events that the sink has accepted in all. */
  private accepted = 0;

  constructor(options: LaneResultsOptions) {
    this.options = options;
    this.probing = new LaneProbing({ ...options, outcomes: this });
  }

  returned(lane: Lane, events: readonly Event[], verdicts: Verdicts): void {
    lane.setSlow(false);
    if (!Array.isArray(verdicts) && (verdicts as Verdict).kind === 'delivered') {
      this.delivered(lane, events);
      return this.options.scheduler.proceed(lane);
    }
    const acceptedBefore = this.acceptedFor(lane);
    this.forgetLastTries(lane, events);
    const sorted = sortVerdicts(events, verdicts);
    const { failure } = lane;
    if (sorted.delivered.length > 0) this.delivered(lane, sorted.delivered);
    for (const { event, verdict } of sorted.rejected) {
      this.deadLetter(lane, event, { verdict, attempts: 1 + (failure ? triesIn(failure, event) : 0) });
    }
    if (lane.failure && sorted.rejectedFirst > 0)
      this.setFailure(lane, afterLeft(lane.failure, sorted.rejectedFirst), false);
    if (sorted.rest.length === 0) return this.options.scheduler.proceed(lane);
    lane.putBack(sorted.rest);
    // What was not sent for want of time has had its window: it goes on at the lane's next turn.
    if (!sorted.failure) return this.options.scheduler.requeue(lane);
    if (lane.finishesBy !== null) return this.options.scheduler.drop(lane);
    this.handleFailure(lane, sorted.failure, acceptedBefore);
  }

  /** The first of what came back was not accepted; `acceptedBefore`: what the sink had accepted when the answer came. */
  private handleFailure(lane: Lane, cause: BatchFailure, acceptedBefore: number): void {
    const { policy, clock, random } = this.options;
    const { verdict, size, refusedBeforeAccepted } = cause;
    this.keepCause(lane, verdict);
    const away = verdict.kind === 'unavailable';
    const answered = away && verdict.answered === true;
    const { retryAfter } = verdict;
    const moment = { now: clock.now(), accepted: this.acceptedFor(lane), random: random() };
    const event = lane.first ?? { parkedId: null };
    const outcome = decideAfterFailure(
      lane.failure ?? newFailureState(moment.now, acceptedBefore),
      { kind: verdict.kind, event, size, refusedBeforeAccepted, answered, retryAfter },
      moment,
      policy,
    );
    lane.setSlow(away && verdict.slow === true);
    const { decision, failure } = outcome;
    const { apart } = this.options;
    if (decision.kind !== 'dead_letter' && apart?.mayLeave(lane, cause, { failure, accepted: this.accepted })) {
      const wait = decision.kind === 'wait' ? outcome : waitForOthers(failure, { retryAfter }, policy);
      return this.sendApart(lane, verdict, wait);
    }
    if (decision.kind === 'probe') {
      if (apart?.has(lane)) return this.waitFor(lane, verdict, waitForOthers(failure, { retryAfter }, policy));
      if (this.probing.start(lane, failure, verdict)) return;
      return this.waitFor(lane, verdict, waitForDestination(failure, { retryAfter }, moment, policy));
    }
    this.setFailure(lane, failure);
    if (decision.kind === 'wait') return this.waitFor(lane, verdict, outcome);
    this.deadLetterFirst(lane, { verdict: { ...verdict, kind: 'failed' }, attempts: decision.attempts });
    if (this.options.blocks) this.setFailure(lane, null);
    this.options.scheduler.proceed(lane);
  }

  /** The first event waits in a lane of its own, and those behind it go on. */
  private sendApart(lane: Lane, verdict: BatchFailure['verdict'], { failure, decision }: Outcome): void {
    const own = this.options.apart?.leave(lane, this.accepted);
    this.setFailure(lane, afterDeadLetter(failure));
    if (own) {
      this.keepCause(own, verdict);
      this.waitFor(own, verdict, { failure: ofOneEvent(failure), decision });
    }
    this.options.scheduler.proceed(lane);
  }

  /** What the destination has accepted in all. */
  private acceptedFor(lane: Lane): number {
    return this.options.rule.ownDestinations === true ? lane.accepted : this.accepted;
  }

  /** An open breaker does not hide why the lane's own tries failed. */
  private keepCause(lane: Lane, { reason, code, answer }: BatchFailure['verdict']): void {
    if (code === BREAKER_OPEN && lane.lastFailure) return;
    lane.setLastFailure({ reason, ...(code !== undefined && { code }), ...(answer !== undefined && { answer }) });
  }

  private waitFor(lane: Lane, verdict: BatchFailure['verdict'], { failure, decision }: Outcome): void {
    if (decision.kind !== 'wait') return;
    const { policy, clock } = this.options;
    const { delay, eventToBlame } = decision;
    this.setFailure(lane, failure);
    if (failure.outages > 0) this.deadLetterUnavailable(lane, failure, verdict);
    if (delay <= 0) return this.options.scheduler.requeue(lane);
    const failingFor = clock.now() + delay - failure.since; // since it began, or something was last accepted
    if (lane.isPassing && (lane.paused || failingFor >= policy.parkAfter))
      return this.deadLetterPassing(lane, verdict, eventToBlame);
    this.parkOrHold(lane, delay);
    this.options.scheduler.backOff(lane, delay);
  }

  /** Parks a lane that would wait longer than `parkAfter`. Events that were read from Postgres return there in any case. */
  private parkOrHold(lane: Lane, delay: number): void {
    if (!lane.first || lane.isPassing) return;
    const { policy, clock, parking } = this.options;
    const waited = clock.now() + delay - lane.first.origin.receivedAt;
    if (lane.first.parkedId !== null || waited >= policy.parkAfter) parking.park(lane);
  }

  /**
   * A redrive overtakes parked events, so its events cannot be parked. It must not wait for long either, because the other
   * lanes that the job leads, and every later job, would wait with it. An event that it cannot send becomes a dead letter
   * again, which blocks the lane as before. When the first event is to blame, only that one does. When the destination is
   * unavailable, every visible event that the lane holds does; one that is not visible yet comes here again when it is sent.
   */
  private deadLetterPassing(lane: Lane, verdict: BatchFailure['verdict'], eventToBlame: boolean): void {
    const attempts = (eventToBlame ? lane.failure?.failures : lane.failure?.outages) ?? 1;
    do this.deadLetterFirst(lane, { verdict, attempts });
    while (!eventToBlame && lane.first?.origin.visible);
    if (!eventToBlame) this.setFailure(lane, null);
    this.options.scheduler.proceed(lane);
  }

  /**
   * A destination that has been away for `unavailableFor` gives up the events that have waited that long. Age alone says
   * nothing: an event may have waited for a person, for its turn, or while this process was stopped.
   */
  private deadLetterUnavailable(lane: Lane, failure: FailureState, verdict: BatchFailure['verdict']): void {
    const { policy, clock } = this.options;
    const latest = clock.now() - policy.unavailableFor;
    const { awaySince, outages: attempts } = failure;
    if (policy.unavailableFor === 0 || awaySince === null || awaySince > latest) return;
    const hasWaited = ({ origin }: Event): boolean => origin.visible && origin.receivedAt <= latest;
    if (!lane.first || !hasWaited(lane.first)) return;
    while (lane.first && hasWaited(lane.first)) {
      this.giveUpFirst(lane, { verdict: { ...verdict, kind: 'unavailable' }, attempts });
    }
    this.setFailure(lane, afterUnavailable(failure));
  }

  /** The lane is paused: what a redrive was to send ahead of it stays a dead letter. */
  giveUpPassing(lane: Lane): void {
    while (lane.isPassing && lane.first?.origin.visible) {
      this.giveUpFirst(lane, { verdict: REDRIVEN_INTO_PAUSE, attempts: 0 });
    }
  }

  private giveUpFirst(lane: Lane, given: { verdict: Verdict; attempts: number }): void {
    const [first] = lane.take({ maxEvents: 1, maxBytes: Infinity });
    if (first) this.deadLetter(lane, first, given);
  }

  private deadLetterFirst(lane: Lane, given: { verdict: Verdict; attempts: number }): void {
    this.giveUpFirst(lane, given);
    if (lane.failure) this.setFailure(lane, afterDeadLetter(lane.failure));
  }

  /** A batch that begins with an event which was never refused: the last tries of the events before it are over. */
  private forgetLastTries(lane: Lane, [first]: readonly Event[]): void {
    const probing = lane.failure?.probing;
    if (probing?.step !== 'last' || !first || triesBefore(probing, first) !== undefined) return;
    this.setFailure(lane, null);
  }

  /** isAccepted: as the destination has accepted something, when it refuses no longer. */
  setFailure(lane: Lane, failure: FailureState | null, isAccepted = true): void {
    const before = lane.failure?.probing ?? null;
    const after = failure?.probing ?? null;
    lane.setFailure(failure);
    const was = before?.refusingSince ?? null;
    const is = after?.refusingSince ?? null;
    const { watcher } = this.options;
    if (after && was === null && is !== null) watcher.refusing(this.refusalOf(lane, after));
    if (before && was !== null && is === null) watcher.refusingOver(this.refusalOf(lane, before), isAccepted);
  }

  private refusalOf(lane: Lane, probing: Probing): Refusal {
    return refusalOf(nameOfLane(this.options.sink, lane), probing);
  }

  /**
   * The events of the next batch that are still to be sent. The others become dead letters. They hold up nothing, and count as no
   * failure: not theirs, and not the destination's.
   */
  withoutExpired(lane: Lane, events: readonly Event[]): readonly Event[] {
    const { expiry } = this.options;
    if (!expiry.hasExpired(events)) return events;
    const { due, expired } = expiry.sort(events);
    const { failure } = lane;
    for (const event of expired) this.expire(lane, event, failure ? triesIn(failure, event) : 0);
    if (failure) this.setFailure(lane, afterLeft(failure, expired.length), false);
    return due;
  }

  expire(lane: Lane, event: Event, attempts: number): void {
    const reason = this.options.expiry.reasonFor(event);
    this.deadLetter(lane, event, { verdict: { kind: 'rejected', reason }, attempts, expired: true });
  }

  deadLetter(lane: Lane, event: Event, given: { verdict: Verdict; attempts: number; expired?: boolean }): void {
    const { sink, accounts, parking, earlier } = this.options;
    const blocks = this.options.blocks && given.expired !== true;
    earlier.settled(lane);
    lane.expectDeadLetter(blocks);
    accounts.deadLettered(event, { sink, lane: lane.name, blocks, ...given }, () => {
      lane.deadLetterStored(blocks);
      if (event.parkedId !== null) parking.remove(lane, [event]);
      if (lane.pendingDeadLetters === 0) this.options.scheduler.release(lane);
    });
  }

  /** Nothing is left that failed. */
  forgetFailure(lane: Lane): void {
    if (lane.failure) this.setFailure(lane, null);
  }

  private delivered(lane: Lane, events: readonly Event[]): void {
    if (lane.failure) this.setFailure(lane, afterAccepted(lane.failure, events.length, this.options.clock.now()));
    this.settle(lane, events);
  }

  settle(lane: Lane, events: readonly Event[]): void {
    const { parking, accounts, earlier } = this.options;
    earlier.settled(lane);
    this.accepted += events.length;
    lane.addAccepted(events.length);
    accounts.delivered(events);
    if (!lane.parked) return;
    const stored = events.filter((event) => event.parkedId !== null);
    if (stored.length > 0) parking.remove(lane, stored);
  }
}

/**
 * How often the event was tried while its lane has failed, as far as the lane knows; none came after the failure began. The
 * first refusal of an event alone may have counted as a wait for the destination and, later, against the event: once its
 * failures count, its lone tries are the number.
 */
function triesIn({ since, outages, failures, loneRefusals }: FailureState, { origin }: Event): number {
  if (origin.receivedAt > since) return 0;
  return Math.max(failures > 0 ? failures : outages, loneRefusals);
}
