import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compiled } from '../support/compiled.ts';

const MAIN = compiled(join(import.meta.dirname, '../../src/main.ts'));
const LOOK_TIMEOUT_MS = 500;

/** One of the processes of walpost: started again whenever it ends, as a supervisor would. */
export class RelayChild {
  starts = 0;
  /** Ends that were not ours: with these codes or signals. */
  readonly ends = new Map<string, number>();
  readonly logFile: string;
  private readonly configFile: string;
  private readonly config: { readonly http: { readonly port: number } };
  private child: ChildProcess | undefined;
  private isKilled = false;
  private isOver = false;
  private supervising: Promise<void> | undefined;

  constructor(name: string, directory: string, config: { readonly http: { readonly port: number } }) {
    this.config = config;
    this.configFile = join(directory, `${name}.yaml`);
    this.logFile = join(directory, `${name}.log`);
  }

  async start(): Promise<void> {
    await writeFile(this.configFile, JSON.stringify(this.config));
    this.supervising = this.supervise();
  }

  signal(signal: NodeJS.Signals): boolean {
    if (signal === 'SIGKILL') this.isKilled = true;
    return this.child?.kill(signal) ?? false;
  }

  async isLeader(): Promise<boolean> {
    try {
      const url = `http://127.0.0.1:${this.config.http.port}/readyz`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) });
      return ((await answer.json()) as { role: string }).role === 'leader';
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    this.isOver = true;
    this.child?.kill('SIGKILL');
    await this.supervising;
  }

  private async supervise(): Promise<void> {
    while (!this.isOver) {
      const log = await open(this.logFile, 'a');
      // A session of its own: Ctrl-C on the terminal reaches the soak alone, which ends it.
      const child = spawn(process.execPath, [MAIN, 'run', '--config', this.configFile], {
        stdio: ['ignore', log.fd, log.fd],
        detached: true,
      });
      this.child = child;
      this.starts += 1;
      if (this.isOver) child.kill('SIGKILL');
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      await log.close();
      const how = signal ?? `exit code ${code}`;
      if (!this.isKilled && !this.isOver) this.ends.set(how, (this.ends.get(how) ?? 0) + 1);
      this.isKilled = false;
    }
  }
}
