/**
 * Webhooks of customers: a batch goes to the endpoint that its lane names, signed with that endpoint's own secrets.
 *
 * Whoever has an account can write such a URL. So it reaches no private address, whatever the configuration allows elsewhere,
 * and behind a proxy the address is checked before the proxy is asked.
 *
 * 410 says that the endpoint is gone for good. It is disabled then; until that has come back in the stream its events wait.
 */
import { isOwnHeader } from '../../config/sinks/own-headers.ts';
import type { EndpointTarget, EndpointTargets } from '../../endpoint.ts';
import { isLoopback } from '../../loopback.ts';
import { unixMs } from '../../pg-time.ts';
import { type Batch, MOST_LENT_TURNS, type Sink, type Verdict, type Verdicts } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { signingKeys } from '../../signing-secret.ts';
import { secretsOfHeader, secretsOfSigning, secretsOfTemplate } from '../answer/known-secrets.ts';
import { httpAgent, HttpTarget, type HttpTargetOptions } from '../http/http-target.ts';
import { ADDRESS_REFUSED } from '../http/ssrf-guard.ts';
import { wayOf } from '../http/way.ts';
import { headersOf, lowerCased, postBatch, type SignedTarget } from './signed-post.ts';
import { type WebhookConfig, webhookForm } from './webhook-message.ts';

export interface EndpointSinkContext extends SinkContext {
  /** Absent where no relay is around the sink. */
  readonly endpoints?: EndpointTargets | undefined;
}

const GONE = 'HTTP_410';
const PRIVATE = 'the endpoint has a private address, where nothing is sent';
const NOT_LEADING: Verdict = { kind: 'unavailable', reason: 'not sent: this process does not lead', unsent: true };
/** It waits, so that a mended URL gets it. */
const UNSENDABLE: Verdict = {
  kind: 'unavailable',
  code: 'ENDPOINT_URL',
  reason: 'not sent: the URL of the endpoint is not https, or has a user name in it',
};
/** It was disabled or removed after the event was given to it; nobody waits for this answer any more. */
const NOT_THERE: Verdict = {
  kind: 'rejected',
  code: 'ENDPOINT_DISABLED',
  reason: 'not sent: the endpoint is disabled or removed',
};

/** Its secrets are gone, so nothing that was committed before its end is left to be sent. */
const REMOVED: Verdict = {
  kind: 'unavailable',
  code: 'ENDPOINT_REMOVED',
  reason: 'not sent: the endpoint was removed',
};

export function createEndpointSink(config: WebhookConfig, { name, clock, endpoints }: EndpointSinkContext): Sink {
  const form = webhookForm(config, name);
  const way = { ...wayOf(config), allowPrivate: false };
  // Many endpoints may be of one host, and all that hang.
  const connections = config.concurrency + MOST_LENT_TURNS;
  const agent = httpAgent({
    ...way,
    connections,
    timeout: config.timeout,
    allowLoopback: config.allow_loopback,
    checksBehindProxy: true,
  });
  const shared = {
    ...way,
    agent,
    clock,
    connections,
    timeout: config.timeout,
    secretPath: true,
  };
  const known = [
    ...Object.values(config.headers).flatMap(secretsOfHeader),
    ...secretsOfTemplate(form.template?.source),
  ];
  return {
    deliver: async (batch, signal, time) => {
      if (endpoints === undefined) return NOT_LEADING;
      const { lane = '' } = batch;
      const to = await endpoints.targetOf(lane, signal);
      if (to === undefined) return NOT_THERE;
      if (to.secrets.length === 0) return REMOVED; // nothing leaves without a signature
      if (!isSendable(to.url, config.allow_loopback === true)) return UNSENDABLE;
      const target = signedTarget(to, { ...shared, headers: config.headers, secrets: known });
      const verdicts = await postBatch(target, { batch, form, clock, signal, time });
      if (isGone(verdicts)) endpoints.gone(lane, committedAt(batch));
      return told(verdicts);
    },
    close: () => agent.destroy(),
  };
}

/** The functions of the database let no other URL in. Here it is asked again, since a request cannot be taken back. */
function isSendable(text: string, allowLoopback: boolean): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  if (protocol === 'https:') return true;
  return protocol === 'http:' && allowLoopback && isLoopback(hostname.replace(/^\[(.*)\]$/, '$1'));
}

/** Made for each attempt: it costs little, and is always that of the endpoint as it is now. */
function signedTarget(to: EndpointTarget, shared: Omit<HttpTargetOptions, 'url'>): SignedTarget {
  const keys = to.secrets.flatMap(signingKeys);
  const headers = { ...headersOf(shared.headers), ...allowedOf(to.headers) };
  const secrets = [
    ...shared.secrets,
    ...Object.values(to.headers).flatMap(secretsOfHeader),
    ...to.secrets.flatMap((secret) => secretsOfSigning(secret, keys)),
  ];
  return { target: new HttpTarget({ ...shared, url: to.url, headers, secrets }), keys };
}

/** Of its first event, and so of the oldest that waits for the endpoint. */
function committedAt({ events }: Batch): number | null {
  const micros = events[0]?.origin.committedAtMicros ?? null;
  return micros === null ? null : Math.floor(unixMs(micros));
}

function isGone(verdicts: Verdicts): boolean {
  const all = Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : [verdicts as Verdict];
  return all.some((verdict) => verdict.kind === 'unavailable' && verdict.code === GONE);
}

/** What the customer reads names no option of ours. */
function told(verdicts: Verdicts): Verdicts {
  const say = (verdict: Verdict): Verdict =>
    verdict.kind === 'unavailable' && verdict.code === ADDRESS_REFUSED ? { ...verdict, reason: PRIVATE } : verdict;
  return Array.isArray(verdicts) ? (verdicts as readonly Verdict[]).map(say) : say(verdicts as Verdict);
}

/** Those that walpost sets, and those that say where a request goes, are its own, whatever a row says. */
function allowedOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(lowerCased(headers)).filter(([name]) => !isOwnHeader(name)));
}
