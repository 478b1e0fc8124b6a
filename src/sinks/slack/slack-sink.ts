/**
 * Slack: one message for each batch, by an incoming webhook or by chat.postMessage.
 *
 * Slack takes about one message a second in a channel, so a message waits for its turn here; the time of the request begins
 * behind that wait. Slack knows no key of ours: a message whose answer was lost comes a second time.
 */
import { SLACK_API } from '../../config/sinks/slack.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { Event } from '../../event.ts';
import type { Sink, Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { textToWire } from '../../wire-text.ts';
import { verdictOfError } from '../http/http-verdict.ts';
import { HttpTarget } from '../http/http-target.ts';
import { wayOf } from '../http/way.ts';
import { NO_TIME } from '../one-by-one.ts';
import { Pacer } from '../pacer.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { compileChannel } from './slack-channel.ts';
import { SlackComposer, type SlackMessage } from './slack-message.ts';
import { slackVerdict } from './slack-verdict.ts';

const INTERVAL = 1000;

export function createSlackSink(config: SinkConfigOf<'slack'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const { token, channel = '' } = config;
  const channelOf = compileChannel(channel, `sinks.${context.name}.channel`);
  const composer = new SlackComposer(config.templates, `sinks.${context.name}.templates`);
  const place = { isApi: token !== undefined, isOwnChannel: channel.includes('{') };
  const pacer = new Pacer(context.clock, INTERVAL);
  const target = new HttpTarget({
    url: token === undefined ? (config.url ?? '') : new URL('chat.postMessage', config.url ?? SLACK_API).href,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    connections: config.concurrency,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: token === undefined ? [] : [token],
    secretPath: token === undefined,
    clock: context.clock,
  });

  async function post(message: SlackMessage, events: readonly Event[], signal: AbortSignal): Promise<Verdict> {
    const to = place.isApi ? { channel: channelOf(events[0] as Event) } : {};
    const body = textToWire(JSON.stringify({ ...to, ...message, unfurl_links: false, unfurl_media: false }));
    try {
      const answer = await target.post({ headers: [], sent: { events, body }, readsAccepted: place.isApi }, signal);
      return slackVerdict(answer, place);
    } catch (error) {
      return verdictOfError(error);
    }
  }

  return {
    deliver: async ({ events }, signal, time) => {
      const { message, refused } = composer.compose(events);
      const inMessage = events.filter((event) => !refused.has(event));
      const answered = (verdict: Verdict): Verdict[] => events.map((event) => refused.get(event) ?? verdict);
      const [first] = inMessage;
      if (message === undefined || first === undefined) return answered(NO_TIME);
      const lane = channelOf(first);
      if (!(await pacer.turn(lane, signal)) || time?.beginRequest() === false) return answered(NO_TIME);
      const verdict = await post(message, inMessage, signal);
      if (verdict.kind === 'unavailable' && verdict.retryAfter !== undefined) pacer.hold(lane, verdict.retryAfter);
      return answered(verdict);
    },
    close: () => target.close(),
  };
}
