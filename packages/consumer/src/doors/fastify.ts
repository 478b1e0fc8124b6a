/** The door for Fastify, a plugin: `app.register(fastifyWebhook(handler), { prefix: '/webhooks' })`. */
import type { WebhookHandler } from '../webhook-handler.ts';
import { type NodeRequest, webhookRequestOf } from './node-exchange.ts';

export interface FastifyReplyLike {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(text: string): unknown;
}

/** What is needed of a Fastify instance. */
export interface FastifyLike {
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    type: string,
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): unknown;
  all(path: string, route: (request: { raw: NodeRequest }, reply: FastifyReplyLike) => Promise<unknown>): unknown;
}

/** The parsers are taken away for this plugin alone: the handler reads the body itself, under its own limit. */
export function fastifyWebhook(handler: WebhookHandler): (instance: FastifyLike) => Promise<void> {
  return async (instance) => {
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser('*', (_request, _payload, done) => done(null));
    instance.all('/', async (request, reply) => {
      const answer = await handler(webhookRequestOf(request.raw));
      reply.code(answer.status);
      answer.headers.forEach((value, name) => reply.header(name, value));
      return reply.send(await answer.text());
    });
  };
}
