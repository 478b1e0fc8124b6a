/**
 * The configuration for who asks about the database alone. It has what only a process that delivers must have: the secrets of
 * sinks. So what is wrong with sinks and routes is told apart, and everything else stands.
 */
import { ConfigError, type ConfigProblem } from './config-problem.ts';
import { loadConfigWithSources, type LoadedConfig, type LoadOptions } from './load-config.ts';

export interface ConfigApart {
  readonly config: LoadedConfig['config'];
  /** Of sinks and routes. When there are any, the sinks and routes of `config` are none of the file. */
  readonly sinkProblems: readonly ConfigProblem[];
}

const NO_SINKS = { sinks: '{ none: { type: discard } }', routes: '[{ to: [none] }]' };

/** Throws a ConfigError when something else is wrong too. */
export function loadConfigApart(options: LoadOptions): ConfigApart {
  try {
    return { config: loadConfigWithSources(options).config, sinkProblems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const rest = withoutSinks(options);
    if (rest === undefined) throw error;
    return { config: rest, sinkProblems: error.problems };
  }
}

function withoutSinks(options: LoadOptions): LoadedConfig['config'] | undefined {
  const given = Object.entries(options.overrides ?? {}).filter(([name]) => !/^(sinks|routes)(\.|$)/.test(name));
  try {
    return loadConfigWithSources({ ...options, overrides: { ...Object.fromEntries(given), ...NO_SINKS } }).config;
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}
