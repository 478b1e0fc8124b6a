import type { Clock } from './clock.ts';

/** Takes fields first, then the message: `log.warn({ status }, 'the token has expired')`. */
export interface SinkLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Counters of a sink's own, beside those that walpost keeps of every sink. */
export interface SinkMetrics {
  /**
   * Adds to the counter `walpost_sink_counts_total` with the labels `sink` and `what`. A sink may have 20 values of `what`; more are
   * counted as `other`. Never put an id into it.
   */
  count(what: string, by?: number): void;
}

/** What every sink is given besides its own options. */
export interface SinkContext {
  /** The name of the sink in walpost.yaml. */
  readonly name: string;
  /** The only source of time: a sink that schedules here can be tested without waiting. */
  readonly clock: Clock;
  /** Adds the name of the sink to each line. Secrets, payloads and answers do not belong into the log. */
  readonly log: SinkLog;
  readonly metrics: SinkMetrics;
}
