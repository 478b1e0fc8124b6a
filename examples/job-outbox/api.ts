/**
 * The API of the application.
 *
 *   POST /courses      {"title": "…"}, headers idempotency-key and x-organization-id: starts a course
 *   GET  /courses/<id> header x-organization-id: its state
 *   GET  /health       for load balancers: 200 when the database and Redis answer
 *   GET  /metrics      for Prometheus
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { inOrganization } from '../support/in-organization.ts';
import { openPool } from '../support/pool.ts';
import { registry, started } from './metrics.ts';
import { connectRedis } from './redis-connection.ts';
import { startCourse } from './start-course.ts';

const { APP_URL, API_PORT = '0' } = process.env;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_BYTES = 64 * 1024;

const pool = openPool(APP_URL, 20, 'courses api');
const redis = connectRedis(1);

type Answer = readonly [status: number, body: object];

async function answer(request: IncomingMessage): Promise<Answer> {
  const { method, url = '/' } = request;
  if (method === 'GET' && url === '/health') return health();
  const organizationId = String(request.headers['x-organization-id']);
  if (!UUID.test(organizationId)) return [400, { error: 'x-organization-id must be a uuid' }];
  if (method === 'POST' && url === '/courses') return start(request, organizationId);
  const [, courseId = ''] = /^\/courses\/([\w-]+)$/.exec(url) ?? [];
  if (method === 'GET' && UUID.test(courseId)) return state(organizationId, courseId);
  return [404, { error: 'no such page' }];
}

async function start(request: IncomingMessage, organizationId: string): Promise<Answer> {
  const key = request.headers['idempotency-key'];
  if (typeof key !== 'string' || key === '') return [400, { error: 'idempotency-key is missing' }];
  const title = titleOf(await bodyOf(request));
  if (title === undefined) return [400, { error: 'the body must be {"title": "…"}, with 1 to 200 characters' }];
  const { courseId, repeated } = await startCourse(pool, { organizationId, key, title });
  started.inc({ repeated: String(repeated) });
  return [repeated ? 200 : 201, { course_id: courseId, repeated }];
}

async function state(organizationId: string, courseId: string): Promise<Answer> {
  const { rows } = await inOrganization(pool, organizationId, (tx) =>
    tx.query('SELECT id, title, state FROM app.courses WHERE id = $1', [courseId]),
  );
  return rows[0] ? [200, rows[0] as object] : [404, { error: 'no such course' }];
}

async function health(): Promise<Answer> {
  const [database, queue] = await Promise.allSettled([pool.query('SELECT 1'), redis.ping()]);
  const isWell = database.status === 'fulfilled' && queue.status === 'fulfilled';
  return [isWell ? 200 : 503, { database: database.status === 'fulfilled', redis: queue.status === 'fulfilled' }];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_BYTES) chunks.push(chunk);
  }
  return bytes > MAX_BYTES ? '' : Buffer.concat(chunks).toString('utf8');
}

function titleOf(body: string): string | undefined {
  try {
    const { title } = JSON.parse(body) as { title?: unknown };
    return typeof title === 'string' && title.length >= 1 && title.length <= 200 ? title : undefined;
  } catch {
    return undefined;
  }
}

/** A key that was used for another request is the caller's mistake; anything else is ours. */
function problem(error: unknown): Answer {
  const { code, message } = error as { code?: string; message?: string };
  if (code === '22023') return [409, { error: message }];
  console.error(error);
  return [503, { error: 'try again' }];
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/metrics') {
    response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
    return;
  }
  const [status, body] = await answer(request).catch(problem);
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()));
server.listen(Number(API_PORT), '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeIdleConnections();
    redis.disconnect();
    void pool.end().then(() => process.exit(0));
  });
}
