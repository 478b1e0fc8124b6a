import { z } from 'zod';
import { duration, rate } from './units.ts';

/** What every sink has, whatever its type. */
const common = {
  concurrency: z.int().min(1).max(1024).optional().describe('Batches in flight at once for this sink.'),
  timeout: duration({ min: '10ms' }).optional().describe('One attempt; delivery.timeout when absent.'),
  rate: rate().optional().describe('Most events for this sink, such as 100/s; a burst of one second passes.'),
  organization_rate: rate().optional().describe('Most events of one organization for this sink, such as 10/s.'),
  formerly: z.string().optional().describe('The name this sink had before; its parked rows come along.'),
};

/** Text that may name these fields of an event in braces. */
function template(...fields: readonly string[]) {
  const named = fields.map((field) => `{${field}}`).join(' and ');
  return z
    .string()
    .min(1)
    .regex(new RegExp(`^(?:[^{}]|\\{(?:${fields.join('|')})\\})*$`), `may name ${named} in braces, nothing else`);
}

const discard = z
  .strictObject({ type: z.literal('discard'), ...common })
  .describe('Drops every event; for measurements.');

const stdout = z
  .strictObject({ type: z.literal('stdout'), ...common })
  .describe('One line of JSON an event on standard output.');

const webhook = z
  .strictObject({
    type: z.literal('webhook'),
    url: z
      .url({ protocol: /^https?$/ })
      .describe('Where the batches are posted.')
      .meta({ secret: true }),
    secret: z
      .string()
      .min(1)
      .optional()
      .describe('Signs with Standard Webhooks; `whsec_` and base64, or any text.')
      .meta({ secret: true }),
    headers: z.record(z.string(), z.string()).default({}).describe('Further request headers.').meta({ secret: true }),
    batch: z.boolean().default(true).describe('false: one event a request.'),
    format: z.enum(['walpost', 'cloudevents']).default('walpost').describe('The shape of the body.'),
    allow_private: z.boolean().default(false).describe('Allow loopback and private addresses.'),
    ...common,
  })
  .describe('HTTP POST to any receiver, such as n8n.');

const realtime = z
  .strictObject({
    type: z.literal('realtime'),
    url: z.url({ protocol: /^https?$/ }).describe('The Supabase project, such as https://abc.supabase.co.'),
    key: z.string().min(1).describe('The service role key.').meta({ secret: true }),
    channel: template('organization_id', 'topic')
      .default('notifications:org_{organization_id}')
      .describe('Channel; {organization_id} and {topic} are filled in.'),
    event: template('event_type', 'topic')
      .default('{event_type}')
      .describe('Name of the broadcast event; {event_type} and {topic} are filled in.'),
    private: z.boolean().default(true).describe('Private channels, to which Realtime authorization applies.'),
    allow_private: z.boolean().default(false).describe('Allow loopback and private addresses.'),
    ...common,
  })
  .describe('Supabase Realtime broadcast, one channel an organization.');

export const sinkSchema = z.discriminatedUnion('type', [discard, stdout, webhook, realtime]);

export type SinkConfig = z.output<typeof sinkSchema>;
export type SinkConfigOf<T extends SinkConfig['type']> = Extract<SinkConfig, { type: T }>;
