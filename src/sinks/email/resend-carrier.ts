/**
 * Mails by Resend's API. The sink's name and the event's id are the Idempotency-Key, so Resend itself drops a repeated request for 24 hours.
 * Two requests a second are allowed for an account; `https://resend.com/docs/api-reference/errors` lists the refusals.
 */
import { batchId } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Verdict } from '../../pipeline.ts';
import { textToWire } from '../../wire-text.ts';
import type { HttpTarget } from '../http/http-target.ts';
import { type HttpAnswer, verdictOfAnswer, verdictOfError } from '../http/http-verdict.ts';
import type { Mail } from './mail.ts';
import { addressText } from './mail-values.ts';

const CONCURRENT_WAIT = 1000;
/** The sender or the key: about us, whatever the status says. */
const ABOUT_US =
  /"name"\s*:\s*"(?:invalid_from_address|invalid_access|invalid_region|missing_api_key|restricted_api_key|invalid_api_key)"/;
const FOR_GOOD = /"name"\s*:\s*"(?:invalid_attachment|invalid_idempotent_request|invalid_idempotency_key)"/;
const ADDRESS = /Invalid [`'"]?(?:to|cc|bcc|reply_to)\b/i;

/** One mail of an event. */
export interface EventMail {
  readonly event: Event;
  readonly mail: Mail;
}

export class ResendCarrier {
  private readonly target: HttpTarget;
  private readonly base: string;
  private readonly sink: string;

  constructor(target: HttpTarget, base: string, sink: string) {
    this.target = target;
    this.base = base;
    this.sink = sink;
  }

  async send({ event, mail }: EventMail, signal: AbortSignal): Promise<Verdict> {
    // With the sink: a second one of the same account sends another mail for the event, which Resend would refuse for good.
    return this.post('emails', [event], { key: `${this.sink}.${mail.id}`, body: bodyOf(mail) }, signal);
  }

  /** All or none of the mails are accepted. */
  async sendAll(mails: readonly EventMail[], job: string | undefined, signal: AbortSignal): Promise<Verdict> {
    const events = mails.map(({ event }) => event);
    const key = batchId({ sink: this.sink, job: job ?? null, events });
    return this.post('emails/batch', events, { key, body: mails.map(({ mail }) => bodyOf(mail)) }, signal);
  }

  close(): Promise<void> {
    return this.target.close();
  }

  private async post(
    route: string,
    events: readonly Event[],
    { key, body }: { readonly key: string; readonly body: object },
    signal: AbortSignal,
  ): Promise<Verdict> {
    try {
      const sent = { events, body: textToWire(JSON.stringify(body)) };
      const headers = ['idempotency-key', key];
      return resendVerdict(await this.target.post({ path: this.base + route, headers, sent }, signal));
    } catch (error) {
      return verdictOfError(error);
    }
  }
}

export function resendVerdict(answer: HttpAnswer): Verdict {
  const verdict = verdictOfAnswer(answer);
  if (verdict.kind === 'delivered') return verdict;
  const { status, body } = answer;
  if (status === 409 && body.includes('concurrent_idempotent_requests')) {
    return { ...verdict, kind: 'unavailable', retryAfter: CONCURRENT_WAIT };
  }
  if (ABOUT_US.test(body)) return { ...verdict, kind: 'unavailable' };
  if (status !== 400 && status !== 409 && status !== 422) return verdict;
  if (!FOR_GOOD.test(body) && !ADDRESS.test(body)) return verdict;
  const reason = ADDRESS.test(body)
    ? `Resend refused an address (${status})`
    : `Resend refused the mail for good (${status})`;
  return {
    kind: 'rejected',
    reason,
    code: `HTTP_${status}`,
    ...(answer.answer !== undefined && { answer: answer.answer }),
  };
}

function bodyOf({ id, from, to, cc, bcc, replyTo, subject, text, html, attachments }: Mail): object {
  return {
    from: addressText(from),
    to: to.map(addressText),
    ...(cc.length > 0 && { cc: cc.map(addressText) }),
    ...(bcc.length > 0 && { bcc: bcc.map(addressText) }),
    ...(replyTo.length > 0 && { reply_to: replyTo.map(addressText) }),
    subject,
    ...(text !== undefined && { text }),
    ...(html !== undefined && { html }),
    headers: { 'X-Entity-Ref-ID': id },
    ...(attachments.length > 0 && {
      attachments: attachments.map(({ filename, content, contentType }) => ({
        filename,
        content,
        ...(contentType !== undefined && { content_type: contentType }),
      })),
    }),
  };
}
