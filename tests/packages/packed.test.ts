/** Each package as a user gets it: packed, unpacked into an empty project, loaded, and its README's example compiled and run. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newPool } from '../support/client.ts';
import { createTestDatabase } from '../support/database.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { SECRET, signedWebhook } from '../support/signed-webhook.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const PACKAGES = ['client', 'consumer'] as const;
let project = '';

const DOORS = `
import { createServer } from 'node:http';
import { Pool, type PoolClient } from 'pg';
import { createWebhookHandler, memoryDedupe, postgresInbox } from '@walpost/consumer';
import { expressWebhook } from '@walpost/consumer/express';
import { fastifyWebhook } from '@walpost/consumer/fastify';
import { honoWebhook } from '@walpost/consumer/hono';
import { nodeWebhook } from '@walpost/consumer/node';
export const handler = createWebhookHandler({
  secrets: 'a text',
  dedupe: postgresInbox<PoolClient>(new Pool()),
  events: { '*': async (event, client) => (await client.query<{ n: number }>('SELECT 1 AS n')).rows[0]?.n },
});
createWebhookHandler({ secrets: ['a text'], dedupe: memoryDedupe(), events: { a: (event) => console.log(event.lsn) } });
export const POST: (request: Request) => Promise<Response> = handler;
createServer(nodeWebhook(handler));
export const doors = [expressWebhook(handler), fastifyWebhook(handler), honoWebhook(handler)].map((door) => typeof door);
`;

beforeAll(async () => {
  await run(process.execPath, [compiler, '-b', ...PACKAGES.map((name) => `packages/${name}`)], { cwd: root });
  project = await mkdtemp(join(tmpdir(), 'walpost-packages-'));
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
  for (const name of PACKAGES) {
    const pack = ['pack', '--offline', '--ignore-scripts', '--json', `--pack-destination=${project}`];
    const { stdout } = await run('npm', pack, { cwd: join(root, 'packages', name) });
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
    const home = join(project, 'node_modules/@walpost', name);
    await mkdir(home, { recursive: true });
    await run('tar', ['-xzf', join(project, filename), '-C', home, '--strip-components=1']);
  }
});
afterAll(() => rm(project, { recursive: true, force: true }));

/** Compiles the example of the README in a project that has nothing else but what is named, and loads it. */
async function example(name: (typeof PACKAGES)[number], ...modules: string[]): Promise<Record<string, unknown>> {
  const place = join(project, `${name}-example`);
  await mkdir(place);
  for (const module of modules) {
    await symlink(join(root, 'node_modules', module), join(project, 'node_modules', module));
  }
  const [, code = ''] =
    /```ts\n([^]*?)```/.exec(await readFile(join(root, 'packages', name, 'README.md'), 'utf8')) ?? [];
  await writeFile(join(place, 'example.ts'), code);
  const types = modules.includes('@types') ? ['--types', 'node'] : ['--types', ''];
  const options = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022', ...types];
  await run(process.execPath, [compiler, ...options, 'example.ts'], { cwd: place }).catch((error: { stdout: string }) =>
    expect(error.stdout).toBe(''),
  );
  return (await import(join(place, 'example.js'))) as Record<string, unknown>;
}

test.each(PACKAGES)('%s holds what is needed, and depends on nothing', async (name) => {
  const home = join(project, 'node_modules/@walpost', name);
  const files = await readdir(home, { recursive: true });
  expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json', 'dist']));
  expect(files.filter((file) => /\.(ts|tsbuildinfo)$/.test(file) && !file.endsWith('.d.ts'))).toEqual([]);
  const links = (await readFile(join(home, 'README.md'), 'utf8')).matchAll(/\]\((?!https:|#)([^)\s]+)\)/g);
  expect([...links].map(([, link]) => link)).toEqual([]); // the package names no repository, where they would lead
  const packed = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as Record<string, unknown>;
  const own = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const { peerDependencies = {}, peerDependenciesMeta = {} } = packed as Record<string, Record<string, object>>;
  expect(Object.keys(packed)).not.toContain('dependencies');
  expect(Object.keys(peerDependencies)).toEqual(name === 'client' ? [] : ['idb']);
  expect(Object.values(peerDependenciesMeta)).toEqual(Object.keys(peerDependencies).map(() => ({ optional: true })));
  expect(packed['version']).toBe(own.version);
  const load = (type: string, names: string) =>
    run(
      process.execPath,
      [`--input-type=${type}`, '--no-warnings', '--eval', `console.log(Object.keys(${names}).join())`],
      {
        cwd: project,
      },
    );
  const names =
    name === 'client' ? /autocommit,createPublisher,.*publish,publishMany/ : /parseEnvelope,.*verifyWebhook/;
  expect((await load('module', `await import('@walpost/${name}')`)).stdout).toMatch(names);
  expect((await load('commonjs', `require('@walpost/${name}')`)).stdout).toMatch(names);
});

test('the door of client for Supabase has its types, and needs none of Node', async () => {
  const place = join(project, 'supabase');
  await mkdir(place);
  await writeFile(
    join(place, 'door.ts'),
    `import { createSupabasePublisher, type SupabaseClient } from '@walpost/client/supabase';
     declare const supabase: SupabaseClient;
     export const publisher = () => createSupabasePublisher<{ a: { n: number } }>(supabase);
     export const call = () => publisher().publish({ organizationId: '', eventType: 'a', payload: { n: 1 } });`,
  );
  const options = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022,dom', '--types', ''];
  await run(process.execPath, [compiler, ...options, 'door.ts'], { cwd: place }).catch((error: { stdout: string }) =>
    expect(error.stdout).toBe(''),
  );
  expect(await import(join(place, 'door.js'))).toMatchObject({ call: expect.any(Function) as unknown });
});

test('the example of consumer compiles without Node, and takes a request of the service', async () => {
  const { receiver } = (await example('consumer')) as {
    receiver: (pool: pg.Pool, secrets: readonly string[]) => (request: Request) => Promise<Response>;
  };
  await using database = await createTestDatabase({ migrated: false });
  await database.query('CREATE TABLE completed (job_id integer)');
  await database.query('CREATE TABLE walpost_received (event_id text PRIMARY KEY)');
  const pool = newPool({ connectionString: database.url });
  const receive = receiver(pool, [SECRET]);
  const init = signedWebhook([sampleEvent({ eventType: 'job.completed', payload: '{"job_id": 7}' })]);
  const statusOf = async (more: RequestInit) =>
    (await receive(new Request('http://127.0.0.1/', { ...init, ...more }))).status;
  expect([await statusOf({}), await statusOf({}), await statusOf({ body: '{}' })]).toEqual([200, 200, 401]);
  await pool.end();
  expect(await database.query('SELECT job_id FROM completed')).toEqual([{ job_id: 7 }]);
});

test('the doors of consumer load and have their types, with those of node-postgres and Node', async () => {
  const place = join(project, 'doors');
  await mkdir(place);
  await mkdir(join(place, 'node_modules'));
  for (const module of ['pg', '@types']) {
    await symlink(join(root, 'node_modules', module), join(place, 'node_modules', module));
  }
  await writeFile(join(place, 'doors.ts'), DOORS);
  const options = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022'];
  await run(process.execPath, [compiler, ...options, '--types', 'node', 'doors.ts'], { cwd: place }).catch(
    (error: { stdout: string }) => expect(error.stdout).toBe(''),
  );
  expect(await import(join(place, 'doors.js'))).toMatchObject({ doors: ['function', 'function', 'function'] });
});

test('every door of consumer loads in Node, the one for IndexedDB with its peer', async () => {
  await symlink(join(root, 'node_modules/idb'), join(project, 'node_modules/idb'));
  const home = join(project, 'node_modules/@walpost/consumer');
  const { exports } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { exports: object };
  const doors = Object.keys(exports).map((door) => door.replace('.', '@walpost/consumer'));
  const program = `for (const door of ${JSON.stringify(doors)}) console.log(Object.keys(await import(door)).join())`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: project });
  expect(stdout.trim().split('\n')).toHaveLength(doors.length);
  expect(stdout).toMatch(/createSubscriber.*\n.*createOfflineQueue.*\nindexedDbStore\n.*createGuard/);
});

test.each(['subscribing', 'workers'])(
  'the code of docs/guides/%s.md compiles with the real libraries',
  async (name) => {
    const place = join(project, name);
    await mkdir(join(place, 'node_modules'), { recursive: true });
    for (const module of ['@supabase', '@tanstack', '@types', 'bullmq', 'ioredis', 'pg']) {
      await symlink(join(root, 'node_modules', module), join(place, 'node_modules', module));
    }
    const page = await readFile(join(root, 'docs/guides', `${name}.md`), 'utf8');
    const snippets = [...page.matchAll(/```ts\n([^]*?)```/g)].map(([, code = '']) => code);
    const files = snippets.map((code, n) => /^\/\/ (\S+\.ts)\n/.exec(code)?.[1] ?? `snippet-${n}.ts`);
    await Promise.all(files.map((file, n) => writeFile(join(place, file), snippets[n] ?? '')));
    const strict = [
      '--strict',
      '--exactOptionalPropertyTypes',
      '--noUncheckedIndexedAccess',
      '--skipLibCheck',
      '--noEmit',
    ];
    const target = [
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--types',
      'node',
      '--lib',
      'es2022,dom,dom.iterable',
    ];
    await run(process.execPath, [compiler, ...strict, ...target, ...files], { cwd: place }).catch(
      (error: { stdout: string }) => expect(error.stdout).toBe(''),
    );
    expect(files.length).toBeGreaterThan(0);
  },
);

test('the example of client compiles with node-postgres, and publishes', async () => {
  const { completeJob } = (await example('client', 'pg', '@types')) as {
    completeJob: (pool: pg.Pool, organizationId: string, jobId: bigint) => Promise<string>;
  };
  await using database = await createTestDatabase();
  const pool = newPool({ connectionString: database.url });
  const id = await completeJob(pool, randomUUID(), 2n ** 64n);
  await pool.end();
  expect(await database.query('SELECT event_id, payload::text FROM walpost.outbox')).toEqual([
    { event_id: id, payload: '{"job_id": 18446744073709551616}' },
  ]);
});
