import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';

/**
 * Why a program of Debian is not there, in one line; undefined when it is. Root on Debian installs its package. With CI=true
 * a missing program is an error. Call it at the top of a test file.
 */
export async function programMissing(program: string, name: string): Promise<string | undefined> {
  if (existsSync(program)) return undefined;
  let reason = `apt-get install ${name}`;
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    const apt = ['-o', 'DPkg::Lock::Timeout=120', '-qq', 'install', '-y', '--no-install-recommends', name];
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await promisify(execFile)('apt-get', apt, { env }).catch((error: Error) => (reason = error.message));
    if (existsSync(program)) return undefined;
  }
  const text = `${program} is missing: ${reason.split('\n')[0]}`;
  if (process.env['CI'] === 'true') throw new Error(text);
  return text;
}
