/**
 * The types of sinks that walpost.yaml may name: the first of the two tables of sinks. The second one is
 * src/sinks/registry.ts. CONTRIBUTING.md says how to add a type.
 */
import { z } from 'zod';
import { bullmq } from './bullmq.ts';
import { custom } from './custom.ts';
import { discard } from './discard.ts';
import { postgres } from './postgres.ts';
import { kafka } from './kafka.ts';
import { live } from './live.ts';
import { nats } from './nats.ts';
import { rabbitmq } from './rabbitmq.ts';
import { email } from './email.ts';
import { realtime } from './realtime.ts';
import { redis } from './redis.ts';
import { slack } from './slack.ts';
import { stdout } from './stdout.ts';
import { webhook } from './webhook.ts';

export const sinkSchema = z.discriminatedUnion('type', [
  discard, //
  stdout,
  webhook,
  realtime,
  redis,
  bullmq,
  postgres,
  live,
  nats,
  custom,
  rabbitmq,
  slack,
  email,
  kafka,
]);

export type SinkConfig = z.output<typeof sinkSchema>;
export type SinkConfigOf<T extends SinkConfig['type']> = Extract<SinkConfig, { type: T }>;
