import { idleSinks, idleSinkText } from '../config/idle-sinks.ts';
import { loopbackWarnings } from '../config/sinks/endpoint-checks.ts';
import { breakerLog } from '../observe/breaker-log.ts';
import { GuardedSink, type SinkHooks } from '../sinks/guard/guarded-sink.ts';
import type { LiveChannels } from '../sinks/live/live-sink.ts';
import { createSink } from '../sinks/registry.ts';
import type { RelayDependencies } from './dependencies.ts';
import type { EndpointService } from './endpoint-service.ts';

interface OpenSinksOptions extends RelayDependencies {
  readonly onAttempt: NonNullable<SinkHooks['onAttempt']>;
  readonly endpoints: EndpointService;
  /** Of the sink of type live. */
  readonly channels: LiveChannels | undefined;
}

/** Every sink of the configuration behind its guard, in the order of the file. */
export async function openSinks(options: OpenSinksOptions): Promise<readonly GuardedSink[]> {
  const { config, clock, metrics, log, traces, onAttempt, channels, endpoints } = options;
  const opened: GuardedSink[] = [];
  for (const name of idleSinks(config)) log.warn({ sink: name }, `sinks.${name}: ${idleSinkText(name)}`);
  for (const { path, message } of loopbackWarnings(config.sinks))
    log.warn({ sink: path[1] }, `${path.join('.')} ${message}`);
  try {
    for (const [name, sinkConfig] of Object.entries(config.sinks)) {
      const sink = await createSink(sinkConfig, {
        name,
        clock,
        log: log.child({ sink: name }),
        channels,
        endpoints,
        metrics: { count: (what, by = 1) => metrics.sinkCounted(name, what, by) },
      });
      opened.push(
        new GuardedSink({
          name,
          sink,
          concurrency: sinkConfig.concurrency,
          timeout: sinkConfig.timeout ?? config.delivery.timeout,
          breaker: endpoints.ruleOf(name) ? null : config.delivery.breaker, // one endpoint says nothing of another
          clock,
          traces,
          hooks: {
            onRequest: (request) => metrics.request(request.sink, request.outcome, request.seconds),
            onAttempt,
            onBreaker: breakerLog({ name, clock, log }),
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
