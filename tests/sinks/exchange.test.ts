import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Agent, type Dispatcher } from 'undici';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { exchange } from '../../src/sinks/http/exchange.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

let receiver: WebhookReceiver;
let agent: Agent;

beforeEach(async () => {
  receiver = await WebhookReceiver.start();
  agent = new Agent({ connections: 1 });
});
afterEach(async () => {
  await agent.destroy();
  await receiver[Symbol.asyncDispose]();
});

function post(origin: string, signal: AbortSignal, through: Dispatcher = agent) {
  const request = { origin, path: '/', method: 'POST', headers: ['content-type', 'text/plain'], body: 'x' } as const;
  return exchange(through, { ...request, headers: [...request.headers] }, { signal, clock: systemClock });
}

const origin = (): string => new URL(receiver.url()).origin;

test('an abort before the head rejects with its reason, and the connection is closed', async () => {
  receiver.script({ kind: 'hang' });
  const controller = new AbortController();
  const posting = post(origin(), controller.signal);
  await receiver.received(1);
  const reason = new Error('enough');
  controller.abort(reason);
  await expect(posting).rejects.toBe(reason);
  await receiver.abandoned();
});

test('a request that waits for the only connection is taken back and never sent', async () => {
  receiver.script({ kind: 'hang' });
  const [first, second] = [new AbortController(), new AbortController()];
  const hanging = post(origin(), first.signal);
  await receiver.received(1);
  const waiting = post(origin(), second.signal);
  second.abort();
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
  first.abort();
  await expect(hanging).rejects.toMatchObject({ name: 'AbortError' });
  expect((await post(origin(), new AbortController().signal)).status).toBe(200);
  expect(receiver.requests).toHaveLength(2);
});

test('a request that cannot be stopped keeps no other of its signal from stopping, and its fault is not lost', async () => {
  receiver.script({ kind: 'hang' });
  const fault = new Error('cannot be stopped');
  const unstoppable = agent.compose((dispatch) => (options, handler) => {
    const onRequestStart: Dispatcher.DispatchHandler['onRequestStart'] = (controller, context) => {
      controller.abort = () => {
        throw fault;
      };
      handler.onRequestStart?.(controller, context);
    };
    return dispatch(options, { onRequestStart, onResponseError: () => undefined });
  });
  const controller = new AbortController();
  const posts = [post(origin(), controller.signal, unstoppable), post(origin(), controller.signal)];
  await receiver.received(1);
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const uncaught = once(process, 'uncaughtException');
  try {
    controller.abort();
    for (const each of posts) await expect(each).rejects.toMatchObject({ name: 'AbortError' });
    expect((await uncaught)[0]).toBe(fault);
  } finally {
    for (const listener of others) process.on('uncaughtException', listener);
  }
});

test('a signal that has aborted before sends nothing, and costs no connection', async () => {
  const { signal } = new AbortController();
  expect((await post(origin(), signal)).status).toBe(200);
  await expect(post(origin(), AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  expect((await post(origin(), signal)).status).toBe(200);
  expect(receiver.requests).toHaveLength(2);
  expect(receiver.connections).toBe(1);
});

test('a body that ends within the bounds is whole, and its connection serves the next request', async () => {
  const { signal } = new AbortController();
  const answer = await post(origin(), signal);
  expect(answer).toMatchObject({ status: 200, statusText: 'OK', cut: false });
  expect(Buffer.concat(answer.chunks).toString()).toBe('ok');
  await post(origin(), signal);
  expect(receiver.connections).toBe(1);
});

test('interim answers are passed over', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.once('data', () =>
      socket.write(
        'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok',
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const answer = await post(`http://127.0.0.1:${port}`, new AbortController().signal);
  expect(answer).toMatchObject({ status: 202, cut: false });
  for (const socket of sockets) socket.destroy();
  server.close();
});
