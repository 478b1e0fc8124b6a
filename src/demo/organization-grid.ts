import type pc from 'picocolors';
import type { OrganizationCounts } from './demo-record.ts';
import { formatCount } from './format-figure.ts';
import { type Line, padLine, type TextPiece } from './text-line.ts';

/** How the view is painted. */
export interface Look {
  readonly colors: ReturnType<typeof pc.createColors>;
  /** Block characters; otherwise plain ASCII. */
  readonly unicode: boolean;
}

const WANTED_CELL = 38;
const SMALLEST_CELL = 18;
const GAP = 2;

/** A bar for each organization: delivered events, and events in flight. Shows how many organizations do not fit. */
export function organizationGrid(
  organizations: readonly OrganizationCounts[],
  room: { readonly width: number; readonly rows: number },
  look: Look,
): Line[] {
  const rows = room.rows - 1;
  const atMost = (cell: number): number => Math.max(1, Math.floor((room.width - 1 + GAP) / (cell + GAP)));
  const columns = Math.max(
    Math.min(atMost(WANTED_CELL), organizations.length),
    Math.min(atMost(SMALLEST_CELL), Math.ceil(organizations.length / rows)),
  );
  const cellWidth = Math.floor((room.width - 1 + GAP) / columns) - GAP;
  const shown = organizations.slice(0, columns * rows);
  const height = Math.ceil(shown.length / columns);
  const cells = drawCells(shown, cellWidth, look);
  const lines = Array.from({ length: height }, (_, row) =>
    Array.from({ length: columns }, (_, column) => cells[column * height + row] ?? []).flatMap((cell, column) => [
      { text: column === 0 ? ' ' : ' '.repeat(GAP) },
      ...padLine(cell, cellWidth),
    ]),
  );
  return [title(organizations.length, shown.length, look), ...lines];
}

function title(all: number, shown: number, { colors, unicode }: Look): Line {
  const more = all > shown ? `, ${formatCount(all - shown)} more not shown` : '';
  const [done, waiting] = unicode ? ['█', '░'] : ['#', '.'];
  return [
    { text: ` ${formatCount(all)} organizations${more}   `, paint: colors.dim },
    { text: done, paint: colors.green },
    { text: ' delivered  ', paint: colors.dim },
    { text: waiting, paint: colors.yellow },
    { text: ' on the way', paint: colors.dim },
  ];
}

function drawCells(shown: readonly OrganizationCounts[], width: number, { colors, unicode }: Look): Line[] {
  const highest = Math.max(1, ...shown.map(({ committed, arrived }) => Math.max(committed, arrived)));
  const labelWidth = String(shown.length).length;
  const numberWidth = formatCount(highest).length;
  const barWidth = Math.max(1, width - labelWidth - numberWidth - 2);
  const [full, empty] = unicode ? ['█', '░'] : ['#', '.'];
  return shown.map(({ committed, arrived }, index) => {
    const total = Math.round((Math.max(committed, arrived) / highest) * barWidth);
    const waiting = committed > arrived ? Math.max(1, Math.round(((committed - arrived) / highest) * barWidth)) : 0;
    const done = Math.max(0, total - waiting);
    const bar: TextPiece[] = [
      { text: full.repeat(done), paint: colors.green },
      { text: empty.repeat(Math.min(waiting, barWidth - done)), paint: colors.yellow },
    ];
    return [
      { text: `${String(index + 1).padStart(labelWidth)} `, paint: colors.dim },
      ...padLine(bar, barWidth),
      { text: ` ${formatCount(arrived).padStart(numberWidth)}` },
    ];
  });
}
