import { z } from 'zod';
import { commonOptions, template } from './common-options.ts';
import { tlsFields } from './tls-options.ts';

const FIELDS = ['organization_id', 'event_type', 'topic', 'entity_type', 'entity_id', 'target'] as const;
const BROKER = /^[^\s/@,]+:\d{1,5}$/;

export const kafka = z
  .strictObject({
    type: z.literal('kafka'),
    brokers: z
      .array(z.string().regex(BROKER, 'must be host:port'))
      .min(1)
      .describe('Brokers that are asked first, such as kafka.internal:9092; they name the others.'),
    topic: template(...FIELDS)
      .default('walpost.{topic}')
      .describe('Topic, which must exist; fields of the event in braces are filled in.'),
    key: template(...FIELDS)
      .default('{organization_id}')
      .describe('Key of the message, which decides about its partition; fields of the event in braces are filled in.'),
    compression: z
      .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
      .default('none')
      .describe('Compression of the messages of one request.'),
    max_message_bytes: z
      .int()
      .min(1024)
      .default(1_000_000)
      .describe(
        'Largest message, and largest request for one organization, before compression. Keep it below message.max.bytes of the broker.',
      ),
    sasl: z
      .strictObject({
        mechanism: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).describe('How the password is shown.'),
        user: z.string().min(1).describe('User.'),
        password: z.string().min(1).describe('Password of the user.').meta({ secret: true }),
      })
      .optional()
      .describe('Login, where the brokers ask for one.'),
    tls: z.strictObject(tlsFields).optional().describe('TLS. An empty section, {}, trusts the usual authorities.'),
    ...commonOptions({ concurrency: 16 }),
  })
  .meta({
    description: 'Kafka: one message per event. Needs Node 22.',
    examples: [
      { type: 'kafka', brokers: ['kafka.internal:9092'] },
      {
        type: 'kafka',
        brokers: ['a.internal:9093', 'b.internal:9093'],
        sasl: { mechanism: 'SCRAM-SHA-512', user: 'walpost', password: 'secret' },
        tls: {},
      },
    ],
  });
