/** The listener of the live channel: the options of the section `live`. */
import { z } from 'zod';
import { duration, size } from './units.ts';

const tokens = {
  secret: z
    .string()
    .trim()
    .min(32)
    .optional()
    .describe('Secret of tokens that are signed with HS256; at least 32 characters.')
    .meta({ secret: true, neverBlank: true }),
  public_key: z
    .string()
    .min(1)
    .optional()
    .describe('Public key of tokens, in PEM, or the file that holds it. RSA means RS256, P-256 ES256, Ed25519 EdDSA.'),
  jwks: z
    .url({ protocol: /^https?$/ })
    .trim()
    .optional()
    .describe('URL of a JSON Web Key Set, for RS256, ES256 and EdDSA.'),
  allow_private: z.boolean().default(false).describe('Allow loopback and private addresses for live.jwks.'),
  issuer: z.string().min(1).optional().describe('What the claim iss must be; any when absent.'),
  audience: z.string().min(1).optional().describe('What the claim aud must name; any when absent.'),
  organization_claim: z
    .string()
    .min(1)
    .default('organization_id')
    .describe('The claim that names the organization; a path such as app_metadata.organization_id.'),
};

const bounds = {
  connections: z.int().min(1).max(1_000_000).default(10_000).describe('Maximum open streams.'),
  connections_per_organization: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1_000)
    .describe('Maximum open streams of one organization.'),
  reader_buffer: size({ min: '4KiB', max: '64MiB' })
    .prefault('256KiB')
    .describe('What may wait in memory for one reader; a reader that lets more gather is dropped.'),
  ring_events: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1_000)
    .describe('Events of one organization that are kept in memory for readers who come back.'),
  ring_bytes: size({ min: '4KiB', max: '1GiB' }).prefault('1MiB').describe('What those may use for one organization.'),
  ring_total: size({ min: '64KiB', max: '16GiB' })
    .prefault('64MiB')
    .describe('What those of all organizations may use.'),
  heartbeat: duration({ min: '1s', max: '5m' })
    .prefault('15s')
    .describe('A stream that is silent for so long gets a comment.'),
};

export const live = z
  .strictObject({
    host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
    port: z.int().min(0).max(65535).default(9465).describe('Port to listen on; 0 takes a free one.'),
    ...tokens,
    origins: z
      .array(z.string().regex(/^(\*|https?:\/\/[^/\s?#]+)$/, 'must be an origin such as https://app.example.com, or *'))
      .default([])
      .describe('Origins of web pages that may connect (CORS); * allows all.'),
    data: z
      .enum(['envelope', 'minimal'])
      .default('envelope')
      .describe('What data: holds. minimal: event_id, event_type, topic, entity_type and entity_id.'),
    event_name: z
      .enum(['type', 'message'])
      .default('type')
      .describe('The name of each message. message: all arrive as `message`, so that a page needs one listener.'),
    ...bounds,
  })
  .describe('The listener of the sink of type live.');

export type LiveConfig = z.output<typeof live>;
