/** The sections on what walpost costs others, and itself. */
import { provenance, type Report, short, table, whole } from './doc-format.ts';

export function isolation(report: Report): string {
  const { medians, derived, settings } = report;
  const rows = Object.entries(medians).map(([name, figures]) => [
    name,
    whole(figures['p50']),
    whole(figures['p99']),
    whole(figures['max']),
    short(figures['unconfirmed_mib'], 1),
  ]);
  return `## Organizations whose receiver hangs

${settings['organizations']} organizations, ${whole(Number(settings['eventsPerSecond']))} events a second, to webhooks. In every other phase of ${settings['seconds']} s the receiver of ${settings['hanging']} of them accepts and
never answers (\`park_after\` ${settings['parkAfter']} s, \`timeout\` ${settings['timeout']} s). The table has the milliseconds from commit to arrival for the other ninety, and the unconfirmed WAL in MiB.

${table(['', 'p50', 'p99', 'max', 'unconfirmed MiB'], rows)}

The 99th percentile with the ten is ${short(derived['p99_ratio'])} times the one without them, compared phase by phase.

${provenance(report)}
`;
}

export function memory(report: Report): string {
  const cases: Readonly<Record<string, string>> = {
    idle: 'nothing to do',
    transaction: 'one transaction of 1,000,000 rows',
    'one-organization': 'one transaction of 300,000 rows of one organization',
    backlog: 'a backlog of 2,000,000 rows, 2,000 organizations',
    hang: 'a sink that never answers',
    large: 'one row of 50 MB, which becomes a dead letter',
  };
  const rows = Object.entries(report.medians).map(([name, figures]) => [
    cases[name] ?? name,
    whole(figures['peakMB']),
    whole(figures['seconds']),
  ]);
  return `## Memory

Largest resident size of the process in MB (millions of bytes), with the default budget of 64 MiB; rows of some 400 bytes, to a webhook.

${table(['', 'peak MB', 'seconds'], rows)}

${provenance(report)}
`;
}

export function idle(report: Report): string {
  const figures = Object.values(report.medians)[0] ?? {};
  return `## Idle

Over ${report.settings['seconds']} s in which nothing is committed: ${short(figures['cpuPercent'])} % of one core, ${whole(figures['statements'])} statements on the server, of which
${whole(figures['statementsOnOutbox'])} on the outbox, ${whole(figures['peakMiB'])} MiB. The leader's lease and its chores account for the statements; walpost never
polls the outbox.

${provenance(report)}
`;
}

export function publish(report: Report): string {
  const { medians, derived, settings } = report;
  const rows = Object.entries(medians).map(([name, figures]) => [name, short(figures['milliseconds'], 3)]);
  const ratios = Object.entries(derived).map(([name, value]) => [name, short(value)]);
  return `## What an event costs its writer

One event by pgbench with two clients, and an update of ${whole(Number(settings['rows']))} rows in one statement, with \`synchronous_commit = off\`, so that waiting for the disk does not
hide the difference. The trigger by hand is a plpgsql trigger that inserts the same payload.

${table(['', 'milliseconds'], rows)}

${table(['of', 'ratio'], ratios)}

${provenance(report)}
`;
}

export function views(report: Report): string {
  const rows = Object.entries(report.medians).map(([name, figures]) => [
    name,
    short(figures['milliseconds'], 1),
    Number.isFinite(figures['mostMilliseconds'] ?? Number.NaN) ? short(figures['mostMilliseconds'], 1) : '',
  ]);
  return `## Views and prune in a large outbox

${report.settings['millions']},000,000 rows in the outbox, 1,000,000 parked, 1,000,000 dead letters, 1,000,000 rows of delivery log. Figures in milliseconds. Prune was called twenty
times while another session published; the last line has the waits of that session. See also [the plans](evidence/plans.md).

${table(['', 'median', 'max'], rows)}

${provenance(report)}
`;
}
