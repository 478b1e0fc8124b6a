/**
 * A stand-in for a webhook node of n8n. A run of its workflow is a row of app.workflow_runs, once for each event.
 *
 *   POST /webhook   what walpost sends
 *   POST /faults    {"status": 503, "times": 3, "key": "…"}: how the next requests are answered, of all events or of one
 *   GET  /attempts  {"<key>": [<ms>, …]}: when each event came whose answer was a fault
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createWebhookHandler, PermanentError, postgresInbox, type WebhookHandler } from '@walpost/consumer';
import { nodeWebhook } from '@walpost/consumer/node';
import type pg from 'pg';
import { openPool } from '../support/pool.ts';

const { APP_URL, N8N_PORT, N8N_QUIET, WEBHOOK_SECRET = '' } = process.env;
const pool = openPool(APP_URL, 20, 'n8n');

interface Fault {
  readonly status: number;
  times: number;
  readonly key?: string;
}

const faults: Fault[] = [];
const attempts: Record<string, number[]> = {};

/** The workflow for one request, whose headers have to say what its body says. */
function workflow(type: unknown, key: unknown): WebhookHandler {
  return createWebhookHandler({
    secrets: WEBHOOK_SECRET,
    dedupe: postgresInbox<pg.PoolClient>(pool, { table: 'app.received' }),
    events: {
      '*': async (event, tx) => {
        const { event_id, event_type, idempotency_key, organization_id } = event;
        if (event_type !== type || (idempotency_key ?? event_id) !== key) {
          throw new PermanentError('X-Event-Type or X-Idempotency-Key is not that of the event');
        }
        await tx.query(
          'INSERT INTO app.workflow_runs (organization_id, event_id, event_type, idempotency_key) VALUES ($1, $2, $3, $4)',
          [organization_id, event_id, event_type, idempotency_key],
        );
        if (N8N_QUIET === undefined) console.log(`${event_type} of ${organization_id}: the workflow has run`);
      },
    },
    onError: (error) => N8N_QUIET ?? console.log(`not done: ${(error as Error).message}`),
  });
}

function faultFor(key: string): number | undefined {
  const fault = faults.find((each) => each.times > 0 && (each.key === undefined || each.key === key));
  if (fault === undefined) return undefined;
  fault.times -= 1;
  (attempts[key] ??= []).push(Date.now());
  return fault.status;
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/attempts') {
    response.end(JSON.stringify(attempts));
  } else if (request.url === '/faults') {
    faults.length = 0;
    faults.push(JSON.parse(Buffer.concat((await request.toArray()) as Buffer[]).toString()) as Fault);
    response.writeHead(204).end();
  } else {
    const { 'x-event-type': type, 'x-idempotency-key': key } = request.headers;
    const status = faultFor(String(key));
    if (status === undefined) await nodeWebhook(workflow(type, key))(request, response);
    else response.writeHead(status).end();
  }
}

const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()));
server.listen(Number(N8N_PORT), '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeIdleConnections();
    void pool.end().then(() => process.exit(0));
  });
}
