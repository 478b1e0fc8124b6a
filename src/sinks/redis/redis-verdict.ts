/**
 * What an error of Redis says: about the server (`unavailable`), or about the event (`failed`). docs/sinks/redis.md shows
 * the table.
 */
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Verdict } from '../../pipeline.ts';
import { asWire, wireString } from '../../wire-text.ts';
import type { AnswerText } from '../answer/answer-text.ts';
import { verdictOfError } from '../http/http-verdict.ts';

/** The first word of an error of the server, and what it says of the destination. */
const ABOUT_SERVER: Readonly<Record<string, string>> = {
  OOM: 'has no memory left (maxmemory)',
  READONLY: 'is a replica and takes no writes',
  NOAUTH: 'asks for a password, and url has none',
  WRONGPASS: 'refuses the user or the password',
  NOPERM: 'does not allow this user to write there',
  DENIED: 'takes no connections from elsewhere (protected-mode)',
  LOADING: 'is loading its data',
  BUSY: 'is busy with a script',
  MASTERDOWN: 'is a replica without its primary',
  CLUSTERDOWN: 'is a cluster that does not serve all of its slots',
  TRYAGAIN: 'is moving the slot of this key to another node',
  MOVED: 'is a node of a cluster; say so with the option cluster',
  ASK: 'is moving the slot of this key to another node',
  MISCONF: 'cannot write to its disk, and takes no writes',
  NOREPLICAS: 'has fewer replicas than it needs to take writes',
  EXECABORT: 'refused the transaction',
  NOSCRIPT: 'has forgotten the script; it is sent again',
  CROSSSLOT: 'is a cluster, and the keys are of several of its slots',
};

/** After these the connection is of no use: it leads to the wrong server, or has a wrong state. */
const RECONNECT = new Set(['READONLY', 'NOAUTH', 'WRONGPASS', 'MASTERDOWN', 'LOADING', 'MOVED']);

/** Those that may be about the key of one event: the user may write to others. */
const ABOUT_KEY = new Set(['NOPERM', 'CROSSSLOT']);

/** The error as the server's word: its code, and the text behind it. */
export function redisErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined;
  return errorCodeIn(transactionCause(error).message);
}

/** Redis 6 puts the place in the script before the error: `@user_script: 10: -OOM command not allowed`. */
const PLACE_IN_SCRIPT = /^.*@user_script: ?\d+: -?/s;

export function errorCodeIn(text: string): string {
  return /^[A-Z][A-Z0-9]{2,31}(?= |$)/.exec(text.replace(PLACE_IN_SCRIPT, ''))?.[0] ?? 'ERR';
}

/** For an error, or for the text of one that the server sent. */
export function needsNewConnection(error: unknown): boolean {
  const code = typeof error === 'string' ? errorCodeIn(error) : redisErrorCode(error);
  return RECONNECT.has(code ?? '');
}

export interface RedisFailure {
  /** What was sent in the command that failed. */
  readonly events: readonly Event[];
  readonly answers: AnswerText;
}

export function redisVerdict(error: unknown, failure: RedisFailure): Verdict {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return verdictOfError(error);
  return verdictOfReply(transactionCause(error).message, failure);
}

/** For the text of an error that the server sent. */
export function verdictOfReply(text: string, { events, answers }: RedisFailure): Verdict {
  const code = errorCodeIn(text);
  const about = ABOUT_SERVER[code];
  const body = asWire(events.map((event) => wireString(envelopeOf(event))).join('\n'));
  const answer = answers.keep({ text, cut: false }, { events, body });
  const said = { code: `REDIS_${code}`, ...(answer !== undefined && { answer }) };
  if (about !== undefined) {
    const reason = `Redis ${about} (${code})`;
    return { kind: 'unavailable', reason, ...said, ...(ABOUT_KEY.has(code) && { answered: true }) };
  }
  const what = code === 'WRONGTYPE' ? 'the key is there already, and holds something else' : 'refused the command';
  return { kind: 'failed', reason: `Redis: ${what} (${code})`, ...said };
}

/** A transaction that was refused says why in the errors of its commands. */
function transactionCause(error: Error): Error {
  const previous = (error as { previousErrors?: unknown }).previousErrors;
  const first: unknown = Array.isArray(previous) ? previous[0] : undefined;
  return first instanceof Error ? first : error;
}
