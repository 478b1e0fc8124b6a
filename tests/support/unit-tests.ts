import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readImportGraph } from './import-graph.ts';

const TESTS = join(import.meta.dirname, '..');

/** What a test names that starts a server or a process, in its own text or in a helper's. */
const NEEDS_A_SERVER = /startEmbeddedPostgres|\brunDemo\b|inject\('postgresUrl'\)|node:child_process|node:cluster/;

/**
 * The test files that need nothing but Node: neither they nor any helper that they import, over however many files, starts
 * a server or a process. As paths from the root, for `npm run test:unit`. The model is left out: it runs for as long as it
 * is given.
 */
export function unitTests(): string[] {
  const graph = readImportGraph(TESTS);
  const known = new Map<string, boolean>();
  const isPlain = (file: string): boolean => {
    const answer = known.get(file);
    if (answer !== undefined) return answer;
    known.set(file, true); // a cycle asks again for what is being looked at
    const helpers = (graph.get(file) ?? []).filter((target) => graph.has(target));
    const plain = !NEEDS_A_SERVER.test(readFileSync(join(TESTS, file), 'utf8')) && helpers.every(isPlain);
    known.set(file, plain);
    return plain;
  };
  return [...graph.keys()]
    .filter((file) => file.endsWith('.test.ts') && !file.startsWith('model/') && isPlain(file))
    .map((file) => `tests/${file}`);
}
