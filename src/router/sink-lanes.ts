/**
 * All lanes of one sink: who sends next, and what becomes of what comes back.
 *
 * Lanes that are due stand in one queue and go to its end after each batch, so an organization with a backlog gets one
 * turn like every other. At most `concurrency` batches of the sink are in flight; other sinks have their own.
 */
import { Fifo } from '../fifo.ts';
import type { Event } from '../event.ts';
import type { Batch, Destination, Verdict, Verdicts } from '../pipeline.ts';
import type { Alarms } from './alarms.ts';
import { Lane, type BatchLimits, type Phase } from './lane.ts';
import { sortVerdicts } from './sort-verdicts.ts';
import { afterAccepted, afterBlow, afterProbe, newTrouble, type RetryPolicy } from './trouble.ts';
import type { Windows } from './windows.ts';

/** A lane with its sink, as windows and alarms hold it. */
export interface LaneTurn {
  readonly sink: SinkLanes;
  readonly lane: Lane;
}

export interface SinkLanesOptions {
  readonly destination: Destination;
  readonly limits: BatchLimits;
  /** Milliseconds. */
  readonly window: number;
  readonly leadingEdge: boolean;
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly random: () => number;
  readonly windows: Windows<LaneTurn>;
  readonly alarms: Alarms<LaneTurn>;
  /** A lane wants to send what no snapshot has seen yet. */
  readonly askVisible: () => void;
  /** Milliseconds from the opening of a window to the departure of its batch. */
  readonly onWindow: (waited: number) => void;
  readonly onDelivered: (sink: SinkLanes, events: readonly Event[]) => void;
  readonly onRejected: (sink: SinkLanes, event: Event, verdict: Verdict, attempts: number) => void;
  /** A batch came back, or nothing is left to do. */
  readonly onIdle: () => void;
}

export class SinkLanes {
  readonly name: string;
  inFlight = 0;
  private readonly options: SinkLanesOptions;
  private readonly lanes = new Map<string, Lane>();
  private readonly turns = new Fifo<Lane>();
  private unseen: Lane[] = [];
  private accepted = 0;
  private draining = false;

  constructor(options: SinkLanesOptions) {
    this.options = options;
    this.name = options.destination.name;
  }

  accept(event: Event): void {
    let lane = this.lanes.get(event.organizationId);
    if (!lane) {
      lane = new Lane(event.organizationId);
      this.lanes.set(event.organizationId, lane);
    }
    lane.push(event);
    if (lane.length === 1) this.openWindow(lane);
    if (lane.phase === 'gathering' && lane.isFull(this.options.limits)) this.due(lane);
  }

  /** The window of the lane is over. */
  windowClosed(lane: Lane): void {
    if (lane.phase === 'gathering' && lane.closesAt <= this.options.now()) this.enqueue(lane);
    else if (lane.phase === 'quiet') this.forget(lane);
  }

  /** The wait of a resting lane is over. */
  rested(lane: Lane): void {
    if (lane.phase === 'resting') this.due(lane);
  }

  /** A snapshot saw more transactions. */
  seen(): void {
    const lanes = this.unseen;
    this.unseen = [];
    for (const lane of lanes) this.enqueue(lane);
    this.dispatch();
  }

  /** Every window counts as closed from now on. */
  drain(): void {
    this.draining = true;
    for (const lane of this.lanes.values()) if (lane.phase === 'gathering') this.enqueue(lane);
    this.dispatch();
  }

  /** Nothing is left that could be sent without waiting for a destination to recover. */
  get drained(): boolean {
    return this.inFlight === 0 && this.turns.length === 0 && this.unseen.length === 0;
  }

  countLanes(counts: Record<Phase, number>): void {
    for (const lane of this.lanes.values()) counts[lane.phase] += 1;
  }

  /** Sends from the turn queue while the sink takes batches. */
  dispatch(): void {
    while (this.inFlight < this.options.destination.concurrency) {
      const lane = this.turns.shift();
      if (!lane) return;
      this.sendFrom(lane);
    }
  }

  private openWindow(lane: Lane): void {
    const { leadingEdge, windows, now } = this.options;
    if (this.draining) {
      if (lane.phase === 'quiet') this.due(lane);
      return;
    }
    const leads = leadingEdge && lane.quietFrom <= now();
    lane.closesAt = leadingEdge ? lane.quietFrom : windows.add({ sink: this, lane });
    if (lane.phase !== 'quiet') return;
    if (leads) this.due(lane);
    else lane.phase = 'gathering';
  }

  private enqueue(lane: Lane): void {
    lane.phase = 'due';
    this.turns.push(lane);
  }

  private due(lane: Lane): void {
    this.enqueue(lane);
    this.dispatch();
  }

  private sendFrom(lane: Lane): void {
    const { limits } = this.options;
    const { trouble } = lane;
    const probe = trouble?.probeSecond === true && lane.length > 1;
    const most = trouble ? Math.min(limits.maxEvents, trouble.size) : limits.maxEvents;
    const events = probe ? lane.takeSecond() : lane.take(trouble ? { ...limits, maxEvents: most } : limits);
    if (events.length === 0) {
      lane.phase = 'unseen';
      this.unseen.push(lane);
      this.options.askVisible();
      return;
    }
    lane.phase = 'sending';
    if (!trouble) this.options.onWindow(Math.max(0, this.options.now() - lane.closesAt + this.options.window));
    if (this.options.leadingEdge) lane.quietFrom = this.options.windows.add({ sink: this, lane });
    this.inFlight += 1;
    const attempt = trouble ? 1 + trouble.outages + trouble.failures : 1;
    const batch: Batch = { organizationId: lane.organizationId, events, attempt };
    void this.options.destination.deliver(batch, this.options.signal).then((verdicts) => {
      this.inFlight -= 1;
      if (this.options.signal.aborted) return this.options.onIdle();
      if (probe) this.probed(lane, events, verdicts);
      else this.returned(lane, events, verdicts);
      this.dispatch();
      return this.options.onIdle();
    });
  }

  private returned(lane: Lane, events: readonly Event[], verdicts: Verdicts): void {
    if (!Array.isArray(verdicts) && (verdicts as Verdict).kind === 'delivered') {
      this.delivered(lane, events);
      this.next(lane);
      return;
    }
    const sorted = sortVerdicts(events, verdicts);
    if (sorted.delivered.length > 0) this.delivered(lane, sorted.delivered);
    for (const { event, verdict } of sorted.rejected) this.options.onRejected(this, event, verdict, 1);
    if (sorted.rest.length === 0 || !sorted.blow) {
      this.next(lane);
      return;
    }
    lane.putBack(sorted.rest);
    this.struck(lane, sorted.blow);
  }

  /** The first of what came back was not accepted. */
  private struck(lane: Lane, blow: { verdict: Verdict; size: number }): void {
    const { policy, now, random } = this.options;
    const { verdict, size } = blow;
    if (verdict.kind !== 'failed' && verdict.kind !== 'unavailable') throw new Error('a final verdict is no blow');
    lane.trouble ??= newTrouble(now(), this.accepted);
    const answered = verdict.kind === 'unavailable' && verdict.answered === true;
    const decision = afterBlow(
      lane.trouble,
      { kind: verdict.kind, size, answered, retryAfter: verdict.retryAfter },
      { accepted: this.accepted, random: random() },
      policy,
    );
    if (decision.kind === 'dead_letter') {
      this.buryFirst(lane, { kind: 'failed', reason: verdict.reason }, lane.trouble.failures);
      return;
    }
    if (decision.delay <= 0) this.enqueue(lane);
    else {
      lane.phase = 'resting';
      this.options.alarms.set({ sink: this, lane }, decision.delay);
    }
  }

  /** The answer for the second event tells what the next refusal of the first will mean. */
  private probed(lane: Lane, events: readonly Event[], verdicts: Verdicts): void {
    const verdict = (Array.isArray(verdicts) ? verdicts[0] : verdicts) as Verdict | undefined;
    const accepted = verdict?.kind === 'delivered';
    if (lane.trouble) afterProbe(lane.trouble, accepted, this.options.policy);
    if (accepted) {
      this.accepted += events.length;
      this.options.onDelivered(this, events);
      this.enqueue(lane);
      return;
    }
    lane.putBack(events, 1);
    const retryAfter = verdict && 'retryAfter' in verdict ? { retryAfter: verdict.retryAfter } : {};
    this.struck(lane, { verdict: { kind: 'unavailable', reason: 'the probe was refused', ...retryAfter }, size: 1 });
  }

  private buryFirst(lane: Lane, verdict: Verdict, attempts: number): void {
    const [first] = lane.take({ maxEvents: 1, maxBytes: Infinity });
    if (first) this.options.onRejected(this, first, verdict, attempts);
    if (lane.trouble && afterAccepted(lane.trouble, 1)) lane.trouble = null;
    this.next(lane);
  }

  private delivered(lane: Lane, events: readonly Event[]): void {
    this.accepted += events.length;
    if (lane.trouble && afterAccepted(lane.trouble, events.length)) lane.trouble = null;
    this.options.onDelivered(this, events);
  }

  private next(lane: Lane): void {
    const { limits, leadingEdge, now } = this.options;
    if (lane.length === 0) {
      lane.phase = 'quiet';
      if (!leadingEdge || lane.quietFrom <= now()) this.forget(lane);
    } else if (this.draining || lane.trouble || lane.isFull(limits) || lane.closesAt <= now()) {
      this.enqueue(lane);
    } else lane.phase = 'gathering';
  }

  private forget(lane: Lane): void {
    if (this.lanes.get(lane.organizationId) === lane) this.lanes.delete(lane.organizationId);
  }
}
