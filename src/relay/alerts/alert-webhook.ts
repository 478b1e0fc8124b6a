/** Posts the news of an alert, signed as every webhook, and guarded as every sink that speaks HTTP. */
import type { Clock } from '../../clock.ts';
import type { AlertsConfig } from '../../config/alerts.ts';
import type { Verdict } from '../../pipeline.ts';
import { signingKeys } from '../../signing-secret.ts';
import { secretsOfHeader, secretsOfSigning } from '../../sinks/answer/known-secrets.ts';
import { HttpTarget } from '../../sinks/http/http-target.ts';
import { verdictOfAnswer, verdictOfError } from '../../sinks/http/http-verdict.ts';
import { wayOf } from '../../sinks/http/way.ts';
import { signatureOf } from '../../sinks/webhook/webhook-signature.ts';
import { VERSION } from '../../version.ts';
import { textToWire, wireBytes } from '../../wire-text.ts';
import type { AlertMessage } from './alert-message.ts';

const TIMEOUT_MS = 10_000;

export class AlertWebhook implements AsyncDisposable {
  private readonly target: HttpTarget;
  private readonly keys: readonly Buffer[];
  private readonly clock: Clock;

  constructor(config: AlertsConfig, clock: Clock) {
    const { url, secret, headers } = config;
    this.keys = signingKeys(secret);
    this.clock = clock;
    const own = Object.entries(headers).map(([name, value]): [string, string] => [name.toLowerCase(), value]);
    this.target = new HttpTarget({
      url,
      headers: { 'user-agent': `walpost/${VERSION}`, ...Object.fromEntries(own), 'content-type': 'application/json' },
      connections: 1,
      timeout: TIMEOUT_MS,
      ...wayOf(config),
      secrets: [...Object.values(headers).flatMap(secretsOfHeader), ...secretsOfSigning(secret, this.keys)],
      secretPath: true,
      clock,
    });
  }

  /** Never rejects. */
  async send({ id, body: text }: AlertMessage, ended: AbortSignal): Promise<Verdict> {
    const timestamp = Math.floor(this.clock.wallTime() / 1000);
    const body = textToWire(text);
    const bytes = wireBytes(body);
    const signature = signatureOf(this.keys, { id, timestamp, body: bytes });
    const headers = ['webhook-id', id, 'webhook-timestamp', String(timestamp), 'webhook-signature', signature];
    const late = new AbortController();
    const timer = this.clock.schedule(TIMEOUT_MS, () => late.abort());
    try {
      const post = { headers, sent: { body, events: [] }, bytes, secrets: [signature] };
      return verdictOfAnswer(await this.target.post(post, AbortSignal.any([ended, late.signal])));
    } catch (error) {
      if (late.signal.aborted) return { kind: 'unavailable', reason: 'the destination did not answer in time' };
      return verdictOfError(error);
    } finally {
      timer.cancel();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.target.close();
  }
}
