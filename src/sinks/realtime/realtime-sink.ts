/**
 * Supabase Realtime: every event is one broadcast to the channel of its organization. With `form: list` or `form: invalidate`
 * one broadcast stands for many (see send-coalesced.ts).
 *
 * Messages are sent one after another over the single-message route (see realtime-route.ts). So the order inside a batch
 * is kept, and each refusal belongs to one event. After the first event that is not delivered, the rest of the batch is not
 * sent, because it would overtake; an event that can never be sent does not stop the rest. Events that were delivered before
 * an abort are answered as delivered, so a slow project makes progress with each attempt.
 */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Sink, Verdict } from '../../pipeline.ts';
import { scopeOf } from '../../template/event-scope.ts';
import { soundTemplate } from '../../template/template-source.ts';
import { textToWire, type WireText } from '../../wire-text.ts';
import { compileTenantName } from '../broker/tenant-names.ts';
import { compileTemplate } from '../event-template.ts';
import { HttpTarget } from '../http/http-target.ts';
import { wayOf } from '../http/way.ts';
import { verdictOfError } from '../http/http-verdict.ts';
import type { Sent } from '../answer/sent-events.ts';
import { type Obstacle, oneByOne } from '../one-by-one.ts';
import { publicRoleOf } from './key-role.ts';
import { broadcastPath, messagePath, nameProblem } from './realtime-route.ts';
import { verdictOfTemplate } from '../template-verdict.ts';
import { realtimeVerdict } from './realtime-verdict.ts';
import { sendCoalesced } from './send-coalesced.ts';
import type { SinkContext } from '../../sink-context.ts';

/** The name of a broadcast when the configuration gives none. */
const NAMES = { events: '{event_type}', list: 'events', invalidate: 'invalidate' } as const;

export function createRealtimeSink(config: SinkConfigOf<'realtime'>, context: SinkContext): Sink {
  const { form } = config;
  const role = config.private ? publicRoleOf(config.key) : undefined;
  if (role !== undefined) {
    const advice = `a policy on realtime.messages must let it write to each private channel; the key of the service role needs none`;
    context.log.warn({ role }, `the key is one for browsers: ${advice}`);
  }
  const channelOf = compileTenantName(config.channel, `sinks.${context.name}.channel`, ['organization_id', 'topic']);
  const named = config.event ?? NAMES[form];
  const nameOf = compileTemplate(named, `sinks.${context.name}.event`, ['event_type', 'topic']);
  const template =
    config.body === undefined ? undefined : soundTemplate(config.body, 'json', `sinks.${context.name}.body`);
  const bodyOf = (event: Event): WireText =>
    template ? textToWire(template.render(scopeOf(event)).toWellFormed()) : envelopeOf(event);
  const base = broadcastPath(new URL(config.url));
  const target = new HttpTarget({
    url: config.url,
    headers: { apikey: config.key, authorization: `Bearer ${config.key}`, 'content-type': 'application/json' },
    connections: config.concurrency,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: [config.key],
    secretPath: false,
    clock: context.clock,
  });

  async function post(channel: string, name: string, sent: Sent, signal: AbortSignal): Promise<Verdict> {
    const problem = nameProblem(channel, name);
    if (problem) return { kind: 'rejected', reason: `Realtime cannot carry it: ${problem}` };
    const path = messagePath(base, { channel, event: name, isPrivate: config.private });
    try {
      return realtimeVerdict(await target.post({ path, headers: [], sent }, signal));
    } catch (error) {
      return verdictOfError(error);
    }
  }

  async function send(event: Event, signal: AbortSignal): Promise<Verdict> {
    let body: WireText;
    try {
      body = bodyOf(event);
    } catch (error) {
      return verdictOfTemplate(error, 'body');
    }
    return post(channelOf(event), nameOf(event), { events: [event], body }, signal);
  }

  return {
    deliver: ({ events }, signal, time) =>
      form === 'events'
        ? oneByOne(events, { time, send: (event) => send(event, signal), behind: notAttempted })
        : sendCoalesced(events, {
            form,
            time,
            channelOf,
            send: (channel, message) => post(channel, named, message, signal),
            behind: notAttempted,
          }),
    close: () => target.close(),
  };
}

/** The verdict for events behind one that was not delivered: the same reason and wait, and no attempt is counted. */
function notAttempted({ reason, retryAfter }: Obstacle): Verdict {
  const behind = `not attempted, behind an event of the same organization: ${reason}`;
  return { kind: 'unavailable', reason: behind, ...(retryAfter === undefined ? {} : { retryAfter }) };
}
