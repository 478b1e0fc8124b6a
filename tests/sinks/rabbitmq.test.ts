import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { RabbitmqServer, rabbitmqServerMissing } from '../support/rabbitmq-server.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { exampleOf } from '../support/sink-page.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const missing = await rabbitmqServerMissing();
/** Milliseconds in which a killed server has to be back. */
const RECOVERY = 90_000;
const never = new AbortController().signal;

function rabbitmqSink(url: string, options: Partial<SinkConfigOf<'rabbitmq'>>): Promise<Sink> {
  return createSink(sinkSchema.parse({ type: 'rabbitmq', url, exchange: '', ...options }), contractContext);
}

async function deliver(sink: Sink, ...events: ReturnType<typeof sampleEvent>[]): Promise<readonly Verdict[]> {
  return (await sink.deliver(sampleBatch(events), never)) as readonly Verdict[];
}

describe.skipIf(missing)('rabbitmq', () => {
  let server: RabbitmqServer;
  let connection: ChannelModel;
  let channel: Channel;
  beforeAll(async () => {
    server = await RabbitmqServer.start();
    await reconnect();
  });
  afterAll(async () => {
    await connection.close().catch(() => undefined);
    await server[Symbol.asyncDispose]();
  });

  async function reconnect(): Promise<void> {
    connection = await server.connect();
    connection.on('error', () => undefined);
    channel = await connection.createChannel();
  }

  /** A queue of this test alone, which the default exchange finds by its name. */
  async function queue(options: object = {}): Promise<string> {
    const name = `q-${randomUUID()}`;
    await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum', ...options } });
    return name;
  }

  async function stored(name: string, from: Channel = channel): Promise<GetMessage[]> {
    const messages: GetMessage[] = [];
    for (;;) {
      const message = await from.get(name);
      if (!message) break;
      messages.push(message);
    }
    for (const message of messages) from.nack(message);
    return messages;
  }

  describeSinkContract('rabbitmq', async () => {
    const routing_key = await queue();
    const proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    const sink = await rabbitmqSink(proxy.url(server.url()), { routing_key });
    return {
      sink,
      secrets: ['guest'],
      received: async () => Buffer.concat((await stored(routing_key)).map(({ content }) => content)),
      async hang() {
        proxy.hold();
        return true;
      },
      asked: () => poll('it is asked', async () => proxy.connections > 0 || undefined).then(() => undefined),
      async fail() {
        await channel.deleteQueue(routing_key);
        return true;
      },
      async released() {
        proxy.forward();
        await poll('nothing is open', async () => proxy.connections === 0 || undefined);
      },
      [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
    };
  });

  test('a message is persistent, has the envelope, the id of the event and its headers, and none that would route', async () => {
    const name = await queue();
    const other = await queue();
    const sink = await rabbitmqSink(server.url(), { routing_key: name });
    const event = sampleEvent({ headers: `{"traceparent": "00-ab", "CC": "${other}"}`, idempotencyKey: 'key-1' });
    expect(await deliver(sink, event)).toEqual([{ kind: 'delivered' }]);
    const [message] = await stored(name);
    expect(message?.content).toEqual(wireBytes(envelopeOf(event)));
    expect(message?.properties).toMatchObject({ deliveryMode: 2, messageId: event.eventId, type: 'job.completed' });
    expect(message?.properties.headers).toMatchObject({ traceparent: '00-ab', 'idempotency-key': 'key-1' });
    expect(message?.properties.headers).not.toHaveProperty('CC');
    expect(await stored(other)).toEqual([]);
    await sink.close();
  });

  test('a message that no queue takes is not delivered, and holds what is behind it', async () => {
    const sink = await rabbitmqSink(server.url(), { routing_key: `none-${randomUUID()}` });
    const verdicts = await deliver(sink, sampleEvent(), sampleEvent());
    expect(verdicts[0]).toMatchObject({ kind: 'unavailable', code: 'RABBITMQ_UNROUTABLE', answered: true });
    expect(verdicts[1]).toMatchObject({ reason: expect.stringMatching(/^not attempted/) });
    await sink.close();
  });

  test('a routing key that is empty or too long is refused alone, with the rule', async () => {
    const name = await queue();
    await channel.assertExchange(`x-${name}`, 'fanout');
    await channel.bindQueue(name, `x-${name}`, '');
    const sink = await rabbitmqSink(server.url(), { exchange: `x-${name}`, routing_key: '{entity_id}' });
    const ids = [null, 'é'.repeat(128), 'é'.repeat(127)];
    expect(await deliver(sink, ...ids.map((entityId) => sampleEvent({ entityId })))).toMatchObject([
      { kind: 'rejected', code: 'RABBITMQ_ROUTING_KEY', reason: expect.stringContaining('empty') },
      { kind: 'rejected', code: 'RABBITMQ_ROUTING_KEY', reason: expect.stringContaining('255 bytes') },
      { kind: 'delivered' },
    ]);
    await sink.close();
  });

  test.each([
    ['an exchange that does not exist', 'guest:guest', { exchange: 'nowhere' }, 'RABBITMQ_404'],
    ['a wrong password', 'guest:wrong', {}, 'RABBITMQ_403'],
  ])('%s is told, by code, and again at the next attempt', async (_name, login, options, code) => {
    const sink = await rabbitmqSink(server.url(login), { routing_key: 'x', ...options });
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await deliver(sink, sampleEvent())).toMatchObject([{ kind: 'unavailable', code }]);
    }
    await sink.close();
  });

  test('an event whose id no property can hold is carried all the same', async () => {
    const name = await queue();
    const sink = await rabbitmqSink(server.url(), { routing_key: name });
    const event = sampleEvent({ eventId: `${'é'.repeat(200)}\r\nx` });
    expect(await deliver(sink, event, sampleEvent())).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }]);
    await sink.close();
  });

  test('a queue that is full refuses the message, which is sent again', async () => {
    const name = `full-${randomUUID()}`;
    const limits = { 'x-max-length': 1, 'x-overflow': 'reject-publish' };
    await channel.assertQueue(name, { durable: true, arguments: limits });
    const sink = await rabbitmqSink(server.url(), { routing_key: name });
    const [first, second] = [sampleEvent(), sampleEvent()];
    expect(await deliver(sink, first, second)).toMatchObject([{ kind: 'delivered' }, { code: 'RABBITMQ_NACK' }]);
    await channel.purgeQueue(name);
    expect(await deliver(sink, second)).toEqual([{ kind: 'delivered' }]);
    await sink.close();
  });

  test('a server that hangs does not keep the sink from closing', async () => {
    const proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    const sink = await rabbitmqSink(proxy.url(server.url()), { routing_key: await queue() });
    expect(await deliver(sink, sampleEvent())).toEqual([{ kind: 'delivered' }]);
    proxy.hold();
    await sink.close();
    await proxy[Symbol.asyncDispose]();
  });

  test('the example of its page delivers', async () => {
    await channel.assertExchange('events', 'topic');
    const name = await queue();
    await channel.bindQueue(name, 'events', '#');
    const replaced = { 'amqp://walpost:secret@127.0.0.1:5672': server.url() };
    const sink = await createSink(sinkSchema.parse(exampleOf('rabbitmq', replaced)), contractContext);
    expect(await deliver(sink, sampleEvent())).toEqual([{ kind: 'delivered' }]);
    expect(await stored(name)).toHaveLength(1);
    await sink.close();
  });

  test(
    'a server that is killed in the middle and started again has every event, in order',
    { timeout: 2 * RECOVERY },
    async () => {
      const name = await queue();
      await server.restart();
      await reconnect();
      const sink = await rabbitmqSink(server.url(), { routing_key: name });
      const events = Array.from({ length: 2000 }, () => sampleEvent());
      const half = sink.deliver(sampleBatch(events), never) as Promise<readonly Verdict[]>;
      await poll('some are stored', async () => (await channel.checkQueue(name)).messageCount > 20 || undefined);
      await server.kill();
      const verdicts = await half;
      const rest = events.filter((_, place) => verdicts[place]?.kind !== 'delivered');
      expect(rest.length).toBeGreaterThan(0);
      await server.launch();
      await reconnect();
      // A queue that recovers may refuse for the first half minute.
      await poll(
        'the queue takes messages',
        async () => (await deliver(sink, rest[0] as Event))[0]?.kind === 'delivered' || undefined,
        RECOVERY,
      );
      expect((await deliver(sink, ...rest)).every(({ kind }) => kind === 'delivered')).toBe(true);
      const ids = (await stored(name)).map(({ properties }) => String(properties.messageId));
      expect([...new Set(ids)]).toEqual(events.map(({ eventId }) => eventId));
      await sink.close();
    },
  );
});
