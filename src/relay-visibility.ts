import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './observe/log.ts';
import { currentSnapshot, seesXid } from './postgres/snapshot.ts';
import type { Ground } from './relay-ground.ts';
import { VisibilityGate } from './router/visibility-gate.ts';

export interface VisibilityOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly ground: Ground;
  readonly onVisible: () => void;
}

/** The gate of the router, asking this server for its snapshots. */
export function visibilityGate({ config, log, clock, ground, onVisible }: VisibilityOptions): VisibilityGate {
  return new VisibilityGate({
    enabled: config.delivery.wait_visible,
    takeSnapshot: async () => {
      const snapshot = await currentSnapshot(ground.express);
      return (xid) => seesXid(snapshot, xid);
    },
    clock,
    onVisible,
    onError: (message) => log.warn(`visibility cannot be checked, deliveries wait: ${message}`),
  });
}
