/** Packages that some tests need and others do not pay for: folders of tests/ with a package.json and a lock file. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../..');

/**
 * Installs the packages of tests/<folder> on first use, and returns the directory that has their node_modules. It installs
 * aside and renames into place, since several workers may come first at once. No install script runs.
 */
export async function installedPackages(
  folder: 'servers' | 'orms' | 'node22' | 'frameworks' | 'edge',
): Promise<string> {
  const source = join(root, 'tests', folder);
  const lock = await readFile(join(source, 'package-lock.json'));
  const home = join(root, '.cache', `${folder}-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`);
  if (existsSync(home)) return home;
  await mkdir(dirname(home), { recursive: true });
  const aside = await mkdtemp(`${home}-`);
  try {
    for (const file of ['package.json', 'package-lock.json']) await cp(join(source, file), join(aside, file));
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
