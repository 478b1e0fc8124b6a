import { asDefect } from '../errors.ts';
import { currentSnapshot, seesXid } from '../postgres/snapshot.ts';
import type { RelayOptions } from './dependencies.ts';
import { sendsAtOnce } from '../router/lanes/departure.ts';
import { VisibilityGate } from '../router/timing/visibility-gate.ts';

export interface VisibilityOptions extends Pick<RelayOptions, 'config' | 'log' | 'clock' | 'term' | 'watcher'> {
  readonly onVisible: () => void;
  /** Aborted when `onVisible` throws. */
  readonly failure: AbortController;
}

/** The visibility gate with snapshots of this server, and how long those who ask wait for it. */
export class MeasuredVisibility {
  readonly gate: VisibilityGate;
  private readonly options: VisibilityOptions;
  private askedAt: number | undefined;

  constructor(options: VisibilityOptions) {
    const { config, log, clock, term } = options;
    this.options = options;
    this.gate = new VisibilityGate({
      enabled: config.delivery.wait_visible,
      asksEarly: sendsAtOnce(config),
      takeSnapshot: async () => {
        const snapshot = await currentSnapshot(term.controlPool);
        return (xid) => seesXid(snapshot, xid);
      },
      clock,
      onVisible: () => this.answered(),
      onError: (message) => log.warn(`visibility cannot be checked, deliveries wait: ${message}`),
    });
  }

  ask(): void {
    this.askedAt ??= this.options.clock.now();
    this.gate.ask();
  }

  private answered(): void {
    const { clock, watcher, onVisible, failure } = this.options;
    const { askedAt } = this;
    this.askedAt = undefined; // what still cannot be seen asks again
    if (askedAt !== undefined) watcher.visibilityWait(clock.now() - askedAt);
    try {
      onVisible();
    } catch (error) {
      failure.abort(asDefect(error));
    }
  }
}
