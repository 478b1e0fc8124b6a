import { z } from 'zod';
import { duration, rate } from '../units.ts';

const ORDER =
  'What stays in order: all events of an organization, those of each of its entities, or none, where an event that fails alone holds up no other';
const orders = z.enum(['organization', 'entity', 'none']);

/** For types of sinks whose events do not belong together. */
export const orderNone = orders.default('none').describe(`${ORDER}.`);

/** The options of every sink, whatever its type. Only the default concurrency differs from type to type. */
export function commonOptions(defaults: { readonly concurrency: number }) {
  return {
    concurrency: z
      .int()
      .min(1)
      .max(1024)
      .default(defaults.concurrency)
      .describe('Maximum batches in flight at once for this sink.'),
    timeout: duration({ min: '10ms', max: '1d' })
      .optional()
      .describe('Time limit of one attempt; delivery.timeout when absent.'),
    window: duration({ min: '1ms', max: '1m' })
      .optional()
      .describe('How long events are collected for this sink; batching.window when absent.'),
    mode: z
      .enum(['window', 'adaptive'])
      .optional()
      .describe(
        'adaptive: an idle organization sends at once, and what arrives while a batch is in flight leaves with its answer; windows when absent.',
      ),
    max_events: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe('Maximum events in a batch for this sink; batching.max_events when absent.'),
    order: orders.optional().describe(`${ORDER}; organization when absent.`),
    max_age: duration({ min: '1s' })
      .optional()
      .describe('An event that is older when it would be sent becomes a dead letter (expired); never when absent.'),
    rate: rate()
      .optional()
      .describe('Maximum rate of events for this sink, such as 100/s; a burst of one second passes.'),
    organization_rate: rate()
      .optional()
      .describe('Maximum rate of events of one organization for this sink, such as 10/s.'),
    log: z
      .boolean()
      .optional()
      .describe('false: no attempt of this sink is written to walpost.delivery_log; delivery.log decides when absent.'),
    formerly: z.string().optional().describe('The name this sink had before; its parked rows come along.'),
  };
}

/** Text that may name these fields of an event in braces. */
export function template(...fields: readonly string[]) {
  const named = fields.map((field) => `{${field}}`).join(' and ');
  return z
    .string()
    .min(1)
    .regex(new RegExp(`^(?:[^{}]|\\{(?:${fields.join('|')})\\})*$`), `may name ${named} in braces, nothing else`);
}
