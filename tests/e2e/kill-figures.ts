/** What a load through kills has left at its destination, as figures; `npm run evidence:brokers` writes them to a page. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { firstOfEach, type NumberedEnvelope, type ThroughKills } from './through-kills.ts';

const PAGE = join(import.meta.dirname, '../../docs/evidence/brokers.md');

export interface KillFigures {
  readonly destination: string;
  readonly events: number;
  readonly walpostKilled: number;
  readonly destinationKilled: number;
  readonly arrived: number;
  /** Arrivals of an event that had arrived before. */
  readonly repeated: number;
  readonly lost: number;
  /** Events that arrived first behind a later one of their organization. */
  readonly outOfOrder: number;
}

/** Prints the figures, and with WALPOST_EVIDENCE=write puts them into the row of the destination. */
export function tellFigures(
  destination: string,
  { committed, total, killedAt }: ThroughKills,
  arrived: readonly NumberedEnvelope[],
): KillFigures {
  const first = firstOfEach(arrived);
  const known = first.filter(({ organization_id, payload }) => payload.n <= (committed.get(organization_id) ?? 0));
  const figures = {
    destination,
    events: total,
    walpostKilled: killedAt.length - 1,
    destinationKilled: killedAt.length,
    arrived: arrived.length,
    repeated: arrived.length - first.length,
    lost: total - known.length,
    outOfOrder: overtaken(first),
  };
  console.log(JSON.stringify(figures));
  if (process.env['WALPOST_EVIDENCE'] === 'write') writeRow(figures);
  return figures;
}

function overtaken(first: readonly NumberedEnvelope[]): number {
  const highest = new Map<string, number>();
  let count = 0;
  for (const { organization_id: id, payload } of first) {
    const before = highest.get(id) ?? 0;
    if (payload.n < before) count += 1;
    else highest.set(id, payload.n);
  }
  return count;
}

function writeRow({ destination, ...figures }: KillFigures): void {
  const cells = Object.values(figures).map((figure) => figure.toLocaleString('en-US'));
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const place = lines.findIndex((line) => line.startsWith(`| ${destination} `));
  if (place < 0) throw new Error(`${PAGE} has no row for ${destination}`);
  // Cells stay as wide as they are, which is how the page is formatted.
  const widths = (lines[place] ?? '').split('|').map((cell) => cell.length - 2);
  const row = [destination, ...cells].map((cell, at) => cell.padEnd(widths[at + 1] ?? 0));
  lines[place] = `| ${row.join(' | ')} |`;
  writeFileSync(PAGE, lines.join('\n'));
}
