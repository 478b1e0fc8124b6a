import { SLACK_API } from '../../config/sinks/slack.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { asWire } from '../../wire-text.ts';
import { HttpTarget } from '../http/http-target.ts';
import { verdictOfError } from '../http/http-verdict.ts';
import { wayOf } from '../http/way.ts';
import type { ProbeContext } from '../probe-context.ts';
import { slackVerdict } from './slack-verdict.ts';

/** For a token: auth.test, which posts nothing. An incoming webhook has no way to ask. */
export async function probeSlack(
  { token, url, ...config }: SinkConfigOf<'slack'>,
  { clock, signal }: ProbeContext,
): Promise<Verdict> {
  if (token === undefined) return DELIVERED;
  const target = new HttpTarget({
    url: new URL('auth.test', url ?? SLACK_API).href,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json; charset=utf-8' },
    connections: 1,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: [token],
    secretPath: false,
    clock,
  });
  try {
    const sent = { events: [], body: asWire('{}') };
    return slackVerdict(await target.post({ headers: [], sent, readsAccepted: true }, signal), {
      isApi: true,
      isOwnChannel: false,
    });
  } catch (error) {
    return verdictOfError(error);
  } finally {
    await target.close();
  }
}
