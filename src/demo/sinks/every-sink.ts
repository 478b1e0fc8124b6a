/** A destination of the demo for each type of sink, or the reason why the demo has none. */
import type { SinkConfig } from '../../config/sinks/sinks.ts';
import { WalpostError } from '../../errors.ts';
import { orNameMissing, packagesOf } from '../../sinks/registry.ts';
import type { DemoPlace, DemoSink } from './demo-sink.ts';
import { findProgram, ServerNotStarted } from './server-program.ts';

/** The webhook is the demo's own receiver, which gets every event. */
export type SinkName = Exclude<SinkConfig['type'], 'webhook'>;

type Open = (place: DemoPlace) => Promise<DemoSink>;
type OpenServer = (place: DemoPlace, program: string) => Promise<DemoSink>;

/** Where a type goes, or why it is left out. */
type Destination =
  | { readonly load: () => Promise<Open> }
  | { readonly program: string; readonly load: () => Promise<OpenServer> }
  | { readonly why: string };

const DESTINATIONS: { readonly [T in SinkName]: Destination } = {
  live: { load: async () => (await import('./live-readers.ts')).openLive },
  realtime: { load: async () => (await import('./realtime-stand-in.ts')).openRealtime },
  slack: { load: async () => (await import('./slack-stand-in.ts')).openSlack },
  email: { load: async () => (await import('./mail-folder.ts')).openMailFolder },
  postgres: { load: async () => (await import('./inbox.ts')).openInbox },
  stdout: { load: async () => (await import('./line-files.ts')).openStdout },
  custom: { load: async () => (await import('./line-files.ts')).openCustom },
  redis: { program: 'redis-server', load: async () => (await import('./redis-stream.ts')).openRedis },
  bullmq: { program: 'redis-server', load: async () => (await import('./bullmq-queue.ts')).openBullmq },
  nats: { program: 'nats-server', load: async () => (await import('./nats-server.ts')).openNats },
  rabbitmq: { program: 'rabbitmq-server', load: async () => (await import('./rabbitmq-server.ts')).openRabbitmq },
  kafka: { why: 'the demo starts no Kafka' },
  discard: { why: 'nothing arrives there' },
};

const NAMES = Object.keys(DESTINATIONS) as SinkName[];

export interface EverySink {
  readonly sinks: ReadonlyMap<SinkName, DemoSink>;
  /** The types that the demo leaves out, with the reason. */
  readonly leftOut: ReadonlyMap<SinkName, string>;
}

/** Opens all at once. What is open when one of them fails is in `opened`, for the caller to close. */
export async function openEverySink(place: DemoPlace, opened: (sink: DemoSink) => void): Promise<EverySink> {
  const outcomes = await Promise.allSettled(
    NAMES.map(async (name) => {
      const sink = await open(name, place);
      if (typeof sink !== 'string') opened(sink);
      return [name, sink] as const;
    }),
  );
  const sinks = new Map<SinkName, DemoSink>();
  const leftOut = new Map<SinkName, string>();
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') throw outcome.reason;
    const [name, sink] = outcome.value;
    if (typeof sink === 'string') leftOut.set(name, sink);
    else sinks.set(name, sink);
  }
  return { sinks, leftOut };
}

/** Returns why the type is left out when its packages or its server are not there. */
async function open(name: SinkName, place: DemoPlace): Promise<DemoSink | string> {
  const destination = DESTINATIONS[name];
  if ('why' in destination) return destination.why;
  try {
    return await orNameMissing(packagesOf(name), name, async () => {
      if (!('program' in destination)) return (await destination.load())(place);
      const program = findProgram(destination.program);
      if (program === undefined) return `no ${destination.program} on this machine`;
      return (await destination.load())(place, program);
    });
  } catch (error) {
    if (error instanceof WalpostError && error.code === 'SINK_PACKAGE_MISSING') return `first: ${error.remedy}`;
    if (error instanceof ServerNotStarted) return `its server does not start: ${error.message}`;
    throw error;
  }
}
