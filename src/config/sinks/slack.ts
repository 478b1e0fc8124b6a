import { z } from 'zod';
import { commonOptions, orderNone, template } from './common-options.ts';
import { httpOptions } from './http-options.ts';

/** Where `chat.postMessage` is, unless the `url` says otherwise. */
export const SLACK_API = 'https://slack.com/api/';
/** A channel takes a message a second: this many may wait for it at once, each for less than the usual timeout. */
const CONCURRENCY = 4;

export const slack = z
  .strictObject({
    type: z.literal('slack'),
    url: z
      .url({ protocol: /^https?$/ })
      .trim()
      .optional()
      .describe(`The incoming webhook. With a token: where the API is; ${SLACK_API} when absent.`)
      .meta({ secret: true }),
    token: z
      .string()
      .trim()
      .min(1)
      .optional()
      .describe('Token of a bot with chat:write, for chat.postMessage.')
      .meta({ secret: true, neverBlank: true }),
    channel: template('organization_id')
      .optional()
      .describe('Channel of chat.postMessage, a name or an id; {organization_id} is filled in.'),
    templates: z
      .record(z.string().min(1), z.string().min(1))
      .default({})
      .describe('Event type, such as order.*, to a template of its blocks: text, or a file that ends in .liquid.'),
    ...httpOptions,
    ...commonOptions({ concurrency: CONCURRENCY }),
    order: orderNone,
  })
  .meta({
    description: 'Messages in Slack.',
    examples: [
      { type: 'slack', url: 'https://hooks.slack.com/services/T000/B000/XXXX' },
      { type: 'slack', token: 'xoxb-1', channel: 'ops' },
    ],
  });
