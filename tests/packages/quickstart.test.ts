/** docs/guides/quickstart.md, literally: its files are written and its commands run, with the packed packages. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { freePort } from '../support/free-port.ts';
import { poll } from '../support/slot-session.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const FOLDERS = { walpost: '.', '@walpost/client': 'packages/client', '@walpost/consumer': 'packages/consumer' };

let home: string;
let database: TestDatabase;
let env: NodeJS.ProcessEnv;
let running: ChildProcess[];
let printed: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'walpost-quickstart-'));
  database = await createTestDatabase({ migrated: false });
  env = {
    PATH: process.env['PATH'],
    HOME: home,
    DATABASE_URL: database.url,
    npm_config_offline: 'true',
    npm_config_update_notifier: 'false',
    NO_COLOR: '1',
  };
  [running, printed] = [[], ''];
  await installPackages(join(home, 'node_modules'));
});
afterEach(async () => {
  for (const child of running) {
    const closed = once(child, 'close');
    process.kill(-(child.pid ?? 0), 'SIGTERM');
    await closed;
  }
  const slots = () =>
    database.query('SELECT slot_name, active FROM pg_replication_slots WHERE database = $1', [database.name]);
  await poll('the slot to be free', async () => (await slots()).every(({ active }) => !active) || undefined, 20_000);
  for (const { slot_name } of await slots()) await database.query('SELECT pg_drop_replication_slot($1)', [slot_name]);
  await database[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

/** What `npm install` brings: the packages as they are published, and those that they and the page ask for. */
async function installPackages(modules: string): Promise<void> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  await run(process.execPath, [compiler, '-b', 'packages/client', 'packages/consumer'], { cwd: root });
  await mkdir(modules);
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (name !== '@walpost' && name !== 'walpost') await symlink(join(root, 'node_modules', name), join(modules, name));
  }
  await rm(join(modules, '.bin'));
  await mkdir(join(modules, '.bin'));
  for (const [name, folder] of Object.entries(FOLDERS)) {
    const pack = ['pack', '--offline', '--ignore-scripts', '--json', `--pack-destination=${home}`];
    const { stdout } = await run('npm', pack, { cwd: join(root, folder), maxBuffer: 64 * 1024 * 1024 });
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
    await mkdir(join(modules, name), { recursive: true });
    await run('tar', ['-xzf', join(home, filename), '-C', join(modules, name), '--strip-components=1']);
  }
  await chmod(join(modules, 'walpost/dist/src/main.js'), 0o755); // as npm does with programs
  await symlink('../walpost/dist/src/main.js', join(modules, '.bin/walpost'));
  await symlink('../tsx/dist/cli.mjs', join(modules, '.bin/tsx'));
}

/** A file with its name, or lines for a shell. Ports of a test's own, for others have those of the page. */
async function readSteps(): Promise<readonly { readonly file: string | undefined; readonly text: string }[]> {
  const [hook, status] = [await freePort(), await freePort()];
  const page = await readFile(join(root, 'docs/guides/quickstart.md'), 'utf8');
  return [...page.matchAll(/(?:^`(\w+\.ts)`.*:\n\n)?```(?:ts|sh)\n([^]*?)```/gm)].map(([, file, text = '']) => ({
    file,
    text: text.replaceAll('4000', `${hook}`).replace('init --yes', `init --yes --port ${status}`),
  }));
}

async function shell(script: string, cwd: string): Promise<void> {
  const child = spawn('bash', ['-euc', script], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (printed += text.toString()));
  if (/receiver\.ts|walpost run/.test(script)) return void running.push(child);
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(printed);
}

test("a typed event arrives in a handler of one's own", { timeout: 300_000 }, async () => {
  const steps = await readSteps();
  const kinds = steps.map(({ file }) => file ?? 'sh').join(' ');
  expect(kinds).toBe('sh sh events.ts receiver.ts sh sh publish.ts sh');
  const shop = join(home, 'shop');
  // The first step is a Postgres, which is there.
  const [, setUp, ...rest] = steps;
  await shell((setUp?.text ?? '').replace(/^npm install .*$/m, 'mv ../node_modules .'), home);
  for (const { file, text } of rest) await (file === undefined ? shell(text, shop) : writeFile(join(shop, file), text));
  const arrived = /order 1 over 19\.90 arrived as event ([0-9a-f-]{36})/;
  const id = await poll('the order', () => Promise.resolve(arrived.exec(printed)?.[1]), 60_000);
  expect(await database.query('SELECT event_id, topic FROM walpost.outbox')).toEqual([
    { event_id: id, topic: 'orders' },
  ]);

  // As the page says: without the commit there is neither order nor event.
  const publish = await readFile(join(shop, 'publish.ts'), 'utf8');
  await writeFile(join(shop, 'publish.ts'), publish.replace('COMMIT', 'ROLLBACK'));
  await shell(rest.at(-1)?.text ?? '', shop);
  expect(await database.query('SELECT FROM walpost.outbox')).toHaveLength(1);

  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const flags = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
  const argv = [compiler, ...flags, '--allowImportingTsExtensions', 'publish.ts', 'receiver.ts'];
  await run(process.execPath, argv, { cwd: shop }).catch((error: { stdout: string }) => expect(error.stdout).toBe(''));
});
