import type { Clock } from '../clock.ts';

/** What the registry gives every sink besides its own options. */
export interface SinkContext {
  /** The name in walpost.yaml. */
  readonly name: string;
  readonly clock: Clock;
}
