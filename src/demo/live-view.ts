import type { Figures } from './figures.ts';
import { formatBytes, formatCount, formatMilliseconds, formatRate, formatSeconds } from './format-figure.ts';
import { type Look, organizationGrid } from './organization-grid.ts';
import { type Line, padLine, paintLine, type TextPiece, widthOf } from './text-line.ts';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const LABEL_WIDTH = 13;
const FIELD_WIDTH = 36;
/** Minimum width for two fields side by side. */
const WIDE = 2 + 2 * FIELD_WIDTH;

/** The whole view as lines that fit the terminal: no line wraps, and the last row stays free. */
export function renderFrame(figures: Figures, size: ScreenSize, look: Look): string[] {
  const width = Math.max(10, size.columns - 1);
  const room = Math.max(1, size.rows - 1);
  const head = [header(figures, width, look), progress(figures, width, look), []];
  const fields = arrange(fieldsOf(figures, look), width);
  const foot: Line[] = [[], [{ text: ' Ctrl-C ends it early, with the same comparison', paint: look.colors.dim }]];
  const gridRoom = room - head.length - fields.length - 1 - foot.length;
  const grid = gridRoom >= 2 ? [[], ...organizationGrid(figures.organizations, { width, rows: gridRoom }, look)] : [];
  return [...head, ...fields, ...grid, ...foot].slice(0, room).map((line) => paintLine(line, width));
}

/** A narrow terminal loses the version of Postgres before the time. */
function header(figures: Figures, width: number, { colors }: Look): Line {
  const name: Line = [{ text: ' walpost demo', paint: colors.bold }];
  const over = figures.phase === 'writing' ? ` of ${formatSeconds(figures.durationMs)}` : `, ${figures.phase}`;
  const time: TextPiece = { text: `${formatSeconds(figures.elapsedMs)}${over}`, paint: colors.cyan };
  const left = [[...name, { text: `  ${figures.title}` }], name].find(
    (line) => widthOf(line) + 2 + time.text.length < width,
  );
  return left ? [...padLine(left, width - time.text.length - 1), time] : name;
}

function progress(figures: Figures, width: number, { colors, unicode }: Look): Line {
  const room = Math.max(0, width - 2);
  const share = figures.phase === 'writing' ? Math.min(1, figures.elapsedMs / figures.durationMs) : 1;
  const done = Math.round(share * room);
  const [full, empty] = unicode ? ['━', '─'] : ['=', '-'];
  return [
    { text: ' ' },
    { text: full.repeat(done), paint: colors.cyan },
    { text: empty.repeat(room - done), paint: colors.dim },
  ];
}

function fieldsOf(figures: Figures, { colors, unicode }: Look): Line[] {
  const field = (label: string, value: string, rest = ''): Line => [
    { text: ` ${label.padEnd(LABEL_WIDTH)}`, paint: colors.dim },
    { text: value, paint: colors.bold },
    { text: rest === '' ? '' : `  ${rest}` },
  ];
  const perBatch = figures.batches > 0 ? figures.delivered / figures.batches : 0;
  return [
    field('committed', formatCount(figures.committed), formatRate(figures.committedPerSecond)),
    field('delivered', formatCount(figures.delivered), formatRate(figures.deliveredPerSecond)),
    field('rolled back', formatCount(figures.rolledBack)),
    field('batches', formatCount(figures.batches), `${perBatch.toFixed(1)} events each`),
    field('latency p50', formatMilliseconds(figures.p50), `p99 ${formatMilliseconds(figures.p99)}`),
    field('slot lag', formatBytes(figures.lagHistory.at(-1)), unicode ? sparkline(figures.lagHistory.slice(-12)) : ''),
  ];
}

function arrange(fields: readonly Line[], width: number): Line[] {
  if (width < WIDE) return [...fields];
  const lines: Line[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    lines.push([...padLine(fields[index] ?? [], FIELD_WIDTH), ...(fields[index + 1] ?? [])]);
  }
  return lines;
}

const SPARKS = '▁▂▃▄▅▆▇█';

function sparkline(values: readonly (number | undefined)[]): string {
  const highest = Math.max(1, ...values.map((value) => value ?? 0));
  return values
    .map((value) => (value === undefined ? ' ' : (SPARKS[Math.round((value / highest) * (SPARKS.length - 1))] ?? ' ')))
    .join('');
}
