import { z } from 'zod';
import { commonOptions } from './common-options.ts';
import { tlsFields } from './tls-options.ts';

/** Tokens between dots, each of them text and fields. */
const TOKEN = String.raw`(?:[^{}\s*>.]|\{(?:organization_id|event_type|topic|entity_type|entity_id|target|partition:[1-9]\d{0,4})\})+`;
const SUBJECT = new RegExp(`^${TOKEN}(?:\\.${TOKEN})*$`);
const SERVER = /^(?:(?:nats|tls):\/\/)?[^\s/@,]+$/;

export const nats = z
  .strictObject({
    type: z.literal('nats'),
    servers: z
      .array(z.string().regex(SERVER, 'must be nats://host:port, without user and password'))
      .min(1)
      .describe('Servers of one cluster, such as nats://nats.internal:4222; one that answers is used.'),
    subject: z
      .string()
      .regex(SUBJECT, 'must be tokens joined by dots, each of text and of fields in braces, without blanks, * and >')
      .default('walpost.{organization_id}.{topic}.{event_type}')
      .describe(
        'Subject; {organization_id}, {topic}, {event_type}, {entity_type}, {entity_id}, {target} and {partition:N} are filled in.',
      ),
    partition_by: z
      .enum(['organization', 'entity'])
      .default('organization')
      .describe('What decides about {partition:N}; an event without an entity goes by its organization.'),
    stream: z
      .string()
      .regex(/^[^\s.*>/\\]+$/, 'must be the name of a stream')
      .optional()
      .describe('The stream that has to take the messages. When another one takes the subject, nothing is stored.'),
    user: z.string().min(1).optional().describe('User, with `password`.'),
    password: z.string().min(1).optional().describe('Password of the user.').meta({ secret: true }),
    token: z.string().min(1).optional().describe('Token, where the server asks for one.').meta({ secret: true }),
    nkey: z.string().trim().min(1).optional().describe('Seed of an NKey; begins with SU.').meta({ secret: true }),
    credentials: z
      .string()
      .min(1)
      .optional()
      .describe('File with a JWT and its seed (.creds), or its text.')
      .meta({ secret: true }),
    tls: z
      .strictObject({
        ...tlsFields,
        first: z.boolean().default(false).describe('TLS before the first word of the server (handshake_first).'),
      })
      .optional()
      .describe('TLS; servers that demand it get it without this section too.'),
    ...commonOptions({ concurrency: 64 }),
  })
  .meta({
    description: 'NATS JetStream: one message of a stream per event.',
    examples: [
      { type: 'nats', servers: ['nats://nats.internal:4222'] },
      {
        type: 'nats',
        servers: ['nats://a.internal:4222', 'nats://b.internal:4222'],
        user: 'walpost',
        password: 'secret',
      },
    ],
  });
