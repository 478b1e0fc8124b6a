/** Mails by SMTP, with nodemailer's pool. Connections go through the guard of addresses like those of other sinks. */
import type { Socket } from 'node:net';
import nodemailer from 'nodemailer';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { isLoopback } from '../../loopback.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { secretsOfUrl } from '../answer/known-secrets.ts';
import type { Sent } from '../answer/sent-events.ts';
import { type ConnectorOptions, openGuarded } from '../http/ssrf-guard.ts';
import type { Mail } from './mail.ts';
import { messageOf } from './mail-message.ts';
import { type SmtpFailure, verdictOfSmtp } from './smtp-verdict.ts';

const CONNECT_TIME = 10_000;

export interface SmtpOptions {
  readonly url: URL;
  readonly connections: number;
  /** Milliseconds of one attempt. */
  readonly timeout: number | undefined;
  readonly allowPrivate: boolean;
  readonly ca: string | undefined;
  /** Resolves names; the system's resolver. */
  readonly lookup?: ConnectorOptions['lookup'];
}

export class SmtpCarrier {
  private readonly transport;
  private readonly answers: AnswerText;

  constructor({ url, connections, timeout = CONNECT_TIME, allowPrivate, ca, lookup }: SmtpOptions) {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const secure = url.protocol === 'smtps:';
    const port = Number(url.port) || (secure ? 465 : 587);
    const [user, pass] = [url.username, url.password].map(decodeURIComponent) as [string, string];
    this.answers = new AnswerText(() => [...secretsOfUrl(url, { path: false }), user, pass]);
    const patience = Math.min(timeout, CONNECT_TIME);
    this.transport = nodemailer.createTransport({
      pool: true,
      host,
      port,
      secure,
      ...(user !== '' && { auth: { user, pass } }),
      // A password never crosses a network in the clear.
      requireTLS: !secure && user !== '' && !isLoopback(host),
      ...(ca !== undefined && { tls: { ca } }),
      maxConnections: connections,
      maxRequeues: 1,
      connectionTimeout: patience,
      greetingTimeout: patience,
      disableFileAccess: true,
      disableUrlAccess: true,
      getSocket: (_options: unknown, opened: (error: Error | null, found?: { connection: Socket }) => void) => {
        openGuarded({ host, port }, { allowPrivate, timeout: patience, ...(lookup && { lookup }) }).then(
          (connection) => opened(null, { connection }),
          (error: Error) => opened(error),
        );
      },
    });
  }

  async send(mail: Mail, sent: Sent, signal: AbortSignal): Promise<Verdict> {
    try {
      const { accepted, rejected } = await this.transport.sendMail({ ...messageOf(mail), signal });
      if (rejected.length === 0) return DELIVERED;
      const all = accepted.length + rejected.length;
      const reason = `the mail server refused ${rejected.length} of ${all} recipients; the others have the mail`;
      return { kind: 'rejected', reason, code: 'SMTP_PARTLY' };
    } catch (error) {
      const failure = error as SmtpFailure;
      const { response } = failure;
      const answer = typeof response === 'string' ? this.answers.keep({ text: response, cut: false }, sent) : undefined;
      return verdictOfSmtp(failure, answer);
    }
  }

  /** Connects, logs in and ends the dialogue. */
  async verify(): Promise<Verdict> {
    try {
      await this.transport.verify();
      return DELIVERED;
    } catch (error) {
      return verdictOfSmtp(error as SmtpFailure, undefined);
    }
  }

  close(): Promise<void> {
    this.transport.transporter.close?.({ force: true });
    return Promise.resolve();
  }
}
