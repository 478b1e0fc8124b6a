/**
 * What an SMTP server's answer says. 5xx is for good, 4xx is for now; the step of the dialogue tells whom it is about.
 *
 * A recipient that is refused for good is `rejected`, except for reasons of policy (5.7.x, such as relaying): those may be
 * ours, so they are `failed`, which the router believes only while other mails pass. So is a refusal of the content. What
 * happens before the recipients is about us or the server.
 */
import type { Verdict } from '../../pipeline.ts';
import { errorName } from '../answer/error-name.ts';
import { verdictOfError } from '../http/http-verdict.ts';

/** What nodemailer says of a mail that was not accepted. */
export interface SmtpFailure {
  readonly code?: unknown;
  readonly originalCode?: unknown;
  readonly command?: unknown;
  readonly responseCode?: unknown;
  readonly response?: unknown;
}

/** Answers that ask for a login. */
const LOGIN = new Set([530, 534, 535, 538, 454]);
const POLICY = /^\d{3}[ -]5\.7\./;
/** The same from servers that give no enhanced code, such as Exim's `550 relay not permitted`. */
const POLICY_IN_WORDS = /^\d{3}[ -](?!\d\.\d+\.)[\s\S]*\b(?:relay|sender|spam|block|blacklist|policy|authenticat)/i;
/** The mail is larger than the server takes. */
const TOO_LARGE = 552;

export function verdictOfSmtp(failure: SmtpFailure, answer: string | undefined): Verdict {
  const { code, command, responseCode: status, response } = failure;
  const said = answer === undefined ? {} : { answer };
  if (typeof status !== 'number') return verdictOfSilence(failure);
  const named = { code: `SMTP_${status}`, ...said };
  if (code === 'EAUTH' || LOGIN.has(status)) {
    return { kind: 'unavailable', reason: `the mail server does not accept the login (${status})`, ...named };
  }
  if (status === 421) return { kind: 'unavailable', reason: 'the mail server closes the connection (421)', ...named };
  if (command === 'RCPT TO') {
    const words = String(response);
    const isForGood = status >= 500 && !POLICY.test(words) && !POLICY_IN_WORDS.test(words);
    const how = status >= 500 ? 'refused' : 'refused for now';
    return {
      kind: isForGood ? 'rejected' : 'failed',
      reason: `the mail server ${how} the recipient (${status})`,
      ...named,
    };
  }
  if (command === 'DATA' || code === 'EMESSAGE' || status === TOO_LARGE) {
    if (status >= 500) return { kind: 'failed', reason: `the mail server refused the mail (${status})`, ...named };
    return {
      kind: 'unavailable',
      reason: `the mail server does not take the mail now (${status})`,
      ...named,
      answered: true,
    };
  }
  return { kind: 'unavailable', reason: `the mail server refused the dialogue (${status})`, ...named };
}

const SILENCE: Readonly<Record<string, string>> = {
  EAUTH: 'does not offer the login that is configured',
  ETLS: 'does not offer TLS as it has to',
  ETIMEDOUT: 'did not answer in time',
  EPROTOCOL: 'answered something that is not SMTP',
  ECONNECTION: 'closed the connection before it answered',
};

function verdictOfSilence({ code, originalCode }: SmtpFailure): Verdict {
  const name = typeof originalCode === 'string' ? originalCode : errorName({ code });
  const sentence = SILENCE[name] ?? SILENCE[String(code)];
  if (typeof originalCode === 'string' || sentence === undefined) return verdictOfError({ code: name });
  return { kind: 'unavailable', reason: `the mail server ${sentence} (${name})`, code: name };
}
