import { z } from 'zod';
import { optionsSchema } from './schema.ts';

type Json = Record<string, unknown>;

/**
 * The JSON Schema of walpost.yaml, for editors. It describes the file as written: a `${VARIABLE}` may stand for any single
 * value, and nothing is required that the environment may supply.
 */
export function configJsonSchema(): Json {
  const schema = z.toJSONSchema(optionsSchema, {
    io: 'input',
    override: ({ jsonSchema }) => adapt(jsonSchema as Json),
  });
  return { title: 'walpost.yaml', ...schema };
}

const VARIABLE = { type: 'string', pattern: '\\$\\{[A-Za-z_]' };

function adapt(schema: Json): void {
  for (const key of ['kind', 'min', 'max', 'format', 'neverBlank']) delete schema[key];
  if (schema['secret'] === true) schema['writeOnly'] = true;
  delete schema['secret'];
  if (schema['type'] === 'object' && 'properties' in schema) loosen(schema);
  if ('const' in schema || !isScalar(schema)) return;
  const { description, default: fallback, writeOnly, ...strict } = schema;
  for (const key of Object.keys(schema)) delete schema[key];
  const kept = { description, default: fallback, writeOnly };
  for (const [key, value] of Object.entries(kept)) if (value !== undefined) schema[key] = value;
  schema['anyOf'] = [strict, VARIABLE];
}

/** The environment may fill in any key but the one that decides which keys there are. */
function loosen(schema: Json): void {
  const required = Array.isArray(schema['required']) ? schema['required'].filter((key) => key === 'type') : [];
  if (required.length > 0) schema['required'] = required;
  else delete schema['required'];
}

function isScalar(schema: Json): boolean {
  const restricted = ['enum', 'pattern', 'minLength', 'minimum', 'maximum'].some((key) => key in schema);
  return (
    ['integer', 'number', 'boolean'].includes(String(schema['type'])) || (schema['type'] === 'string' && restricted)
  );
}
