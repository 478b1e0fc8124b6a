import { z } from 'zod';

/** How a sink reaches Redis. */
export const redisOptions = {
  url: z
    .string()
    .trim()
    .min(1)
    .describe('The server: redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS.')
    .meta({ secret: true }),
  cluster: z
    .array(z.string().regex(/^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i, 'must be HOST:PORT'))
    .optional()
    .describe(
      'Further nodes, as HOST:PORT, of the Redis Cluster that url belongs to; without it url is a single server.',
    ),
  ca: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File with certificates in PEM, or their text. These authorities are trusted in place of the usual ones.',
    ),
};

/** What is wrong with the address, in words that hold nothing of it. */
export function redisUrlProblem(text: string): string | undefined {
  if (!/^rediss?:\/\//i.test(text)) return 'must begin with redis:// or rediss://';
  if (!URL.canParse(text)) return 'is no URL; in a user name or password write % as %25, @ as %40, # as %23, / as %2F';
  const { pathname, hash, search, hostname } = new URL(text);
  if (hostname === '') return 'has no host';
  if (hash !== '') return 'holds a #; in a password write it as %23';
  if (search !== '') return 'has parameters behind a ?; none are read';
  return /^\/?\d*$/.test(pathname) ? undefined : 'has a path that is not the number of a database';
}
