/**
 * Supabase Realtime: every event is one broadcast to the channel of its organization.
 *
 * Messages go one after another over the single-message route (see realtime-route.ts), so the order inside a batch
 * holds and each refusal belongs to one event. At the first event that is not delivered the rest of the batch is left
 * alone, as it would overtake; an event that can never be sent is no such obstacle. What was delivered before an abort is
 * still answered as delivered: a slow project makes progress, attempt by attempt.
 */
import type { SinkConfigOf } from '../config/sinks.ts';
import { envelopeOf } from '../envelope.ts';
import type { Event } from '../event.ts';
import type { Sink, Verdict } from '../pipeline.ts';
import { wireBytes } from '../wire-text.ts';
import { compileTemplate } from './event-template.ts';
import { HttpTarget } from './http-target.ts';
import { verdictOfError } from './http-verdict.ts';
import { broadcastPath, messagePath, nameProblem } from './realtime-route.ts';
import { realtimeVerdict } from './realtime-verdict.ts';
import { concurrencyOf } from './sink-concurrency.ts';
import type { SinkContext } from './sink-context.ts';

export function createRealtimeSink(config: SinkConfigOf<'realtime'>, context: SinkContext): Sink {
  const channelOf = compileTemplate(config.channel, `sinks.${context.name}.channel`, ['organization_id', 'topic']);
  const nameOf = compileTemplate(config.event, `sinks.${context.name}.event`, ['event_type', 'topic']);
  const base = broadcastPath(new URL(config.url));
  const target = new HttpTarget({
    url: config.url,
    headers: { apikey: config.key, authorization: `Bearer ${config.key}`, 'content-type': 'application/json' },
    connections: concurrencyOf(config),
    timeout: config.timeout,
    allowPrivate: config.allow_private,
    secrets: [config.key],
    clock: context.clock,
  });

  async function send(event: Event, signal: AbortSignal): Promise<Verdict> {
    const channel = channelOf(event);
    const name = nameOf(event);
    const problem = nameProblem(channel, name);
    if (problem) return { kind: 'rejected', reason: `Realtime cannot carry it: ${problem}` };
    const path = messagePath(base, { channel, event: name, isPrivate: config.private });
    try {
      return realtimeVerdict(await target.post({ path, headers: {}, body: wireBytes(envelopeOf(event)) }, signal));
    } catch (error) {
      return verdictOfError(target.host, error);
    }
  }

  return {
    async deliver({ events }, signal) {
      const verdicts: Verdict[] = [];
      let obstacle: Verdict | undefined;
      for (const event of events) {
        const verdict = obstacle ?? (await send(event, signal));
        verdicts.push(verdict);
        if (verdict.kind === 'failed' || verdict.kind === 'unavailable') obstacle ??= notAttempted(verdict);
      }
      return verdicts;
    },
    close: () => target.close(),
  };
}

/** What the events behind an obstacle are told: the same reason and wait, and nothing that counts against them. */
function notAttempted({ reason, retryAfter }: Extract<Verdict, { kind: 'failed' | 'unavailable' }>): Verdict {
  const behind = `not attempted, behind an event of the same organization: ${reason}`;
  return { kind: 'unavailable', reason: behind, ...(retryAfter === undefined ? {} : { retryAfter }) };
}
