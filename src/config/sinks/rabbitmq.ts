import { z } from 'zod';
import { commonOptions, template } from './common-options.ts';
import { tlsFields } from './tls-options.ts';

export const rabbitmq = z
  .strictObject({
    type: z.literal('rabbitmq'),
    url: z
      .url({ protocol: /^amqps?$/ })
      .trim()
      .describe('The server, such as amqp://user:password@rabbit.internal:5672/vhost.')
      .meta({ secret: true }),
    exchange: z
      .string()
      .max(255)
      .describe('Exchange, which must exist. Empty text: the default exchange, where the routing key names a queue.'),
    routing_key: template('organization_id', 'event_type', 'topic', 'entity_type', 'entity_id', 'target')
      .default('{topic}.{event_type}')
      .describe(
        'Routing key; {organization_id}, {topic}, {event_type}, {entity_type}, {entity_id} and {target} are filled in.',
      ),
    tls: z.strictObject(tlsFields).optional().describe('TLS, with amqps://.'),
    ...commonOptions({ concurrency: 64 }),
  })
  .meta({
    description: 'RabbitMQ: one persistent message per event, to an exchange.',
    examples: [{ type: 'rabbitmq', url: 'amqp://walpost:secret@rabbit.internal:5672', exchange: 'events' }],
  });
