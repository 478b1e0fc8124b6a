import { z } from 'zod';
import { commonOptions, template } from './common-options.ts';
import { httpOptions } from './http-options.ts';

export const realtime = z
  .strictObject({
    type: z.literal('realtime'),
    url: z
      .url({ protocol: /^https?$/ })
      .trim()
      .describe('The Supabase project, such as https://abc.supabase.co.'),
    key: z.string().trim().min(1).describe('The service role key.').meta({ secret: true }),
    channel: template('organization_id', 'topic')
      .default('notifications:org_{organization_id}')
      .describe('Channel; {organization_id} and {topic} are filled in.'),
    form: z
      .enum(['events', 'list', 'invalidate'])
      .default('events')
      .describe(
        'events: a broadcast for each event. list: one for a batch, with the list of its events. invalidate: one for a batch, with its distinct entities.',
      ),
    event: template('event_type', 'topic')
      .optional()
      .describe(
        'Name of the broadcast event; {event_type} and {topic} are filled in with form: events. Default: {event_type}, events (list) or invalidate.',
      ),
    body: z
      .string()
      .min(1)
      .optional()
      .describe('Template of the payload in Liquid: its text, or a file that ends in .liquid. Default: the envelope.'),
    private: z.boolean().default(true).describe('Private channels, to which Realtime authorization applies.'),
    ...httpOptions,
    ...commonOptions({ concurrency: 16 }),
  })
  .meta({
    description: 'Supabase Realtime broadcast, one channel per organization.',
    examples: [{ type: 'realtime', url: 'https://abc.supabase.co', key: 'service-role-key' }],
  });
