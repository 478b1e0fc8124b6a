/** @walpost/client/supabase with the real client of Supabase, in Node and in Deno. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import {
  createSupabasePublisher,
  type SupabaseClient,
  type SupabaseOptions,
} from '../../packages/client/src/supabase.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { installedPackages } from '../support/installed-packages.ts';
import { PostgrestStandIn } from '../support/postgrest.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const organizationId = randomUUID();
let home: string;
let createClient: (url: string, key: string, options: object) => SupabaseClient;
let place: string;
beforeAll(async () => {
  home = await installedPackages('edge');
  ({ createClient } = createRequire(join(home, 'package.json'))('@supabase/supabase-js') as {
    createClient: typeof createClient;
  });
  await run(process.execPath, [compiler, '-b', 'packages/client'], { cwd: root });
  place = await mkdtemp(join(home, 'run-'));
}, 600_000);
afterAll(() => rm(place, { recursive: true, force: true }));

let database: TestDatabase;
let authenticator: DatabaseRole;
let user: DatabaseRole;
let api: PostgrestStandIn;
beforeEach(async () => {
  database = await createTestDatabase();
  // As on Supabase: where this function is, the organization comes from the token.
  await database.query(`
    CREATE SCHEMA auth; CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
    CREATE FUNCTION public.echo(arguments jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT arguments'`);
  user = await createRole(database, { in: ['walpost_publisher'] });
  authenticator = await createRole(database, { in: [user.name], attributes: 'NOINHERIT' });
  api = await PostgrestStandIn.start(authenticator.url, ['public', 'walpost']);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  await authenticator[Symbol.asyncDispose]();
  await user[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const token = () => PostgrestStandIn.token({ role: user.name, app_metadata: { organization_id: organizationId } });
const client = async (key?: string) =>
  createClient(api.url, key ?? (await token()), { auth: { persistSession: false } });

const EVENTS = {
  'job.completed': { schema: z.object({ job_id: z.string() }), version: 2, topic: 'jobs' },
  note: z.unknown(),
};
const publisher = async (options?: SupabaseOptions) => createSupabasePublisher(await client(), EVENTS, options);

test('events arrive with the defaults of their definition, and many keep their order', async () => {
  const typed = await publisher();
  const id = await typed.publish({ organizationId, eventType: 'job.completed', payload: { job_id: 'ä"1' } });
  const ids = await typed.publishMany([1, 2, 3].map((n) => ({ organizationId, eventType: 'note', payload: { n } })));
  expect(await typed.publishMany([])).toEqual([]);
  expect(
    await database.query('SELECT event_id, event_type, event_version, topic, payload FROM walpost.outbox ORDER BY seq'),
  ).toEqual([
    { event_id: id, event_type: 'job.completed', event_version: 2, topic: 'jobs', payload: { job_id: 'ä"1' } },
    ...ids.map((event_id, n) => ({
      event_id,
      event_type: 'note',
      event_version: 1,
      topic: 'default',
      payload: { n: n + 1 },
    })),
  ]);
  expect(await typed.status(id)).toBe('pending');
  await expect(typed.waitFor(id, { timeoutMs: 10 })).rejects.toThrow('it is still pending');
});

test('the same key publishes once, and runs a command once', async () => {
  const typed = createSupabasePublisher(
    await client(),
    {},
    { commands: { 'public.echo': { arguments: z.object({ n: z.number() }), result: z.object({ n: z.number() }) } } },
  );
  const command = { organizationId, idempotencyKey: 'k', command: 'public.echo', arguments: { n: 7 } } as const;
  expect([await typed.once(command), await typed.once(command)]).toEqual([{ n: 7 }, { n: 7 }]);
  await expect(typed.once({ ...command, arguments: { n: 8 } })).rejects.toMatchObject({ code: '22023' });
  const plain = createSupabasePublisher<{ a: object }>(await client());
  const event = { organizationId, eventType: 'a', payload: {}, idempotencyKey: 'k' } as const;
  expect(await plain.publish(event)).toBe(await plain.publish(event));
  expect(await database.query('SELECT FROM walpost.outbox')).toHaveLength(1);
});

test('errors are the classes of the client, with a hint', async () => {
  const note = { organizationId, eventType: 'note', payload: {} } as const;
  const typed = await publisher();
  const [hidden, wrapped] = [await publisher({ schema: 'private' }), await publisher({ schema: 'public' })];
  const stranger = createSupabasePublisher(await client('a.b.c'), EVENTS);
  const wrong = { organizationId, eventType: 'job.completed', payload: { job_id: 1 as never } } as const;
  const refusals: [() => Promise<unknown>, object][] = [
    [
      () => typed.publish(wrong),
      { name: 'InvalidPayloadError', problems: [{ path: 'job_id', expected: 'string', got: 'a number' }] },
    ],
    [() => typed.publish({ ...note, organizationId: randomUUID() }), { name: 'NotAllowedError', code: '42501' }],
    [() => typed.publish({ ...note, payload: 'x'.repeat(70_000) }), { name: 'TooLargeError', code: '54000' }],
    [() => typed.emit(note), { name: 'NoRelayError', code: '55000' }],
    [() => hidden.publish(note), { name: 'NotMigratedError', code: 'PGRST106' }],
    [() => wrapped.publish(note), { name: 'NotMigratedError', code: 'PGRST202' }],
    [() => stranger.publish(note), { name: 'NotAllowedError', code: 'PGRST301' }],
  ];
  for (const [refused, error] of refusals) await expect(refused()).rejects.toMatchObject(error);
  expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
});

test('in Deno, without any access to files, a bigint arrives digit by digit', { timeout: 60_000 }, async () => {
  await cp(join(root, 'tests/edge/function.mjs'), join(place, 'function.mjs'));
  const names = { linux: `linux-${process.arch}-glibc`, win32: `win32-${process.arch}-msvc` };
  const platform =
    process.platform in names ? names[process.platform as 'linux'] : `${process.platform}-${process.arch}`;
  const deno = join(home, 'node_modules/@deno', platform, process.platform === 'win32' ? 'deno.exe' : 'deno');
  await cp(join(root, 'packages/client/dist'), join(place, 'dist'), { recursive: true });
  const flags = ['--no-prompt', '--cached-only', '--no-lock', '--no-check', '--allow-net=127.0.0.1'];
  const { stdout } = await run(deno, ['run', ...flags, 'function.mjs', api.url, await token(), organizationId], {
    cwd: place,
    env: { ...process.env, DENO_DIR: join(place, 'deno'), NO_COLOR: '1' },
  });
  expect(await database.query('SELECT event_id, payload::text FROM walpost.outbox')).toEqual([
    { event_id: stdout.trim(), payload: '{"a": [1, -2.5], "big": 1208925819614629174706176}' },
  ]);
});

test('a client of supabase-js fits, with and without types of its database', async () => {
  await writeFile(
    join(place, 'types.mts'),
    `import { createClient } from '@supabase/supabase-js';
     import { createSupabasePublisher } from '${root}/packages/client/dist/client/src/supabase.js';
     interface Database { public: { Tables: {}; Views: {}; Functions: {}; Enums: {}; CompositeTypes: {} } }
     export const typed = createSupabasePublisher<{ a: { n: number } }>(createClient<Database>('', ''));
     export const plain = createSupabasePublisher<{ a: { n: number } }>(createClient('', ''));
     void plain.publish({ organizationId: '', eventType: 'a', payload: { n: 1 } });
     // @ts-expect-error: n is a number
     void plain.publish({ organizationId: '', eventType: 'a', payload: { n: '' } });`,
  );
  const flags = [
    '--ignoreConfig',
    '--strict',
    '--noEmit',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2022',
  ];
  const argv = [compiler, ...flags, '--lib', 'es2022,dom', '--types', '', 'types.mts'];
  await run(process.execPath, argv, { cwd: place }).catch((error: { stdout: string }) => expect(error.stdout).toBe(''));
});
