import { z } from 'zod';
import { commonOptions } from './common-options.ts';
import { duration } from '../units.ts';
import { httpOptions } from './http-options.ts';

/** When a dozen receivers hang, the remaining requests serve the others until the first timeout. */
const CONCURRENCY = 32;

const common = commonOptions({ concurrency: CONCURRENCY });

export const webhook = z
  .strictObject({
    type: z.literal('webhook'),
    url: z
      .url({ protocol: /^https?$/ })
      .trim()
      .optional()
      .describe('Where the batches are posted; required, unless endpoints is true.')
      .meta({ secret: true }),
    endpoints: z
      .boolean()
      .optional()
      .describe('true: each organization has endpoints of its own (walpost.add_endpoint), and events go to those.'),
    disable_after: duration({ min: '1m' })
      .optional()
      .describe(
        'With endpoints: one that has accepted nothing for this long is disabled. Default: 3d, or two thirds of a prune.retention that is not longer.',
      ),
    allow_loopback: z
      .boolean()
      .optional()
      .describe('With endpoints: also addresses of this machine. For development; every customer could use it.'),
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
    batch: z
      .boolean()
      .optional()
      .describe('false: one request per event. Default: true, or false with a body or a preset.'),
    body: z
      .string()
      .min(1)
      .optional()
      .describe('Template of the body of one event in Liquid: its text, or a file that ends in .liquid.')
      .meta({ secret: true }),
    content_type: z
      .string()
      .trim()
      .regex(/^[\w.+-]+\/[\w.+-]+(?:\s*;\s*[\w-]+=[\w-]+)*$/, 'must be a media type such as application/json')
      .optional()
      .describe('Content-Type of a body; it decides how values are escaped. Default: application/json.'),
    preset: z.enum(['n8n']).optional().describe('n8n: also the headers X-Event-Type and X-Idempotency-Key.'),
    format: z.enum(['walpost', 'cloudevents']).default('walpost').describe('The format of the body.'),
    ...httpOptions,
    ...common,
    concurrency: common.concurrency.describe(
      'Maximum batches in flight at once for this sink. With endpoints, up to 1,024 more that have lasted for over 100 ms.',
    ),
  })
  .meta({
    description: 'HTTP POST to any receiver, such as n8n.',
    examples: [{ type: 'webhook', url: 'https://example.com/hook' }],
  });

/** Whether a batch is one request; a body and a preset are about one event. */
export function sendsBatches({
  batch,
  body,
  preset,
}: Pick<z.output<typeof webhook>, 'batch' | 'body' | 'preset'>): boolean {
  return batch ?? (body === undefined && preset === undefined);
}
