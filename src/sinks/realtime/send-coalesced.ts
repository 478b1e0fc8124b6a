/**
 * Sends a batch as few broadcasts, one after the other.
 *
 * Events of one channel go together, in their order. A message that is refused for its size or its content is halved until
 * the event that causes it is alone, so a refusal is about one event and costs the others nothing. After the first event
 * that is not accepted nothing more is sent.
 */
import type { Event } from '../../event.ts';
import type { AttemptTime, Verdict } from '../../pipeline.ts';
import { NO_TIME, type Obstacle } from '../one-by-one.ts';
import { coalesce, type CoalescedForm, type CoalescedMessage } from './coalesced-message.ts';

export interface CoalescedOptions {
  readonly form: CoalescedForm;
  readonly time: AttemptTime | undefined;
  readonly channelOf: (event: Event) => string;
  readonly send: (channel: string, message: CoalescedMessage) => Promise<Verdict>;
  /** The verdict for the events behind one that was not accepted. */
  readonly behind: (obstacle: Obstacle) => Verdict;
}

export async function sendCoalesced(events: readonly Event[], options: CoalescedOptions): Promise<Verdict[]> {
  const { form, time } = options;
  const verdicts = new Map<Event, Verdict>();
  const waiting = messagesByChannel(events, options);
  let rest: Verdict | undefined;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { channel, message } = next;
    if (!rest && time?.beginRequest() === false) rest = NO_TIME;
    const verdict = rest ?? (await options.send(channel, message));
    const { events: covered } = message;
    if (verdict.kind === 'failed' && covered.length > 1) {
      const half = Math.ceil(covered.length / 2);
      const halves = [covered.slice(0, half), covered.slice(half)].flatMap((part) => coalesce(form, part));
      waiting.unshift(...halves.map((part) => ({ channel, message: part })));
      continue;
    }
    for (const event of covered) verdicts.set(event, verdict);
    if (!rest && (verdict.kind === 'failed' || verdict.kind === 'unavailable')) rest = options.behind(verdict);
  }
  return events.map((event) => verdicts.get(event) ?? NO_TIME);
}

interface Addressed {
  readonly channel: string;
  readonly message: CoalescedMessage;
}

/** Channels in the order of their first events. */
function messagesByChannel(events: readonly Event[], { form, channelOf }: CoalescedOptions): Addressed[] {
  const channels = new Map<string, Event[]>();
  for (const event of events) {
    const channel = channelOf(event);
    const members = channels.get(channel);
    if (members) members.push(event);
    else channels.set(channel, [event]);
  }
  return [...channels].flatMap(([channel, members]) =>
    coalesce(form, members).map((message) => ({ channel, message })),
  );
}
