/** A real Prometheus on loopback that scrapes processes each second. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programMissing } from '../support/debian-package.ts';
import { poll } from '../support/slot-session.ts';
import { closedPort } from '../support/webhook-receiver.ts';

const PROMETHEUS = '/usr/bin/prometheus';

export const noPrometheus = await programMissing(PROMETHEUS, 'prometheus');

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Pairs of seconds since the epoch and the value as text. */
  readonly values: readonly (readonly [number, string])[];
}

export class Prometheus implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #url: string;
  #errors = '';

  private constructor(directory: string, port: number) {
    this.#directory = directory;
    this.#url = `http://127.0.0.1:${port}`;
    const args = [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    this.#child = spawn(PROMETHEUS, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
  }

  /** Resolves when it answers. A target is `host:port`. */
  static async start(...targets: string[]): Promise<Prometheus> {
    const directory = mkdtempSync(join(tmpdir(), 'walpost-prometheus-'));
    const scrape = { job_name: 'walpost', static_configs: [{ targets }] };
    const config = { global: { scrape_interval: '1s', scrape_timeout: '1s' }, scrape_configs: [scrape] };
    writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(config)); // JSON is YAML
    const prometheus = new Prometheus(directory, await closedPort());
    try {
      await poll('Prometheus is ready', async () => ((await prometheus.isReady()) ? true : undefined), 30_000);
      return prometheus;
    } catch (error) {
      await prometheus[Symbol.asyncDispose]();
      throw new Error(prometheus.#errors, { cause: error });
    }
  }

  /** The values of the last `seconds`, one a second. */
  async range(expression: string, seconds: number): Promise<readonly Series[]> {
    const end = Date.now() / 1000;
    const query = new URLSearchParams({ query: expression, start: `${end - seconds}`, end: `${end}`, step: '1' });
    const answer = await fetch(`${this.#url}/api/v1/query_range?${query.toString()}`);
    const body = (await answer.json()) as { status: string; error?: string; data: { result: Series[] } };
    if (body.status !== 'success') throw new Error(`${expression}: ${body.error}`);
    return body.data.result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  private async isReady(): Promise<boolean> {
    const answer = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
    return answer?.ok === true;
  }
}
