/**
 * From a sink's configuration to the sink. Each type is imported when the first sink of it is made, so that nobody loads,
 * or has to install, the client of a destination that is not configured.
 */
import type { SinkConfig, SinkConfigOf } from '../config/sinks.ts';
import { WalpostError } from '../errors.ts';
import type { Sink } from '../pipeline.ts';
import type { SinkContext } from './sink-context.ts';

interface SinkType<C extends SinkConfig> {
  /** Packages that walpost does not bring along. */
  readonly packages: readonly string[];
  readonly create: (config: C, context: SinkContext) => Promise<Sink>;
}

const TYPES: { readonly [T in SinkConfig['type']]: SinkType<SinkConfigOf<T>> } = {
  discard: { packages: [], create: async () => (await import('./discard.ts')).createDiscardSink() },
  stdout: { packages: [], create: async () => (await import('./stdout.ts')).createStdoutSink() },
  webhook: {
    packages: [],
    create: async (config, context) => (await import('./webhook.ts')).createWebhookSink(config, context),
  },
  realtime: {
    packages: [],
    create: async (config, context) => (await import('./realtime.ts')).createRealtimeSink(config, context),
  },
};

/** Makes the sink; CONFIG_INVALID when its options do not go together, SINK_PACKAGE_MISSING when a client is missing. */
export function createSink(config: SinkConfig, context: SinkContext): Promise<Sink> {
  const type = TYPES[config.type] as SinkType<SinkConfig>;
  return orNameMissing(type.packages, config.type, () => type.create(config, context));
}

/** Runs what imports the packages; when it fails because one of them is not installed, the error says which. */
export async function orNameMissing<T>(packages: readonly string[], type: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    for (const name of packages) {
      if (await isInstalled(name)) continue;
      throw new WalpostError('SINK_PACKAGE_MISSING', {
        detail: `A sink of type ${type} needs ${name}.`,
        remedy: `npm install ${name}`,
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
