import { describe, expect, test } from 'vitest';
import { eventTypesText } from '../../src/cli/event-types-text.ts';
import { typeOfSchema } from '../../src/cli/type-of-schema.ts';

test.each<[unknown, string]>([
  [{}, 'unknown'],
  [true, 'unknown'],
  [false, 'never'],
  [{ type: 'integer', minimum: 1 }, 'number'],
  [{ type: ['string', 'null'] }, 'string | null'],
  [{ const: 'a"b' }, '"a\\"b"'],
  [{ enum: ['a', 1, null, true] }, '"a" | 1 | null | true'],
  [{ enum: [] }, 'never'],
  [{ const: { a: 1 } }, 'unknown /* a constant that is an object or an array */'],
  [{ type: 'array' }, 'Array<unknown>'],
  [{ type: 'array', items: { type: ['string', 'null'] } }, 'Array<string | null>'],
  [{ items: { type: 'string' } }, 'Array<string>'],
  [{ type: 'array', prefixItems: [{ type: 'string' }, {}], items: false }, '[string, unknown]'],
  [{ type: 'array', prefixItems: [{ type: 'string' }], items: { type: 'number' } }, '[string, ...Array<number>]'],
  [{ type: 'object' }, 'Record<string, unknown>'],
  [{ type: 'object', additionalProperties: { type: 'number' } }, 'Record<string, number>'],
  [{ type: 'object', additionalProperties: false }, 'Record<string, never>'],
  [{ anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'string' }] }, 'string | number'],
  [{ oneOf: [{ type: 'string' }, {}] }, 'unknown'],
  [
    { allOf: [{ properties: { a: true } }, { anyOf: [{ type: 'string' }, { type: 'null' }] }] },
    '{\n  "a"?: unknown;\n} & (string | null)',
  ],
  [{ $ref: '#/$defs/a~1b', $defs: { 'a/b': { type: 'string' } } }, 'string'],
  [{ $ref: 'https://example.com/*/a' }, 'unknown /* https://example.com/* /a is not in this schema */'],
  [{ $ref: '#/$defs/__proto__', $defs: {} }, 'unknown /* #/$defs/__proto__ is not in this schema */'],
  [{ not: { type: 'string' } }, 'unknown'],
  [{ type: 'money' }, 'unknown'],
])('%j', (schema, type) => {
  expect(typeOfSchema(schema)).toBe(type);
});

test('an object has its properties, required or not, with what they mean', () => {
  const schema = {
    type: 'object',
    required: ['job_id'],
    properties: {
      job_id: { type: 'string', description: 'Which job.\n*/ evil' },
      'odd-name': { type: 'object', properties: { n: { type: 'number' } }, additionalProperties: false },
    },
    additionalProperties: true,
  };
  expect(typeOfSchema(schema, '  ')).toBe(
    [
      '{',
      '    /** Which job. * / evil */',
      '    "job_id": string;',
      '    "odd-name"?: {',
      '      "n"?: number;',
      '    };',
      '    [name: string]: unknown;',
      '  }',
    ].join('\n'),
  );
});

test('a schema that refers to itself ends', () => {
  const tree = { type: 'object', properties: { next: { $ref: '#' } } };
  expect(typeOfSchema(tree)).toBe('{\n  "next"?: {\n    "next"?: unknown /* # refers to itself */;\n  };\n}');
});

describe('the file', () => {
  test('has each version, and the newest as the type of the events', () => {
    const row = (type: string, version: number) => ({ type, version, schema: { type: 'string' }, description: null });
    const text = eventTypesText([row('a', 2), { ...row('a', 10), description: 'A word.' }, row('b', 1)]);
    expect(text).toContain('  "a": {\n    2: string;\n    /** A word. */\n    10: string;\n  };\n');
    expect(text).toContain(
      'export interface Events {\n  "a": EventVersions["a"][10];\n  "b": EventVersions["b"][1];\n}',
    );
    expect(text).toContain('export const versions = {\n  "a": 10,\n  "b": 1,\n} as const;');
  });
});
