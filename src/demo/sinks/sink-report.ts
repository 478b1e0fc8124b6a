import { wrapText } from '../../observe/wrap-text.ts';
import { formatCount } from '../format-figure.ts';
import type { EverySinkAudit, SinkAudit } from './sink-audit.ts';

const INDENT = '  ';
const UNSEEN = '–';
const TITLES = ['', 'share', 'delivered', 'missing', 'repeated', 'out of order', 'unexpected'];
const NARROW_TITLES = ['', 'share', 'delivered', 'beside that'];

/**
 * A line for each sink, and the types that have none.
 * @param width columns of the terminal; where the table is wider, what is wrong stands in words
 */
export function sinkTable({ audits, leftOut }: EverySinkAudit, width: number): string[] {
  const wide = tableLines([TITLES, ...audits.map(rowOf)]);
  const isWide = wide.every((line) => line.length <= width);
  const lines = isWide ? wide : tableLines([NARROW_TITLES, ...audits.map(narrowRowOf)]);
  const notes = ['The share of a sink is the events of the types that are routed to it.'];
  if (isWide) notes.push(`${UNSEEN} cannot be told: a mail is a file with the name of its event.`);
  const reasons = [...leftOut].map(([name, why]) => `${name} (${why})`);
  const indented = (sentence: string): string[] =>
    wrapText(sentence, width - INDENT.length).map((line) => INDENT + line);
  const left = reasons.length === 0 ? [] : ['', ...indented(`Left out: ${reasons.join(', ')}.`)];
  return ['What each sink got of its share:', '', ...lines, '', ...notes.flatMap(indented), ...left, ''];
}

/** The first column and words to the left, figures to the right. */
function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const isFigure = (column: number): boolean =>
    column > 0 && rows.slice(1).every((row) => /^[\d,–]+$/.test(row[column] ?? ''));
  return rows.map((row) => {
    const cells = row.map((cell, column) =>
      isFigure(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    return `${INDENT}${cells.join('  ')}`.trimEnd();
  });
}

function rowOf({ name, audit, isSequence }: SinkAudit): string[] {
  const { committed, delivered, missing, duplicates, outOfOrder, rolledBackDelivered, unexpected } = audit;
  const seen = (count: number): string => (isSequence ? formatCount(count) : UNSEEN);
  const [share, arrived, lost] = [committed, delivered, missing].map(formatCount);
  const extra = formatCount(unexpected + rolledBackDelivered);
  return [name, share ?? '', arrived ?? '', lost ?? '', seen(duplicates), seen(outOfOrder), extra];
}

function narrowRowOf(sink: SinkAudit): string[] {
  const [name = '', share = '', arrived = '', ...rest] = rowOf(sink);
  const told = rest.flatMap((count, at) =>
    count === '0' || count === UNSEEN ? [] : `${count} ${TITLES[at + 3] ?? ''}`,
  );
  return [name, share, arrived, told.join(', ') || 'nothing'];
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
