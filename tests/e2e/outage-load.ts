/** Events at a steady rate, in transactions of 1 to 500 rows, and a receiver's check of them that keeps no event. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../src/demo/transaction-plan.ts';
import type { TestDatabase } from '../support/database.ts';
import type { ReceivedBatch } from './event-receiver.ts';

/** Sizes of transactions, each as often as another. */
const SIZES = [1, 1, 1, 10, 10, 100, 500];
const TICK_MS = 10;

export interface LoadOptions {
  readonly organizations: readonly string[];
  /** Transactions run side by side, each writer with organizations of its own. */
  readonly writers: number;
  readonly events: number;
  /** The events are spread over this time. */
  readonly milliseconds: number;
  readonly random: Random;
}

/** The events of an organization are numbered from 0 in the order of their commits. */
export class OutageLoad {
  readonly committed = new Map<string, number>();
  private readonly options: LoadOptions;

  constructor(options: LoadOptions) {
    this.options = options;
  }

  /** Resolves, with the milliseconds it took, when all of it is committed. */
  async write(database: TestDatabase): Promise<number> {
    const { organizations, writers } = this.options;
    const begun = performance.now();
    const shares = Array.from({ length: writers }, (_, i) => organizations.filter((_, place) => place % writers === i));
    await Promise.all(shares.map((share) => this.writeShare(database, share)));
    return performance.now() - begun;
  }

  private async writeShare(database: TestDatabase, ids: readonly string[]): Promise<void> {
    const { random, writers, milliseconds } = this.options;
    const events = Math.floor(this.options.events / writers);
    const client = await database.client();
    const begun = performance.now();
    for (let written = 0; written < events;) {
      const due = Math.min(events, ((performance.now() - begun) / milliseconds) * events);
      if (written >= due) {
        await delay(TICK_MS);
        continue;
      }
      const size = Math.min(SIZES[Math.floor(random() * SIZES.length)] ?? 1, events - written);
      const next = new Map<string, number>();
      const rows = Array.from({ length: size }, () => {
        const id = ids[Math.floor(random() * ids.length)] ?? '';
        const n = next.get(id) ?? this.committed.get(id) ?? 0;
        next.set(id, n + 1);
        return [id, n] as const;
      });
      await client.query(
        `INSERT INTO walpost.outbox (organization_id, event_type, payload)
         SELECT o, 'order.placed', jsonb_build_object('n', n, 'text', repeat('x', 150))
           FROM unnest($1::uuid[], $2::int[]) AS e (o, n)`,
        [rows.map(([id]) => id), rows.map(([, n]) => n)],
      );
      for (const [id, n] of next) this.committed.set(id, n);
      written += size;
    }
  }
}

/** Each event has to come after all that stand before it in its organization; it may come again. */
export class FirstArrivals {
  count = 0;
  repeated = 0;
  readonly faults: string[] = [];
  private readonly next = new Map<string, number>();

  readonly take = ({ organization_id: id, events }: ReceivedBatch): void => {
    for (const { payload } of events) {
      const { n } = payload as { n: number };
      const expected = this.next.get(id) ?? 0;
      if (n < expected) this.repeated += 1;
      else {
        if (n > expected) this.faults.push(`${id}: ${n} before ${expected}`);
        this.next.set(id, n + 1);
        this.count += 1;
      }
    }
  };

  /** Of all these organizations, everything is there. */
  has(committed: ReadonlyMap<string, number>): boolean {
    return this.count === [...committed.values()].reduce((sum, count) => sum + count, 0);
  }

  /** One line for each organization of which something is missing. */
  missing(committed: ReadonlyMap<string, number>): string[] {
    return [...committed].flatMap(([id, count]) => {
      const next = this.next.get(id) ?? 0;
      return next === count ? [] : [`${id}: ${next} of ${count}`];
    });
  }
}
