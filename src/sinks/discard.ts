import { DELIVERED, type Sink } from '../pipeline.ts';

/** Takes every event and drops it: what the rest of the pipeline costs. */
export function createDiscardSink(): Sink {
  return {
    deliver: () => Promise.resolve(DELIVERED),
    close: () => Promise.resolve(),
  };
}
