import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { compiled } from './compiled.ts';

const MAIN = compiled(join(import.meta.dirname, '../../src/main.ts'));

/** A situation is told within this time, and a command says what it has to say. */
export const TOLD_WITHIN_MS = 30_000;

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Another program than walpost itself. */
  readonly script?: string;
  /** Options of Node, before the script; none by default. */
  readonly node?: readonly string[];
  /** For root: it may read only what its own user may. */
  readonly withoutCapabilities?: boolean;
  /** Milliseconds in which it has to print what is waited for, and to end; without a limit by default. */
  readonly within?: number;
}

const WITHOUT_CAPABILITIES = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all'];

export interface CliResult {
  /** The exit code, or the signal's name. */
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running walpost, as a user starts it; disposing kills what is left of it. */
export class Cli implements AsyncDisposable {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #closed: Promise<CliResult>;
  readonly #within: number | undefined;
  #waiting: (() => void)[] = [];

  constructor(argv: readonly string[], options: CliOptions = {}) {
    const { cwd, env, script = MAIN, node = [], withoutCapabilities = false, within } = options;
    this.#within = within;
    const clean = Object.entries(process.env).filter(([name]) => !/^(WALPOST_|NO_COLOR$|FORCE_COLOR$)/.test(name));
    const program = [process.execPath, ...node, script, ...argv];
    const [command = '', ...rest] = withoutCapabilities ? [...WITHOUT_CAPABILITIES, ...program] : program;
    this.child = spawn(command, rest, {
      cwd,
      env: { ...Object.fromEntries(clean), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#grow(() => (this.stdout += text)));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#grow(() => (this.stderr += text)));
    this.#closed = once(this.child, 'close').then(([code, signal]: unknown[]) => {
      this.#wake();
      return { code: (code ?? signal) as number | string | null, stdout: this.stdout, stderr: this.stderr };
    });
  }

  #grow(add: () => void): void {
    add();
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when it has printed that; rejects with what it printed when it ends without, or time runs out. */
  prints(pattern: RegExp, stream: 'stdout' | 'stderr' = 'stderr'): Promise<void> {
    return this.#inTime(String(pattern), this.#untilPrinted(pattern, stream));
  }

  async #untilPrinted(pattern: RegExp, stream: 'stdout' | 'stderr'): Promise<void> {
    while (!pattern.test(this[stream])) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended without ${pattern}:\n${this.stdout}${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  result(): Promise<CliResult> {
    return this.#inTime('its end', this.#closed);
  }

  async #inTime<T>(what: string, happens: Promise<T>): Promise<T> {
    if (this.#within === undefined) return happens;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const fail = (): void => reject(new Error(`not in ${this.#within} ms: ${what}:\n${this.stdout}${this.stderr}`));
      timer = setTimeout(fail, this.#within);
    });
    return Promise.race([happens, late]).finally(() => clearTimeout(timer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.#closed;
  }
}

/** Runs one command to its end. */
export async function walpost(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  await using cli = new Cli(argv, options);
  return await cli.result();
}
