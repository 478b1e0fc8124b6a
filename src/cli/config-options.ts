import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { LoadedConfig, LoadOptions } from '../config/load-config.ts';
import { withDotenv } from '../config/dotenv.ts';
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

/** For a command that reaches no sink: secrets of sinks that are missing here stop nothing. */
export async function readConfigWithoutSecrets(flags: ConfigFlags): Promise<Config> {
  const { loadConfig } = await import('../config/load-config.ts');
  return loadConfig({ ...loadOptions(flags), sinksAreIdle: true });
}

/** Reads `.env` each time that it is called. */
export function loadOptions(flags: ConfigFlags): LoadOptions {
  return { path: flags.config, ...withDotenv(process.env, process.cwd()), overrides: flags.set ?? {} };
}

export async function readConfigWithSources(flags: ConfigFlags): Promise<LoadedConfig> {
  const { loadConfigWithSources } = await import('../config/load-config.ts');
  return loadConfigWithSources(loadOptions(flags));
}

/** For a command that works without one: undefined when none is named, and the usual file is not there. */
export async function readConfigIfThere(flags: ConfigFlags): Promise<Config | undefined> {
  const { configPath, loadConfigWithSources } = await import('../config/load-config.ts');
  const options = loadOptions(flags);
  const isNamed = flags.config !== undefined || Boolean(options.env['WALPOST_CONFIG']);
  if (!isNamed && !existsSync(configPath(options))) return undefined;
  return loadConfigWithSources(options).config;
}
