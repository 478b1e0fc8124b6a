import type { ConfigDraft } from './config-draft.ts';
import { flowText } from './config-reference.ts';
import type { OptionPath } from './config-problem.ts';
import { childSchema, describeOption, keysOf, valueAt, valueKind, type OptionSchema } from './option-schema.ts';
import { optionsSchema } from './schema.ts';

/** One option in effect, as it would be written in the file. */
export interface EffectiveOption {
  readonly path: OptionPath;
  /** `(a secret)` for a secret. */
  readonly value: unknown;
  /** `walpost.yaml:4:8`, `WALPOST__BATCHING__WINDOW`, `--set`, or `default`. */
  readonly source: string;
}

const MASK = '(a secret)';

/** Every option that has a value, with where it comes from; secrets are masked. */
export function effectiveOptions(draft: ConfigDraft): EffectiveOption[] {
  return [...walk(draft, optionsSchema, [])];
}

function* walk(draft: ConfigDraft, wrapped: OptionSchema, path: OptionPath): Generator<EffectiveOption> {
  const option = describeOption(wrapped);
  const given = valueAt(draft.root, path);
  const value = given ?? option.fallback;
  if (value === undefined && path.length > 0) return;
  const kind = valueKind(option.schema);
  const parts = kind === 'map' && !option.secret ? partsOf(option.schema, value) : listOfMaps(option.schema, value);
  if (parts.length === 0) {
    yield {
      path,
      value: option.secret && given !== undefined ? MASK : value,
      source: given === undefined ? 'default' : sourceOf(draft, path),
    };
    return;
  }
  for (const part of parts) {
    const child = childSchema(option.schema, part, value);
    if (child !== undefined) yield* walk(draft, child, [...path, part]);
  }
}

function partsOf(schema: OptionSchema, value: unknown): (string | number)[] {
  return keysOf(schema, value) ?? Object.keys(value as object);
}

function listOfMaps(schema: OptionSchema, value: unknown): number[] {
  if (valueKind(schema) !== 'list' || !Array.isArray(value)) return [];
  const element = childSchema(schema, 0, value);
  const nested = element !== undefined && valueKind(describeOption(element).schema) === 'map';
  return nested ? value.map((_, index) => index) : [];
}

function sourceOf(draft: ConfigDraft, path: OptionPath): string {
  for (let length = path.length; length >= 0; length--) {
    const place = draft.placeOf(path.slice(0, length));
    if (place === undefined) continue;
    const position = place.line === null ? place.source : `${place.source}:${place.line}:${place.column}`;
    return place.variables.length === 0 ? position : `${position} \${${place.variables.join('}, ${')}}`;
  }
  return 'default';
}

/** As YAML, one option a line, with its source as a comment. */
export function effectiveYaml(draft: ConfigDraft): string {
  const lines: { text: string; source: string }[] = [];
  let before: OptionPath = [];
  for (const { path, value, source } of effectiveOptions(draft)) {
    const shared = path.findIndex((part, index) => part !== before[index]);
    for (let depth = shared; depth < path.length; depth++) {
      const last = depth === path.length - 1;
      lines.push({ text: opening(path, depth) + (last ? ` ${flowText(value)}` : ''), source: last ? source : '' });
    }
    before = path;
  }
  return `${foldItems(lines)
    .map(({ text, source }) => (source === '' ? text : `${text.padEnd(44)} # ${source}`))
    .join('\n')}\n`;
}

function opening(path: OptionPath, depth: number): string {
  const part = path[depth];
  const indent = '  '.repeat(depth);
  return typeof part === 'number' ? `${indent}-` : `${indent}${part}:`;
}

/** Joins the dash of a list's entry with the first key behind it. */
function foldItems(lines: { text: string; source: string }[]): { text: string; source: string }[] {
  const folded: { text: string; source: string }[] = [];
  for (const line of lines) {
    const last = folded.at(-1);
    if (last?.text.endsWith(' -')) {
      folded[folded.length - 1] = { text: `${last.text} ${line.text.trimStart()}`, source: line.source };
    } else folded.push(line);
  }
  return folded;
}
