/** Rules about the source as a whole, each with what it refuses. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sourceFiles } from './support/import-graph.ts';

const root = join(import.meta.dirname, '../src');
const sources = sourceFiles(root).map((file): [string, string] => [file, readFileSync(join(root, file), 'utf8')]);
type Sources = readonly (readonly [file: string, text: string])[];

/** Exported type names that stand in more than one file. */
function repeatedTypes(files: Sources): string[] {
  const places = new Map<string, string[]>();
  for (const [file, text] of files) {
    for (const [, name = ''] of text.matchAll(/^export (?:abstract )?(?:interface|type|class|enum) (\w+)/gm)) {
      places.set(name, [...(places.get(name) ?? []), file]);
    }
  }
  return [...places].flatMap(([name, where]) => (where.length > 1 ? [`${name}: ${where.join(', ')}`] : []));
}

/** Files with members that are private by `#`. */
function hashPrivate(files: Sources): string[] {
  return files.flatMap(([file, text]) => (/^\s+(?:[a-z]+ )*#\w|\.#\w/m.test(text) ? [file] : []));
}

/** Interfaces of options with more than three functions; a member whose type names another type is no function. */
function callbackBags(files: Sources): string[] {
  return files.flatMap(([file, text]) =>
    [...text.matchAll(/^(?:export )?interface (\w+(?:Options|Parts|Dependencies))[^{]*\{\n([^]*?)^\}/gm)].flatMap(
      ([, name, body = '']) => {
        const count = [...body.matchAll(/^ {2}(?:readonly )?\w+\??: *\n? *(?:\(|NonNullable<[^>]*\[)[^]*?;$/gm)].filter(
          ([member]) => member.includes('=>') || member.includes('NonNullable'),
        ).length;
        return count > 3 ? [`${file}: ${name}`] : [];
      },
    ),
  );
}

/** Ends of things that are neither close() nor dispose. */
function otherEnds(files: Sources): string[] {
  return files.flatMap(([file, text]) =>
    [...text.matchAll(/^ {2}(?:async )?(dispose|shutdown|destroy|terminate|teardown)\(\)/gm)].map(
      ([, name]) => `${file}: ${name}()`,
    ),
  );
}

test('an exported type has a name of its own', () => {
  expect(sources.length).toBeGreaterThan(100);
  expect(repeatedTypes(sources)).toEqual([]);
});

test('private members are `private`, and none is `#`', () => {
  expect(hashPrivate(sources)).toEqual([]);
});

test('options hand down at most three functions', () => {
  expect(callbackBags(sources)).toEqual([]);
});

test('things end by close() or by being disposed', () => {
  expect(otherEnds(sources)).toEqual([]);
});

describe('what the rules refuse', () => {
  test('a type name that is there twice', () => {
    const files: Sources = [
      ['a.ts', 'export interface Moment {\n}\nexport type Own = 1;'],
      ['b.ts', 'export class Moment {}'],
    ];
    expect(repeatedTypes(files)).toEqual(['Moment: a.ts, b.ts']);
  });

  test.each(['  #secret = 1;', '  readonly #secret = 1;', '  async #work() {', '    this.#secret = 1;'])(
    '%s',
    (line) => {
      expect(hashPrivate([['a.ts', `class A {\n${line}\n}`]])).toEqual(['a.ts']);
      expect(hashPrivate([['a.ts', 'const color = "#fff"; // see wal2json#parameters']])).toEqual([]);
    },
  );

  test('a fourth function', () => {
    const four = [
      'onA: () => void',
      'onB?: (x: number) => void',
      "onC: NonNullable<Hooks['onC']>",
      'onD: () => Promise<A>',
    ];
    const text = (members: readonly string[]): string =>
      `export interface LaneOptions {\n${members.map((member) => `  readonly ${member};\n`).join('')}  readonly clock: Clock;\n}\n`;
    expect(callbackBags([['a.ts', text(four)]])).toEqual(['a.ts: LaneOptions']);
    expect(callbackBags([['a.ts', text(four.slice(1))]])).toEqual([]);
  });

  test('another word for the end', () => {
    expect(otherEnds([['a.ts', 'class A {\n  dispose(): void {\n  }\n}']])).toEqual(['a.ts: dispose()']);
    expect(otherEnds([['a.ts', 'class A {\n  async close(): Promise<void> {\n  }\n}']])).toEqual([]);
  });
});
