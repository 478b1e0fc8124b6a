/**
 * From a sink's configuration to the sink: the second of the two tables of sinks. The first one is
 * src/config/sinks/sinks.ts. CONTRIBUTING.md says how to add a type.
 *
 * A type is imported when the first sink of it is created. So the client of a destination that is not configured need not
 * be installed, and is never loaded.
 */
import type { SinkConfig, SinkConfigOf } from '../config/sinks/sinks.ts';
import { WalpostError } from '../errors.ts';
import type { Sink, Verdict } from '../pipeline.ts';
import type { LiveSinkContext } from './live/live-sink.ts';
import type { EndpointSinkContext } from './webhook/endpoint-sink.ts';
import type { ProbeContext } from './probe-context.ts';

/** What the types of sinks are given beside what every sink gets. */
type AnySinkContext = LiveSinkContext & EndpointSinkContext;

interface SinkType<C extends SinkConfig> {
  /** Packages that are not dependencies of walpost, with the version that works: `name@6`. The user installs them. */
  readonly packages?: readonly string[];
  readonly load: () => Promise<(config: C, context: AnySinkContext) => Sink | Promise<Sink>>;
  /** Asks whether the destination would take deliveries: `delivered` when it would. It sends no event. */
  readonly probe?: () => Promise<(config: C, context: ProbeContext) => Promise<Verdict>>;
}

const TYPES: { readonly [T in SinkConfig['type']]: SinkType<SinkConfigOf<T>> } = {
  discard: { load: async () => (await import('./discard/discard-sink.ts')).createDiscardSink },
  stdout: { load: async () => (await import('./stdout/stdout-sink.ts')).createStdoutSink },
  webhook: { load: async () => (await import('./webhook/webhook-sink.ts')).createWebhookSink },
  live: { load: async () => (await import('./live/live-sink.ts')).createLiveSink },
  realtime: {
    load: async () => (await import('./realtime/realtime-sink.ts')).createRealtimeSink,
    probe: async () => (await import('./realtime/realtime-probe.ts')).probeRealtime,
  },
  bullmq: {
    packages: ['bullmq@6', 'ioredis@6'],
    load: async () => (await import('./bullmq/bullmq-sink.ts')).createBullmqSink,
    probe: async () => (await import('./redis/redis-probe.ts')).probeRedis,
  },
  postgres: {
    load: async () => (await import('./postgres/postgres-sink.ts')).createPostgresSink,
    probe: async () => (await import('./postgres/postgres-probe.ts')).probePostgres,
  },
  redis: {
    packages: ['ioredis@6'],
    load: async () => (await import('./redis/redis-sink.ts')).createRedisSink,
    probe: async () => (await import('./redis/redis-probe.ts')).probeRedis,
  },
  custom: { load: async () => (await import('./custom/custom-sink.ts')).createCustomSink },
  rabbitmq: {
    packages: ['amqplib'],
    load: async () => (await import('./rabbitmq/rabbitmq-sink.ts')).createRabbitmqSink,
    probe: async () => (await import('./rabbitmq/rabbitmq-probe.ts')).probeRabbitmq,
  },
  nats: {
    packages: ['@nats-io/transport-node', '@nats-io/jetstream'],
    load: async () => (await import('./nats/nats-sink.ts')).createNatsSink,
    probe: async () => (await import('./nats/nats-probe.ts')).probeNats,
  },
  slack: {
    load: async () => (await import('./slack/slack-sink.ts')).createSlackSink,
    probe: async () => (await import('./slack/slack-probe.ts')).probeSlack,
  },
  kafka: {
    packages: ['@platformatic/kafka@2'],
    load: async () => (await import('./kafka/kafka-sink.ts')).createKafkaSink,
    probe: async () => (await import('./kafka/kafka-probe.ts')).probeKafka,
  },
  email: {
    packages: ['nodemailer'],
    load: async () => (await import('./email/email-sink.ts')).createEmailSink,
    probe: async () => (await import('./email/email-probe.ts')).probeSmtp,
  },
};

/** Creates the sink; CONFIG_INVALID when its options do not go together, SINK_PACKAGE_MISSING when a client is missing. */
export function createSink(config: SinkConfig, context: AnySinkContext): Promise<Sink> {
  const { packages = [], load } = TYPES[config.type] as SinkType<SinkConfig>;
  return orNameMissing(packages, config.type, async () => (await load())(config, context));
}

/** What the destination's own probe says; undefined for a type that has none. Throws SINK_PACKAGE_MISSING. */
export async function probeOfSink(config: SinkConfig, context: ProbeContext): Promise<Verdict | undefined> {
  const { packages = [], probe } = TYPES[config.type] as SinkType<SinkConfig>;
  if (probe === undefined) return undefined;
  return orNameMissing(packages, config.type, async () => (await probe())(config, context));
}

/** Packages that the user installs for a sink of this type. */
export function packagesOf(type: SinkConfig['type']): readonly string[] {
  return TYPES[type].packages ?? [];
}

/** Runs what imports the packages. When that fails because one of them is not installed, the error names it. */
export async function orNameMissing<T>(packages: readonly string[], type: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    for (const wanted of packages) {
      const name = wanted.replace(/(?<=.)@[^@/]*$/, '');
      if (await isInstalled(name)) continue;
      throw new WalpostError('SINK_PACKAGE_MISSING', {
        detail: `A sink of type ${type} needs ${name}.`,
        remedy: `npm install ${wanted}`,
        cause: error,
      });
    }
    throw error;
  }
}

async function isInstalled(name: string): Promise<boolean> {
  try {
    await import(name);
    return true;
  } catch (error) {
    return !isNotFound(error);
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
}
