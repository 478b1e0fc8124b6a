/** What an error of the client means. Reasons are walpost's own words: messages of the client quote subjects. */
import { JetStreamApiError } from '@nats-io/jetstream';
import { errors } from '@nats-io/transport-node';
import type { Verdict } from '../../pipeline.ts';
import { errorName } from '../answer/error-name.ts';

/** Errors of JetStream by number: what they say of the message or of the stream. */
const API_ERRORS: Readonly<Record<number, { readonly kind: 'rejected' | 'unavailable'; readonly what: string }>> = {
  10054: { kind: 'rejected', what: 'the message is larger than the stream takes (max_msg_size)' },
  10047: { kind: 'unavailable', what: 'the server has no room for the stream (insufficient storage)' },
  10023: { kind: 'unavailable', what: 'the server has no resources for the stream' },
  10060: { kind: 'unavailable', what: 'another stream takes the subject than the one in `stream`' },
  10077: { kind: 'unavailable', what: 'the stream could not store the message: it is full and refuses new messages' },
};

export const NO_STREAM = 'NATS_NO_STREAM';

export function verdictOfNatsError(error: unknown): Verdict {
  if (error instanceof JetStreamApiError) return ofApi(error);
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (inner instanceof errors.RequestError && inner.isNoResponders()) {
    const reason = 'no stream of the server takes the subject, or its leader is being elected';
    return { kind: 'unavailable', reason, code: NO_STREAM, answered: true };
  }
  if (inner instanceof errors.AuthorizationError) {
    return unavailable('NATS_AUTHORIZATION', 'the server refused the credentials');
  }
  if (inner instanceof errors.PermissionViolationError) {
    const reason = 'the user may not publish to the subject, or not receive the answer (_INBOX.>)';
    return { ...unavailable('NATS_PERMISSION', reason), answered: true };
  }
  const code = errorName(inner);
  return unavailable(code, `the server could not be asked, or did not answer (${code})`);
}

function ofApi(error: JetStreamApiError): Verdict {
  const known = API_ERRORS[error.code];
  const { kind, what } = known ?? { kind: 'unavailable' as const, what: 'JetStream refused the message' };
  const said = { reason: `${what} (error ${error.code})`, code: `NATS_${error.code}` };
  return kind === 'rejected' ? { kind, ...said } : { kind, ...said, answered: true };
}

function unavailable(code: string, reason: string): Extract<Verdict, { kind: 'unavailable' }> {
  return { kind: 'unavailable', reason, code };
}
