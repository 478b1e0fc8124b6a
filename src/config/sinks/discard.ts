import { z } from 'zod';
import { commonOptions } from './common-options.ts';

export const discard = z.strictObject({ type: z.literal('discard'), ...commonOptions({ concurrency: 64 }) }).meta({
  description: 'Drops every event; for measurements.',
  examples: [{ type: 'discard' }],
});
