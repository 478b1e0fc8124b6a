/**
 * What leaves a sink: lanes that are due have turns, and in each turn one batch is sent, or the next of a parked lane is
 * read and sent.
 */
import type { Timer } from '../../clock.ts';
import { asDefect } from '../../errors.ts';
import type { Event, Origin } from '../../event.ts';
import { Fifo } from '../../fifo.ts';
import { type Batch, MOST_LENT_TURNS, OWN_LANE, type Verdicts } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import type { EarlierFailures } from './earlier-failures.ts';
import type { LaneScheduler } from './lane-scheduler.ts';
import type { LaneParking } from './parking.ts';
import type { LaneResults } from './results.ts';
import { triesOf } from './probe-policy.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';
import type { FailureState } from './failure-policy.ts';
import { FairQueue, type Turn } from './fair-queue.ts';

/** After a read that found nothing while something was on its way, and while nothing more can be read. */
const READ_AGAIN_MS = 20;
/** Maximum of lanes that try again at once after they could not be read: a hundred thousand would keep the process busy. */
const READ_AGAIN_LANES = 1_000;

/** A turn is lent after the milliseconds in which most destinations answer; so many at once at most. */
const LENT = { after: 100, most: MOST_LENT_TURNS };

export interface LaneDispatchOptions extends SinkLanesOptions {
  readonly earlier: EarlierFailures;
  readonly parking: LaneParking;
  readonly results: LaneResults;
  readonly scheduler: LaneScheduler;
}

/** A batch that the destination has, since `at` on the clock that never jumps. */
export interface SentBatch {
  readonly lane: Lane;
  readonly events: readonly Event[];
  readonly at: number;
}

export class LaneDispatch {
  private readonly options: LaneDispatchOptions;
  private readonly turns: FairQueue;
  private readonly sent = new Set<SentBatch>();
  /** The sink is over its rate: nobody has a turn until then. */
  private rateTimer: Timer | undefined;
  /** Parked lanes whose turn came while nothing more could be read. */
  private readonly unread = new Fifo<Lane>();
  private readingAgain: Timer | undefined;
  /** Lanes wait for a turn that can be lent then. */
  private lending: Timer | undefined;

  constructor(options: LaneDispatchOptions) {
    const { destination, rule, clock, accounts } = options;
    this.options = options;
    // What is in flight cannot be parked, so it must leave room in memory.
    const isAllowed = (): boolean => accounts.isHalfFree && destination.isSerial !== true;
    const lending = rule.ownDestinations === true ? { ...LENT, clock, isAllowed } : undefined;
    this.turns = new FairQueue(destination.concurrency, lending);
  }

  get inFlight(): number {
    return this.turns.inFlight;
  }

  /** The batch under way that has an event of this origin; for people, so it looks through all. */
  sentOf(origin: Origin): SentBatch | undefined {
    for (const sent of this.sent) if (sent.events.some((event) => event.origin === origin)) return sent;
    return undefined;
  }

  /** Nothing is on its way, and nobody waits but for the sink's rate. */
  get idle(): boolean {
    return this.inFlight === 0 && (this.rateTimer !== undefined || this.turns.waiting === 0);
  }

  /** The lane is due. */
  add(lane: Lane): void {
    this.turns.add(lane);
  }

  /** Sends while the sink takes batches. */
  dispatch(): void {
    while (!this.pausedByRate()) {
      const lane = this.turns.next();
      if (!lane) return this.lendLater();
      if (lane.phase === 'ready' && !lane.isOver) this.sendFrom(lane); // else it was held since, and this turn is void
    }
  }

  close(): void {
    this.rateTimer?.cancel();
    this.readingAgain?.cancel();
    this.lending?.cancel();
  }

  private lendLater(): void {
    const at = this.turns.lendsAt;
    if (at === undefined) return;
    const { clock } = this.options;
    const wait = at - clock.now();
    // One that is due already may not be lent just now.
    this.lending ??= clock.schedule(wait > 0 ? wait : LENT.after, () => {
      this.lending = undefined;
      this.dispatch();
    });
  }

  /** True while the whole sink is over its rate: every lane keeps its place, and a timer goes on. */
  private pausedByRate(): boolean {
    const wait = this.options.limiter?.sinkWait ?? 0;
    if (wait <= 0) return false;
    this.rateTimer ??= this.options.clock.schedule(wait, () => {
      this.rateTimer = undefined;
      this.dispatch();
    });
    return true;
  }

  private sendFrom(lane: Lane): void {
    if (lane.standsStill) return this.options.scheduler.requeue(lane); // it was blocked while it was ready
    if (lane.pendingDeadLetters > 0) return lane.enter('awaiting_dead_letters');
    const { mode, watcher, clock, limiter } = this.options;
    const allowed = limiter?.allowed(lane.organizationId, lane.name) ?? Infinity;
    if (allowed < 1) return this.slowDown(lane);
    if (lane.asksBehind) return this.fetchBehind(lane);
    const { failure } = lane;
    const most = failure ? Math.min(allowed, failure.size) : allowed;
    if (lane.length === 0 && lane.parked) return this.fetch(lane, most);
    const events = this.takeBatch(lane, most);
    const first = events[0];
    if (!first) return this.goOn(lane);
    limiter?.spend(lane.organizationId, events.length, lane.name);
    if (!failure && first.parkedId === null) {
      watcher.windowWait(Math.max(0, clock.now() - lane.closesAt + this.options.window));
    }
    if (mode === 'leading_edge') lane.gatherUntil(this.options.scheduler.openWindow(lane));
    this.send(lane, this.batchOf(lane, events, first), (verdicts) =>
      this.options.results.returned(lane, events, verdicts),
    );
  }

  /** What its failure and its rate leave of a full batch, without what is too old; empty when nothing can be sent now. */
  private takeBatch(lane: Lane, most: number): readonly Event[] {
    const { results, limits } = this.options;
    const bounds = most < limits.maxEvents ? { ...limits, maxEvents: most } : limits;
    let taken = lane.take(bounds);
    let due = results.withoutExpired(lane, taken);
    while (due.length === 0 && taken.length > 0) {
      taken = lane.take(bounds);
      due = results.withoutExpired(lane, taken);
    }
    return due;
  }

  /** It had its turn, and nothing that it could send. */
  private goOn(lane: Lane): void {
    const { scheduler, results } = this.options;
    if (lane.length > 0) {
      lane.enter('awaiting_visibility');
      return scheduler.awaitVisible(lane);
    }
    if (lane.parked) return scheduler.proceed(lane);
    results.forgetFailure(lane);
    lane.enter('idle');
    scheduler.release(lane);
  }

  /** The event behind the refused ones, alone. */
  private sendProbe(lane: Lane, event: Event, place: string): void {
    const { limiter, results } = this.options;
    limiter?.spend(lane.organizationId, 1, lane.name);
    this.send(lane, this.batchOf(lane, [event], event), (verdicts) =>
      results.probing.probed(lane, { event, place, verdicts }),
    );
  }

  /** A lane over its own rate waits, without a failure. When the whole sink is over its rate, the lane is queued again. */
  private slowDown(lane: Lane): void {
    const wait = this.options.limiter?.laneWait(lane.organizationId, lane.name) ?? 0;
    if (wait > 0) this.options.scheduler.backOff(lane, wait);
    else this.options.scheduler.requeue(lane);
  }

  private batchOf(lane: Lane, events: readonly Event[], first: Event): Batch {
    const { organizationId, failure, name } = lane;
    const { job } = first.origin;
    const attempt = (failure ? attemptOf(failure, first) : 1) + this.options.earlier.attempts(lane);
    const batch = job === null ? { organizationId, events, attempt } : { organizationId, events, attempt, job };
    return name === OWN_LANE ? batch : { ...batch, lane: name };
  }

  private send(lane: Lane, batch: Batch, back: (verdicts: Verdicts) => void): void {
    const { destination, signal, clock } = this.options;
    lane.enter('sending');
    const turn = this.turns.take(lane, { sends: true });
    const sent = { lane, events: batch.events, at: clock.now() };
    this.sent.add(sent);
    const cameBack = (verdicts: Verdicts): void => {
      this.sent.delete(sent);
      this.endTurn(turn, lane.isOver ? () => this.options.accounts.dropped(batch.events) : back, verdicts);
    };
    // A destination never rejects; if it does, the connection ends, and this dispatch with it.
    void destination.deliver(batch, signal).then(cameBack, (error) => this.endTurn(turn, this.fail, error));
  }

  /** Reads the next batch of a parked lane, which then has this turn. */
  private fetch(lane: Lane, most: number): void {
    this.fetchBy(
      lane,
      () => this.options.parking.read(lane, most),
      (events) => {
        this.options.accounts.read(events);
        lane.putBack(events, lane.length);
        if (events.length > 0) this.sendFrom(lane);
        else if (lane.parked) this.options.scheduler.backOff(lane, READ_AGAIN_MS);
        else this.options.scheduler.proceed(lane);
      },
    );
  }

  /** Reads the next event that is to be tried although those before it are refused. */
  private fetchBehind(lane: Lane): void {
    const { probing } = this.options.results;
    this.fetchBy(
      lane,
      () => probing.read(lane),
      (page) => {
        this.options.accounts.read(page.events);
        const event = probing.chosen(lane, page);
        if (event && lane.standsStill) this.keepBack(lane, event);
        else if (event) this.sendProbe(lane, event, page.last ?? '');
      },
    );
  }

  /** It was paused while the event was read. */
  private keepBack(lane: Lane, event: Event): void {
    this.options.parking.letGo([event]);
    this.options.scheduler.proceed(lane);
  }

  private fetchBy<T>(lane: Lane, read: () => Promise<T>, then: (found: T) => void): void {
    const { destination } = this.options;
    if (lane.leadingJob !== null) return lane.enter('idle');
    const wait = Math.max(destination.closedFor, this.options.parking.canRead(lane) ? 0 : READ_AGAIN_MS);
    if (wait > 0) return this.options.scheduler.backOff(lane, wait);
    const release = this.roomToRead();
    if (!release) return this.readLater(lane);
    lane.enter('reading');
    const turn = this.turns.take(lane, { sends: false });
    const goOn = (found: T): void => (lane.isOver ? undefined : then(found));
    const cameBack = (found: T): void => {
      release();
      this.endTurn(turn, goOn, found);
    };
    void read().then(cameBack, (error) => this.endTurn(turn, this.fail, error));
  }

  /** What was sent or read is back. No caller waits for this function, so it must not throw. */
  private endTurn<T>(turn: Turn, then: (found: T) => void, found: T): void {
    const { signal, onIdle } = this.options;
    try {
      this.turns.giveBack(turn);
      if (!signal.aborted) {
        then(found);
        this.dispatch();
      }
      onIdle();
    } catch (error) {
      this.fail(error);
    }
  }

  private readonly fail = (error: unknown): void => this.options.failure.abort(asDefect(error));

  /** Undefined while memory is full, or thousands of rows wait to be removed; otherwise to be called when the batch is there. */
  private roomToRead(): (() => void) | undefined {
    return this.options.parking.isBehind ? undefined : this.options.accounts.reserve();
  }

  /** What keeps one lane from being read keeps all: they wait together, in their order, for one timer. */
  private readLater(lane: Lane): void {
    this.unread.push(lane);
    this.readSoon();
  }

  private readSoon(): void {
    this.readingAgain ??= this.options.clock.schedule(READ_AGAIN_MS, () => {
      this.readingAgain = undefined;
      const release = this.roomToRead();
      release?.();
      for (let n = 0; release && n < READ_AGAIN_LANES; n++) {
        const lane = this.unread.shift();
        if (!lane) break;
        if (lane.phase === 'ready') this.options.scheduler.requeue(lane);
      }
      if (this.unread.length > 0) this.readSoon();
      this.dispatch();
    });
  }
}

/** The number of the next try of a batch that begins with this event. */
function attemptOf({ probing, outages, failures }: FailureState, event: Event): number {
  if (probing && probing.step !== 'first') return 1 + triesOf(probing, event);
  return 1 + outages + failures;
}
