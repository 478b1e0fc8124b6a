import { z } from 'zod';
import { commonOptions } from './common-options.ts';
import { redisOptions } from './redis-options.ts';

const FIELDS = 'organization_id|topic|event_type|entity_type|entity_id|target';
const name = (more: string) =>
  z
    .string()
    .min(1)
    .regex(
      new RegExp(`^(?:[^{}:]|\\{(?:${FIELDS}${more})\\})*$`),
      'may name fields of the event in braces, and holds no colon outside of them',
    );

/** BullMQ keeps priorities below 2^21. */
const LOWEST_PRIORITY = 2_097_152;
const LONGEST_DELAY = 365 * 86_400_000;

const kept = z.union([
  z.boolean(),
  z.int().min(0),
  z.strictObject({ age: z.int().min(1).optional(), count: z.int().min(0).optional() }),
]);
const milliseconds = z.int().min(0).max(LONGEST_DELAY);

/** Options of a job that the configuration and the headers of an event may set, with BullMQ's meaning. */
export const jobOptions = {
  delay: milliseconds.optional().describe('Milliseconds before the job may be taken.'),
  priority: z.int().min(0).max(LOWEST_PRIORITY).optional().describe('1 is the highest; 0 or absent goes before all.'),
  attempts: z.int().min(1).max(1000).optional().describe('How often a worker tries the job.'),
  backoff: z
    .union([milliseconds, z.strictObject({ type: z.enum(['fixed', 'exponential']), delay: milliseconds })])
    .optional()
    .describe('Wait between the attempts of a worker, in milliseconds, or type and delay.'),
  remove_on_complete: kept
    .optional()
    .describe(
      'Removes completed jobs: true, the number to keep, or age (seconds) and count. A removed job may be added again.',
    ),
  remove_on_fail: kept.optional().describe('The same for jobs that failed.'),
};

export type JobOptionName = keyof typeof jobOptions;

export const bullmq = z
  .strictObject({
    type: z.literal('bullmq'),
    ...redisOptions,
    prefix: z
      .string()
      .min(1)
      .default('bull')
      .describe("BullMQ's prefix of all keys; in a cluster with a hash tag, such as {walpost}."),
    queue: name('|entity_hash:[1-9]\\d{0,3}')
      .default('{topic}')
      .describe(
        'Name of the queue; fields of the event in braces are filled in, and {entity_hash:8} with a number below 8.',
      ),
    job: name('').default('{event_type}').describe('Name of the job.'),
    job_options: z.strictObject(jobOptions).prefault({}).describe('Options of every job.'),
    options_from_headers: z
      .array(z.enum(Object.keys(jobOptions) as [JobOptionName, ...JobOptionName[]]))
      .default([])
      .describe('Options that the headers of an event may set, by these names.'),
    ...commonOptions({ concurrency: 16 }),
  })
  .meta({
    description: 'BullMQ, one job per event.',
    examples: [{ type: 'bullmq', url: 'redis://127.0.0.1:6379' }],
  });
