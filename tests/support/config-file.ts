import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, formatProblem } from '../../src/config/config-problem.ts';
import { loadConfig, type LoadOptions } from '../../src/config/load-config.ts';

/** A walpost.yaml in a directory of its own; disposing removes it. */
export class ConfigFile implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'walpost-config-'));
  readonly path = join(this.directory, 'walpost.yaml');

  constructor(text: string) {
    writeFileSync(this.path, text);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}

/** The configuration that a text gives. */
export function configOf(text: string, options: Partial<LoadOptions> = {}): ReturnType<typeof loadConfig> {
  using file = new ConfigFile(text);
  return loadConfig({ env: {}, ...options, path: file.path });
}

/** The problems of a text, as printed, with the file called walpost.yaml; empty when there are none. */
export function problemsOf(text: string, options: Partial<LoadOptions> = {}): string[] {
  using file = new ConfigFile(text);
  try {
    loadConfig({ env: {}, ...options, path: file.path });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => formatProblem(problem).replace(file.path, 'walpost.yaml'));
  }
}

/** The least that is valid. */
export const LEAST = `database: { url: postgres://localhost/app }
sinks: { log: { type: stdout } }
routes: [{ to: [log] }]
`;
