/**
 * What leaves a sink: lanes that are due have turns, and in each turn one batch is sent, or the next of a parked lane is
 * read and sent.
 */
import type { Timer } from '../clock.ts';
import type { Event } from '../event.ts';
import { Fifo } from '../fifo.ts';
import type { Batch, Verdicts } from '../pipeline.ts';
import type { Lane } from './lane.ts';
import type { LaneParking } from './lane-parking.ts';
import type { LaneReturns } from './lane-returns.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';
import { Turns } from './turns.ts';

/** After a read that found nothing while something was on its way, and while nothing more can be read. */
const READ_AGAIN_MS = 20;
/** So many of the lanes that could not be read try again at once: all of a hundred thousand would keep the process busy. */
const READ_AGAIN_LANES = 1_000;

export interface LaneSendingOptions extends SinkLanesOptions {
  readonly parking: LaneParking;
  readonly returns: LaneReturns;
  /** The lane goes on with what is next; stands in the queue again; comes back after a while; holds nothing any more. */
  readonly go: (lane: Lane) => void;
  readonly again: (lane: Lane) => void;
  readonly rest: (lane: Lane, delay: number) => void;
  readonly forget: (lane: Lane) => void;
  readonly waitVisible: (lane: Lane) => void;
  /** Returns when it closes. */
  readonly openWindow: (lane: Lane) => number;
}

export class LaneSending {
  private readonly options: LaneSendingOptions;
  private readonly turns: Turns;
  /** The sink is over its rate: nobody has a turn until then. */
  private pausing: Timer | undefined;
  /** Parked lanes whose turn came while nothing more could be read. */
  private readonly unread = new Fifo<Lane>();
  private readingAgain: Timer | undefined;

  constructor(options: LaneSendingOptions) {
    this.options = options;
    this.turns = new Turns(options.destination.concurrency);
  }

  get inFlight(): number {
    return this.turns.inFlight;
  }

  /** Nothing is on its way, and nobody waits but for the sink's rate. */
  get idle(): boolean {
    return this.inFlight === 0 && (this.pausing !== undefined || this.turns.waiting === 0);
  }

  /** The lane is due. */
  add(lane: Lane): void {
    this.turns.add(lane);
  }

  /** Sends while the sink takes batches. */
  dispatch(): void {
    while (!this.pause()) {
      const lane = this.turns.next();
      if (!lane) return;
      this.sendFrom(lane);
    }
  }

  close(): void {
    this.pausing?.cancel();
    this.readingAgain?.cancel();
  }

  /** Over its rate the whole sink waits, with every lane in its place. */
  private pause(): boolean {
    const wait = this.options.limiter?.sinkWait ?? 0;
    if (wait <= 0) return false;
    this.pausing ??= this.options.schedule(wait, () => {
      this.pausing = undefined;
      this.dispatch();
    });
    return true;
  }

  private sendFrom(lane: Lane): void {
    if (lane.burying > 0) {
      lane.phase = 'resting';
      lane.restsUntil = Infinity;
      return;
    }
    const { leadingEdge, onWindow, now, limiter } = this.options;
    const allowed = limiter?.allowed(lane.organizationId) ?? Infinity;
    if (allowed < 1) return this.slowDown(lane);
    if (lane.length === 0 && lane.parked) return this.fetch(lane, allowed);
    const { trouble } = lane;
    const { events, probe } = this.takeBatch(lane, allowed);
    const first = events[0];
    if (!first) {
      lane.phase = lane.length > 0 ? 'unseen' : 'quiet';
      return lane.length > 0 ? this.options.waitVisible(lane) : this.options.forget(lane);
    }
    limiter?.spend(lane.organizationId, events.length);
    if (!trouble && first.parkedId === null) onWindow(Math.max(0, now() - lane.closesAt + this.options.window));
    if (leadingEdge) lane.quietFrom = this.options.openWindow(lane);
    const attempt = trouble ? 1 + trouble.outages + trouble.failures : 1;
    const { job } = first.origin;
    this.send(
      lane,
      { organizationId: lane.organizationId, events, attempt, ...(job === null ? {} : { job }) },
      (verdicts) => {
        if (probe) this.options.returns.probed(lane, events, verdicts);
        else this.options.returns.returned(lane, events, verdicts);
      },
    );
  }

  /** What its trouble and its rate leave of a full batch; or the second event alone, to probe. */
  private takeBatch(lane: Lane, allowed: number): { events: readonly Event[]; probe: boolean } {
    const { limits } = this.options;
    const { trouble } = lane;
    const second = trouble?.probeSecond ? lane.takeSecond() : [];
    if (second.length > 0) return { events: second, probe: true };
    const most = Math.min(limits.maxEvents, trouble?.size ?? Infinity, allowed);
    return { events: lane.take(most < limits.maxEvents ? { ...limits, maxEvents: most } : limits), probe: false };
  }

  /** Over its rate a lane waits without any trouble; where the sink is, the lane keeps its turn. */
  private slowDown(lane: Lane): void {
    const wait = this.options.limiter?.organizationWait(lane.organizationId) ?? 0;
    if (wait > 0) this.options.rest(lane, wait);
    else this.options.again(lane);
  }

  private send(lane: Lane, batch: Batch, back: (verdicts: Verdicts) => void): void {
    const { destination, signal, onIdle } = this.options;
    lane.phase = 'sending';
    const leave = this.turns.take(lane);
    void destination.deliver(batch, signal).then((verdicts) => {
      leave();
      if (!signal.aborted) {
        back(verdicts);
        this.dispatch();
      }
      onIdle();
    });
  }

  /** Reads the next batch of a parked lane, which then has this turn. */
  private fetch(lane: Lane, most: number): void {
    const { destination, signal, onRead, onIdle } = this.options;
    if (lane.heldBy !== null) {
      lane.phase = 'quiet';
      return;
    }
    const wait = Math.max(destination.closedFor, this.options.parking.canRead(lane) ? 0 : READ_AGAIN_MS);
    if (wait > 0) return this.options.rest(lane, wait);
    const release = this.roomToRead();
    if (!release) return this.readLater(lane);
    lane.phase = 'fetching';
    const leave = this.turns.take(lane);
    void this.options.parking.read(lane, most).then((events) => {
      leave();
      release();
      if (!signal.aborted) {
        onRead(events);
        lane.putBack(events, lane.length);
        if (events.length > 0) this.sendFrom(lane);
        else if (lane.parked) this.options.rest(lane, READ_AGAIN_MS);
        else this.options.go(lane);
        this.dispatch();
      }
      onIdle();
    });
  }

  /** Undefined while memory is full or rows wait to be removed; otherwise to be called when the batch is there. */
  private roomToRead(): (() => void) | undefined {
    return this.options.parking.isBehind ? undefined : this.options.reserve();
  }

  /** What keeps one lane from being read keeps all: they wait together, in their order, for one timer. */
  private readLater(lane: Lane): void {
    this.unread.push(lane);
    this.readSoon();
  }

  private readSoon(): void {
    this.readingAgain ??= this.options.schedule(READ_AGAIN_MS, () => {
      this.readingAgain = undefined;
      const release = this.roomToRead();
      release?.();
      for (let n = 0; release && n < READ_AGAIN_LANES; n++) {
        const lane = this.unread.shift();
        if (!lane) break;
        this.options.again(lane);
      }
      if (this.unread.length > 0) this.readSoon();
      this.dispatch();
    });
  }
}
