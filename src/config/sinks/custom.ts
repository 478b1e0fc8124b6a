import { z } from 'zod';
import { commonOptions } from './common-options.ts';

export const custom = z
  .strictObject({
    type: z.literal('custom'),
    module: z
      .string()
      .trim()
      .min(1)
      .describe('File with the sink as its default export, such as ./my-sink.mjs; relative to the configuration file.'),
    options: z
      .record(z.string(), z.unknown())
      .default({})
      .describe('Options of the sink; its module checks them.')
      .meta({ secret: true }),
    ...commonOptions({ concurrency: 16 }),
  })
  .meta({
    description: 'A sink of your own, from a module.',
    examples: [{ type: 'custom', module: './examples/counting-sink.mjs', options: {} }],
  });
