import { afterEach, describe, expect, test } from 'vitest';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import type { SinkContext } from '../../src/sink-context.ts';
import { createSlackSink } from '../../src/sinks/slack/slack-sink.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { configOf, problemsOf } from '../support/config-file.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { type SlackFault, SlackFake, textsOf } from '../support/slack-fake.ts';

const never = (): AbortSignal => new AbortController().signal;
const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

async function startFake(channels?: readonly string[]): Promise<SlackFake> {
  const fake = await SlackFake.start(channels);
  opened.push(fake);
  return fake;
}

type SlackOptions = Partial<SinkConfigOf<'slack'>>;

function make(options: SlackOptions, context: Partial<SinkContext> = {}): Sink {
  const config = sinkSchema.parse({ type: 'slack', allow_private: true, ...options });
  const sink = createSlackSink(config as SinkConfigOf<'slack'>, { ...contractContext, ...context });
  opened.push({ [Symbol.asyncDispose]: () => sink.close() });
  return sink;
}

const byWebhook = (fake: SlackFake, options: SlackOptions = {}, context = {}): Sink =>
  make({ url: fake.origin + SlackFake.path, ...options }, context);
const byApi = (fake: SlackFake, options: SlackOptions = {}, context = {}): Sink =>
  make({ url: `${fake.origin}/api/`, token: SlackFake.token, channel: 'ops', ...options }, context);

const events = (count: number, payload = '{"n": 1}') => Array.from({ length: count }, () => sampleEvent({ payload }));

describe('what Slack shows', () => {
  test.each([
    ['an incoming webhook', byWebhook],
    ['chat.postMessage', byApi],
  ])('one event, readable, by %s', async (_name, sinkFor) => {
    const fake = await startFake();
    const event = sampleEvent({
      payload: '{"order": 12345678901234567890, "who": "Zoë"}',
      entityType: 'order',
      entityId: '42',
    });
    expect(await sinkFor(fake).deliver(sampleBatch([event]), never())).toEqual([{ kind: 'delivered' }]);
    expect(fake.messages).toHaveLength(1);
    expect(fake.messages[0]).toMatchObject({
      text: 'job.completed',
      unfurl_links: false,
      blocks: [
        {
          type: 'section',
          text: { type: 'mrkdwn', verbatim: true, text: '*job.completed*\ncataloging: order 42' },
          fields: [{ text: '*order*\n12345678901234567890' }, { text: '*who*\nZoë' }],
        },
        { type: 'context', elements: [{ text: expect.stringContaining(event.eventId) }] },
      ],
    });
  });

  test('a burst is one message with the count and the first few', async () => {
    const fake = await startFake();
    const burst = [...events(4), sampleEvent({ eventType: 'order.paid' }), ...events(95)];
    expect(await byWebhook(fake).deliver(sampleBatch(burst), never())).toEqual(
      burst.map(() => ({ kind: 'delivered' })),
    );
    const [message] = fake.messages;
    expect(fake.messages).toHaveLength(1);
    expect(message?.text).toBe('100 events: job.completed (99), order.paid (1)');
    expect(message?.blocks).toHaveLength(7);
    expect(textsOf(message ?? {}).at(-1)).toBe('and 95 more');
  });

  test('payload text mentions nobody, makes no link, and does not pass the limits', async () => {
    const fake = await startFake();
    const nasty = `<!channel> <https://evil.example|bank> <@U1> &lt; ${'&<>'.repeat(3000)}`;
    const payload = JSON.stringify(Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`${n}${nasty}`, nasty])));
    const fields = { eventType: `a${nasty}`, topic: nasty, entityType: nasty, entityId: nasty, payload };
    const sink = byWebhook(fake, {}, { clock: new ManualClock() });
    expect(await sink.deliver(sampleBatch([sampleEvent(fields)]), never())).toEqual([{ kind: 'delivered' }]);
    for (const text of textsOf(fake.messages[0] ?? {})) {
      expect(text).not.toMatch(/[<>]/);
      expect(text.replace(/&(?:amp|lt|gt);/g, '')).not.toContain('&');
    }
    expect(fake.messages[0]?.blocks?.flatMap(({ text }) => (text ? [text.verbatim] : []))).toEqual([true]);
  });

  test('a template for some types, the default for others', async () => {
    const fake = await startFake();
    const templates = {
      'order.*':
        '[{"type": "header", "text": {"type": "plain_text", "text": "{{ payload.title }}"}}, {"type": "section", "text": {"type": "mrkdwn", "text": "{{ payload.text }}"}}]',
    };
    const payload = JSON.stringify({ title: 'x'.repeat(500), text: '<!here>' });
    const batch = [sampleEvent({ eventType: 'order.paid', payload }), sampleEvent({ eventType: 'job.done' })];
    await byWebhook(fake, { templates }).deliver(sampleBatch(batch), never());
    const texts = fake.messages[0]?.blocks?.map(({ text }) => text?.text);
    expect(texts).toEqual([
      expect.stringContaining('*2 events: order.paid (1), job.done (1)*'),
      `${'x'.repeat(149)}…`,
      '&lt;!here&gt;',
      '*job.done*\ncataloging',
    ]);
  });

  test('an event that its template cannot render is a dead letter, and the others are sent', async () => {
    const fake = await startFake();
    const batch = [sampleEvent({ eventType: 'order.paid' }), sampleEvent()];
    const sink = byWebhook(fake, { templates: { 'order.*': '{"blocks": {{ payload | json }}}' } });
    expect(await sink.deliver(sampleBatch(batch), never())).toEqual([
      {
        kind: 'rejected',
        code: 'TEMPLATE',
        reason: 'the template in templates gives no list of blocks for this event',
      },
      { kind: 'delivered' },
    ]);
    expect(fake.messages).toMatchObject([{ text: 'job.completed' }]);
  });

  test('a payload that is nested too deeply is a dead letter, and does not hold up its lane', async () => {
    const fake = await startFake();
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const verdicts = await byWebhook(fake).deliver(sampleBatch([sampleEvent({ payload: deep })]), never());
    expect(verdicts).toEqual([{ kind: 'rejected', code: 'TEMPLATE', reason: 'the payload is nested too deeply' }]);
  });

  test.each([
    ['#b', '{organization_id}', '%23b'],
    ['@boss', '{organization_id}', '%40boss'],
    [' b', '{organization_id}', '%20b'],
    ['<#C1>', 'org-{organization_id}', 'org-%3C%23C1%3E'],
    ['a.b%', 'org-{organization_id}', 'org-a%2Eb%25'],
    ['zürich_1-x', 'org-{organization_id}', 'org-zürich_1-x'],
    ['दिल्ली', 'org-{organization_id}', 'org-दिल्ली'],
    ['เชียงใหม่', 'org-{organization_id}', 'org-เชียงใหม่'],
    ['zu\u0308rich', 'org-{organization_id}', 'org-zu%CC%88rich'],
  ])(
    'no character of an id leads out of the name of its channel: %s in %s',
    async (organizationId, channel, expected) => {
      const fake = await startFake([expected]);
      const sink = byApi(fake, { channel });
      expect(await sink.deliver(sampleBatch([sampleEvent({ organizationId })]), never())).toEqual([
        { kind: 'delivered' },
      ]);
      expect(fake.messages.map((message) => message.channel)).toEqual([expected]);
    },
  );

  test('each organization can have a channel', async () => {
    const [one, other] = ['3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001', '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0002'];
    const fake = await startFake([`org-${one}`, `org-${other}`]);
    const sink = byApi(fake, { channel: 'org-{organization_id}' }, { clock: new ManualClock() });
    for (const organizationId of [one, other]) {
      await sink.deliver(sampleBatch([sampleEvent({ organizationId })]), never());
    }
    expect(fake.messages.map(({ channel }) => channel)).toEqual([`org-${one}`, `org-${other}`]);
  });
});

describe('what the answers mean', () => {
  async function verdictOf(sinkFor: typeof byWebhook, fault: SlackFault, options: SlackOptions = {}): Promise<Verdict> {
    const fake = await startFake();
    fake.answerNext(fault);
    const [verdict] = (await sinkFor(fake, options).deliver(sampleBatch(events(1)), never())) as readonly Verdict[];
    return verdict as Verdict;
  }

  test.each([
    [400, 'invalid_payload', 'failed', 'HTTP_400'],
    [403, 'action_prohibited', 'unavailable', 'HTTP_403'],
    [404, 'channel_not_found', 'unavailable', 'HTTP_404'],
    [404, 'no_service', 'unavailable', 'HTTP_404'],
    [410, 'channel_is_archived', 'unavailable', 'HTTP_410'],
    [500, 'rollup_error', 'unavailable', 'HTTP_500'],
  ])('of a webhook: %i %s is %s', async (status, body, kind, code) => {
    const verdict = await verdictOf(byWebhook, { status, body });
    expect(verdict).toMatchObject({ kind, code, reason: expect.stringMatching(new RegExp(`: ${body}$`)) });
  });

  test.each([
    ['channel_not_found', 'ops', 'unavailable'],
    ['channel_not_found', 'org-{organization_id}', 'failed'],
    ['is_archived', 'org-{organization_id}', 'failed'],
    ['invalid_auth', 'org-{organization_id}', 'unavailable'],
    ['msg_too_long', 'ops', 'failed'],
    ['ratelimited', 'ops', 'unavailable'],
  ])('of the API: %s in %s is %s', async (error, channel, kind) => {
    const verdict = await verdictOf(byApi, { status: 200, body: { ok: false, error } }, { channel });
    expect(verdict).toMatchObject({
      kind,
      code: `SLACK_${error.toUpperCase()}`,
      reason: `Slack refused the message: ${error}`,
    });
  });

  test('of the API: an unknown error, and what is no answer of Slack', async () => {
    expect(await verdictOf(byApi, { status: 200, body: { ok: false, error: 'brand_new' } })).toMatchObject({
      kind: 'failed',
      code: 'SLACK_OTHER',
    });
    expect(await verdictOf(byApi, { status: 200, body: '<html>' })).toMatchObject({
      kind: 'unavailable',
      code: 'SLACK_UNKNOWN',
    });
    expect(await verdictOf(byApi, 'reset')).toMatchObject({ kind: 'unavailable' });
  });

  test('a connection that breaks in the middle: nothing is lost, and the message comes again with the same ids', async () => {
    const fake = await startFake();
    const batch = events(3);
    const sink = byWebhook(fake, {}, { clock: new ManualClock() });
    fake.answerNext('reset');
    expect(await sink.deliver(sampleBatch(batch), never())).toMatchObject(batch.map(() => ({ kind: 'unavailable' })));
    const again = byWebhook(fake);
    expect(await again.deliver(sampleBatch(batch), never())).toEqual(batch.map(() => ({ kind: 'delivered' })));
    expect(fake.bodies[1]).toEqual(fake.bodies[0]);
  });
});

describe('one message a second in a channel', () => {
  test('waits for its turn, and obeys Retry-After', async () => {
    const fake = await startFake(['a', 'b']);
    const clock = new ManualClock();
    const sink = byWebhook(fake, {}, { clock });
    const send = () => sink.deliver(sampleBatch(events(1)), never());
    fake.answerNext({ status: 429, headers: { 'retry-after': '30' }, body: 'rate_limited' });
    expect(await send()).toMatchObject([{ kind: 'unavailable', code: 'HTTP_429', retryAfter: 30_000 }]);
    const second = send();
    const third = send();
    await clock.advance(29_999);
    expect(fake.bodies).toHaveLength(1);
    await clock.advance(1);
    expect(await second).toEqual([{ kind: 'delivered' }]);
    expect(fake.bodies).toHaveLength(2);
    await clock.advance(1000);
    expect(await third).toEqual([{ kind: 'delivered' }]);
  });

  test('a wait that is stopped sends nothing', async () => {
    const fake = await startFake();
    const sink = byWebhook(fake, {}, { clock: new ManualClock() });
    await sink.deliver(sampleBatch(events(1)), never());
    const controller = new AbortController();
    const waiting = sink.deliver(sampleBatch(events(2)), controller.signal);
    controller.abort();
    expect(await waiting).toMatchObject([{ unsent: true }, { unsent: true }]);
    expect(fake.bodies).toHaveLength(1);
  });
});

describe('config check', () => {
  const hook = (options: string): string =>
    `database: { url: postgres://localhost/app }\nsinks:\n  ops: { type: slack, ${options} }\nroutes: [{ to: [ops] }]\n`;

  test.each([
    ['templates: {}', 'sinks.ops.url: is missing; or give token and channel'],
    ['token: xoxb-1', 'sinks.ops.channel: is missing; a token needs it'],
    ['url: https://hooks.slack.com/x, channel: ops', 'sinks.ops.channel: needs a token'],
    ['url: http://hooks.slack.com/x', 'sinks.ops.url: must begin with https://, since it carries a secret (a secret)'],
    ['token: "xoxb 1", channel: ops', 'sinks.ops.token: holds a blank'],
    ['token: xoxb-1, channel: "{topic}"', 'sinks.ops.channel: may name {organization_id}'],
    [
      'url: https://a.example/x, templates: { "a.*": "{{ nope }}" }',
      'sinks.ops.templates.a.*: line 1, column 4: names nope',
    ],
  ])('%s', (options, problem) => {
    expect(problemsOf(hook(options))).toEqual([expect.stringContaining(problem)]);
  });

  test('what is sound', () => {
    expect(configOf(hook('token: xoxb-1, channel: "org-{organization_id}"')).sinks['ops']).toMatchObject({
      type: 'slack',
    });
  });
});

describeSinkContract('slack', async () => {
  const fake = await SlackFake.start();
  const config = sinkSchema.parse({ type: 'slack', url: fake.origin + SlackFake.path, allow_private: true });
  return {
    sink: createSlackSink(config as SinkConfigOf<'slack'>, contractContext),
    // A message shows a few of the events, and numbers and texts as Slack prints them.
    received: () => Promise.resolve(null),
    hang: () => Promise.resolve(fake.answerAlways('hold')).then(() => true),
    asked: () => fake.received(1),
    fail: () => Promise.resolve(fake.answerAlways('echo')).then(() => true),
    released: () => fake.released(),
    secrets: [SlackFake.path, 's3cretOfTheWebhook'],
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
});
