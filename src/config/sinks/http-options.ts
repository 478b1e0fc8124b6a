import { z } from 'zod';

/** How a sink that speaks HTTP reaches its destination. */
export const httpOptions = {
  allow_private: z.boolean().default(false).describe('Allow loopback and private addresses.'),
  proxy: z
    .string()
    .trim()
    .min(1)
    .optional()
    .describe(
      'Outbound proxy, such as http://proxy.example.com:3128, or none. Default: HTTPS_PROXY or HTTP_PROXY of the environment, except for the hosts in NO_PROXY.',
    )
    .meta({ secret: true }),
  ca: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File with certificates in PEM, or their text. These authorities are trusted in place of the usual ones.',
    ),
};

/** Types of sinks that have these options. */
export function hasHttpOptions(type: unknown): boolean {
  return type === 'webhook' || type === 'realtime' || type === 'slack' || type === 'email';
}
