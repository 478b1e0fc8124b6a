import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { asWire } from '../../wire-text.ts';
import { HttpTarget } from '../http/http-target.ts';
import { verdictOfError } from '../http/http-verdict.ts';
import { wayOf } from '../http/way.ts';
import type { ProbeContext } from '../probe-context.ts';
import { broadcastPath } from './realtime-route.ts';
import { realtimeVerdict } from './realtime-verdict.ts';

/**
 * Shows the key with a batch of no messages. Realtime looks at the key first, and then takes the empty batch or calls it
 * invalid: both mean that it knows the key.
 */
export async function probeRealtime(
  config: SinkConfigOf<'realtime'>,
  { clock, signal }: ProbeContext,
): Promise<Verdict> {
  const { key, url } = config;
  const target = new HttpTarget({
    url,
    headers: { apikey: key, authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    connections: 1,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: [key],
    secretPath: false,
    clock,
  });
  try {
    const sent = { events: [], body: asWire('{"messages":[]}') };
    const path = broadcastPath(new URL(url));
    const verdict = realtimeVerdict(await target.post({ path, headers: [], sent }, signal));
    return verdict.kind === 'failed' ? DELIVERED : verdict;
  } catch (error) {
    return verdictOfError(error);
  } finally {
    await target.close();
  }
}
