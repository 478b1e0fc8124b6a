/** Where the leader sends its alerts: the options of the section `alerts`. */
import { z } from 'zod';
import { httpOptions } from './sinks/http-options.ts';
import { duration } from './units.ts';

export const alerts = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/ })
      .trim()
      .describe('Where alerts are posted when they fire and when they are resolved.')
      .meta({ secret: true }),
    secret: z
      .string()
      .trim()
      .min(1)
      .describe('Signs with Standard Webhooks; `whsec_` and base64, or any text.')
      .meta({ secret: true, neverBlank: true }),
    headers: z
      .record(z.string(), z.string().trim())
      .default({})
      .describe('Further request headers.')
      .meta({ secret: true }),
    min_severity: z
      .enum(['warning', 'critical'])
      .default('warning')
      .describe('critical: warnings are not sent; they are in `walpost status` all the same.'),
    every: duration({ min: '1s', max: '10m' })
      .prefault('15s')
      .describe('Time between two looks. An alert is resolved when three looks in a row have not found it.'),
    ...httpOptions,
  })
  .describe('Sends alerts as webhooks, for people without Prometheus.');

export type AlertsConfig = z.output<typeof alerts>;
