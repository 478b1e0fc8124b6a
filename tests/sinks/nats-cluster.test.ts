import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StorageType } from '@nats-io/jetstream';
import { credsAuthenticator, nkeys } from '@nats-io/transport-node';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { Certificates } from '../support/certificates.ts';
import { ConfigFile } from '../support/config-file.ts';
import { addStream, NatsServer, natsServerMissing, storedIn } from '../support/nats-server.ts';
import { NatsOperator } from '../support/nats-operator.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';

const missing = await natsServerMissing();
const never = new AbortController().signal;

function natsSink(options: object): Promise<Sink> {
  return createSink(sinkSchema.parse({ type: 'nats', ...options }), contractContext);
}

/**
 * As the router does: what was not delivered is sent again, in order, until all of it is stored. The first attempt ends
 * when another leader is elected, since an answer of the lost one never comes; each further attempt begins with a leader.
 */
async function untilDelivered(sink: Sink, events: readonly Event[], elected: () => Promise<unknown>): Promise<number> {
  const first = new AbortController();
  let left = events;
  for (let attempt = 1; ; attempt++) {
    const delivering = sink.deliver(sampleBatch(left, attempt), attempt === 1 ? first.signal : never);
    const abort = (): void => first.abort();
    if (attempt === 1) elected().then(abort, abort);
    const verdicts = (await delivering) as readonly Verdict[];
    left = left.filter((_, place) => verdicts[place]?.kind !== 'delivered');
    if (left.length === 0) return attempt;
    await elected();
  }
}

describe.skipIf(missing)('a cluster of three', () => {
  let nodes: NatsServer[] = [];
  beforeEach(async () => void (nodes = await NatsServer.cluster()));
  afterEach(() => Promise.all(nodes.map((node) => node[Symbol.asyncDispose]())));

  test(
    'loses the leader of its stream in the middle: each event is stored once, in order',
    { timeout: 120_000 },
    async () => {
      const servers = nodes.map(({ url }) => url);
      const connection = await (nodes[0] as NatsServer).connect({ servers });
      const manager = await addStream(connection, { num_replicas: 3, storage: StorageType.File });
      const sink = await natsSink({ servers });
      const lanes = Array.from({ length: 8 }, () => {
        const organizationId = randomUUID();
        return Array.from({ length: 150 }, () => sampleEvent({ organizationId }));
      });
      const leaderNow = async (): Promise<string | undefined> =>
        (await manager.streams.info('EVENTS').catch(() => undefined))?.cluster?.leader;
      for (const lane of lanes) await sink.deliver(sampleBatch(lane.slice(0, 10)), never);
      const leader = await leaderNow();
      const elected = (): Promise<unknown> =>
        poll(
          'another leader is elected',
          async () => {
            const now = await leaderNow();
            return (now !== undefined && now !== leader) || undefined;
          },
          60_000,
        );
      const delivering = Promise.all(lanes.map((lane) => untilDelivered(sink, lane.slice(10), elected)));
      delivering.catch(() => undefined);
      await nodes[Number(leader?.slice(1))]?.kill();
      const attempts = await delivering;
      expect(Math.max(...attempts)).toBeGreaterThan(1);
      const stored = await storedIn(connection);
      expect(stored).toHaveLength(8 * 150);
      for (const lane of lanes) {
        const ids = new Set(lane.map(({ eventId }) => eventId));
        expect(stored.map(({ id }) => id).filter((id) => ids.has(id))).toEqual([...ids]);
      }
      await sink.close();
      await connection.close();
    },
  );
});

describe.skipIf(missing)('a login', () => {
  const wrong = nkeys.createUser();
  const user = nkeys.createUser();
  const seed = (pair: typeof user): string => Buffer.from(pair.getSeed()).toString();

  test.each([
    ['a token', 'authorization { token: "t0ken-of-the-server" }', { token: 't0ken-of-the-server' }, { token: 'no' }],
    [
      'an NKey',
      `authorization { users: [{ nkey: ${user.getPublicKey()} }] }`,
      { nkey: seed(user) },
      { nkey: seed(wrong) },
    ],
  ])('with %s passes, and another one is refused', async (_name, config, right, other) => {
    await using server = await NatsServer.start({ config });
    const reaches = async (login: object): Promise<Verdict | undefined> => {
      const sink = await natsSink({ servers: [server.url], ...login });
      const [verdict] = (await sink.deliver(sampleBatch([sampleEvent()]), never)) as readonly Verdict[];
      await sink.close();
      return verdict;
    };
    // There is no stream: whoever is told so has come in.
    expect(await reaches(right)).toMatchObject({ code: 'NATS_NO_STREAM' });
    expect(await reaches(other)).toMatchObject({ kind: 'unavailable', code: 'NATS_AUTHORIZATION' });
  });

  test('with a .creds file or its text passes, and one of another operator is refused', async () => {
    const operator = new NatsOperator();
    await using server = await NatsServer.start({ config: operator.config() });
    const credentials = operator.credentials();
    const authenticator = credsAuthenticator(Buffer.from(credentials));
    const connection = await server.connect({ authenticator });
    await addStream(connection);
    using directory = new ConfigFile(credentials);
    for (const given of [credentials, directory.path]) {
      const sink = await natsSink({ servers: [server.url], credentials: given });
      expect(await sink.deliver(sampleBatch([sampleEvent()]), never)).toEqual([{ kind: 'delivered' }]);
      await sink.close();
    }
    const stranger = await natsSink({ servers: [server.url], credentials: new NatsOperator().credentials() });
    expect(await stranger.deliver(sampleBatch([sampleEvent()]), never)).toMatchObject([
      { kind: 'unavailable', code: 'NATS_AUTHORIZATION' },
    ]);
    await stranger.close();
    expect(await storedIn(connection)).toHaveLength(2);
    await connection.close();
  });

  test('with a certificate over TLS passes; without one, or with another authority, it does not', async () => {
    using certificates = new Certificates();
    const ca = certificates.ca('ours');
    const other = certificates.ca('other');
    const server = certificates.issue(ca, { names: ['DNS:localhost'] });
    const client = certificates.issue(ca, { name: 'client' });
    await using nats = await NatsServer.start({
      config: `tls { cert_file: "${server.cert}", key_file: "${server.key}", ca_file: "${ca.cert}", verify: true }`,
    });
    const reaches = async (tls: object): Promise<Verdict | undefined> => {
      const sink = await natsSink({ servers: [`nats://localhost:${nats.port}`], tls });
      const [verdict] = (await sink.deliver(sampleBatch([sampleEvent()]), never)) as readonly Verdict[];
      await sink.close();
      return verdict;
    };
    const mine = { certificate: client.cert, key: client.key };
    expect(await reaches({ ca: ca.cert, ...mine })).toMatchObject({ code: 'NATS_NO_STREAM' });
    expect(await reaches({ ca: ca.cert })).toMatchObject({ kind: 'unavailable' });
    expect(await reaches({ ca: other.cert, ...mine })).toMatchObject({
      kind: 'unavailable',
      code: expect.stringMatching(/CERT|ISSUER|VERIFY/),
    });
  });

  test.each([
    [{ user: 'a' }, 'user needs password beside it'],
    [{ user: 'a', password: 'b', token: 'c' }, 'token is a second way to log in'],
    [{ tls: { key: 'k' } }, 'tls.key needs certificate beside it'],
    [{ tls: { ca: '/nowhere/ca.pem' } }, 'tls.ca cannot be read'],
  ])('that cannot be meant is refused: %j', async (options, message) => {
    await expect(natsSink({ servers: ['nats://127.0.0.1:4222'], ...options })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(message),
    });
  });
});
