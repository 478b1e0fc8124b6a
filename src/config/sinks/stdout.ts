import { z } from 'zod';
import { commonOptions } from './common-options.ts';

export const stdout = z.strictObject({ type: z.literal('stdout'), ...commonOptions({ concurrency: 1 }) }).meta({
  description: 'One line of JSON per event on standard output.',
  examples: [{ type: 'stdout' }],
});
