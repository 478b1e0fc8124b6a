import type { Destination } from '../pipeline.ts';

export interface Detour extends Partial<Pick<Destination, 'deliver' | 'laneRule'>> {
  isSerial?(): boolean;
}

/** The same destination, reached in another way. What it says of itself changes, so it is asked each time. */
export function rerouted(destination: Destination, { deliver, laneRule, isSerial }: Detour): Destination {
  const rule = laneRule ?? destination.laneRule;
  return {
    name: destination.name,
    concurrency: destination.concurrency,
    get closedFor() {
      return destination.closedFor;
    },
    get isSerial() {
      return isSerial ? isSerial() : destination.isSerial === true;
    },
    ...(rule && { laneRule: rule }),
    deliver: deliver ?? ((batch, signal) => destination.deliver(batch, signal)),
  };
}
