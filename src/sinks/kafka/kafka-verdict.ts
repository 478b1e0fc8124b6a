/** What an error of the client means. Reasons are walpost's own words: messages of the client quote topics and hosts. */
import type { Verdict } from '../../pipeline.ts';
import { errorName } from '../answer/error-name.ts';

/** Errors of the protocol that say something of the message itself. */
const OF_THE_MESSAGE: Readonly<Record<string, string>> = {
  MESSAGE_TOO_LARGE: 'the message is larger than the topic takes (max.message.bytes)',
  RECORD_LIST_TOO_LARGE: 'the message is larger than a segment of the topic',
  INVALID_RECORD: 'the broker refuses the record as it is',
};

const OF_THE_TOPIC: Readonly<Record<string, string>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'the topic does not exist',
  TOPIC_AUTHORIZATION_FAILED: 'the user may not write to the topic',
  CLUSTER_AUTHORIZATION_FAILED: 'the user may not be an idempotent producer',
  NOT_ENOUGH_REPLICAS: 'too few replicas of the partition are in sync (min.insync.replicas)',
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 'too few replicas of the partition are in sync (min.insync.replicas)',
};

export function verdictOfKafkaError(error: unknown): Verdict {
  const all = [...flatten(error)];
  const id = all.map(protocolError).find((found) => found !== undefined);
  if (id !== undefined) {
    const code = `KAFKA_${id}`;
    const ofMessage = OF_THE_MESSAGE[id];
    if (ofMessage !== undefined) return { kind: 'rejected', reason: ofMessage, code };
    const what = OF_THE_TOPIC[id] ?? 'the broker could not store the message';
    return { kind: 'unavailable', reason: `${what} (${id})`, code, answered: true };
  }
  const codes = all.map((each) => errorName(each));
  if (codes.includes('PLT_KFK_AUTHENTICATION')) {
    return { kind: 'unavailable', reason: 'the broker refused the credentials', code: 'KAFKA_AUTHENTICATION' };
  }
  const code = codes.find((each) => !each.startsWith('PLT_')) ?? codes[0] ?? 'Error';
  return { kind: 'unavailable', reason: `the broker could not be asked, or did not answer (${code})`, code };
}

/** The client found out before it wrote anything, so its numbering of messages is as it was. */
export function isBeforeSending(error: unknown): boolean {
  return protocolError(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
}

function protocolError(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // The client makes this one text alone.
  if (error.message.startsWith('Unknown topic ')) return 'UNKNOWN_TOPIC_OR_PARTITION';
  const id = 'apiId' in error ? error.apiId : undefined;
  return typeof id === 'string' && /^[A-Z_]{1,60}$/.test(id) ? id : undefined;
}

/** The innermost errors first: they have the cause. */
function* flatten(error: unknown): Generator {
  if (error instanceof AggregateError) for (const each of error.errors) yield* flatten(each);
  if (error instanceof Error && error.cause !== undefined) yield* flatten(error.cause);
  yield error;
}
