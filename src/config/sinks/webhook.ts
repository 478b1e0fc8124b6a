import { z } from 'zod';
import { commonOptions } from './common-options.ts';
import { httpOptions } from './http-options.ts';

/** When a dozen receivers hang, the remaining requests serve the others until the first timeout. */
const CONCURRENCY = 32;

export const webhook = z
  .strictObject({
    type: z.literal('webhook'),
    url: z
      .url({ protocol: /^https?$/ })
      .trim()
      .describe('Where the batches are posted.')
      .meta({ secret: true }),
    secret: z
      .string()
      .trim()
      .min(1)
      .optional()
      .describe('Signs with Standard Webhooks; `whsec_` and base64, or any text.')
      .meta({ secret: true, neverBlank: true }),
    headers: z
      .record(z.string(), z.string().trim())
      .default({})
      .describe('Further request headers.')
      .meta({ secret: true }),
    batch: z.boolean().default(true).describe('false: one request per event.'),
    format: z.enum(['walpost', 'cloudevents']).default('walpost').describe('The format of the body.'),
    ...httpOptions,
    ...commonOptions({ concurrency: CONCURRENCY }),
  })
  .meta({
    description: 'HTTP POST to any receiver, such as n8n.',
    examples: [{ type: 'webhook', url: 'https://example.com/hook' }],
  });
