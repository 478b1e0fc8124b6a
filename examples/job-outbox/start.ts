/** `npm start`: everything that the job outbox needs, until Ctrl-C. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Example } from '../support/example.ts';

/** Jobs must survive a restart, and none may be evicted. */
const REDIS = [
  '--loglevel',
  'warning',
  '--bind',
  '127.0.0.1',
  '--save',
  '',
  '--appendonly',
  'yes',
  '--appendfsync',
  'always',
];

const directory = await mkdtemp(join(tmpdir(), 'job-outbox-redis-'));
try {
  await using example = await Example.open(import.meta.dirname, ['REDIS_PORT', 'API_PORT', 'WORKER_PORT']);
  const { API_PORT = '', REDIS_PORT = '' } = example.env;
  await example.startProgram(
    'redis',
    ['redis-server', ...REDIS, '--port', REDIS_PORT, '--dir', directory],
    'REDIS_PORT',
  );
  await example.startWalpost();
  await example.start('workers', 'worker-process.ts', 'WORKER_PORT');
  await example.start('api', 'api.ts', 'API_PORT');
  example.say(`
The job outbox runs. In another terminal, in this folder:

  curl -d '{"title": "Go for gophers"}' -H 'idempotency-key: first' \\
       -H 'x-organization-id: 6f1c2a52-0000-4000-8000-000000000001' \\
       http://127.0.0.1:${API_PORT}/courses

  npm run smoke           seven smoke tests
  npm run load            100 requests at once
  npm run early           a worker that reads before the commit
  npm run verify          the checks of a deployment
  npm run walpost status  what walpost itself says
  npm run audit           what was committed, and what the workers have done
  kill -9 <process>       walpost, the workers, the API or Redis

Ctrl-C stops everything, and removes its files.
`);
  await example.untilStopped();
} finally {
  await rm(directory, { recursive: true, force: true });
}
