/** `walpost types`: the file that it writes compiles, and is the event map of @walpost/client. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { walpost } from '../support/walpost-cli.ts';

const root = join(import.meta.dirname, '../..');
let database: TestDatabase;
let place: string;
beforeEach(async () => {
  database = await createTestDatabase();
  place = await mkdtemp(join(tmpdir(), 'walpost-types-'));
  await writeFile(
    join(place, 'walpost.yaml'),
    `database: { url: '${database.url}' }\nsinks: { log: { type: stdout } }\nroutes: [{ match: {}, to: [log] }]\n`,
  );
});
afterEach(async () => {
  await rm(place, { recursive: true });
  await database[Symbol.asyncDispose]();
});

const register = (type: string, version: number, schema: object, description: string | null = null) =>
  database.query('INSERT INTO walpost.event_types VALUES ($1, $2, $3, $4)', [type, version, schema, description]);
const types = (...flags: string[]) => walpost(['types', ...flags], { cwd: place });

const USES = `
import { createPublisher, type Transaction } from '${root}/packages/client/src/index.ts';
import { type Events, type EventVersions, versions } from './events.ts';
const publisher = createPublisher<Events>(versions);
declare const tx: Transaction;
const organizationId = '';
export const first: EventVersions['job.completed'][1] = { job_id: 1 };
await publisher.publish(tx, { organizationId, eventType: 'job.completed', payload: { job_id: 'a', state: 'done' } });
await publisher.publish(tx, { organizationId, eventType: 'note', payload: ['anything'] });
// @ts-expect-error: of version 1
await publisher.publish(tx, { organizationId, eventType: 'job.completed', payload: { job_id: 1 } });
// @ts-expect-error: no such type
await publisher.publish(tx, { organizationId, eventType: 'job.lost', payload: {} });
`;

async function compile(): Promise<string> {
  await writeFile(join(place, 'uses.mts'), USES);
  await writeFile(join(place, 'package.json'), '{ "type": "module" }');
  const options = [
    '--strict',
    '--noEmit',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--allowImportingTsExtensions',
  ];
  const argv = [
    join(root, 'node_modules/typescript/bin/tsc'),
    ...options,
    '--types',
    '',
    '--lib',
    'es2022,dom',
    'uses.mts',
  ];
  return promisify(execFile)(process.execPath, argv, { cwd: place }).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
}

test('the types are those of the table, and the publisher of the client takes them', async () => {
  await register('job.completed', 1, { properties: { job_id: { type: 'integer' } }, required: ['job_id'] });
  const properties = { job_id: { type: 'string' }, state: { enum: ['done', 'failed'] } };
  await register('job.completed', 2, { properties, required: ['job_id'] }, 'A job has ended.');
  await register('note', 1, {});
  expect(await types('--out', 'events.ts')).toMatchObject({
    code: 0,
    stdout: 'Wrote 3 versions of event types to events.ts.\n',
  });
  const text = await readFile(join(place, 'events.ts'), 'utf8');
  expect((await types()).stdout).toBe(text);
  expect(text).toContain('/** A job has ended. */');
  expect(text).toContain('1: unknown;');
  expect(await compile()).toBe('');
});

test('--check says with exit code 3 that the file is not what the table says', async () => {
  await register('a', 1, {});
  const check = () => types('--out', 'events.ts', '--check');
  expect(await check()).toMatchObject({ code: 3, stdout: expect.stringContaining('events.ts is missing') as string });
  await types('--out', 'events.ts');
  expect(await check()).toMatchObject({ code: 0, stdout: 'events.ts is up to date.\n' });
  await register('a', 2, {});
  expect(await check()).toMatchObject({ code: 3, stdout: expect.stringContaining('differs from') as string });
  expect(await readFile(join(place, 'events.ts'), 'utf8')).not.toContain('2:');
  expect(await types('--check')).toMatchObject({ code: 2 });
});
