import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Clock, pause } from '../clock.ts';
import { watchProcess } from './watch-process.ts';

export interface RelayProcessOptions {
  /** The content of walpost.yaml. */
  readonly config: object;
  /** A directory of the demo, for the configuration and the log. */
  readonly directory: string;
  /** Gets the standard output, which is in the log otherwise. */
  readonly outputFile?: string;
  readonly clock: Clock;
}

/** Maximum time in which `walpost run` may drain before it is killed. */
const STOP_TIMEOUT_MS = 15_000;

/** Sources run through tsx, which is installed wherever sources are. */
function walpostCommand(): string[] {
  if (!import.meta.url.endsWith('.ts')) return [fileURLToPath(new URL('../main.js', import.meta.url))];
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return ['--import', tsx, fileURLToPath(new URL('../main.ts', import.meta.url))];
}

/** The environment without settings that are meant for another walpost. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('WALPOST_')));
}

/** `walpost run` as a user starts it, with its log in a file. */
export class RelayProcess {
  readonly logFile: string;
  /** Resolves with the exit code, or the name of the signal, when the process has ended. */
  readonly ended: Promise<string>;
  private readonly child: ChildProcess;
  private readonly clock: Clock;
  private readonly dismissWatchdog: () => void;

  private constructor(child: ChildProcess, logFile: string, options: RelayProcessOptions) {
    this.child = child;
    this.clock = options.clock;
    this.logFile = logFile;
    this.dismissWatchdog = watchProcess(child, options.directory);
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
  }

  static async start(options: RelayProcessOptions): Promise<RelayProcess> {
    const configFile = join(options.directory, 'walpost.yaml');
    const logFile = join(options.directory, 'walpost.log');
    // JSON is YAML.
    await writeFile(configFile, JSON.stringify(options.config, null, 2), { mode: 0o600 });
    const log = await open(logFile, 'a');
    const output = await open(options.outputFile ?? logFile, 'a');
    try {
      // A session of its own, so that Ctrl-C on the terminal does not reach it before the last events are delivered.
      const child = spawn(process.execPath, [...walpostCommand(), 'run', '--config', configFile], {
        cwd: options.directory,
        env: cleanEnvironment(),
        stdio: ['ignore', output.fd, log.fd],
        detached: true,
      });
      return new RelayProcess(child, logFile, options);
    } finally {
      await log.close();
      await output.close();
    }
  }

  get isRunning(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Lets it drain, and waits until it has gone. */
  async stop(): Promise<void> {
    if (this.isRunning) {
      const exit = once(this.child, 'exit');
      const patience = new AbortController();
      this.child.kill('SIGTERM');
      const timeout = pause(this.clock, STOP_TIMEOUT_MS, patience.signal).then(() => {
        if (this.isRunning) this.child.kill('SIGKILL');
      });
      await exit;
      patience.abort();
      await timeout;
    }
    this.dismissWatchdog();
  }
}
