/**
 * Debian's Postgres 15, for what the embedded servers do not have: wal2json and pgTAP.
 *
 * It is used where it is there; root on Debian installs it; elsewhere the tests that need it are skipped by name, which
 * with CI=true is a failure instead.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { PostgresServer, type ServerOptions } from '../../src/demo/postgres/postgres-server.ts';
import { cacheDirectory, cacheTemplate } from '../../src/demo/postgres/server-cache.ts';
import { inMemory } from './in-memory.ts';

const HOME = '/usr/lib/postgresql/15';
const NEEDED = [`${HOME}/bin/postgres`, `${HOME}/lib/wal2json.so`, '/usr/share/postgresql/15/extension/pgtap.control'];
const PACKAGES = ['postgresql-15', 'postgresql-15-wal2json', 'postgresql-15-pgtap'];
const run = promisify(execFile);

const complete = (): boolean => NEEDED.every((path) => existsSync(path));

/** Why there is none, in one line; undefined when there is. Installs it where it may. Call it at the top of a test file. */
export async function debianPostgresMissing(): Promise<string | undefined> {
  if (complete()) return undefined;
  const reason = await install();
  if (complete()) return undefined;
  const text = `Debian's Postgres 15 with wal2json and pgTAP is missing: ${reason}`;
  if (process.env['CI'] === 'true') throw new Error(text);
  return text;
}

async function install(): Promise<string> {
  if (process.getuid?.() !== 0) return `apt-get install ${PACKAGES.join(' ')}`;
  const system = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID=debian$/m.test(system)) return 'this is not Debian';
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Other workers, and other runs, may be installing too: apt waits for its own lock.
  const apt = (...words: string[]) => run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', '-qq', ...words], { env });
  try {
    await apt('install', '-y', '--no-upgrade', '--no-install-recommends', ...PACKAGES).catch(async () => {
      await apt('update');
      await apt('install', '-y', '--no-upgrade', '--no-install-recommends', ...PACKAGES);
    });
    return 'its packages do not hold the files';
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  }
}

export async function startDebianPostgres(options: ServerOptions = {}): Promise<EmbeddedPostgres> {
  const missing = await debianPostgresMissing();
  if (missing !== undefined) throw new Error(missing);
  const bin = join(HOME, 'bin');
  const { stdout } = await run(join(bin, 'postgres'), ['--version']);
  const version = /\d+\.\d+/.exec(stdout)?.[0] ?? '15';
  const template = await cacheTemplate(await cacheDirectory(`debian-${version}`), bin);
  const settings = { ...(await trustWal2json(bin)), ...options.settings };
  return PostgresServer.start({ bin, version, ...template }, { ...inMemory, ...options, settings });
}

/** Recent minor releases load only the output plugins that this setting names; older ones do not know it. */
async function trustWal2json(bin: string): Promise<Record<string, string>> {
  const name = 'output_plugin_libraries';
  const { stdout } = await run(join(bin, 'postgres'), ['--describe-config'], { maxBuffer: 16 * 1024 ** 2 });
  return stdout.includes(`${name}\t`) ? { [name]: 'pgoutput, test_decoding, wal2json' } : {};
}
