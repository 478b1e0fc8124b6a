/**
 * What the relay keeps in Postgres for later: parked events, dead letters, and which lanes wait for a person or are paused.
 *
 * Operators change these tables too, and a notification tells the relay to read them again. Its content is not trusted,
 * since any role may send one.
 */
import { type Lsn, MAX_LSN, maxLsn } from '../lsn.ts';
import type { Stall } from '../observe/status-report.ts';
import { CanaryArrivals } from '../parking/canary-arrivals.ts';
import { ChangePositions } from '../parking/change-positions.ts';
import { readBlockedLanes } from '../parking/blocked-lanes.ts';
import { DeadLetterQueue } from '../parking/dead-letter-queue.ts';
import { DeadLetterStore } from '../parking/dead-letter-store.ts';
import { OperatorWatch } from '../parking/operator-watch.ts';
import { PauseNews } from '../observe/pause-news.ts';
import { readPauses } from '../parking/pauses.ts';
import { adoptParkedSinks } from '../parking/parked-sinks.ts';
import { readFailingLanes } from '../parking/lane-records.ts';
import { ParkedStore } from '../parking/parked-store.ts';
import { ParkedEvents } from '../parking/parked-events.ts';
import { takeRetryRequests, WAKE_CHANNEL } from '../parking/retry-requests.ts';
import { Listener } from '../postgres/listener.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import type { RelayOptions } from './dependencies.ts';
import type { LaneName } from '../pipeline.ts';
import type { Router } from '../router/router.ts';

export interface StoredEventsOptions extends Pick<RelayOptions, 'config' | 'log' | 'clock' | 'term' | 'endpoints'> {
  /** Where the events of jobs take their place among the parked ones. */
  readonly placeOfJobs: () => Lsn;
  readonly fail: (error: unknown) => void;
}

export class StoredEvents implements AsyncDisposable {
  readonly lot: ParkedEvents;
  readonly letters: DeadLetterQueue;
  readonly canaries: CanaryArrivals;
  /** Which changes of endpoints the slot has brought. */
  readonly changes: ChangePositions;
  private readonly options: StoredEventsOptions;
  private readonly parked: ParkedStore;
  private readonly pauses: PauseNews;
  private listener: Listener | undefined;
  private watch: OperatorWatch | undefined;

  constructor(options: StoredEventsOptions) {
    const { config, log, clock, term, placeOfJobs, fail: onLost } = options;
    this.options = options;
    const store = new DeadLetterStore(term.pool, term.cursor);
    this.letters = new DeadLetterQueue({ store, clock, log, onLost });
    this.canaries = new CanaryArrivals({ pool: term.pool, cursor: term.cursor, clock, log, onLost });
    this.changes = new ChangePositions({ pool: term.pool, cursor: term.cursor, clock, log, onLost });
    this.pauses = new PauseNews(log);
    this.parked = new ParkedStore(term.pool, term.cursor, config.source.table !== OWN_TABLE);
    this.lot = new ParkedEvents({ store: this.parked, deadLetters: store, clock, log, placeOfJobs, onLost });
  }

  /** Before the stream: what waits in Postgres is older than anything that the slot will send. */
  async restore(router: Router): Promise<void> {
    const { term, config, clock, endpoints } = this.options;
    await adoptParkedSinks(term.pool, term.cursor, config.sinks);
    router.pause(this.pauses.told(await readPauses(term.pool, term.slot)));
    const isLeft = (lane: LaneName): boolean => !endpoints.hasEnded(lane);
    const parked = (await this.parked.lanes()).map((lane) => {
      const at = endpoints.comesAgainAt(lane);
      return at === null ? lane : { ...lane, redeliveredUntil: maxLsn(at, lane.redeliveredUntil ?? at) };
    });
    for (const lane of parked) {
      // What the stream brings again may hold the change that made the endpoint.
      if (lane.redeliveredUntil === null && !isLeft(lane)) this.lot.discard(lane, MAX_LSN, () => undefined);
    }
    router.restore(
      parked.filter((lane) => lane.redeliveredUntil !== null || isLeft(lane)),
      await readBlockedLanes(term.pool, term.slot),
      (await readFailingLanes(term.pool, term.slot, clock)).filter(isLeft),
    );
  }

  /** Follows what operators change from here on. */
  start(router: Router): void {
    const { config, clock, term, log } = this.options;
    const watch = new OperatorWatch({
      clock,
      check: () => this.check(router),
      onError: (message) => log.warn(`cannot read what operators have changed, trying again: ${message}`),
    });
    this.watch = watch;
    this.listener = new Listener({
      url: config.database.url,
      applicationName: 'walpost wake',
      channel: WAKE_CHANNEL,
      clock,
      onMessage: (slot) => slot === term.slot && watch.notify(),
      onListening: () => watch.notify(),
      onError: (message) =>
        log.warn(`LISTEN has failed; until it works again, changes by operators are not noticed: ${message}`),
    });
  }

  /** Writes that fail at present. The slot waits for them. */
  get stalls(): readonly Stall[] {
    return [...this.lot.stalls, ...this.letters.stalls, ...this.canaries.stalls, ...this.changes.stalls];
  }

  close(): void {
    this.watch?.close();
    this.letters.close();
    this.canaries.close();
    this.changes.close();
    this.lot.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.listener?.[Symbol.asyncDispose]();
    await this.watch?.[Symbol.asyncDispose]();
  }

  /** Pauses and wakes what operators have asked for, and unblocks lanes whose dead letters are gone. */
  private async check(router: Router): Promise<void> {
    const { term } = this.options;
    const requests = await takeRetryRequests(term.pool, term.cursor);
    const paused = await readPauses(term.pool, term.slot);
    const blocked = router.blocked();
    const still = blocked.length > 0 ? await readBlockedLanes(term.pool, term.slot) : [];
    if (this.watch?.closed) return;
    router.pause(this.pauses.told(paused));
    for (const lane of requests) router.wake(lane);
    if (blocked.length > 0) router.unblock(blocked, still);
  }
}
