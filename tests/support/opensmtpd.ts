/**
 * Debian's OpenSMTPD with a configuration of its own, on a port of loopback; mails go to a folder.
 *
 * Its queue and its control socket have fixed paths, and it changes to users of its own. So it runs as root, in a mount
 * namespace in which those paths are empty, and nothing of it stays.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PostalMime, { type Email } from 'postal-mime';
import { programMissing } from './debian-package.ts';
import { freePort } from './free-port.ts';
import { poll } from './slot-session.ts';

const PROGRAM = '/usr/sbin/smtpd';
const NOBODY = 65_534;
const EMPTIED = ['/var/spool', '/run'];

/** Why there is none, in one line; undefined when there is. Call it at the top of a test file. */
export async function opensmtpdMissing(): Promise<string | undefined> {
  return (
    (await programMissing(PROGRAM, 'opensmtpd')) ?? (process.getuid?.() === 0 ? undefined : 'OpenSMTPD needs root')
  );
}

export class OpenSmtpd implements AsyncDisposable {
  readonly port: number;
  private readonly directory: string;
  private readonly child: ChildProcess;
  private log = '';

  private constructor(port: number) {
    this.port = port;
    this.directory = mkdtempSync(join(tmpdir(), 'walpost-opensmtpd-'));
    chmodSync(this.directory, 0o755);
    const mails = join(this.directory, 'mails');
    mkdirSync(mails);
    chownSync(mails, NOBODY, NOBODY);
    const config = join(this.directory, 'smtpd.conf');
    writeFileSync(
      config,
      `listen on 127.0.0.1 port ${port} hostname mail.walpost.test
action "keep" maildir "${mails}" user nobody
match from any for domain "walpost.test" action "keep"
`,
    );
    const mounts = EMPTIED.map((path) => `mount -t tmpfs none ${path}`).join(' && ');
    this.child = spawn('unshare', ['-m', 'sh', '-c', `${mounts} && exec ${PROGRAM} -d -v -f ${config}`]);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    }
  }

  static async start(): Promise<OpenSmtpd> {
    const server = new OpenSmtpd(await freePort());
    await server.until('OpenSMTPD listens', () => server.log.includes('smtp: will accept'));
    return server;
  }

  /** Resolves with the mails in its folder once there are that many. */
  async mails(count: number): Promise<readonly Email[]> {
    await this.until(`${count} mails are in the folder`, () => this.log.split('result=Ok').length > count);
    const folder = join(this.directory, 'mails', 'new');
    return Promise.all(readdirSync(folder).map((name) => PostalMime.parse(readFileSync(join(folder, name)))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.directory, { recursive: true });
  }

  private until(what: string, condition: () => boolean): Promise<unknown> {
    return poll(what, () => {
      if (this.child.exitCode !== null) throw new Error(`smtpd ended: ${this.log.slice(-500)}`);
      return Promise.resolve(condition() || undefined);
    });
  }
}
