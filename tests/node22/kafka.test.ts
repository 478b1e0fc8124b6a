/** The sink of Kafka, whose client needs Node 22. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import { DELIVERED, type Sink, type Verdict } from '../../src/pipeline.ts';
import type { KafkaClient, KafkaMessage } from '../../src/sinks/kafka/kafka-client.ts';
import { probeKafka } from '../../src/sinks/kafka/kafka-probe.ts';
import { createKafkaSink } from '../../src/sinks/kafka/kafka-sink.ts';
import { wireToText } from '../../src/wire-text.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { installedPackages } from '../support/installed-packages.ts';
import { KafkaBroker, kafkaBrokerMissing, PARTITIONS } from '../support/kafka-broker.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { exampleOf } from '../support/sink-page.ts';
import { poll } from '../support/slot-session.ts';

const tooOld = Number.parseInt(process.versions.node, 10) < 22;
const never = new AbortController().signal;
type KafkaConfig = SinkConfigOf<'kafka'>;

/** Errors as the client makes them. */
interface KafkaErrors {
  readonly ResponseError: new (api: number, version: number, errors: object, response: unknown) => Error;
  readonly UserError: new (message: string) => Error;
}

describe.skipIf(tooOld)('kafka', () => {
  let broker: KafkaBroker;
  let client: KafkaClient & KafkaErrors;
  beforeAll(async () => {
    const missing = await kafkaBrokerMissing();
    if (missing !== undefined) throw new Error(missing);
    const home = await installedPackages('node22');
    const path = join(home, 'node_modules/@platformatic/kafka/dist/index.js');
    client = (await import(pathToFileURL(path).href)) as typeof client;
    broker = await KafkaBroker.start();
  }, 600_000);
  afterAll(() => broker[Symbol.asyncDispose]());

  const fresh = (): string => `t-${randomUUID()}`;

  function kafkaSink(options: Partial<KafkaConfig> = {}, load: () => Promise<KafkaClient> = async () => client) {
    const config = sinkSchema.parse({ type: 'kafka', brokers: [broker.address], ...options }) as KafkaConfig;
    return createKafkaSink(config, contractContext, load);
  }

  async function deliver(sink: Sink, ...events: Event[]): Promise<readonly Verdict[]> {
    return (await sink.deliver(sampleBatch(events), never)) as readonly Verdict[];
  }

  const idsOf = (events: readonly Event[]): string[] => events.map(({ eventId }) => eventId);
  const idIn = (value: string): string => (JSON.parse(value) as { event_id: string }).event_id;

  describeSinkContract('kafka', async () => {
    const own = await KafkaBroker.start();
    const topic = fresh();
    const sink = await kafkaSink({ brokers: [own.address], topic });
    return {
      sink,
      secrets: [],
      received: async () => Buffer.from((await own.stored(topic)).map(({ value }) => value).join('')),
      async hang() {
        own.proxy.hold();
        return true;
      },
      asked: () => poll('it is asked', async () => own.proxy.connections > 0 || undefined).then(() => undefined),
      async fail() {
        own.proxy.redirect({ host: '127.0.0.1', port: 1 });
        return true;
      },
      async released() {
        own.proxy.forward();
        await poll('nothing is open', async () => own.proxy.connections === 0 || undefined);
      },
      [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
    };
  });

  test('a message has the envelope, the organization as its key, and the headers that a broker can carry', async () => {
    const topic = fresh();
    const sink = await kafkaSink({ topic });
    const event = sampleEvent({ headers: '{"traceparent": "00-ab", "deep": {}}', idempotencyKey: 'key-1' });
    expect(await deliver(sink, event)).toEqual([DELIVERED]);
    const [message] = await broker.stored(topic);
    expect(message).toMatchObject({ key: event.organizationId, value: wireToText(envelopeOf(event)) });
    expect(message?.headers.split(',')).toEqual([
      'content-type=application/json',
      `walpost-event-id=${event.eventId}`,
      `walpost-organization-id=${event.organizationId}`,
      'walpost-event-type=job.completed',
      'walpost-topic=cataloging',
      'idempotency-key=key-1',
      'traceparent=00-ab',
    ]);
    await sink.close();
  });

  test('each message has its own headers, also where those of others have the same names', async () => {
    const topic = fresh();
    const sink = await kafkaSink({ topic });
    const types = ['a.one', 'a.two', 'a.one', 'a.three'];
    const events = types.map((eventType, at) => sampleEvent({ eventType, headers: `{"run": ${at}}` }));
    expect(new Set(await deliver(sink, ...events))).toEqual(new Set([DELIVERED]));
    const own = (await broker.stored(topic)).map(({ headers }) =>
      headers.split(',').filter((header) => /^(?:walpost-event-(?:id|type)|run)=/.test(header)),
    );
    expect(own).toEqual(
      events.map(({ eventId, eventType }, at) => [
        `walpost-event-id=${eventId}`,
        `walpost-event-type=${eventType}`,
        `run=${at}`,
      ]),
    );
    await sink.close();
  });

  describe('the probe of the doctor', () => {
    const probe = (
      brokers: string[],
      topic = 'walpost.{topic}',
      load: () => Promise<KafkaClient> = async () => client,
    ) => {
      const config = sinkSchema.parse({ type: 'kafka', brokers, topic }) as KafkaConfig;
      return probeKafka(config, { name: 'out', signal: AbortSignal.timeout(2_000) }, load);
    };

    test('asks the brokers, writes nothing, and leaves no connection', async () => {
      await using own = await KafkaBroker.start();
      expect(await probe([own.address])).toEqual(DELIVERED);
      const topic = fresh();
      expect(await probe([own.address], topic)).toEqual(DELIVERED);
      expect(await own.count(topic)).toBe(0);
      await poll('nothing is open', async () => own.proxy.connections === 0 || undefined);
    });

    test('says that nobody listens, that nobody answers, and that the topic is not there', async () => {
      expect(await probe(['127.0.0.1:1'])).toMatchObject({ kind: 'unavailable', code: 'ECONNREFUSED' });
      await using own = await KafkaBroker.start();
      own.proxy.hold();
      expect(await probe([own.address])).toMatchObject({ kind: 'unavailable', code: 'TIMEOUT' });
      class WithoutTopics extends client.Producer {
        override metadata({ topics }: { topics: readonly string[] }): Promise<unknown> {
          return Promise.reject(new client.UserError(`Unknown topic ${topics[0]}.`));
        }
      }
      const without = async (): Promise<KafkaClient> => ({ ...client, Producer: WithoutTopics });
      expect(await probe([broker.address], 'orders', without)).toMatchObject({
        reason: 'the topic does not exist (UNKNOWN_TOPIC_OR_PARTITION)',
      });
    });
  });

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'with compression %s all arrive',
    async (compression) => {
      const topic = fresh();
      const sink = await kafkaSink({ topic, compression });
      const events = Array.from({ length: 50 }, () => sampleEvent());
      expect(new Set(await deliver(sink, ...events))).toEqual(new Set([DELIVERED]));
      expect((await broker.stored(topic)).map(({ value }) => idIn(value))).toEqual(idsOf(events));
      await sink.close();
    },
  );

  test('organizations in flight together keep their orders, each in one partition', async () => {
    const topic = fresh();
    const sink = await kafkaSink({ topic });
    const lanes = Array.from({ length: 20 }, () => {
      const organizationId = randomUUID();
      return Array.from({ length: 30 }, () => sampleEvent({ organizationId }));
    });
    await Promise.all(
      lanes.map(async (lane) => {
        for (let from = 0; from < lane.length; from += 10) await deliver(sink, ...lane.slice(from, from + 10));
      }),
    );
    const stored = await broker.stored(topic);
    expect(stored).toHaveLength(600);
    for (const lane of lanes) {
      const own = stored.filter(({ key }) => key === lane[0]?.organizationId);
      expect(own.map(({ value }) => idIn(value))).toEqual(idsOf(lane));
      expect(new Set(own.map(({ partition }) => partition)).size).toBe(1);
    }
    expect(new Set(stored.map(({ partition }) => partition)).size).toBe(PARTITIONS);
    await sink.close();
  });

  test('what Kafka cannot carry is refused alone, with the rule', async () => {
    const prefix = fresh();
    const sink = await kafkaSink({ topic: '{topic}', key: '{entity_id}', max_message_bytes: 100_000 });
    const large = JSON.stringify('x'.repeat(100_000));
    const broken = [{ topic: 'a b' }, { topic: '..' }, { topic: '__consumer_offsets' }, { topic: 'x'.repeat(250) }];
    const sound = { topic: prefix, entityId: '42' };
    const events = [...broken, { ...sound, entityId: null }, { ...sound, payload: large }, sound];
    const verdicts = await deliver(sink, ...events.map((fields) => sampleEvent(fields)));
    expect(verdicts.map((verdict) => ('code' in verdict ? verdict.code : verdict.kind))).toEqual([
      ...broken.map(() => 'KAFKA_TOPIC'),
      'KAFKA_KEY',
      'KAFKA_TOO_LARGE',
      'delivered',
    ]);
    expect(verdicts.slice(0, -1).every(({ kind }) => kind === 'rejected')).toBe(true);
    expect(await broker.stored(prefix)).toHaveLength(1);
    await sink.close();
  });

  /** A client whose broker refuses some messages; kcat's refuses none. Counts requests and producers. */
  function refusing(refuse: (message: KafkaMessage) => Error | undefined) {
    const seen = { requests: [] as number[], producers: 0 };
    class Producer extends client.Producer {
      constructor(options: object) {
        super(options);
        seen.producers++;
      }
      override send(options: { readonly messages: readonly KafkaMessage[] }): Promise<unknown> {
        seen.requests.push(options.messages.length);
        const error = options.messages.map((message) => refuse(message)).find((found) => found !== undefined);
        return error ? Promise.reject(error) : super.send(options);
      }
    }
    return { seen, load: async () => ({ ...client, Producer }) };
  }

  const answer = (code: number): Error =>
    new client.ResponseError(0, 7, { '/responses/0/partition_responses/0': [code, null] }, {});

  test('of a request that the broker refuses, the event that is too large is found, and the others arrive', async () => {
    const topic = fresh();
    const { seen, load } = refusing(({ value }) => (value.includes('large') ? answer(10) : undefined));
    const sink = await kafkaSink({ topic }, load);
    const events = [sampleEvent(), sampleEvent({ payload: '"large"' }), sampleEvent()];
    expect(await deliver(sink, ...events)).toMatchObject([
      DELIVERED,
      { kind: 'rejected', code: 'KAFKA_MESSAGE_TOO_LARGE' },
      DELIVERED,
    ]);
    expect(seen).toEqual({ requests: [3, 1, 1, 1], producers: 3 });
    expect((await broker.stored(topic)).map(({ value }) => idIn(value))).toEqual(
      idsOf([events[0], events[2]] as Event[]),
    );
    await sink.close();
  });

  test('a topic that does not exist holds what is behind it, and nothing else', async () => {
    const topic = fresh();
    const unknown = new client.UserError('Unknown topic missing.');
    const { seen, load } = refusing((message) => (message.topic === 'missing' ? unknown : undefined));
    const sink = await kafkaSink({ topic: '{topic}' }, load);
    const topics = [topic, 'missing', topic];
    const verdicts = await deliver(sink, ...topics.map((name) => sampleEvent({ topic: name })));
    expect(verdicts).toMatchObject([
      DELIVERED,
      { kind: 'unavailable', code: 'KAFKA_UNKNOWN_TOPIC_OR_PARTITION', answered: true },
      { kind: 'unavailable', reason: expect.stringMatching(/^not attempted/) },
    ]);
    expect(seen).toEqual({ requests: [3, 1, 1], producers: 1 });
    await sink.close();
  });

  test("a key has the partition that Kafka's Java client chooses", async () => {
    const options: { partitioner?: KafkaClient['compatibilityPartitioner'] }[] = [];
    class Producer extends client.Producer {
      constructor(given: object) {
        super(given);
        options.push(given);
      }
    }
    const sink = await kafkaSink({ topic: fresh() }, async () => ({ ...client, Producer }));
    await deliver(sink, sampleEvent());
    // From the tests of Kafka: murmur2 of "21" is -973932308, and the sign is taken away.
    expect(options[0]?.partitioner?.(undefined, Buffer.from('21'))).toBe(-973_932_308 & 0x7fffffff);
    await sink.close();
  });

  test('a request has at most max_message_bytes', async () => {
    const topic = fresh();
    const { seen, load } = refusing(() => undefined);
    const sink = await kafkaSink({ topic, max_message_bytes: 10_000 }, load);
    const events = Array.from({ length: 5 }, () => sampleEvent({ payload: JSON.stringify('x'.repeat(4000)) }));
    expect(new Set(await deliver(sink, ...events))).toEqual(new Set([DELIVERED]));
    expect(seen.requests).toEqual([2, 2, 1]);
    expect((await broker.stored(topic)).map(({ value }) => idIn(value))).toEqual(idsOf(events));
    await sink.close();
  });

  test('what the broker did not answer in time leaves with no later attempt', async () => {
    await using own = await KafkaBroker.start();
    const topic = fresh();
    const sink = await kafkaSink({ brokers: [own.address], topic });
    const [first, second, third] = [sampleEvent(), sampleEvent(), sampleEvent()];
    await deliver(sink, first);
    own.proxy.hold();
    const controller = new AbortController();
    const both = [second, third].map((event) => sink.deliver(sampleBatch([event]), controller.signal));
    await new Promise((resolve) => setImmediate(resolve)); // the client has them now
    controller.abort();
    for (const verdicts of await Promise.all(both)) expect(verdicts).toMatchObject([{ code: 'TIMEOUT' }]);
    own.proxy.cut();
    own.proxy.forward();
    expect(await deliver(sink, third)).toEqual([DELIVERED]);
    expect((await own.stored(topic)).map(({ value }) => idIn(value))).toEqual(idsOf([first, third]));
    await sink.close();
  });

  test('closes at once, also with much that a broker does not take', async () => {
    await using own = await KafkaBroker.start();
    const sink = await kafkaSink({ brokers: [own.address], topic: fresh(), max_message_bytes: 40_000_000 });
    await deliver(sink, sampleEvent());
    own.proxy.hold();
    const controller = new AbortController();
    const large = sampleEvent({ payload: JSON.stringify('x'.repeat(30_000_000)) });
    const delivering = sink.deliver(sampleBatch([large]), controller.signal);
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    expect(await delivering).toMatchObject([{ code: 'TIMEOUT' }]);
    await sink.close();
    own.proxy.forward();
    await poll('nothing is open', async () => own.proxy.connections === 0 || undefined);
  });

  test('connections that are cut in the middle lose nothing and keep the order of each organization', async () => {
    await using own = await KafkaBroker.start();
    const topic = fresh();
    const sink = await kafkaSink({ brokers: [own.address], topic });
    const lanes = Array.from({ length: 16 }, () => {
      const organizationId = randomUUID();
      return Array.from({ length: 200 }, () => sampleEvent({ organizationId }));
    });
    let cuts = 0;
    let delivered = 0;
    const sendAll = async (lane: readonly Event[]): Promise<void> => {
      for (let left = lane; left.length > 0;) {
        const part = left.slice(0, 5);
        const verdicts = await deliver(sink, ...part);
        const done = part.filter((_, place) => verdicts[place]?.kind === 'delivered');
        delivered += done.length;
        left = left.filter((event) => !done.includes(event));
        if (delivered > (cuts + 1) * 400 && cuts < 6) {
          cuts++;
          own.proxy.cut();
        }
      }
    };
    await Promise.all(lanes.map(sendAll));
    expect(cuts).toBe(6);
    const stored = await own.stored(topic);
    for (const lane of lanes) {
      const ids = stored.filter(({ key }) => key === lane[0]?.organizationId).map(({ value }) => idIn(value));
      expect([...new Set(ids)]).toEqual(idsOf(lane));
    }
    await sink.close();
  });

  test('a broker that does not run is named by its error', async () => {
    const sink = await kafkaSink({ brokers: ['127.0.0.1:1'] });
    expect(await deliver(sink, sampleEvent())).toMatchObject([{ kind: 'unavailable', code: 'ECONNREFUSED' }]);
    await sink.close();
  });

  test('the example of its page delivers', async () => {
    const parsed = sinkSchema.parse(exampleOf('kafka', { '127.0.0.1:9092': broker.address })) as KafkaConfig;
    const sink = await createKafkaSink(parsed, contractContext, async () => client);
    expect(await deliver(sink, sampleEvent({ topic: 'of-the-page' }))).toEqual([DELIVERED]);
    expect(await broker.stored('walpost.of-the-page')).toHaveLength(1);
    await sink.close();
  });

  test('is created from each example of its schema', async () => {
    const schema = sinkSchema.options.find(({ shape }) => (shape.type.value as string) === 'kafka');
    const { examples = [] } = schema?.meta() ?? {};
    expect(examples).not.toEqual([]);
    for (const example of examples as object[]) await (await kafkaSink(example)).close();
  });
});
