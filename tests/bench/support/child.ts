import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A child process with what it printed; disposing ends it. */
export class Child implements AsyncDisposable {
  readonly process: ChildProcess;
  output = '';
  readonly #closed: Promise<unknown>;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (text: string): void => void (this.output = (this.output + text).slice(-20_000));
    this.process.stdout?.setEncoding('utf8').on('data', keep);
    this.process.stderr?.setEncoding('utf8').on('data', keep);
    this.#closed = once(this.process, 'close');
  }

  /** How it ended; undefined while it runs. */
  readonly ended = (): string | undefined => {
    const { exitCode, signalCode } = this.process;
    return exitCode === null && signalCode === null ? undefined : `${exitCode ?? signalCode}\n${this.output}`;
  };

  /** Resolves with the match once it has printed that. */
  async prints(pattern: RegExp, limitMs = 60_000): Promise<RegExpExecArray> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const match = pattern.exec(this.output);
      if (match) return match;
      if (this.ended() !== undefined) throw new Error(`ended without ${pattern}: ${this.ended()}`);
      if (performance.now() > deadline) throw new Error(`did not print ${pattern} in ${limitMs} ms: ${this.output}`);
      await delay(10);
    }
  }

  /** Most memory it has held so far, in MiB; Linux alone tells. */
  get peakMiB(): number | null {
    return statusField(this.process.pid, 'VmHWM');
  }

  /** Processor time it has used so far, in milliseconds; Linux alone tells. */
  get cpuMs(): number | null {
    return cpuMsOf(this.process.pid);
  }

  async exit(): Promise<number | null> {
    await this.#closed;
    return this.process.exitCode;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM', limitMs = 15_000): Promise<void> {
    if (this.ended() !== undefined) return;
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), limitMs);
    await this.#closed;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
  }
}

export function cpuMsOf(pid: number | undefined): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return null;
  }
}

export function statusField(pid: number | undefined, name: string): number | null {
  try {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match ? Number(match[1]) / 1024 : null;
  } catch {
    return null;
  }
}
