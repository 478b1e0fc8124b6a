/** Parked events, as the router sees them: inserts and removals happen when they can, reads when there is something to do. */
import { pause, type Clock } from '../clock.ts';
import { messageOf, type WalpostError } from '../errors.ts';
import type { Event } from '../event.ts';
import type { Lsn } from '../lsn.ts';
import type { Stall } from '../observe/status-report.ts';
import type { LaneName, PageLimits, ParkedPage, ParkingLot as Lot } from '../pipeline.ts';
import { DurableQueue } from './durable-queue.ts';
import type { ParkedStore, ParkRequest } from './parked-store.ts';

export interface ParkingLotOptions {
  readonly store: ParkedStore;
  readonly clock: Clock;
  /** What the connection has received by now. */
  readonly received: () => Lsn;
  readonly onStall: (message: string, waiting: number) => void;
  readonly onLost: (error: WalpostError) => void;
}

const READ_AGAIN_MS = 1_000;
const NOTHING: ParkedPage = { events: [], last: null };

export class ParkingLot implements Lot {
  private readonly options: ParkingLotOptions;
  private readonly inserts: DurableQueue<ParkRequest>;
  private readonly removals: DurableQueue<string>;
  private readonly closing = new AbortController();

  constructor(options: ParkingLotOptions) {
    const { store, clock, received } = options;
    this.options = options;
    this.inserts = new DurableQueue({
      ...options,
      write: (requests) => store.insert(requests, { received: received(), now: clock.now() }),
      sizeOf: ({ event }) => event.size,
    });
    this.removals = new DurableQueue({ ...options, write: (ids) => store.remove(ids), sizeOf: () => 8 });
  }

  park(sink: string, events: readonly Event[], stored: () => void): void {
    let left = events.length;
    const one = (): void => {
      left -= 1;
      if (left === 0) stored();
    };
    for (const event of events) this.inserts.add({ sink, event }, one);
  }

  async read(lane: LaneName, after: string | null, limits: PageLimits): Promise<ParkedPage> {
    const { store, clock, onStall } = this.options;
    while (!this.closing.signal.aborted) {
      try {
        return await store.read(lane, { ...limits, after, now: clock.now() });
      } catch (error) {
        if (this.closing.signal.aborted) break;
        onStall(messageOf(error), 1);
        await pause(clock, READ_AGAIN_MS, this.closing.signal);
      }
    }
    return NOTHING;
  }

  remove(events: readonly Event[], removed: () => void): void {
    let left = events.length;
    const one = (): void => {
      left -= 1;
      if (left === 0) removed();
    };
    for (const { parkedId } of events) {
      if (parkedId === null) throw new Error('only a parked event can be removed');
      this.removals.add(parkedId, one);
    }
  }

  get stalls(): readonly Stall[] {
    const { inserts, removals } = this;
    return [
      ...stallOf('parking', inserts.stall, inserts.length),
      ...stallOf('removing delivered events', removals.stall, removals.length),
    ];
  }

  close(): void {
    this.closing.abort();
    this.inserts.close();
    this.removals.close();
  }
}

function stallOf(what: Stall['what'], message: string | undefined, waiting: number): readonly Stall[] {
  return message === undefined ? [] : [{ what, waiting, message }];
}
