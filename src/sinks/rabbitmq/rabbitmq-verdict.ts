import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { errorName } from '../answer/error-name.ts';
import { BlockedError, type Confirmation } from './confirmed-channel.ts';

/** Reply codes of AMQP with which the server closes a channel or a connection. */
const REPLIES: Readonly<Record<number, string>> = {
  403: 'the user may not write to the exchange, or the login is wrong',
  404: 'the exchange does not exist',
  406: 'the server refuses the message, as one that is too large for it',
  320: 'the server is shutting down, or an operator has closed the connection',
  530: 'the virtual host does not exist, or is not open to the user',
};

export function verdictOfConfirmation(confirmation: Confirmation): Verdict {
  if (confirmation === 'stored') return DELIVERED;
  if (confirmation === 'unroutable') {
    return answered('RABBITMQ_UNROUTABLE', 'no queue is bound to the exchange with this routing key');
  }
  return answered('RABBITMQ_NACK', 'the server could not store the message, as in a queue that is full');
}

/** Reasons are walpost's own words: those of the server quote names. */
export function verdictOfAmqpError(error: unknown): Verdict {
  if (error instanceof BlockedError) {
    const short = ['memory', 'disk'].filter((what) => error.told.includes(what)).join(' and ');
    const reason = `the server takes no messages while it is short of ${short === '' ? 'a resource' : short}`;
    return { kind: 'unavailable', reason, code: 'RABBITMQ_BLOCKED' };
  }
  const reply = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  const closedWith = typeof reply === 'number' ? reply : replyInMessage(error);
  if (closedWith !== undefined) {
    const what = REPLIES[closedWith] ?? 'the server closed the channel';
    return answered(`RABBITMQ_${closedWith}`, `${what} (reply ${closedWith})`);
  }
  const code = errorName(error);
  return { kind: 'unavailable', reason: `the server could not be asked, or did not answer (${code})`, code };
}

/** A refused login reaches the client as text alone. */
function replyInMessage(error: unknown): number | undefined {
  const [, code] = /\b(?:Handshake terminated by server: |Connection closed: )(\d{3})\b/.exec(String(error)) ?? [];
  return code === undefined ? undefined : Number(code);
}

function answered(code: string, reason: string): Verdict {
  return { kind: 'unavailable', reason, code, answered: true };
}
