import { z } from 'zod';
import { commonOptions } from './common-options.ts';

export const live = z.strictObject({ type: z.literal('live'), ...commonOptions({ concurrency: 64 }) }).meta({
  description: 'Server-Sent Events on a listener of its own, one channel per organization; see the section live.',
  examples: [{ type: 'live' }],
});
