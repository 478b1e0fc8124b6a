import { z } from 'zod';
import { commonOptions } from './common-options.ts';

export const postgres = z
  .strictObject({
    type: z.literal('postgres'),
    url: z
      .string()
      .trim()
      .min(1)
      .describe('The database with the inbox: postgres://USER:PASSWORD@HOST:PORT/DATABASE, as in database.url.')
      .meta({ secret: true }),
    table: z
      .string()
      .min(1)
      .default('public.walpost_inbox')
      .describe('The inbox: sql/inbox/walpost_inbox.sql creates it.'),
    ...commonOptions({ concurrency: 4 }),
  })
  .meta({
    description: 'Inbox table in another Postgres database, exactly once.',
    examples: [{ type: 'postgres', url: 'postgres://walpost@127.0.0.1:5432/app' }],
  });
