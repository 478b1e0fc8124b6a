/**
 * A terminal of 80 columns. `script` of util-linux gives the program a pty, so it lays out its output as it does for a
 * person; where there is no `script`, the scenes are skipped by name.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { compiled } from '../support/compiled.ts';
import { TOLD_WITHIN_MS } from '../support/walpost-cli.ts';

export const COLUMNS = 80;
const MAIN = compiled(join(import.meta.dirname, '../../src/main.ts'));

/** Why there is no terminal here; undefined when there is one. */
export function terminalMissing(): string | undefined {
  const { stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' });
  if (stdout?.includes('util-linux')) return undefined;
  if (process.env['CI'] === 'true') throw new Error('the program script of util-linux is missing');
  return 'the program script of util-linux is missing';
}

export interface TerminalOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** 80 by default. */
  readonly columns?: number;
  /** 40 by default. */
  readonly rows?: number;
}

export interface Ended {
  readonly code: number;
  readonly text: string;
}

/** One walpost in a terminal of its own; disposing kills what is left of it. */
export class Terminal implements AsyncDisposable {
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private raw = '';
  private waiting: (() => void)[] = [];

  constructor(argv: readonly string[], { cwd, env, columns = COLUMNS, rows = 40 }: TerminalOptions) {
    const foreign = /^(WALPOST_|PG|NO_COLOR$|FORCE_COLOR$)/;
    const clean = Object.entries(process.env).filter(([name]) => !foreign.test(name));
    const program = [process.execPath, MAIN, ...argv].map(quoted).join(' ');
    const command = `stty cols ${columns} rows ${rows}; echo "$$"; exec ${program}`;
    this.child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd,
      env: { ...Object.fromEntries(clean), NO_COLOR: '1', SHELL: '/bin/sh', TERM: 'xterm', ...env },
      // An open pipe: at the end of its input `script` would type Ctrl-D.
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.child.stdin?.on('error', () => undefined);
    this.child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      this.raw += part;
      this.wake();
    });
    this.closed = once(this.child, 'close').then(() => this.wake());
  }

  /** Everything that was written, with what moves the cursor. */
  get written(): string {
    return this.raw;
  }

  /** What stands on the screen so far, without the line of its own. */
  get text(): string {
    const lines = stripVTControlCharacters(this.raw).split('\r\n').slice(1);
    return lines.map((line) => line.replace(/\r+$/, '').split('\r').at(-1) ?? '').join('\n');
  }

  /** Resolves when the screen shows this, also over several lines; rejects when the program ends, or time runs out, without. */
  async shows(pattern: RegExp, from = 0, timeout = TOLD_WITHIN_MS): Promise<void> {
    const deadline = performance.now() + timeout;
    while (!tells(this.text.slice(from), pattern)) {
      const left = deadline - performance.now();
      if (this.hasEnded || left <= 0) throw new Error(`no ${pattern} in ${timeout} ms:\n${this.text}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** As a person types it. */
  type(text: string): void {
    this.child.stdin?.write(text);
  }

  async end(): Promise<Ended> {
    await this.closed;
    return { code: this.child.exitCode ?? 1, text: this.text };
  }

  /** To walpost itself, not to `script`. */
  signal(name: NodeJS.Signals): void {
    if (this.pid > 0 && !this.hasEnded) process.kill(this.pid, name);
  }

  /** As when a person pulls at the window. */
  resize(columns: number, rows: number): void {
    spawnSync('stty', ['-F', `/proc/${this.pid}/fd/0`, 'cols', String(columns), 'rows', String(rows)]);
  }

  /** Of walpost; 0 before it is there. */
  private get pid(): number {
    return Number(/^\d+/.exec(this.raw)?.[0] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.signal('SIGKILL');
    } catch {
      // it has ended in this moment
    }
    await this.closed;
  }

  private get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Whether this is told, wherever a line was broken: at a blank by walpost, or in a word by the terminal at its edge. */
export function tells(text: string, pattern: RegExp): boolean {
  const joined = text.replace(new RegExp(`^(.{${COLUMNS}})\n`, 'gmu'), '$1');
  return [text, joined].some((each) => pattern.test(each.replace(/\s+/g, ' ')));
}

/** For a shell, and as a person would type it. */
export function quoted(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
