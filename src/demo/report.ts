import { wrapText } from '../observe/wrap-text.ts';
import { type Audit, isClean } from './audit.ts';
import { formatCount, formatMilliseconds } from './format-figure.ts';
import type { LatencyHistogram } from './latency-histogram.ts';
import { type EverySinkAudit, isCleanSink } from './sinks/sink-audit.ts';
import { sinkJson, sinkTable } from './sinks/sink-report.ts';

/** More names would not fit a line; the table has them. */
const MOST_NAMED = 3;

export interface DemoOutcome {
  readonly audit: Audit;
  readonly latencies: LatencyHistogram;
  /** Requests without a good signature. */
  readonly refused: number;
  /** Why walpost ended before it was told to. */
  readonly relayFailure: string | undefined;
  /** With `--all-sinks`; the webhook is the first. */
  readonly everySink?: EverySinkAudit;
}

export function isSuccess(outcome: DemoOutcome): boolean {
  const isWebhookGood = isClean(outcome.audit) && outcome.refused === 0;
  return isWebhookGood && unclean(outcome).length === 0 && outcome.relayFailure === undefined;
}

/** Names of the sinks whose share did not arrive as it was committed. */
function unclean({ everySink }: DemoOutcome): string[] {
  return (everySink?.audits ?? []).filter((each) => !isCleanSink(each)).map(({ name }) => name);
}

/**
 * The comparison as a small table, with what it means in one sentence.
 * @param width columns of the terminal; Infinity where there is none
 */
export function formatReport(outcome: DemoOutcome, width: number): string {
  const { audit, latencies, refused } = outcome;
  const rows: [string, string, string?][] = [
    ['committed', formatCount(audit.committed)],
    ['delivered', formatCount(audit.delivered)],
    ['missing', formatCount(audit.missing)],
    ['duplicates', formatCount(audit.duplicates)],
    ['out of order', formatCount(audit.outOfOrder)],
    ['rolled back, delivered', formatCount(audit.rolledBackDelivered), `of ${formatCount(audit.rolledBack)}`],
  ];
  if (audit.unexpected > 0) rows.push(['written by nobody', formatCount(audit.unexpected)]);
  if (refused > 0) rows.push(['unsigned requests', formatCount(refused)]);
  rows.push(['commit to delivery p50', formatMilliseconds(latencies.quantile(0.5))]);
  rows.push(['commit to delivery p99', formatMilliseconds(latencies.quantile(0.99))]);
  const figures = Math.max(...rows.map(([, value]) => value.length));
  const table = rows.map(([label, value, note]) => {
    return `  ${label.padEnd(24)}${value.padStart(figures)}${note === undefined ? '' : `  ${note}`}`;
  });
  const sinks = outcome.everySink ? sinkTable(outcome.everySink, width) : [];
  const title = outcome.everySink
    ? 'What was committed, and what the webhook got:'
    : 'What was committed, and what arrived:';
  return ['', title, '', ...table, '', ...sinks, ...wrapText(verdict(outcome), width), ''].join('\n');
}

/** For programs; latencies in milliseconds, null when nothing arrived. */
export function outcomeJson(outcome: DemoOutcome): object {
  const { audit, latencies, refused, relayFailure } = outcome;
  return {
    ok: isSuccess(outcome),
    committed: audit.committed,
    delivered: audit.delivered,
    missing: audit.missing,
    duplicates: audit.duplicates,
    out_of_order: audit.outOfOrder,
    rolled_back: audit.rolledBack,
    rolled_back_delivered: audit.rolledBackDelivered,
    unexpected: audit.unexpected,
    unsigned: refused,
    relay_failure: relayFailure ?? null,
    latency_ms: { p50: latencies.quantile(0.5) ?? null, p99: latencies.quantile(0.99) ?? null },
    ...(outcome.everySink && sinkJson(outcome.everySink)),
  };
}

function verdict(outcome: DemoOutcome): string {
  if (outcome.relayFailure !== undefined) return `FAILED: walpost ended early (${outcome.relayFailure}).`;
  if (!isSuccess(outcome)) {
    const names = unclean(outcome);
    const named = names.length > MOST_NAMED ? `${names.length} sinks` : names.join(', ');
    const where = names.length === 0 ? '' : ` at ${named}`;
    return `FAILED: what arrived${where} is not what was committed.`;
  }
  if (outcome.everySink) return 'Every committed event arrived at every sink above that it is routed to.';
  return 'Every committed event arrived: committed = delivered, order kept, rolled back = 0 delivered.';
}
