import type { SinkContext } from '../sink-context.ts';

/** What the probe of a sink is given. A probe asks whether the destination would take deliveries, and sends no event. */
export interface ProbeContext extends Pick<SinkContext, 'name' | 'clock'> {
  /** Aborts when the destination had its time. */
  readonly signal: AbortSignal;
}
