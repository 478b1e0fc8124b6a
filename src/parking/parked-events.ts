/** Parked events, as the router sees them. Inserts and removals are queued until they succeed; reads are made at once. */
import { pause, type Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Event } from '../event.ts';
import type { Lsn } from '../lsn.ts';
import type { Logger } from '../observe/log.ts';
import { stallRemedy } from '../observe/stall-remedy.ts';
import type { Stall } from '../observe/status-report.ts';
import type { LaneName, PageLimits, ParkedPage, ParkingLot } from '../pipeline.ts';
import { sqlStateOf } from '../postgres/sqlstate.ts';
import type { DeadLetterStore } from './dead-letter-store.ts';
import { DurableQueue } from './durable-queue.ts';
import type { ParkedStore, ParkRequest } from './parked-store.ts';

export interface ParkedEventsOptions {
  readonly store: ParkedStore;
  /** Takes an event whose content the server refuses to park. */
  readonly deadLetters: DeadLetterStore;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error' | 'warn'>;
  /** Where the events of jobs take their place: what was received is earlier. */
  readonly placeOfJobs: () => Lsn;
  /** Further writes are pointless: this process is not the leader any more. */
  readonly onLost: (error: unknown) => void;
}

interface DiscardRequest {
  readonly lane: LaneName;
  readonly upTo: Lsn;
}

const READ_AGAIN_MS = 1_000;
const ID_BYTES = 8;
const NOTHING: ParkedPage = { events: [], last: null };

export class ParkedEvents implements ParkingLot {
  private readonly options: ParkedEventsOptions;
  /** In the order in which they were asked for: what is parked before a discard goes, what is parked after it stays. */
  private readonly inserts: DurableQueue<ParkRequest | DiscardRequest>;
  private readonly removals: DurableQueue<string>;
  private readonly closing = new AbortController();

  constructor(options: ParkedEventsOptions) {
    const { store, clock, placeOfJobs, onLost } = options;
    const onStall = (message: string, waiting: number): void => this.logStall(message, waiting);
    this.options = options;
    this.inserts = new DurableQueue({
      writer: {
        write: async (requests) => {
          for (const run of runsOf(requests)) {
            if ('upTo' in run) await store.discard(run.lane, run.upTo);
            else await store.insert(run, { placeOfJobs: placeOfJobs(), now: clock.now() });
          }
        },
        writeReduced: async (request, refusal) => {
          if ('upTo' in request) throw refusal;
          await this.giveUp(request, refusal);
        },
        sizeOf: (request) => ('upTo' in request ? ID_BYTES : request.event.size),
      },
      clock,
      onStall,
      onLost,
    });
    const writer = { write: (ids: readonly string[]) => store.remove(ids), sizeOf: () => ID_BYTES };
    this.removals = new DurableQueue({ writer, clock, onStall, onLost });
  }

  park({ sink, lane }: LaneName, events: readonly Event[], stored: () => void): void {
    const one = afterAll(events.length, stored);
    for (const event of events) this.inserts.add({ sink, lane, event }, one);
  }

  /** The lane ended there: what it has in the table, or on its way there, is for nobody. Calls back once it is gone. */
  discard(lane: LaneName, upTo: Lsn, discarded: () => void): void {
    this.inserts.add({ lane, upTo }, discarded);
  }

  async read(lane: LaneName, after: string | null, limits: PageLimits): Promise<ParkedPage> {
    const { store, clock } = this.options;
    while (!this.closing.signal.aborted) {
      try {
        return await store.read(lane, { ...limits, after, now: clock.now() });
      } catch (error) {
        if (this.closing.signal.aborted) break;
        this.logStall(messageOf(error), 1);
        await pause(clock, READ_AGAIN_MS, this.closing.signal);
      }
    }
    return NOTHING;
  }

  remove(events: readonly Event[], removed: () => void): void {
    const one = afterAll(events.length, removed);
    for (const { parkedId } of events) {
      if (parkedId === null) throw new Error('only a parked event can be removed');
      this.removals.add(parkedId, one);
    }
  }

  get stalls(): readonly Stall[] {
    return [...this.inserts.stallsOf('parking'), ...this.removals.stallsOf('removing delivered events')];
  }

  close(): void {
    this.closing.abort();
    this.inserts.close();
    this.removals.close();
  }

  private async giveUp({ sink, lane, event: item }: ParkRequest, refusal: unknown): Promise<void> {
    const { log, deadLetters } = this.options;
    log.warn(
      { sink, event_id: item.eventId, sqlstate: sqlStateOf(refusal) },
      'the server cannot store the content of an event, so the event becomes a dead letter',
    );
    await deadLetters.storeInAnyForm({
      item,
      sink,
      lane,
      reason: 'rejected',
      detail: 'it cannot be parked',
      attempts: 0,
    });
  }

  private logStall(message: string, waiting: number): void {
    this.options.log.error(
      { waiting, remedy: stallRemedy(message) },
      `events cannot be parked, the slot waits: ${message}`,
    );
  }
}

/** Inserts that follow each other go together. */
function* runsOf(
  requests: readonly (ParkRequest | DiscardRequest)[],
): Generator<readonly ParkRequest[] | DiscardRequest> {
  let inserts: ParkRequest[] = [];
  for (const request of requests) {
    if (!('upTo' in request)) {
      inserts.push(request);
      continue;
    }
    if (inserts.length > 0) yield inserts;
    inserts = [];
    yield request;
  }
  if (inserts.length > 0) yield inserts;
}

/** To be called that many times; the last call calls `done`. */
function afterAll(count: number, done: () => void): () => void {
  let left = count;
  return () => {
    left -= 1;
    if (left === 0) done();
  };
}
