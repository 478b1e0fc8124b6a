import { formatPath, type ConfigProblem, type OptionPath } from './config-problem.ts';
import { childOf } from './option-schema.ts';

/** Where a value of the draft came from. */
export interface Place {
  /** The file, `WALPOST__SECTION__KEY`, or `--set`. */
  readonly source: string;
  /** Of the value, in the file. */
  readonly line: number | null;
  readonly column: number | null;
  /** Of its key, in the file. */
  readonly key: { readonly line: number; readonly column: number } | null;
  /** Written as text whatever it means, so that the option's type decides how it is read. */
  readonly textual: boolean;
  /** The `${VARIABLES}` it was filled from; then it is never shown. */
  readonly variables: readonly string[];
  /** Why the value cannot be had at all. */
  readonly fault: string | null;
}

export function outsideFile(source: string): Place {
  return { source, line: null, column: null, key: null, textual: true, variables: [], fault: null };
}

/** The configuration on its way: plain values as given, where each came from, and what was wrong so far. */
export class ConfigDraft {
  root: unknown = {};
  readonly problems: ConfigProblem[] = [];
  readonly #places = new Map<string, Place>();
  readonly #source: string;

  /** @param source what problems without a place of their own are said to be in */
  constructor(source: string) {
    this.#source = source;
  }

  mark(path: OptionPath, place: Place): void {
    this.#places.set(keyOf(path), place);
  }

  /** Puts a value over whatever is there, with the maps that lead to it. */
  override(path: OptionPath, value: unknown, place: Place): void {
    for (const key of this.#places.keys()) {
      if (key.startsWith(keyOf(path))) this.#places.delete(key);
    }
    this.root = withValue(this.root, path, value);
    this.mark(path, place);
  }

  /** Replaces a value in place, keeping where it came from. */
  rewrite(path: OptionPath, value: unknown): void {
    this.root = withValue(this.root, path, value);
  }

  /** Where exactly this value was given; undefined when it was not. */
  placeOf(path: OptionPath): Place | undefined {
    return this.#places.get(keyOf(path));
  }

  places(): { path: OptionPath; place: Place }[] {
    return [...this.#places].map(([key, place]) => ({
      path: JSON.parse(`[${key.slice(0, -1)}]`) as OptionPath,
      place,
    }));
  }

  /** Reports at the value, or at the key; at what is nearest around it when the option is not there. */
  report(path: OptionPath, message: string, options: ReportOptions = {}): void {
    let place = this.placeOf(path);
    let spot = options.at === 'key' ? place?.key : place;
    for (let length = path.length - 1; place === undefined && length >= 0; length--) {
      place = this.placeOf(path.slice(0, length)) ?? this.#placeBelow(path.slice(0, length));
      spot = place?.key ?? place;
    }
    const { line, column } = spot ?? place ?? { line: null, column: null };
    const shown = formatPath(options.shownAs ?? path);
    this.problems.push({ source: place?.source ?? this.#source, line, column, path: shown, message });
  }

  #placeBelow(path: OptionPath): Place | undefined {
    const prefix = keyOf(path);
    const found = prefix === '' ? undefined : [...this.#places].find(([key]) => key.startsWith(prefix));
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
