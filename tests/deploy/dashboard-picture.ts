/** Draws the panels of the dashboard from what a real Prometheus answers, for docs/evidence. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboard, expanded, type Panel } from './dashboard.ts';
import type { Prometheus, Series } from './prometheus.ts';

const CELL = 40;
const ROW = 24;
const COLORS = ['#2563eb', '#f59e0b', '#10b981', '#ef4444', '#8b5cf6', '#64748b', '#06b6d4', '#ec4899'];
const PICTURE = join(import.meta.dirname, '../../docs/evidence/dashboard.svg');

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [time: number, value: number])[];
}

/** `npm run evidence:dashboard` asks for it. */
export async function writePictureWhenAsked(prometheus: Prometheus, seconds: number): Promise<void> {
  if (process.env['WALPOST_DASHBOARD'] !== 'write') return;
  const drawn: string[] = [];
  for (const panel of dashboard.panels) {
    const lines: Line[] = [];
    for (const { expr, legendFormat } of panel.targets) {
      const series = await prometheus.range(expanded(expr), seconds);
      lines.push(...series.map((each) => lineOf(each, legendFormat)));
    }
    drawn.push(panel.type === 'stat' ? statOf(panel, lines) : chartOf(panel, lines));
  }
  const height = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => (y + h) * ROW)) + 8;
  writeFileSync(
    PICTURE,
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${24 * CELL} ${height}" role="img" aria-label="The dashboard of walpost">\n` +
      `<style>text{font:11px system-ui,sans-serif;fill:#64748b}.t{font-weight:600}.v{font-size:26px;fill:#2563eb}</style>\n${drawn.join('\n')}\n</svg>\n`,
  );
}

function lineOf({ metric, values }: Series, legend: string): Line {
  const name = legend
    .replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
    .replace(/127\.0\.0\.1:\d+/, 'a');
  const points = values.map(([time, text]): [number, number] => [time, Number(text)]);
  return { name, points: points.filter(([, value]) => Number.isFinite(value)) };
}

function frame({ title, gridPos: { x, y, w, h } }: Panel, inner: string): string {
  return (
    `<g transform="translate(${x * CELL},${y * ROW})"><rect x="4" y="4" width="${w * CELL - 8}" height="${h * ROW - 8}" rx="4" fill="none" stroke="#cbd5e1"/>` +
    `<text class="t" x="12" y="20">${escaped(title)}</text>${inner}</g>`
  );
}

function statOf(panel: Panel, lines: readonly Line[]): string {
  const shown = lines.filter(({ points }) => points.length > 0);
  const texts = shown.map(({ name, points }, at) => {
    const value = quantity(points.at(-1)?.[1] ?? NaN, panel.fieldConfig.defaults.unit);
    return `<text class="v" x="${12 + at * 110}" y="56">${value}</text><text x="${12 + at * 110}" y="76">${escaped(name)}</text>`;
  });
  return frame(panel, texts.join(''));
}

function chartOf(panel: Panel, lines: readonly Line[]): string {
  const { w, h } = panel.gridPos;
  const shown = lines.filter(({ points }) => points.some(([, value]) => value !== 0));
  const all = shown.flatMap(({ points }) => points);
  const most = Math.max(...all.map(([, value]) => value), 1e-9);
  const [first, last] = [Math.min(...all.map(([time]) => time)), Math.max(...all.map(([time]) => time))];
  const [left, top, right, bottom] = [56, 30, w * CELL - 14, h * ROW - 30];
  const xOf = (time: number): string =>
    (left + ((time - first) / Math.max(1, last - first)) * (right - left)).toFixed(1);
  const yOf = (value: number): string => (bottom - (value / most) * (bottom - top)).toFixed(1);
  const paths = shown.map(({ points }, at) => {
    const path = points.map(([time, value]) => `${xOf(time)},${yOf(value)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${COLORS[at % COLORS.length]}" stroke-width="1.5"/>`;
  });
  const legend = shown.slice(0, 4).map(({ name }, at) => {
    const x = 12 + at * ((w * CELL - 20) / Math.min(4, shown.length));
    return `<text x="${x.toFixed(0)}" y="${h * ROW - 12}" style="fill:${COLORS[at % COLORS.length]}">${escaped(name.slice(0, 16))}</text>`;
  });
  const top0 = all.length === 0 ? '0' : quantity(most, panel.fieldConfig.defaults.unit);
  const axis = `<line x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="#cbd5e1"/><text x="${left - 4}" y="${top + 8}" text-anchor="end">${top0}</text>`;
  return frame(panel, axis + paths.join('') + legend.join(''));
}

function quantity(value: number, unit: string): string {
  const plain = (number: number): string => (number >= 100 ? number.toFixed(0) : String(Number(number.toPrecision(2))));
  if (unit === 'bytes') return value >= 1024 ** 2 ? `${plain(value / 1024 ** 2)} MiB` : `${plain(value / 1024)} KiB`;
  if (unit === 's') return value >= 1 || value === 0 ? `${plain(value)} s` : `${plain(value * 1000)} ms`;
  return unit === 'percentunit' ? `${plain(value * 100)} %` : plain(value);
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
