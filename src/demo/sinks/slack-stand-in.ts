import { randomBytes } from 'node:crypto';
import type { Arrival } from '../audit.ts';
import { LoopbackServer } from '../loopback-server.ts';
import type { DemoPlace, DemoSink } from './demo-sink.ts';

const CHANNEL = 'orders-';
/** Slack shows the blocks of five events in a message. */
const MOST_EVENTS = 5;
/** The id of the block is that of the event, so that the stand-in recognizes it. */
const TEMPLATE = JSON.stringify([
  {
    type: 'section',
    block_id: '{{ event_id }}',
    text: { type: 'mrkdwn', text: 'Order {{ payload.number }} is disputed' },
  },
]);

interface Message {
  readonly channel: string;
  readonly blocks: readonly { readonly block_id?: string; readonly text?: { readonly text: string } }[];
}

/** Stands in for Slack's chat.postMessage. Each organization has a channel of its own, which takes a message a second. */
export async function openSlack({ tamper }: DemoPlace): Promise<DemoSink> {
  const token = `xoxb-${randomBytes(12).toString('hex')}`;
  const arrivals: Arrival[] = [];
  const server = new LoopbackServer((request, body) => {
    if (request.headers.authorization !== `Bearer ${token}`) {
      return { status: 200, body: { ok: false, error: 'invalid_auth' } };
    }
    if (request.url !== '/api/chat.postMessage') return { status: 404 };
    arrivals.push(...tamper('slack', arrivalsOf(JSON.parse(body.toString('utf8')) as Message)));
    return { status: 200, body: { ok: true } };
  });
  const origin = await server.listen();
  return {
    options: {
      type: 'slack',
      url: `${origin}/api/`,
      token,
      channel: `${CHANNEL}{organization_id}`,
      templates: { 'order.*': TEMPLATE },
      max_events: MOST_EVENTS,
      order: 'organization',
      allow_private: true,
    },
    statuses: ['disputed'],
    isSequence: true,
    arrivals: () => Promise.resolve(arrivals),
    close: () => server.close(),
  };
}

function arrivalsOf({ channel, blocks }: Message): Arrival[] {
  const organizationId = channel.slice(CHANNEL.length);
  return blocks.flatMap(({ block_id, text }) =>
    block_id === undefined
      ? []
      : [{ eventId: block_id, organizationId, number: Number(/^Order (\d+)/.exec(text?.text ?? '')?.[1]) }],
  );
}
