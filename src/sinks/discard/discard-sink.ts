import { DELIVERED, type Sink } from '../../pipeline.ts';

/** Drops every event. Used to measure what the rest of the pipeline costs. */
export function createDiscardSink(): Sink {
  return {
    deliver: () => Promise.resolve(DELIVERED),
    close: () => Promise.resolve(),
  };
}
