/** One process of workers, with its metrics. */
import { createServer } from 'node:http';
import { openPool } from '../support/pool.ts';
import { guardMetrics } from './course-state.ts';
import { registry } from './metrics.ts';
import { startWorkers } from './workers.ts';

const { APP_URL, WORKER_PORT = '0', WORK_MS = '50', LOCK_MS = '5000' } = process.env;

const pool = openPool(APP_URL, 34, 'courses worker');
const stop = startWorkers({ pool, workMs: Number(WORK_MS), lockMs: Number(LOCK_MS) });

const server = createServer((request, response) => {
  if (request.url !== '/metrics') return response.writeHead(404).end();
  return registry.metrics().then(
    (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text + guardMetrics()),
    () => response.writeHead(503).end(),
  );
});
server.listen(Number(WORKER_PORT), '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close();
    void stop()
      .then(() => pool.end())
      .then(() => process.exit(0));
  });
}
