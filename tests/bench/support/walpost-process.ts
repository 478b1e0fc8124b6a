import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import { ROOT } from './report.ts';

export interface WalpostOptions {
  readonly url: string;
  readonly slot: string;
  readonly sink: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Another build than the one of this checkout. */
  readonly main?: string;
  readonly nodeArgs?: readonly string[];
}

/** As the container has it. */
const NODE_ARGS = ['--max-semi-space-size=8'];

/** `walpost run` of the built program, as the container starts it; all events go to the one sink, by routes that look at topics. */
export class WalpostProcess extends Child {
  readonly #directory: string;

  constructor(options: WalpostOptions) {
    const directory = mkdtempSync(join(tmpdir(), 'walpost-bench-'));
    const file = join(directory, 'walpost.yaml');
    const routes = ['cataloging', 'billing'].map((topic) => ({ match: { topic }, to: ['out'] }));
    const config = {
      database: { url: options.url },
      source: { slot: options.slot },
      sinks: { out: options.sink },
      routes,
      http: { enabled: false },
      log: { level: 'info', format: 'json' },
      ...options.config,
    };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 }); // JSON is YAML
    const main = options.main ?? join(ROOT, 'dist/src/main.js');
    super(process.execPath, [...NODE_ARGS, ...(options.nodeArgs ?? []), main, 'run', '--config', file]);
    this.#directory = directory;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
