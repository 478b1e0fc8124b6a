/** What becomes of a batch that came back: settled, buried, put back to wait, or parked. */
import type { Event } from '../event.ts';
import type { Verdict, Verdicts } from '../pipeline.ts';
import type { Lane } from './lane.ts';
import { blockLane } from './lane-blocking.ts';
import type { LaneParking } from './lane-parking.ts';
import { sortVerdicts, type Blow as SortedBlow } from './sort-verdicts.ts';
import { afterAccepted, afterBlow, afterProbe, newTrouble, type RetryPolicy, type Trouble } from './trouble.ts';

export interface LaneReturnsOptions {
  readonly sink: string;
  readonly policy: RetryPolicy;
  /** A dead letter blocks its lane. */
  readonly blocks: boolean;
  readonly parking: Pick<LaneParking, 'park' | 'remove'>;
  readonly now: () => number;
  readonly random: () => number;
  readonly onDelivered: (sink: string, events: readonly Event[]) => void;
  readonly onRejected: (
    event: Event,
    given: { sink: string; verdict: Verdict; attempts: number; blocks: boolean },
    stored: () => void,
  ) => void;
  /** The lane goes on with what is next; with the same events at once; after a while. */
  readonly go: (lane: Lane) => void;
  readonly again: (lane: Lane) => void;
  readonly rest: (lane: Lane, delay: number) => void;
  /** The dead letters of the lane are durable. */
  readonly buried: (lane: Lane) => void;
}

export class LaneReturns {
  private readonly options: LaneReturnsOptions;
  /** Events that the sink has accepted in all. */
  private accepted = 0;

  constructor(options: LaneReturnsOptions) {
    this.options = options;
  }

  returned(lane: Lane, events: readonly Event[], verdicts: Verdicts): void {
    lane.slow = false;
    if (!Array.isArray(verdicts) && (verdicts as Verdict).kind === 'delivered') {
      this.delivered(lane, events);
      return this.options.go(lane);
    }
    const sorted = sortVerdicts(events, verdicts);
    if (sorted.delivered.length > 0) this.delivered(lane, sorted.delivered);
    for (const { event, verdict } of sorted.rejected) this.bury(lane, event, { verdict, attempts: 1 });
    if (!sorted.blow) return this.options.go(lane);
    lane.putBack(sorted.rest);
    this.struck(lane, sorted.blow);
  }

  /** The answer for the second event tells what the next refusal of the first will mean. */
  probed(lane: Lane, events: readonly Event[], verdicts: Verdicts): void {
    const verdict = (Array.isArray(verdicts) ? verdicts[0] : verdicts) as Verdict | undefined;
    const accepted = verdict?.kind === 'delivered';
    if (lane.trouble) afterProbe(lane.trouble, accepted, this.options.policy);
    if (accepted) {
      this.settle(lane, events);
      return this.options.again(lane);
    }
    lane.putBack(events, 1);
    const retryAfter = verdict && 'retryAfter' in verdict ? { retryAfter: verdict.retryAfter } : {};
    this.struck(lane, { verdict: { kind: 'unavailable', reason: 'the probe was refused', ...retryAfter }, size: 1 });
  }

  /** The first of what came back was not accepted. */
  private struck(lane: Lane, { verdict, size }: SortedBlow): void {
    const { policy, now, random } = this.options;
    lane.trouble ??= newTrouble(now(), this.accepted);
    const away = verdict.kind === 'unavailable';
    const decision = afterBlow(
      lane.trouble,
      { kind: verdict.kind, size, answered: away && verdict.answered === true, retryAfter: verdict.retryAfter },
      { accepted: this.accepted, random: random() },
      policy,
    );
    lane.slow = away && verdict.slow === true;
    if (decision.kind === 'dead_letter') {
      this.buryFirst(lane, { verdict: { kind: 'failed', reason: verdict.reason }, attempts: lane.trouble.failures });
      return this.options.go(lane);
    }
    if (lane.trouble.outages > 0) this.buryExpired(lane, lane.trouble, verdict.reason);
    if (decision.delay <= 0) return this.options.again(lane);
    const troubled = now() + decision.delay - lane.trouble.since; // since it began, or something was last accepted
    if (lane.isPassing && troubled >= policy.parkAfter) return this.giveBack(lane, verdict, decision.own);
    this.parkOrHold(lane, decision.delay);
    this.options.rest(lane, decision.delay);
  }

  /** A wait that would outlast `parkAfter` is spent in Postgres; what came from there goes back in any case. */
  private parkOrHold(lane: Lane, delay: number): void {
    if (!lane.first || lane.isPassing) return;
    const { policy, now, parking } = this.options;
    const waited = now() + delay - lane.first.origin.receivedAt;
    if (lane.first.parkedId !== null || waited >= policy.parkAfter) parking.park(lane);
  }

  /**
   * A redrive passes what is parked, so it cannot be parked itself; nor may it wait for long, and with it the other lanes
   * that the job leads and every later job. What it cannot send is a dead letter again, which blocks the lane as before: all
   * that the lane holds when the destination is away, the first when that one is to blame.
   */
  private giveBack(lane: Lane, verdict: SortedBlow['verdict'], own: boolean): void {
    const attempts = (own ? lane.trouble?.failures : lane.trouble?.outages) ?? 1;
    do this.buryFirst(lane, { verdict, attempts });
    while (!own && lane.first?.origin.visible); // a lane gives out nothing that is not
    if (!own) lane.trouble = null;
    this.options.go(lane);
  }

  /**
   * A destination that has been away for `unavailableFor` gives up the events that have waited that long. Age alone says
   * nothing: an event may have waited for a person, for its turn, or while this process was stopped.
   */
  private buryExpired(lane: Lane, trouble: Trouble, reason: string): void {
    const { policy, now } = this.options;
    const latest = now() - policy.unavailableFor;
    if (policy.unavailableFor === 0 || trouble.since > latest) return;
    const { outages: attempts } = trouble;
    const isExpired = ({ origin }: Event): boolean => origin.visible && origin.receivedAt <= latest;
    while (lane.first && isExpired(lane.first)) {
      this.buryFirst(lane, { verdict: { kind: 'unavailable', reason }, attempts });
    }
    lane.trouble = trouble; // the destination is no less away
    trouble.outages = attempts;
  }

  private buryFirst(lane: Lane, given: { verdict: Verdict; attempts: number }): void {
    const [first] = lane.take({ maxEvents: 1, maxBytes: Infinity });
    if (first) this.bury(lane, first, given);
    if (lane.trouble && afterAccepted(lane.trouble, 1)) lane.trouble = null;
  }

  private bury(lane: Lane, event: Event, given: { verdict: Verdict; attempts: number }): void {
    const { sink, blocks, onRejected, parking } = this.options;
    const blocked = blocks ? blockLane(lane) : undefined;
    lane.burying += 1;
    onRejected(event, { sink, blocks, ...given }, () => {
      lane.burying -= 1;
      blocked?.();
      if (event.parkedId !== null) parking.remove(lane, [event]);
      if (lane.burying === 0) this.options.buried(lane);
    });
  }

  private delivered(lane: Lane, events: readonly Event[]): void {
    if (lane.trouble && afterAccepted(lane.trouble, events.length)) lane.trouble = null;
    this.settle(lane, events);
  }

  private settle(lane: Lane, events: readonly Event[]): void {
    const { sink, parking, now, onDelivered } = this.options;
    this.accepted += events.length;
    if (lane.trouble) lane.trouble.since = now();
    onDelivered(sink, events);
    if (!lane.parked) return;
    const stored = events.filter((event) => event.parkedId !== null);
    if (stored.length > 0) parking.remove(lane, stored);
  }
}
