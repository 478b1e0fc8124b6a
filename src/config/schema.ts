/**
 * Every option of walpost.yaml, declared once. The type, the validation, the JSON Schema for editors, the environment
 * names and the table in docs/configuration.md all derive from this file.
 */
import { z } from 'zod';
import { connectionStringProblem } from '../connection-string.ts';
import { alerts } from './alerts.ts';
import { crossCheck } from './cross-checks.ts';
import { live } from './live.ts';
import { ROLE_PREFIX } from './role-prefix.ts';
import { sinkSchema } from './sinks/sinks.ts';
import { duration, size } from './units.ts';

const SINK_NAME = /^(?!.*__)[a-z][a-z0-9_-]{0,62}$/;
const identifier = z.string().min(1).max(63);

const database = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .superRefine((url, context) => {
        const message = url === '' ? undefined : connectionStringProblem(url);
        if (message !== undefined) context.addIssue({ code: 'custom', message, input: url });
      })
      .describe('Connection string of the database; the direct host, not a pooler.')
      .meta({ secret: true }),
    pool_size: z
      .int()
      .min(1)
      .max(50)
      .default(3)
      .describe('Connections for the cursor, dead letters and status, in addition to the one that streams.'),
  })
  .describe('The database that holds the outbox.');

const slotName = z.string().regex(/^[a-z0-9_]{1,63}$/, 'must be 1 to 63 of a-z, 0-9 and _');

const source = z
  .strictObject({
    slot: slotName
      .optional()
      .describe(
        'Replication slot. Default: the slot recorded for this table and publication, or walpost_ and the name of the database at the first start.',
      ),
    takes_over: slotName
      .optional()
      .describe(
        'The slot that source.slot replaces. Everything stored for it moves to the new slot, and it is dropped.',
      ),
    existing: z
      .enum(['deliver', 'skip'])
      .optional()
      .describe(
        'What to do with rows that exist at the first start, or in a copy of a database. Default: a first start delivers the rows of walpost.outbox; otherwise walpost stops and asks.',
      ),
    publication: identifier.default('walpost').describe('Publication of the outbox table.'),
    plugin: z.enum(['pgoutput', 'wal2json']).default('pgoutput').describe('Output plugin that decodes the WAL.'),
    table: z.string().min(1).default('walpost.outbox').describe('The outbox table, as schema.table.'),
    preset: z
      .enum(['walpost', 'debezium'])
      .default('walpost')
      .describe('Column names to start from; debezium also reads payloads as its event router does.'),
    columns: z
      .record(z.string(), identifier.nullable())
      .default({})
      .describe('Maps each event field to a column of your own table; null where there is none.'),
    messages: z.boolean().default(false).describe('Also deliver the signed logical messages that walpost.emit writes.'),
    row_filter: z
      .enum(['refuse', 'expected'])
      .default('refuse')
      .describe('expected: the publication filters rows on purpose, and scans of the table apply the same filter.'),
    on_slot_lost: z
      .enum(['heal', 'stop'])
      .default('heal')
      .describe('heal: create the slot again and read what it missed from the table; stop: wait for a person.'),
    wal_warn: size({ min: '1MiB' })
      .prefault('4GiB')
      .describe('WAL kept for the slot at which the status warns, where the server has no limit or a higher one.'),
    checkpoint_interval: duration({ min: '100ms', max: '10m' })
      .prefault('10s')
      .describe('Time between checkpoints. Replay and healing begin at a checkpoint.'),
  })
  .describe('Where the events come from.');

const batching = z
  .strictObject({
    window: duration({ min: '1ms', max: '1m' })
      .prefault('250ms')
      .describe('How long the events of one organization are collected for one sink.'),
    leading_edge: z.boolean().default(false).describe('Send the first event of an idle organization at once.'),
    max_events: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('Maximum events in a batch; a full batch is sent before its window ends.'),
    max_bytes: size({ min: '1KiB', max: '64MiB' })
      .prefault('256KiB')
      .describe('Maximum size of a batch; a full batch is sent before its window ends.'),
  })
  .describe('Windows and batches.');

const delivery = z
  .strictObject({
    timeout: duration({ min: '10ms', max: '1d' }).prefault('10s').describe('Time limit of one attempt.'),
    quick_retries: z
      .int()
      .min(0)
      .max(10)
      .default(2)
      .describe('Retries in memory, after 200ms and 1s with full jitter.'),
    park_after: duration({ min: '100ms' })
      .prefault('10s')
      .describe('An event that is not settled within this time is parked, so that the slot can move on.'),
    max_attempts: z
      .int()
      .min(1)
      .max(100)
      .default(3)
      .describe('Refusals of one event before it becomes a dead letter, while the sink accepts others.'),
    backoff: z
      .array(duration())
      .min(1)
      .prefault(['1m', '2m', '4m'])
      .describe('Waits between these attempts; the last one repeats.'),
    unavailable_for: duration()
      .prefault('24h')
      .describe('A destination that is unavailable for this long makes its oldest events dead letters; 0 means never.'),
    wait_visible: z
      .boolean()
      .default(true)
      .describe('Never send an event before its transaction is visible to readers.'),
    breaker: z
      .strictObject({
        failure_rate: z
          .number()
          .gt(0)
          .max(1)
          .default(0.5)
          .describe('Share of failing organizations that opens the breaker.'),
        minimum_organizations: z
          .int()
          .min(1)
          .max(1000)
          .default(5)
          .describe('Organizations with an answer before the share counts; at least two must fail.'),
        reset_after: duration({ min: '10ms' })
          .prefault('10s')
          .describe(
            'How long an open breaker waits before it probes; also the longest wait between tries of one lane.',
          ),
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
      .describe('What to do with an event that no route matches.'),
  })
  .describe('Attempts, retries, parking and dead letters.');

const route = z.strictObject({
  match: z
    .strictObject({
      topic: z.string().min(1).optional().describe('The topic column.'),
      event_type: z.string().min(1).optional().describe('The type, such as booking.*.'),
      target: z.string().min(1).optional().describe('The target column, a routing hint.'),
      entity_type: z.string().min(1).optional().describe('What the event is about.'),
      organization_id: z.string().min(1).optional().describe('One organization.'),
    })
    .default({})
    .describe(
      'Every field that is given must match; * stands for any text. An empty match takes every event but those of walpost itself, whose topic or type begins with "walpost.": a pattern has to name them.',
    ),
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
        .describe('A standby takes over from a leader that has been silent for this long.'),
    })
    .prefault({})
    .describe('One process leads, others stand by.'),
  memory: z
    .strictObject({
      budget: size({ min: '1MiB' })
        .prefault('64MiB')
        .describe('Memory that all events in the process may use together.'),
    })
    .prefault({})
    .describe('Memory.'),
  sinks: z
    .record(z.string().regex(SINK_NAME, 'must be a-z first, then a-z, 0-9, single _ and -'), sinkSchema)
    .describe('Where events go.'),
  routes: z.array(route).min(1).describe('Which event goes where. Every route that matches delivers.'),
  http: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Serve health, metrics and status.'),
      host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
      port: z.int().min(0).max(65535).default(9464).describe('Port to listen on; 0 takes a free one.'),
      token: z
        .string()
        .min(16)
        .optional()
        .describe('Bearer token for /metrics and /status; required unless the host is loopback.')
        .meta({ secret: true }),
    })
    .prefault({})
    .describe('The HTTP server.'),
  live: live.prefault({}),
  alerts: alerts.optional(),
  prune: z
    .strictObject({
      enabled: z.boolean().default(true).describe('The leader removes old events that have been delivered.'),
      retention: duration()
        .prefault('72h')
        .describe(
          'How long a delivered event stays in the outbox. A topic can have a time of its own: retention_hours in walpost.settings.',
        ),
      batch: z.int().min(1).max(100_000).default(5_000).describe('Rows removed per transaction.'),
      every: duration({ min: '1s', max: '1d' })
        .prefault('5m')
        .describe('Time between two rounds; each reads the outbox.'),
    })
    .prefault({})
    .describe('The growth of the outbox.'),
  roles: z
    .strictObject({
      prefix: z
        .string()
        .regex(ROLE_PREFIX, 'must be a letter, then up to 39 of a-z, 0-9 and _, and not begin with pg_')
        .optional()
        .describe(
          'What the names of the roles begin with, for a cluster with several installations. Default: as the database has it, at first nothing.',
        ),
    })
    .prefault({})
    .describe('The roles that walpost migrate makes.'),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .describe('Lowest level that is written.'),
      format: z.enum(['json', 'pretty']).optional().describe('Default: pretty on a terminal, otherwise json.'),
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
