import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import PostalMime from 'postal-mime';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createEmailSink } from '../../src/sinks/email/email-sink.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { problemsOf } from '../support/config-file.ts';
import { fastClock } from '../support/fast-clock.ts';
import { MailServer } from '../support/mail-server.ts';
import { refusal, ResendFake } from '../support/resend-fake.ts';
import { sampleBatch, sampleEvent, type SampleFields } from '../support/sample-event.ts';

const never = (): AbortSignal => new AbortController().signal;
const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function keep<T extends AsyncDisposable>(thing: T): T {
  opened.push(thing);
  return thing;
}

const FILES = {
  'default.subject.liquid': '{{ event_type }}',
  'default.text.liquid': 'Hello {{ payload.name }}',
  'order.paid.subject.liquid': 'Paid: {{ payload.title }}\n',
  'order.paid.html.liquid': '<p>{{ payload.title }}</p>',
};

function folder(files: Readonly<Record<string, string>> = FILES): string {
  const path = mkdtempSync(join(tmpdir(), 'walpost-mails-'));
  keep({ [Symbol.asyncDispose]: () => Promise.resolve(rmSync(path, { recursive: true })) });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

type EmailOptions = Partial<SinkConfigOf<'email'>>;

async function make(options: EmailOptions, name = 'mail'): Promise<Sink> {
  const config = sinkSchema.parse({
    type: 'email',
    allow_private: true,
    from: 'App <no-reply@example.com>',
    to: 'payload.email',
    templates: options.templates ?? folder(),
    ...options,
  });
  const sink = await createEmailSink(config as SinkConfigOf<'email'>, {
    ...contractContext,
    name,
    clock: fastClock(5),
  });
  return keep(Object.assign(sink, { [Symbol.asyncDispose]: () => sink.close() }));
}

const bySmtp = (server: MailServer, options: EmailOptions = {}, login = ''): Promise<Sink> =>
  make({ provider: 'smtp', url: `smtp://${login}127.0.0.1:${server.port}`, ...options });
const byResend = (fake: ResendFake, options: EmailOptions = {}, name?: string): Promise<Sink> =>
  make({ provider: 'resend', url: fake.url, key: ResendFake.key, ...options }, name);

const to = (email: unknown, more: object = {}, fields: SampleFields = {}) =>
  sampleEvent({ ...fields, payload: JSON.stringify({ email, name: 'Zoë', ...more }) });

async function verdictsOf(sink: Sink, ...events: ReturnType<typeof to>[]): Promise<readonly Verdict[]> {
  return (await sink.deliver(sampleBatch(events), never())) as readonly Verdict[];
}

describe('by SMTP', () => {
  test('a mail with its templates, its addresses and a Message-ID of the event', async () => {
    const server = keep(await MailServer.start());
    const sink = await bySmtp(server, { reply_to: 'payload.reply', cc: 'payload.copies', bcc: 'payload.hidden[0].at' });
    const more = {
      title: '<b> é',
      reply: 'Desk <desk@example.com>',
      copies: ['c@example.com'],
      hidden: [{ at: 'd@example.com' }],
    };
    const event = to('Zoë <zoe@example.com>', more, { eventType: 'order.paid' });
    expect(await verdictsOf(sink, event, to('other@example.com'))).toEqual([
      { kind: 'delivered' },
      { kind: 'delivered' },
    ]);
    const [first, second] = server.mails;
    expect(first?.recipients).toEqual(['zoe@example.com', 'c@example.com', 'd@example.com']);
    expect(first?.mail).toMatchObject({
      subject: 'Paid: <b> é',
      html: '<p>&lt;b&gt; é</p>\n',
      messageId: `<${event.eventId}@example.com>`,
      from: { name: 'App', address: 'no-reply@example.com' },
      to: [{ name: 'Zoë', address: 'zoe@example.com' }],
      replyTo: [{ name: 'Desk', address: 'desk@example.com' }],
    });
    expect(first?.raw.toString()).not.toContain('d@example.com');
    expect(second?.mail).toMatchObject({ subject: 'job.completed', text: 'Hello Zoë\n' });
  });

  test('no text of an event becomes a header', async () => {
    const server = keep(await MailServer.start());
    const sink = await bySmtp(server);
    const title = 'x\r\nBcc: thief@example.com\r\n\r\nbody';
    const verdicts = await verdictsOf(
      sink,
      to('a@example.com', { title }, { eventType: 'order.paid' }),
      to('a@example.com\r\nBcc: thief@example.com'),
      to('x\r\nBcc: thief@example.com <a@example.com>'),
    );
    expect(verdicts.map(({ kind }) => kind)).toEqual(['delivered', 'rejected', 'rejected']);
    expect(server.mails).toHaveLength(1);
    expect(server.mails[0]?.recipients).toEqual(['a@example.com']);
    expect(server.mails[0]?.mail.headers.map(({ key }) => key)).not.toContain('bcc');
    expect(server.mails[0]?.mail.subject).toBe('Paid: x Bcc: thief@example.com body');
  });

  test('what the payload lacks is a dead letter that names the path', async () => {
    const sink = await bySmtp(keep(await MailServer.start()));
    expect(await verdictsOf(sink, sampleEvent(), to(7), to(['a@example.com', 'b']))).toEqual([
      { kind: 'rejected', code: 'NO_MAIL', reason: 'no mail: the payload has no recipient at payload.email' },
      { kind: 'rejected', code: 'NO_MAIL', reason: 'no mail: what is at payload.email is no address' },
      { kind: 'rejected', code: 'NO_MAIL', reason: 'no mail: what is at payload.email is no address' },
    ]);
  });

  test('attachments are what the payload holds, and never a file or a URL', async () => {
    const server = keep(await MailServer.start());
    const sink = await bySmtp(server, { attachments: 'payload.files' });
    const file = {
      filename: 'é.pdf',
      content: Buffer.from('%PDF').toString('base64'),
      content_type: 'application/pdf',
    };
    const sound = to('a@example.com', { files: [file] });
    const wrong = [
      { filename: 'x', path: '/etc/passwd' },
      { filename: 'x', href: 'http://127.0.0.1/' },
      { ...file, filename: '../x' },
      { ...file, content: 'no base64!' },
    ];
    const verdicts = await verdictsOf(sink, sound, ...wrong.map((item) => to('a@example.com', { files: [item] })));
    expect(verdicts.map(({ kind }) => kind)).toEqual(['delivered', ...wrong.map(() => 'rejected')]);
    const [attachment] = server.mails[0]?.mail.attachments ?? [];
    expect(attachment).toMatchObject({ filename: 'é.pdf', mimeType: 'application/pdf' });
    expect(Buffer.from(attachment?.content as ArrayBuffer).toString()).toBe('%PDF');
  });

  test.each([
    ['550 5.1.1 no such user', 'rejected'],
    ['553 mailbox name not allowed', 'rejected'],
    ['550 5.7.1 relaying denied', 'failed'],
    ['550 relay not permitted', 'failed'],
    ['550 Sender verify failed', 'failed'],
    ['550 5.1.10 sender is fine, no such user', 'rejected'],
    ['450 4.2.1 greylisted', 'failed'],
    ['530 5.7.0 authentication required', 'unavailable'],
  ])('a recipient that is answered %s is %s, and the next mail goes on', async (answer, kind) => {
    const server = keep(await MailServer.start());
    server.recipients.set('a@example.com', answer);
    const sink = await bySmtp(server);
    const [verdict] = await verdictsOf(sink, to('a@example.com'));
    expect(verdict).toMatchObject({
      kind,
      code: `SMTP_${answer.slice(0, 3)}`,
      answer: expect.stringContaining(answer.slice(4, 9)),
    });
    expect(JSON.stringify(verdict)).not.toContain('a@example.com');
    expect(await verdictsOf(sink, to('b@example.com'))).toEqual([{ kind: 'delivered' }]);
  });

  test('of several recipients some are refused: a dead letter, since sending again would repeat the mail', async () => {
    const server = keep(await MailServer.start());
    server.recipients.set('b@example.com', '550 5.1.1 no such user');
    expect(await verdictsOf(await bySmtp(server), to(['a@example.com', 'b@example.com']))).toEqual([
      {
        kind: 'rejected',
        code: 'SMTP_PARTLY',
        reason: 'the mail server refused 1 of 2 recipients; the others have the mail',
      },
    ]);
    expect(server.mails).toMatchObject([{ recipients: ['a@example.com'] }]);
  });

  test.each([
    ['554 5.6.0 content refused', 'failed'],
    ['452 4.3.1 no space', 'unavailable'],
    ['421 4.3.2 going down', 'unavailable'],
  ])('a mail that is answered %s is %s', async (answer, kind) => {
    const server = keep(await MailServer.start());
    server.afterData.push(answer);
    expect(await verdictsOf(await bySmtp(server), to('a@example.com'))).toMatchObject([
      { kind, code: `SMTP_${answer.slice(0, 3)}` },
    ]);
  });

  test('a sender, a login and a host that are refused are unavailable', async () => {
    const refusing = keep(await MailServer.start('550 5.7.1 sender refused'));
    expect(await verdictsOf(await bySmtp(refusing), to('a@example.com'))).toMatchObject([
      { kind: 'unavailable', code: 'SMTP_550' },
    ]);
    const server = keep(await MailServer.start());
    server.password = 'right';
    const [verdict] = await verdictsOf(await bySmtp(server, {}, 'me:s3cretword@'), to('a@example.com'));
    expect(verdict).toMatchObject({ kind: 'unavailable', reason: 'the mail server does not accept the login (535)' });
    expect(JSON.stringify(verdict)).not.toContain('s3cretword');
    expect(await verdictsOf(await bySmtp(server, {}, 'me:right@'), to('a@example.com'))).toEqual([
      { kind: 'delivered' },
    ]);
    const guarded = await bySmtp(server, { url: `smtp://mail.invalid:${server.port}`, allow_private: false });
    expect(await verdictsOf(guarded, to('a@example.com'))).toMatchObject([{ kind: 'unavailable', code: 'ENOTFOUND' }]);
  });

  test('a mail that is too large at MAIL FROM blames the event', async () => {
    const refusing = keep(await MailServer.start('552 5.3.4 message too big'));
    expect(await verdictsOf(await bySmtp(refusing), to('a@example.com'))).toMatchObject([
      { kind: 'failed', code: 'SMTP_552' },
    ]);
  });

  test('a connection that is cut in the middle of a batch: nothing is lost, and a mail that comes again has the same id', async () => {
    const server = keep(await MailServer.start());
    const sink = await bySmtp(server);
    const events = [1, 2, 3].map((n) => to(`a${n}@example.com`));
    server.afterData.push('cut');
    const first = await verdictsOf(sink, ...events);
    const left = events.filter((_, place) => first[place]?.kind !== 'delivered');
    expect(left.length).toBeGreaterThan(0);
    expect(await verdictsOf(sink, ...left)).toEqual(left.map(() => ({ kind: 'delivered' })));
    const ids = server.mails.map(({ mail }) => mail.messageId);
    expect([...new Set(ids)]).toEqual(events.map(({ eventId }) => `<${eventId}@example.com>`));
    expect(ids.length).toBeGreaterThan(events.length);
  });
});

describe('by Resend', () => {
  test('one mail a request, with sink and event as key; a lost answer sends nothing twice', async () => {
    const fake = keep(await ResendFake.start());
    const sink = await byResend(fake, { attachments: 'payload.files' });
    const events = [to('a@example.com'), to('b@example.com', { files: [{ filename: 'x', content: 'eA==' }] })];
    fake.answerNext('late');
    expect(await verdictsOf(sink, ...events)).toMatchObject([{ kind: 'unavailable' }, { kind: 'unavailable' }]);
    expect(await verdictsOf(sink, ...events)).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }]);
    expect(fake.requests.map(({ key }) => key)).toEqual(
      [events[0], events[0], events[1]].map((event) => `mail.${event?.eventId}`),
    );
    expect(fake.mails.map((mail) => mail.to[0])).toEqual(['a@example.com', 'b@example.com']);
    expect(fake.mails[0]).toMatchObject({
      from: '"App" <no-reply@example.com>',
      subject: 'job.completed',
      text: 'Hello Zoë',
    });
  });

  test('two sinks with one account send a mail each for the same event', async () => {
    const fake = keep(await ResendFake.start());
    const event = to('a@example.com');
    const sinks = [await byResend(fake), await byResend(fake, { to: 'ops@example.com' }, 'ops')];
    for (const sink of sinks) expect(await verdictsOf(sink, event)).toEqual([{ kind: 'delivered' }]);
    expect(fake.mails.map((mail) => mail.to[0])).toEqual(['a@example.com', 'ops@example.com']);
  });

  test('a batch is one request; mails with attachments go alone; a refused one is found', async () => {
    const fake = keep(await ResendFake.start());
    const sink = await byResend(fake, { batch: true, attachments: 'payload.files' });
    const files = [{ filename: 'x', content: 'eA==' }];
    expect(
      await verdictsOf(
        sink,
        to('a@example.com'),
        to('b@example.com'),
        sampleEvent(),
        to('c@example.com', { files }),
        to('d@x.com'),
        to('e@bad'),
      ),
    ).toMatchObject([
      { kind: 'delivered' },
      { kind: 'delivered' },
      { kind: 'rejected', code: 'NO_MAIL' },
      { kind: 'delivered' },
      { kind: 'delivered' },
      { kind: 'rejected', reason: 'Resend refused an address (422)' },
    ]);
    expect(fake.mails.map((mail) => mail.to[0])).toEqual([
      'a@example.com',
      'b@example.com',
      'c@example.com',
      'd@x.com',
    ]);
    expect(fake.requests.map(({ path }) => path)).toEqual([
      '/emails/batch',
      '/emails',
      '/emails/batch',
      '/emails',
      '/emails',
    ]);
  });

  test.each([
    [401, 'missing_api_key', 'unavailable'],
    [401, 'restricted_api_key', 'unavailable'],
    [403, 'invalid_api_key', 'unavailable'],
    [400, 'validation_error', 'failed'],
    [409, 'concurrent_idempotent_requests', 'unavailable'],
    [409, 'invalid_idempotent_request', 'rejected'],
    [422, 'invalid_from_address', 'unavailable'],
    [422, 'invalid_attachment', 'rejected'],
    [422, 'missing_required_field', 'failed'],
    [429, 'rate_limit_exceeded', 'unavailable'],
    [429, 'daily_quota_exceeded', 'unavailable'],
    [451, 'security_error', 'unavailable'],
    [500, 'application_error', 'unavailable'],
  ])('%i %s is %s', async (status, name, kind) => {
    const fake = keep(await ResendFake.start());
    fake.answerNext(refusal(status, name));
    expect(await verdictsOf(await byResend(fake), to('a@example.com'))).toMatchObject([
      { kind, code: `HTTP_${status}` },
    ]);
  });
});

test('dry_run writes .eml files and sends nothing', async () => {
  const path = join(folder({}), 'out');
  const sink = await make({ provider: 'resend', dry_run: path });
  const event = to('a@example.com');
  expect(await verdictsOf(sink, event)).toEqual([{ kind: 'delivered' }]);
  expect(readdirSync(path)).toEqual([`${event.eventId}.eml`]);
  const mail = await PostalMime.parse(readFileSync(join(path, `${event.eventId}.eml`)));
  expect(mail).toMatchObject({ subject: 'job.completed', to: [{ address: 'a@example.com' }] });
});

describe('config check', () => {
  const mail = (options: string, templates = folder()): string =>
    `database: { url: postgres://localhost/app }
sinks:
  mail: { type: email, from: a@example.com, to: payload.email, templates: ${templates}, ${options} }
routes: [{ to: [mail] }]
`;

  test.each(['smtp', 'resend'])('with dry_run %s needs neither url nor key', (provider) => {
    expect(problemsOf(mail(`provider: ${provider}, dry_run: ./sent`))).toEqual([]);
  });

  test.each([
    ['provider: smtp', 'sinks.mail.url: is missing; SMTP needs'],
    ['provider: resend', 'sinks.mail.key: is missing'],
    ['provider: smtp, url: https://x.example', 'sinks.mail.url: must be a URL that begins with smtp:// or smtps://'],
    ['provider: smtp, url: smtp://127.0.0.1', 'sinks.mail.url: is a private address'],
    ['provider: smtp, url: smtp://x.example, batch: true', 'sinks.mail.batch: is for Resend'],
    ['provider: resend, key: re_1, cc: copies', 'sinks.mail.cc: must be a path in the payload'],
  ])('%s', (options, problem) => {
    expect(problemsOf(mail(options))).toEqual([expect.stringContaining(problem)]);
  });

  test.each([
    [{}, 'holds no template'],
    [{ 'a.text.liquid': 'x' }, 'a.subject.liquid is missing'],
    [{ 'a.subject.liquid': 'x' }, 'a.text.liquid or a.html.liquid is missing'],
    [{ ...FILES, 'a.txt.liquid': 'x' }, 'a.txt.liquid is no part of a mail'],
    [
      { ...FILES, 'a.text.liquid': '\n{{ nope }}' },
      'a.text.liquid, line 2, column 4: names nope, a field that no event has',
    ],
  ])('a folder with %j', (files, problem) => {
    const text = mail('provider: resend, key: re_1', folder(files));
    expect(problemsOf(text)).toEqual([expect.stringContaining(`sinks.mail.templates: ${problem}`)]);
  });
});

describe.each(['smtp', 'resend'] as const)('provider %s', (provider) => {
  describeSinkContract('email', async () => {
    const templates = mkdtempSync(join(tmpdir(), 'walpost-mails-'));
    writeFileSync(join(templates, 'default.subject.liquid'), '{{ event_id }}');
    writeFileSync(join(templates, 'default.text.liquid'), 'x');
    const server = provider === 'smtp' ? await MailServer.start() : undefined;
    const fake = await ResendFake.start();
    const secret = server ? 's3cretPassword' : ResendFake.key;
    if (server) server.password = secret;
    const config = sinkSchema.parse({
      type: 'email',
      provider,
      ...(server ? { url: `smtp://me:${secret}@127.0.0.1:${server.port}` } : { url: fake.url, key: secret }),
      from: 'a@example.com',
      to: 'ops@example.com',
      templates,
      allow_private: true,
    });
    return {
      sink: await createEmailSink(config as SinkConfigOf<'email'>, { ...contractContext, clock: fastClock(5) }),
      // A mail is what its templates make of an event.
      received: () => Promise.resolve(null),
      hang: () => {
        if (server) server.lasting = 'hold';
        else fake.answerAlways('hold');
        return Promise.resolve(true);
      },
      asked: () => (server ? server.asked(1) : fake.received(1)),
      fail: () => {
        if (server) server.lasting = `554 5.6.0 refused ${secret} {"n": 1}`;
        else fake.answerAlways('echo');
        return Promise.resolve(true);
      },
      released: () => (server ? server.released() : fake.released()),
      secrets: [secret],
      [Symbol.asyncDispose]: async () => {
        await server?.[Symbol.asyncDispose]();
        await fake[Symbol.asyncDispose]();
        rmSync(templates, { recursive: true });
      },
    };
  });
});
