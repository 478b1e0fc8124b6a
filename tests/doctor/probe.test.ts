/** What `walpost doctor --probe` learns of each kind of destination, without an event. */
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { judgeAsked, judgeProbes } from '../../src/doctor/checks/sinks.ts';
import { probeSinks, type SinkProbe } from '../../src/doctor/facts/probe.ts';
import { freePort } from '../support/free-port.ts';
import { MailServer } from '../support/mail-server.ts';
import { RealtimeFake } from '../support/realtime-fake.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';
import { SlackFake } from '../support/slack-fake.ts';

const withoutRedis = await redisMissing();
const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function keep<T extends AsyncDisposable>(thing: T): T {
  opened.push(thing);
  return thing;
}

async function probed(sink: object): Promise<readonly SinkProbe[]> {
  return probeSinks({ sinks: { out: sinkSchema.parse(sink) } }, systemClock);
}

const mail = { type: 'email', from: 'a@example.com', to: 'b@example.com', templates: 'examples/mails' };

describe('nobody listens', () => {
  test.each<[string, (port: number) => object]>([
    ['webhook', (port) => ({ type: 'webhook', url: `http://127.0.0.1:${port}/x`, allow_private: true })],
    ['slack', (port) => ({ type: 'slack', url: `http://127.0.0.1:${port}/x`, allow_private: true })],
    ['realtime', (port) => ({ type: 'realtime', url: `http://127.0.0.1:${port}`, key: 'k', allow_private: true })],
    ['email by SMTP', (port) => ({ ...mail, provider: 'smtp', url: `smtp://127.0.0.1:${port}`, allow_private: true })],
    [
      'email by Resend',
      (port) => ({ ...mail, provider: 'resend', key: 're_1', url: `http://127.0.0.1:${port}`, allow_private: true }),
    ],
    ['nats', (port) => ({ type: 'nats', servers: [`nats://127.0.0.1:${port}`] })],
    ['rabbitmq', (port) => ({ type: 'rabbitmq', url: `amqp://u:s3cret@127.0.0.1:${port}`, exchange: 'x' })],
    ['redis', (port) => ({ type: 'redis', url: `redis://:s3cret@127.0.0.1:${port}` })],
    ['bullmq', (port) => ({ type: 'bullmq', url: `redis://:s3cret@127.0.0.1:${port}` })],
    ['postgres', (port) => ({ type: 'postgres', url: `postgres://u:s3cret@127.0.0.1:${port}/x` })],
  ])('%s', async (_name, sinkAt) => {
    const port = await freePort();
    const probes = await probed(sinkAt(port));
    expect(probes).toMatchObject([{ sink: 'out', place: `127.0.0.1:${port}`, isConnected: false }]);
    const [finding] = judgeProbes(probes);
    expect(finding).toMatchObject({ code: 'SINK_UNREACHABLE', subject: 'sink out' });
    expect(finding?.remedy).toContain(`Start what listens on 127.0.0.1:${port}`);
    expect(JSON.stringify(finding)).not.toContain('s3cret');
  });
});

test.each(['stdout', 'discard', 'live'])('%s has no destination to ask', async (type) => {
  expect(await probed({ type })).toEqual([]);
});

describe('kafka', () => {
  const sink = sinkSchema.parse({ type: 'kafka', brokers: ['127.0.0.1:9'], topic: 'orders' });

  test('is not asked where its client does not run, and that is not known', async () => {
    const probes = await probeSinks({ sinks: { out: sink } }, systemClock, 20);
    expect(judgeAsked(probes)).toEqual({
      findings: [],
      unknown: ['sink out was not asked: the client of Kafka needs Node 22, and this is Node 20'],
    });
  });
});

describe('the login', () => {
  test('of a mail server: verified, or refused; no mail is sent', async () => {
    const server = keep(await MailServer.start());
    server.password = 's3cret';
    const sinkWith = (password: string): object => ({
      ...mail,
      provider: 'smtp',
      url: `smtp://me:${password}@127.0.0.1:${server.port}`,
      allow_private: true,
    });
    expect(await probed(sinkWith('s3cret'))).toMatchObject([{ reason: undefined }]);
    expect(await probed(sinkWith('wrong'))).toMatchObject([
      { reason: 'the mail server does not accept the login (535)' },
    ]);
    expect(server.mails).toEqual([]);
  });

  test('of a token of Slack: auth.test', async () => {
    const fake = keep(await SlackFake.start());
    const sinkWith = (token: string): object => ({
      type: 'slack',
      url: `${fake.origin}/api/`,
      token,
      channel: 'ops',
      allow_private: true,
    });
    expect(judgeProbes(await probed(sinkWith(SlackFake.token)))).toEqual([]);
    const [finding] = judgeProbes(await probed(sinkWith('xoxb-wrong')));
    expect(finding?.what).toContain('Slack refused the message: invalid_auth');
    expect(finding?.remedy).toContain('Correct what sinks.out logs in with');
    expect(fake.messages).toEqual([]);
  });

  test('of Realtime: the key, with no message', async () => {
    const fake = keep(await RealtimeFake.start({ keys: { good: { read: () => true, write: () => true } } }));
    const sinkWith = (key: string): object => ({ type: 'realtime', url: fake.url, key, allow_private: true });
    expect(judgeProbes(await probed(sinkWith('good')))).toEqual([]);
    fake.answerNext({ status: 422, body: { errors: { messages: ["can't be blank"] } } });
    expect(judgeProbes(await probed(sinkWith('good')))).toEqual([]);
    const [finding] = judgeProbes(await probed(sinkWith('bad')));
    expect(finding?.what).toContain('401');
    expect(finding?.remedy).toContain('Correct what sinks.out logs in with');
    expect(fake.requests.map(({ body }) => body.toString())).toEqual(Array(3).fill('{"messages":[]}'));
  });
});

describe.skipIf(withoutRedis)(`the login of Redis ${withoutRedis ?? ''}`, () => {
  test.each(['redis', 'bullmq'])('of a sink of type %s', async (type) => {
    const redis = keep(await RedisServer.start({ password: 's3cret' }));
    expect(await probed({ type, url: redis.url })).toMatchObject([{ reason: undefined }]);
    const [finding] = judgeProbes(await probed({ type, url: redis.url.replace('s3cret', 'wr0ng') }));
    expect(finding).toMatchObject({ code: 'SINK_UNREACHABLE', what: expect.stringMatching(/WRONGPASS|NOAUTH/) });
    expect(JSON.stringify(finding)).not.toContain('wr0ng');
    expect(await redis.admin.dbsize()).toBe(0);
  });
});
