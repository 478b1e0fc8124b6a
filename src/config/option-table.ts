import { z } from 'zod';
import { describeOption, valueKind, variantsOf, type OptionSchema } from './option-schema.ts';
import { optionsSchema } from './schema.ts';

/** One option as people read about it. */
export interface OptionRow {
  /** `batching.window`, `sinks.<name>.url`, `routes[].to` */
  readonly path: string;
  readonly type: string;
  /** As written in the file; undefined when there is none. */
  readonly fallback: unknown;
  readonly required: boolean;
  readonly secret: boolean;
  readonly description: string;
}

export interface OptionGroup {
  readonly title: string;
  readonly description: string;
  readonly rows: readonly OptionRow[];
}

/** Every option, from the schema alone: a group for each section, and for each type of sink. */
export function optionGroups(): OptionGroup[] {
  return Object.entries(optionsSchema.shape).flatMap(([section, wrapped]): OptionGroup[] => {
    const { schema, description } = describeOption(wrapped);
    const group = { title: section, description };
    if (!(schema instanceof z.ZodRecord)) return [{ ...group, rows: [...rowsOf(wrapped, section)] }];
    const { schema: sink } = describeOption(schema.valueType);
    if (!(sink instanceof z.ZodDiscriminatedUnion)) return [{ ...group, rows: [...rowsOf(wrapped, section)] }];
    const variants = variantsOf(sink).map(({ type, schema: variant }) => ({
      title: `sinks: type ${type}`,
      description: describeOption(variant).description,
      rows: [...rowsOf(variant, `${section}.<name>`)].filter((row) => !row.path.endsWith('.type')),
    }));
    return [{ ...group, rows: [] }, ...variants];
  });
}

function* rowsOf(wrapped: OptionSchema, path: string): Generator<OptionRow> {
  const option = describeOption(wrapped);
  const { schema } = option;
  if (schema instanceof z.ZodObject) {
    for (const [key, child] of Object.entries(schema.shape)) yield* rowsOf(child, `${path}.${key}`);
  } else if (schema instanceof z.ZodArray && valueKind(describeOption(schema.element).schema) === 'map') {
    yield* rowsOf(schema.element, `${path}[]`);
  } else {
    const { description, secret, fallback } = option;
    yield { path, type: typeText(wrapped), fallback, required: !option.optional, secret, description };
  }
}

/** `duration, 1ms to 1m`, `pgoutput or wal2json`, `list of text` */
export function typeText(wrapped: OptionSchema): string {
  const { schema, unit } = describeOption(wrapped);
  if (unit) return unit.kind + rangeText(unit.min, unit.max);
  if (schema instanceof z.ZodEnum) return schema.options.map(String).join(' or ');
  if (schema instanceof z.ZodNumber) {
    const bound = (value: number | null): string | undefined =>
      value === null || !Number.isFinite(value) || Math.abs(value) === Number.MAX_SAFE_INTEGER
        ? undefined
        : String(value);
    return (schema.isInt ? 'whole number' : 'number') + rangeText(bound(schema.minValue), bound(schema.maxValue));
  }
  if (schema instanceof z.ZodArray) return `list of ${typeText(schema.element)}`;
  if (schema instanceof z.ZodRecord) return 'map';
  if (schema instanceof z.ZodBoolean) return 'true or false';
  return schema instanceof z.ZodURL ? 'URL' : 'text';
}

function rangeText(min: string | undefined, max: string | undefined): string {
  if (min !== undefined && max !== undefined) return `, ${min} to ${max}`;
  if (min !== undefined) return `, at least ${min}`;
  return max === undefined ? '' : `, at most ${max}`;
}
