import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { ConfigError, type ConfigProblem } from './config-problem.ts';
import type { Environment } from './interpolation.ts';

const NAME = '.env';

/** A line that sets a variable; the last group is a value without quotes, with the blanks before it. As Node's parseEnv reads it. */
const ENTRY = /^[ \t]*(?:export[ \t]+)?([^\s=#][^=\n]*?)[ \t]*=(?:[ \t]*(?:"[^"]*"|'[^']*'|`[^`]*`)|([^\n]*))[^\n]*/gm;

export interface DotenvResult {
  /** With what the file adds; a variable that is set wins, even when it is empty. */
  readonly env: Environment;
  /** The variables that the file alone sets. */
  readonly added: ReadonlySet<string>;
  readonly warnings: readonly ConfigProblem[];
}

/**
 * The environment with what `.env` in the directory adds to it. Only the configuration sees these variables: the process
 * itself, and what it may start, keep their environment. A file that this user may not read is left alone: systemd reads such
 * files itself, as root, and passes on what they hold.
 */
export function withDotenv(env: Environment, directory: string): DotenvResult {
  let text: string;
  try {
    text = readFileSync(join(directory, NAME), 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const nothing = { env, added: new Set<string>() };
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return { ...nothing, warnings: [] };
    if (code !== 'EACCES' && code !== 'EPERM') throw new ConfigError([problem(`cannot be read (${code})`)]);
    const message = `cannot be read (${code}), so only the environment counts; give this user the right to read it, or take it away`;
    return { ...nothing, warnings: [problem(message)] };
  }
  const given = parseEnv(text);
  const added = new Set(Object.keys(given).filter((name) => env[name] === undefined));
  const cut = cutValues(text, added);
  if (cut.length > 0) throw new ConfigError(cut);
  return { env: { ...given, ...env }, added, warnings: [] };
}

/** Node takes a # as the beginning of a comment wherever it stands; other programs only after a blank. */
function cutValues(text: string, names: ReadonlySet<string>): ConfigProblem[] {
  const message = 'a # without a blank before it would cut the value; put the value in single quotes';
  return [...text.matchAll(ENTRY)]
    .filter(([, name = '', value]) => names.has(name) && value !== undefined && /^[^#]*(?<![ \t])#/.test(value))
    .map(({ index }) => problem(message, text.slice(0, index).split('\n').length));
}

function problem(message: string, line: number | null = null): ConfigProblem {
  return { source: NAME, line, column: line === null ? null : 1, path: '', message };
}
