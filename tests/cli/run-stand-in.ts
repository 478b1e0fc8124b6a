/** The process of `walpost run` around a relay that does as its first argument says. */
import { setTimeout as delay } from 'node:timers/promises';
import { runProcess } from '../../src/cli/run-process.ts';
import { configSchema } from '../../src/config/schema.ts';
import { WalpostError } from '../../src/errors.ts';
import type { RunningRelay } from '../../src/observe/status-report.ts';
import { sampleReport } from '../support/status-report.ts';

const [behaviour = 'drain', port = '0', , host = '127.0.0.1'] = process.argv.slice(2);
const never = new Promise<void>(() => undefined);

class StandIn implements RunningRelay {
  #stop = (): void => undefined;

  async run(signal: AbortSignal): Promise<void> {
    if (behaviour === 'usage') throw new WalpostError('SINK_PACKAGE_MISSING', { detail: 'npm install kafka.' });
    if (behaviour === 'operator') throw new WalpostError('WAL_LEVEL');
    if (behaviour === 'defect') throw new Error('connect postgres://a:hunter2@db');
    console.error('running');
    // Something must keep the process alive, as connections do.
    const alive = setInterval(() => undefined, 1000);
    await new Promise<void>((resolve) => {
      this.#stop = resolve;
      signal.addEventListener('abort', () => resolve());
    });
    clearInterval(alive);
    console.error('ran');
  }

  async drain(): Promise<void> {
    console.error('draining');
    if (behaviour === 'hang') await never;
    if (behaviour === 'reload') await delay(500); // longer than the new configuration allows
    console.error('drained');
    this.#stop();
  }

  numbers() {
    return this.status();
  }

  async status() {
    return sampleReport();
  }

  readiness() {
    return { ready: true, degraded: false, role: 'leader', detail: 'stand-in' } as const;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    console.error('disposed');
  }
}

const config = configSchema.parse({
  database: { url: 'postgres://localhost' },
  delivery: { timeout: behaviour === 'reload' ? '30s' : '10ms' },
  sinks: { log: { type: 'stdout' } },
  routes: [{ to: ['log'] }],
  http: { host, port: Number(port), token: 'a-token-of-16-chars' },
});
process.exitCode = await runProcess(
  { config, readAgain: () => ({ ...config, delivery: { ...config.delivery, timeout: 10 } }) },
  () => new StandIn(),
  behaviour === 'hang' || behaviour === 'reload' ? Number(process.argv[4]) : 5_000,
);
