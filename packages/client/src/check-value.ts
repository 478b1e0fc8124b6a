import { InvalidPayloadError, type PayloadProblem } from './errors.ts';
import type { SchemaIssue, StandardSchema } from './standard-schema.ts';

/** What the schema makes of the value: with its defaults, without what it strips. Throws InvalidPayloadError. */
export async function checkValue(schema: StandardSchema, what: string, value: unknown): Promise<unknown> {
  const result = await schema['~standard'].validate(value);
  if (!result.issues) return result.value;
  throw new InvalidPayloadError(
    what,
    result.issues.map((issue) => problemOf(issue, value)),
  );
}

function problemOf(issue: SchemaIssue, value: unknown): PayloadProblem {
  const keys = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part));
  let inside = value;
  for (const key of keys) inside = (inside as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return { path: pathText(keys), expected: expectedOf(issue), got: kindOf(inside) };
}

function pathText(keys: readonly PropertyKey[]): string {
  return keys.map((key, n) => (typeof key === 'number' ? `[${key}]` : `${n === 0 ? '' : '.'}${String(key)}`)).join('');
}

/**
 * Libraries add to an issue what they expect. Their messages may end in the value that they received, which is cut off; the
 * standard promises only the message.
 */
function expectedOf(issue: SchemaIssue & { readonly expected?: unknown }): string {
  if (typeof issue.expected === 'string') return issue.expected;
  return issue.message.replace(/:? (?:but )?received .*/is, '').replace(/ \(was .*/s, '');
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') return `a string of ${value.length} characters`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object') return value instanceof Date ? 'a Date' : 'an object';
  return `a ${typeof value}`;
}
