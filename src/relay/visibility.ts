import { asDefect } from '../errors.ts';
import { currentSnapshot, seesXid } from '../postgres/snapshot.ts';
import type { RelayOptions } from './dependencies.ts';
import { VisibilityGate } from '../router/timing/visibility-gate.ts';

export interface VisibilityOptions extends Pick<RelayOptions, 'config' | 'log' | 'clock' | 'term'> {
  readonly onVisible: () => void;
  /** Aborted when `onVisible` throws. */
  readonly failure: AbortController;
}

/** The visibility gate, with snapshots of this server. */
export function visibilityGate({ config, log, clock, term, failure, onVisible }: VisibilityOptions): VisibilityGate {
  return new VisibilityGate({
    enabled: config.delivery.wait_visible,
    takeSnapshot: async () => {
      const snapshot = await currentSnapshot(term.controlPool);
      return (xid) => seesXid(snapshot, xid);
    },
    clock,
    onVisible: () => {
      try {
        onVisible();
      } catch (error) {
        failure.abort(asDefect(error));
      }
    },
    onError: (message) => log.warn(`visibility cannot be checked, deliveries wait: ${message}`),
  });
}
