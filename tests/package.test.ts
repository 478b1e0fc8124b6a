/** The package as a user gets it: packed, unpacked into a project of its own, imported and type-checked there. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Sink } from '../src/pipeline.ts';
import type { Sink as PublicSink } from '../src/sink/index.ts';
import { sampleBatch, sampleEvent } from './support/sample-event.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
let project = '';

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'walpost-package-'));
  const modules = join(project, 'node_modules');
  await mkdir(join(modules, 'walpost'), { recursive: true });
  const pack = ['pack', '--offline', '--ignore-scripts', '--json', `--pack-destination=${project}`];
  const { stdout } = await run('npm', pack, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  await run('tar', ['-xzf', join(project, filename), '-C', join(modules, 'walpost'), '--strip-components=1']);
  // What a user's project needs beside walpost.
  await symlink(join(root, 'node_modules/@types'), join(modules, '@types'));
  // The schemas of the example.
  await symlink(join(root, 'node_modules/zod'), join(modules, 'zod'));
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
});
afterAll(() => rm(project, { recursive: true, force: true }));

/** Compiles one file as strictly as a user may; the messages of the compiler, or nothing. */
async function compile(source: string, ...more: string[]): Promise<string> {
  await writeFile(join(project, 'my-sink.ts'), source);
  const options = [
    '--strict',
    '--exactOptionalPropertyTypes',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
  ];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  return run(process.execPath, [compiler, ...options, ...more, 'my-sink.ts'], { cwd: project }).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
}

const MY_SINK = `
import { type CreateSink, DELIVERED, envelopeOf, type Sink, type SinkEvent, type Verdict, wireToText } from 'walpost/sink';

export const sent: string[] = [];

export const createMySink: CreateSink<{ refuse: string }> = ({ refuse }, { log, name }): Sink => ({
  async deliver(batch, signal) {
    signal.throwIfAborted();
    const verdicts: Verdict[] = batch.events.map((event: SinkEvent) => {
      if (event.eventType === refuse) return { kind: 'rejected', reason: 'not mine' };
      sent.push(wireToText(envelopeOf(event)));
      return DELIVERED;
    });
    log.info({ name }, 'done');
    return verdicts;
  },
  close: () => Promise.resolve(),
});
`;

test('a sink of somebody else compiles against walpost/sink, and delivers', async () => {
  expect(await compile(MY_SINK)).toBe('');
  const { createMySink, sent } = (await import(join(project, 'my-sink.js'))) as {
    createMySink: (options: object, context: object) => PublicSink;
    sent: string[];
  };
  const sink: Sink = createMySink({ refuse: 'bad' }, { name: 'mine', log: { info: () => undefined } });
  const batch = sampleBatch([sampleEvent({ payload: '{"n": 1.10}' }), sampleEvent({ eventType: 'bad' })]);
  expect(await sink.deliver(batch, new AbortController().signal)).toMatchObject([
    { kind: 'delivered' },
    { kind: 'rejected' },
  ]);
  expect(sent).toHaveLength(1);
  expect(sent[0]).toContain('"payload":{"n": 1.10}');
});

test('a verdict that does not exist, and what a sink may not see, do not compile', async () => {
  const wrong = MY_SINK.replace("kind: 'rejected'", "kind: 'ignored'").replace(
    'signal.throw',
    'batch.events[0]!.parkedId; signal.throw',
  );
  const messages = await compile(wrong, '--noEmit', '--skipLibCheck');
  expect(messages).toContain('"ignored"');
  expect(messages).toContain("'parkedId'");
});

test('a link of a page of the package leads to a file of the package', async () => {
  const inside = join(project, 'node_modules/walpost');
  const pages = (await readdir(inside, { recursive: true })).filter((name) => name.endsWith('.md'));
  expect(pages).toContain('docs/operations.md');
  const dead: string[] = [];
  for (const page of pages) {
    const links = (await readFile(join(inside, page), 'utf8')).matchAll(/\]\(([^)\s]+)\)/g);
    for (const [, link = ''] of links) {
      const path = link.replace(/#.*/, '');
      if (/^[a-z]+:/.test(link) || path === '' || existsSync(join(inside, dirname(page), path))) continue;
      dead.push(`${page}: ${link}`);
    }
  }
  expect(dead).toEqual([]);
});

test('the example of docs/sinks/custom.md passes the contract in a project of its own', async () => {
  const page = await readFile(join(root, 'docs/sinks/custom.md'), 'utf8');
  const [sink = '', tests = ''] = [...page.matchAll(/```js\n([^]*?)```/g)].map(([, code = '']) => code);
  await writeFile(join(project, 'my-sink.mjs'), sink);
  await writeFile(join(project, 'my-sink.test.mjs'), tests);
  expect(sink.split('\n').length).toBeLessThanOrEqual(31);
  const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', 'my-sink.test.mjs'], {
    cwd: project,
  });
  expect(Number(/^# pass (\d+)/m.exec(stdout)?.[1])).toBeGreaterThanOrEqual(15);
  expect(stdout).toMatch(/^# fail 0$/m);
});

test('nothing but walpost/sink and walpost/sink/testing can be imported', async () => {
  const paths = ['walpost/sink', 'walpost/sink/testing', 'walpost', 'walpost/sinks', 'walpost/dist/src/envelope.js'];
  const program = `for (const path of ${JSON.stringify(paths)}) console.log(await import(path).then(() => 'yes', (e) => e.code))`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: project });
  expect(stdout.trim().split('\n')).toEqual([
    'yes',
    'yes',
    ...paths.slice(2).map(() => 'ERR_PACKAGE_PATH_NOT_EXPORTED'),
  ]);
});
