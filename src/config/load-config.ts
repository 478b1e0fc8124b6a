import { readFileSync } from 'node:fs';
import { ConfigDraft, outsideFile } from './config-draft.ts';
import { ConfigError } from './config-problem.ts';
import { didYouMean } from './did-you-mean.ts';
import { applyEnvironment } from './environment.ts';
import type { Environment } from './interpolation.ts';
import { keysOf, schemaAt, valueAt } from './option-schema.ts';
import { optionsSchema, type Config } from './schema.ts';
import { settleText } from './typed-text.ts';
import { validate } from './validate.ts';
import { readYaml } from './yaml-file.ts';

const DEFAULT_PATH = 'walpost.yaml';

export interface LoadOptions {
  /** As `--config` names it; else WALPOST_CONFIG, else ./walpost.yaml. */
  readonly path?: string | undefined;
  readonly env: Environment;
  /** Option to text, such as `batching.window` to `100ms`; these win over the environment, which wins over the file. */
  readonly overrides?: Readonly<Record<string, string>>;
}

/** A valid configuration, and the values it was made of with the places they came from. */
export interface LoadedConfig {
  readonly config: Config;
  readonly draft: ConfigDraft;
  readonly path: string;
}

/** Throws a ConfigError with all problems at once. */
export function loadConfig(options: LoadOptions): Config {
  return loadConfigWithSources(options).config;
}

export function loadConfigWithSources(options: LoadOptions): LoadedConfig {
  const path = configPath(options);
  const draft = new ConfigDraft(path);
  if (!readFile(draft, path, options)) throw new ConfigError(draft.problems);
  applyEnvironment(draft, optionsSchema, options.env);
  for (const [name, value] of Object.entries(options.overrides ?? {})) applyFlag(draft, name, value);
  const config = validate(draft, settleText(draft, optionsSchema));
  if (config === undefined) throw new ConfigError(draft.problems);
  return { config, draft, path };
}

export function configPath({ path, env }: Pick<LoadOptions, 'path' | 'env'>): string {
  return path ?? (env['WALPOST_CONFIG'] || DEFAULT_PATH);
}

function readFile(draft: ConfigDraft, path: string, options: LoadOptions): boolean {
  const inEnvironment = Object.keys(options.env).some((name) => name.startsWith('WALPOST__'));
  const wanted = options.path ?? options.env['WALPOST_CONFIG'];
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // Without a file, the environment alone may say everything.
    if (code === 'ENOENT' && !wanted && inEnvironment) return true;
    const message = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code ?? 'unknown error'})`;
    draft.problems.push({ source: path, line: null, column: null, path: '', message });
    return false;
  }
  return readYaml(draft, text, { source: path, env: options.env });
}

function applyFlag(draft: ConfigDraft, name: string, value: string): void {
  const path = name.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : part));
  if (schemaAt(optionsSchema, draft.root, path) !== undefined) {
    draft.override(path, value, outsideFile('--set'));
    return;
  }
  const parent = path.slice(0, -1);
  const schema = schemaAt(optionsSchema, draft.root, parent);
  const known = schema === undefined ? [] : (keysOf(schema, valueAt(draft.root, parent)) ?? []);
  const hint = didYouMean(
    name,
    known.map((key) => [...parent, key].join('.')),
  );
  draft.problems.push({ source: '--set', line: null, column: null, path: name, message: `is not an option${hint}` });
}
