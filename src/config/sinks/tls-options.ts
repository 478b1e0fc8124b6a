import { z } from 'zod';

/** How a sink checks the certificate of a broker, and which one it shows. */
export const tlsFields = {
  ca: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File with certificates in PEM, or their text. These authorities are trusted in place of the usual ones.',
    ),
  certificate: z.string().min(1).optional().describe('Certificate that this client shows: a file in PEM, or its text.'),
  key: z.string().min(1).optional().describe('Its private key: a file in PEM, or its text.').meta({ secret: true }),
};
