/** Each package as a user gets it: packed, unpacked into an empty project, loaded, and its README's example compiled and run. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchBody } from '../../src/envelope.ts';
import { signingKeys } from '../../src/signing-secret.ts';
import { signatureOf } from '../../src/sinks/webhook/webhook-signature.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { newPool } from '../support/client.ts';
import { createTestDatabase } from '../support/database.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const PACKAGES = ['client', 'consumer'] as const;
let project = '';

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
  const packed = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as Record<string, unknown>;
  const own = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  expect(Object.keys(packed).filter((key) => key.endsWith('ependencies'))).toEqual([]);
  expect(packed['version']).toBe(own.version);
  const { stdout } = await run(
    process.execPath,
    ['--input-type=module', '--eval', `console.log(Object.keys(await import('@walpost/${name}')).join())`],
    { cwd: project },
  );
  expect(stdout).toMatch(name === 'client' ? /publish,publishMany,withOrganization/ : /parseEnvelope,.*verifyWebhook/);
});

test('the example of consumer compiles without Node, and takes a request of the service', async () => {
  const { receive } = (await example('consumer')) as {
    receive: (request: Request, secrets: readonly string[]) => Promise<Response>;
  };
  const secret = `whsec_${Buffer.from('a key of the service').toString('base64')}`;
  const body = wireBytes(batchBody({ sink: 'hook', batch: sampleBatch([sampleEvent({ payload: '{"job_id": 1}' })]) }));
  const timestamp = Math.floor(Date.now() / 1000);
  const request = (id: string): Request =>
    new Request('http://127.0.0.1/', {
      method: 'POST',
      body,
      headers: {
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signatureOf(signingKeys(secret), { id: 'batch_1', timestamp, body }),
      },
    });
  expect((await receive(request('batch_1'), [secret])).status).toBe(204);
  expect((await receive(request('batch_2'), [secret])).status).toBe(401);
});

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
