/**
 * One process of an example: the application, a receiver, or walpost. As with a service manager, it is started again when it
 * was killed or stopped. When it ends with an error, the example ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { ExampleError } from './example-error.ts';

export interface ServiceOptions {
  readonly name: string;
  /** The program, and its arguments. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** It is ready when it listens there. */
  readonly port: number | undefined;
  readonly say: (line: string) => void;
}

const RESTART_AFTER_MS = 500;
const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 20_000;

/** When its standard input ends without a message, the example was killed; then the process has to go, too. */
const WATCHDOG = 'read -r word; [ "$word" = done ] || kill -KILL "$1"';

export class Service implements AsyncDisposable {
  /** Rejects when the process has ended with an error. */
  readonly failed: Promise<never>;
  private readonly options: ServiceOptions;
  private readonly stopping = new AbortController();
  private child: ChildProcess;
  private fail: (error: Error) => void = () => undefined;

  constructor(options: ServiceOptions) {
    this.options = options;
    this.failed = new Promise((_, reject) => (this.fail = reject));
    this.failed.catch(() => undefined);
    this.child = this.spawn();
  }

  async ready(): Promise<void> {
    const { port, name } = this.options;
    if (port === undefined) return;
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!(await accepts(port))) {
      if (performance.now() > deadline) {
        throw new ExampleError(`${name} does not listen on port ${port}.`, 'Its lines above say why.');
      }
      await Promise.race([delay(50), this.failed]);
    }
  }

  /** Resolves when it has ended in good order; it is on its way up again then. */
  async restart(): Promise<void> {
    const { child } = this;
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const patience = setTimeout(() => this.child.kill('SIGKILL'), STOP_WITHIN_MS);
    await exit;
    clearTimeout(patience);
  }

  private spawn(): ChildProcess {
    const { name, command, cwd, env, say } = this.options;
    const [program = '', ...args] = command;
    // A session of its own: Ctrl-C must reach the example alone, which stops its processes in their order.
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const dismissWatchdog = watchOver(child);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => say(`${name} | ${line}`));
    }
    child.once('error', (error: NodeJS.ErrnoException) =>
      this.fail(error.code === 'ENOENT' ? notInstalled(program) : error),
    );
    child.once('exit', (code, signal) => {
      dismissWatchdog();
      if (!this.stopping.signal.aborted) void this.ended(code, signal);
    });
    if (child.pid !== undefined) say(`${name} is started, process ${child.pid}`);
    return child;
  }

  private async ended(code: number | null, signal: string | null): Promise<void> {
    const { name, say } = this.options;
    if (code !== null && code !== 0) {
      return this.fail(new ExampleError(`${name} has ended with exit code ${code}.`, 'Its lines above say why.'));
    }
    say(`${name} has ended (${signal ?? 'exit code 0'}), and is started again`);
    await delay(RESTART_AFTER_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    if (!this.stopping.signal.aborted) this.child = this.spawn();
  }
}

function notInstalled(program: string): ExampleError {
  return new ExampleError(`${program} is not installed.`, 'README.md of this example says how to install it.');
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const answer = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return answer;
}

function watchOver(child: ChildProcess): () => void {
  if (process.platform === 'win32' || child.pid === undefined) return () => undefined;
  const watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'example-watchdog', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.on('error', () => undefined);
  watchdog.stdin.on('error', () => undefined);
  watchdog.unref();
  return () => watchdog.stdin.end('done\n');
}
