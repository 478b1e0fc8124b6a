import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  embeddedPlatform,
  startEmbeddedPostgres,
} from '../../src/demo/embedded-postgres.ts';

export type PostgresMajor = '15' | '16' | '17' | '18';

const root = join(import.meta.dirname, '../..');
const servers = join(root, 'tests/servers');

/** A server of the test's own, for what must not happen to the shared one: restarts, settings, another major version. */
export async function startServer(
  version: PostgresMajor = '17',
  options: EmbeddedPostgresOptions = {},
): Promise<EmbeddedPostgres> {
  if (version === '17') return startEmbeddedPostgres(options);
  const packages = await installedServers();
  const packageDirectory = join(packages, 'node_modules', `postgres-${version}-${embeddedPlatform}`);
  if (!existsSync(packageDirectory))
    throw new Error(`tests/servers has no Postgres ${version} for ${embeddedPlatform}`);
  return startEmbeddedPostgres({ ...options, packageDirectory });
}

/** Installs tests/servers aside and renames it into place, since several workers may come first at once. */
async function installedServers(): Promise<string> {
  const lock = await readFile(join(servers, 'package-lock.json'));
  const home = join(root, '.cache', `servers-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`);
  if (existsSync(home)) return home;
  await mkdir(dirname(home), { recursive: true });
  const aside = await mkdtemp(`${home}-`);
  try {
    for (const file of ['package.json', 'package-lock.json']) await cp(join(servers, file), join(aside, file));
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    await promisify(execFile)(npm, ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', aside], {
      cwd: aside,
    });
    await rename(aside, home).catch((error: unknown) => {
      if (!existsSync(home)) throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return home;
}
