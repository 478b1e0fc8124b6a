/**
 * JSON Schema as a TypeScript type. Keywords that only narrow a value (minLength, pattern, not) are passed over, for no type
 * says them. What has no type, such as a reference out of the schema, is `unknown`, with the reason as a comment.
 */
type Schema = Readonly<Record<string, unknown>>;

/** What all parts of one schema share: its root, for references, and those that are being followed. */
interface Scope {
  readonly root: Schema;
  readonly following: readonly string[];
  readonly indent: string;
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  string: 'string',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  null: 'null',
};

/** `indent` is that of the line on which the type begins. */
export function typeOfSchema(schema: unknown, indent = ''): string {
  return typeOf(schema, { root: isSchema(schema) ? schema : {}, following: [], indent });
}

function typeOf(schema: unknown, scope: Scope): string {
  if (schema === false) return 'never';
  if (!isSchema(schema)) return 'unknown';
  if ('const' in schema) return literal(schema['const']);
  if (Array.isArray(schema['enum'])) return union(schema['enum'].map(literal));
  if (typeof schema['$ref'] === 'string') return ofReference(schema['$ref'], scope);
  const parts: string[] = [];
  const own = ofKeywords(schema, scope);
  if (own !== 'unknown') parts.push(own);
  for (const keyword of ['anyOf', 'oneOf']) {
    const choices = schema[keyword];
    if (Array.isArray(choices)) parts.push(union(choices.map((choice) => typeOf(choice, scope))));
  }
  if (Array.isArray(schema['allOf'])) parts.push(...schema['allOf'].map((each) => typeOf(each, scope)));
  const known = [...new Set(parts)].filter((part) => part !== 'unknown');
  if (known.length <= 1) return known[0] ?? parts[0] ?? 'unknown';
  return known.map((part) => (part.includes(' | ') ? `(${part})` : part)).join(' & ');
}

function ofKeywords(schema: Schema, scope: Scope): string {
  const { type } = schema;
  if (Array.isArray(type)) return union(type.map((each) => ofKeywords({ ...schema, type: each }, scope)));
  if (type === 'object' || (type === undefined && isSchema(schema['properties']))) return ofObject(schema, scope);
  if (type === 'array' || (type === undefined && (schema['items'] ?? schema['prefixItems']) !== undefined)) {
    return ofArray(schema, scope);
  }
  return PRIMITIVES[String(type)] ?? 'unknown';
}

function ofObject(schema: Schema, { indent, ...scope }: Scope): string {
  const inner = { ...scope, indent: `${indent}  ` };
  const properties = isSchema(schema['properties']) ? schema['properties'] : {};
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : []);
  const more = schema['additionalProperties'];
  const lines = Object.entries(properties).map(([name, property]) => {
    const description = isSchema(property) ? property['description'] : undefined;
    const optional = required.has(name) ? '' : '?';
    return `${commentText(description, inner.indent)}${inner.indent}${JSON.stringify(name)}${optional}: ${typeOf(property, inner)};\n`;
  });
  if (lines.length === 0)
    return `Record<string, ${more === undefined || more === true ? 'unknown' : typeOf(more, inner)}>`;
  // Named properties would have to fit the type of the others too, so that type is not said.
  if (more !== undefined && more !== false) lines.push(`${inner.indent}[name: string]: unknown;\n`);
  return `{\n${lines.join('')}${indent}}`;
}

function ofArray(schema: Schema, scope: Scope): string {
  const first = schema['prefixItems'];
  const rest = `Array<${typeOf(schema['items'] ?? true, scope)}>`;
  if (!Array.isArray(first)) return rest;
  const items = first.map((item) => typeOf(item, scope));
  return `[${[...items, ...(schema['items'] === false ? [] : [`...${rest}`])].join(', ')}]`;
}

/** Of this schema alone, such as `#/$defs/money`. One that leads to itself has no type without a name. */
function ofReference(reference: string, scope: Scope): string {
  if (scope.following.includes(reference)) return unknown(`${reference} refers to itself`);
  let found: unknown = reference === '#' || reference.startsWith('#/') ? scope.root : undefined;
  for (const part of reference.split('/').slice(1)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    found = isSchema(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  }
  if (found === undefined) return unknown(`${reference} is not in this schema`);
  return typeOf(found, { ...scope, following: [...scope.following, reference] });
}

function literal(value: unknown): string {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return JSON.stringify(value);
  return unknown('a constant that is an object or an array');
}

function union(types: readonly string[]): string {
  const distinct = [...new Set(types)];
  return distinct.includes('unknown') ? 'unknown' : distinct.join(' | ') || 'never';
}

function unknown(why: string): string {
  return `unknown /* ${oneLine(why)} */`;
}

/** A comment of its own line; nothing where there is no text. */
export function commentText(text: unknown, indent: string): string {
  return typeof text === 'string' && text.trim() !== '' ? `${indent}/** ${oneLine(text)} */\n` : '';
}

function oneLine(text: string): string {
  return text.replaceAll('*/', '* /').replace(/\s+/g, ' ').trim();
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
