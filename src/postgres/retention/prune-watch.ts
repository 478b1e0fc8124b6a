/**
 * Whether pruning is worth a look at the outbox, which the relay otherwise never reads.
 *
 * Rows become old enough when a checkpoint does: only a settled checkpoint that has passed the shortest retention since the
 * last look can have made new rows removable. Rows of topics that stay longer, and what grows by the clock alone, partitions
 * ahead and old keys, are looked after now and then.
 */
import type pg from 'pg';
import type { Clock } from '../../clock.ts';
import { databaseError } from '../database-error.ts';

const LOOK_ANYWAY_MS = 3_600_000;

export interface PruneWatchOptions {
  readonly db: Pick<pg.Pool, 'query'>;
  readonly slot: string;
  /** Milliseconds. */
  readonly retention: number;
  readonly clock: Clock;
}

export class PruneWatch {
  private readonly options: PruneWatchOptions;
  private looked: { checkpoint: bigint; at: number };

  constructor(options: PruneWatchOptions) {
    this.options = options;
    this.looked = { checkpoint: 0n, at: options.clock.now() };
  }

  /** True once for each checkpoint that has come of age. */
  async isDue(): Promise<boolean> {
    const now = this.options.clock.now();
    const checkpoint = await this.newestOfAge();
    if (checkpoint <= this.looked.checkpoint && now - this.looked.at < LOOK_ANYWAY_MS) return false;
    this.looked = { checkpoint, at: now };
    return true;
  }

  /** What it was due for did not come about: it is due still. */
  again(): void {
    this.looked = { checkpoint: 0n, at: -Infinity };
  }

  private async newestOfAge(): Promise<bigint> {
    const { db, slot, retention } = this.options;
    try {
      const { rows } = await db.query<{ id: string }>(
        `SELECT coalesce(max(id), 0)::text AS id FROM walpost.checkpoints
          WHERE slot = $1 AND settled_at IS NOT NULL
            AND taken_at < now() - least(make_interval(secs => $2::float8 / 1000),
                                         (SELECT make_interval(secs => 3600 * min(s.value::float8)) FROM walpost.settings AS s
                                           WHERE s.name = 'retention_hours'))`,
        [slot, retention],
      );
      return BigInt(rows[0]?.id ?? '0');
    } catch (error) {
      throw databaseError(error, 'looking whether pruning is due');
    }
  }
}
