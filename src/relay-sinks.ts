import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';
import { GuardedSink, type SinkHooks } from './sinks/guarded-sink.ts';
import { createSink } from './sinks/registry.ts';
import { concurrencyOf } from './sinks/sink-concurrency.ts';

interface SinkSurroundings {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly onAttempt: NonNullable<SinkHooks['onAttempt']>;
}

const BREAKER = {
  open: 'is open: too many organizations get nothing delivered there, so their events wait or are parked',
  half_open: 'is half open: one batch goes as a probe',
  closed: 'is closed again: everything is delivered',
};

/** Every sink of the configuration behind its guard, in the order of the file. */
export async function openSinks(config: Config, around: SinkSurroundings): Promise<readonly GuardedSink[]> {
  const { clock, metrics, log, onAttempt } = around;
  const opened: GuardedSink[] = [];
  try {
    for (const [name, sinkConfig] of Object.entries(config.sinks)) {
      const sink = await createSink(sinkConfig, { name, clock });
      opened.push(
        new GuardedSink({
          name,
          sink,
          concurrency: concurrencyOf(sinkConfig),
          timeout: sinkConfig.timeout ?? config.delivery.timeout,
          breaker: config.delivery.breaker,
          clock,
          hooks: {
            onRequest: (request) => metrics.request(request.sink, request.outcome, request.seconds),
            onAttempt,
            onBreaker: (name, state) => log.warn({ sink: name, state }, `the breaker of ${name} ${BREAKER[state]}`),
          },
        }),
      );
    }
  } catch (error) {
    await Promise.all(opened.map((sink) => sink.close()));
    throw error;
  }
  return opened;
}
