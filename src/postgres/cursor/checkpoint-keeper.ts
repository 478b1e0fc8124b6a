import { LSN_ZERO, maxLsn, type Lsn } from '../../lsn.ts';
import type { CheckpointStore } from './checkpoints.ts';

export interface CheckpointKeeperOptions {
  readonly store: Pick<CheckpointStore, 'settle' | 'thin'>;
  /** Takes one; undefined when none may be taken now. */
  readonly take: () => Promise<Lsn | undefined>;
  /** Everything before it is settled. */
  readonly watermark: () => Lsn;
}

/** Checkpoints between two clearances of old ones. */
const THIN_EVERY = 60;

/**
 * Takes checkpoints while events flow, and settles them as the watermark passes. When nothing of ours arrives it rests,
 * since its own rows would otherwise be the only thing that keeps the WAL moving.
 */
export class CheckpointKeeper {
  private readonly options: CheckpointKeeperOptions;
  private eventful = false;
  /** Some may wait to be settled; at first those of earlier connections. */
  private pending = true;
  private newest: Lsn = LSN_ZERO;
  private settledTo: Lsn = LSN_ZERO;
  private taken = 0;

  constructor(options: CheckpointKeeperOptions) {
    this.options = options;
  }

  /** Events have arrived. */
  received(): void {
    this.eventful = true;
  }

  /** Does what there is to do; called again and again. */
  async round(): Promise<void> {
    const { store, take, watermark } = this.options;
    const reached = watermark();
    if (this.pending && reached > this.settledTo) {
      await store.settle(reached);
      this.settledTo = reached;
      this.pending = this.newest > reached;
    }
    if (!this.eventful) return;
    const taken = await take();
    if (taken === undefined) return;
    this.newest = maxLsn(this.newest, taken);
    this.eventful = false;
    this.pending = true;
    this.taken += 1;
    if (this.taken % THIN_EVERY === 1) await store.thin();
  }
}
