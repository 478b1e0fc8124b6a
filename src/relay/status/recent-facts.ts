/** Facts of the database for the metrics: a scrape must be quick, also when a hundred thousand rows are counted. */
import type pg from 'pg';
import type { Clock, Timer } from '../../clock.ts';
import type { Lsn } from '../../lsn.ts';
import { type DatabaseFacts, NO_FACTS, readDatabaseFacts } from './database-facts.ts';

/** Reading that takes longer is not waited for, when there is an answer already. */
const QUICK_MS = 20;
/** An older answer counts as unknown. */
const GOOD_FOR_MS = 60_000;

export interface FactsSource {
  readonly pool: pg.Pool;
  readonly slot: string;
}

/** What was read, and when, on the clock that never jumps. */
export interface DatedFacts {
  readonly facts: DatabaseFacts;
  readonly at: number;
}

interface Read extends DatedFacts {
  readonly pool: pg.Pool;
  readonly took: number;
}

export class RecentFacts {
  private readonly clock: Clock;
  private last: Read | undefined;
  private reading: Promise<Read> | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Fresh facts where reading is quick; otherwise those of the last call, while new ones are read for the next one. */
  async read(source: FactsSource, received: Lsn | undefined): Promise<DatedFacts> {
    const { last, clock } = this;
    this.reading ??= this.readNow(source, received).finally(() => (this.reading = undefined));
    const isGood = last?.pool === source.pool && clock.now() - last.at < GOOD_FOR_MS;
    if (!last || !isGood) return this.reading;
    return last.took > QUICK_MS ? last : this.soonOr(last, this.reading);
  }

  /** A reading that was quick before may be slow now. */
  private async soonOr(last: Read, reading: Promise<Read>): Promise<Read> {
    let timer: Timer | undefined;
    const late = new Promise<Read>((resolve) => {
      timer = this.clock.schedule(QUICK_MS, () => resolve(last));
    });
    try {
      return await Promise.race([reading, late]);
    } finally {
      timer?.cancel();
    }
  }

  /** Never rejects: a database that does not answer leaves its part unknown. */
  private async readNow({ pool, slot }: FactsSource, received: Lsn | undefined): Promise<Read> {
    const at = this.clock.now();
    const facts = await readDatabaseFacts(pool, slot, { received, numbersOnly: true }).catch(() => NO_FACTS);
    this.last = { facts, at, pool, took: facts === NO_FACTS ? 0 : this.clock.now() - at };
    return this.last;
  }
}
