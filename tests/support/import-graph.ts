import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';

/** Every source file of a tree, with the files that it imports, both as paths like `slot/stream.ts`. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

const COMMENT = /\/\*[\s\S]*?\*\/|(?<=^|[\s;{}(,])\/\/[^\n]*/g;
const STATEMENT = /^[ \t]*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm;
const SIDE_EFFECT = /^[ \t]*import\s*['"]([^'"]+)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"`]([^'"`]+)['"`]/g;

/** What the source imports, in any form: statement, re-export, side effect, type, `import()`. */
export function importsOf(source: string): string[] {
  const code = source.replace(COMMENT, '');
  return [STATEMENT, SIDE_EFFECT, DYNAMIC].flatMap((form) => [...code.matchAll(form)].map((match) => match[1] ?? ''));
}

export function sourceFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .toSorted();
}

export function readImportGraph(root: string): ImportGraph {
  const relativeImports = (file: string): string[] =>
    importsOf(readFileSync(join(root, file), 'utf8'))
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => posix.normalize(posix.join(dirname(file), specifier)));
  return new Map(sourceFiles(root).map((file) => [file, relativeImports(file)]));
}

/** The first cycle from each file that is on one, as `a.ts -> b.ts -> a.ts`. */
export function findCycles(graph: ImportGraph): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  const cycles: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) return void cycles.push([...path.slice(start), file].join(' -> '));
    if (done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return cycles;
}
