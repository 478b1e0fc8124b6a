/** What must hold between the options of one sink for a broker. */
import { certificateProblem } from '../../certificate-file.ts';

interface BrokerProblem {
  readonly path: readonly string[];
  readonly message: string;
}

const WAYS = ['user', 'token', 'nkey', 'credentials'];

export function* brokerProblems(sink: Readonly<Record<string, unknown>>): Generator<BrokerProblem> {
  if (sink['type'] === 'nats') yield* natsProblems(sink);
  const { tls } = sink;
  if (typeof tls === 'object' && tls !== null) yield* tlsProblems(tls as Readonly<Record<string, unknown>>);
}

function* natsProblems(sink: Readonly<Record<string, unknown>>): Generator<BrokerProblem> {
  yield* together(sink, 'user', 'password');
  const [, second] = WAYS.filter((way) => sink[way] !== undefined);
  if (second !== undefined)
    yield { path: [second], message: `is a second way to log in; give one of ${WAYS.join(', ')}` };
}

function* tlsProblems(tls: Readonly<Record<string, unknown>>): Generator<BrokerProblem> {
  for (const option of ['ca', 'certificate']) {
    const given = tls[option];
    const message = typeof given === 'string' && given !== '' ? certificateProblem(given) : undefined;
    if (message !== undefined) yield { path: ['tls', option], message };
  }
  for (const { path, message } of together(tls, 'certificate', 'key')) yield { path: ['tls', ...path], message };
}

function* together(options: Readonly<Record<string, unknown>>, a: string, b: string): Generator<BrokerProblem> {
  if (options[a] !== undefined && options[b] === undefined) yield { path: [a], message: `needs ${b} beside it` };
  if (options[b] !== undefined && options[a] === undefined) yield { path: [b], message: `needs ${a} beside it` };
}
