import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Clock, pause } from '../../clock.ts';
import { watchProcess } from '../watch-process.ts';

/** Debian's wrapper of RabbitMQ, which the path leads to, takes no directories from the environment. */
const BEFORE_PATH = ['/usr/lib/rabbitmq/bin'];
/** Often missing from the path of a user. */
const BEHIND_PATH = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin'];
const START_TIMEOUT_MS = 60_000;
const KEPT_LOG = 4000;

/** The file of an installed program; undefined when this machine has none. */
export function findProgram(name: string): string | undefined {
  const directories = [...BEFORE_PATH, ...(process.env['PATH'] ?? '').split(delimiter), ...BEHIND_PATH];
  return directories.map((directory) => join(directory, name)).find((file) => existsSync(file));
}

/** A program that is installed and does not become a server. */
export class ServerNotStarted extends Error {}

export interface ServerProgramOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** Its working directory, which is removed when the demo is killed. */
  readonly directory: string;
  /** What it prints when it takes clients. */
  readonly ready: string;
  readonly clock: Clock;
  readonly env?: Readonly<Record<string, string>>;
}

/** A server of this machine that the demo starts for itself. It ends with the demo, also when the demo is killed. */
export class ServerProgram {
  private readonly child: ChildProcess;
  private readonly dismissWatchdog: () => void;

  private constructor(child: ChildProcess, directory: string) {
    this.child = child;
    this.dismissWatchdog = watchProcess(child, directory);
  }

  /** Rejects when it ends, or does not take clients in time. */
  static async start(options: ServerProgramOptions): Promise<ServerProgram> {
    const { program, args, directory, ready, clock, env } = options;
    // A group of its own, so that Ctrl-C on the terminal does not reach it before the last events are delivered.
    const child = spawn(program, args, {
      cwd: directory,
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const server = new ServerProgram(child, directory);
    const settled = new AbortController();
    let isReady = false;
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-KEPT_LOG);
        isReady ||= log.includes(ready);
        if (isReady) settled.abort();
      });
    }
    child.once('exit', () => settled.abort());
    child.once('error', ({ message }) => {
      log = message;
      settled.abort();
    });
    await pause(clock, START_TIMEOUT_MS, settled.signal);
    if (isReady) return server;
    await server.stop();
    throw new ServerNotStarted(log.trim().split('\n').at(-1) || 'it says nothing');
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      // With the programs that it started.
      process.kill(-child.pid, 'SIGKILL');
      await exit;
    }
    this.dismissWatchdog();
  }
}
