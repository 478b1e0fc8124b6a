/**
 * A receiver as an application has it: `receiver.mjs <framework>`, in a process of its own, so that it can be killed. It
 * writes one row for each event, in the transaction of the inbox. Environment: DATABASE_URL, SECRET, PORT (0 for any), HANG_AT, REFUSE_AT,
 * and CONSUMER, the directory of the compiled package.
 *
 * It prints `port <n>`, and `hanging` when it was told to stop in the middle of the event with the number HANG_AT. The event
 * with the number REFUSE_AT is a PermanentError.
 */
import { createServer } from 'node:http';
import { serve } from '@hono/node-server';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';
import pg from 'pg';

const consumer = (file) => import(`${process.env.CONSUMER}/${file}`);

const { createWebhookHandler, PermanentError, postgresInbox } = await consumer('index.js');
const { expressWebhook } = await consumer('doors/express.js');
const { fastifyWebhook } = await consumer('doors/fastify.js');
const { honoWebhook } = await consumer('doors/hono.js');
const { nodeWebhook } = await consumer('doors/node.js');

const [, , framework] = process.argv;
const { DATABASE_URL, SECRET, PORT = '0', HANG_AT, REFUSE_AT } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL });

const handler = createWebhookHandler({
  secrets: SECRET,
  maxBytes: 4_000_000,
  onError: () => {},
  dedupe: postgresInbox(pool, { table: `received_${framework}` }),
  events: {
    counted: async ({ organization_id, payload: { n } }, client) => {
      const row = [framework, organization_id, n];
      await client.query('INSERT INTO effects (receiver, organization_id, n) VALUES ($1, $2, $3)', row);
      if (String(n) === REFUSE_AT) throw new PermanentError('a number that nobody can use');
      if (String(n) !== HANG_AT) return;
      console.log('hanging');
      await new Promise(() => {});
    },
  },
});

const port = Number(PORT);
const host = '127.0.0.1';
const listening = ({ port }) => console.log(`port ${port}`);

const servers = {
  node: () => {
    const server = createServer(nodeWebhook(handler)).listen(port, host, () => listening(server.address()));
  },
  express: () => {
    const app = express();
    app.all('/hook', expressWebhook(handler));
    app.all('/bytes', express.raw({ type: () => true, limit: '4mb' }), expressWebhook(handler));
    app.use(express.json());
    app.all('/parsed', expressWebhook(handler));
    const server = app.listen(port, host, () => listening(server.address()));
  },
  fastify: async () => {
    const app = fastify();
    app.register(fastifyWebhook(handler), { prefix: '/hook' });
    app.post('/other', (request, reply) => reply.send(request.body));
    await app.listen({ port, host });
    listening(app.server.address());
  },
  hono: () => {
    const app = new Hono();
    app.all('/hook', honoWebhook(handler));
    app.use('/parsed', async (context, next) => {
      await context.req.json();
      await next();
    });
    app.all('/parsed', honoWebhook(handler));
    serve({ fetch: app.fetch, port, hostname: host }, listening);
  },
  /** As Deno.serve, a Supabase Edge Function or a route of Next call it: with a Request, and nothing else. */
  fetch: () => serve({ fetch: (request) => handler(request), port, hostname: host }, listening),
};
await servers[framework]();
