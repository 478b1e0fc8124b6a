/**
 * Every option of walpost.yaml, declared once. The type, the validation, the JSON Schema for editors, the environment
 * names and the table in docs/configuration.md all derive from this file.
 */
import { z } from 'zod';
import { crossCheck } from './cross-checks.ts';
import { sinkSchema } from './sinks.ts';
import { duration, size } from './units.ts';

const SINK_NAME = /^(?!.*__)[a-z][a-z0-9_-]{0,62}$/;
const identifier = z.string().min(1).max(63);

const database = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .describe('Connection string of the database, the direct host and not a pooler.')
      .meta({ secret: true }),
    pool_size: z
      .int()
      .min(1)
      .max(50)
      .default(3)
      .describe('Connections for cursor, dead letters and status, beside the one that streams.'),
  })
  .describe('The database that holds the outbox.');

const source = z
  .strictObject({
    slot: z
      .string()
      .regex(/^[a-z0-9_]{1,63}$/, 'must be 1 to 63 of a-z, 0-9 and _')
      .optional()
      .describe('Replication slot; by default walpost_ and the name of the database.'),
    publication: identifier.default('walpost').describe('Publication of the outbox table.'),
    plugin: z.enum(['pgoutput', 'wal2json']).default('pgoutput').describe('Output plugin that decodes the WAL.'),
    table: z.string().min(1).default('walpost.outbox').describe('The outbox table, as schema.table.'),
    preset: z.enum(['walpost', 'debezium']).default('walpost').describe('Column names to start from.'),
    columns: z
      .record(z.string(), identifier.nullable())
      .default({})
      .describe('Event field to column, for a table of your own; null where there is none.'),
    messages: z.boolean().default(false).describe('Deliver signed logical messages too, which walpost.emit writes.'),
    on_slot_lost: z
      .enum(['heal', 'stop'])
      .default('heal')
      .describe('heal: make the slot again and send what it missed from the table; stop: wait for a person.'),
    checkpoint_interval: duration({ min: '100ms', max: '10m' })
      .prefault('10s')
      .describe('Distance of checkpoints, and so how finely replay and healing can tell where to begin.'),
  })
  .describe('Where the events come from.');

const batching = z
  .strictObject({
    window: duration({ min: '1ms', max: '1m' })
      .prefault('250ms')
      .describe('How long the events of one organization gather for one sink.'),
    leading_edge: z.boolean().default(false).describe('The first event of a quiet organization leaves at once.'),
    max_events: z.int().min(1).max(10_000).default(100).describe('A batch of that many leaves before its window ends.'),
    max_bytes: size({ min: '1KiB', max: '64MiB' })
      .prefault('256KiB')
      .describe('A batch of that size leaves before its window ends.'),
  })
  .describe('Windows and batches.');

const delivery = z
  .strictObject({
    timeout: duration({ min: '10ms' }).prefault('10s').describe('One attempt.'),
    quick_retries: z
      .int()
      .min(0)
      .max(10)
      .default(2)
      .describe('Retries in memory, after 200ms and 1s with full jitter.'),
    park_after: duration({ min: '100ms' })
      .prefault('10s')
      .describe('An unsettled event older than this is parked, so that the slot moves on.'),
    max_attempts: z
      .int()
      .min(1)
      .max(100)
      .default(3)
      .describe("Failures that are the event's own before it is a dead letter."),
    backoff: z
      .array(duration())
      .min(1)
      .prefault(['1m', '2m', '4m'])
      .describe('Waits between those attempts; the last repeats.'),
    unavailable_for: duration()
      .prefault('24h')
      .describe('A destination that long away dead-letters its oldest event; 0 is never.'),
    wait_visible: z
      .boolean()
      .default(true)
      .describe('Never send an event before its transaction is visible to readers.'),
    breaker: z
      .strictObject({
        failure_rate: z.number().gt(0).max(1).default(0.5).describe('Share of failing calls that opens the breaker.'),
        minimum_calls: z.int().min(1).max(1000).default(5).describe('Calls before the share counts.'),
        reset_after: duration({ min: '10ms' })
          .prefault('10s')
          .describe('How long an open breaker rests before it probes.'),
      })
      .prefault({})
      .describe('The circuit breaker of each destination.'),
    on_dead_letter: z.enum(['continue', 'block']).default('continue').describe('block: the lane waits for a person.'),
    log: z
      .enum(['off', 'failures', 'all'])
      .default('failures')
      .describe('Which attempts are written to walpost.delivery_log, kept for seven days.'),
    unrouted: z
      .enum(['dead_letter', 'drop'])
      .default('dead_letter')
      .describe('What becomes of an event that no route matches.'),
  })
  .describe('Attempts, retries and what follows.');

const route = z.strictObject({
  match: z
    .strictObject({
      topic: z.string().min(1).optional().describe('The topic column.'),
      event_type: z.string().min(1).optional().describe('The type, such as booking.*.'),
      target: z.string().min(1).optional().describe('The routing hint of the event.'),
      entity_type: z.string().min(1).optional().describe('What the event is about.'),
      organization_id: z.string().min(1).optional().describe('One organization.'),
    })
    .default({})
    .describe('All that are given must match; * stands for any text. An empty match takes every event.'),
  to: z.array(z.string()).min(1).describe('Sinks by name.'),
});

/** Each option on its own; what holds between options is in cross-checks.ts. */
export const optionsSchema = z.strictObject({
  database: database.prefault({} as z.input<typeof database>),
  source: source.prefault({}),
  batching: batching.prefault({}),
  delivery: delivery.prefault({}),
  leader: z
    .strictObject({
      takeover_after: duration({ min: '1s', max: '10m' })
        .prefault('10s')
        .describe('A leader that is silent for that long, stopped or cut off, is replaced by a standby.'),
    })
    .prefault({})
    .describe('One process leads, others stand by.'),
  memory: z
    .strictObject({
      budget: size({ min: '1MiB' }).prefault('64MiB').describe('What all events in the process may hold together.'),
    })
    .prefault({})
    .describe('Memory.'),
  sinks: z
    .record(z.string().regex(SINK_NAME, 'must be a-z first, then a-z, 0-9, single _ and -'), sinkSchema)
    .describe('Where events go.'),
  routes: z.array(route).min(1).describe('Which event goes where; every route that matches delivers.'),
  http: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Serve health, metrics and status.'),
      host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
      port: z.int().min(0).max(65535).default(9464).describe('Port to listen on; 0 takes a free one.'),
      token: z
        .string()
        .min(16)
        .optional()
        .describe('Bearer token for /metrics and /status; needed unless the host is loopback.')
        .meta({ secret: true }),
    })
    .prefault({})
    .describe('The HTTP server.'),
  prune: z
    .strictObject({
      enabled: z.boolean().default(true).describe('The leader removes what is delivered and old.'),
      retention: duration().prefault('72h').describe('How long a delivered event stays in the outbox.'),
      batch: z.int().min(1).max(100_000).default(5_000).describe('Rows a transaction.'),
      every: duration({ min: '1s', max: '1d' })
        .prefault('5m')
        .describe('Distance of two rounds, which read the outbox.'),
    })
    .prefault({})
    .describe('The growth of the outbox.'),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .describe('Least level that is written.'),
      format: z.enum(['json', 'pretty']).optional().describe('pretty on a terminal, else json.'),
    })
    .prefault({})
    .describe('The log on standard error.'),
});

export const configSchema = optionsSchema.superRefine((config, context) => {
  for (const { path, message, input } of crossCheck(config))
    context.addIssue({ code: 'custom', path: [...path], message, input });
});

export type Config = z.output<typeof configSchema>;
export type RouteConfig = Config['routes'][number];
