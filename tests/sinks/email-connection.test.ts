/** How the SMTP connection of the sink of mails is made: which addresses it may reach, and what TLS has to be. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { Verdict } from '../../src/pipeline.ts';
import { SmtpCarrier, type SmtpOptions } from '../../src/sinks/email/smtp-carrier.ts';
import { Certificates } from '../support/certificates.ts';
import { MailServer, type MailServerTls } from '../support/mail-server.ts';
import { sampleEvent } from '../support/sample-event.ts';

const PASSWORD = 's3cretPassword';
const HOST = 'mail.walpost.test';
const certificates = new Certificates();
const authority = certificates.ca('authority');
const good = certificates.issue(authority, { names: [`DNS:${HOST}`] });
const other = certificates.issue(authority, { names: ['DNS:other.walpost.test'] });
const expired = certificates.issue(authority, { names: [`DNS:${HOST}`], expired: true });
const ca = readFileSync(authority.cert, 'utf8');
afterAll(() => certificates[Symbol.dispose]());

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

async function startServer(tls?: MailServerTls): Promise<MailServer> {
  const server = await MailServer.start(undefined, tls);
  server.password = PASSWORD;
  opened.push(server);
  return server;
}

/** One mail to a server on this machine; every name leads there. */
async function send(url: string, options: Partial<SmtpOptions> = {}): Promise<Verdict> {
  const carrier = new SmtpCarrier({
    url: new URL(url),
    connections: 1,
    timeout: undefined,
    allowPrivate: true,
    ca: undefined,
    lookup: (_name, _options, found) => found(null, [{ address: '127.0.0.1', family: 4 }]),
    ...options,
  });
  opened.push({ [Symbol.asyncDispose]: () => carrier.close() });
  const event = sampleEvent();
  const mail = {
    id: event.eventId,
    from: { name: 'App', address: 'a@example.com' },
    to: [{ name: '', address: 'b@example.com' }],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: 'x',
    text: 'x',
    html: undefined,
    attachments: [],
  };
  return carrier.send(mail, { events: [event], body: event.payload }, new AbortController().signal);
}

describe('addresses', () => {
  // Loopback stands for all private addresses: code that is broken must not reach into the network of whoever runs this.
  test('a name that resolves to a private address is refused before a connection', async () => {
    const server = await startServer();
    const verdict = await send(`smtp://${HOST}:${server.port}`, { allowPrivate: false });
    expect(verdict).toMatchObject({ kind: 'unavailable', code: 'WALPOST_ADDRESS_REFUSED', retryAfter: 60_000 });
    expect(server.accepted).toBe(0);
  });

  test('the address of loopback itself is refused too, and allow_private lets both pass', async () => {
    const server = await startServer();
    const literal = `smtp://127.0.0.1:${server.port}`;
    expect(await send(literal, { allowPrivate: false })).toMatchObject({ code: 'WALPOST_ADDRESS_REFUSED' });
    expect(server.accepted).toBe(0);
    expect(await send(literal)).toEqual({ kind: 'delivered' });
    expect(await send(`smtp://${HOST}:${server.port}`)).toEqual({ kind: 'delivered' });
    expect(server.accepted).toBe(2);
  });
});

describe.each([
  ['smtps', 'the start'],
  ['smtp', 'STARTTLS'],
] as const)('%s:// with TLS from %s', (scheme, from) => {
  const urlOf = ({ port }: MailServer): string => `${scheme}://me:${PASSWORD}@${HOST}:${port}`;

  test('a certificate of the authority in `ca` is trusted, and the login is encrypted', async () => {
    const server = await startServer({ ...good, from });
    expect(await send(urlOf(server), { ca })).toEqual({ kind: 'delivered' });
    expect(server.logins).toEqual([true]);
    expect(server.mails).toHaveLength(1);
  });

  test.each([
    ['an authority that is not trusted', good, undefined, /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/],
    ['a certificate for another name', other, ca, /ALTNAME/],
    ['a certificate that has expired', expired, ca, /EXPIRED/],
  ])('%s: no login and no mail', async (_name, certificate, trusted, code) => {
    const server = await startServer({ ...certificate, from });
    const verdict = await send(urlOf(server), { ca: trusted });
    expect(verdict).toMatchObject({ kind: 'unavailable', code: expect.stringMatching(code) });
    expect(server.logins).toEqual([]);
    expect(server.mails).toEqual([]);
  });
});

test('a password is not sent to a server that offers no TLS, unless it is on this machine', async () => {
  const server = await startServer();
  const verdict = await send(`smtp://me:${PASSWORD}@${HOST}:${server.port}`);
  expect(verdict).toMatchObject({ kind: 'unavailable' });
  expect(JSON.stringify(verdict)).not.toContain(PASSWORD);
  expect(server.logins).toEqual([]);
  expect(await send(`smtp://me:${PASSWORD}@127.0.0.1:${server.port}`)).toEqual({ kind: 'delivered' });
  expect(server.logins).toEqual([false]);
});
