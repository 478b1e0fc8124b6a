import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programMissing } from './debian-package.ts';
import { freePort } from './free-port.ts';

/** Debian's PgBouncer, in front of a server. Used where it is there; root on Debian installs it. */
const PROGRAM = '/usr/sbin/pgbouncer';
const NOBODY = 65_534;

/** Why there is none, in one line; undefined when there is. Call it at the top of a test file. */
export function pgbouncerMissing(): Promise<string | undefined> {
  return programMissing(PROGRAM, 'pgbouncer');
}

export interface PgBouncer extends AsyncDisposable {
  /** The connection string of the server, by way of the pooler. */
  readonly url: string;
}

export async function startPgbouncer(serverUrl: string, settings: Record<string, string>): Promise<PgBouncer> {
  const server = new URL(serverUrl);
  const directory = await mkdtemp(join(tmpdir(), 'walpost-pgbouncer-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  const target = `host=${server.hostname} port=${server.port} user=${server.username} password='${decodeURIComponent(server.password)}'`;
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(file, ['[databases]', `* = ${target}`, '[pgbouncer]', ...lines, ''].join('\n'));
  const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const child = spawn(PROGRAM, [file], { ...identity, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (log.includes('process up')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`pgbouncer ended: ${log}`)));
  });
  const url = new URL(serverUrl);
  url.port = String(port);
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
