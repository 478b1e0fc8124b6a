/**
 * Walks the zod schema of walpost.yaml as a tree of options: what lies at a path, what kind of value it takes, whether it
 * is a secret, what its default is. Reading, masking, environment names and documentation all ask here.
 */
import { z } from 'zod';
import type { OptionPath } from './config-problem.ts';

export type OptionSchema = z.core.$ZodType;

/** One option without its wrappers (optional, default, pipe), and what the wrappers said. */
export interface Option {
  readonly schema: OptionSchema;
  readonly description: string;
  readonly secret: boolean;
  /** One that comes out empty is a problem, and not as if it were left out. */
  readonly neverBlank: boolean;
  readonly nullable: boolean;
  /** May be left out of its map, and then takes the default or means nothing. */
  readonly optional: boolean;
  /** As it would be written in the file; undefined when there is none. */
  readonly fallback: unknown;
  /** The scalar's own unit, which its text form carries. */
  readonly unit: { readonly kind: string; readonly min?: string; readonly max?: string } | undefined;
}

export function describeOption(wrapped: OptionSchema): Option {
  let schema = wrapped;
  const meta: Record<string, unknown> = {};
  let optional = false;
  let nullable = false;
  let fallback: unknown;
  for (;;) {
    for (const [key, value] of Object.entries(z.globalRegistry.get(schema) ?? {})) meta[key] ??= value;
    if (schema instanceof z.ZodOptional) optional = true;
    else if (schema instanceof z.ZodNullable) nullable = true;
    else if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
      optional = true;
      fallback = schema.def.defaultValue;
    } else if (schema instanceof z.ZodPipe) {
      schema = schema.def.in;
      continue;
    } else break;
    schema = schema.def.innerType;
  }
  const kind = meta['kind'];
  return {
    schema,
    description: typeof meta['description'] === 'string' ? meta['description'] : '',
    secret: meta['secret'] === true,
    neverBlank: meta['neverBlank'] === true,
    nullable,
    optional,
    fallback,
    unit: typeof kind === 'string' ? { kind, ...textOf(meta, 'min'), ...textOf(meta, 'max') } : undefined,
  };
}

function textOf(meta: Record<string, unknown>, key: 'min' | 'max'): { [K in 'min' | 'max']?: string } {
  const value = meta[key];
  return typeof value === 'string' ? { [key]: value } : {};
}

/** What kind of value an option takes, seen from the file. */
export function valueKind(schema: OptionSchema): 'map' | 'list' | 'number' | 'boolean' | 'text' {
  if (schema instanceof z.ZodObject || schema instanceof z.ZodRecord) return 'map';
  if (schema instanceof z.ZodDiscriminatedUnion) return 'map';
  if (schema instanceof z.ZodArray) return 'list';
  if (schema instanceof z.ZodNumber) return 'number';
  return schema instanceof z.ZodBoolean ? 'boolean' : 'text';
}

/** The schema of one key or list place; `value` decides between variants by their `type`. */
export function childSchema(parent: OptionSchema, part: string | number, value: unknown): OptionSchema | undefined {
  const { schema } = describeOption(parent);
  if (schema instanceof z.ZodRecord) return schema.valueType;
  if (schema instanceof z.ZodArray) return schema.element;
  if (schema instanceof z.ZodObject) return Object.hasOwn(schema.shape, part) ? schema.shape[part] : undefined;
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return undefined;
  const variants = variantsOf(schema);
  const type = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)['type'] : undefined;
  const chosen = variants.find((variant) => variant.type === type);
  const among = chosen ? [chosen] : variants;
  return among.map((variant) => childSchema(variant.schema, part, value)).find((found) => found !== undefined);
}

/** The variants of a sink, by their `type`. */
export function variantsOf(union: z.ZodDiscriminatedUnion): { type: string; schema: z.ZodObject }[] {
  return union.options.flatMap((schema) => {
    if (!(schema instanceof z.ZodObject)) return [];
    const tag: unknown = schema.shape['type'];
    return tag instanceof z.ZodLiteral ? [{ type: String(tag.value), schema }] : [];
  });
}

/** The schema at a path; undefined when there is no such option. */
export function schemaAt(root: OptionSchema, value: unknown, path: OptionPath): OptionSchema | undefined {
  let schema: OptionSchema | undefined = root;
  let here = value;
  for (const part of path) {
    if (schema === undefined) return undefined;
    schema = childSchema(schema, part, here);
    here = childOf(here, part);
  }
  return schema;
}

/** The keys a map may have; undefined when they are free or there are none. */
export function keysOf(parent: OptionSchema, value: unknown): string[] | undefined {
  const { schema } = describeOption(parent);
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return undefined;
  const variants = variantsOf(schema);
  const type = childOf(value, 'type');
  const chosen = variants.find((variant) => variant.type === type);
  return [...new Set((chosen ? [chosen] : variants).flatMap((variant) => Object.keys(variant.schema.shape)))];
}

/** A secret, or something that holds one: a string that stands where a whole sink should must not be shown either. */
export function holdsSecret(wrapped: OptionSchema): boolean {
  const { schema, secret } = describeOption(wrapped);
  if (secret) return true;
  if (schema instanceof z.ZodRecord) return holdsSecret(schema.valueType);
  if (schema instanceof z.ZodArray) return holdsSecret(schema.element);
  if (schema instanceof z.ZodObject) return Object.values(schema.shape).some((child) => holdsSecret(child));
  return schema instanceof z.ZodDiscriminatedUnion && variantsOf(schema).some((variant) => holdsSecret(variant.schema));
}

/** What lies under a key or list place of a plain value. */
export function childOf(value: unknown, part: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
  return (value as Record<string | number, unknown>)[part];
}

export function valueAt(root: unknown, path: OptionPath): unknown {
  return path.reduce<unknown>((value, part) => childOf(value, part), root);
}
