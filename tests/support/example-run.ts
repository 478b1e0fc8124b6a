import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseEnv, promisify } from 'node:util';

const EXAMPLES = join(import.meta.dirname, '../../examples');
const GONE_WITHIN_MS = 5_000;

/** When its standard input ends without a message, the test was killed; then the example must not go on. */
const WATCHDOG = 'read -r word; [ "$word" = done ] || kill -INT -- "-$1"';

export interface ScriptResult {
  readonly code: number;
  readonly output: string;
}

/** An example, started with `npm start` as its README says. Disposing it is Ctrl-C, and an assertion: nothing is left of it. */
export class ExampleRun implements AsyncDisposable {
  output = '';
  private readonly folder: string;
  /** The files of the folder, without those that the example makes. */
  private readonly before: readonly string[];
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private readonly watchdog: ChildProcess;
  private waiting: (() => void)[] = [];

  private constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.folder = folder;
    this.before = readdirSync(folder);
    const clean = Object.entries(process.env).filter(([name]) => !/^(WALPOST_|npm_|NODE_OPTIONS$|VITEST)/.test(name));
    // A group of its own, like the foreground job of a terminal: Ctrl-C reaches npm and everything that it started.
    this.child = spawn('npm', ['start'], {
      cwd: folder,
      env: { ...Object.fromEntries(clean), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'example-watchdog', String(this.child.pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.grow(text));
    }
    this.closed = once(this.child, 'close').finally(() => this.grow(''));
  }

  /** Resolves when it says that Ctrl-C ends it, which every example says last. */
  static async start(name: string, env: NodeJS.ProcessEnv = {}): Promise<ExampleRun> {
    const run = new ExampleRun(join(EXAMPLES, name), env);
    try {
      await run.prints(/^Ctrl-C stops everything/m);
      return run;
    } catch (error) {
      await run[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What the example has put into `.env` for commands in another terminal. */
  get env(): Readonly<Record<string, string>> {
    return parseEnv(readFileSync(join(this.folder, '.env'), 'utf8')) as Record<string, string>;
  }

  /** Resolves when the whole output fits; rejects when the example ends without. */
  async prints(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.output)) {
      if (this.hasEnded) throw new Error(`the example ended without ${pattern}:\n${this.output}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  /** `npm run <script>` in another terminal. */
  async npmRun(script: string, ...args: readonly string[]): Promise<ScriptResult> {
    const more = args.some((arg) => arg.startsWith('-')) ? ['--', ...args] : args;
    return promisify(execFile)('npm', ['run', '--silent', script, ...more], { cwd: this.folder }).then(
      ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
        code,
        output: stdout + stderr,
      }),
    );
  }

  /** kill -9 of a process of the example. Resolves when it has been started again. */
  async kill(name: string): Promise<void> {
    const before = this.pidsOf(name);
    process.kill(before.at(-1) ?? Number.NaN, 'SIGKILL');
    while (this.pidsOf(name).length === before.length) {
      if (this.hasEnded) throw new Error(`the example ended with ${name}:\n${this.output}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded && this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGINT');
    await this.closed;
    this.watchdog.stdin?.end('done\n');
    await this.untilGone();
    const left = readdirSync(this.folder).filter((name) => !this.before.includes(name));
    if (left.length > 0) throw new Error(`the example has left ${left.join(', ')}:\n${this.output}`);
  }

  private get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private pidsOf(name: string): number[] {
    return [...this.output.matchAll(/^(\S+) is started, process (\d+)$/gm)]
      .filter(([, started]) => name === '*' || started === name)
      .map(([, , pid]) => Number(pid));
  }

  /** npm may end at Ctrl-C a moment before the example does. */
  private async untilGone(): Promise<void> {
    const deadline = performance.now() + GONE_WITHIN_MS;
    const own = [...this.pidsOf('*'), -(this.child.pid ?? 0)].filter((pid) => pid !== 0);
    for (;;) {
      const left = own.filter(isAlive);
      if (left.length === 0) return;
      if (performance.now() > deadline) throw new Error(`the example has left processes: ${left.join(', ')}`);
      await delay(20);
    }
  }

  private grow(text: string): void {
    this.output += text;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
