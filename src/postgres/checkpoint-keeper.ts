import type { Clock, Timer } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { LSN_ZERO, maxLsn, type Lsn } from '../lsn.ts';
import type { CheckpointStore } from './checkpoints.ts';

export interface CheckpointKeeperOptions {
  readonly store: Pick<CheckpointStore, 'take' | 'settle' | 'thin'>;
  readonly clock: Clock;
  /** Milliseconds between two. */
  readonly interval: number;
  /** Everything before it is settled. */
  readonly watermark: () => Lsn;
  readonly onStall: (message: string) => void;
  /** This process is not the leader any more. */
  readonly onLost: (error: WalpostError) => void;
}

/** Rounds between two clearances of old checkpoints. */
const THIN_EVERY = 60;

/**
 * Takes checkpoints while events flow, and settles them as the watermark passes. When nothing of ours arrives it rests,
 * since its own rows would otherwise be the only thing that keeps the WAL moving.
 */
export class CheckpointKeeper {
  private readonly options: CheckpointKeeperOptions;
  private timer: Timer | undefined;
  private eventful = false;
  /** Some may wait to be settled; at first those of earlier connections. */
  private pending = true;
  private newest: Lsn = LSN_ZERO;
  private settledAt: Lsn = LSN_ZERO;
  private rounds = 0;
  private closed = false;

  constructor(options: CheckpointKeeperOptions) {
    this.options = options;
  }

  start(): void {
    this.arm();
  }

  /** Events have arrived. */
  readonly received = (): void => {
    this.eventful = true;
  };

  close(): void {
    this.closed = true;
    this.timer?.cancel();
  }

  private arm(): void {
    if (this.closed) return;
    const { clock, interval, onStall, onLost } = this.options;
    this.timer = clock.schedule(interval, () => {
      this.round()
        .catch((error: unknown) => {
          if (this.closed) return;
          if (error instanceof WalpostError && error.code === 'LEADERSHIP_LOST') onLost(error);
          else onStall(messageOf(error));
        })
        .finally(() => this.arm());
    });
  }

  private async round(): Promise<void> {
    const { store, watermark } = this.options;
    const reached = watermark();
    if (this.pending && reached > this.settledAt) {
      await store.settle(reached);
      this.settledAt = reached;
      this.pending = this.newest > reached;
    }
    if (!this.eventful) return;
    this.eventful = false;
    this.newest = maxLsn(this.newest, await store.take());
    this.pending = true;
    this.rounds += 1;
    if (this.rounds % THIN_EVERY === 1) await store.thin();
  }
}
