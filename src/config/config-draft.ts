import { formatPath, type ConfigProblem, type OptionPath } from './config-problem.ts';
import { childOf } from './option-schema.ts';

/** The origin of a value in the draft. */
export interface Place {
  /** The file, `WALPOST__SECTION__KEY`, or `--set`. */
  readonly source: string;
  /** Position of the value in the file. */
  readonly line: number | null;
  readonly column: number | null;
  /** Position of its key in the file. */
  readonly key: { readonly line: number; readonly column: number } | null;
  /** The value was given as text, and the type of the option decides how it is parsed. */
  readonly textual: boolean;
  /** The `${VARIABLES}` in the value. A value with variables is never shown. */
  readonly variables: readonly string[];
  /** Why the value could not be read; null when it could. */
  readonly fault: string | null;
}

export function outsideFile(source: string): Place {
  return { source, line: null, column: null, key: null, textual: true, variables: [], fault: null };
}

/** The configuration before validation: plain values as given, the origin of each, and the problems found so far. */
export class ConfigDraft {
  root: unknown = {};
  readonly problems: ConfigProblem[] = [];
  private readonly known = new Map<string, Place>();
  private readonly source: string;

  /** @param source named in problems that have no position */
  constructor(source: string) {
    this.source = source;
  }

  mark(path: OptionPath, place: Place): void {
    this.known.set(keyOf(path), place);
  }

  /** Puts a value over whatever is there, with the maps that lead to it. */
  override(path: OptionPath, value: unknown, place: Place): void {
    for (const key of this.known.keys()) {
      if (key.startsWith(keyOf(path))) this.known.delete(key);
    }
    this.root = withValue(this.root, path, value);
    this.mark(path, place);
  }

  /** Replaces a value and keeps its origin. */
  rewrite(path: OptionPath, value: unknown): void {
    this.root = withValue(this.root, path, value);
  }

  /** The origin of exactly this value; undefined when it was not given. */
  placeOf(path: OptionPath): Place | undefined {
    return this.known.get(keyOf(path));
  }

  places(): { path: OptionPath; place: Place }[] {
    return [...this.known].map(([key, place]) => ({
      path: JSON.parse(`[${key.slice(0, -1)}]`) as OptionPath,
      place,
    }));
  }

  /** Reports a problem at the value or its key. For an option that is missing, at the nearest map around it. */
  report(path: OptionPath, message: string, options: ReportOptions = {}): void {
    let place = this.placeOf(path);
    let spot = options.at === 'key' ? place?.key : place;
    for (let length = path.length - 1; place === undefined && length >= 0; length--) {
      place = this.placeOf(path.slice(0, length)) ?? this.placeBelow(path.slice(0, length));
      spot = place?.key ?? place;
    }
    const { line, column } = spot ?? place ?? { line: null, column: null };
    const shown = formatPath(options.shownAs ?? path);
    this.problems.push({ source: place?.source ?? this.source, line, column, path: shown, message });
  }

  private placeBelow(path: OptionPath): Place | undefined {
    const prefix = keyOf(path);
    const found = prefix === '' ? undefined : [...this.known].find(([key]) => key.startsWith(prefix));
    return found?.[1];
  }
}

interface ReportOptions {
  readonly at?: 'value' | 'key';
  /** Instead of the path, when its last key must not be shown. */
  readonly shownAs?: OptionPath;
}

/** Ends every part with a comma, so that a key is a prefix of the keys below it and of no others. */
function keyOf(path: OptionPath): string {
  return path.map((part) => `${JSON.stringify(part)},`).join('');
}

function withValue(target: unknown, path: OptionPath, value: unknown): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  const copy: Record<string | number, unknown> | unknown[] = Array.isArray(target)
    ? [...(target as unknown[])]
    : typeof target === 'object' && target !== null
      ? { ...target }
      : {};
  const child = withValue(childOf(target, part), rest, value);
  if (child === undefined && !Array.isArray(copy)) delete copy[part];
  else Object.defineProperty(copy, part, { value: child, writable: true, enumerable: true, configurable: true });
  return copy;
}
