/**
 * Where embedded servers live on disk.
 *
 *   <tmp>/walpost-postgres-<uid>/
 *     <key>/native/      the package's files with its symlinks restored (npm drops symlinks)
 *     <key>/template/    a data directory fresh from initdb, copied for each server
 *     <key>/password     of the superuser of that template
 *     clusters/<host>-<pid>-<random>/   one running server: data/ and server.log; elsewhere when the server is told so
 *
 * Each part is built aside and renamed into place, so that processes that start at once never see half of it. Postgres
 * refuses to run as root: then the servers run as nobody, who must be able to read the copy but not the checkout.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, cp, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WalpostError } from '../../errors.ts';

const run = promisify(execFile);
const NOBODY = 65534;
const windows = process.platform === 'win32';

/** What `spawn` needs so that the server does not run as root. */
export const serverUser: { uid?: number; gid?: number } = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** The environment of the server's programs, without variables of this process. */
export const serverEnvironment = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' };

export function program(bin: string, name: string): string {
  return join(bin, windows ? `${name}.exe` : name);
}

async function privateRoot(parent = tmpdir()): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const root = join(parent, `walpost-postgres-${uid}`);
  await mkdir(root, { recursive: true, mode: 0o755 });
  const stat = await lstat(root);
  const foreign = !stat.isDirectory() || (!windows && (stat.uid !== uid || (stat.mode & 0o022) !== 0));
  if (foreign) throw new WalpostError('EMBEDDED_POSTGRES', { detail: `${root} belongs to somebody else.` });
  return root;
}

async function cached(path: string, build: (aside: string) => Promise<void>): Promise<string> {
  if (await exists(path)) return path;
  const aside = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await build(aside);
    await rename(aside, path);
  } catch (error) {
    if (!(await exists(path))) throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return path;
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** A private directory of the cache for one build of Postgres; `key` names it. */
export async function cacheDirectory(key: string, parent?: string): Promise<string> {
  const path = join(await privateRoot(parent), key);
  await mkdir(path, { recursive: true, mode: 0o755 });
  return path;
}

/** Copies `native/` of an @embedded-postgres package into the cache, and returns its bin directory. */
export async function cacheNative(cache: string, packageDirectory: string): Promise<string> {
  const native = await cached(join(cache, 'native'), async (aside) => {
    await cp(join(packageDirectory, 'native'), aside, { recursive: true });
    const links = JSON.parse(await readFile(join(aside, 'pg-symlinks.json'), 'utf8')) as Symlink[];
    for (const { source, target } of links) {
      await cp(join(aside, inNative(source)), join(aside, inNative(target)));
    }
    for (const name of ['postgres', 'initdb', 'pg_ctl']) await chmod(program(join(aside, 'bin'), name), 0o755);
    if (!windows) await run('chmod', ['-R', 'a+rX', aside]);
  });
  return join(native, 'bin');
}

interface Symlink {
  readonly source: string;
  readonly target: string;
}

const inNative = (path: string): string => path.replace(/^native[/\\]/, '');

/** Runs initdb once for each build, and returns the data directory to copy with its superuser's password. */
export async function cacheTemplate(cache: string, bin: string): Promise<{ template: string; password: string }> {
  const home = await cached(join(cache, 'template'), async (aside) => {
    await mkdir(aside, { mode: 0o700 });
    const passwordFile = join(aside, 'password');
    await writeFile(passwordFile, randomBytes(18).toString('base64url'), { mode: 0o600 });
    await giveToServer(aside);
    await giveToServer(passwordFile);
    const options = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'];
    const target = ['--username=postgres', `--pwfile=${passwordFile}`, `--pgdata=${join(aside, 'data')}`];
    await run(program(bin, 'initdb'), [...options, ...target], { ...serverUser, env: serverEnvironment, cwd: cache });
  });
  return { template: join(home, 'data'), password: await readFile(join(home, 'password'), 'utf8') };
}

async function giveToServer(path: string): Promise<void> {
  if (serverUser.uid !== undefined) await chown(path, serverUser.uid, NOBODY);
}

/** A new cluster directory with a copy of the template as `data/`. */
export async function newCluster(template: string, parent?: string): Promise<string> {
  const clusters = await cacheDirectory('clusters', parent);
  await removeAbandoned(clusters);
  const cluster = await mkdtemp(join(clusters, `${hostname()}-${process.pid}-`));
  await giveToServer(cluster);
  const data = join(cluster, 'data');
  if (windows) await cp(template, data, { recursive: true });
  else await run('cp', ['-R', '-p', template, data], { ...serverUser, env: serverEnvironment, cwd: cluster });
  return cluster;
}

/**
 * Removes the files of killed processes. A server that still runs there notices within a minute that its lock file is gone
 * and shuts down, so no process is ever killed by a number read from a file.
 */
async function removeAbandoned(clusters: string): Promise<void> {
  for (const name of await readdir(clusters)) {
    const owner = name.startsWith(`${hostname()}-`) ? /-(\d+)-[^-]+$/.exec(name)?.[1] : undefined;
    if (owner === undefined || isAlive(Number(owner))) continue;
    await rm(join(clusters, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
