/** Whether rows stay long enough for what is sent from them. */
import type { Config } from '../../config/schema.ts';
import { disableAfter } from '../../config/sinks/endpoint-checks.ts';
import { OWN_TABLE } from '../../postgres/own-table.ts';
import type { TopicRetention } from '../facts/topic-retention.ts';
import { type DoctorFinding, finding } from '../finding.ts';

const HOUR_MS = 3_600_000;

/**
 * `prune.retention` is compared with `disable_after` as the configuration is read; what the database says of topics is known
 * only here. The topics come in the order of their hours, the shortest first.
 */
export function judgeTopicRetentions(
  topics: readonly TopicRetention[],
  { source, sinks, prune }: Pick<Config, 'source' | 'sinks' | 'prune'>,
): DoctorFinding[] {
  if (source.table !== OWN_TABLE) return [];
  const shortest = topics[0];
  if (!shortest) return [];
  return Object.entries(sinks).flatMap(([name, sink]) => {
    if (sink.type !== 'webhook' || sink.endpoints !== true) return [];
    const after = disableAfter(sink, prune);
    if (after < shortest.hours * HOUR_MS) return [];
    const what =
      `Rows of topic ${shortest.topic} stay for ${shortest.hours} hours, and an endpoint of this sink is disabled after ` +
      `${Number((after / HOUR_MS).toFixed(1))} hours of failure.`;
    const hours = Math.ceil((after * 1.5) / HOUR_MS);
    const remedy =
      `UPDATE walpost.settings SET value = '${hours}' WHERE name = 'retention_hours' AND value::numeric < ${hours}; ` +
      `or set sinks.${name}.disable_after below ${shortest.hours}h.`;
    return [finding('TOPIC_RETENTION', { subject: `sink ${name}`, what, remedy })];
  });
}
