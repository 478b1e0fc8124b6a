import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair } from 'yaml';
import type { ConfigDraft } from './config-draft.ts';
import type { OptionPath } from './config-problem.ts';
import { expand, unveil, veil, type Environment } from './interpolation.ts';

/** Messages without text from the file. The parser's own messages may quote a secret. */
const SYNTAX: Record<string, string> = {
  ALIAS_PROPS: 'an alias cannot have an anchor or a tag',
  BAD_INDENT: 'the indentation does not fit what is around it',
  BAD_DQ_ESCAPE: 'unknown escape in a double-quoted text; use single quotes to keep backslashes',
  BAD_SCALAR_START: 'a text that begins with this character must be in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second key on one line; put it on a line of its own, or the text in quotes',
  BLOCK_IN_FLOW: 'indented lines cannot stand inside { } or [ ]',
  MISSING_CHAR: 'a closing character, or the `:` after a key, is missing',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line and followed by `:`',
  MULTIPLE_DOCS: 'a second document begins here; there can be only one',
  TAB_AS_INDENT: 'indented with a tab; use spaces',
  TAG_RESOLVE_FAILED: 'unknown tag',
  UNEXPECTED_TOKEN: 'not expected here; is something missing before it, or should it be in quotes?',
};
/** A few nested aliases can expand to millions of values. */
const MOST_NODES = 50_000;
/** An alias inside its own anchor expands forever. */
const MOST_DEPTH = 40;

interface Reading {
  readonly draft: ConfigDraft;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly source: string;
  readonly env: Environment;
  nodes: number;
}

/** Reads the file into the draft; false when it is not YAML, so that nothing more can be said about it. */
export function readYaml(draft: ConfigDraft, text: string, options: { source: string; env: Environment }): boolean {
  const lines = new LineCounter();
  let document = parse(veil(text), lines);
  const reported = new Set<number>();
  for (const fault of [...document.errors, ...document.warnings]) {
    const { line, col: column } = lines.linePos(fault.pos[0]);
    const message = SYNTAX[fault.code] ?? 'this is not YAML';
    if (!reported.has(line)) draft.problems.push({ source: options.source, line, column, path: '', message });
    reported.add(line);
  }
  // With a space for each tab the rest can usually be read, so that its problems are not held back.
  if (document.errors.some((fault) => fault.code === 'TAB_AS_INDENT')) {
    document = parse(veil(text).replace(/^[ \t]+/gm, (indent) => ' '.repeat(indent.length)));
  }
  if (document.errors.length > 0) return false;
  const reading: Reading = { draft, document, lines, ...options, nodes: 0 };
  draft.root = readNode(reading, document.contents, []) ?? {};
  draft.mark([], { ...placeAt(reading, document.contents, undefined), line: 1, column: 1 });
  if (reading.nodes > MOST_NODES) draft.report([], 'holds too many values, or too deep ones');
  return reading.nodes <= MOST_NODES;
}

function parse(text: string, lineCounter?: LineCounter): Document {
  return parseDocument(text, { prettyErrors: false, uniqueKeys: false, ...(lineCounter && { lineCounter }) });
}

function readNode(reading: Reading, node: unknown, path: OptionPath): unknown {
  reading.nodes += path.length > MOST_DEPTH ? MOST_NODES : 1;
  if (reading.nodes > MOST_NODES) return undefined;
  if (isAlias(node)) {
    const target = node.resolve(reading.document);
    if (target === undefined) reading.draft.report(path, 'the alias names no anchor that comes before it');
    return readNode(reading, target, path);
  }
  if (isMap(node)) return readMap(reading, node.items, path);
  if (isSeq(node)) {
    return node.items.map((item, index) => {
      reading.draft.mark([...path, index], placeAt(reading, item, undefined));
      return readNode(reading, item, [...path, index]);
    });
  }
  if (!isScalar(node)) return null;
  return typeof node.value === 'string' ? fill(reading, unveil(node.value), path) : node.value;
}

function readMap(reading: Reading, items: readonly Pair[], path: OptionPath): Record<string, unknown> {
  const map: Record<string, unknown> = {};
  const firstLines = new Map<string, number>();
  for (const { key, value } of items) {
    const name = isScalar(key) ? unveil(String(key.value)) : '?';
    const first = firstLines.get(name);
    const place = placeAt(reading, value ?? key, key);
    reading.draft.mark([...path, name], place);
    if (first === undefined) firstLines.set(name, place.key?.line ?? 1);
    else reading.draft.report([...path, name], `is given twice, first in line ${first}`, { at: 'key' });
    const child = readNode(reading, value, [...path, name]);
    Object.defineProperty(map, name, { value: child, writable: true, enumerable: true, configurable: true });
  }
  return map;
}

function fill(reading: Reading, text: string, path: OptionPath): string {
  const expansion = expand(text, reading.env);
  const place = reading.draft.placeOf(path);
  if (expansion === undefined || place === undefined) return text;
  const { variables, fault } = expansion;
  reading.draft.mark(path, { ...place, textual: true, variables, fault });
  return expansion.text;
}

function placeAt(reading: Reading, node: unknown, key: unknown) {
  const at = (what: unknown): { line: number; column: number } | null => {
    const offset = (what as Node | null)?.range?.[0];
    if (offset === undefined) return null;
    const { line, col } = reading.lines.linePos(offset);
    return { line, column: col };
  };
  const spot = at(node) ?? at(key) ?? { line: 1, column: 1 };
  return { source: reading.source, ...spot, key: at(key), textual: false, variables: [], fault: null };
}
