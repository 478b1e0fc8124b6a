import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { violations } from './support/import-direction.ts';
import { importsOf, readImportGraph } from './support/import-graph.ts';

const trees: string[] = [];
afterEach(() => {
  for (const tree of trees.splice(0)) rmSync(tree, { recursive: true });
});

function plant(files: Record<string, string>): string {
  const tree = mkdtempSync(join(tmpdir(), 'walpost-imports-'));
  trees.push(tree);
  for (const [file, source] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), source);
  }
  return tree;
}

test('every import in src points down: main, cli, relay, stages, foundations, vocabulary', () => {
  const graph = readImportGraph(join(import.meta.dirname, '../src'));
  expect(graph.size).toBeGreaterThan(10);
  expect([...graph.values()].flat().length).toBeGreaterThan(10);
  expect(violations(graph)).toEqual([]);
});

describe('what the rule refuses', () => {
  const event = { 'event.ts': 'export const event = 1;\n' };
  test.each<[string, Record<string, string>, string]>([
    [
      'a stage that imports a sibling stage',
      { 'router/lane.ts': "import type { A } from '../ack/watermark.ts';", 'ack/watermark.ts': '' },
      'router/lane.ts -> ack/watermark.ts: router may not import ack',
    ],
    [
      'a foundation that imports a stage, over several lines',
      { 'config/load.ts': "import {\n  a,\n  b,\n} from '../sinks/webhook.ts';", 'sinks/webhook.ts': '' },
      'config/load.ts -> sinks/webhook.ts: config may not import sinks',
    ],
    [
      'vocabulary that re-exports from above',
      { 'lsn.ts': "export * from './config/schema.ts';", 'config/schema.ts': '' },
      'lsn.ts -> config/schema.ts: vocabulary may not import config',
    ],
    [
      'the relay that loads the command line',
      { 'relay/relay.ts': "const cli = await import('../cli/program.ts');", 'cli/program.ts': '' },
      'relay/relay.ts -> cli/program.ts: relay may not import cli',
    ],
    [
      'a public door that imports a foundation',
      { 'client/index.ts': "import '../postgres/pool.ts';", 'postgres/pool.ts': '' },
      'client/index.ts -> postgres/pool.ts: client may not import postgres',
    ],
    [
      'the door for sinks that imports a stage',
      { 'sink/index.ts': "export { a } from '../sinks/registry.ts';", 'sinks/registry.ts': '' },
      'sink/index.ts -> sinks/registry.ts: sink may not import sinks',
    ],
    [
      'a stage that imports the demo',
      { 'jobs/heal.ts': "import { x } from '../demo/writers.ts';", 'demo/writers.ts': '' },
      'jobs/heal.ts -> demo/writers.ts: jobs may not import demo',
    ],
    [
      'a cycle inside one stage',
      { 'slot/a.ts': "import './b.ts';", 'slot/b.ts': "import './a.ts';" },
      'cycle: slot/a.ts -> slot/b.ts -> slot/a.ts',
    ],
    [
      'a place that nobody planned',
      { 'utils/misc.ts': '' },
      'utils/misc.ts: docs/architecture.md knows no place utils/',
    ],
    [
      'a part of the relay that imports its connection',
      { 'relay/chores.ts': "import './connection.ts';", 'relay/connection.ts': '' },
      'relay/chores.ts -> relay/connection.ts: relay goes down, see docs/architecture.md',
    ],
    [
      'a start that imports leadership',
      { 'relay/starts/a.ts': "import '../leadership/b.ts';", 'relay/leadership/b.ts': '' },
      'relay/starts/a.ts -> relay/leadership/b.ts: relay goes down, see docs/architecture.md',
    ],
    [
      'a healing that imports what decides about a start',
      { 'relay/healing/a.ts': "import '../starts/b.ts';", 'relay/starts/b.ts': '' },
      'relay/healing/a.ts -> relay/starts/b.ts: relay goes down, see docs/architecture.md',
    ],
    ['a file that is not there', { 'slot/a.ts': "import './gone.ts';" }, 'slot/a.ts -> slot/gone.ts: no such file'],
  ])('%s', (_name, files, expected) => {
    expect(violations(readImportGraph(plant({ ...event, ...files })))).toEqual([expected]);
  });

  test('and what it lets pass', () => {
    const tree = plant({
      ...event,
      'main.ts': "import { run } from './cli/program.ts';",
      'cli/program.ts': "import '../relay/relay.ts';\nimport '../demo/run-demo.ts';",
      'demo/run-demo.ts': "import { event } from '../event.ts';",
      'relay/relay.ts': "import '../slot/stream.ts';\nimport '../ack/watermark.ts';\nimport './status/status.ts';",
      'relay/status/status.ts': "import '../leadership/a.ts';\nimport '../term.ts';",
      'relay/leadership/a.ts': "import '../term.ts';",
      'relay/term.ts': '',
      'slot/stream.ts': "import '../postgres/pool.ts';\nimport './frame.ts';",
      'slot/frame.ts': "import pg from 'pg';",
      'ack/watermark.ts': "import '../event.ts'; // import '../slot/stream.ts'",
      'postgres/pool.ts': "/* import '../relay/relay.ts' */\nimport '../config/schema.ts';",
      'config/schema.ts': "import '../event.ts';",
    });
    expect(violations(readImportGraph(tree))).toEqual([]);
  });
});

test('reads each form of import, and no comment', () => {
  const source = [
    "import a from 'a';",
    "import type { B } from 'b';",
    "import * as c from 'c';",
    "import 'd';",
    "export { e } from 'e';",
    "export * from 'f';",
    "const g = await import('g');",
    "let h: import('h').H;",
    "// import 'no';",
    "/* export * from 'no'; */",
    "const url = 'http://x'; import('i');",
  ].join('\n');
  expect(importsOf(source).toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']);
});
