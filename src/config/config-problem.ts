import { WalpostError } from '../errors.ts';

/** Names an option by keys of maps and indexes of lists. */
export type OptionPath = readonly (string | number)[];

/** One problem of the configuration. It never shows the value of a secret or of a `${VARIABLE}`. */
export interface ConfigProblem {
  /** The file, `WALPOST__SECTION__KEY`, or `--set`. */
  readonly source: string;
  /** Counted from 1; null when the problem is not in the file. */
  readonly line: number | null;
  readonly column: number | null;
  /** `batching.window`, or empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `walpost.yaml:4:8 batching.window: must be at least 1ms (got "0ms")` */
export function formatProblem(problem: ConfigProblem): string {
  const position = problem.line === null ? '' : `:${problem.line}:${problem.column ?? 1}`;
  const path = problem.path === '' ? '' : ` ${problem.path}`;
  return `${problem.source}${position}${path}: ${problem.message}`;
}

/** `sinks.n8n.url`, `routes[0].to[1]` */
export function formatPath(path: OptionPath): string {
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('');
}

/** By line; problems outside the file come last. */
function byPosition(a: ConfigProblem, b: ConfigProblem): number {
  if (a.line !== b.line) return (a.line ?? Infinity) - (b.line ?? Infinity);
  return (a.column ?? 0) - (b.column ?? 0) || a.source.localeCompare(b.source) || a.path.localeCompare(b.path);
}

/** All problems of one configuration, in the order of the file. */
export class ConfigError extends WalpostError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], remedy?: string) {
    const sorted = [...problems].sort(byPosition);
    const detail = `\n${sorted.map(formatProblem).join('\n')}`;
    super('CONFIG_INVALID', { detail, ...(remedy !== undefined && { remedy }) });
    this.problems = sorted;
  }
}
