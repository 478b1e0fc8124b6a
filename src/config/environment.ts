import { outsideFile, type ConfigDraft } from './config-draft.ts';
import type { OptionPath } from './config-problem.ts';
import { didYouMean } from './did-you-mean.ts';
import type { Environment } from './interpolation.ts';
import { childOf, childSchema, describeOption, keysOf, valueKind, type OptionSchema } from './option-schema.ts';
import { outsideFault } from './outside-values.ts';
import { typedText } from './typed-text.ts';

const PREFIX = 'WALPOST__';

/** `batching.max_events` as an environment variable: `WALPOST__BATCHING__MAX_EVENTS`. */
export function environmentName(path: OptionPath): string {
  return PREFIX + path.map((part) => upper(String(part))).join('__');
}

function upper(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

/** Lays `WALPOST__SECTION__KEY` variables over the draft; one that names no option is a problem. */
export function applyEnvironment(draft: ConfigDraft, schema: OptionSchema, env: Environment): void {
  const names = Object.keys(env).filter((name) => name.startsWith(PREFIX));
  // Sorted, a map or list comes before its parts.
  for (const name of names.toSorted()) {
    const text = env[name];
    const found = text === undefined ? undefined : resolveName(draft, schema, name);
    if (text === undefined || found === undefined) continue;
    draft.override(found.path, typedText(found.schema, text), { ...outsideFile(name), fault: outsideFault(text) });
  }
}

interface Found {
  readonly path: OptionPath;
  readonly schema: OptionSchema;
}

function resolveName(draft: ConfigDraft, root: OptionSchema, name: string): Found | undefined {
  const path: (string | number)[] = [];
  const segments = name.slice(PREFIX.length).split('__');
  let schema = root;
  let value = draft.root;
  for (const [index, segment] of segments.entries()) {
    const part = resolvePart(schema, value, segment);
    const child = part === undefined ? undefined : childSchema(schema, part, value);
    if (part === undefined || child === undefined) {
      const rest = segments.slice(index + 1);
      const known = (keysOf(schema, value) ?? []).map((key) => environmentName([...path, key, ...rest]));
      const message = `is not an option${didYouMean(name, known)}`;
      draft.problems.push({ source: name, line: null, column: null, path: '', message });
      return undefined;
    }
    path.push(part);
    schema = child;
    value = childOf(value, part);
  }
  return { path, schema };
}

/** The key that a segment means: one that is there or may be there, else, where names are free, itself in lower case. */
function resolvePart(parent: OptionSchema, value: unknown, segment: string): string | number | undefined {
  const { schema } = describeOption(parent);
  if (segment === '') return undefined;
  const kind = valueKind(schema);
  if (kind === 'list') return /^\d{1,3}$/.test(segment) && Array.isArray(value) ? Number(segment) : undefined;
  if (kind !== 'map') return undefined;
  const known = keysOf(schema, value);
  const present = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  return (
    [...(known ?? present)].find((key) => upper(key) === upper(segment)) ?? (known ? undefined : segment.toLowerCase())
  );
}
