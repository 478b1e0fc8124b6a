import type { SinkConfig } from '../config/sinks.ts';

/** Of webhooks so many that a dozen receivers which hang leave enough for the others until their first timeout. */
const DEFAULTS: Readonly<Record<SinkConfig['type'], number>> = { discard: 64, stdout: 1, webhook: 32, realtime: 16 };

/** Batches in flight at once, which for a sink over HTTP is also the number of its connections. */
export function concurrencyOf(config: SinkConfig): number {
  return config.concurrency ?? DEFAULTS[config.type];
}
