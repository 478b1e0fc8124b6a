import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';

/** Flags of every command that reads the configuration. */
export interface ConfigFlags {
  readonly config?: string;
  readonly set?: Readonly<Record<string, string>>;
}

export function withConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration (default: $WALPOST_CONFIG, walpost.yaml)')
    .option('--set <option=value>', 'set an option, like batching.window=100ms (repeatable)', collect);
}

function collect(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) {
    const detail = '--set must be followed by option=value, such as batching.window=100ms.';
    throw new WalpostError('USAGE', { detail });
  }
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export async function readConfig(flags: ConfigFlags): Promise<Config> {
  return (await readConfigWithSources(flags)).config;
}

export async function readConfigWithSources(flags: ConfigFlags): Promise<LoadedConfig> {
  const { loadConfigWithSources } = await import('../config/load-config.ts');
  return loadConfigWithSources({ path: flags.config, env: process.env, overrides: flags.set ?? {} });
}
