import { z } from 'zod';
import { commonOptions, template } from './common-options.ts';
import { redisOptions } from './redis-options.ts';

export const redis = z
  .strictObject({
    type: z.literal('redis'),
    ...redisOptions,
    stream: template('organization_id', 'topic', 'event_type', 'entity_type', 'entity_id', 'target')
      .default('walpost:{topic}')
      .describe('Key of the stream; fields of the event in braces are filled in.'),
    max_length: z
      .int()
      .min(1)
      .optional()
      .describe('Streams are trimmed to about this many entries (MAXLEN ~); never when absent.'),
    ...commonOptions({ concurrency: 16 }),
  })
  .meta({
    description: 'Redis Streams, one entry per event.',
    examples: [{ type: 'redis', url: 'redis://127.0.0.1:6379' }],
  });
