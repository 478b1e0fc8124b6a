/** A real SMTP server (smtp-server) whose answers a test can choose; mails are parsed with postal-mime. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer } from 'smtp-server';
import type { Certificate } from './certificates.ts';

export interface DeliveredMail {
  readonly recipients: readonly string[];
  readonly raw: Buffer;
  readonly mail: Email;
}

/** From the first byte (smtps), or when the client asks (STARTTLS). */
export interface MailServerTls extends Certificate {
  readonly from: 'the start' | 'STARTTLS';
}

/** An answer such as `550 5.1.1 no such user`; `hold` for none; `cut` for a connection that breaks before it. */
export type MailFault = string;

export class MailServer implements AsyncDisposable {
  readonly mails: DeliveredMail[] = [];
  /** Answers by address, at RCPT TO. */
  readonly recipients = new Map<string, string>();
  /** The next answers behind the content of a mail. */
  readonly afterData: MailFault[] = [];
  /** What happens to a mail when `afterData` has run out. */
  lasting: MailFault | undefined;
  password: string | undefined;
  /** Of each login, whether its connection was encrypted. */
  readonly logins: boolean[] = [];
  /** Connections so far. */
  accepted = 0;
  #asked = 0;
  readonly #watchers = new Set<() => void>();
  readonly #sockets = new Set<object>();
  readonly #server: SMTPServer;

  private constructor(sender?: string, tls?: MailServerTls) {
    this.#server = new SMTPServer({
      authOptional: true,
      allowInsecureAuth: true,
      ...(tls
        ? { secure: tls.from === 'the start', key: readFileSync(tls.key), cert: readFileSync(tls.cert) }
        : { disabledCommands: ['STARTTLS'] }),
      onAuth: ({ password }, { secure }, done) => {
        this.logins.push(secure);
        if (password === this.password) done(null, { user: 'me' });
        else done(failure('535 5.7.8 bad credentials'));
      },
      onMailFrom: (_address, _session, done) => done(sender === undefined ? null : failure(sender)),
      onRcptTo: ({ address }, _session, done) => {
        const answer = this.recipients.get(address);
        done(answer === undefined ? null : failure(answer));
      },
      onData: (stream, session, done) => {
        void (async () => {
          const parts = (await stream.toArray().catch(() => undefined)) as Buffer[] | undefined;
          // A client that left in the middle sent no mail, and waits for no answer.
          if (parts === undefined) return;
          const raw = Buffer.concat(parts);
          this.#asked += 1;
          const fault = this.afterData.shift() ?? this.lasting;
          const recipients = session.envelope.rcptTo.map(({ address }) => address);
          if (fault === undefined || fault === 'cut')
            this.mails.push({ recipients, raw, mail: await PostalMime.parse(raw) });
          if (fault === 'cut') this.cutAll();
          else if (fault !== 'hold') done(fault === undefined ? null : failure(fault));
          this.#wake();
        })();
      },
    });
    this.#server.on('error', () => {});
    this.#server.server.on('connection', (socket: NodeJS.EventEmitter & { destroy(): void }) => {
      this.accepted += 1;
      this.#sockets.add(socket);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.#wake();
      });
    });
  }

  /** @param sender the answer to MAIL FROM, when it is a refusal */
  static async start(sender?: string, tls?: MailServerTls): Promise<MailServer> {
    const server = new MailServer(sender, tls);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server.server, 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.server.address() as AddressInfo).port;
  }

  cutAll(): void {
    for (const socket of this.#sockets as Set<{ destroy(): void }>) socket.destroy();
  }

  asked(count: number): Promise<void> {
    return this.#until(() => this.#asked >= count);
  }

  released(): Promise<void> {
    return this.#until(() => this.#sockets.size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(resolve));
    this.cutAll();
    await closed;
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.add(resolve));
  }
}

function failure(answer: string): Error {
  const [, code = '', text = ''] = /^(\d{3}) (.*)$/.exec(answer) ?? [];
  return Object.assign(new Error(text), { responseCode: Number(code) });
}
