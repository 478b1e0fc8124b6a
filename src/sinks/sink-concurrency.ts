import type { SinkConfig } from '../config/sinks.ts';

const DEFAULTS: Readonly<Record<SinkConfig['type'], number>> = { discard: 64, stdout: 1, webhook: 16, realtime: 16 };

/** Batches in flight at once, which for a sink over HTTP is also the number of its connections. */
export function concurrencyOf(config: SinkConfig): number {
  return config.concurrency ?? DEFAULTS[config.type];
}
