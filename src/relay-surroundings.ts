import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';

/** What a relay finds in its process. */
export interface RelaySurroundings {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** On a first start: also send the rows that are there already. */
  readonly deliverExisting?: boolean;
}
