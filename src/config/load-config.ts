import { readFileSync } from 'node:fs';
import { ConfigDraft, outsideFile } from './config-draft.ts';
import { ConfigError, type ConfigProblem } from './config-problem.ts';
import { didYouMean } from './did-you-mean.ts';
import { applyEnvironment } from './environment.ts';
import type { Environment } from './interpolation.ts';
import { keysOf, schemaAt, valueAt } from './option-schema.ts';
import { outsideFault, reportConnectionVariables, refuseNested } from './outside-values.ts';
import { applyProxyEnvironment } from './proxy-environment.ts';
import { standIn } from './sink-stand-ins.ts';
import { optionsSchema, type Config } from './schema.ts';
import { settleModules } from './module-paths.ts';
import { settleText } from './typed-text.ts';
import { validate } from './validate.ts';
import { readYaml } from './yaml-file.ts';

const DEFAULT_PATH = 'walpost.yaml';

export interface LoadOptions {
  /** As `--config` names it; else WALPOST_CONFIG, else ./walpost.yaml. */
  readonly path?: string | undefined;
  readonly env: Environment;
  /** The variables that `.env` alone sets. */
  readonly added?: ReadonlySet<string>;
  /** What is wrong with `.env` and stops nothing. */
  readonly warnings?: readonly ConfigProblem[];
  /** Option to text, such as `batching.window` to `100ms`; these win over the environment, which wins over the file. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** No sink is reached: where a variable or a file of a sink is missing, a stand-in takes its place. */
  readonly sinksAreIdle?: boolean;
}

/** A valid configuration, with the given values and their origins. */
export interface LoadedConfig {
  readonly config: Config;
  readonly draft: ConfigDraft;
  readonly path: string;
  /** What a person may want to mend, and what stops nothing. */
  readonly warnings: readonly ConfigProblem[];
}

/** Throws a ConfigError with all problems at once. */
export function loadConfig(options: LoadOptions): Config {
  return loadConfigWithSources(options).config;
}

export function loadConfigWithSources(options: LoadOptions): LoadedConfig {
  const path = configPath(options);
  const { env, added = new Set<string>(), warnings = [] } = options;
  const draft = new ConfigDraft(path);
  const read = readFile(draft, path, options);
  if (read === 'invalid') throw new ConfigError(draft.problems);
  if (read === 'missing') throw new ConfigError(draft.problems, remedyFor(path));
  applyEnvironment(draft, optionsSchema, env);
  for (const [name, value] of Object.entries(options.overrides ?? {})) applyFlag(draft, name, value);
  const standIns = options.sinksAreIdle ? standIn(draft) : [];
  applyProxyEnvironment(draft, env);
  settleModules(draft, path);
  refuseNested(draft, env, added);
  reportConnectionVariables(draft, env, added);
  const config = validate(draft, settleText(draft, optionsSchema), standIns);
  if (config === undefined) throw new ConfigError([...warnings, ...draft.problems]);
  return { config, draft, path, warnings };
}

export function configPath({ path, env }: Pick<LoadOptions, 'path' | 'env'>): string {
  return path ?? (env['WALPOST_CONFIG'] || DEFAULT_PATH);
}

/** The least that is valid, on one line: it can be copied from an error. */
const FIRST_FILE = `{ database: { url: '\${DATABASE_URL}' }, sinks: { out: { type: stdout } }, routes: [{ to: [out] }] }`;

function remedyFor(path: string): string {
  return (
    `Name another file with -c or WALPOST_CONFIG, or write this into ${path}, ` +
    `with DATABASE_URL in the environment or in .env: ${FIRST_FILE}`
  );
}

function readFile(draft: ConfigDraft, path: string, options: LoadOptions): 'read' | 'missing' | 'invalid' {
  const inEnvironment = Object.keys(options.env).some((name) => name.startsWith('WALPOST__'));
  const wanted = options.path ?? options.env['WALPOST_CONFIG'];
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // Without a file, the environment alone may say everything.
    if (code === 'ENOENT' && !wanted && inEnvironment) return 'read';
    const message = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code ?? 'unknown error'})`;
    draft.problems.push({ source: path, line: null, column: null, path: '', message });
    return code === 'ENOENT' ? 'missing' : 'invalid';
  }
  return readYaml(draft, text, { source: path, env: options.env }) ? 'read' : 'invalid';
}

function applyFlag(draft: ConfigDraft, name: string, value: string): void {
  const path = name.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : part));
  if (schemaAt(optionsSchema, draft.root, path) !== undefined) {
    draft.override(path, value, { ...outsideFile('--set'), fault: outsideFault(value) });
    return;
  }
  const parent = path.slice(0, -1);
  const schema = schemaAt(optionsSchema, draft.root, parent);
  const known = schema === undefined ? [] : (keysOf(schema, valueAt(draft.root, parent)) ?? []);
  const hint = didYouMean(
    name,
    known.map((key) => [...parent, key].join('.')),
  );
  // A connection string where a name should be is more likely a slip than a name.
  const shown = /^[\w.-]{1,80}$/.test(name);
  const [named, message] = shown ? [name, `is not an option${hint}`] : ['', 'names no option'];
  draft.problems.push({ source: '--set', line: null, column: null, path: named, message });
}
