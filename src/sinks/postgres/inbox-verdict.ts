/** What an error of the receiving database says: about the event (`failed`), or about the database (`unavailable`). */
import { envelopeOf } from '../../envelope.ts';
import { WalpostError } from '../../errors.ts';
import type { Event } from '../../event.ts';
import type { Verdict } from '../../pipeline.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { sqlStateOf } from '../../postgres/sqlstate.ts';
import { asWire, wireString } from '../../wire-text.ts';
import type { AnswerText } from '../answer/answer-text.ts';
import { errorName } from '../answer/error-name.ts';

/**
 * Values that do not fit, constraints, limits of the program, errors that a trigger raises. Whatever a function of the
 * receiver does wrong (38, 39, P0) may be a matter of the event as well.
 */
const ABOUT_EVENT = /^(21|22|23|38|39|54|P0)/;

/**
 * Connections, conflicts between transactions, logins, resources, an operator. Any other error the database gives while
 * it works on the events, so one of them may be the cause, as where a policy of its row or a slow trigger refuses it.
 */
const ABOUT_SERVER = /^(08|28|3D|40|53|57P|58)/;

const ABOUT_DATABASE: Readonly<Record<string, string>> = {
  '42P01': 'has no such table; apply sql/inbox/walpost_inbox.sql',
  '3F000': 'has no such schema',
  '42703': 'has an inbox with other columns; compare it with sql/inbox/walpost_inbox.sql',
  '42P10': 'has an inbox without a unique event_id',
  '42501': 'does not allow this role to write to the inbox',
  '25006': 'takes no writes',
  '53100': 'has no room left on its disk',
  '53200': 'has no memory left',
  '57014': 'did not end the statement in time',
};

/** Named by walpost's own code of the error; the remedies of the code speak of database.url. */
const NOT_REACHED: Readonly<Record<string, string>> = {
  AUTHENTICATION: 'refuses the role or the password',
  PASSWORD_MISSING: 'asks for a password, and url has none',
  DATABASE_MISSING: 'is not there',
  TOO_MANY_CONNECTIONS: 'has no connection left',
  SERVER_SHUTDOWN: 'is starting or shutting down',
  HOT_STANDBY: 'is a hot standby, and takes no writes',
  SERVER_UNREACHABLE: 'cannot be reached',
  CONNECTION_LOST: 'closed the connection before it answered',
};

export function isAboutEvent(error: unknown): boolean {
  return ABOUT_EVENT.test(sqlStateOf(error) ?? '');
}

export interface InboxFailure {
  /** What the statement held. */
  readonly events: readonly Event[];
  readonly answers: AnswerText;
}

export function inboxVerdict(error: unknown, failure: InboxFailure): Verdict {
  const state = sqlStateOf(error instanceof WalpostError ? error.cause : error);
  const said = state === undefined ? {} : answerOf(error, failure);
  if (state !== undefined && ABOUT_EVENT.test(state)) {
    const reason = `the database refused the event (SQLSTATE ${state})`;
    return { kind: 'failed', reason, code: `SQLSTATE_${state}`, ...said };
  }
  const known = databaseError(error);
  const name = known instanceof WalpostError && known.code !== 'DATABASE' ? known.code : undefined;
  const code = state === undefined ? (name ?? errorName(error)) : `SQLSTATE_${state}`;
  const what = ABOUT_DATABASE[state ?? ''] ?? NOT_REACHED[name ?? ''] ?? 'could not be asked';
  const answered = state !== undefined && !ABOUT_SERVER.test(state);
  return {
    kind: 'unavailable',
    reason: `the database ${what} (${code})`,
    code,
    ...said,
    ...(answered && { answered }),
  };
}

function answerOf(error: unknown, { events, answers }: InboxFailure): { readonly answer?: string } {
  const said = error instanceof WalpostError ? error.cause : error;
  const body = asWire(events.map((event) => wireString(envelopeOf(event))).join('\n'));
  const answer = answers.keep({ text: said instanceof Error ? said.message : '', cut: false }, { events, body });
  return answer === undefined ? {} : { answer };
}
