import { formatCount } from '../format-figure.ts';
import type { EverySinkAudit, SinkAudit } from './sink-audit.ts';

const WIDTH = 78;
const UNSEEN = '–';
const TITLES = ['', 'share', 'delivered', 'missing', 'repeated', 'out of order', 'unexpected'];

/** A line for each sink, and the types that have none. */
export function sinkTable({ audits, leftOut }: EverySinkAudit): string[] {
  const rows = [TITLES, ...audits.map(rowOf)];
  const widths = TITLES.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    return `  ${cells.join('  ')}`;
  });
  const reasons = [...leftOut].map(([name, why]) => `${name} (${why})`);
  const left = reasons.length === 0 ? [] : ['', ...wrap(`Left out: ${reasons.join(', ')}.`)];
  return ['What each sink got of its share:', '', ...lines, '', ...NOTES, ...left, ''];
}

const NOTES = [
  '  The share of a sink is the events of the types that are routed to it.',
  `  ${UNSEEN} cannot be told: a mail is a file with the name of its event.`,
];

function rowOf({ name, audit, isSequence }: SinkAudit): string[] {
  const { committed, delivered, missing, duplicates, outOfOrder, rolledBackDelivered, unexpected } = audit;
  const seen = (count: number): string => (isSequence ? formatCount(count) : UNSEEN);
  const [share, arrived, lost] = [committed, delivered, missing].map(formatCount);
  const extra = formatCount(unexpected + rolledBackDelivered);
  return [name, share ?? '', arrived ?? '', lost ?? '', seen(duplicates), seen(outOfOrder), extra];
}

/** For programs; null where it cannot be seen. */
export function sinkJson({ audits, leftOut }: EverySinkAudit): object {
  const sinks = audits.map(({ name, eventTypes, audit, isSequence }) => [
    name,
    {
      event_types: eventTypes,
      committed: audit.committed,
      delivered: audit.delivered,
      missing: audit.missing,
      duplicates: isSequence ? audit.duplicates : null,
      out_of_order: isSequence ? audit.outOfOrder : null,
      rolled_back_delivered: audit.rolledBackDelivered,
      unexpected: audit.unexpected,
    },
  ]);
  return { sinks: Object.fromEntries(sinks) as object, left_out: Object.fromEntries(leftOut) as object };
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => `  ${line}`);
}
